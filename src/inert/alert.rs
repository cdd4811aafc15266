//! Alerts, of which there are none.

use std::fmt;
use std::sync::Arc;

/// The urgency of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertLevel {
    /// The alert informs and needs no reaction.
    Info,
    /// The alert needs a look on the same day.
    Warning,
    /// The alert needs a look at once.
    Critical,
}

impl AlertLevel {
    /// All levels, the lowest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Returns the word for the level in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Returns the level with this name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

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
