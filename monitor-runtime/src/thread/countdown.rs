//! The number of calls that are skipped before the next one that is looked at, and the number of calls that were only
//! counted.
//!
//! Takes a thread's calls of functions that are sampled; gives one countdown for each function, whose counts the
//! collector reads. Only the owning thread writes, without read-modify-write. The table is one slice, so that a
//! counted call finds its countdown by an index; when the table must grow, the owner copies it. Counts are
//! cumulative, so an older copy is never wrong, only behind. The file does not know rates.

use std::sync::OnceLock;

use crate::platform::reentrancy::apart;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::thread::tally::{Durations, reserve};

/// The countdown of one function on one thread.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// | bits | content |
    /// |---|---|
    /// | 63–32 | number of calls that were only counted: neither sampled nor timed; counted at their entry, as `ok` |
    /// | 31 | flag of the gap: the gap ends in another draw (`call::decision`) |
    /// | 30–0 | gap: number of calls still to skip before the next one that is looked at |
    ///
    /// Both lie in one word, because a skipped call moves one from the gap to the count with a single store.
    word: AtomicU64,
    /// The epoch of the rate that the gap was drawn for.
    epoch: AtomicU32,
    /// The number of calls that were only counted, then failed, and so left a record after all.
    failed: AtomicU32,
}

/// The bits of a gap that count; the bit above them is a flag.
pub(crate) const GAP_MASK: u32 = u32::MAX >> 1;

impl Countdown {
    /// Skips a call and counts it. Returns false, and changes nothing, if the gap has ended or belongs to another epoch.
    /// Called by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn skip_counted(&self, epoch: u32) -> bool {
        // Adds one to the high half and takes one from the low half, which is not zero.
        self.step(epoch, (1 << 32) - 1)
    }

    /// Skips a call that is timed, which its end counts. Returns false as [`Self::skip_counted`] does.
    #[inline]
    pub(crate) fn skip_timed(&self, epoch: u32) -> bool {
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

    /// Returns the gap with its flag; `None` if the gap was drawn for another rate.
    pub(crate) fn gap(&self, epoch: u32) -> Option<u32> {
        let is_current = self.epoch.load(Ordering::Relaxed) == epoch;
        is_current.then(|| self.word.load(Ordering::Relaxed) as u32)
    }

    /// Sets the gap, with its flag, for the rate of this epoch. Called by the owner alone.
    pub(crate) fn set_gap(&self, epoch: u32, gap: u32) {
        let counted = self.word.load(Ordering::Relaxed) >> 32;
        self.epoch.store(epoch, Ordering::Relaxed);
        self.word.store(counted << 32 | u64::from(gap), Ordering::Relaxed);
    }

    /// Returns the number of calls that were only counted so far. It may wrap; the collector takes differences far more
    /// often.
    pub(crate) fn counted(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Notes that a call that was counted at its entry leaves a record after all. Called by the owner alone.
    pub(crate) fn note_recorded(&self) {
        let failed = self.failed.load(Ordering::Relaxed);
        self.failed.store(failed.wrapping_add(1), Ordering::Relaxed);
    }

    /// Returns the number of calls noted by [`Self::note_recorded`] so far. It may wrap.
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

/// The countdowns of one thread: ever larger tables, of which the largest is in use.
#[derive(Debug, Default)]
pub(crate) struct Countdowns([OnceLock<CountdownTable>; TABLES]);

/// Countdowns by the id of the call site, and the durations of timed calls of the same functions. The table is a type of
/// its own, so that a thread finds it behind one word. The durations lie in a slice of their own, because calls that are
/// only counted do not use them: the countdowns of more functions then fit into a cache.
#[derive(Debug)]
pub(crate) struct CountdownTable {
    countdowns: Box<[Countdown]>,
    durations: Box<[Timed]>,
}

/// The durations of a function's calls on one thread, once a timed call was counted there.
type Timed = OnceLock<&'static Durations>;

impl CountdownTable {
    /// Returns the countdown of a function, if the table has a place for it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn get(&self, site: u32) -> Option<&Countdown> {
        self.countdowns.get(site as usize)
    }

    /// Returns the durations of a function on the same thread, if a timed call was counted there.
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
    /// Returns the largest table.
    pub(crate) fn table(&self) -> Option<&CountdownTable> {
        self.0.iter().rev().find_map(OnceLock::get)
    }

    /// Returns a table that has a place for this function, made if necessary. Returns `None` for want of memory or beyond
    /// the bound. Called by the owner alone.
    #[cold]
    pub(crate) fn grow(&self, site: u32) -> Option<&CountdownTable> {
        let before = self.table();
        if let Some(table) = before
            && table.get(site).is_some()
        {
            return Some(table);
        }
        let place = (0..TABLES).find(|place| FIRST_TABLE << place > site as usize)?;
        let length = FIRST_TABLE << place;
        if !reserve(length * (size_of::<Countdown>() + size_of::<Timed>())) {
            return None;
        }
        let copied = |site| before.and_then(|table| table.get(site)).map(Countdown::copy).unwrap_or_default();
        let known =
            |site| before.and_then(|table| table.durations.get(site as usize)).cloned().unwrap_or_default();
        apart(|| {
            self.0[place].get_or_init(|| CountdownTable {
                countdowns: (0..length as u32).map(copied).collect(),
                durations: (0..length as u32).map(known).collect(),
            })
        })
    }

    /// Returns the countdowns by which calls were counted, with their sites.
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
    use crate::thread::tally::{Spent, Tally, Unrecorded};

    #[test]
    fn a_table_that_grows_keeps_what_was_counted_and_drawn() {
        let all = Countdowns::default();
        assert!(all.table().is_none());
        let first = all.grow(7).unwrap().get(7).unwrap();
        first.set_gap(3, 10);
        assert!(first.skip_counted(3) && !first.skip_counted(4));
        assert!(first.skip_timed(3) && !first.skip_timed(4));
        first.note_recorded();
        let second = all.grow(700).unwrap().get(7).unwrap();
        assert_eq!((second.counted(), second.failed(), second.gap(3)), (1, 1, Some(8)));
        assert!(second.skip_counted(3));
        let seen: Vec<_> = all.iter().map(|(site, countdown)| (site, countdown.counted())).collect();
        assert_eq!(seen, [(7, 2)]);
    }

    #[test]
    fn a_table_that_grows_keeps_where_the_durations_are() {
        let tally: &'static Tally = Box::leak(Box::default());
        tally.count(Outcome::Ok, Unrecorded::SampledOut, Spent::default());
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
            [countdown.skip_counted(1), countdown.skip_counted(1), countdown.skip_counted(1)],
            [true, true, false]
        );
        countdown.set_gap(1, 2);
        assert!(!countdown.skip_counted(2));
        assert_eq!((countdown.counted(), countdown.gap(2)), (2, None));
    }
}
