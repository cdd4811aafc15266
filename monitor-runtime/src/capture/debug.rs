//! Values captured by their `Debug`: the text it writes, cleaned of secrets before any of it is stored.
//!
//! Takes the pieces that a `Debug` writes; gives the same text, in which the value after a secret name (`password:
//! "x"`, `"password": Some("x")`, `password=x`, `Password("x")`, `Password { value: "x" }`, `("password", "x")`) is
//! `"[redacted]"`, and a quoted string of too many characters is cut. The output of derived implementations is read
//! exactly; in other text too much is redacted rather than too little. The file does not know the type of the value.

use std::fmt::{self, Debug, Write};

use super::debug_lexer::{Class, Lexer};
use super::limits::SCANNED_CHARS;
use super::secret::{Header, is_name_of_name, is_name_of_value, is_secret, is_secret_type};
use super::text::Text;
use super::value_writer::{Stop, Stopped, ValueWriter};

const REDACTED: &str = "\"[redacted]\"";

/// The way in which the next character is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// A value may begin here, and the name before it may say that it is a secret.
    Value(Separator),
    /// A secret value, which is not stored, with this many open brackets in it.
    Secret {
        brackets: u32,
        end: End,
    },
}

/// The separator between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `name: value`, or the first colon of a path.
    Colon,
    /// `name=value`
    Equals,
    /// `Name(value`
    Parenthesis,
    /// `Name { field: value`
    Brace,
    /// `("name", value`
    Comma,
}

/// The end of a secret value, besides the bracket that closes the container around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Only the bracket that closes the container, because all fields of a tuple are secret.
    Bracket,
    /// The comma before the next field.
    Comma,
    /// The end of a word, once the word has begun: `name=value` in a line of text.
    Word { has_begun: bool },
}

/// The name that was read last, by its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    start: usize,
    end: usize,
    grows: bool,
    /// True for the first name after an opening parenthesis.
    leads_tuple: bool,
}

/// The quoted string that is being read.
#[derive(Debug, Clone, Copy, Default)]
struct Quoted {
    chars: usize,
    bytes: usize,
    /// True if characters were not stored.
    is_cut: bool,
}

/// The scanner of a `Debug` that is being written.
#[derive(Debug)]
struct Scanner<'d, 'b> {
    text: Text<'d, 'b>,
    chars_max: usize,
    lexer: Lexer,
    mode: Mode,
    name: Option<Name>,
    /// True if the last character that was not stored is a space, which the bracket after it needs.
    left_out_space: bool,
    /// The last structural character; `a` stands for any letter of a name.
    previous: char,
    quoted: Quoted,
    scanned: usize,
    /// True if the text is one quoted string so far.
    is_one_string: bool,
    header: Header,
}

impl ValueWriter<'_> {
    /// Writes a value by its `Debug`.
    pub(super) fn debug(&mut self, value: &dyn Debug) -> Result<(), Stopped> {
        let chars_max = self.limits().string_chars;
        let mut scanner = Scanner {
            text: Text::open(self, usize::MAX)?,
            chars_max,
            lexer: Lexer::new(),
            mode: Mode::Open,
            name: None,
            left_out_space: false,
            previous: ' ',
            quoted: Quoted::default(),
            scanned: 0,
            is_one_string: true,
            header: Header::None,
        };
        let outcome = write!(scanner, "{value:?}");
        let is_whole = scanner.close();
        match self.stop() {
            Some(Stop::Cut) => Err(Stopped),
            _ if outcome.is_err() && is_whole => Err(Stopped),
            _ => Ok(()),
        }
    }
}

impl Scanner<'_, '_> {
    /// Ends the text. Returns false if it was cut.
    fn close(mut self) -> bool {
        let is_whole = !self.text.is_full();
        if is_whole && self.is_one_string {
            self.text.unquote();
        }
        self.text.close(false);
        is_whole
    }

    /// Reads over bytes that need no decision: names with the brackets and spaces between them, or the inside of a
    /// quoted string. Returns the number of bytes. The first one lies at `at` in the text.
    fn skip_run(&mut self, bytes: &[u8], at: usize) -> usize {
        if self.mode != Mode::Open {
            return 0;
        }
        if self.lexer.is_in_structure() {
            return self.skip_names(bytes, at);
        }
        if !self.lexer.is_in_quotes() {
            return 0;
        }
        let room = self.chars_max.saturating_sub(self.quoted.chars);
        let is_plain = |byte: &&u8| byte.is_ascii() && !matches!(byte, b'"' | b'\\');
        let run = bytes.iter().take(room).take_while(is_plain).count();
        self.quoted.chars += run;
        self.quoted.bytes += run;
        run
    }

    fn skip_names(&mut self, bytes: &[u8], at: usize) -> usize {
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let mut run = 0;
        while let Some(&byte) = bytes.get(run) {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => {
                    let start = run;
                    run += bytes[run..].iter().take_while(is_name).count();
                    self.extend_name(at + start, at + run);
                    continue;
                }
                b' ' => self.end_name(),
                b'{' if self.name.is_some() => break,
                b'{' | b'}' | b'[' | b']' | b')' | b'.' => {
                    if byte == b'}' {
                        self.header = Header::None;
                    }
                    self.name = None;
                    self.previous = char::from(byte);
                }
                _ => break,
            }
            run += 1;
        }
        self.is_one_string &= run == 0;
        run
    }

    fn end_name(&mut self) {
        if let Some(name) = &mut self.name {
            name.grows = false;
        }
    }

    fn extend_name(&mut self, start: usize, end: usize) {
        self.is_one_string = false;
        self.previous = 'a';
        match &mut self.name {
            Some(name) if name.grows => name.end = end,
            name => *name = Some(Name { start, end, grows: true, leads_tuple: false }),
        }
    }

    /// Reads one character, whose place in the text is `at`. Returns false if it is not stored.
    fn read_character(&mut self, character: char, class: Class, at: usize) -> bool {
        if let Mode::Value(before) = self.mode {
            self.mode = Mode::Open;
            self.begin_value(
                before,
                before == Separator::Colon && class == Class::Structure && character == ':',
            );
        }
        if let Mode::Secret { brackets, end } = self.mode {
            self.mode = continue_secret(character, class, brackets, end).unwrap_or(Mode::Open);
            if self.mode != Mode::Open {
                self.left_out_space = character.is_whitespace();
                return false;
            }
            if self.left_out_space && character != ',' && !character.is_whitespace() {
                self.text.store(" ");
            }
        }
        match class {
            Class::Structure => self.structure(character, at),
            Class::Literal => self.is_one_string = false,
            Class::QuoteOpens => self.open_quoted(at),
            Class::Quoted { bytes } => return self.extend_quoted(bytes),
            Class::QuoteCloses => self.close_quoted(at),
        }
        true
    }

    fn begin_value(&mut self, before: Separator, is_path: bool) {
        let Some(name) = self.name.take_if(|_| !is_path) else {
            self.name = None;
            return;
        };
        let is_of_type = matches!(before, Separator::Parenthesis | Separator::Brace);
        let looks_secret = if is_of_type { is_secret_type } else { is_secret };
        let header = self.header;
        let (is_name, is_secret) = self.text.stored(name.start, name.end).map_or((false, false), |text| {
            let is_header = header == Header::Secret && before == Separator::Colon && is_name_of_value(text);
            (before == Separator::Colon && is_name_of_name(text), is_header || looks_secret(text))
        });
        if is_name {
            self.header = Header::Name;
        } else if header == Header::Name {
            // The field `name` did not hold a string.
            self.header = Header::None;
        }
        if is_secret {
            let (separator, end) = match before {
                Separator::Colon => (" ", End::Comma),
                Separator::Equals => ("", End::Word { has_begun: false }),
                Separator::Parenthesis => ("", End::Bracket),
                Separator::Comma | Separator::Brace => (" ", End::Bracket),
            };
            self.text.store(separator);
            self.text.store(REDACTED);
            self.left_out_space = false;
            self.mode = Mode::Secret { brackets: 0, end };
        }
    }

    fn open_quoted(&mut self, at: usize) {
        self.is_one_string &= at == 0;
        self.quoted = Quoted::default();
        let leads_tuple = self.previous == '(';
        self.name = Some(Name { start: at + 1, end: at + 1, grows: false, leads_tuple });
    }

    /// Reads a part of a quoted string. Returns false if the string is already as long as its stored part may be.
    fn extend_quoted(&mut self, bytes: usize) -> bool {
        self.is_one_string &= bytes > 0;
        let is_kept = self.quoted.chars < self.chars_max;
        self.quoted.bytes += bytes;
        self.quoted.chars += usize::from(bytes > 0);
        self.quoted.is_cut |= !is_kept;
        is_kept
    }

    fn close_quoted(&mut self, at: usize) {
        if let Some(name) = &mut self.name {
            name.end = at;
            if self.header == Header::Name {
                let is_secret = self.text.stored(name.start, at).is_some_and(is_secret);
                self.header = Header::after_name(is_secret);
            }
        }
        self.previous = '"';
        if self.quoted.is_cut {
            let bytes = self.quoted.bytes;
            // This write counts as a step of the value, like all others.
            let _ended = write!(self.text, "… [{bytes} bytes, truncated]");
        }
    }

    fn structure(&mut self, character: char, at: usize) {
        self.is_one_string = false;
        if character.is_alphanumeric() || matches!(character, '_' | '-') {
            self.extend_name(at, at + character.len_utf8());
        } else {
            self.separator(character);
        }
    }

    fn separator(&mut self, character: char) {
        let follows_at_once = self.name.is_some_and(|name| name.grows);
        self.end_name();
        let leads_tuple = self.name.is_some_and(|name| name.leads_tuple);
        match character {
            ':' => self.mode = Mode::Value(Separator::Colon),
            '=' => self.mode = Mode::Value(Separator::Equals),
            '(' if follows_at_once => self.mode = Mode::Value(Separator::Parenthesis),
            '{' if self.name.is_some() => self.mode = Mode::Value(Separator::Brace),
            ',' if leads_tuple => self.mode = Mode::Value(Separator::Comma),
            _ if character.is_whitespace() => return,
            _ => {
                if character == '}' {
                    self.header = Header::None;
                }
                self.name = None;
            }
        }
        self.previous = character;
    }
}

/// Reads one character of a secret value. Returns `None` if the value ends before it.
fn continue_secret(character: char, class: Class, brackets: u32, end: End) -> Option<Mode> {
    let stays = Mode::Secret { brackets, end };
    let begun = if let End::Word { .. } = end { End::Word { has_begun: true } } else { end };
    let goes_on = Mode::Secret { brackets, end: begun };
    if class != Class::Structure {
        return Some(goes_on);
    }
    match character {
        '(' | '[' | '{' => Some(Mode::Secret { brackets: brackets + 1, end: begun }),
        ')' | ']' | '}' => Some(Mode::Secret { brackets: brackets.checked_sub(1)?, end: begun }),
        _ if brackets > 0 => Some(goes_on),
        ',' if end != End::Bracket => None,
        ';' | '&' if matches!(end, End::Word { .. }) => None,
        _ if character.is_whitespace() && end == (End::Word { has_begun: true }) => None,
        '=' | '>' => Some(stays),
        _ if character.is_whitespace() => Some(stays),
        _ => Some(goes_on),
    }
}

impl Write for Scanner<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.text.is_full() {
            return Err(self.text.refuse());
        }
        self.text.step()?;
        // The bytes from `from` to the current character are to be stored; they are stored together, before the next
        // character that is not.
        let (mut from, mut index) = (0, 0);
        while let Some(character) = piece.get(index..).and_then(|rest| rest.chars().next()) {
            let at = self.text.len() + (index - from);
            let run = self.skip_run(&piece.as_bytes()[index..], at);
            if run > 0 {
                index += run;
                continue;
            }
            let next = index + character.len_utf8();
            let (replayed, class) = self.lexer.read(character);
            if replayed.is_some() || matches!(self.mode, Mode::Value(_)) {
                self.text.store(&piece[from..index]);
                from = index;
            }
            let at = self.text.len() + (index - from);
            if let Some((before, class)) = replayed {
                self.read_character(before, class, at.saturating_sub(before.len_utf8()));
            }
            if !self.read_character(character, class, at) {
                self.text.store(piece.get(from..index).unwrap_or_default());
                from = next;
            }
            index = next;
            self.scanned += 1;
            if self.scanned > SCANNED_CHARS {
                self.text.fill();
            }
            if self.text.is_full() {
                break;
            }
        }
        self.text.store(piece.get(from..).unwrap_or_default());
        if self.text.is_full() { Err(fmt::Error) } else { Ok(()) }
    }
}
