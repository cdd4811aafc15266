//! The module that stands in for the recorder where there is none: its functions and types do nothing.
//!
//! It has the interface of the recorder, needs no other package, keeps no state and starts nothing. It is used without
//! the feature `record`, and on platforms without a recorder. A test of `monitor-runtime` holds the two interfaces
//! equal.

// The items have the recorder's signatures, even where an inert item needs less.
#![allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "the recorder's signatures are kept")]
#![allow(clippy::unnecessary_wraps, reason = "the recorder's signatures are kept")]

pub(crate) mod breaker;
pub(crate) mod capture;
pub(crate) mod config;
pub(crate) mod private;
pub(crate) mod record;

mod alert;
mod context;
mod health;
mod memory;
mod stream;

use std::fmt;
use std::time::Duration;

pub use alert::{Alert, AlertLevel, AlertState};
pub use context::{Context, WithContext};
pub use health::{Drops, FiringAlerts, Health, HealthPart, HealthStatus, Level};
pub use memory::{Part, PartMemory};
pub use monitor_macro::monitor;
pub use stream::{Record, Subscription};

use self::config::{Config, InitError};

/// Why a flush or a shutdown did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The timeout passed. Records that are not written yet still wait.
    Timeout(Duration),
    /// The store cannot be written at the moment, for the reason given.
    Unavailable(String),
}

impl fmt::Display for FlushError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(formatter, "not everything was written within {limit:?}"),
            Self::Unavailable(why) => write!(formatter, "the store cannot be written: {why}"),
        }
    }
}

impl std::error::Error for FlushError {}

/// Why a rate was refused. Without a recorder none is.
#[derive(Debug, Clone, PartialEq)]
pub struct RateError(());

impl fmt::Display for RateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing is recorded")
    }
}

impl std::error::Error for RateError {}

/// Does nothing, because there is no recorder.
///
/// # Errors
/// None.
pub fn init(config: Config) -> Result<(), InitError> {
    config.check()
}

/// Returns at once, because nothing waits to be written.
///
/// # Errors
/// None.
pub fn flush(timeout: Duration) -> Result<(), FlushError> {
    let _ = timeout;
    Ok(())
}

/// Returns at once, because nothing waits to be written.
///
/// # Errors
/// None.
pub fn shutdown(timeout: Duration) -> Result<(), FlushError> {
    let _ = timeout;
    Ok(())
}

/// Returns a report of level [`Level::Off`].
#[must_use]
pub fn health() -> Health {
    let off = vec!["recording: this build has no recorder".to_owned()];
    Health { level: Level::Off, off, ..Health::default() }
}

/// Returns a subscription that receives nothing.
pub fn subscribe(deliver: impl FnMut(&[Record]) + Send + 'static) -> Subscription {
    drop(deliver);
    Subscription::disconnected()
}

/// Returns a subscription that receives nothing.
pub fn alerts(deliver: impl FnMut(&Alert) + Send + 'static) -> Subscription {
    drop(deliver);
    Subscription::disconnected()
}

/// Does nothing, because nothing is sampled.
///
/// # Errors
/// None.
pub fn set_sample_rate(pattern: &str, rate: f64) -> Result<(), RateError> {
    let _ = (pattern, rate);
    Ok(())
}

/// Does nothing, because nothing is sampled.
///
/// # Errors
/// None.
pub fn reset_sample_rate(pattern: &str) -> Result<(), RateError> {
    let _ = pattern;
    Ok(())
}

/// A handle to the circuit breaker around the store's writes.
#[derive(Debug, Clone, Copy)]
pub struct BreakerHandle(());

/// Returns a handle to a breaker that stays closed.
#[must_use]
pub fn breaker() -> BreakerHandle {
    BreakerHandle(())
}

impl BreakerHandle {
    /// Returns the state, which is closed.
    #[must_use]
    pub fn state(&self) -> breaker::State {
        self.statistics().state
    }

    /// Returns the figures, which are zero.
    #[must_use]
    pub fn statistics(&self) -> breaker::Statistics {
        breaker::Statistics::default()
    }

    /// Does nothing, because nothing is written.
    pub fn force_open(&self, reason: &str) {
        let _ = reason;
    }

    /// Does nothing, because nothing is written.
    pub fn force_close(&self, reason: &str) {
        let _ = reason;
    }

    /// Does nothing, because nothing is written.
    pub fn auto(&self) {}
}
