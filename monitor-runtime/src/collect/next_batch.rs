//! The assembly of the next batch: everything small that waits, and as many calls as a batch may have.
//!
//! Takes what the other parts have for the store; gives one batch with the next number. It does not know whether the
//! store takes it.

use std::sync::Arc;
use std::time::Duration;

use super::crash_safety::CrashSafety;
use super::parts::Parts;
use super::rows::Rows;
use super::step::Mode;
use super::trees::FailureOrigin;
use crate::accountant::{Accountant, Part};
use crate::batch::decode::Pending;
use crate::batch::{Batch, CallRow, LogRow, Update, decode};
use crate::growth::MakeRoom as _;
use crate::limits;

/// The assembly of the next batch.
#[derive(Debug)]
pub(super) struct NextBatch {
    /// The largest number of calls and log lines in a batch.
    pub(super) rows_max: usize,
    /// The number of the last batch.
    sequence: u64,
    /// Rows that were taken from the backlog for a batch that the store had no room for.
    postponed: Rows,
    next_figures: Duration,
    scratch: Vec<u8>,
    accountant: &'static Accountant,
}

impl NextBatch {
    pub(super) fn new(rows_max: usize, accountant: &'static Accountant) -> Self {
        Self {
            rows_max,
            accountant,
            sequence: 0,
            postponed: Rows::default(),
            next_figures: Duration::ZERO,
            scratch: Vec::new(),
        }
    }

    /// Returns true if rows are postponed.
    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// Returns the moment from which the next batch carries the statistics of functions that have changed.
    pub(super) fn next_figures(&self) -> Duration {
        self.next_figures
    }

    /// Makes changed figures due now, because there are no new calls whose batch could carry them.
    pub(super) fn make_figures_due(&mut self, now: Duration) {
        self.next_figures = self.next_figures.min(now);
    }

    /// Keeps this many rows of a batch, and puts the others before those that are postponed already. Returns false if
    /// there is no memory for that.
    pub(super) fn postpone(&mut self, rows: &mut Rows, kept: usize) -> bool {
        let has_memory = rows.move_later(kept, &mut self.postponed);
        if !has_memory {
            self.accountant.note_refused(Part::Batch);
        }
        has_memory
    }

    /// Returns the next batch, or `None` if nothing in it would be worth a transaction. Fails if there is no memory for
    /// the functions that are new in it: everything then waits for a later batch.
    pub(super) fn assemble(
        &mut self,
        now: Duration,
        mode: Mode,
        parts: &mut Parts<'_>,
    ) -> Result<Option<Batch>, NoMemory> {
        let functions = parts.functions.take_new_rows().ok_or(NoMemory)?;
        let Rows { calls, logs } = self.rows(parts);
        let mut batch = Batch {
            at_ns: parts.clock.now_ns(),
            functions,
            threads: parts.threads.take_new_rows(),
            events: parts.events.take(),
            alerts: parts.alerts.take(),
            edges: parts.trees.take_new_edges(),
            calls,
            logs,
            ..Batch::default()
        };
        (batch.health, batch.resources) = parts.report.take_due();
        batch.guards = parts.report.guards.take_due();
        batch.metrics = parts.sources.take();
        self.add_stats(&mut batch, now, mode, parts);
        if let Some(folded) = parts.functions.folded.take_changed() {
            batch.folded = folded;
            parts.safety.note_folded(parts.functions.folded.counted());
        }
        if batch == (Batch { at_ns: batch.at_ns, ..Batch::default() }) {
            return Ok(None);
        }
        // Rates alone are not worth a transaction, nor a page in each transaction, so they go with the figures.
        if mode == Mode::Flush || !batch.windows.is_empty() || !batch.events.is_empty() {
            batch.rates = parts.ladder.take_due_rows();
        }
        batch.is_one_of_many = mode == Mode::Usual && batch.calls.len() < limits::FIGURES_ROWS;
        self.sequence += 1;
        batch.sequence = self.sequence;
        Ok(Some(batch))
    }

    fn rows(&mut self, parts: &mut Parts<'_>) -> Rows {
        let Self { rows_max, postponed, scratch, accountant, .. } = self;
        let Parts { backlog, functions, clock, safety, trees, report, .. } = parts;
        let log = report.log_places();
        safety.begin_batch();
        let mut rows = std::mem::take(postponed);
        if rows.len() >= *rows_max {
            return rows;
        }
        // The batch ends where the machine has no memory for a longer one just now.
        let has_room = |rows: &mut Rows, safety: &mut CrashSafety| {
            rows.calls.make_room(1) && rows.logs.make_room(1) && safety.make_room()
        };
        if !has_room(&mut rows, safety) {
            return rows;
        }
        let memory_max = accountant.limit(Part::Batch);
        let (mut bytes, mut memory) = (0, 0);
        let held = backlog.take(|waiting| {
            let waiting = match waiting {
                Pending::Call(call) => call,
                Pending::Line(pending) => {
                    let Some(place) = log.by_number(pending.line.place) else { return true };
                    let row = decode::to_log_row(pending, Arc::clone(&place.target), clock, scratch);
                    if pending.line.has_body && row.body.is_none() {
                        accountant.note_refused(Part::Batch);
                    }
                    bytes += RECORD_BYTES + row.text_bytes();
                    memory += size_of::<LogRow>() + 2 * row.text_bytes();
                    rows.push_log(row);
                    safety.add_row(pending.end);
                    return has_room(&mut rows, safety)
                        && rows.len() < *rows_max
                        && bytes < limits::BATCH_BYTES_MAX
                        && memory < memory_max;
                }
            };
            let Some(function) = functions.get(waiting.header.site) else { return true };
            let times = decode::to_times(&waiting.header, clock);
            let values = decode::to_values(waiting, function.site.names(), scratch);
            if values.lacks_memory {
                accountant.note_refused(Part::Batch);
            }
            bytes += RECORD_BYTES + waiting.value_bytes;
            memory += size_of::<CallRow>() + 2 * waiting.value_bytes;
            let mut row = decode::to_row(waiting, times, values, clock);
            if row.outcome.is_failure()
                && let Some(FailureOrigin { cause, is_tree }) = trees.take_origin(row.span_id)
            {
                (row.cause, row.is_tree) = (cause, is_tree);
            }
            rows.calls.push(row);
            safety.add_row(waiting.end);
            has_room(&mut rows, safety)
                && rows.len() < *rows_max
                && bytes < limits::BATCH_BYTES_MAX
                && memory < memory_max
        });
        accountant.set(Part::Batch, memory);
        safety.hold_taken(held);
        rows
    }

    /// Adds the statistics that changed: to every large batch while few functions are busy, otherwise every few
    /// seconds.
    fn add_stats(&mut self, batch: &mut Batch, now: Duration, mode: Mode, parts: &mut Parts<'_>) {
        let changed = parts.functions.count_changed();
        let is_many = changed > limits::FIGURES_AT_ONCE;
        let is_large = batch.calls.len() >= limits::FIGURES_ROWS;
        let due = mode == Mode::Flush || is_large && !is_many || now >= self.next_figures;
        if changed == 0 || !due {
            return;
        }
        let pause = if is_large { limits::FIGURES_INTERVAL_MANY } else { limits::FIGURES_INTERVAL };
        self.next_figures = now + pause;
        let now_ns = parts.clock.now_ns();
        for function in parts.functions.iter_mut().filter(|function| function.stats.is_changed()) {
            let id = function.site.id();
            let has_memory = batch.totals.make_room(1)
                && function.stats.take_rows(id, now_ns, &mut batch.windows, &mut batch.slices);
            if !has_memory {
                // The other figures go with the next batch.
                self.accountant.note_refused(Part::Batch);
                self.next_figures = now;
                return;
            }
            batch.totals.push(function.stats.total(id, Update::Replace));
            parts.safety.note_stats(self.sequence + 1, id, &function.stats.sum());
        }
    }
}

/// The error of a batch for which the machine has no memory.
#[derive(Debug)]
pub(super) struct NoMemory;

/// Bytes of a record without values.
pub(super) const RECORD_BYTES: usize = 64;
