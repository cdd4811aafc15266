//! Failures that have no row of their own, counted by kind: there was no room for their records, or the store refused
//! their rows.
//!
//! Takes failures of a function; gives one row for each kind. The number of kinds is bounded. Counts are kept from the
//! start of the process, and a row replaces the one before it.

use std::collections::HashMap;

use crate::batch::FoldedRow;
use crate::limits;
use crate::record::Outcome;
use crate::store::fingerprint;

/// Failures of one function and kind.
#[derive(Debug)]
pub(super) struct Failures {
    /// The id of the function's call site.
    pub(super) function: u32,
    pub(super) outcome: Outcome,
    /// The message, without the numbers in which messages of one kind differ.
    pub(super) message: String,
    pub(super) count: u64,
    /// The end of the last one.
    pub(super) at_ns: i64,
}

/// The failures that have no row of their own.
#[derive(Debug, Default)]
pub(super) struct FoldedFailures {
    /// The rows, by fingerprint.
    kinds: HashMap<i64, FoldedRow>,
    is_changed: bool,
}

impl FoldedFailures {
    /// Counts failures of the function that has this name.
    pub(super) fn add(&mut self, name: &str, failures: Failures) {
        let Failures { function, outcome, mut message, count, at_ns } = failures;
        let mut key = fingerprint::fingerprint(name, outcome, &message);
        if self.kinds.len() >= limits::FOLDED_KINDS_MAX && !self.kinds.contains_key(&key) {
            OTHER.clone_into(&mut message);
            key = fingerprint::fingerprint(name, outcome, &message);
        }
        let row = self.kinds.entry(key).or_insert(FoldedRow {
            function,
            outcome,
            message,
            fingerprint: key,
            count: 0,
            first_ns: at_ns,
            last_ns: at_ns,
        });
        row.count += count;
        row.last_ns = row.last_ns.max(at_ns);
        self.is_changed = true;
    }

    /// Returns all rows if one of them changed since the last call.
    pub(super) fn take_changed(&mut self) -> Option<Vec<FoldedRow>> {
        std::mem::take(&mut self.is_changed).then(|| self.kinds.values().cloned().collect())
    }

    /// Has all rows written again.
    pub(super) fn touch(&mut self) {
        self.is_changed |= !self.kinds.is_empty();
    }
}

/// The message of failures whose own is not known, and of kinds beyond the bound.
pub(super) const OTHER: &str = "other";
