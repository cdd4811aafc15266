//! Patterns over function names: `shop::pay`, `shop::*`, `*`.
//!
//! A pattern is parsed from the command line by the recorder's own rules and becomes arguments for SQLite's
//! `GLOB`. Only `*` is special. The other special characters of GLOB (`?`, `[`) are escaped, because names
//! such as `<[T] as Sort>::sort` contain them. A pattern without `*` also selects functions by the last
//! segments of their name (`insert`, `OrderBook::insert`); the pattern of a sampling rate is always compared
//! with the whole name.

use std::str::FromStr;

use monitor_runtime::sampling;

/// A choice of functions: a pattern that at least one name can match, or one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Choice);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The functions that a pattern of the command line selects.
    Typed(sampling::Pattern),
    /// The function with exactly this name, which may hold characters that no typed pattern has.
    Exact(String),
}

impl Pattern {
    /// Returns the pattern that selects the function with exactly this name and no other.
    pub(crate) fn exact(name: &str) -> Self {
        Self(Choice::Exact(name.to_owned()))
    }

    /// Returns the name if the pattern selects exactly one.
    pub(crate) fn exact_name(&self) -> Option<&str> {
        match &self.0 {
            Choice::Typed(_) => None,
            Choice::Exact(name) => Some(name),
        }
    }

    /// Returns the pattern as it was typed, or the exact name.
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Choice::Typed(pattern) => pattern.as_str(),
            Choice::Exact(name) => name,
        }
    }

    /// Returns true if the pattern matches the whole name, as the pattern of a sampling rate must.
    pub(crate) fn is_whole_match(&self, name: &str) -> bool {
        match &self.0 {
            Choice::Typed(pattern) => pattern.matches(name),
            Choice::Exact(own) => own == name,
        }
    }

    /// Returns true if the pattern matches the name or its last segments, as the reading commands select.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        if self.exact_name().is_some() {
            return self.is_whole_match(name);
        }
        let mut endings = name.match_indices("::").map(|(at, _)| &name[at + 2..]);
        self.is_whole_match(name) || endings.any(|ending| self.is_whole_match(ending))
    }

    /// Returns two arguments for GLOB; a name is selected if either matches: the first compares the whole
    /// name, the second its last segments.
    pub(crate) fn to_globs(&self) -> [String; 2] {
        if let Some(name) = self.exact_name() {
            return to_exact_globs(name);
        }
        let whole = escape(self.as_str());
        let ending = if whole.contains('*') { whole.clone() } else { format!("*::{whole}") };
        [whole, ending]
    }
}

/// Returns the two arguments for GLOB that select the functions with exactly this name.
pub(crate) fn to_exact_globs(name: &str) -> [String; 2] {
    let whole = escape(name).replace('*', "[*]");
    [whole.clone(), whole]
}

/// Escapes the characters that GLOB knows and patterns do not.
fn escape(text: &str) -> String {
    text.replace('[', "[[]").replace('?', "[?]")
}

/// Returns the two arguments for GLOB, or two NULLs without a pattern, which select every function.
pub(crate) fn to_optional_globs(pattern: Option<&Pattern>) -> [Option<String>; 2] {
    pattern.map(|pattern| pattern.to_globs().map(Some)).unwrap_or_default()
}

impl FromStr for Pattern {
    type Err = sampling::PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        sampling::Pattern::new(text).map(|pattern| Self(Choice::Typed(pattern)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn globs(text: &str) -> [String; 2] {
        text.parse::<Pattern>().unwrap().to_globs()
    }

    #[test]
    fn what_glob_treats_specially_is_taken_literally() {
        assert_eq!(globs("<[u8; 4] as Codec>::read")[0], "<[[]u8; 4] as Codec>::read");
    }

    #[test]
    fn an_exact_name_selects_itself_alone() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let is_selected = |name: &str, other: &str| {
            let pattern = Pattern::exact(name);
            let is_globbed = pattern.to_globs().iter().any(|glob| {
                db.query_row("SELECT ?1 GLOB ?2", [other, glob], |row| row.get::<_, bool>(0)).unwrap()
            });
            assert_eq!(pattern.is_match(other), is_globbed, "{name}, {other}");
            is_globbed
        };
        for name in ["pay", "shop::pay", "<[u8; 4] as Codec>::read", "a*b", "is?it", "[*]"] {
            assert!(is_selected(name, name), "{name}");
            for other in ["shop::pay::pay", "<u as Codec>::read", "axb", "is!it", "*", "x"] {
                assert!(!is_selected(name, other), "{name} selects {other}");
            }
        }
    }

    #[test]
    fn a_plain_name_is_found_by_its_last_names_too() {
        assert_eq!(globs("OrderBook::insert"), ["OrderBook::insert", "*::OrderBook::insert"]);
        assert_eq!(globs("shop::*"), ["shop::*", "shop::*"]);
    }
}
