//! The recorder's report of itself, as `health()` returns it.
//!
//! It holds counters, sizes and the service level. The level follows from whether the store takes batches, and from how
//! full the memory for waiting records is. It does not know who counts.

mod status;

use std::fmt;
use std::path::PathBuf;

pub use status::{HealthPart, HealthStatus};

use super::breaker;
use crate::accountant::PartMemory;

/// The service level of the recorder: how much it records at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything is recorded as requested.
    #[default]
    Full,
    /// The store cannot be written, so records wait in memory.
    Degraded,
    /// The memory for waiting records is nearly used up, so the oldest `ok` calls lose their rows. Failures and counts
    /// are kept.
    Minimal,
    /// Nothing is recorded.
    Off,
}

impl Level {
    /// Returns the word that is used in the store and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Degraded => "degraded",
            Self::Minimal => "minimal",
            Self::Off => "off",
        }
    }

    /// Returns the next level, and the reason. `is_taken` is true if the store takes batches; `pressure` is how full
    /// the memory for waiting records is, 0 to 1. `Off` is final. Between two thresholds a level stays as it is, so
    /// that it does not flicker.
    #[must_use]
    pub(crate) fn next(self, is_taken: bool, pressure: f64) -> (Self, &'static str) {
        if self == Self::Off {
            return (Self::Off, "recording has ended");
        }
        let limit = if self == Self::Minimal { PRESSURE_LOW } else { PRESSURE_HIGH };
        match is_taken {
            _ if pressure > limit => (Self::Minimal, "the memory for waiting records is nearly used up"),
            false => (Self::Degraded, "the store cannot be written"),
            true => (Self::Full, "the store is written"),
        }
    }
}

/// The share of its bound above which the backlog is about to evict.
const PRESSURE_HIGH: f64 = 0.7;
/// The share below which a backlog that was nearly full counts as emptied.
const PRESSURE_LOW: f64 = 0.3;

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The calls that should have had a row and have none, by reason. Each is counted all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The thread's ring was full.
    pub ring_full: u64,
    /// The backlog was full, because the store was down.
    pub backlog: u64,
    /// There was no memory for a ring of the thread.
    pub no_ring: u64,
    /// The store could not take the row.
    pub store: u64,
    /// The call passed through: it was made in a signal handler that interrupted the recorder, or on a thread for which
    /// there was no memory. Whether it failed is not known.
    pub passed: u64,
}

impl Drops {
    /// Returns the sum over all reasons.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ring_full + self.backlog + self.no_ring + self.store + self.passed
    }
}

/// The alerts of this process that fire, by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FiringAlerts {
    /// The alerts of level `critical`.
    pub critical: u64,
    /// The alerts of level `warning`.
    pub warning: u64,
    /// The alerts of level `info`.
    pub info: u64,
}

/// The recorder's report of itself, made in its last step. The report is at most a drain interval old under load, two
/// seconds with little load, and five seconds at rest.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// The service level.
    pub level: Level,
    /// The number of calls recorded since start.
    pub recorded: u64,
    /// The number of calls that have no row because of sampling.
    pub sampled_out: u64,
    /// The number of calls that lost their row.
    pub dropped: Drops,
    /// The number of log lines that are lost: their ring or the backlog was full, the store refused them, or they were
    /// written by code that interrupted the recorder.
    pub dropped_logs: u64,
    /// The number of failed calls that are counted by kind instead of stored one by one, because there was no room.
    pub folded_errors: u64,
    /// The number of values whose `Debug` or `Serialize` panicked while they were captured.
    pub capture_panics: u64,
    /// The number of call sites of spans that are not recorded, because there are too many of them.
    pub sites_refused: u64,
    /// The number of spans that have begun and not ended.
    pub open_spans: u64,
    /// The bytes that wait in rings and backlog.
    pub queue_bytes: u64,
    /// The bytes that all parts of the recorder may hold together.
    pub queue_bytes_max: u64,
    /// The memory that each part of the recorder holds, as far as its size depends on load.
    pub memory: Vec<PartMemory>,
    /// The state and figures of the circuit breaker around the store.
    pub breaker: breaker::Statistics,
    /// The state and figures of the circuit breaker of each in-process subscriber. Failures of a subscriber do not
    /// count as failures of the store.
    pub subscribers: Vec<breaker::Statistics>,
    /// The alerts that fire, those that are recovering included.
    pub alerts: FiringAlerts,
    /// The number of writes that failed since start.
    pub writer_errors: u64,
    /// The number of batches that were sent again and turned out to be committed already.
    pub duplicates_avoided: u64,
    /// The number of rows written since start.
    pub rows_written: u64,
    /// The bytes of the content of these rows.
    pub bytes_written: u64,
    /// The size of the database file, in bytes.
    pub db_bytes: u64,
    /// The size of the database's write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// The path of the store, or `None` while it is in memory or not open.
    pub store: Option<PathBuf>,
    /// The CPU time of the recorder's thread, in percent of one core, over at most the last ten seconds.
    pub own_cpu_pct: f64,
    /// The cost of a recorded call without values to its caller, in nanoseconds, measured at start.
    pub overhead_ns_per_call: f64,
    /// The cost of recording in the last second, on callers' threads and on the recorder's own, in percent of one core.
    pub cost_pct: f64,
    /// The part of `cost_pct` that does not depend on calls and rows: the recorder's wake-ups and transactions.
    pub fixed_pct: f64,
    /// The cost that is saved because functions are recorded less than requested, in percent of one core.
    pub saved_pct: f64,
    /// The cost that recording may have, in percent of one core: the larger of `MONITOR_MAX_OVERHEAD` of one core and
    /// of the process's CPU time. It is infinite without a bound.
    pub budget_pct: f64,
    /// The features that are off in this process, each with the reason: the system or the environment does not support
    /// them, or the settings switch them off.
    pub off: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::Level::{Degraded, Full, Minimal, Off};

    #[test]
    fn levels_follow_the_store_and_the_memory_and_do_not_flicker() {
        let table = [
            (Full, true, 0.0, Full),
            (Full, true, 0.69, Full),
            (Full, false, 0.0, Degraded),
            (Full, true, 0.71, Minimal),
            (Degraded, false, 0.69, Degraded),
            (Degraded, false, 0.71, Minimal),
            (Degraded, true, 0.5, Full),
            (Minimal, false, 0.5, Minimal),
            (Minimal, true, 0.5, Minimal),
            (Minimal, false, 0.29, Degraded),
            (Minimal, true, 0.29, Full),
            (Off, true, 0.0, Off),
            (Off, false, 1.0, Off),
        ];
        for (level, is_taken, pressure, expected) in table {
            assert_eq!(level.next(is_taken, pressure).0, expected, "{level:?} {is_taken} {pressure}");
        }
    }
}
