//! Calls that are left out before the next one that is looked at, and how many were only counted.
//!
//! In: a thread's calls of functions that are sampled. Out: for each function one countdown, stored by its
//! owner without read-modify-write, whose counts the collector reads. The table is one slice, so that
//! a call that is only counted finds its place by an index; where it grows, the owner copies it. What
//! is counted is cumulative: an older copy says nothing wrong, it says less.

use std::sync::OnceLock;

use crate::platform::reentrancy::apart;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::thread::tally::{Durations, reserve};

/// The countdown of one function on one thread.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// Low half: calls left to leave out before the next drawn one. High half: calls that were only
    /// counted, neither drawn nor timed; counted where they begin, as `ok`. In one word, because what
    /// one loses the other gains.
    word: AtomicU64,
    /// The epoch of the rate that the gap was drawn for.
    epoch: AtomicU32,
    /// Those that were only counted and failed, and so left a record after all.
    failed: AtomicU32,
}

/// The bits of a gap that count; the one above is a flag.
pub(crate) const GAP_MASK: u32 = u32::MAX >> 1;

impl Countdown {
    /// Leaves a call out, if it is one that is only to be counted by a countdown of this epoch. Called
    /// by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn leave_out(&self, epoch: u32) -> bool {
        // One more in the high half, one less in the low one, which is not zero.
        self.step(epoch, (1 << 32) - 1)
    }

    /// The same of a call that is timed, and is counted when it ends.
    #[inline]
    pub(crate) fn leave_to_be_timed(&self, epoch: u32) -> bool {
        self.step(epoch, u64::MAX)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step(&self, epoch: u32, by: u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if word as u32 & GAP_MASK == 0 || self.epoch.load(Ordering::Relaxed) != epoch {
            return false;
        }
        self.word.store(word.wrapping_add(by), Ordering::Relaxed);
        true
    }

    /// Calls left to leave out, flagged or not; none where the gap was drawn for another rate.
    pub(crate) fn gap(&self, epoch: u32) -> Option<u32> {
        let is_current = self.epoch.load(Ordering::Relaxed) == epoch;
        is_current.then(|| self.word.load(Ordering::Relaxed) as u32)
    }

    /// Sets how many calls to leave out at the rate of this epoch. Called by the owner alone.
    pub(crate) fn set_gap(&self, epoch: u32, gap: u32) {
        let counted = self.word.load(Ordering::Relaxed) >> 32;
        self.epoch.store(epoch, Ordering::Relaxed);
        self.word.store(counted << 32 | u64::from(gap), Ordering::Relaxed);
    }

    /// Calls that were only counted so far. May wrap; the collector takes differences far more often.
    pub(crate) fn counted(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) >> 32) as u32
    }

    /// A call that was counted at its beginning has failed. Called by the owner alone.
    pub(crate) fn take_back(&self) {
        let failed = self.failed.load(Ordering::Relaxed);
        self.failed.store(failed.wrapping_add(1), Ordering::Relaxed);
    }

    /// Calls taken back so far. May wrap.
    pub(crate) fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }

    fn copy(&self) -> Self {
        Self {
            word: AtomicU64::new(self.word.load(Ordering::Relaxed)),
            epoch: AtomicU32::new(self.epoch.load(Ordering::Relaxed)),
            failed: AtomicU32::new(self.failed.load(Ordering::Relaxed)),
        }
    }
}

/// The countdowns of one thread, by the id of the call site: ever larger tables, of which the largest
/// counts.
#[derive(Debug, Default)]
pub(crate) struct Countdowns([OnceLock<Table>; TABLES]);

/// Countdowns by the id of the call site, and where a timed call finds the durations of its function. A type of
/// its own, so that a thread finds it behind one word. The durations lie apart, because calls that are only
/// counted have no use for them: of many functions, more countdowns fit into a cache.
#[derive(Debug)]
pub(crate) struct Table {
    countdowns: Box<[Countdown]>,
    durations: Box<[Timed]>,
}

/// The durations of a function's calls on one thread, once a timed call was counted there.
type Timed = OnceLock<&'static Durations>;

impl Table {
    /// That of a function, if the table has a place for it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of(&self, site: u32) -> Option<&Countdown> {
        self.countdowns.get(site as usize)
    }

    /// The durations of a function on the same thread, if a timed call was counted there.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn durations(&self, site: u32) -> Option<&'static Durations> {
        self.durations.get(site as usize)?.get().copied()
    }

    /// Remembers the durations of a function on the same thread. Called by the owner alone.
    pub(crate) fn set_durations(&self, site: u32, durations: &'static Durations) {
        let _ = self.durations.get(site as usize).map(|place| place.set(durations));
    }
}

const FIRST_TABLE: usize = 64;
const TABLES: usize = 12;

impl Countdowns {
    /// The largest table.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.0.iter().rev().find_map(OnceLock::get)
    }

    /// A table that has a place for this function. `None` for want of memory or beyond the bound. Called by
    /// the owner alone.
    #[cold]
    pub(crate) fn grow(&self, site: u32) -> Option<&Table> {
        let before = self.table();
        if let Some(table) = before
            && table.of(site).is_some()
        {
            return Some(table);
        }
        let place = (0..TABLES).find(|place| FIRST_TABLE << place > site as usize)?;
        let length = FIRST_TABLE << place;
        if !reserve(length * (size_of::<Countdown>() + size_of::<Timed>())) {
            return None;
        }
        let copied = |site| before.and_then(|table| table.of(site)).map(Countdown::copy).unwrap_or_default();
        let known =
            |site| before.and_then(|table| table.durations.get(site as usize)).cloned().unwrap_or_default();
        apart(|| {
            self.0[place].get_or_init(|| Table {
                countdowns: (0..length as u32).map(copied).collect(),
                durations: (0..length as u32).map(known).collect(),
            })
        })
    }

    /// Those by which calls were counted, with their sites.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Countdown)> {
        let used = |(_, countdown): &(u32, &Countdown)| countdown.counted() != 0 || countdown.failed() != 0;
        (0_u32..).zip(self.table().map_or(&[][..], |table| &table.countdowns)).filter(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SITES_MAX;
    use crate::record::Outcome;
    use crate::thread::tally::{Tally, Unrecorded};

    #[test]
    fn a_table_that_grows_keeps_what_was_counted_and_drawn() {
        let all = Countdowns::default();
        assert!(all.table().is_none());
        let first = all.grow(7).unwrap().of(7).unwrap();
        first.set_gap(3, 10);
        assert!(first.leave_out(3) && !first.leave_out(4));
        assert!(first.leave_to_be_timed(3) && !first.leave_to_be_timed(4));
        first.take_back();
        let second = all.grow(700).unwrap().of(7).unwrap();
        assert_eq!((second.counted(), second.failed(), second.gap(3)), (1, 1, Some(8)));
        assert!(second.leave_out(3));
        let seen: Vec<_> = all.iter().map(|(site, countdown)| (site, countdown.counted())).collect();
        assert_eq!(seen, [(7, 2)]);
    }

    #[test]
    fn a_table_that_grows_keeps_where_the_durations_are() {
        let tally: &'static Tally = Box::leak(Box::default());
        tally.count(Outcome::Ok, Unrecorded::SampledOut, 1);
        let all = Countdowns::default();
        let first = all.grow(7).unwrap();
        assert!(first.durations(7).is_none());
        first.set_durations(7, tally.durations().unwrap());
        let second = all.grow(700).unwrap();
        assert!(second.durations(7).is_some() && second.durations(700).is_none());
    }

    #[test]
    fn every_function_that_a_program_may_have_has_a_place() {
        assert!(FIRST_TABLE << (TABLES - 1) >= SITES_MAX as usize);
        assert!(Countdowns::default().grow((FIRST_TABLE << TABLES) as u32).is_none());
    }

    #[test]
    fn a_countdown_ends_at_its_gap_and_a_new_rate_ends_it_too() {
        let countdown = Countdown::default();
        countdown.set_gap(1, 2);
        assert_eq!(
            [countdown.leave_out(1), countdown.leave_out(1), countdown.leave_out(1)],
            [true, true, false]
        );
        countdown.set_gap(1, 2);
        assert!(!countdown.leave_out(2));
        assert_eq!((countdown.counted(), countdown.gap(2)), (2, None));
    }
}
