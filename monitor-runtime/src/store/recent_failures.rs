//! The kinds of recent failures, by the spans of their calls.
//!
//! Takes spans and fingerprints; gives the fingerprint of a span. The number of failures is bounded: the older half is
//! forgotten when there is no room for another one.

use std::collections::HashMap;

use crate::growth::MakeRoom as _;

/// The fingerprints of recent failures.
#[derive(Debug)]
pub(crate) struct RecentFailures {
    young: HashMap<u64, i64>,
    old: HashMap<u64, i64>,
    /// The most entries of `young`. When it is full, it replaces `old`.
    max: usize,
}

impl RecentFailures {
    /// Returns a memory that keeps at least the latest `max` failures, and at most twice as many.
    pub(crate) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), max }
    }

    pub(crate) fn insert(&mut self, span: u64, fingerprint: i64) {
        if self.young.len() >= self.max {
            self.old = std::mem::take(&mut self.young);
        }
        // Without memory, the failure is treated as if it had been forgotten.
        if self.young.make_room(1) {
            self.young.insert(span, fingerprint);
        }
    }

    pub(crate) fn get(&self, span: u64) -> Option<i64> {
        self.young.get(&span).or_else(|| self.old.get(&span)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CAUSES_MAX;

    #[test]
    fn the_latest_failures_are_known_and_their_number_is_bounded() {
        let mut recent = RecentFailures::new(CAUSES_MAX);
        let spans = 5 * CAUSES_MAX as u64;
        (0..spans).for_each(|span| recent.insert(span, span.cast_signed()));
        let last = spans - CAUSES_MAX as u64;
        assert!((last..spans).all(|span| recent.get(span) == Some(span.cast_signed())));
        assert!(recent.young.len() + recent.old.len() <= 2 * CAUSES_MAX);
    }
}
