//! Failures that have no row of their own, counted by kind: there was no room for their records, or the store refused
//! their rows.
//!
//! Takes failures of a function; gives one row for each kind. The number of kinds is bounded. Counts are kept from the
//! start of the process, and a row replaces the one before it.

use std::collections::HashMap;

use crate::batch::FoldedRow;
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::record::{ByOutcome, Outcome};
use crate::store::{OTHER_KIND, fingerprint};

/// Failures of one function and kind.
#[derive(Debug)]
pub(super) struct Failures {
    /// The id of the call site under which the function's calls are counted.
    pub(super) function: u32,
    pub(super) outcome: Outcome,
    /// The text of the kind: see `fingerprint::kind`.
    pub(super) message: String,
    /// The name of the error's type, or nothing.
    pub(super) error_type: String,
    pub(super) count: u64,
    /// The end of the last of these failures.
    pub(super) at_ns: i64,
}

/// The failures that have no row of their own.
#[derive(Debug, Default)]
pub(super) struct FoldedFailures {
    /// The rows, by fingerprint.
    kinds: HashMap<i64, FoldedRow>,
    /// The number of rows of each function.
    of_function: HashMap<u32, usize>,
    /// The failures of each function.
    counted: HashMap<u32, ByOutcome>,
    is_changed: bool,
}

impl FoldedFailures {
    /// Counts failures of the function `name`: by their own kind if it is known or there is room for it, else by a
    /// common kind. Returns false if the machine has no memory for a kind: the statistics of functions include these
    /// failures already, so only their kind is lost.
    pub(super) fn add(&mut self, name: &str, failures: Failures, kinds_max: usize) -> bool {
        if !(self.counted.make_room(1) && self.of_function.make_room(1) && self.kinds.make_room(1)) {
            return false;
        }
        let Failures { function, outcome, mut message, mut error_type, count, at_ns } = failures;
        let mut key = fingerprint::fingerprint(name, outcome, &message, &error_type);
        if let Some(place) = outcome.failure_place() {
            self.counted.entry(function).or_default()[place] += count;
        }
        let of_function = self.of_function.entry(function).or_default();
        if !has_room(self.kinds.len(), *of_function, kinds_max) && !self.kinds.contains_key(&key) {
            OTHER_KIND.clone_into(&mut message);
            error_type.clear();
            key = fingerprint::fingerprint(name, outcome, &message, &error_type);
        }
        let row = self.kinds.entry(key).or_insert_with(|| {
            *of_function += 1;
            FoldedRow {
                function,
                outcome,
                message,
                error_type,
                fingerprint: key,
                count: 0,
                first_ns: at_ns,
                last_ns: at_ns,
            }
        });
        row.count += count;
        row.last_ns = row.last_ns.max(at_ns);
        self.is_changed = true;
        true
    }

    /// Returns all rows if one of them changed since the last call.
    pub(super) fn take_changed(&mut self) -> Option<Vec<FoldedRow>> {
        let mut rows = Vec::new();
        if !self.is_changed || !rows.make_room(self.kinds.len()) {
            return None;
        }
        self.is_changed = false;
        rows.extend(self.kinds.values().cloned());
        Some(rows)
    }

    /// Returns the number of failures of each function, the sum over all of its kinds.
    pub(super) fn counted(&self) -> &HashMap<u32, ByOutcome> {
        &self.counted
    }

    /// Returns the number of kinds.
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Marks all rows as changed, so that they are written again.
    pub(super) fn touch(&mut self) {
        self.is_changed |= !self.kinds.is_empty();
    }
}

/// Returns true if a function that has `of_function` kinds of failure may have one more, while all functions have
/// `kinds`.
fn has_room(kinds: usize, of_function: usize, kinds_max: usize) -> bool {
    of_function < limits::FUNCTION_KINDS_SURE
        || (of_function < limits::FUNCTION_KINDS_MAX && kinds < kinds_max)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_noisy_function_leaves_the_kinds_of_other_functions_alone() {
        let mut folded = FoldedFailures::default();
        let failure = |function: u32, message: String| Failures {
            function,
            outcome: Outcome::Error,
            message,
            error_type: String::new(),
            count: 1,
            at_ns: 1,
        };
        for kind in 0..limits::FUNCTION_KINDS_MAX + 100 {
            assert!(folded.add("noisy", failure(1, format!("{kind}")), limits::FOLDED_KINDS_MAX));
        }
        assert!(folded.add("quiet", failure(2, "disk full".to_owned()), limits::FOLDED_KINDS_MAX));
        let rows = folded.take_changed().unwrap();
        assert_eq!(rows.len(), limits::FUNCTION_KINDS_MAX + 2);
        let other = rows.iter().find(|row| row.message == OTHER_KIND).unwrap();
        assert_eq!((other.function, other.count), (1, 100));
        assert!(rows.iter().any(|row| row.function == 2 && row.message == "disk full"));
    }

    #[test]
    fn the_first_kinds_of_a_function_are_told_apart_even_when_the_bound_is_reached() {
        assert!(has_room(
            limits::FOLDED_KINDS_MAX,
            limits::FUNCTION_KINDS_SURE - 1,
            limits::FOLDED_KINDS_MAX
        ));
        assert!(!has_room(limits::FOLDED_KINDS_MAX, limits::FUNCTION_KINDS_SURE, limits::FOLDED_KINDS_MAX));
        assert!(!has_room(0, limits::FUNCTION_KINDS_MAX, limits::FOLDED_KINDS_MAX));
    }
}
