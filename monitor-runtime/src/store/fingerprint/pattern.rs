//! The pattern of a message: what all messages of a kind have in common.
//!
//! Takes a message; gives a text of at most [`PATTERN_BYTES_MAX`] bytes in which placeholders stand for what varies:
//! `#` for numbers, times and ids, `…` for names, hosts, paths and quoted words. The time is linear in the message,
//! because every look ahead is bounded. The file does not know the function that failed.

use super::words::{self, Code, belongs_to_word, peek};
use super::{names, numbers};

/// The bytes of the longest pattern.
const PATTERN_BYTES_MAX: usize = 256;

/// The bytes of a longer pattern that are kept from its end, because a chain of errors names its cause last.
const END_BYTES: usize = 80;

/// Returns the pattern of a message.
///
/// ```
/// use monitor_runtime::store::fingerprint::pattern;
/// assert_eq!(pattern("order 4711 of 'Miller' not found"), "order # of '…' not found");
/// assert_eq!(pattern("GET https://a.example/b?c=d: status 503 after 1.5s"), "GET https://…: status 503 after #");
/// ```
#[must_use]
pub fn pattern(message: &str) -> String {
    let mut scan = Scan { rest: message.trim(), before: ' ', out: Output::default(), code: Code::No };
    while !scan.rest.is_empty() {
        scan.step();
    }
    shorten(scan.out.finish())
}

/// Cuts the middle out of a text that is too long.
fn shorten(text: String) -> String {
    if text.len() <= PATTERN_BYTES_MAX {
        return text;
    }
    let mut head = PATTERN_BYTES_MAX - END_BYTES - '…'.len_utf8();
    let mut tail = text.len() - END_BYTES;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}…{}", &text[..head], &text[tail..])
}

/// A message that is being read.
struct Scan<'a> {
    rest: &'a str,
    /// The character before `rest`.
    before: char,
    out: Output,
    code: Code,
}

impl Scan<'_> {
    /// Reads one piece of the message.
    fn step(&mut self) {
        let Some(first) = self.rest.chars().next() else { return };
        if let Some(length) = terminal_escape(self.rest) {
            self.rest = &self.rest[length..];
        } else if first.is_whitespace() {
            let rest = self.rest.trim_start();
            self.out.space();
            (self.rest, self.before) = (rest, ' ');
        } else if self.is_within_word(first) || !self.placeholder(first) {
            self.plain(first);
        }
    }

    /// Returns true if this character continues a word. Quotation marks that are no apostrophes never do, because some scripts
    /// have no spaces.
    fn is_within_word(&self, first: char) -> bool {
        belongs_to_word(self.before) && !names::is_no_apostrophe(first)
    }

    /// Reads a word, a code or a part that a placeholder replaces, and writes the word, the code or the placeholder.
    /// Returns false if none of them begins here.
    fn placeholder(&mut self, first: char) -> bool {
        let (rest, before) = (self.rest, self.before);
        if let Some(code) = self.code(first) {
            self.take(code);
            return true;
        }
        if let Some(found) = names::quote(rest, before, self.out.text()) {
            self.out.placeholder(&found.shown);
            self.advance(found.length);
            return true;
        }
        if let Some(found) = names::place(rest, before).or_else(|| numbers::read(rest, before)) {
            self.out.placeholder(&found.shown);
            self.advance(found.length);
            self.code = Code::No;
            return true;
        }
        if first.is_alphanumeric() || first == '_' || first == '%' {
            return self.word();
        }
        if first == '?' && matches!(before, '(' | ' ' | '=') && rest[1..].starts_with([',', ')']) {
            self.out.placeholder("?");
            self.advance(1);
            return true;
        }
        false
    }

    fn word(&mut self) -> bool {
        let word = words::take(self.rest);
        if word.is_empty() {
            return false;
        }
        let shown = words::shown(word);
        let is_placeholder = shown == "#";
        if is_placeholder {
            self.out.placeholder(&shown);
        } else {
            self.out.word(&shown);
        }
        self.code = words::announces(word, self.code);
        self.advance(word.len());
        if is_placeholder {
            // The padding of base64.
            let padding = self.rest.len() - self.rest.trim_start_matches('=').len();
            if padding <= 2 && !self.rest[padding..].starts_with(belongs_to_word) {
                self.rest = &self.rest[padding..];
            }
        }
        true
    }

    /// Returns the length of the code that comes next, if one is announced.
    fn code(&self, first: char) -> Option<usize> {
        if matches!(self.code, Code::No | Code::Refused) || !first.is_ascii_alphanumeric() {
            return None;
        }
        words::code(self.rest, self.code)
    }

    /// Copies a piece of the message.
    fn take(&mut self, length: usize) {
        self.out.word(&self.rest[..length]);
        self.advance(length);
        self.code = Code::No;
    }

    fn plain(&mut self, first: char) {
        if first == ':'
            && self.code == Code::Announced
            && self.out.text().to_ascii_lowercase().ends_with("error")
        {
            self.code = Code::AfterColon;
        } else if !matches!(first, ':' | '=' | '(' | '[' | '#' | '-' | '"' | '\'' | '<' | '/') {
            self.code = Code::No;
        }
        self.out.mark(first);
        self.advance(first.len_utf8());
    }

    fn advance(&mut self, length: usize) {
        self.before = self.rest[..length].chars().next_back().unwrap_or(' ');
        self.rest = &self.rest[length..];
    }
}

/// Returns the length of the control sequence of a terminal that the text begins with.
fn terminal_escape(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("\u{1b}[")?;
    let end = peek(inside).find(|char: char| ('@'..='~').contains(&char))?;
    Some(2 + end + 1)
}

/// A part of the text, from byte `start` up to byte `end`.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
}

/// The pattern so far. Placeholders that follow each other as a list are joined into one: `[#, #, #]`, `IN (#, #)` and
/// `('…', #), ('…', #)` have the same text whatever their lengths.
#[derive(Debug, Default)]
struct Output {
    text: String,
    /// The last placeholder, or the last bracketed group that holds only a placeholder.
    last: Option<Part>,
    /// The last bracketed group that holds only a placeholder.
    group: Option<Part>,
}

impl Output {
    fn text(&self) -> &str {
        &self.text
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }

    /// Writes one space for any white space.
    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    /// Writes a mark of punctuation. A closing bracket may end a group.
    fn mark(&mut self, mark: char) {
        self.text.push(mark);
        let open = match mark {
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => return,
        };
        let Some(inner) = self.last else { return };
        let before = &self.text[..inner.start];
        if inner.end + 1 != self.text.len() || !before.ends_with(open) {
            return;
        }
        let group = Part { start: inner.start - 1, end: self.text.len() };
        if let Some(last) = self.group.filter(|last| last.end <= group.start)
            && is_separator(&self.text[last.end..group.start])
        {
            self.text.truncate(last.end);
            self.last = Some(last);
            return;
        }
        self.group = Some(group);
        self.last = Some(group);
    }

    /// Writes a placeholder, unless it continues a list.
    fn placeholder(&mut self, shown: &str) {
        if let Some(last) = self.last
            && is_separator(&self.text[last.end..])
        {
            self.text.truncate(last.end);
            return;
        }
        let start = self.text.len();
        self.text.push_str(shown);
        self.last = Some(Part { start, end: self.text.len() });
    }
}

/// Returns true for the text between two items of a list.
fn is_separator(between: &str) -> bool {
    let inner = between.trim();
    let is_wide = inner.len() < between.len();
    match inner {
        "" | "and" | "or" | "&" => is_wide,
        "," | ";" | "|" | ", and" | ", or" => true,
        _ => false,
    }
}
