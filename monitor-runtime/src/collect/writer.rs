//! From the backlog into the store: one batch at a time, under the breaker.

use std::sync::Arc;
use std::time::Duration;

use super::batch_timer::Waiting;
use super::{Collector, Left, Opened, Pace};
use crate::batch::decode;
use crate::batch::{Batch, CallRow, FunctionRow, ThreadRow};
use crate::collect::breaker::Event;
use crate::collect::control::Sink;
use crate::collect::health::Level;
use crate::limits;
use crate::record::Outcome;
use crate::store::{BUSY_MAX, Hold, Notice, StoreError, Written, fingerprint};

/// What came of an attempt.
enum Attempt {
    Written(Written),
    /// Try again at once.
    Again,
    /// Wait: another process writes.
    Wait,
    Failed(String),
}

impl Collector {
    /// Writes what is due, one batch; a batch that was not taken stays.
    pub(super) fn write(&mut self, now: Duration, pace: Pace) -> Left {
        if self.pending.is_none() {
            if !self.pacing.is_due(now, self.waiting(), pace) {
                return Left::Nothing;
            }
            self.pending = self.assemble(now, pace);
            if self.pending.is_none() {
                return Left::Nothing;
            }
            self.pacing.begin(now, self.retry.jitter(self.drain_interval));
        }
        // Who waits for a flush is served at the pace at which the thread around this steps.
        if pace == Pace::Usual && !self.retry.is_due(now) || !self.permitted(now) {
            return Left::Blocked;
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt() {
                Attempt::Again => {}
                Attempt::Wait => return self.wait(now),
                Attempt::Failed(why) => return self.fail(now, &why),
                Attempt::Written(written) => {
                    self.succeed(now, written);
                    let more = !self.backlog.is_empty() || !self.postponed.is_empty();
                    return if more { Left::More } else { Left::Nothing };
                }
            }
        }
        self.fail(now, "the store refused a batch again and again")
    }

    /// What waits for the next batch.
    fn waiting(&self) -> Waiting {
        let rows = self.backlog.bytes() / RECORD_BYTES;
        let is_full = rows >= self.batch_rows || self.backlog.pressure() > PRESSURE_WAITING_MAX;
        Waiting { rows, is_full }
    }

    /// Another process holds the lock: that is no failure until it has lasted.
    fn wait(&mut self, now: Duration) -> Left {
        let since = *self.busy_since.get_or_insert(now);
        if now.saturating_sub(since) < BUSY_MAX {
            self.retry.busy(now);
            self.breaker_event(now, Event::Busy);
            return Left::Blocked;
        }
        self.busy_since = None;
        self.fail(now, &format!("another process has held the store's lock for {} s", BUSY_MAX.as_secs()))
    }

    fn fail(&mut self, now: Duration, why: &str) -> Left {
        self.health.writer_errors += 1;
        self.retry.failed(now);
        self.breaker_event(now, Event::Failure(why));
        Left::Blocked
    }

    fn succeed(&mut self, now: Duration, written: Written) {
        self.busy_since = None;
        self.retry.reset();
        self.breaker_event(now, Event::Success);
        self.health.duplicates_avoided += u64::from(written.was_there);
        let written_batch = self.pending.take();
        if let Some(batch) = &written_batch {
            self.note_written(batch.sequence);
        }
        let report = written_batch.and_then(|batch| batch.health);
        self.reported = report.or(self.reported.take());
        self.health.rows_written += written.rows;
        self.health.bytes_written += written.bytes;
        self.health.db_bytes = written.db_bytes;
        self.health.wal_bytes = written.wal_bytes;
    }

    fn permitted(&mut self, now: Duration) -> bool {
        self.breaker_event(now, Event::Attempt)
    }

    /// Tells the breaker; a change of its state is an event row and one line for whoever watches.
    fn breaker_event(&mut self, now: Duration, event: Event<'_>) -> bool {
        let (step, state) = {
            let mut breaker = crate::sync::lock(&self.shared.breaker);
            let step = breaker.step(now, event);
            (step, breaker.statistics(now))
        };
        if let Some(transition) = step.transition {
            self.note_transition(&transition, &state);
        }
        step.permitted
    }

    /// Takes note of what a person did with the breaker.
    pub(super) fn hear_breaker(&mut self, now: Duration) {
        for (sink, transition) in self.shared.control.told() {
            if sink == Sink::Subscriber {
                self.event("breaker", format!("subscriber: {transition}"));
                continue;
            }
            self.retry.reset();
            let state = crate::sync::lock(&self.shared.breaker).statistics(now);
            self.note_transition(&transition, &state);
        }
    }

    /// Does with the breaker what was asked for from outside.
    pub(super) fn hold_breaker(&mut self, now: Duration) {
        let Some(Ok(asked)) = self.store.as_mut().map(|store| store.hold()) else { return };
        if asked == self.held {
            return;
        }
        let (hold, why, by) = match &asked {
            Some(set) => (set.hold, bounded(&set.reason), bounded(&set.set_by)),
            None => (Hold::Auto, "", "monitor"),
        };
        self.breaker_event(
            now,
            match hold {
                Hold::Open => Event::ForceOpen { why, by },
                Hold::Closed => Event::ForceClose { why, by },
                Hold::Auto => Event::Auto { why, by },
            },
        );
        self.retry.reset();
        self.held = asked;
    }

    fn note_transition(
        &mut self,
        transition: &crate::collect::breaker::Transition,
        state: &crate::collect::breaker::Statistics,
    ) {
        use crate::collect::breaker::State;
        self.event("breaker", transition.to_string());
        match (transition.from, transition.to) {
            (State::Closed, State::Open) if state.held.is_some() => {
                self.shared.notice(&format!("the store is not written ({})", transition.why));
            }
            (State::Closed, State::Open) => {
                self.shared.notice(&format!("the store cannot be written ({}); {state}", transition.why));
            }
            (State::Open | State::HalfOpen, State::Closed) => {
                self.shared.notice("the store is written again");
            }
            _ => {}
        }
    }

    fn attempt(&mut self) -> Attempt {
        self.go_away();
        match self.open() {
            Ok(()) => {}
            Err(StoreError::Busy(_)) => return Attempt::Wait,
            Err(error) => return Attempt::Failed(error.to_string()),
        }
        self.note_intent();
        let (Some(store), Some(batch)) = (&mut self.store, &mut self.pending) else { return Attempt::Wait };
        if let Some(row) = &mut batch.health {
            // The report holds once the batch that carries it is committed.
            row.rows_written = self.health.rows_written + batch.calls.len() as u64;
            row.dropped_store = self.health.dropped.store;
        }
        let written = store.write(batch);
        self.hear_store();
        match written {
            Ok(written) => Attempt::Written(written),
            Err(StoreError::Busy(_)) => Attempt::Wait,
            Err(StoreError::Full(why)) => self.make_room(why),
            Err(StoreError::SetAside(_)) => Attempt::Again,
            Err(StoreError::Rejected(why)) => self.discard(&why),
            Err(error @ StoreError::Unwritable(_)) => {
                // Opened again, it is opened where it can be.
                self.store = None;
                Attempt::Failed(error.to_string())
            }
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    /// Gives up the calls of a batch that can never be stored; what else it holds is tried once more.
    fn discard(&mut self, why: &str) -> Attempt {
        self.event("config", format!("rows were refused by the store: {why}"));
        let Some(batch) = &mut self.pending else { return Attempt::Again };
        let calls = std::mem::take(&mut batch.calls);
        if calls.is_empty() {
            self.pending = None;
            return Attempt::Failed(why.to_owned());
        }
        for call in calls {
            let ended_ns = call.start_ns.saturating_add_unsigned(call.duration_ns);
            if let Some(figures) = self.figures(call.function) {
                figures.lose(ended_ns);
            }
            if call.outcome == Outcome::Ok {
                self.health.dropped.store += 1;
            } else {
                let message = fingerprint::pattern(&call.error.unwrap_or_default());
                self.fold(call.function, call.outcome, message, 1, ended_ns);
            }
        }
        Attempt::Again
    }

    /// Lets the store drop its oldest rows, and halves the batch.
    fn make_room(&mut self, why: String) -> Attempt {
        let now_ns = self.now_ns();
        let freed =
            self.store.as_mut().is_some_and(|store| store.retain(now_ns).is_ok_and(|step| step.rows > 0));
        let Some(batch) = &mut self.pending else { return Attempt::Again };
        if batch.calls.len() > 1 {
            let half = batch.calls.len() / 2;
            let rest = batch.calls.split_off(half);
            self.postponed.splice(0..0, rest);
            let sequence = batch.sequence;
            self.keeping.put_off(sequence, half);
            return Attempt::Again;
        }
        if freed { Attempt::Again } else { Attempt::Failed(why) }
    }

    /// Opens the store if it is not open.
    fn open(&mut self) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        let now_ns = self.now_ns();
        let Opened { store, path, notice } = (self.opener)(now_ns)?;
        if let Some(notice) = notice {
            self.event("config", notice.clone());
            self.shared.notice(&notice);
        }
        self.store = Some(store);
        self.health.store = path;
        self.note_store();
        self.introduce_all();
        self.hear_store();
        self.touch_figures();
        Ok(())
    }

    /// Gives a store that was opened everything that was given to the one before it: it knows nothing.
    fn introduce_all(&mut self) {
        for function in self.functions.iter_mut().flatten() {
            function.stored_rate = None;
        }
        let functions = self.new_functions();
        let row = |(id, (name, prefix)): (&u32, &(Arc<str>, u32))| ThreadRow {
            id: *id,
            name: name.as_ref().to_owned(),
            prefix: *prefix,
        };
        if let Some(batch) = &mut self.pending {
            batch.functions = functions;
            batch.threads = self.threads.iter().map(row).collect();
        }
        // What is folded is counted from the start of the process, as figures are.
        self.folded_changed |= !self.folded.is_empty();
    }

    /// Takes note of what befell the store itself. Whatever it was, the file may be a new one.
    fn hear_store(&mut self) {
        let notices = self.store.as_mut().map(|store| store.notices()).unwrap_or_default();
        for Notice { kind, detail } in notices {
            self.shared.notice(&detail);
            self.event(kind, detail);
            self.touch_figures();
        }
    }

    fn touch_figures(&mut self) {
        for function in self.functions.iter_mut().flatten() {
            function.figures.touch();
        }
    }

    /// Puts the next batch together: everything small that waits, and as many calls as it may have.
    fn assemble(&mut self, now: Duration, pace: Pace) -> Option<Batch> {
        let mut batch = Batch {
            at_ns: self.now_ns(),
            functions: self.new_functions(),
            threads: std::mem::take(&mut self.new_threads),
            events: std::mem::take(&mut self.events),
            calls: self.next_calls(),
            health: self.due_report.take(),
            resources: self.due_resources.take(),
            ..Batch::default()
        };
        self.add_figures(&mut batch, now, pace);
        if std::mem::take(&mut self.folded_changed) {
            batch.folded = self.folded.values().cloned().collect();
        }
        if batch == (Batch { at_ns: batch.at_ns, ..Batch::default() }) {
            return None;
        }
        // Alone they are not worth a transaction.
        batch.rates = self.next_rates();
        self.sequence += 1;
        batch.sequence = self.sequence;
        Some(batch)
    }

    fn new_functions(&mut self) -> Vec<FunctionRow> {
        let changed = self.functions.iter_mut().flatten().filter_map(|function| {
            let sample_rate = function.site.rate();
            if function.stored_rate.replace(sample_rate) == Some(sample_rate) {
                return None;
            }
            let (file, line) = function.site.place();
            Some(FunctionRow {
                id: function.site.id(),
                name: function.name.as_ref().to_owned(),
                file: file.to_owned(),
                line,
                group: function.site.group_name().map(str::to_owned),
                sample_rate,
            })
        });
        changed.collect()
    }

    fn next_calls(&mut self) -> Vec<CallRow> {
        let Self { backlog, functions, clock, scratch, batch_rows, keeping, .. } = self;
        let mut calls = std::mem::take(&mut self.postponed);
        let mut ends = std::mem::take(&mut keeping.ends_postponed);
        let mut bytes = 0;
        if calls.len() >= *batch_rows {
            self.postponed = calls.split_off(*batch_rows);
            keeping.ends_postponed = ends.split_off(*batch_rows);
            keeping.ends = ends;
            return calls;
        }
        let held = backlog.take(|waiting| {
            let Some(Some(function)) = functions.get(waiting.header.site as usize) else { return true };
            let times = decode::times(&waiting.header, clock);
            let values = decode::values(waiting, function.site.names(), scratch);
            bytes += RECORD_BYTES + waiting.value_bytes;
            calls.push(decode::call_row(waiting, times, values));
            ends.push(waiting.end);
            calls.len() < *batch_rows && bytes < limits::BATCH_BYTES_MAX
        });
        keeping.held.extend(held);
        keeping.ends = ends;
        calls
    }

    /// Figures go into every batch while few functions are busy, else once a second.
    fn add_figures(&mut self, batch: &mut Batch, now: Duration, pace: Pace) {
        let changed =
            self.functions.iter().flatten().filter(|function| function.figures.is_changed()).count();
        let due = pace == Pace::Flush || changed <= limits::FIGURES_AT_ONCE || now >= self.next.figures;
        if changed == 0 || !due {
            return;
        }
        self.next.figures = now + limits::FIGURES_INTERVAL;
        let now_ns = self.now_ns();
        for function in self.functions.iter_mut().flatten().filter(|function| function.figures.is_changed()) {
            let id = function.site.id();
            function.figures.rows(id, now_ns, &mut batch.windows, &mut batch.slices);
            self.keeping.ledger.figures_written(self.sequence + 1, id, &function.figures.sum());
        }
    }

    /// Whether nothing is left to be written, and the last report tells of all that was.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_none()
            && !self.keeping.recovering
            && self.reported.as_ref().is_none_or(|report| report.rows_written == self.health.rows_written)
            && self.backlog.is_empty()
            && self.postponed.is_empty()
            && !self.functions.iter().flatten().any(|function| function.figures.is_changed())
    }

    /// Ends the process's entry in the store and lets go of it; `false` while another process holds the
    /// lock, for which the end waits unless it is late. The ring file goes where nothing in it is needed
    /// any more.
    pub(crate) fn close(&mut self, settled: bool, is_late: bool) -> bool {
        let now_ns = self.now_ns();
        if let Some(store) = &mut self.store
            && matches!(store.close(now_ns), Err(StoreError::Busy(_)))
            && !is_late
        {
            return false;
        }
        // Nobody is left to be told: what was not closed in order shows as `crash`.
        self.store = None;
        self.health.level = Level::Off;
        if !settled {
            self.leave();
        } else if let Some(mapping) = self.rings.memory.mapping() {
            mapping.remove();
        }
        self.publish_health(crate::platform::clock::monotonic());
        true
    }

    /// Leaves what is not in the store for whoever recovers the ring file.
    pub(crate) fn leave(&self) {
        self.keeping.journal.leave();
    }
}

/// Text from outside, as much of it as is kept.
fn bounded(text: &str) -> &str {
    let end = (0..=limits::REASON_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).filter(|_| text.len() > limits::REASON_BYTES_MAX).unwrap_or(text)
}

/// A batch that fits after being halved this often is small enough for any store with room at all.
const ATTEMPTS_MAX: usize = 24;
/// Share of the backlog that calls may fill while they wait for a batch to become worth its pages.
const PRESSURE_WAITING_MAX: f64 = 0.25;
/// Bytes of a record without values.
const RECORD_BYTES: usize = 64;
