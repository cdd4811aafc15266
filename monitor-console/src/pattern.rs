//! Patterns over function names: `shop::pay`, `shop::*`, `*`.
//!
//! In comes what a user typed; out come arguments for SQLite's `GLOB`. Only `*` is special: what GLOB
//! gives a meaning of its own (`?`, `[`) is taken literally, since names such as `<[T] as Sort>::sort`
//! contain it. A pattern without `*` also finds a function by its last names (`insert`,
//! `OrderBook::insert`); rates, in contrast, are matched by the whole name.

use std::str::FromStr;

/// Longest pattern taken: no function name is that long, and the store bounds them as well.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern that can match some name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// As typed.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole name, for GLOB.
    pub(crate) fn whole(&self) -> String {
        let mut glob = String::with_capacity(self.0.len() + 8);
        for character in self.0.chars() {
            match character {
                '?' => glob.push_str("[?]"),
                '[' => glob.push_str("[[]"),
                other => glob.push(other),
            }
        }
        glob
    }

    /// The last names, for GLOB; the same as [`Pattern::whole`] where the pattern has a `*`.
    pub(crate) fn ending(&self) -> String {
        if self.0.contains('*') { self.whole() } else { format!("*::{}", self.whole()) }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern is a function name such as `shop::pay`, with `*` for anything".to_owned());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"));
        }
        // `<Map<K, V> as Codec>::read` has a comma; outside of `<…>` it is a slip for MONITOR_SAMPLE's list.
        let generic = text.contains('<');
        let is_odd = |c: char| c.is_control() || matches!(c, '"' | '\\') || (!generic && matches!(c, ',' | '='));
        if let Some(odd) = text.chars().find(|c| is_odd(*c)) {
            let odd = crate::terminal::escape(&odd.to_string()).into_owned();
            return Err(format!("`{odd}` occurs in no function name; use names, `::` and `*`"));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err("a pattern neither begins nor ends with a space".to_owned());
        }
        if has_single_colon(text) {
            return Err("names are joined by `::`, as in `shop::orders::*`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether a run of colons other than exactly two occurs.
fn has_single_colon(text: &str) -> bool {
    let mut run = 0;
    for character in text.chars().chain([' ']) {
        match (character, run) {
            (':', _) => run += 1,
            (_, 0 | 2) => run = 0,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_glob_treats_specially_is_taken_literally() {
        let pattern: Pattern = "<[u8; 4] as Codec>::read?".parse().unwrap();
        assert_eq!(pattern.whole(), "<[[]u8; 4] as Codec>::read[?]");
    }

    #[test]
    fn a_plain_name_is_found_by_its_last_names() {
        let pattern: Pattern = "OrderBook::insert".parse().unwrap();
        assert_eq!(pattern.ending(), "*::OrderBook::insert");
        assert_eq!("shop::*".parse::<Pattern>().unwrap().ending(), "shop::*");
    }

    #[test]
    fn what_no_name_contains_is_refused() {
        for bad in ["", "a:b", "a:::b", "shop::x=1", "a,b", "a\nb", " a", "a\\b", &"x".repeat(600)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
        for good in ["*", "shop::*", "*::insert", "<T as X<A, B>>::y", "a::{closure#0}", "é::ü", "&mut T::f"] {
            assert!(good.parse::<Pattern>().is_ok(), "{good:?}");
        }
    }
}
