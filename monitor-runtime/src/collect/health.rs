//! The recorder's report of itself, as `health()` returns it.
//!
//! It holds counters, sizes and the service level. The level follows from whether the store takes batches, and from how
//! full the memory for waiting records is. It does not know who counts.

use std::fmt;
use std::path::PathBuf;

use super::breaker;

/// How well the recorder serves at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything is recorded as asked for.
    #[default]
    Full,
    /// The store cannot be written: records wait in memory.
    Degraded,
    /// The memory for waiting records is nearly used up: the oldest `ok` calls lose their rows;
    /// failures and counts are kept.
    Minimal,
    /// Nothing is recorded.
    Off,
}

impl Level {
    /// The word used in the store and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Degraded => "degraded",
            Self::Minimal => "minimal",
            Self::Off => "off",
        }
    }
}

impl Level {
    /// The level that follows, by whether the store takes what it is given and how full the memory for
    /// what waits is (0 to 1); and why. Off is for good. Between two thresholds a level stays as it is,
    /// so that it does not flicker.
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

/// Above this share of its bound the backlog is about to evict.
const PRESSURE_HIGH: f64 = 0.7;
/// Below this one a pressed backlog has been emptied for good.
const PRESSURE_LOW: f64 = 0.3;

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Calls that should have had a row and have none, by reason. Each is counted all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The thread's ring was full.
    pub ring_full: u64,
    /// The backlog was full, the store being down.
    pub backlog: u64,
    /// No ring could be had for the thread.
    pub no_ring: u64,
    /// The store could not take the row.
    pub store: u64,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ring_full + self.backlog + self.no_ring + self.store
    }
}

/// The recorder's report of itself, as of its last step (at most one drain interval ago).
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// How well it serves.
    pub level: Level,
    /// Calls recorded since start.
    pub recorded: u64,
    /// Calls left without a row by sampling.
    pub sampled_out: u64,
    /// Calls that lost their row.
    pub dropped: Drops,
    /// Failed calls counted by kind instead of stored one by one, for want of room.
    pub folded_errors: u64,
    /// Values whose `Debug` or `Serialize` panicked while they were captured.
    pub capture_panics: u64,
    /// Bytes waiting in rings and backlog.
    pub queue_bytes: u64,
    /// Bytes that rings and backlog may use.
    pub queue_bytes_max: u64,
    /// The circuit breaker around the store.
    pub breaker: breaker::Statistics,
    /// The circuit breaker of each in-process subscriber: a second sink, whose failures are its own.
    pub subscribers: Vec<breaker::Statistics>,
    /// Writes that failed since start.
    pub writer_errors: u64,
    /// Batches sent again that were found to be committed already.
    pub duplicates_avoided: u64,
    /// Rows written since start.
    pub rows_written: u64,
    /// Bytes of their content.
    pub bytes_written: u64,
    /// Size of the database file.
    pub db_bytes: u64,
    /// Size of its write-ahead log.
    pub wal_bytes: u64,
    /// Where the store is; `None` while it is in memory or not open.
    pub store: Option<PathBuf>,
    /// CPU time of the recorder's thread, in percent of one core, over at most the last ten
    /// seconds.
    pub own_cpu_pct: f64,
    /// What a recorded call without values costs its caller, measured at start.
    pub overhead_ns_per_call: f64,
    /// What recording cost in the last second, on callers' threads and on its own, in percent of the
    /// process's CPU time.
    pub cost_pct: f64,
    /// What it may cost, in percent of the process's CPU time.
    pub budget_pct: f64,
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
