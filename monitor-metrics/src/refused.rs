//! Values and series that are not recorded, counted by reason.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::REFUSED_NAMES_MAX;

/// Values that are no finite numbers.
static NOT_FINITE: AtomicU64 = AtomicU64::new(0);
/// Values of histograms below zero.
static NEGATIVE: AtomicU64 = AtomicU64::new(0);

/// Returns true if a value can be recorded, and counts it otherwise.
pub(crate) fn is_finite(value: f64) -> bool {
    let is_finite = value.is_finite();
    if !is_finite {
        NOT_FINITE.fetch_add(1, Ordering::Relaxed);
    }
    is_finite
}

/// Returns true if a histogram can take these values, and counts them otherwise.
pub(crate) fn is_measure(value: f64, times: u64) -> bool {
    let counter = match value {
        value if !value.is_finite() => &NOT_FINITE,
        value if value < 0.0 => &NEGATIVE,
        _ => return true,
    };
    counter.fetch_add(times, Ordering::Relaxed);
    false
}

/// Returns the values that were refused, each reason with their number.
pub(crate) fn values() -> [(&'static str, u64); 2] {
    [("not_finite", NOT_FINITE.load(Ordering::Relaxed)), ("negative", NEGATIVE.load(Ordering::Relaxed))]
}

/// The reason for which a series is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The name of the series, or the name of a tag, is empty or too long.
    Name,
    /// The series has too many tags.
    Tags,
    /// There are too many series.
    Series,
    /// There is no memory for the series.
    Memory,
}

impl Reason {
    /// Returns the word in the tag `reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tags => "tags",
            Self::Series => "series",
            Self::Memory => "memory",
        }
    }

    /// Returns the reason in words.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Name => "a name is empty or longer than 256 bytes",
            Self::Tags => "it has more than 16 tags",
            Self::Series => "the process has 10 000 series already; is there an id in a tag?",
            Self::Memory => "the share of metrics in MONITOR_MAX_MEMORY is used up",
        }
    }
}

/// The series that were asked for and refused, by name of the metric.
#[derive(Debug, Default)]
pub(crate) struct RefusedSeries {
    counts: HashMap<(String, Reason), u64>,
    /// The first refusal, until it is reported.
    first: Option<(String, Reason)>,
    is_told: bool,
}

impl RefusedSeries {
    /// Counts that a series of this metric was refused.
    pub(crate) fn add(&mut self, name: &str, reason: Reason) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.first = Some((name.to_owned(), reason));
        }
        let key = (name.to_owned(), reason);
        let key = if self.counts.len() < REFUSED_NAMES_MAX || self.counts.contains_key(&key) {
            key
        } else {
            ("other".to_owned(), reason)
        };
        *self.counts.entry(key).or_default() += 1;
    }

    /// Returns the first refusal; `None` once it has been returned.
    pub(crate) fn take_first(&mut self) -> Option<(String, Reason)> {
        self.first.take()
    }

    /// Returns the number of refusals by name and reason.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, Reason, u64)> {
        self.counts.iter().map(|((name, reason), count)| (name.as_str(), *reason, *count))
    }

    /// Returns the number of all refusals.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_name_up_to_a_bound_and_the_first_one_is_told() {
        let mut refused = RefusedSeries::default();
        for at in 0..REFUSED_NAMES_MAX + 50 {
            refused.add(&format!("metric{at}"), Reason::Series);
            refused.add("metric7", Reason::Series);
        }
        let count = |name| refused.counts().find(|(known, ..)| *known == name).map(|(.., count)| count);
        assert_eq!(count("metric7"), Some(REFUSED_NAMES_MAX as u64 + 51));
        assert_eq!(count("other"), Some(50));
        assert_eq!(refused.total(), 2 * (REFUSED_NAMES_MAX as u64 + 50));
        assert_eq!(refused.take_first(), Some(("metric0".to_owned(), Reason::Series)));
        refused.add("another", Reason::Tags);
        assert_eq!(refused.take_first(), None);
    }
}
