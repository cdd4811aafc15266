//! The failures that the store counts by kind, noted in the ring file.
//!
//! Takes the failures of batches: calls that get a row, and numbers of failures without one; gives checkpoints, by
//! which a recoverer knows how many failures of each function have no kind in the store yet. A checkpoint becomes valid
//! with the batch that carries its failures. The file does not know the kinds.

use std::collections::{HashMap, HashSet};

use super::functions::Functions;
use crate::batch::Batch;
use crate::growth::MakeRoom as _;
use crate::record::ByOutcome;
use crate::ring::checkpoint::Checkpoints;

/// The failures of each function that the store counts by kind, by the id under which the function's calls are counted.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    /// The failures with a row in the batches that the store has.
    rows: HashMap<u32, ByOutcome>,
    /// The failures with a row in the pending batch.
    pending: HashMap<u32, ByOutcome>,
    /// The failures without a row that the pending batch and those before it carry.
    folded: HashMap<u32, ByOutcome>,
    /// The functions whose failures have changed since their last checkpoint.
    changed: HashSet<u32>,
}

impl Grouped {
    /// Notes the failures without a row, which go with the next batch. Returns false if there is no memory for all of
    /// them.
    pub(super) fn note_folded(&mut self, failures: &HashMap<u32, ByOutcome>) -> bool {
        let has_room = self.changed.make_room(failures.len()) && self.folded.make_room(failures.len());
        if has_room {
            self.changed.extend(failures.keys());
            self.folded.extend(failures);
        }
        has_room
    }

    /// Writes the checkpoints of the batch. If the batch was halved after they were written, they are replaced by those
    /// of its first half.
    pub(super) fn note_intent(
        &mut self,
        batch: &Batch,
        functions: &Functions,
        checkpoints: &mut Checkpoints,
    ) {
        let mut has_room = self.changed.make_room(self.pending.len());
        for (function, _) in self.pending.drain().take_while(|_| has_room) {
            self.changed.insert(function);
        }
        for call in &batch.calls {
            let Some(place) = call.outcome.failure_place() else { continue };
            let Some(function) = functions.get(call.function).map(|function| function.counted_as) else {
                continue;
            };
            has_room = has_room && self.pending.make_room(1) && self.changed.make_room(1);
            if !has_room {
                break;
            }
            self.pending.entry(function).or_default()[place] += 1;
            self.changed.insert(function);
        }
        if !has_room {
            checkpoints.withdraw_grouped();
        }
        for function in self.changed.drain() {
            let of =
                |failures: &HashMap<u32, ByOutcome>| failures.get(&function).copied().unwrap_or_default();
            let (rows, pending, folded) = (of(&self.rows), of(&self.pending), of(&self.folded));
            let sums = std::array::from_fn(|at| rows[at] + pending[at] + folded[at]);
            checkpoints.grouped(batch.sequence, function, sums);
        }
    }

    /// Notes that the store has the pending batch. Returns false if there is no memory for its failures.
    pub(super) fn note_written(&mut self) -> bool {
        let has_room = self.rows.make_room(self.pending.len());
        for (function, failures) in self.pending.drain().take_while(|_| has_room) {
            let rows = self.rows.entry(function).or_default();
            rows.iter_mut().zip(failures).for_each(|(rows, more)| *rows += more);
        }
        has_room
    }
}
