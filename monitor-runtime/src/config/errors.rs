//! The values that cannot be used: a warning about one from the environment or the settings file, after which the
//! program runs on with another value, and an error for one that the program gives to `init`.

use std::fmt;

/// A value that could not be used. The warning is printed once, on one line, and the program runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The variable that was set, or the file and its key.
    pub subject: String,
    /// The mistake, the allowed values and the value that is used instead.
    pub detail: String,
}

impl Warning {
    pub(crate) fn new(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), detail: detail.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "monitored: {}: {}", self.subject, self.detail)
    }
}

/// The reason why `init` was refused. The program runs on with the settings of the environment and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// Recording has begun: settings can no longer change.
    Started,
    /// A value is not allowed.
    Invalid {
        /// The setting.
        setting: &'static str,
        /// The value.
        value: String,
        /// The reason why the value is not allowed.
        reason: String,
        /// The allowed values.
        allowed: &'static str,
    },
}

impl fmt::Display for InitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(
                formatter,
                "recording has already started; call `init` before the first monitored call, and once"
            ),
            Self::Invalid { setting, value, reason, allowed } => {
                write!(formatter, "`{setting}`: {value} {reason}; allowed is {allowed}")
            }
        }
    }
}

impl std::error::Error for InitError {}
