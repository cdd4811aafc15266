//! Lists of rules `pattern=rate`. The last rule that matches a name wins. Pure.

use super::pattern::{Pattern, PatternError};
use crate::limits;
use std::fmt;

/// Rates by pattern. The last rule that matches a name wins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// `None` for a plain number, which matches every function.
    pattern: Option<Pattern>,
    rate: f64,
}

/// The reason why a text is not a list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleError {
    /// A pattern is wrong.
    Pattern(PatternError),
    /// A rate is not a number from 0 to 1.
    Rate(String),
    /// The list has too many rules.
    TooMany,
}

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(error) => error.fmt(formatter),
            Self::Rate(text) => {
                write!(formatter, "the rate `{}` is not a number from 0 to 1", text.escape_debug())
            }
            Self::TooMany => write!(formatter, "there are more than {} rules", limits::SAMPLING_RULES_MAX),
        }
    }
}

impl std::error::Error for RuleError {}

impl From<PatternError> for RuleError {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

impl fmt::Display for Rules {
    /// Writes the rules as a setting contains them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (pattern, rate)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match pattern {
                Some(pattern) => write!(formatter, "{comma}{pattern}={rate}")?,
                None => write!(formatter, "{comma}{rate}")?,
            }
        }
        if self.rules.is_empty() { formatter.write_str("1") } else { Ok(()) }
    }
}

impl Rules {
    /// Parses rules such as `1,shop::hot::*=0.001,shop::pay=1`: rates, each alone or after a pattern.
    ///
    /// # Errors
    /// [`RuleError`] for the first rule that is wrong.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut rules = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (pattern, rate) = match item.rsplit_once('=') {
                Some((pattern, rate)) => (Some(Pattern::new(pattern)?), rate.trim()),
                None => (None, item),
            };
            let parsed = rate.parse().map_err(|_| RuleError::Rate(rate.into()))?;
            rules.push(pattern, parsed)?;
        }
        Ok(rules)
    }

    /// Sets the rate of a pattern. The rule becomes the last one and replaces an earlier rule of the same
    /// pattern.
    ///
    /// # Errors
    /// [`RuleError`] if pattern or rate is wrong or the list is full.
    pub fn set(&mut self, pattern: &str, rate: f64) -> Result<(), RuleError> {
        let pattern = Pattern::new(pattern)?;
        check_rate(rate)?;
        self.rules.retain(|rule| rule.pattern.as_ref() != Some(&pattern));
        self.push(Some(pattern), rate)
    }

    /// Removes the rule with exactly this pattern; returns whether there was one.
    pub fn reset(&mut self, pattern: &str) -> bool {
        let before = self.rules.len();
        let pattern = pattern.trim();
        self.rules.retain(|rule| rule.pattern.as_ref().is_none_or(|known| known.as_str() != pattern));
        self.rules.len() < before
    }

    /// Returns the rate of the last rule that matches this name, or `None` if no rule does.
    #[must_use]
    pub fn rate(&self, name: &str) -> Option<f64> {
        self.matching(name).map(|(rate, _)| rate)
    }

    /// Returns the rate of the last rule that matches this name, and whether that rule has a pattern.
    pub(super) fn matching(&self, name: &str) -> Option<(f64, bool)> {
        let matches = |rule: &&Rule| rule.pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        self.rules.iter().rev().find(matches).map(|rule| (rule.rate, rule.pattern.is_some()))
    }

    /// Returns the rules in order: pattern (`None` for a plain number) and rate.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, f64)> {
        self.rules.iter().map(|rule| (rule.pattern.as_ref().map(Pattern::as_str), rule.rate))
    }

    fn push(&mut self, pattern: Option<Pattern>, rate: f64) -> Result<(), RuleError> {
        check_rate(rate)?;
        if self.rules.len() == limits::SAMPLING_RULES_MAX {
            return Err(RuleError::TooMany);
        }
        self.rules.push(Rule { pattern, rate });
        Ok(())
    }
}

fn check_rate(rate: f64) -> Result<(), RuleError> {
    if (0.0..=1.0).contains(&rate) { Ok(()) } else { Err(RuleError::Rate(rate.to_string())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;

    #[test]
    fn the_last_match_wins() {
        let rules = Rules::parse("1, shop::hot::*=0.001, shop::hot::pay = 1,").unwrap();
        assert_eq!(rules.rate("shop::cart"), Some(1.0));
        assert_eq!(rules.rate("shop::hot::spin"), Some(0.001));
        assert_eq!(rules.rate("shop::hot::pay"), Some(1.0));
        assert_eq!(rules.to_string(), "1,shop::hot::*=0.001,shop::hot::pay=1");
    }

    #[test]
    fn without_a_match_there_is_no_rate() {
        assert_eq!(Rules::parse("shop::*=0.5").unwrap().rate("bank::pay"), None);
        assert_eq!(Rules::parse("").unwrap().rate("bank::pay"), None);
    }

    #[test]
    fn wrong_rules_are_refused_with_the_reason() {
        for (text, reason) in [
            ("2", "the rate `2` is not a number from 0 to 1"),
            ("shop::*=-0.1", "the rate `-0.1`"),
            ("shop::*=fast", "the rate `fast`"),
            ("shop::*=NaN", "the rate `NaN`"),
            ("shop::*=", "the rate ``"),
            ("=1", "a pattern is empty"),
            ("shop:*=1", "single `:`"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let many = vec!["1"; limits::SAMPLING_RULES_MAX + 1].join(",");
        assert_eq!(Rules::parse(&many).unwrap_err(), RuleError::TooMany);
    }

    #[test]
    fn a_pattern_set_again_moves_to_the_end_and_reset_removes_it() {
        let mut rules = Rules::default();
        rules.set("shop::*", 0.1).unwrap();
        rules.set("*", 0.5).unwrap();
        assert_eq!(rules.rate("shop::pay"), Some(0.5));
        rules.set("shop::*", 0.2).unwrap();
        assert_eq!(rules.rate("shop::pay"), Some(0.2));
        assert_eq!(rules.iter().count(), 2);
        assert!(rules.reset(" shop::* ") && !rules.reset("shop::*"));
        assert_eq!(rules.rate("shop::pay"), Some(0.5));
        assert!(rules.set("shop::*", 1.5).is_err());
        assert_eq!(rules.iter().count(), 1);
    }
}
