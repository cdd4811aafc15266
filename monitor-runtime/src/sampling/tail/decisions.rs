//! A bounded memory of the latest decisions about calls. It forgets the oldest half at a time.

use crate::by_number::NumberMap;
use crate::growth::MakeRoom as _;

/// The probabilities of the latest decisions, by span: at least the last `max` decisions, if as many were made, and at
/// most twice as many.
#[derive(Debug)]
pub(super) struct RecentDecisions {
    /// The largest number of young decisions.
    max: usize,
    pub(super) young: NumberMap<u64, f64>,
    pub(super) old: NumberMap<u64, f64>,
}

impl RecentDecisions {
    pub(super) fn new(max: usize) -> Self {
        Self { max, young: NumberMap::default(), old: NumberMap::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    pub(super) fn get(&self, span: u64) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        self.young.get(&span).or_else(|| self.old.get(&span)).copied()
    }

    /// Remembers a decision. If there is no memory for it, the decision is forgotten at once.
    pub(super) fn insert(&mut self, span: u64, probability: f64) {
        if self.young.len() >= self.max {
            self.age();
        }
        if self.young.make_room(1) {
            self.young.insert(span, probability);
        }
    }

    pub(super) fn remove(&mut self, span: u64) {
        if !self.is_empty() && self.young.remove(&span).is_none() {
            self.old.remove(&span);
        }
    }

    pub(super) fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}
