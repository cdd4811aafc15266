//! Quoted words.
//!
//! Takes the text at a quotation mark; gives the quoted word that ends at its partner. Text in quotes that holds a
//! space is not taken, because it is part of the wording of the message. A mark after a letter is an apostrophe.

use super::piece::{Piece, belongs_to_word, peek};

/// Quotation marks and their partners.
const PAIRS: [(&str, &[&str]); 14] = [
    ("\\\"", &["\\\""]),
    ("\\'", &["\\'"]),
    ("\"", &["\""]),
    ("'", &["'"]),
    ("`", &["`", "'"]),
    ("“", &["”", "“"]),
    ("”", &["”"]),
    ("‘", &["’"]),
    ("„", &["“", "”"]),
    ("«", &["»"]),
    ("»", &["«"]),
    ("‹", &["›"]),
    ("「", &["」"]),
    ("『", &["』"]),
];

/// Returns true for quotation marks that begin a quote even behind a letter.
pub(super) fn is_no_apostrophe(char: char) -> bool {
    matches!(char, '“' | '„' | '«' | '‹' | '「' | '『')
}

/// Reads a quoted word. `written` is the pattern before it.
pub(super) fn read(rest: &str, before: char, written: &str) -> Option<Piece> {
    // The letter of `b"…"` and `r"…"` is part of the quote.
    let prefix = usize::from(rest.starts_with("b\"") || rest.starts_with("r\"") || rest.starts_with("b'"));
    let may_be_apostrophe = !rest.starts_with(is_no_apostrophe);
    if may_be_apostrophe && (belongs_to_word(before) || (prefix == 0 && before == '#')) {
        return None;
    }
    let rest = &rest[prefix..];
    let (open, closes) = PAIRS.iter().find(|(open, _)| rest.starts_with(open))?;
    let inside = peek(&rest[open.len()..]);
    let (length, close) = word(inside, closes, open.len() == 1)?;
    let end = open.len() + length + close.len();
    if *open == "\"" && is_key(&rest[end..], written) {
        return None;
    }
    Some(Piece { length: prefix + end, shown: format!("{open}…{close}") })
}

/// Returns the length of the word up to the closing mark, and that mark.
fn word<'a>(inside: &str, closes: &[&'a str], is_ascii: bool) -> Option<(usize, &'a str)> {
    let mut chars = inside.char_indices();
    while let Some((at, char)) = chars.next() {
        if char.is_whitespace() {
            return None;
        }
        if let Some(close) = closes.iter().find(|close| inside[at..].starts_with(**close)) {
            let after = inside[at + close.len()..].chars().next();
            if !is_ascii || after.is_none_or(|after| !belongs_to_word(after)) {
                return Some((at, close));
            }
        }
        if char == '\\' {
            chars.next();
        }
    }
    None
}

/// Returns true if a quoted word is the key of an entry in a JSON object, because a key is part of the wording of the
/// message. `after` is the text behind the word, and `written` the pattern before it.
fn is_key(after: &str, written: &str) -> bool {
    after.starts_with(':') && written.trim_end().ends_with(['{', ','])
}
