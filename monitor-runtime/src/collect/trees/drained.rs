//! The calls of a drain, in the order of their ends.
//!
//! Takes the words of drained rings; gives a list of their calls, callees before callers, in which the other files note
//! what they find out about each call. Calls for which there is no memory are left out. The memory of the list serves
//! several drains. The file does not know who called whom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use super::folds::Key;
use super::parents::Slot;
use crate::growth::MakeRoom as _;
use crate::record::{HEADER_WORDS, Header, Record, decode};

/// A drained call, and its place among the callers that are remembered.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) header: Header,
    /// The number of the call's ring in the drain, and the place of its first word there.
    pub(super) ring: u32,
    pub(super) at: u32,
    pub(super) thread: u32,
    /// The places of the call, if it has callees, and of its caller.
    pub(super) own: Option<Slot>,
    pub(super) parent: Option<Slot>,
    pub(super) row: Row,
}

/// The row of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// The call has a row of its own.
    Own,
    /// The call is one of many like it, and shares a row unless it has to have one of its own.
    OneOfMany,
    /// The call shares the row with this key.
    Shared(Key),
}

impl Drained {
    /// Returns the end in ticks, by which calls of several rings are put in order.
    pub(super) fn end(&self) -> u64 {
        self.header.start.wrapping_add(self.header.duration)
    }
}

/// The memory of the list of a drain's calls, which is kept for the next drains. In a burst these have about as many
/// calls, and memory that the system has to provide anew takes about as long as decoding the calls.
#[derive(Debug, Default)]
pub(super) struct SpareCalls {
    /// An empty list.
    calls: Vec<Drained>,
    /// The time of the last drain that used much of the memory.
    used: Duration,
}

impl SpareCalls {
    /// Returns an empty list.
    pub(super) fn take(&mut self) -> Vec<Drained> {
        std::mem::take(&mut self.calls)
    }

    /// Keeps the memory of a drain's calls, unless it has room for more than `max` calls, or no drain has used much of
    /// it lately.
    pub(super) fn keep(&mut self, mut calls: Vec<Drained>, now: Duration, max: usize) {
        if calls.len() >= calls.capacity() / USED_SHARE {
            self.used = now;
        }
        if calls.capacity() <= max && now < self.used + KEPT_UNUSED {
            calls.clear();
            self.calls = calls;
        }
    }

    /// Returns the number of calls for which memory is kept.
    pub(super) fn capacity(&self) -> usize {
        self.calls.capacity()
    }
}

/// A drain uses much of the memory if it needs one in this many of its places.
const USED_SHARE: usize = 8;
/// The time for which memory is kept that no drain uses much of: requests that are one burst each may come a second
/// apart.
const KEPT_UNUSED: Duration = Duration::from_secs(3);

/// Adds the calls of a drain to an empty list, and returns them in the order of their ends. The calls of a ring are in
/// that order already.
pub(super) fn in_order(
    rings: &[(usize, Vec<u64>)],
    threads: &[u32],
    mut calls: Vec<Drained>,
) -> Vec<Drained> {
    // There are at most as many calls as headers fit into the words. Memory that is not used is not touched.
    _ = calls.try_reserve_exact(rings.iter().map(|(_, words)| words.len()).sum::<usize>() / HEADER_WORDS);
    for (ring, (owner, words)) in rings.iter().enumerate() {
        let mut at = 0;
        let mut thread = threads.get(*owner).copied().unwrap_or(0);
        while let Some((record, used)) = words.get(at..).and_then(decode) {
            // Calls for which the machine has no memory just now are not looked at: each has a row of its own.
            if calls.len() == calls.capacity() && calls.try_reserve(calls.len().max(1)).is_err() {
                break;
            }
            match record {
                Record::Call(header, ..) => calls.push(Drained {
                    header,
                    ring: ring as u32,
                    at: at as u32,
                    thread,
                    own: None,
                    parent: None,
                    row: Row::Own,
                }),
                Record::Thread(next) => thread = next,
                Record::Folded(..) | Record::Fold(..) | Record::Line(..) | Record::Skip => {}
            }
            at += used;
        }
    }
    if rings.len() > 1 {
        sort_by_end(&mut calls);
    }
    calls
}

/// Sorts calls by their end. The calls of each ring, which lie together, are merged if each ring is in order already,
/// because that is faster than a sort. A stable sort would merge them as well, but ends the process if it gets no
/// memory.
fn sort_by_end(calls: &mut [Drained]) {
    let is_ordered = |ring: &[Drained]| ring.is_sorted_by_key(Drained::end);
    let mut order: Vec<u32> = Vec::new();
    let mut heads: Vec<Reverse<(u64, u32)>> = Vec::new();
    let rings = || calls.chunk_by(|call, next| call.ring == next.ring);
    if !rings().all(is_ordered) || !order.make_room(calls.len()) || !heads.make_room(rings().count()) {
        calls.sort_unstable_by_key(|call| (call.end(), call.ring, call.at));
        return;
    }
    let mut first = 0;
    for ring in rings() {
        heads.push(Reverse((ring[0].end(), first)));
        first += ring.len() as u32;
    }
    let mut heads = BinaryHeap::from(heads);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((_, number)) = *head;
        order.push(number);
        let ring = calls[number as usize].ring;
        match calls.get(number as usize + 1).filter(|next| next.ring == ring) {
            Some(next) => *head = Reverse((next.end(), number + 1)),
            None => _ = PeekMut::pop(head),
        }
    }
    // Each call goes to its place along the cycle that it belongs to.
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at as u32) as usize;
            if from == start || from == at {
                break;
            }
            calls.swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    #[test]
    fn calls_of_several_rings_are_sorted_by_their_ends_and_equal_ones_stay_in_order() {
        let call = |ring: u32, at: u32, end: u64| Drained {
            header: Header { start: end, duration: 0, ..Header::any(1, Outcome::Ok) },
            ring,
            at,
            thread: 1,
            own: None,
            parent: None,
            row: Row::Own,
        };
        for seed in 1..50_u32 {
            let mut calls: Vec<Drained> = (0..3_u32)
                .flat_map(|ring| (0..seed * 7 % 90).map(move |at| (ring, at)))
                .map(|(ring, at)| call(ring, at, u64::from((at * seed + ring * 31) % 97 / 3)))
                .collect();
            let mut expected: Vec<_> = calls.iter().map(|call| (call.end(), call.ring, call.at)).collect();
            expected.sort_unstable();
            sort_by_end(&mut calls);
            let sorted: Vec<_> = calls.iter().map(|call| (call.end(), call.ring, call.at)).collect();
            assert_eq!(sorted, expected, "{seed}");
        }
    }

    #[test]
    fn the_memory_of_a_burst_is_kept_for_the_next_one_and_given_back_after_it() {
        let mut spare = SpareCalls::default();
        let secs = Duration::from_secs;
        let burst = Vec::with_capacity(1000);
        spare.keep(burst, secs(10), 1000);
        assert_eq!(spare.capacity(), 0, "an empty drain uses nothing");
        let words: Vec<u64> = (0..1000).flat_map(|_| Header::any(1, Outcome::Ok).encode(0)).collect();
        let rings = [(0, words)];
        let calls = in_order(&rings, &[1], spare.take());
        let capacity = calls.capacity();
        spare.keep(calls, secs(11), capacity);
        for at in [12, 13] {
            let calls = in_order(&[], &[], spare.take());
            spare.keep(calls, secs(at), capacity);
            assert_eq!(spare.capacity(), capacity, "{at} s");
        }
        let calls = in_order(&rings, &[1], spare.take());
        spare.keep(calls, secs(14), capacity - 1);
        assert_eq!(spare.capacity(), 0, "it is more than may be kept");
        let calls = in_order(&rings, &[1], spare.take());
        spare.keep(calls, secs(15), capacity);
        let calls = spare.take();
        spare.keep(calls, secs(18), capacity);
        assert_eq!(spare.capacity(), 0, "no burst came for three seconds");
    }
}
