//! Texts in quotes, also within a text that is quoted itself, so that its quotes have backslashes before them.
//!
//! Takes the text at a quote, or the text that ends with one; gives the quote, or the place of what it encloses. The file
//! does not know which values are secret.

/// Returns the text without the quotes, backslashes and blanks at its end.
pub(super) fn without_quotes(text: &str) -> &str {
    text.trim_end_matches(['"', '\'', '\\', ' ', '\t'])
}

/// Returns the number of spaces and tabs that a text begins with.
pub(super) fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// A quote that opens a value, with the backslashes before it: the quotes within a quoted text have one, and those
/// within a text in such a text have three.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    quote: u8,
    backslashes: usize,
}

impl Opening {
    fn len(self) -> usize {
        self.backslashes + 1
    }
}

/// Returns the quote that a text begins with.
pub(super) fn opening(text: &str) -> Option<Opening> {
    let backslashes = text.bytes().take_while(|byte| *byte == b'\\').count();
    let quote = text.as_bytes().get(backslashes).copied();
    quote.filter(|quote| matches!(quote, b'"' | b'\'')).map(|quote| Opening { quote, backslashes })
}

/// Returns the quote that a text ends with, which may be that of a piece of code in a sentence.
pub(super) fn opening_before(text: &str) -> Option<Opening> {
    let backslashes = text.bytes().rev().skip(1).take_while(|byte| *byte == b'\\').count();
    let quote = text.bytes().next_back();
    quote.filter(|quote| matches!(quote, b'"' | b'\'' | b'`')).map(|quote| Opening { quote, backslashes })
}

/// Returns the length of the text up to the quote that closes it, or of the whole text if it was cut. A quote within
/// the value has more backslashes before it than the opening one.
pub(super) fn closing(text: &str, opening: Opening) -> usize {
    let mut run: usize = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escapes = run.saturating_sub(opening.backslashes) / opening.len();
        match byte {
            b'\\' => run += 1,
            _ if byte == opening.quote && escapes.is_multiple_of(2) => {
                return at - run.min(opening.backslashes);
            }
            _ => run = 0,
        }
    }
    text.len()
}

/// Finds the content of the quotes that follow, also behind the names of types and in a list: `"x"`, `\"x\"`,
/// `Some("x")`, `["x", "y"]`.
pub(super) fn quoted(text: &str, from: usize) -> Option<(usize, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let skip_space = |at: usize| text.len() - text[at..].trim_start().len();
    let mut start = from + blanks(&text[from..]);
    loop {
        let name = text[start..].bytes().take_while(is_part).count();
        if name == 0 || !text[start + name..].starts_with('(') {
            break;
        }
        start = skip_space(start + name + 1);
    }
    let is_list = text[start..].starts_with('[');
    if is_list {
        start = skip_space(start + 1);
    } else if text[start..].starts_with('b') {
        // The bytes of a text: `b"x"`.
        start += 1;
    }
    let opened = opening(&text[start..])?;
    let content = start + opened.len();
    let mut end = content + closing(&text[content..], opened);
    if !is_list {
        return Some((content, end));
    }
    // A list is taken with its quotes.
    let is_separator = |char: char| char == ',' || char.is_whitespace();
    loop {
        let after = text[end..].trim_start_matches('\\');
        let after = after.strip_prefix(char::from(opened.quote)).unwrap_or(after);
        let next = after.trim_start_matches(is_separator);
        match opening(next).filter(|_| next.len() < after.len()) {
            Some(opened) => {
                let content = text.len() - next.len() + opened.len();
                end = content + closing(&text[content..], opened);
            }
            None => return Some((start, text.len() - after.len())),
        }
    }
}
