//! The writer: one batch at a time goes into the store, under the breaker.
//!
//! Takes the next batch when it is due; gives it to the store until the store has it. A batch that could not be written
//! is kept as it is and tried again under the same number, so that nothing is lost or written twice. The store decides
//! how a batch is written, the breaker and the retry when.

use std::sync::Arc;
use std::time::Duration;

use super::batch_timer::BatchTimer;
use super::breaker::{Event, State, Statistics};
use super::current_store::CurrentStore;
use super::events::Events;
use super::losses::LostCall;
use super::next_batch::{NextBatch, NoMemory, RECORD_BYTES};
use super::parts::Parts;
use super::retry::Retry;
use super::rows::Rows;
use super::shared::Shared;
use super::step::{Mode, Remaining};
use super::store_breaker::StoreBreaker;
use crate::accountant::Accountant;
use crate::batch::Batch;
use crate::platform::clock::Clock;
use crate::store::{BUSY_MAX, Notice, Store, StoreError, Written};

/// The writer of a recorder.
pub(super) struct Writer {
    shared: Arc<Shared>,
    next: NextBatch,
    /// The batch that the store does not have yet.
    pending: Option<Batch>,
    timer: BatchTimer,
    retry: Retry,
    breaker: StoreBreaker,
    /// The moment since which another process has held the store's lock.
    busy_since: Option<Duration>,
}

/// The result of an attempt to write.
enum Attempt {
    Written(Written),
    /// The attempt is repeated at once.
    Again,
    /// Another process writes.
    Wait,
    Failed(String),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        batch_rows: usize,
        drain_interval: Duration,
        accountant: &'static Accountant,
    ) -> Self {
        Self {
            next: NextBatch::new(batch_rows, accountant),
            pending: None,
            timer: BatchTimer::new(drain_interval),
            retry: Retry::new(u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            breaker: StoreBreaker::new(Arc::clone(&shared)),
            busy_since: None,
            shared,
        }
    }

    /// Replaces the settings on batches.
    pub(super) fn set_batches(&mut self, batch_rows: usize, drain_interval: Duration) {
        self.next.rows_max = batch_rows;
        self.timer.set_interval(drain_interval);
    }

    /// Reports the transitions of breakers that came about on other threads. If one of them was a transition of the
    /// store's breaker, the store is tried at once, because a person has requested it.
    pub(super) fn report_transitions(&mut self, now: Duration, clock: &Clock, events: &mut Events) {
        if self.breaker.report_others(now, clock, events) {
            self.retry.reset();
        }
    }

    /// Holds or releases the breaker as the table `breaker` says.
    pub(super) fn apply_hold(
        &mut self,
        now: Duration,
        store: &mut CurrentStore,
        clock: &Clock,
        events: &mut Events,
    ) {
        if self.breaker.apply_hold(now, store, clock, events) {
            self.retry.reset();
        }
    }

    /// Writes one batch if it is due, and returns the work that remains. A batch that the store did not take is kept
    /// and tried again.
    pub(super) fn step(
        &mut self,
        now: Duration,
        mode: Mode,
        store: &mut CurrentStore,
        parts: &mut Parts<'_>,
    ) -> Remaining {
        if self.pending.is_none() {
            if !self.timer.is_due(now, self.is_full(parts), mode) {
                return Remaining::Nothing;
            }
            match self.next.assemble(now, mode, parts) {
                Ok(None) => return Remaining::Nothing,
                Err(NoMemory) => return Remaining::Blocked,
                Ok(batch) => self.pending = batch,
            }
            self.timer.begin(now, self.retry.jitter(parts.drain_interval));
        }
        // In a flush, the thread that repeats the steps decides how soon the next attempt is made.
        if mode == Mode::Usual && !self.retry.is_due(now) || !self.notify_breaker(now, Event::Attempt, parts)
        {
            return Remaining::Blocked;
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(store, parts) {
                Attempt::Again => {}
                Attempt::Wait => return self.wait(now, parts),
                Attempt::Failed(why) => return self.fail(now, &why, parts),
                Attempt::Written(written) => {
                    self.succeed(now, &written, parts);
                    let has_rest = !parts.backlog.is_empty() || self.next.has_postponed();
                    return if has_rest { Remaining::More } else { Remaining::Nothing };
                }
            }
        }
        self.fail(now, "the store refused a batch again and again", parts)
    }

    /// Returns true if the rows that wait fill a batch, or as much memory as waiting rows may take.
    fn is_full(&self, parts: &Parts<'_>) -> bool {
        let rows = parts.backlog.bytes() / RECORD_BYTES;
        rows >= self.next.rows_max || parts.backlog.pressure() > PRESSURE_WAITING_MAX
    }

    /// Returns the moment at which waiting rows are written, or tried again; `None` if no rows wait.
    pub(super) fn next_write(
        &mut self,
        now: Duration,
        (is_blocked, is_active): (bool, bool),
        parts: &Parts<'_>,
    ) -> Option<Duration> {
        if is_blocked || self.pending.is_some() {
            return Some(self.retry.next().max(now + parts.drain_interval));
        }
        let has_news = !parts.events.is_empty() || !parts.alerts.is_empty() || !parts.sources.is_empty();
        let waits = !parts.backlog.is_empty() || self.next.has_postponed() || has_news;
        if waits {
            return Some(self.timer.next());
        }
        if parts.functions.count_changed() == 0 {
            return None;
        }
        if !is_active {
            self.next.make_figures_due(now);
        }
        Some(self.timer.next().max(self.next.next_figures()))
    }

    fn notify_breaker(&self, now: Duration, event: Event<'_>, parts: &mut Parts<'_>) -> bool {
        self.breaker.step(now, event, parts.clock, parts.events)
    }

    /// Waits for another process that holds the lock. The wait is a failure once it has lasted for `BUSY_MAX`.
    fn wait(&mut self, now: Duration, parts: &mut Parts<'_>) -> Remaining {
        let since = *self.busy_since.get_or_insert(now);
        if now.saturating_sub(since) < BUSY_MAX {
            self.retry.busy(now);
            self.notify_breaker(now, Event::Busy, parts);
            return Remaining::Blocked;
        }
        self.busy_since = None;
        let why = format!("another process has held the store's lock for {} s", BUSY_MAX.as_secs());
        self.fail(now, &why, parts)
    }

    fn fail(&mut self, now: Duration, why: &str, parts: &mut Parts<'_>) -> Remaining {
        parts.report.health.writer_errors += 1;
        self.retry.failed(now);
        self.notify_breaker(now, Event::Failure(why), parts);
        Remaining::Blocked
    }

    fn succeed(&mut self, now: Duration, written: &Written, parts: &mut Parts<'_>) {
        self.busy_since = None;
        self.retry.reset();
        self.notify_breaker(now, Event::Success, parts);
        parts.ladder.count_batch();
        parts.alerts.note_new_failures(parts.functions, &written.new_failures);
        let health = &mut parts.report.health;
        health.duplicates_avoided += u64::from(written.was_there);
        health.rows_written += written.rows;
        health.bytes_written += written.bytes;
        health.db_bytes = written.db_bytes;
        health.wal_bytes = written.wal_bytes;
        if let Some(batch) = self.pending.take() {
            parts.safety.note_written(batch.sequence);
            parts.report.note_written(batch.health);
        }
    }

    fn attempt(&mut self, store: &mut CurrentStore, parts: &mut Parts<'_>) -> Attempt {
        parts.ladder.prepare_for_disk(parts.functions);
        match self.open(store, parts) {
            Ok(()) => {}
            Err(StoreError::Busy(_)) => return Attempt::Wait,
            Err(error) => return Attempt::Failed(error.to_string()),
        }
        let (Some(opened), Some(batch)) = (store.get(), &mut self.pending) else { return Attempt::Wait };
        parts.safety.note_intent(batch, parts.functions);
        if let Some(row) = &mut batch.health {
            // The report becomes valid once the batch that carries it is committed, so it counts that batch's rows.
            row.rows_written = parts.report.health.rows_written + batch.calls.len() as u64;
            row.dropped_store = parts.report.health.dropped.store;
        }
        let written = opened.write(batch);
        self.report_notices(store, parts);
        match written {
            Ok(written) => Attempt::Written(written),
            Err(StoreError::Busy(_)) => Attempt::Wait,
            Err(StoreError::Full(why)) => self.make_room(why, store, parts),
            Err(StoreError::SetAside(_) | StoreError::Taken(_)) => Attempt::Again,
            Err(StoreError::Rejected(why)) => self.discard(&why, parts),
            Err(error @ StoreError::Unwritable(_)) => {
                // The next attempt opens the store where that is possible.
                store.drop_open();
                Attempt::Failed(error.to_string())
            }
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    /// Gives up the calls and log lines of a batch that can never be stored. The rest of the batch is tried once more.
    fn discard(&mut self, why: &str, parts: &mut Parts<'_>) -> Attempt {
        parts.event("config", format!("rows were refused by the store: {why}"));
        let Some(batch) = &mut self.pending else { return Attempt::Again };
        let (calls, logs) = (std::mem::take(&mut batch.calls), std::mem::take(&mut batch.logs));
        if calls.is_empty() && logs.is_empty() {
            self.pending = None;
            // The failures that were folded go with the next batch.
            parts.functions.folded.touch();
            return Attempt::Failed(why.to_owned());
        }
        let Parts { functions, report, .. } = parts;
        report.log_places().count_dropped(logs.iter().map(|line| line.lines).sum());
        for call in calls {
            let end_ns = call.start_ns.saturating_add_unsigned(call.duration_ns);
            let calls = call.calls();
            let lost = LostCall { function: call.function, outcome: call.outcome, end_ns, calls };
            let error = || (call.error, call.error_type);
            lost.count(functions, &mut report.health, |dropped| &mut dropped.store, error);
        }
        Attempt::Again
    }

    /// Has the store delete its oldest rows, and halves the batch.
    fn make_room(&mut self, why: String, store: &mut CurrentStore, parts: &mut Parts<'_>) -> Attempt {
        let now_ns = parts.clock.now_ns();
        let freed = store.get().is_some_and(|store| store.retain(now_ns).is_ok_and(|step| step.rows > 0));
        let Some(batch) = &mut self.pending else { return Attempt::Again };
        let (calls, logs) = (std::mem::take(&mut batch.calls), std::mem::take(&mut batch.logs));
        let mut rows = Rows { calls, logs };
        let half = rows.len() / 2;
        let is_halved = half > 0 && self.next.postpone(&mut rows, half);
        (batch.calls, batch.logs) = (rows.calls, rows.logs);
        if is_halved {
            parts.safety.postpone(batch.sequence, half);
            return Attempt::Again;
        }
        if !freed && half == 0 && parts.sources.postpone(&mut batch.metrics) {
            return Attempt::Again;
        }
        if freed { Attempt::Again } else { Attempt::Failed(why) }
    }

    /// Opens the store if it is not open. A store that was just opened gets everything that the one before was given,
    /// because it may be a new one.
    fn open(&mut self, store: &mut CurrentStore, parts: &mut Parts<'_>) -> Result<(), StoreError> {
        if store.is_open() {
            return Ok(());
        }
        let (path, notice) = store.open(parts.clock.now_ns())?;
        parts.safety.set_temporary(path.is_none() && notice.is_some());
        if let Some(notice) = notice {
            if parts.safety.is_temporary() {
                self.shared.control.note_temporary_store(&notice);
            }
            parts.event("config", notice.clone());
            self.shared.notice(&notice);
        }
        parts.safety.note_store(path.as_deref());
        parts.report.health.store = path;
        parts.functions.forget_stored_rows();
        parts.trees.forget_stored_edges();
        if let Some(batch) = &mut self.pending {
            let (Some(functions), Some(threads)) =
                (parts.functions.take_new_rows(), parts.threads.all_rows())
            else {
                // The next attempt opens the store again.
                store.drop_open();
                return Err(StoreError::Transient(
                    "there is no memory for the names of functions".to_owned(),
                ));
            };
            batch.functions = functions;
            batch.edges = parts.trees.take_new_edges();
            batch.threads = threads;
        }
        self.report_notices(store, parts);
        parts.functions.touch_stats();
        parts.alerts.write_again();
        Ok(())
    }

    /// Reports the notices of the store. After any of them, its file may be a new one.
    fn report_notices(&self, store: &mut CurrentStore, parts: &mut Parts<'_>) {
        let notices = store.get().map(Store::notices).unwrap_or_default();
        for Notice { kind, detail } in notices {
            self.shared.notice(&detail);
            parts.event(kind, detail);
            parts.functions.touch_stats();
            parts.alerts.write_again();
        }
    }

    /// Returns true if no rows that were taken from the backlog still wait to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_none() && !self.next.has_postponed()
    }

    /// Returns true if the store takes batches, as the service level shows it: a short wait for its lock does not
    /// count.
    pub(super) fn is_taken(&self, now: Duration, breaker: &Statistics, store: &CurrentStore) -> bool {
        breaker.state == State::Closed
            && (store.is_open() || self.pending.is_none())
            && self.busy_since.is_none_or(|since| now.saturating_sub(since) < BUSY_SHOWN)
    }
}

/// The number of attempts at one batch. A batch that is halved this often is small enough for any store with room at
/// all.
const ATTEMPTS_MAX: usize = 24;
/// The share of the backlog that waiting rows may fill before a batch goes although it is not full.
const PRESSURE_WAITING_MAX: f64 = 0.25;
/// A lock that others hold for longer than this shows in the service level.
const BUSY_SHOWN: Duration = Duration::from_secs(1);
