//! The reason for which a call behind a guard has no answer.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The reason for which a call behind a guard has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why<E> {
    /// The call was not made, because the breaker is open.
    Open {
        /// Name of the guard.
        guard: &'static str,
        /// Time until the next try.
        retry_in: Duration,
        /// Reason of the last failure, if there was one.
        last: Option<String>,
    },
    /// The call was not made, because another call tries whether the part is back.
    Trying {
        /// Name of the guard.
        guard: &'static str,
        /// Reason of the last failure, if there was one.
        last: Option<String>,
    },
    /// The call was not made, because a person holds the breaker open.
    Held {
        /// Name of the guard.
        guard: &'static str,
        /// Reason that the person gave.
        reason: String,
    },
    /// The call was made, and failed.
    Failed(E),
}

impl<E> Why<E> {
    /// Returns true if the call was not made.
    #[must_use]
    pub const fn is_rejection(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }

    /// Returns the error of a call that was made.
    #[must_use]
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Open { .. } | Self::Trying { .. } | Self::Held { .. } => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Why<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = match self {
            Self::Open { guard, retry_in, last } => {
                write!(formatter, "{guard} is open: {:.1} s until the next try", retry_in.as_secs_f64())?;
                last
            }
            Self::Trying { guard, last } => {
                write!(formatter, "{guard} is half open: another call tries")?;
                last
            }
            Self::Held { guard, reason } => return write!(formatter, "{guard} is held open: {reason}"),
            Self::Failed(error) => return write!(formatter, "{error}"),
        };
        last.as_ref().map_or(Ok(()), |last| write!(formatter, " (last: {last})"))
    }
}

impl<E: Error + 'static> Error for Why<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Open { .. } | Self::Trying { .. } | Self::Held { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_when_the_next_try_is_and_what_failed_last() {
        let last = Some("connection refused".to_owned());
        let retry_in = Duration::from_millis(25_300);
        let open = Why::<String>::Open { guard: "rates", retry_in, last: last.clone() };
        assert_eq!(open.to_string(), "rates is open: 25.3 s until the next try (last: connection refused)");
        let trying = Why::<String>::Trying { guard: "rates", last: None };
        assert_eq!(trying.to_string(), "rates is half open: another call tries");
        let held = Why::<String>::Held { guard: "rates", reason: "maintenance".to_owned() };
        assert_eq!(held.to_string(), "rates is held open: maintenance");
        assert_eq!(Why::Failed("timeout").to_string(), "timeout");
        assert!(open.is_rejection() && held.is_rejection() && !Why::Failed(1).is_rejection());
    }
}
