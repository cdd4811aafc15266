//! Async calls between two polls, where another process can read them: slots of the ring file.
//!
//! Takes a call that waits to be polled again; gives a slot, and back again at the call's end. A slot whose site is 0
//! is free. It does not know calls on a stack: see `frames`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::platform::clock::Ticks;
use crate::ring::layout::{Kind, block, block_bytes, flight, head};
use crate::ring::memory::Memory;

/// The slots. Any thread takes and returns them. The free slots are a stack, linked by their numbers; its head carries
/// a count of changes, so that a slot that was taken and returned is not mistaken for one that never left.
#[derive(Debug)]
pub(crate) struct SuspendedCalls {
    words: Option<&'static [AtomicU64]>,
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
            lost: &memory.head()[head::FLIGHTS_LOST],
            free: AtomicU64::new(u64::from(slots.min(1))),
            next: (0..=slots).map(|slot| AtomicU32::new(behind(slot))).collect(),
        }
    }

    /// Takes a slot for a call that waits from `now` on. Returns the slot's number, or 0 if none is free.
    pub(crate) fn take(&self, site: u32, start: Ticks, span: u64, now: Ticks) -> u32 {
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
            words[flight::START].store(start, Ordering::Relaxed);
            words[flight::SPAN].store(span, Ordering::Relaxed);
            words[flight::SINCE].store(now, Ordering::Relaxed);
            words[flight::SITE].store(u64::from(site), Ordering::Release);
        }
        slot
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
