//! The longest of many calls, which are found a range at a time.
//!
//! Takes calls in any order; keeps as many as are wanted, and gives them back, the longest first. The cost of a call is
//! the logarithm of the number that is wanted, however many ranges the calls come from.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The longest calls so far.
#[derive(Debug)]
pub(crate) struct Longest {
    wanted: usize,
    /// Duration and id, the shortest call on top.
    calls: BinaryHeap<Reverse<(i64, i64)>>,
}

impl Longest {
    /// Returns an empty set that keeps this many calls.
    pub(crate) const fn new(wanted: usize) -> Self {
        Self { wanted, calls: BinaryHeap::new() }
    }

    /// Adds a call, and removes the shortest one if there are too many. Of equally long calls the oldest is the shortest.
    pub(crate) fn add(&mut self, id: i64, duration: i64) {
        self.calls.push(Reverse((duration, id)));
        if self.calls.len() > self.wanted {
            self.calls.pop();
        }
    }

    /// Returns true if no call of this duration or a shorter one is wanted.
    pub(crate) fn exceeds(&self, duration: i64) -> bool {
        self.calls.len() == self.wanted && self.calls.peek().is_none_or(|shortest| shortest.0.0 > duration)
    }

    /// Returns the ids of the calls, the longest first.
    pub(crate) fn into_ids(self) -> impl Iterator<Item = i64> {
        self.calls.into_sorted_vec().into_iter().map(|Reverse((_, id))| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_calls_remain_whatever_their_order() {
        let mut longest = Longest::new(3);
        assert!(!longest.exceeds(0));
        for (id, duration) in [(1, 5), (2, 9), (3, 7), (4, 5), (5, 6)] {
            longest.add(id, duration);
        }
        assert!(longest.exceeds(5));
        assert!(!longest.exceeds(6), "a newer call of the same duration may follow");
        longest.add(6, 6);
        assert_eq!(longest.into_ids().collect::<Vec<_>>(), [2, 3, 6]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_wanted() {
        let mut longest = Longest::new(0);
        assert!(longest.exceeds(i64::MAX));
        longest.add(1, 1);
        assert_eq!(longest.into_ids().count(), 0);
    }
}
