//! Counts the rows of failed calls by function, outcome and text of the error.
//!
//! Takes one row after the other; gives for each text its failures, the last one, their course over time, and the roots
//! that failed because of them. Texts become kinds afterwards, because many rows share few texts. The file reads
//! nothing from a store.

use std::collections::HashMap;

use super::rows::{Failed, Links};
use crate::model::names::Name;

/// The most causes that are followed from one failed call. In a deeper chain of calls the failure counts under the last
/// call that was reached. A tampered store may hold a cycle of causes.
const CAUSES_FOLLOWED_MAX: usize = 1000;

/// The span that courses cover, in equal parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    from_ns: i64,
    part_ns: i64,
    number: usize,
}

impl Parts {
    /// Cuts the time from one moment to another into this many parts; 0 for no courses.
    pub(super) fn cut(from_ns: i64, until_ns: i64, number: usize) -> Self {
        let parts = i64::try_from(number.max(1)).unwrap_or(i64::MAX);
        Self { from_ns, part_ns: (until_ns.saturating_sub(from_ns) / parts).max(1), number }
    }

    /// Returns the part that a moment lies in. Moments before the first part or after the last one count in these.
    fn find(self, at_ns: i64) -> usize {
        let part = usize::try_from(at_ns.saturating_sub(self.from_ns) / self.part_ns).unwrap_or(0);
        part.min(self.number.saturating_sub(1))
    }
}

/// Failures that have rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) failures: i64,
    /// The roots that failed because of these failures; 0 if the rows have no links.
    pub(super) roots: i64,
    /// The start and the id of the call that failed last.
    pub(super) last: Option<(i64, i64)>,
    /// The failures in each part of the span.
    pub(super) parts: Vec<f64>,
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.failures += other.failures;
        self.roots += other.roots;
        self.last = self.last.max(other.last);
        if self.parts.len() < other.parts.len() {
            self.parts.resize(other.parts.len(), 0.0);
        }
        self.parts.iter_mut().zip(&other.parts).for_each(|(sum, part)| *sum += part);
    }
}

/// The function, the outcome and the text of the error of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) function: Name,
    pub(super) outcome: &'static str,
    pub(super) error: Option<Name>,
}

/// Failures by key.
#[derive(Debug)]
pub(super) struct Tally {
    parts: Parts,
    sums: Vec<(Key, Sum)>,
    places: HashMap<Key, usize>,
    /// The failures that can be the cause of others or have a cause, by process and span: the place of their sum, and
    /// the span of the callee that the failure came from.
    causes: HashMap<(i64, i64), (usize, Option<i64>)>,
    /// The process and the span of the failed roots that have a cause.
    roots: Vec<(i64, i64)>,
}

impl Tally {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, sums: Vec::new(), places: HashMap::new(), causes: HashMap::new(), roots: Vec::new() }
    }

    /// Counts a failed call.
    pub(super) fn add(&mut self, failed: Failed) {
        let Failed { call_id, start_ns, function, outcome, error, links } = failed;
        let key = Key { function, outcome, error };
        let place = *self.places.entry(key).or_insert_with(|| {
            self.sums.push((key, Sum { parts: vec![0.0; self.parts.number], ..Sum::default() }));
            self.sums.len() - 1
        });
        let sum = &mut self.sums[place].1;
        sum.failures += 1;
        sum.last = sum.last.max(Some((start_ns, call_id)));
        if let Some(part) = sum.parts.get_mut(self.parts.find(start_ns)) {
            *part += 1.0;
        }
        match links {
            None => {}
            // No call made a root, so no failure came from it.
            Some(Links { is_root: true, caused_by: None, .. }) => sum.roots += 1,
            Some(Links { process, span, is_root, caused_by }) => {
                self.causes.insert((process, span), (place, caused_by));
                if is_root {
                    self.roots.push((process, span));
                }
            }
        }
    }

    /// Returns the failures by key. Each root counts under the failure that made it fail: the last one that is reached
    /// from the root by way of causes.
    pub(super) fn finish(mut self) -> Vec<(Key, Sum)> {
        for (process, root) in &self.roots {
            let mut origin = self.causes.get(&(*process, *root));
            for _ in 0..CAUSES_FOLLOWED_MAX {
                match origin.and_then(|(_, cause)| self.causes.get(&(*process, (*cause)?))) {
                    Some(below) => origin = Some(below),
                    None => break,
                }
            }
            if let Some((place, _)) = origin {
                self.sums[*place].1.roots += 1;
            }
        }
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_that_lead_in_a_circle_come_to_an_end() {
        let failed = |span: i64, caused_by: i64, is_root: bool| Failed {
            call_id: span,
            start_ns: 10 * span,
            function: 7,
            outcome: "error",
            error: None,
            links: Some(Links { process: 1, span, is_root, caused_by: Some(caused_by) }),
        };
        let mut tally = Tally::new(Parts::cut(10, 30, 2));
        for failed in [failed(1, 2, true), failed(2, 1, false), failed(9, 8, true)] {
            tally.add(failed);
        }
        let key = Key { function: 7, outcome: "error", error: None };
        let sum = Sum { failures: 3, roots: 2, last: Some((90, 9)), parts: vec![1.0, 2.0] };
        assert_eq!(tally.finish(), [(key, sum)]);
    }
}
