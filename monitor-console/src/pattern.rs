//! Patterns over function names: `shop::pay`, `shop::*`, `*`.
//!
//! In comes what a user typed, judged as the recorder judges it; out come arguments for SQLite's
//! `GLOB`. Only `*` is special: what GLOB gives a meaning of its own (`?`, `[`) is taken literally, since
//! names such as `<[T] as Sort>::sort` contain it. A pattern without `*` also finds a function by its
//! last names (`insert`, `OrderBook::insert`); rates, in contrast, are matched by the whole name.

use std::str::FromStr;

use monitor_runtime::sampling;

/// A pattern that can match some name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(sampling::Pattern);

impl Pattern {
    /// As typed.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the pattern covers this whole name, as it does for a rate.
    pub(crate) fn is_whole(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// Whether it matches a name as the commands take it: as a whole, or its last segments.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        let ends = name.match_indices("::").map(|(at, _)| &name[at + 2..]);
        self.is_whole(name) || ends.into_iter().any(|end| self.is_whole(end))
    }

    /// The name, whole or by its end, for GLOB: a name is meant that matches one or the other.
    pub(crate) fn globs(&self) -> [String; 2] {
        let whole = self.as_str().replace('[', "[[]").replace('?', "[?]");
        let ending = if whole.contains('*') { whole.clone() } else { format!("*::{whole}") };
        [whole, ending]
    }
}

impl FromStr for Pattern {
    type Err = sampling::PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        sampling::Pattern::new(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn globs(text: &str) -> [String; 2] {
        text.parse::<Pattern>().unwrap().globs()
    }

    #[test]
    fn what_glob_treats_specially_is_taken_literally() {
        assert_eq!(globs("<[u8; 4] as Codec>::read")[0], "<[[]u8; 4] as Codec>::read");
    }

    #[test]
    fn a_plain_name_is_found_by_its_last_names_too() {
        assert_eq!(globs("OrderBook::insert"), ["OrderBook::insert", "*::OrderBook::insert"]);
        assert_eq!(globs("shop::*"), ["shop::*", "shop::*"]);
    }
}
