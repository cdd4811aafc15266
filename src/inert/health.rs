//! The recorder's report of itself.

use std::fmt;
use std::path::PathBuf;

use super::breaker;
use super::memory::PartMemory;

/// The service level of the recorder: how much it records at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything is recorded as requested.
    #[default]
    Full,
    /// The store cannot be written, so records wait in memory.
    Degraded,
    /// The memory for waiting records is nearly used up, so the oldest `ok` calls lose their rows. Failures and counts are
    /// kept.
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
}

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
    /// The state and figures of the circuit breaker of each in-process subscriber. Failures of a subscriber do not count
    /// as failures of the store.
    pub subscribers: Vec<breaker::Statistics>,
    /// The alerts that fire. Those that are recovering are among them.
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
    /// The cost that recording may have, in percent of one core: the larger of `MONITOR_MAX_OVERHEAD` of one core and of the
    /// process's CPU time. It is infinite without a bound.
    pub budget_pct: f64,
    /// The features that are off in this process, each with the reason: the system or the environment does not support
    /// them, or the settings switch them off.
    pub off: Vec<String>,
}

/// The status of a part of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum HealthStatus {
    /// The part does all of its work.
    #[default]
    Ok,
    /// The part does less than it was asked to, or nothing yet. Counts stay exact.
    Degraded,
    /// The part does not work.
    Failing,
}

impl HealthStatus {
    /// Returns the word for the status in JSON and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A part of the recorder, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthPart {
    /// The name of the part.
    pub name: &'static str,
    /// The status of the part.
    pub status: HealthStatus,
    /// The reason, in a sentence.
    pub why: String,
}

impl Health {
    /// Returns one part, the recorder, which is not there.
    #[must_use]
    pub fn parts(&self) -> Vec<HealthPart> {
        let why = "this build has no recorder".to_owned();
        vec![HealthPart { name: "recorder", status: HealthStatus::Degraded, why }]
    }

    /// Returns [`HealthStatus::Degraded`], because nothing is recorded.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        HealthStatus::Degraded
    }

    /// Returns the report as a JSON object: `status`, `level`, and the one part with its reason.
    #[must_use]
    pub fn to_json(&self) -> String {
        let part = |part: HealthPart| {
            let HealthPart { name, status, why } = part;
            format!(r#"{{"name":"{name}","status":"{status}","why":"{why}"}}"#)
        };
        let parts: Vec<String> = self.parts().into_iter().map(part).collect();
        let (status, level) = (self.status(), self.level);
        format!(r#"{{"status":"{status}","level":"{level}","parts":[{}],"figures":{{}}}}"#, parts.join(","))
    }
}
