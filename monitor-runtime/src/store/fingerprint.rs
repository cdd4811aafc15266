//! Groups failures by kind.
//!
//! Takes a message; gives its pattern, and the fingerprint of function, outcome and pattern. The same text has the same
//! fingerprint in every run and version, and the pattern of a pattern is the pattern itself. It is pure.

use std::hash::Hasher as _;

use fnv::FnvHasher;

use crate::record::Outcome;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// The shortest run of hexadecimal digits that counts as an id although it has letters.
const HEX_DIGITS_MIN: usize = 8;

/// Returns the pattern of a message: each number, hexadecimal id and UUID becomes `#`, and each quoted text becomes `…`
/// between its quotes.
///
/// ```
/// use monitor_runtime::store::fingerprint::pattern;
/// assert_eq!(pattern("order 4711 of 'Miller' not found"), "order # of '…' not found");
/// ```
#[must_use]
pub fn pattern(message: &str) -> String {
    let mut pattern = String::with_capacity(message.len().min(PATTERN_BYTES_MAX));
    let mut rest = message.trim();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if pattern.len() >= PATTERN_BYTES_MAX {
            break;
        }
        if let Some(length) = quoted(rest, before) {
            pattern.extend([first, '…', first]);
            (rest, before) = (&rest[length..], first);
        } else if first.is_alphanumeric() {
            let length = word(rest);
            let text = &rest[..length];
            if is_id(text) {
                pattern.push('#');
            } else {
                push_word(&mut pattern, text);
            }
            (rest, before) = (&rest[length..], 'a');
        } else {
            pattern.push(first);
            (rest, before) = (&rest[first.len_utf8()..], first);
        }
    }
    // The last word may exceed the bound.
    let cut = (0..=PATTERN_BYTES_MAX.min(pattern.len())).rev().find(|at| pattern.is_char_boundary(*at));
    pattern.truncate(cut.unwrap_or(0));
    pattern
}

/// Stable id of a kind of failure, positive.
#[must_use]
pub fn fingerprint(function: &str, outcome: Outcome, pattern: &str) -> i64 {
    // FNV-1a: the standard library's hashers promise no stability between versions.
    let mut hasher = FnvHasher::default();
    hasher.write(function.as_bytes());
    hasher.write(&[0xff, outcome as u8]);
    hasher.write(pattern.as_bytes());
    (hasher.finish() >> 1).cast_signed()
}

/// Returns the message of a failure that has none of its own.
pub(crate) fn without_message(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok | Outcome::Error => "error",
        Outcome::Panic => "panic",
        Outcome::Cancelled => "cancelled",
    }
}

/// Returns the length of the quoted text that `rest` begins with. A quotation mark inside a word or after a `#` is an
/// apostrophe.
fn quoted(rest: &str, before: char) -> Option<usize> {
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'))?;
    if belongs_to_word(before) {
        return None;
    }
    let mut inside = rest[1..].char_indices().peekable();
    while let Some((at, char)) = inside.next() {
        let ends = inside.peek().is_none_or(|(_, next)| !belongs_to_word(*next));
        if char == quote && ends {
            return Some(at + 2);
        }
    }
    None
}

fn belongs_to_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '#' | '_')
}

/// Returns the length of the word that `rest` begins with. A hyphen before a letter or digit belongs to the word, so a
/// UUID is one word.
fn word(rest: &str) -> usize {
    let mut chars = rest.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let joins = char == '-' && chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(char.is_alphanumeric() || char == '_' || joins) {
            return at;
        }
    }
    rest.len()
}

fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let hyphens = word.bytes().filter(|byte| *byte == b'-').count();
    let prefixed =
        word.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits > 0 && (prefixed || (hexadecimal + hyphens == word.len() && hexadecimal >= HEX_DIGITS_MIN))
}

/// Appends a word that is not an id. Its letters stay, and its runs of digits become `#` (`row17` becomes `row#`).
fn push_word(pattern: &mut String, word: &str) {
    let mut in_number = false;
    for char in word.chars() {
        if !char.is_ascii_digit() {
            pattern.push(char);
        } else if !in_number {
            pattern.push('#');
        }
        in_number = char.is_ascii_digit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_varies_is_taken_out_and_what_names_the_failure_stays() {
        let cases = [
            ("order 4711 not found", "order # not found"),
            ("can't open '/tmp/a b' of `x`", "can't open '…' of `…`"),
            ("id 550e8400-e29b-41d4-a716-446655440000 gone", "id # gone"),
            ("at 0xdeadbeef1: bad", "at #: bad"),
            ("commit 9f8e7d6c5b4a done", "commit # done"),
            ("deadbeef is a word of letters", "deadbeef is a word of letters"),
            ("timeout after 3.5s (attempt 2/3)", "timeout after #.#s (attempt #/#)"),
            ("retry row17, utf-8 at src/lib.rs:10:5", "retry row#, utf-# at src/lib.rs:#:#"),
            ("unclosed 'quote 12", "unclosed 'quote #"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(pattern(message), expected, "{message}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_in_every_version() {
        assert_eq!(fingerprint("shop::pay", Outcome::Error, "card # refused"), 2_004_175_624_158_813_079);
        assert_ne!(
            fingerprint("shop::pay", Outcome::Panic, "x"),
            fingerprint("shop::pay", Outcome::Error, "x")
        );
    }

    proptest! {
        #[test]
        fn a_pattern_is_its_own_pattern(message in "[ -~…é'\"`0-9a-f-]{0,120}") {
            let once = pattern(&message);
            prop_assert_eq!(pattern(&once), once);
        }
    }
}
