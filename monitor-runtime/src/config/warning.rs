//! The warning about a value that could not be used.

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
