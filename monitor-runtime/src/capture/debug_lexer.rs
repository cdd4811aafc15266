//! Tells quoted text from the rest of what a `Debug` writes.
//!
//! Comes in: characters, one at a time, from pieces that may end anywhere. Goes out: for each, whether it stands in
//! a quoted string, opens or closes one, or is structure. Character literals (`'"'`) are taken as such only when they
//! end as such, so that an apostrophe in a text does not hide the quotes that follow it.

/// What a character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A name, a bracket, a separator.
    Structure,
    /// In what may be a character literal.
    Literal,
    /// The quote before a string.
    QuoteOpens,
    /// Part of a string; the bytes of the string that are complete with it.
    Quoted { bytes: usize },
    /// The quote after a string.
    QuoteCloses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Structure,
    Quoted,
    /// After a backslash in a string.
    Escape,
    /// In `\u{…}` in a string, with the number read so far.
    Unicode(u32),
    /// After an apostrophe.
    Apostrophe,
    /// After an apostrophe and a character that may be a literal.
    Literal(char),
    /// After an apostrophe and a backslash.
    LiteralEscape,
    /// After these and one more character.
    LiteralEnd,
}

/// The reader of characters.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
}

impl Lexer {
    pub(super) const fn new() -> Self {
        Self { state: State::Structure }
    }

    /// Whether the next letter is part of a name.
    pub(super) fn is_in_structure(&self) -> bool {
        self.state == State::Structure
    }

    /// Whether the next letter is part of a quoted string.
    pub(super) fn is_in_quotes(&self) -> bool {
        self.state == State::Quoted
    }

    /// Reads a character. The first part of the answer is the character before, if only now it is known to have been
    /// structure and no literal.
    pub(super) fn read(&mut self, character: char) -> (Option<(char, Class)>, Class) {
        let class = match (self.state, character) {
            (State::Quoted, '"') => self.becomes(State::Structure, Class::QuoteCloses),
            (State::Quoted, '\\') => self.becomes(State::Escape, Class::Quoted { bytes: 0 }),
            (State::Quoted, _) => Class::Quoted { bytes: character.len_utf8() },
            (State::Escape, 'u') => self.becomes(State::Unicode(0), Class::Quoted { bytes: 0 }),
            (State::Escape, _) => self.becomes(State::Quoted, Class::Quoted { bytes: 1 }),
            (State::Unicode(number), _) => self.unicode(number, character),
            (State::Apostrophe, '\\') => self.becomes(State::LiteralEscape, Class::Literal),
            (State::Apostrophe, _) => self.becomes(State::Literal(character), Class::Literal),
            (State::LiteralEscape, _) => self.becomes(State::LiteralEnd, Class::Literal),
            (State::Literal(_) | State::LiteralEnd, '\'') => self.becomes(State::Structure, Class::Literal),
            (State::Literal(before), _) => {
                self.state = State::Structure;
                let class = self.structure(before);
                let (_, next) = self.read(character);
                return (Some((before, class)), next);
            }
            (State::Structure | State::LiteralEnd, _) => self.structure(character),
        };
        (None, class)
    }

    fn structure(&mut self, character: char) -> Class {
        match character {
            '"' => self.becomes(State::Quoted, Class::QuoteOpens),
            '\'' => self.becomes(State::Apostrophe, Class::Structure),
            _ => self.becomes(State::Structure, Class::Structure),
        }
    }

    fn unicode(&mut self, number: u32, character: char) -> Class {
        match (character, character.to_digit(16)) {
            ('{', _) => Class::Quoted { bytes: 0 },
            (_, Some(digit)) => {
                self.state = State::Unicode(number.wrapping_mul(16).wrapping_add(digit));
                Class::Quoted { bytes: 0 }
            }
            ('"', _) => self.becomes(State::Structure, Class::QuoteCloses),
            _ => {
                let bytes = char::from_u32(number).map_or(1, char::len_utf8);
                self.becomes(State::Quoted, Class::Quoted { bytes })
            }
        }
    }

    fn becomes(&mut self, state: State, class: Class) -> Class {
        self.state = state;
        class
    }
}
