//! Async calls between two polls, where another process can read them: slots of the ring file.
//!
//! Takes a call that waits to be polled again; gives a slot, and back again at the call's end. A slot whose site is 0
//! is free. It does not know calls on a stack: see `frames`.

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

/// The slots. Any thread takes and returns them. The free slots are a stack, linked by their numbers; its head carries
/// a count of changes, so that a slot that was taken and returned is not mistaken for one that never left.
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
        let behind = |slot: u32| if slot < slots { slot + 1 } else { 0 };
        Self {
            words,
            values: OnceLock::new(),
            lost: &memory.head()[head::FLIGHTS_LOST],
            free: AtomicU64::new(u64::from(slots.min(1))),
            next: (0..=slots).map(|slot| AtomicU32::new(behind(slot))).collect(),
        }
    }

    /// Takes a slot for a call that waits, with as many of its arguments as a slot keeps. Returns the slot's number, or 0
    /// if none is free.
    pub(crate) fn take(&self, memory: &Memory, call: Suspended<'_>) -> u32 {
        let mut free = self.free.load(Ordering::Acquire);
        let slot = loop {
            let slot = free as u32;
            let Some(next) = self.next.get(slot as usize).filter(|_| slot != 0) else {
                self.lost.fetch_add(u64::from(self.words.is_some()), Ordering::Relaxed);
                return 0;
            };
            let after = (free >> 32).wrapping_add(1) << 32 | u64::from(next.load(Ordering::Relaxed));
            // Observes the link of the slot, which the exchange in `give_back` publishes.
            match self.free.compare_exchange_weak(free, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break slot,
                Err(now) => free = now,
            }
        };
        if let Some(words) = self.slot(slot) {
            words[flight::START].store(call.start, Ordering::Relaxed);
            words[flight::SPAN].store(call.span, Ordering::Relaxed);
            words[flight::SINCE].store(call.since, Ordering::Relaxed);
            words[flight::PARENT].store(call.parent, Ordering::Relaxed);
            let argument_words = self.keep_arguments(memory, slot, call.arguments) as u64;
            // Publishes the call to a reader of the file.
            words[flight::SITE].store(u64::from(call.site) | argument_words << 32, Ordering::Release);
        }
        slot
    }

    /// Copies the arguments of a call to those of its slot. Returns the number of words of all arguments; the reader
    /// sees by it that not all were kept. Returns 0 if there is no room for any.
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
    pub(crate) fn wait(&self, slot: u32, now: Ticks) {
        if let Some(words) = self.slot(slot) {
            words[flight::SINCE].store(now, Ordering::Relaxed);
        }
    }

    /// Returns the slot of a call that has ended. A slot that belongs to another call stays as it is: the number then
    /// came from the parent of a fork.
    pub(crate) fn give_back(&self, slot: u32, start: Ticks, span: u64) {
        let Some(words) = self.slot(slot) else { return };
        let is_its = words[flight::SITE].load(Ordering::Relaxed) != 0
            && words[flight::START].load(Ordering::Relaxed) == start
            && words[flight::SPAN].load(Ordering::Relaxed) == span;
        if !is_its {
            return;
        }
        words[flight::SITE].store(0, Ordering::Release);
        let mut free = self.free.load(Ordering::Relaxed);
        loop {
            self.next[slot as usize].store(free as u32, Ordering::Relaxed);
            let after = (free >> 32).wrapping_add(1) << 32 | u64::from(slot);
            // Publishes the link to the loads in `take`.
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

    fn slot(&self, slot: u32) -> Option<&'static [AtomicU64]> {
        let at = block::HEADER + (slot.checked_sub(1)? as usize) * flight::WORDS;
        self.words?.get(at..at + flight::WORDS)
    }
}
