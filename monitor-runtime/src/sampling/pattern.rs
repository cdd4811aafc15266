//! Patterns over function names. `*` matches any text, `::` included. Pure.
//!
//! Matching takes time linear in the lengths of pattern and name, whatever the pattern, because a pattern may
//! come from a row that someone wrote into the store.

use crate::limits;
use std::fmt;

/// A pattern such as `shop::*`, `*::insert` or `shop::orders::place`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

/// The reason why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// The text is empty.
    Empty,
    /// The text is longer than any function's path.
    TooLong,
    /// The text contains a character that no function name contains.
    Character {
        /// The pattern.
        pattern: String,
        /// The character.
        character: char,
    },
    /// The text contains colons that are not a path separator.
    SingleColon {
        /// The pattern.
        pattern: String,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(formatter, "a pattern is empty; `*` matches every function"),
            Self::TooLong => {
                write!(formatter, "a pattern is longer than {} bytes", limits::PATTERN_BYTES_MAX)
            }
            Self::Character { pattern, character } => write!(
                formatter,
                "the pattern `{}` holds `{}`; only `*` is special, and a name holds letters, digits, `_`, `::` and the signs of Rust types",
                pattern.escape_debug(),
                character.escape_debug()
            ),
            Self::SingleColon { pattern } => {
                write!(formatter, "the pattern `{pattern}` holds a single `:`; paths are separated by `::`")
            }
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Parses a pattern. Names given by the option `name` may hold `.`, `-`, `/` and spaces; names of
    /// methods of generic types hold `<`, `>`, `&` and so on.
    ///
    /// # Errors
    /// [`PatternError`] if the pattern can match no function.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > limits::PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        let allowed =
            |character: char| character.is_alphanumeric() || "_:*<>&'#.-/ ()[];@+".contains(character);
        if let Some(character) = text.chars().find(|&character| !allowed(character)) {
            return Err(PatternError::Character { pattern: text.into(), character });
        }
        if text.split(|character| character != ':').any(|colons| colons.len() % 2 == 1) {
            return Err(PatternError::SingleColon { pattern: text.into() });
        }
        Ok(Self { text: text.into() })
    }

    /// Returns the text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.text.split_once('*') else { return self.text == name };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(name) = name.strip_prefix(first) else { return false };
        let Some(mut name) = name.strip_suffix(last) else { return false };
        // Each piece is matched at its first occurrence: if the rest matches after a later occurrence, it also
        // matches after the first.
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            match name.find(piece) {
                Some(at) => name = &name[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_anything_anywhere() {
        for (pattern, name, expected) in [
            ("shop::pay", "shop::pay", true),
            ("shop::pay", "shop::pay_all", false),
            ("shop::pay", "my_shop::pay", false),
            ("shop::*", "shop::orders::OrderBook::insert", true),
            ("shop::*", "shop", false),
            ("*::insert", "shop::orders::OrderBook::insert", true),
            ("*::insert", "insert", false),
            ("shop::*::insert", "shop::orders::insert", true),
            ("shop::*::insert", "shop::insert", false),
            ("*order*", "shop::orders::insert", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "xabyabz", true),
            ("<shop::* as Drop>::drop", "<shop::Cart>::drop", false),
            ("<shop::*>::drop", "<shop::Cart>::drop", true),
            ("GET /orders", "GET /orders", true),
            ("größe*", "größen", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("  ", "empty"),
            ("shop::?", "only `*` is special"),
            ("shop::{a}", "only `*` is special"),
            ("shop\u{1b}", "\\u{1b}"),
            ("shop:*", "single `:`"),
            ("shop:::pay", "single `:`"),
        ] {
            let error = Pattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(Pattern::new(&"a".repeat(513)).unwrap_err(), PatternError::TooLong);
    }

    /// The definition, by recursion.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skipped| reference(rest, &name[skipped..])),
            Some((first, rest)) => name.first() == Some(first) && reference(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let expected = reference(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&name), expected);
        }
    }
}
