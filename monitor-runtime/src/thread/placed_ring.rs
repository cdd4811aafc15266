//! A ring at its place in memory: its control page, its words, and the part of them that is not ready yet.
//!
//! Takes a block of the memory for rings; gives a ring whose memory is completed when a record needs it. A ring's
//! page always lies directly before its words. The file does not know whose ring it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::record::{HEADER_WORDS, Word};
use crate::ring::layout::ring as layout;
use crate::ring::memory::Memory;
use crate::ring::spsc::{Push, Ring};

/// The control page of a ring, and its number in the ring file.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Page {
    pub(crate) words: &'static [AtomicU64; layout::CONTROL],
    pub(crate) id: u32,
}

/// A ring with its page and its memory.
#[derive(Debug)]
pub(super) struct PlacedRing {
    pub(super) page: Page,
    pub(super) ring: Ring,
    pub(super) reserve: Reserve,
}

/// The memory of a ring and its page, of which only a part may be touched at first.
#[derive(Debug)]
pub(super) struct Reserve {
    pub(super) block: &'static [AtomicU64],
    /// True once the memory has refused to complete the ring.
    pub(super) stays_small: AtomicBool,
}

impl Reserve {
    /// Pushes a record into the ring, and completes the ring's memory if there is no room without.
    pub(super) fn push(
        &self,
        ring: &Ring,
        memory: &Memory,
        header: &[u64; HEADER_WORDS],
        values: &[Word],
    ) -> Push {
        let push = ring.push(header, values);
        let again = push == Push::Full && self.complete(ring, memory);
        if again { ring.push(header, values) } else { push }
    }

    /// Makes all of the ring usable. Returns true if part of it was not usable before and now is. If the memory
    /// refuses, the ring stays small, and another ring takes the records for which this one has no room.
    pub(super) fn complete(&self, ring: &Ring, memory: &Memory) -> bool {
        if ring.is_complete() || self.stays_small.load(Ordering::Relaxed) {
            return false;
        }
        let has_room = memory.complete(self.block);
        if has_room {
            ring.complete();
        } else {
            self.stays_small.store(true, Ordering::Relaxed);
        }
        has_room
    }
}
