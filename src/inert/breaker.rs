//! The state and figures of a circuit breaker, as the recorder gives them.

use std::fmt;
use std::time::Duration;

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Writes are let through.
    #[default]
    Closed,
    /// No write is let through.
    Open,
    /// A single write is permitted, to see whether the store is back.
    HalfOpen,
}

impl State {
    /// Returns the word for the state in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    /// Writes the state in capitals, as messages have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        })
    }
}

/// The state and figures of a breaker at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The state.
    pub state: State,
    /// The time for which the state has lasted.
    pub lasted: Duration,
    /// The reason for which a person holds the breaker, if one does.
    pub held: Option<String>,
    /// The time until the store is tried again, or `None` if the breaker is not open, or is held open.
    pub retry_in: Option<Duration>,
    /// The number of failures since the last success.
    pub consecutive_failures: u32,
    /// The number of writes that succeeded.
    pub successes: u64,
    /// The number of writes that failed.
    pub failures: u64,
    /// The number of times the breaker opened.
    pub openings: u64,
    /// The number of writes that were permitted, retries included.
    pub attempts: u64,
    /// The number of writes that were not permitted.
    pub blocked: u64,
    /// The number of attempts that followed an attempt without success.
    pub retries: u64,
    /// The number of retries within the last minute.
    pub retries_last_minute: u64,
    /// The reason of the last failure.
    pub last_failure: Option<String>,
}

impl Statistics {
    /// Returns the share of writes that succeeded, of those with a result; `None` before the first.
    #[must_use]
    pub fn success_share(&self) -> Option<f64> {
        share(self.successes, self.successes + self.failures)
    }

    /// Returns the share of writes that were not permitted, of those requested; `None` before the first.
    #[must_use]
    pub fn blocked_share(&self) -> Option<f64> {
        share(self.blocked, self.blocked + self.attempts)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Circuit breaker {}", self.state)?;
        if let Some(reason) = &self.held {
            write!(formatter, " - held: {reason}")
        } else if let Some(left) = self.retry_in {
            write!(formatter, " - {:.1}s until retry", left.as_secs_f64())
        } else {
            Ok(())
        }
    }
}
