//! The way of calls around a ring that is filling up: calls that share a row are summed up on their thread.
//!
//! Takes the end of a call whose thread found its ring at a limit; decides whether the call shares a row. While calls
//! share rows, the ring is closed, so that every call comes here, and the rest of the ring is left to calls that need a
//! record. Sharing ends when the ring has been drained. The file does not know sites.

use std::sync::atomic::Ordering;

use super::bursts::{Bursts, Folded};
use super::state::ThreadState;
use crate::accountant::Part;
use crate::platform::reentrancy::run_guarded;
use crate::record::{HEADER_WORDS, Header};
use crate::ring::frames;
use crate::ring::spsc::Ring;

impl ThreadState {
    /// Returns true if calls may share rows by the settings.
    pub(crate) fn may_fold(&self) -> bool {
        self.home.fold_after.load(Ordering::Relaxed) > 0
    }

    /// Returns true if calls share rows, or are about to, because the ring is filling up. Otherwise [`Self::fold`] adds
    /// no call and changes nothing.
    pub(crate) fn may_fold_now(&self) -> bool {
        self.may_fold() && (self.is_folding() || self.should_begin_folding())
    }

    /// Adds a call that may share a row to those that do, if the ring is filling up. `count` counts the call if it is
    /// added.
    pub(crate) fn fold(&self, call: &Header, count: impl FnOnce()) -> Folded {
        let after = u64::from(self.home.fold_after.load(Ordering::Relaxed));
        match self.folding() {
            Some(bursts) => {
                let thread = self.thread_id.load(Ordering::Relaxed);
                bursts.fold(call, thread, after, frames::innermost(self.page.words), count)
            }
            None => Folded::No,
        }
    }

    /// Returns the table of shared rows while the ring is filling up.
    fn folding(&self) -> Option<&Bursts> {
        if self.is_folding() {
            if self.pending() > self.ring.capacity() / DRAINED_SHARE {
                return self.bursts.get().map(|bursts| &**bursts);
            }
            self.keep_rows_under_way();
            self.is_folding.store(false, Ordering::Relaxed);
        } else if self.should_begin_folding() {
            self.begin_folding();
        }
        None
    }

    fn should_begin_folding(&self) -> bool {
        !self.home.is_streamed.load(Ordering::Relaxed) && self.is_last_ring_filling()
    }

    /// Returns true if the last ring that the thread has is filling up. Calls share rows only then, because records survive
    /// the process, and sums do not.
    fn is_last_ring_filling(&self) -> bool {
        let is_filling = |ring: &Ring| ring.pending() > ring.capacity() / FULL_DIVISOR * FULL_PARTS;
        match self.rings().nth(1) {
            Some((_, burst)) => self.bursting.load(Ordering::Relaxed) && is_filling(burst),
            None => is_filling(&self.ring) && !self.home.has_spare_burst(),
        }
    }

    /// Makes calls that begin from now on share rows.
    pub(crate) fn begin_folding(&self) {
        let can_hold_a_record = self.ring.capacity() >= HEADER_WORDS;
        if can_hold_a_record && (self.bursts.get().is_some() || self.make_bursts()) {
            self.is_folding.store(true, Ordering::Relaxed);
            self.keep_rows_under_way();
        }
    }

    #[cold]
    fn make_bursts(&self) -> bool {
        let make = || {
            let has_room = self.home.accountant.take(Part::Tallies, size_of::<Bursts>());
            has_room.then(|| self.bursts.get_or_init(|| Box::new(Bursts::new(0)))).is_some()
        };
        run_guarded(make).unwrap_or(false)
    }

    /// Returns true while calls share rows because the ring is filling up.
    #[inline]
    pub(crate) fn is_folding(&self) -> bool {
        self.is_folding.load(Ordering::Relaxed)
    }

    /// Returns true if calls share rows and the last ring is nearly full all the same, because calls that share none
    /// fill it.
    pub(crate) fn is_last_ring_nearly_full(&self) -> bool {
        if !self.is_folding() {
            return false;
        }
        let ring = self.current_ring();
        ring.pending() > ring.capacity() / FULL_DIVISOR * NEARLY_FULL_PARTS
    }

    /// Makes the calls under way keep rows of their own, because one of them has, or may get, a callee with a row.
    #[inline]
    pub(crate) fn keep_rows_under_way(&self) {
        if self.is_folding() {
            self.mark_rows_under_way();
        }
    }

    #[cold]
    fn mark_rows_under_way(&self) {
        if let Some(bursts) = self.bursts.get() {
            bursts.set_mark(self.last_span.load(Ordering::Relaxed));
        }
    }

    /// Notes that a record was made: its callers have rows, and the next call comes to the closed ring again.
    pub(crate) fn note_record(&self) {
        if self.is_folding() {
            self.keep_rows_under_way();
            self.ring.close();
        }
    }

    /// Returns true if calls share a row below this call, so that it needs one of its own.
    pub(crate) fn has_folded_callees(&self, span: u64) -> bool {
        self.bursts.get().is_some_and(|bursts| bursts.has_callees(span))
    }
}

/// The part of a ring from which calls share rows, 5 of 8: the ring wakes the collector at 4, and the rest is left to calls
/// that need a record.
const FULL_PARTS: usize = 5;
const FULL_DIVISOR: usize = 8;
/// The functions whose calls do not share rows are throttled once this part of the ring is full, 7 of 8.
const NEARLY_FULL_PARTS: usize = 7;
/// The calls leave records again once at most this part of the ring still waits to be drained, one in 8.
const DRAINED_SHARE: usize = 8;
