//! Remembers the calls that have written log lines and have no row yet, so that the lines can be linked to the rows.
//!
//! Takes the spans of calls that write log lines; reports for each call that gets a row whether a log line waits for
//! its id. Calls that a failed transaction has taken are awaited again. A bounded number of calls is remembered, the
//! latest ones. The file does not know log lines.

use std::collections::{HashSet, VecDeque};

use crate::growth::MakeRoom as _;

/// The calls of this process that have written a log line and have no row yet.
#[derive(Debug)]
pub(crate) struct AwaitedCalls {
    /// The most calls that are remembered.
    max: usize,
    spans: HashSet<u64>,
    /// The spans in the order in which they were added, including some that are not awaited any more.
    order: VecDeque<u64>,
    /// The spans that the current transaction has taken.
    uncommitted: Vec<u64>,
}

impl AwaitedCalls {
    /// Returns a memory of at most this many calls.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, spans: HashSet::new(), order: VecDeque::new(), uncommitted: Vec::new() }
    }

    /// Awaits a call. If there are too many, the call that was added first is forgotten.
    pub(super) fn add(&mut self, span: u64) {
        // `uncommitted` has room for every awaited call, so that `take` needs no memory.
        let has_room = self.spans.make_room(1)
            && self.order.make_room(1)
            && self.uncommitted.make_room(self.spans.len() + 1);
        if has_room && self.spans.insert(span) {
            self.order.push_back(span);
        }
        while self.order.len() > self.max {
            let gone = self.order.pop_front();
            gone.inspect(|span| _ = self.spans.remove(span));
        }
    }

    /// Returns true if no call is awaited.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns true if this call was awaited, and stops awaiting it.
    pub(super) fn take(&mut self, span: u64) -> bool {
        let is_awaited = self.spans.remove(&span);
        if is_awaited {
            self.uncommitted.push(span);
        }
        is_awaited
    }

    /// Notes that the current transaction was committed.
    pub(crate) fn commit(&mut self) {
        self.uncommitted.clear();
    }

    /// Awaits again the calls that the current transaction, which failed, has taken.
    pub(crate) fn roll_back(&mut self) {
        for span in std::mem::take(&mut self.uncommitted) {
            self.add(span);
        }
    }

    /// Awaits nothing, because another file is open now.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_awaited_until_it_comes_in_a_transaction_that_succeeds() {
        let mut awaited = AwaitedCalls::new(10);
        awaited.add(7);
        awaited.add(7);
        assert!(awaited.take(7) && !awaited.take(7) && awaited.is_empty());
        awaited.roll_back();
        assert!(awaited.take(7));
        awaited.commit();
        awaited.roll_back();
        assert!(awaited.is_empty());
    }

    #[test]
    fn the_latest_calls_are_remembered() {
        let mut awaited = AwaitedCalls::new(10);
        (1..=1000).for_each(|span| awaited.add(span));
        let remembered: Vec<u64> = (1..=1000).filter(|span| awaited.take(*span)).collect();
        assert_eq!(remembered, (991..=1000).collect::<Vec<_>>());
        assert!(awaited.order.len() <= 10);
    }
}
