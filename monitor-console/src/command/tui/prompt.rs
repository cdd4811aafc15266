//! The prompts for a filter, a rate and the hold of a breaker. They are pure functions of what a person types.

use monitor_runtime::sampling::PatternError;

use crate::model::activity::RateReport;
use crate::pattern::Pattern;
use crate::units;

/// The most characters of a typed text.
const CHARACTERS_MAX: usize = 300;

/// A line that is typed, with the cursor at its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line(pub(super) String);

impl Line {
    /// Adds a character; controls and what lies beyond the bound are ignored.
    pub(super) fn add(&mut self, character: char) {
        if !crate::terminal::is_unsafe(character) && self.0.chars().count() < CHARACTERS_MAX {
            self.0.push(character);
        }
    }
    /// Removes the last character.
    pub(super) fn remove_last(&mut self) {
        self.0.pop();
    }
    /// Removes the last word.
    pub(super) fn remove_word(&mut self) {
        let kept = self.0.trim_end().rfind([' ', ':']).map_or(0, |at| at + 1);
        self.0.truncate(if kept == self.0.len() { 0 } else { kept });
    }
    /// Returns the functions that the line selects as a filter, `None` for all, or a sentence that says what is wrong.
    pub(super) fn parse_filter(&self) -> Result<Option<Pattern>, String> {
        let pattern = match self.0.trim() {
            "" => return Ok(None),
            text if text.contains('*') => text.parse(),
            // A text without `*` is part of a name, so that the list narrows with each letter.
            text => format!("*{text}*").parse(),
        };
        pattern.map(Some).map_err(|error: PatternError| error.to_string())
    }
}

/// A question to the person.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Prompt {
    /// The functions to show.
    Filter(Line),
    /// The rate of functions.
    Rate(RatePrompt),
    /// The state in which breakers are held.
    Hold(HoldPrompt),
}

/// The rate of functions, while it is typed and confirmed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RatePrompt {
    /// The pattern over whole names.
    pub(super) pattern: Line,
    /// The rate.
    pub(super) rate: Line,
    /// True while the pattern is edited, false while the rate is.
    pub(super) is_on_pattern: bool,
    /// True once everything is typed and only the confirmation is missing.
    pub(super) is_confirming: bool,
}

impl RatePrompt {
    /// Returns the pattern and the rate, or a sentence that says what is wrong.
    pub(super) fn parse(&self) -> Result<(Pattern, f64), String> {
        let pattern = self.pattern.0.trim().parse::<Pattern>().map_err(|error| error.to_string())?;
        Ok((pattern, units::parse_rate(self.rate.0.trim())?))
    }
    /// Returns the line that is edited.
    pub(super) fn line(&mut self) -> &mut Line {
        if self.is_on_pattern { &mut self.pattern } else { &mut self.rate }
    }
}

/// The hold of breakers, while it is chosen and confirmed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HoldPrompt {
    /// The state in which they are held; `None` before it is chosen.
    pub(super) hold: Option<&'static str>,
    /// The reason.
    pub(super) reason: Line,
}

/// The effect of a rate, as far as the reports of running processes show it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Preview {
    /// The functions that the pattern matches.
    pub(super) functions: usize,
    /// The rows a second that the matching functions write now.
    pub(super) rows_now: f64,
    /// The rows a second that the matching functions would write.
    pub(super) rows_then: f64,
}

/// Estimates the effect of a rate: each call of a function gets a row with the probability of the rate.
pub(super) fn preview(rates: &[RateReport], pattern: &Pattern, rate: f64) -> Preview {
    let mut names: Vec<&str> = Vec::new();
    let mut preview = Preview::default();
    for report in rates.iter().filter(|report| pattern.is_whole_match(&report.function)) {
        names.push(&report.function);
        preview.rows_now += report.rows_per_s;
        preview.rows_then += report.calls_per_s * rate;
    }
    names.sort_unstable();
    names.dedup();
    preview.functions = names.len();
    preview
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_preview_counts_rows_of_matching_functions_in_all_processes() {
        let report = |function: &str, calls_per_s, rows_per_s| RateReport {
            function: function.to_owned(),
            calls_per_s,
            rows_per_s,
            ..RateReport::default()
        };
        let rates = [
            report("shop::pay", 1000.0, 1000.0),
            report("shop::pay", 200.0, 200.0),
            report("shop::list", 50.0, 5.0),
        ];
        let seen = |pattern: &str| preview(&rates, &pattern.parse().unwrap(), 0.1);
        assert_eq!(seen("shop::pay"), Preview { functions: 1, rows_now: 1200.0, rows_then: 120.0 });
        assert_eq!(seen("shop::*").functions, 2);
        // The pattern of a rate is compared with whole names.
        assert_eq!(seen("pay"), Preview::default());
    }

    #[test]
    fn a_line_takes_no_controls_and_loses_words() {
        let mut line = Line("shop::orders::place".to_owned());
        line.add('\u{1b}');
        line.add('\u{202e}');
        line.remove_word();
        assert_eq!(line.0, "shop::orders::");
        line.remove_word();
        line.add('x');
        assert_eq!(line.0, "x");
    }

    #[test]
    fn a_rate_that_is_refused_says_what_is_allowed() {
        let prompt = |pattern: &str, rate: &str| RatePrompt {
            pattern: Line(pattern.to_owned()),
            rate: Line(rate.to_owned()),
            ..RatePrompt::default()
        };
        assert!(prompt("shop::*", "0.5").parse().is_ok());
        assert!(prompt("shop::*", "2").parse().unwrap_err().contains("between 0"));
        assert!(prompt("", "0.5").parse().is_err());
    }
}
