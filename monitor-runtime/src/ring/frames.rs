//! The calls under way, where another process can read them: a stack of frames for each thread, in the page
//! before its ring, and slots for async calls that wait to be polled again and so are on no stack.
//!
//! In: the beginnings and ends of calls. Out: words. Frames wrap: the innermost are there, and of all the
//! number. A frame says how deep it is, so that a reader knows one that was overwritten. The owner of a
//! stack uses plain loads and stores; whatever a reader sees of a change half made, it is a call that
//! began or ended just then.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::platform::clock::Ticks;
use crate::recover::{Frame, read_frames};
use crate::ring::layout::ring::{CONTROL, DEPTH, FRAMES, FRAMES_MAX};
use crate::ring::layout::{Kind, block, block_bytes, flight, frame, head};
use crate::ring::memory::Memory;

/// A call begins: its frame is the innermost from here on.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn push(page: &[AtomicU64; CONTROL], site: u32, start: Ticks, span: u64) {
    let depth = page[DEPTH].load(Ordering::Relaxed);
    let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
    page[at + frame::SITE].store(u64::from(site) | depth << 32, Ordering::Relaxed);
    page[at + frame::START].store(start, Ordering::Relaxed);
    page[at + frame::SPAN].store(span, Ordering::Relaxed);
    // After the frame, for a reader that comes between. Partner: whoever reads the file.
    page[DEPTH].store(depth + 1, Ordering::Release);
}

/// The time of the innermost call starts, after what was captured before it.
pub(crate) fn start(page: &[AtomicU64; CONTROL], start: Ticks) {
    let depth = page[DEPTH].load(Ordering::Relaxed).wrapping_sub(1);
    let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
    page[at + frame::START].store(start, Ordering::Relaxed);
}

/// The calls under way, the outermost first, as far as their frames are there.
pub(crate) fn under_way(page: &[AtomicU64; CONTROL]) -> Vec<Frame> {
    let depth = page[DEPTH].load(Ordering::Acquire);
    if depth == 0 {
        return Vec::new();
    }
    let words = &page[FRAMES..FRAMES + FRAMES_MAX * frame::WORDS];
    let words: Vec<u64> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    read_frames(&words, u32::try_from(depth).unwrap_or(0))
}

/// The function of the outermost call that is under way, if its frame is still there.
pub(crate) fn outermost(page: &[AtomicU64; CONTROL]) -> Option<u32> {
    let word = page[FRAMES + frame::SITE].load(Ordering::Relaxed);
    let is_there = page[DEPTH].load(Ordering::Relaxed) > 0 && word >> 32 == 0;
    is_there.then_some(word as u32)
}

/// The innermost call ends.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn pop(page: &[AtomicU64; CONTROL]) {
    page[DEPTH].store(page[DEPTH].load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
}

/// Slots for async calls that wait. Any thread takes and gives back; the free ones are a stack, linked by
/// their numbers, whose head carries a count so that a number that came back is not taken for one that
/// never left.
#[derive(Debug)]
pub(crate) struct Flights {
    words: Option<&'static [AtomicU64]>,
    /// Calls that found no slot.
    lost: &'static AtomicU64,
    /// Count of changes (32 bits), number of the first free slot (32); 0 for none.
    free: AtomicU64,
    /// The free slot behind each.
    next: Box<[AtomicU32]>,
}

impl Flights {
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

    /// A call waits from now on; gives the number of its slot, or 0 where there is none.
    pub(crate) fn take(&self, site: u32, start: Ticks, span: u64, now: Ticks) -> u32 {
        let mut free = self.free.load(Ordering::Acquire);
        let slot = loop {
            let slot = free as u32;
            let Some(next) = self.next.get(slot as usize).filter(|_| slot != 0) else {
                self.lost.fetch_add(u64::from(self.words.is_some()), Ordering::Relaxed);
                return 0;
            };
            let after = (free >> 32).wrapping_add(1) << 32 | u64::from(next.load(Ordering::Relaxed));
            // Partner: the exchange in `give_back`: the link was written before the slot came back.
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

    /// A call waits once more.
    pub(crate) fn wait(&self, slot: u32, now: Ticks) {
        if let Some(words) = self.slot(slot) {
            words[flight::SINCE].store(now, Ordering::Relaxed);
        }
    }

    /// A call that had a slot is over. A slot that is another call's stays that: its number came from the
    /// parent of a fork.
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
            // Partner: the loads in `take`.
            match self.free.compare_exchange_weak(free, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => free = now,
            }
        }
    }

    /// What every slot says, for the collector.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &[AtomicU64; flight::WORDS]> {
        let words = self.words.and_then(|words| words.get(block::HEADER..)).unwrap_or_default();
        words.as_chunks::<{ flight::WORDS }>().0.iter()
    }

    fn slot(&self, slot: u32) -> Option<&'static [AtomicU64]> {
        let at = block::HEADER + (slot.checked_sub(1)? as usize) * flight::WORDS;
        self.words?.get(at..at + flight::WORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> [AtomicU64; CONTROL] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    fn depths(page: &[AtomicU64; CONTROL]) -> Vec<(u32, u64)> {
        let frames = under_way(page);
        frames.iter().map(|frame| (frame.depth, frame.span)).collect()
    }

    #[test]
    fn the_outermost_call_is_known_until_its_frame_is_overwritten() {
        let page = page();
        assert_eq!(outermost(&page), None);
        (1..=FRAMES_MAX as u32).for_each(|site| push(&page, site, 0, 1));
        assert_eq!(outermost(&page), Some(1));
        push(&page, 99, 0, 1);
        assert_eq!(outermost(&page), None);
        (0..=FRAMES_MAX).for_each(|_| pop(&page));
        assert_eq!(outermost(&page), None);
    }

    #[test]
    fn frames_are_those_of_the_calls_under_way() {
        let page = page();
        push(&page, 1, 10, 100);
        push(&page, 2, 20, 200);
        assert_eq!(depths(&page), [(0, 100), (1, 200)]);
        pop(&page);
        push(&page, 3, 30, 300);
        assert_eq!(depths(&page), [(0, 100), (1, 300)]);
        pop(&page);
        pop(&page);
        assert_eq!(depths(&page), []);
    }

    #[test]
    fn of_a_deep_stack_the_innermost_are_known_and_none_is_made_up() {
        let page = page();
        for depth in 0..200 {
            push(&page, 1, depth, 1000 + depth);
        }
        let seen = depths(&page);
        assert_eq!(seen.len(), FRAMES_MAX);
        assert!(seen.iter().all(|(depth, span)| *span == 1000 + u64::from(*depth)));
        (0..150).for_each(|_| pop(&page));
        // What was overwritten from further in says so.
        assert_eq!(depths(&page), []);
        push(&page, 1, 7, 7);
        assert_eq!(depths(&page), [(50, 7)]);
    }
}
