//! The lexer of `Debug` output, which distinguishes quoted strings from structure.
//!
//! Takes characters, one at a time, from pieces that may end anywhere; gives the class of each: part of a quoted
//! string, its opening or closing quote, or structure. A character literal (`'"'`) counts as one only if it ends like
//! one, so that an apostrophe in a text does not hide the quotes after it. The file does not know names or secrets.

/// The class of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A name, a bracket, a separator.
    Structure,
    /// Part of a possible character literal.
    Literal,
    /// The quote before a string.
    QuoteOpens,
    /// Part of a string; `bytes` of the string are complete with it.
    Quoted { bytes: usize },
    /// The quote after a string.
    QuoteCloses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Structure,
    Quoted,
    /// The state after a backslash in a string.
    Escape,
    /// The state in `\u{…}` in a string, with the number read so far.
    Unicode(u32),
    /// The state after an apostrophe.
    Apostrophe,
    /// The state after an apostrophe and a character that may be a literal.
    Literal(char),
    /// The state after an apostrophe and a backslash.
    LiteralEscape,
    /// The state after an apostrophe, a backslash and one more character.
    LiteralEnd,
}

/// The lexer.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
}

impl Lexer {
    pub(super) const fn new() -> Self {
        Self { state: State::Structure }
    }

    /// Returns true if the next letter is part of a name.
    pub(super) fn is_in_structure(&self) -> bool {
        self.state == State::Structure
    }

    /// Returns true if the next letter is part of a quoted string.
    pub(super) fn is_in_quotes(&self) -> bool {
        self.state == State::Quoted
    }

    /// Reads a character and returns its class. The first part of the result is the character before, if this one shows
    /// that the character before was structure and not a literal.
    pub(super) fn read(&mut self, character: char) -> (Option<(char, Class)>, Class) {
        let class = match (self.state, character) {
            (State::Quoted, '"') => self.enter(State::Structure, Class::QuoteCloses),
            (State::Quoted, '\\') => self.enter(State::Escape, Class::Quoted { bytes: 0 }),
            (State::Quoted, _) => Class::Quoted { bytes: character.len_utf8() },
            (State::Escape, 'u') => self.enter(State::Unicode(0), Class::Quoted { bytes: 0 }),
            (State::Escape, _) => self.enter(State::Quoted, Class::Quoted { bytes: 1 }),
            (State::Unicode(number), _) => self.unicode(number, character),
            (State::Apostrophe, '\\') => self.enter(State::LiteralEscape, Class::Literal),
            (State::Apostrophe, _) => self.enter(State::Literal(character), Class::Literal),
            (State::LiteralEscape, _) => self.enter(State::LiteralEnd, Class::Literal),
            (State::Literal(_) | State::LiteralEnd, '\'') => self.enter(State::Structure, Class::Literal),
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
            '"' => self.enter(State::Quoted, Class::QuoteOpens),
            '\'' => self.enter(State::Apostrophe, Class::Structure),
            _ => self.enter(State::Structure, Class::Structure),
        }
    }

    fn unicode(&mut self, number: u32, character: char) -> Class {
        match (character, character.to_digit(16)) {
            ('{', _) => Class::Quoted { bytes: 0 },
            (_, Some(digit)) => {
                self.state = State::Unicode(number.wrapping_mul(16).wrapping_add(digit));
                Class::Quoted { bytes: 0 }
            }
            ('"', _) => self.enter(State::Structure, Class::QuoteCloses),
            _ => {
                let bytes = char::from_u32(number).map_or(1, char::len_utf8);
                self.enter(State::Quoted, Class::Quoted { bytes })
            }
        }
    }

    fn enter(&mut self, state: State, class: Class) -> Class {
        self.state = state;
        class
    }
}
