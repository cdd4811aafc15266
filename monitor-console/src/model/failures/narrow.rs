//! Replaces the figures of kinds by those within a scope.
//!
//! Takes kinds as the store counts them, and the failures that have rows within the scope; gives the kinds with the
//! figures of the scope. A kind whose failures all lie within the scope keeps its figures. The file reads nothing from
//! a store.

use std::collections::{HashMap, HashSet};

use super::Kind;
use super::tally::Sum;
use crate::model::scope::Scope;

/// The message of the kind under which the store counts the failures beyond the bound on kinds.
const OTHER: &str = "other";

/// The failures that have rows, by function and outcome, and by the kind of their message.
#[derive(Debug, Default)]
pub(super) struct Sums(HashMap<(String, &'static str), HashMap<String, Sum>>);

impl Sums {
    pub(super) fn add(&mut self, function: &str, outcome: &'static str, message: &str, sum: &Sum) {
        let messages = self.0.entry((function.to_owned(), outcome)).or_default();
        messages.entry(message.to_owned()).or_default().add(sum);
    }

    /// Returns the failures of a kind. The kind `other` has those of all messages of which there is no kind.
    fn find(&self, kind: &Kind, messages: &Messages<'_>) -> Sum {
        let mut found = Sum::default();
        let outcome = ["error", "panic", "cancelled"].into_iter().find(|outcome| **outcome == *kind.outcome);
        let Some(sums) = outcome.and_then(|outcome| self.0.get(&(kind.function.clone(), outcome))) else {
            return found;
        };
        if let Some(own) = sums.get(&kind.message) {
            found.add(own);
        }
        if kind.message == OTHER {
            let is_without_kind = |message: &str| messages.count_kinds(kind, message) == 0;
            sums.iter()
                .filter(|(message, _)| is_without_kind(message))
                .for_each(|(_, other)| found.add(other));
        }
        found
    }
}

/// The messages of the kinds of each function and outcome, each with the number of kinds that have it.
#[derive(Debug, Default)]
pub(super) struct Messages<'a>(HashMap<(&'a str, &'a str), HashMap<&'a str, usize>>);

impl<'a> Messages<'a> {
    pub(super) fn gather(kinds: &'a [Kind]) -> Self {
        let mut messages: HashMap<_, HashMap<_, usize>> = HashMap::new();
        for kind in kinds {
            let of_function = messages.entry((&*kind.function, &*kind.outcome)).or_default();
            *of_function.entry(&*kind.message).or_default() += 1;
        }
        Self(messages)
    }

    /// Returns the functions that failed in several ways with one outcome, which only the texts of errors tell apart.
    pub(super) fn list_ambiguous(&self) -> HashSet<&'a str> {
        let ambiguous = self.0.iter().filter(|(_, messages)| messages.len() > 1);
        ambiguous.map(|((function, _), _)| *function).collect()
    }

    /// Returns the message of all failures of a function with an outcome, if they have only one. No row has another
    /// message, because the store counts each failure in a kind.
    pub(super) fn find_only(&self, function: &str, outcome: &str) -> Option<&'a str> {
        let messages = self.0.get(&(function, outcome))?;
        messages.keys().next().copied().filter(|_| messages.len() == 1)
    }

    /// Returns the number of kinds with this message, and with the function and the outcome of `kind`. They differ in
    /// the type of the error.
    fn count_kinds(&self, kind: &Kind, message: &str) -> usize {
        let messages = self.0.get(&(&*kind.function, &*kind.outcome));
        messages.and_then(|messages| messages.get(message)).copied().unwrap_or(0)
    }
}

/// Replaces the figures of the kinds that reach beyond the scope by those of the rows within it, and removes the kinds
/// without a failure in it. Fills in the courses of all kinds, in this many parts. `is_partial` tells that failures may
/// lack rows.
pub(super) fn narrow(kinds: &mut Vec<Kind>, scope: &Scope, sums: &Sums, parts: usize, is_partial: bool) {
    let messages = Messages::gather(kinds);
    // Rows do not hold the type of their error, so kinds that differ in nothing else share their rows.
    let found: Vec<(Sum, bool)> = kinds
        .iter()
        .map(|kind| (sums.find(kind, &messages), messages.count_kinds(kind, &kind.message) > 1))
        .collect();
    let mut found = found.into_iter();
    kinds.retain_mut(|kind| {
        let (mut sum, is_shared) = found.next().unwrap_or_default();
        kind.course = std::mem::take(&mut sum.parts);
        kind.course.resize(parts, 0.0);
        kind.is_within(scope) || narrow_kind(kind, scope, &sum, (is_partial, is_shared))
    });
}

/// Replaces the figures of a kind by those of its rows within the scope. Returns false if it has no failure there.
fn narrow_kind(kind: &mut Kind, scope: &Scope, sum: &Sum, (is_partial, is_shared): (bool, bool)) -> bool {
    let is_in_scope = sum.failures > 0 || (is_partial && kind.has_end_within(scope));
    kind.count = sum.failures.max(1);
    kind.is_lower_bound = is_partial || is_shared;
    kind.roots = Some(sum.roots);
    kind.are_roots_lower_bound = is_partial;
    let is_last_outside = kind.last_ns.is_some_and(|last_ns| last_ns > scope.period.until_ns);
    if is_last_outside || scope.processes.is_some() {
        kind.last_ns = sum.last.map(|(start_ns, _)| start_ns);
        kind.example = sum.last.map(|(_, call_id)| call_id);
    }
    is_in_scope
}
