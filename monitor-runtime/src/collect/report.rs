//! The recorder's reports: of itself, for `health()` and the view `health`, and of the process, for the view
//! `resources`.
//!
//! Takes counters that the other parts raise, and sizes; gives rows for the next batch, and the report that `health()`
//! returns. A report that says nothing new is not written. It does not know when batches go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::breaker::Statistics;
use super::cpu_share::CpuShare;
use super::events::Events;
use super::guards::{GuardSource, Guards};
use super::health::{Health, Level};
use super::shared::Shared;
use super::step::Mode;
use crate::accountant::Part;
use crate::batch::{HealthRow, ResourcesRow};
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::platform::{self, process};
use crate::sync::lock;
use crate::thread::log_places::LogPlaces;
use crate::thread::pool::ThreadPool;
use crate::thread::state::ThreadState;

/// The reports of a recorder.
pub(super) struct Report {
    rings: &'static ThreadPool,
    shared: Arc<Shared>,
    pub(super) health: Health,
    /// The report that waits for the next batch.
    due: Option<HealthRow>,
    due_resources: Option<ResourcesRow>,
    /// The last report that was written.
    written: Option<HealthRow>,
    /// The resident memory of the process when it was last read; `None` where the system does not report it.
    pub(super) rss_bytes: Option<u64>,
    /// The last row on the process's resources that went into a batch.
    given_resources: Option<ResourcesRow>,
    /// The moment at which the breaker entered its state, in nanoseconds since the Unix epoch: at first the start of the
    /// recorder.
    breaker_since_ns: i64,
    own_cpu: CpuShare,
    process_cpu: CpuShare,
    next_health: Duration,
    next_resources: Duration,
    /// The moment at which a report goes even if nothing has changed.
    next_life_sign: Duration,
    is_shutdown_announced: bool,
    /// The abilities that the system lacks, each with the reason.
    lacks: Vec<String>,
    pub(super) guards: Guards,
    /// The panics of sources of metrics.
    pub(super) source_panics: u64,
}

impl Report {
    pub(super) fn new(
        rings: &'static ThreadPool,
        shared: Arc<Shared>,
        queue_bytes_max: u64,
        max_overhead: f64,
        guards: GuardSource,
        started_ns: i64,
    ) -> Self {
        let budget_pct = if max_overhead >= 1.0 { f64::INFINITY } else { 100.0 * max_overhead };
        let health = Health { queue_bytes_max, budget_pct, ..Health::default() };
        let now = monotonic();
        Self {
            rings,
            shared,
            health,
            due: None,
            due_resources: None,
            rss_bytes: None,
            written: None,
            given_resources: None,
            breaker_since_ns: started_ns,
            own_cpu: CpuShare::new(now, process::thread_cpu()),
            process_cpu: CpuShare::new(now, process::process_cpu()),
            next_health: Duration::ZERO,
            next_resources: now + limits::RESOURCES_FIRST,
            next_life_sign: now + limits::LIFE_SIGN_INTERVAL,
            is_shutdown_announced: false,
            lacks: platform::lacks(),
            guards: Guards::new(guards),
            source_panics: 0,
        }
    }

    /// Lets the next step report what has changed, because no more calls come.
    pub(super) fn make_due(&mut self, now: Duration) {
        self.next_health = self.next_health.min(now);
    }

    /// Returns the places in the source that log lines come from. Each counts its lines without a row.
    pub(super) fn log_places(&self) -> &'static LogPlaces {
        &self.rings.home.log
    }

    /// Makes the rows that are due.
    pub(super) fn step(&mut self, now: Duration, mode: Mode, clock: &Clock) {
        if now >= self.next_resources {
            self.next_resources = now + limits::RESOURCES_INTERVAL;
            self.health.own_cpu_pct = self.own_cpu.end_period(now, process::thread_cpu());
            let (rss_bytes, threads, open_files) = process::footprint();
            self.rss_bytes = Some(rss_bytes).filter(|bytes| *bytes > 0);
            let cpu_pct = self.process_cpu.end_period(now, process::process_cpu());
            let at_ns = clock.now_ns();
            let row = ResourcesRow { at_ns, cpu_pct, rss_bytes, threads, open_files };
            if self.given_resources.as_ref().is_none_or(|last| row.differs_from(last)) {
                self.due_resources = Some(row);
            }
        }
        if now >= self.next_health || mode == Mode::Flush {
            self.next_health = now + limits::REPORT_INTERVAL;
            self.guards.poll();
            self.health.own_cpu_pct = self.own_cpu.current(now, process::thread_cpu());
            let row = self.health_row(now, clock);
            let is_silent = now >= self.next_life_sign;
            if is_silent || self.written.as_ref().is_none_or(|last| row.differs_from(last)) {
                self.due = Some(row);
            }
        }
    }

    fn health_row(&self, now: Duration, clock: &Clock) -> HealthRow {
        let breaker = lock(&self.shared.breaker).statistics(now);
        let health = &self.health;
        let memory = self.rings.home.accountant.holdings();
        HealthRow {
            at_ns: clock.now_ns(),
            level: health.level.as_str().to_owned(),
            recorded: health.recorded,
            dropped_ring_full: health.dropped.ring_full,
            dropped_backlog: health.dropped.backlog,
            dropped_no_ring: health.dropped.no_ring,
            dropped_store: health.dropped.store,
            folded_errors: health.folded_errors,
            breaker: breaker.state.as_str().to_owned(),
            writer_errors: health.writer_errors,
            rows_written: health.rows_written,
            bytes_written: health.bytes_written,
            db_bytes: health.db_bytes,
            wal_bytes: health.wal_bytes,
            own_cpu_pct: health.own_cpu_pct,
            overhead_ns_per_call: health.overhead_ns_per_call,
            breaker_since_ns: self.breaker_since_ns,
            breaker_openings: breaker.openings,
            breaker_next_try_ns: breaker.retry_in.map(|left| clock.now_ns() + left.as_nanos() as i64),
            writes_ok_pct: breaker.success_share().map(|share| share * 100.0),
            writes_blocked_pct: breaker.blocked_share().map(|share| share * 100.0),
            write_retries: breaker.retries,
            write_retries_per_min: breaker.retries_last_minute,
            duplicates_avoided: health.duplicates_avoided,
            breaker_held: breaker.held,
            last_failure: breaker.last_failure,
            cost_pct: Some(health.cost_pct),
            fixed_pct: Some(health.fixed_pct),
            saved_pct: Some(health.saved_pct),
            budget_pct: Some(health.budget_pct).filter(|budget| budget.is_finite()),
            off: Some(self.list_off().join("; ")).filter(|text| !text.is_empty()),
            dropped_passed: Some(health.dropped.passed),
            dropped_logs: Some(self.log_places().dropped()),
            open_spans: Some(health.open_spans),
            memory_bytes: Some(memory.iter().map(|part| part.bytes).sum()),
            memory_parts: json_object(memory.iter().map(|part| (part.part, part.bytes))),
            memory_refused: json_object(memory.iter().map(|part| (part.part, part.refused))),
        }
    }

    /// Lists what is off in this process, each with the reason.
    fn list_off(&self) -> Vec<String> {
        let crash = self.rings.home.memory.refusal();
        let crash = crash.map(|why| format!("survival of a crash: {why}"));
        crash.into_iter().chain(self.lacks.iter().cloned()).collect()
    }

    /// Returns the rows that wait for the next batch.
    pub(super) fn take_due(&mut self) -> (Option<HealthRow>, Option<ResourcesRow>) {
        let resources = self.due_resources.take();
        self.given_resources = resources.or(self.given_resources);
        (self.due.take(), resources)
    }

    /// Notes the report that a batch carried, because the store has the batch.
    pub(super) fn note_written(&mut self, row: Option<HealthRow>) {
        if row.is_some() {
            self.next_life_sign = monotonic() + limits::LIFE_SIGN_INTERVAL;
        }
        self.written = row.or(self.written.take());
    }

    /// Returns true if the last report that was written covers all rows that were written.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.written.as_ref().is_none_or(|report| report.rows_written == self.health.rows_written)
    }

    /// Finds the service level, and publishes the report for `health()`. `is_taken` is true if the store takes batches;
    /// `backlog_bytes` and `pressure` are the backlog's size and fullness, 0 to 1.
    pub(super) fn publish(
        &mut self,
        breaker: Statistics,
        is_taken: bool,
        (backlog_bytes, pressure): (usize, f64),
        now: Duration,
        clock: &Clock,
        events: &mut Events,
    ) {
        let (level, why) = self.health.level.next(is_taken, pressure);
        if self.health.level != level {
            events.add(clock.now_ns(), "level", format!("{} -> {level}: {why}", self.health.level));
            self.health.level = level;
        }
        let queued = self.rings.states().map(|state| state.pending() * 8).sum::<usize>();
        self.health.queue_bytes = (queued + backlog_bytes) as u64;
        let panics = self.rings.states().map(|state| state.capture_panics.load(Ordering::Relaxed));
        self.health.capture_panics = panics.map(u64::from).sum::<u64>() + self.source_panics;
        self.health.sites_refused = crate::site::refused();
        self.health.open_spans = count_open_spans(self.rings);
        if breaker.state != self.health.breaker.state {
            self.breaker_since_ns = clock.now_ns() - breaker.lasted.as_nanos() as i64;
        }
        self.health.dropped_logs = self.log_places().dropped();
        self.health.memory = self.rings.home.accountant.holdings().to_vec();
        self.health.breaker = breaker;
        self.health.off = self.list_off();
        self.health.subscribers = self.shared.subscribers.breakers(now);
        self.health.subscribers.extend(self.shared.alert_subscribers.breakers(now));
        *lock(&self.shared.health) = self.health.clone();
    }

    /// Adds the event of a shutdown while the store is still open, once.
    pub(super) fn announce_shutdown(&mut self, clock: &Clock, events: &mut Events) {
        if !std::mem::replace(&mut self.is_shutdown_announced, true) {
            let detail = format!("{} -> {}: shut down", self.health.level, Level::Off);
            events.add(clock.now_ns(), "level", detail);
        }
    }
}

/// Returns the numbers by part as a JSON object without zeros; `None` if all are zero.
fn json_object(numbers: impl Iterator<Item = (Part, u64)>) -> Option<String> {
    let entries: Vec<String> = numbers
        .filter(|(_, number)| *number > 0)
        .map(|(part, number)| format!("\"{}\":{number}", part.as_str()))
        .collect();
    (!entries.is_empty()).then(|| format!("{{{}}}", entries.join(",")))
}
/// Returns the number of spans that have begun and not ended. A span may end on another thread than it began on.
fn count_open_spans(rings: &ThreadPool) -> u64 {
    // The ends are read first: a span that ends meanwhile still counts as open.
    let sum = |count: fn(&ThreadState) -> &AtomicU64| -> u64 {
        rings.states().map(|state| count(state).load(Ordering::Relaxed)).sum()
    };
    let ended = sum(|state| &state.spans_ended);
    sum(|state| &state.spans_begun).saturating_sub(ended)
}
