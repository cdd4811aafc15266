//! Countdowns of the calls to skip before the next one that needs a sampling decision, and counts of the calls that
//! were only counted.
//!
//! Takes a thread's calls of functions that are sampled; gives one countdown for each function, whose counts the
//! collector reads. Only the owning thread writes, without read-modify-write. The table is one slice, so that a
//! counted call finds its countdown by an index; when the table must grow, the owner copies it. Counts are
//! cumulative, so an older copy is never wrong, only behind. The file does not know rates.

use std::sync::OnceLock;

use crate::accountant::{Accountant, Part};
use crate::platform::reentrancy::run_guarded;
use crate::ring::layout::countdown;
use crate::sync::{AtomicU64, Ordering};
use crate::thread::tally::{Durations, Table};

/// The countdown of one function on one thread: two words in memory that outlives the process.
///
/// | word | bits | content |
/// |---|---|---|
/// | 0 | 63–32 | number of calls that were only counted: neither sampled nor timed; counted at their entry, as `ok` |
/// | 0 | 31 | flag of the gap: the gap ends in another draw |
/// | 0 | 30–0 | gap: number of calls still to skip before the next one that needs a decision (`call::decision`) |
/// | 1 | 63–32 | number of calls that were only counted, then failed, and so left a record after all |
/// | 1 | 31–0 | the epoch of the rate that the gap was drawn for |
///
/// Gap and count lie in one word, because a skipped call moves one from the gap to the count with a single store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Countdown(&'static [AtomicU64; countdown::WORDS]);

/// The bits of a gap that hold its number of calls; the bit above them is a flag.
pub(crate) const GAP_MASK: u32 = u32::MAX >> 1;

impl Countdown {
    /// Skips a call and counts it. Returns false, and changes nothing, if the gap has ended or belongs to another epoch.
    /// Called by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn skip_counted(self, epoch: u32) -> bool {
        // Adds one to the high half and takes one from the low half, which is not zero.
        self.step(epoch, (1 << 32) - 1)
    }

    /// Skips a call that is timed, which its end counts. Returns false as [`Self::skip_counted`] does.
    #[inline]
    pub(crate) fn skip_timed(self, epoch: u32) -> bool {
        self.step(epoch, u64::MAX)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step(self, epoch: u32, by: u64) -> bool {
        let word = self.word().load(Ordering::Relaxed);
        if word as u32 & GAP_MASK == 0 || self.epoch().load(Ordering::Relaxed) as u32 != epoch {
            return false;
        }
        self.word().store(word.wrapping_add(by), Ordering::Relaxed);
        true
    }

    /// Returns the gap with its flag; `None` if the gap was drawn for another rate.
    pub(crate) fn gap(self, epoch: u32) -> Option<u32> {
        let is_current = self.epoch().load(Ordering::Relaxed) as u32 == epoch;
        is_current.then(|| self.word().load(Ordering::Relaxed) as u32)
    }

    /// Sets the gap, with its flag, for the rate of this epoch. Called by the owner alone.
    pub(crate) fn set_gap(self, epoch: u32, gap: u32) {
        let [counted, failed] = [self.word(), self.epoch()].map(|word| word.load(Ordering::Relaxed) & HIGH);
        self.epoch().store(failed | u64::from(epoch), Ordering::Relaxed);
        self.word().store(counted | u64::from(gap), Ordering::Relaxed);
    }

    /// Returns the number of calls that were only counted so far. It may wrap; the collector takes differences far more
    /// often.
    pub(crate) fn counted(self) -> u32 {
        (self.word().load(Ordering::Relaxed) >> 32) as u32
    }

    /// Notes that a call that was counted at its entry leaves a record after all. Called by the owner alone.
    pub(crate) fn note_recorded(self) {
        let failed = self.epoch().load(Ordering::Relaxed);
        self.epoch().store(failed.wrapping_add(1 << 32), Ordering::Relaxed);
    }

    /// Returns the number of calls noted by [`Self::note_recorded`] so far. It may wrap.
    pub(crate) fn failed(self) -> u32 {
        (self.epoch().load(Ordering::Relaxed) >> 32) as u32
    }

    /// Returns the countdown with these words.
    pub(crate) const fn with_words(words: &'static [AtomicU64; countdown::WORDS]) -> Self {
        Self(words)
    }

    fn word(self) -> &'static AtomicU64 {
        &self.0[countdown::WORD]
    }

    fn epoch(self) -> &'static AtomicU64 {
        &self.0[countdown::EPOCH]
    }
}

/// The high half of a word.
const HIGH: u64 = (u32::MAX as u64) << 32;

/// The countdowns of one thread: ever larger tables, of which the largest is in use.
#[derive(Debug, Default)]
pub(crate) struct Countdowns([OnceLock<CountdownTable>; TABLES]);

/// Countdowns by the id of the call site, and the durations of timed calls of the same functions. The table is a type of
/// its own, so that a thread finds it behind one word. The durations lie in a slice of their own, because calls that are
/// only counted do not use them: the countdowns of more functions then fit into a cache.
#[derive(Debug)]
pub(crate) struct CountdownTable {
    countdowns: &'static [[AtomicU64; countdown::WORDS]],
    durations: Box<[Timed]>,
    survives: bool,
}

/// The durations of a function's calls on one thread, once a timed call was counted there.
type Timed = OnceLock<&'static Durations>;

impl CountdownTable {
    /// Returns the countdown of a function, if the table has a place for it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn get(&self, site: u32) -> Option<Countdown> {
        self.countdowns.get(site as usize).map(Countdown::with_words)
    }

    /// Returns true if the countdowns outlive the process.
    pub(crate) fn survives(&self) -> bool {
        self.survives
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

    /// Returns a table that has a place for this function, made if necessary. Returns `None` for want of memory or
    /// beyond the bound. Called by the owner alone. `take` gets the number of the table and its number of words, and
    /// returns the memory for it.
    #[cold]
    pub(crate) fn grow(
        &self,
        site: u32,
        take: impl FnOnce(u32, usize) -> Option<Table>,
        accountant: &Accountant,
    ) -> Option<&CountdownTable> {
        let before = self.table();
        if let Some(table) = before
            && table.get(site).is_some()
        {
            return Some(table);
        }
        let place = (0..TABLES).find(|place| FIRST_TABLE << place > site as usize)?;
        let length = FIRST_TABLE << place;
        let bytes = length * (countdown::WORDS * 8 + size_of::<Timed>());
        if !accountant.take(Part::Tallies, bytes) {
            return None;
        }
        let known =
            |site| before.and_then(|table| table.durations.get(site as usize)).cloned().unwrap_or_default();
        let made = run_guarded(|| {
            let mut durations = Vec::new();
            durations.try_reserve_exact(length).ok()?;
            let (words, survives) = take(place as u32, length * countdown::WORDS)?;
            // A recoverer counts by the largest table in the file, and the collector notes how much of the largest
            // table it has counted. Both would be wrong if only some of a thread's tables lay in the file.
            if before.is_some_and(|before| before.survives != survives) {
                return None;
            }
            let countdowns = words.as_chunks().0;
            let copied = before.iter().flat_map(|before| before.countdowns.as_flattened());
            for (word, before) in countdowns.as_flattened().iter().zip(copied) {
                word.store(before.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            durations.extend((0..length as u32).map(known));
            let durations = durations.into_boxed_slice();
            Some(self.0[place].get_or_init(|| CountdownTable { countdowns, durations, survives }))
        });
        if made.flatten().is_none() {
            accountant.give_back(Part::Tallies, bytes);
        }
        made.flatten()
    }

    /// Returns the countdowns that have counted calls, with their sites.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Countdown)> {
        let used = |(_, countdown): &(u32, Countdown)| countdown.counted() != 0 || countdown.failed() != 0;
        let all = self.table().map_or(&[][..], |table| table.countdowns);
        (0_u32..).zip(all.iter().map(Countdown::with_words)).filter(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SITES_MAX;
    use crate::record::Outcome;
    use crate::thread::tally::{Spent, Tallies, Unrecorded};

    /// Takes memory that ends with the process.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of what takes memory, which may have none")]
    fn take(_: u32, words: usize) -> Option<Table> {
        Some((Vec::leak((0..words).map(|_| AtomicU64::new(0)).collect()), false))
    }

    #[test]
    fn a_table_that_grows_keeps_what_was_counted_and_drawn() {
        let all = Countdowns::default();
        assert!(all.table().is_none());
        let first = all.grow(7, take, Accountant::boundless()).unwrap().get(7).unwrap();
        first.set_gap(3, 10);
        assert!(first.skip_counted(3) && !first.skip_counted(4));
        assert!(first.skip_timed(3) && !first.skip_timed(4));
        first.note_recorded();
        let second = all.grow(700, take, Accountant::boundless()).unwrap().get(7).unwrap();
        assert_eq!((second.counted(), second.failed(), second.gap(3)), (1, 1, Some(8)));
        assert!(second.skip_counted(3));
        let seen: Vec<_> = all.iter().map(|(site, countdown)| (site, countdown.counted())).collect();
        assert_eq!(seen, [(7, 2)]);
    }

    #[test]
    fn a_table_that_grows_keeps_where_the_durations_are() {
        let tally = Tallies::default().get_or_make(7, take, Accountant::boundless()).unwrap();
        tally.count(Outcome::Ok, Unrecorded::SampledOut, Spent::default(), Accountant::boundless());
        let all = Countdowns::default();
        let first = all.grow(7, take, Accountant::boundless()).unwrap();
        assert!(first.durations(7).is_none());
        first.set_durations(7, tally.durations().unwrap());
        let second = all.grow(700, take, Accountant::boundless()).unwrap();
        assert!(second.durations(7).is_some() && second.durations(700).is_none());
    }

    #[test]
    fn every_function_that_a_program_may_have_has_a_place() {
        assert!(FIRST_TABLE << (TABLES - 1) >= SITES_MAX as usize);
        assert!(
            Countdowns::default()
                .grow((FIRST_TABLE << TABLES) as u32, take, Accountant::boundless())
                .is_none()
        );
    }

    #[test]
    fn a_countdown_ends_at_its_gap_and_a_new_rate_ends_it_too() {
        let all = Countdowns::default();
        let countdown = all.grow(7, take, Accountant::boundless()).unwrap().get(7).unwrap();
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
