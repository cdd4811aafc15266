//! The error of `init`.

use std::fmt;

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
