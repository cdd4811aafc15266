//! Async calls between two polls, where another process can read them: slots of the ring file.
//!
//! Takes a call that waits to be polled again, or a span that is open; gives it a slot, and takes the slot back at the
//! call's end. A slot whose site is 0 is free. The file does not know calls on a stack: see `frames`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::platform::clock::Ticks;
use crate::ring::layout::{Kind, block, block_bytes, flight, head};
use crate::ring::memory::Memory;

/// A call that waits to be polled again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspended<'a> {
    pub(crate) site: u32,
    pub(crate) start: Ticks,
    pub(crate) span: u64,
    /// Span id of the parent; 0 for none.
    pub(crate) parent: u64,
    /// End of the last poll.
    pub(crate) since: Ticks,
    /// The captured arguments: whole words.
    pub(crate) arguments: &'a [u8],
}

/// The number of free slots that a thread keeps. 170 threads that keep as many leave no free slot to others.
const SPARE_MAX: usize = 6;

/// The free slots that a thread keeps for its next calls, so that threads do not meet at the stack of free slots. The owner
/// uses plain loads and stores.
#[derive(Debug, Default)]
pub(crate) struct SpareSlots {
    numbers: [AtomicU32; SPARE_MAX],
    count: AtomicU32,
}

impl SpareSlots {
    #[inline]
    fn pop(&self) -> Option<u32> {
        let count = self.count.load(Ordering::Relaxed).checked_sub(1)?;
        let slot = self.numbers.get(count as usize)?.load(Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
        Some(slot)
    }

    /// Keeps a slot. Returns false if the thread has enough of them.
    #[inline]
    fn push(&self, slot: u32) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let Some(place) = self.numbers.get(count as usize) else { return false };
        place.store(slot, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        true
    }
}

/// The slots. Any thread takes and returns them, and keeps a few that it has returned. The other free slots are a stack, linked
/// by their numbers; its head carries a count of changes, so that a slot that was taken and returned is not mistaken for one that
/// never left.
#[derive(Debug)]
pub(crate) struct SuspendedCalls {
    words: Option<&'static [AtomicU64]>,
    /// The arguments of the calls in the slots, made for the first call that has some.
    values: OnceLock<Option<&'static [AtomicU64]>>,
    /// Number of calls that found no free slot.
    lost: &'static AtomicU64,
    /// | bits | content |
    /// |---|---|
    /// | 63–32 | count of changes |
    /// | 31–0 | number of the first free slot; 0 for none |
    free: AtomicU64,
    /// For each free slot, the number of the next free one.
    next: Box<[AtomicU32]>,
}

impl SuspendedCalls {
    pub(crate) fn new(memory: &Memory) -> Self {
        let words = memory.take_mapped(Kind::Flights, 0, block_bytes(flight::SLOTS * flight::WORDS));
        let slots = if words.is_some() { flight::SLOTS as u32 } else { 0 };
        let behind = |slot: u32| if slot == 0 { 0 } else { slot_behind(slot, slots) };
        Self {
            words,
            values: OnceLock::new(),
            lost: &memory.head()[head::FLIGHTS_LOST],
            free: AtomicU64::new(u64::from(slots.min(1))),
            next: (0..=slots).map(|slot| AtomicU32::new(behind(slot))).collect(),
        }
    }

    /// Takes a slot for a call that waits, with as many of its arguments as a slot keeps. `spare` is the calling thread's.
    /// Returns the slot's number, or 0 if none is free.
    #[inline]
    pub(crate) fn take(&self, memory: &Memory, spare: &SpareSlots, call: Suspended<'_>) -> u32 {
        let Some(slot) = spare.pop().or_else(|| self.take_shared()) else { return 0 };
        if let Some(words) = self.slot(slot) {
            words[flight::START].store(call.start, Ordering::Relaxed);
            words[flight::SPAN].store(call.span, Ordering::Relaxed);
            words[flight::SINCE].store(call.since, Ordering::Relaxed);
            words[flight::PARENT].store(call.parent, Ordering::Relaxed);
            let argument_words = match call.arguments {
                [] => 0,
                arguments => self.keep_arguments(memory, slot, arguments) as u64,
            };
            // Publishes the call to a reader of the file.
            words[flight::SITE].store(u64::from(call.site) | argument_words << 32, Ordering::Release);
        }
        slot
    }

    /// Takes a slot that no thread keeps. Returns `None`, and counts the call, if there is none.
    #[cold]
    #[inline(never)]
    fn take_shared(&self) -> Option<u32> {
        let mut free = self.free.load(Ordering::Acquire);
        loop {
            let slot = free as u32;
            let Some(next) = self.next.get(slot as usize).filter(|_| slot != 0) else {
                self.lost.fetch_add(u64::from(self.words.is_some()), Ordering::Relaxed);
                return None;
            };
            let after = (free >> 32).wrapping_add(1) << 32 | u64::from(next.load(Ordering::Relaxed));
            // Observes the link of the slot, which the exchange in `give_back_shared` publishes.
            match self.free.compare_exchange_weak(free, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(slot),
                Err(now) => free = now,
            }
        }
    }

    /// Replaces the arguments of the call in a slot. A reader that comes while they change finds none.
    pub(crate) fn set_arguments(&self, memory: &Memory, slot: u32, arguments: &[u8]) {
        let Some(words) = self.slot(slot) else { return };
        let site = words[flight::SITE].load(Ordering::Relaxed) & u64::from(u32::MAX);
        words[flight::SITE].store(site, Ordering::Release);
        let argument_words = self.keep_arguments(memory, slot, arguments) as u64;
        // Publishes the arguments to a reader of the file.
        words[flight::SITE].store(site | argument_words << 32, Ordering::Release);
    }

    /// Returns the words of the arguments in the slot at this place among [`Self::slots`]. Returns no words if the call
    /// has no arguments, or if they are too long for the slot to hold all of them.
    pub(crate) fn arguments(&self, place: usize) -> Vec<u64> {
        let words =
            self.slot(place as u32 + 1).map_or(0, |slot| slot[flight::SITE].load(Ordering::Acquire) >> 32);
        let first = block::HEADER + place * flight::VALUE_WORDS;
        let is_whole = (1..=flight::VALUE_WORDS as u64).contains(&words);
        let values = self.values.get().copied().flatten().filter(|_| is_whole);
        let values = values.and_then(|values| values.get(first..first + words as usize));
        values.unwrap_or_default().iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Copies the arguments of a call to those of its slot. Returns the number of words of all arguments, which shows a
    /// reader that not all were kept. Returns 0 if there is no room for any.
    fn keep_arguments(&self, memory: &Memory, slot: u32, arguments: &[u8]) -> usize {
        if arguments.is_empty() {
            return 0;
        }
        let bytes = block_bytes(flight::SLOTS * flight::VALUE_WORDS);
        let values = self.values.get_or_init(|| memory.take_mapped(Kind::FlightValues, 0, bytes));
        let first = block::HEADER + (slot as usize - 1) * flight::VALUE_WORDS;
        let Some(place) = values.and_then(|values| values.get(first..first + flight::VALUE_WORDS)) else {
            return 0;
        };
        let words = arguments.as_chunks().0;
        for (place, word) in place.iter().zip(words) {
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        words.len()
    }

    /// Notes that a call waits again from `now` on.
    #[inline]
    pub(crate) fn wait(&self, slot: u32, now: Ticks) {
        if let Some(words) = self.slot(slot) {
            words[flight::SINCE].store(now, Ordering::Relaxed);
        }
    }

    /// Gives back the slot of a call that has ended on a thread with these spare slots. A slot that belongs to another
    /// call stays as it is: the number then came from the parent of a fork.
    #[inline]
    pub(crate) fn give_back(&self, spare: &SpareSlots, slot: u32, start: Ticks, span: u64) {
        let Some(words) = self.slot(slot) else { return };
        let is_its = words[flight::SITE].load(Ordering::Relaxed) != 0
            && words[flight::START].load(Ordering::Relaxed) == start
            && words[flight::SPAN].load(Ordering::Relaxed) == span;
        if !is_its {
            return;
        }
        words[flight::SITE].store(0, Ordering::Release);
        if !self.has_shared() || !spare.push(slot) {
            self.give_back_shared(slot);
        }
    }

    /// Returns true if there is a free slot that no thread keeps. If there is none, threads do not keep the slots that
    /// they give back, so that other threads find one.
    #[inline]
    fn has_shared(&self) -> bool {
        self.free.load(Ordering::Relaxed) as u32 != 0
    }

    #[cold]
    #[inline(never)]
    fn give_back_shared(&self, slot: u32) {
        let mut free = self.free.load(Ordering::Relaxed);
        loop {
            self.next[slot as usize].store(free as u32, Ordering::Relaxed);
            let after = (free >> 32).wrapping_add(1) << 32 | u64::from(slot);
            // Publishes the link of the slot, which the exchange in `take_shared` observes.
            match self.free.compare_exchange_weak(free, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => free = now,
            }
        }
    }

    /// Returns the words of every slot, for the collector.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &[AtomicU64; flight::WORDS]> {
        let words = self.words.and_then(|words| words.get(block::HEADER..)).unwrap_or_default();
        words.as_chunks::<{ flight::WORDS }>().0.iter()
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&'static [AtomicU64]> {
        let at = block::HEADER + (slot.checked_sub(1)? as usize) * flight::WORDS;
        self.words?.get(at..at + flight::WORDS)
    }
}

/// Returns the free slot behind this one, at the start. Slots that are taken one after the other lie apart, because
/// most likely different threads take them, and two threads should not write to the same cache line.
fn slot_behind(slot: u32, slots: u32) -> u32 {
    let apart = slot + SLOTS_APART;
    match (slot - 1) % SLOTS_APART + 2 {
        _ if apart <= slots => apart,
        next_round if next_round <= SLOTS_APART.min(slots) => next_round,
        _ => 0,
    }
}

/// The number of slots between two that are free one after the other: more than a thread keeps.
const SLOTS_APART: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_free_once_at_the_start() {
        for slots in [1, 2, 15, 16, 17, 100, 1022] {
            let mut seen = std::collections::HashSet::new();
            let mut slot = 1;
            while slot != 0 {
                assert!(seen.insert(slot) && slot <= slots, "{slot} of {slots}");
                slot = slot_behind(slot, slots);
            }
            assert_eq!(seen.len(), slots as usize);
        }
    }

    #[test]
    fn a_thread_keeps_a_few_slots_and_no_more() {
        let spare = SpareSlots::default();
        assert_eq!(spare.pop(), None);
        assert_eq!((1..=10).filter(|slot| spare.push(*slot)).count(), SPARE_MAX);
        assert_eq!(std::iter::from_fn(|| spare.pop()).collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1]);
    }
}
