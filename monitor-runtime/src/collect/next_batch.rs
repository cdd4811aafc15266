//! The assembly of the next batch: everything small that waits, and as many calls as a batch may have.
//!
//! Takes what the other parts have for the store; gives one batch with the next number. It does not know whether the
//! store takes it.

use std::time::Duration;

use super::mode::Mode;
use super::parts::Parts;
use super::trees::FailureOrigin;
use crate::batch::{Batch, CallRow, decode};
use crate::limits;
use crate::record::Outcome;

/// The assembly of the next batch.
#[derive(Debug)]
pub(super) struct NextBatch {
    /// The number of calls in a batch at most.
    pub(super) rows_max: usize,
    /// The number of the last batch.
    sequence: u64,
    /// Calls that were taken from the backlog for a batch that the store had no room for.
    postponed: Vec<CallRow>,
    next_figures: Duration,
    scratch: Vec<u8>,
}

impl NextBatch {
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows_max,
            sequence: 0,
            postponed: Vec::new(),
            next_figures: Duration::ZERO,
            scratch: Vec::new(),
        }
    }

    /// Returns true if calls are postponed.
    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// Returns the moment at which figures go that changed since they last went.
    pub(super) fn next_figures(&self) -> Duration {
        self.next_figures
    }

    /// Lets the figures go now, because no calls come that could go with them.
    pub(super) fn hurry_figures(&mut self, now: Duration) {
        self.next_figures = self.next_figures.min(now);
    }

    /// Puts calls of a batch before those that are postponed already.
    pub(super) fn postpone(&mut self, calls: Vec<CallRow>) {
        self.postponed.splice(0..0, calls);
    }

    /// Returns the next batch, or `None` if nothing in it would be worth a transaction.
    pub(super) fn assemble(&mut self, now: Duration, mode: Mode, parts: &mut Parts<'_>) -> Option<Batch> {
        let mut batch = Batch {
            at_ns: parts.clock.now_ns(),
            functions: parts.functions.take_new_rows(),
            threads: parts.threads.take_new_rows(),
            events: parts.events.take(),
            edges: parts.trees.take_new_edges(),
            calls: self.calls(parts),
            ..Batch::default()
        };
        (batch.health, batch.resources) = parts.report.take_due();
        self.add_stats(&mut batch, now, mode, parts);
        batch.folded = parts.functions.folded.take_changed().unwrap_or_default();
        if batch == (Batch { at_ns: batch.at_ns, ..Batch::default() }) {
            return None;
        }
        // Rates alone are worth neither a transaction nor a page in each of them: they go with the figures.
        if mode == Mode::Flush || !batch.windows.is_empty() || !batch.events.is_empty() {
            batch.rates = parts.ladder.take_due_rows();
        }
        self.sequence += 1;
        batch.sequence = self.sequence;
        Some(batch)
    }

    fn calls(&mut self, parts: &mut Parts<'_>) -> Vec<CallRow> {
        let Self { rows_max, postponed, scratch, .. } = self;
        let Parts { backlog, functions, clock, safety, trees, .. } = parts;
        safety.begin_batch(*rows_max);
        let mut calls = std::mem::take(postponed);
        if calls.len() >= *rows_max {
            *postponed = calls.split_off(*rows_max);
            return calls;
        }
        let mut bytes = 0;
        let held = backlog.take(|waiting| {
            let Some(function) = functions.get(waiting.header.site) else { return true };
            let times = decode::to_times(&waiting.header, clock);
            let values = decode::to_values(waiting, function.site.names(), scratch);
            bytes += RECORD_BYTES + waiting.value_bytes;
            let mut row = decode::to_row(waiting, times, values, clock);
            if row.outcome != Outcome::Ok
                && let Some(FailureOrigin { cause, is_tree }) = trees.take_origin(row.span_id)
            {
                (row.cause, row.is_tree) = (cause, is_tree);
            }
            calls.push(row);
            safety.add_call(waiting.end);
            calls.len() < *rows_max && bytes < limits::BATCH_BYTES_MAX
        });
        safety.hold_taken(held);
        calls
    }

    /// Adds the statistics that changed: to every large batch while few functions are busy, otherwise every few seconds.
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
            function.stats.take_rows(id, now_ns, &mut batch.windows, &mut batch.slices);
            parts.safety.note_stats(self.sequence + 1, id, &function.stats.sum());
        }
    }
}

/// Bytes of a record without values.
pub(super) const RECORD_BYTES: usize = 64;
