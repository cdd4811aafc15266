//! The failures that the store counts by kind, noted in the ring file.
//!
//! Takes the failures of batches: calls that get a row, and numbers of failures without one; gives checkpoints, by which a
//! recoverer knows how many failures of each function have no kind in the store yet. A checkpoint becomes valid with the
//! batch that carries its failures. The file does not know the kinds.

use std::collections::{HashMap, HashSet};

use super::functions::Functions;
use crate::batch::Batch;
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
    /// Notes the failures without a row, which go with the next batch.
    pub(super) fn note_folded(&mut self, failures: &HashMap<u32, ByOutcome>) {
        self.changed.extend(failures.keys());
        self.folded.clone_from(failures);
    }

    /// Writes the checkpoints of the batch. If the batch was halved after they were written, they are replaced by those
    /// of its first half.
    pub(super) fn note_intent(
        &mut self,
        batch: &Batch,
        functions: &Functions,
        checkpoints: &mut Checkpoints,
    ) {
        self.changed.extend(self.pending.drain().map(|(function, _)| function));
        for call in &batch.calls {
            let Some(place) = call.outcome.failure_place() else { continue };
            let Some(function) = functions.get(call.function).map(|function| function.counted_as) else {
                continue;
            };
            self.pending.entry(function).or_default()[place] += 1;
        }
        self.changed.extend(self.pending.keys());
        for function in self.changed.drain() {
            let of =
                |failures: &HashMap<u32, ByOutcome>| failures.get(&function).copied().unwrap_or_default();
            let (rows, pending, folded) = (of(&self.rows), of(&self.pending), of(&self.folded));
            let sums = std::array::from_fn(|at| rows[at] + pending[at] + folded[at]);
            checkpoints.grouped(batch.sequence, function, sums);
        }
    }

    /// Notes that the store has the pending batch.
    pub(super) fn note_written(&mut self) {
        for (function, failures) in self.pending.drain() {
            let rows = self.rows.entry(function).or_default();
            rows.iter_mut().zip(failures).for_each(|(rows, more)| *rows += more);
        }
    }
}
