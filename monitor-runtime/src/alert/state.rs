//! An alert as a program's own closure receives it.

use std::fmt;
use std::sync::Arc;

use super::rule::AlertLevel;

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlertState {
    /// The rule holds, and has held for long enough.
    Firing,
    /// The rule no longer holds, but has not stayed so for long enough.
    Recovering,
    /// The rule no longer holds, and has stayed so for long enough.
    Resolved,
}

impl AlertState {
    /// Returns the word for the state in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Recovering => "recovering",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An alert of this process that began, changed or ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alert {
    /// The name of the rule.
    pub rule: String,
    /// The name of the function; `None` for an alert on the recorder or the process, or on many functions.
    pub function: Option<Arc<str>>,
    /// The level of the alert: the highest level of the rule that fires.
    pub level: AlertLevel,
    /// The state of the alert.
    pub state: AlertState,
    /// The time at which the alert began to fire, in nanoseconds since the Unix epoch.
    pub since_ns: i64,
    /// The time at which the alert was resolved; `None` before.
    pub until_ns: Option<i64>,
    /// The last value of the measure.
    pub value: f64,
    /// The most extreme value of the measure since the rule began to hold.
    pub peak: f64,
    /// The alert in a sentence.
    pub sentence: String,
}
