//! The list of the guards of the process, and their way into the store.
//!
//! Takes guards at their first call; gives their reports to the program and to the recorder. Without a recorder only
//! the program reads the list.

use std::sync::{Mutex, Once};
use std::time::Duration;

use monitor_runtime::bridge::{self, GuardRow, GuardSource, Hold};

use crate::breaker::{State, Statistics};
use crate::counters::Counters;
use crate::guard::Guard;
use crate::level::Level;
use crate::sync::lock;

/// The guards that were called, in the order of their first calls.
static GUARDS: Mutex<Vec<&'static Guard>> = Mutex::new(Vec::new());

/// The state, service level and figures of a guard since the process began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Name of the guard.
    pub name: &'static str,
    /// State of the breaker.
    pub state: State,
    /// Time for which the state has lasted.
    pub lasted: Duration,
    /// Time until the next try, while the breaker is open and nobody holds it.
    pub retry_in: Option<Duration>,
    /// Service level of the part.
    pub level: Level,
    /// Number of calls that were made, retries included.
    pub calls: u64,
    /// Number of calls that were made and failed.
    pub failures: u64,
    /// Number of calls that were not made.
    pub rejected: u64,
    /// Number of answers by a fixed value.
    pub fallbacks_value: u64,
    /// Number of answers by an earlier value.
    pub fallbacks_cached: u64,
    /// Number of answers by another function.
    pub fallbacks_function: u64,
    /// Number of calls that tried whether the part is back.
    pub probes: u64,
    /// Number of times the breaker opened.
    pub openings: u64,
    /// Number of attempts after the first one of a call.
    pub retries: u64,
    /// Number of calls that succeeded at the second attempt or later.
    pub retried_ok: u64,
    /// Reason for which a person holds the breaker.
    pub held: Option<String>,
    /// Reason of the last failure.
    pub last_failure: Option<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str, level: Level, counters: &Counters, statistics: Statistics) -> Self {
        let Statistics { state, lasted, retry_in, openings, held, last_failure, .. } = statistics;
        Self {
            name,
            state,
            lasted,
            retry_in,
            level,
            calls: counters.calls.sum(),
            failures: counters.failures.read(),
            rejected: counters.rejected.read(),
            fallbacks_value: counters.by_value.read(),
            fallbacks_cached: counters.by_cache.read(),
            fallbacks_function: counters.by_function.read(),
            probes: counters.probes.read(),
            openings,
            retries: counters.retries.read(),
            retried_ok: counters.retried_ok.read(),
            held,
            last_failure,
        }
    }

    /// Returns the share of calls that succeeded, of those that were made; `None` before the first.
    #[must_use]
    pub fn success_share(&self) -> Option<f64> {
        share(self.calls.saturating_sub(self.failures), self.calls)
    }

    /// Returns the share of calls that were not made; `None` before the first.
    #[must_use]
    pub fn blocked_share(&self) -> Option<f64> {
        share(self.rejected, self.rejected + self.calls)
    }

    /// Returns the share of attempts that were retries; `None` before the first.
    #[must_use]
    pub fn retry_share(&self) -> Option<f64> {
        share(self.retries, self.calls)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Returns a report of each guard that was called, in the order of their first calls.
#[must_use]
pub fn guards() -> Vec<Report> {
    let guards = lock(&GUARDS).clone();
    guards.into_iter().map(Guard::report).collect()
}

/// Adds a guard to the list unless the list has it, and starts the recorder with the first guard.
pub(crate) fn add(guard: &'static Guard) {
    static FIRST: Once = Once::new();
    {
        let mut guards = lock(&GUARDS);
        // A guard is a `static`; guards that a program makes without end are not listed.
        if guards.len() >= bridge::GUARDS_MAX || guards.iter().any(|known| std::ptr::eq(*known, guard)) {
            return;
        }
        guards.push(guard);
    }
    FIRST.call_once(|| bridge::set_guard_source(GuardSource { rows, hold }));
}

/// Returns all guards by the names that the store has for them. Guards of the same name get a number: `rates`,
/// `rates#2`.
fn named() -> Vec<(String, &'static Guard)> {
    let mut named: Vec<(String, &'static Guard)> = Vec::new();
    for guard in lock(&GUARDS).clone() {
        let same = named.iter().filter(|(_, other)| other.name() == guard.name()).count();
        let name = guard.name();
        named.push((if same == 0 { name.to_owned() } else { format!("{name}#{}", same + 1) }, guard));
    }
    named
}

/// Holds the guard of this name, or releases it. Returns false if no guard of this name was called yet.
fn hold(name: &str, hold: Hold, reason: &str, by: &str) -> bool {
    let guard = named().into_iter().find(|(known, _)| known == name);
    guard.is_some_and(|(_, guard)| {
        guard.apply_hold(hold, reason, by);
        true
    })
}

/// Returns the rows of all guards.
fn rows() -> Vec<GuardRow> {
    let mut rows: Vec<GuardRow> = Vec::new();
    for (name, guard) in named() {
        let report = guard.report();
        rows.push(GuardRow {
            name,
            state: report.state.as_str(),
            lasted_ns: u64::try_from(report.lasted.as_nanos()).unwrap_or(u64::MAX),
            level: report.level.as_str(),
            calls: report.calls,
            failures: report.failures,
            rejected: report.rejected,
            fallbacks_value: report.fallbacks_value,
            fallbacks_cached: report.fallbacks_cached,
            fallbacks_function: report.fallbacks_function,
            probes: report.probes,
            openings: report.openings,
            retries: report.retries,
            retried_ok: report.retried_ok,
            held: report.held,
            last_failure: report.last_failure,
        });
    }
    rows
}
