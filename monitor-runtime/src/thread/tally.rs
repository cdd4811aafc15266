//! Exact counters of calls that leave no record: sampled out, or lost for want of room.
//!
//! Takes the end of such a call from the thread that made it. Gives cumulative counters, which the collector reads and
//! subtracts from those that it read before. A table belongs to one thread at a time, which loads and stores without
//! read-modify-write. The file does not know calls that leave a record: the collector counts those from their records.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use crate::histogram::{self, BUCKETS};
use crate::limits;
use crate::platform::clock;
use crate::platform::reentrancy::apart;
use crate::record::Outcome;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The reason why a call left no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrecorded {
    /// The call was unsampled.
    SampledOut,
    /// The ring was full.
    RingFull,
    /// The thread has no ring.
    NoRing,
    /// The call failed and all room for failures was used up: one row counts it together with others.
    Folded,
}

/// The counters of one function on one thread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Numbers of calls by outcome.
    calls: [AtomicU64; 4],
    /// Numbers of calls by the reason why they left no record.
    unrecorded: [AtomicU64; 4],
    total_ticks: AtomicU64,
    max_ticks: AtomicU64,
    durations: OnceLock<Box<Durations>>,
}

/// The durations of a tally's calls, and all counters of calls that were sampled out but timed: such a call writes
/// nowhere else.
#[derive(Debug)]
pub(crate) struct Durations {
    /// The number of calls that were sampled out, timed and `ok`. The tally's own counters leave them out.
    sampled_out: AtomicU64,
    total_ticks: AtomicU64,
    max_ticks: AtomicU64,
    /// The numbers of all calls of the tally by histogram bucket. 32 bits may wrap; the collector takes differences far
    /// more often than that.
    counts: [AtomicU32; BUCKETS],
}

impl Durations {
    fn new() -> Self {
        Self {
            sampled_out: AtomicU64::new(0),
            total_ticks: AtomicU64::new(0),
            max_ticks: AtomicU64::new(0),
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Counts a call that was sampled out, timed and `ok`. Called by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn count_sampled_out(&self, ticks: u64) {
        add(&self.total_ticks, ticks);
        raise(&self.max_ticks, ticks);
        self.count(ticks);
        // Last, as in [`Tally::count`].
        add(&self.sampled_out, 1);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn count(&self, ticks: u64) {
        let count = self.bucket(ticks);
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bucket(&self, ticks: u64) -> &AtomicU32 {
        &self.counts[histogram::place(clock::ns_from_ticks(ticks)).min(BUCKETS - 1)]
    }

    /// Returns the numbers of calls by the place of their bucket.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).enumerate()
    }
}

/// Adds to a counter without read-modify-write, because there is one writer.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Raises a maximum without read-modify-write, because there is one writer.
#[cfg_attr(not(debug_assertions), inline(always))]
fn raise(max: &AtomicU64, ticks: u64) {
    if ticks > max.load(Ordering::Relaxed) {
        max.store(ticks, Ordering::Relaxed);
    }
}

impl Tally {
    /// Counts a call of this duration. Called by the owner alone.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, reason: Unrecorded, ticks: u64) {
        add(&self.total_ticks, ticks);
        raise(&self.max_ticks, ticks);
        if let Some(durations) = self.durations().or_else(|| self.make_durations()) {
            durations.count(ticks);
        }
        add(&self.unrecorded[reason as usize], 1);
        // Last, so that a reader that sees the call almost always sees the rest of it.
        add(&self.calls[outcome as usize], 1);
    }

    /// Counts a call from any thread, in the one table that threads share when there is no memory for tables of their
    /// own.
    #[cold]
    pub(crate) fn count_shared(&self, outcome: Outcome, reason: Unrecorded, ticks: u64) {
        self.total_ticks.fetch_add(ticks, Ordering::Relaxed);
        self.max_ticks.fetch_max(ticks, Ordering::Relaxed);
        if let Some(durations) = self.durations().or_else(|| self.make_durations()) {
            durations.bucket(ticks).fetch_add(1, Ordering::Relaxed);
        }
        self.unrecorded[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    fn make_durations(&self) -> Option<&Durations> {
        apart(|| {
            if !reserve(size_of::<Durations>()) {
                return None;
            }
            Some(&**self.durations.get_or_init(|| Box::new(Durations::new())))
        })?
    }

    /// Returns the durations of its calls; `None` before the first call, and for want of memory.
    pub(crate) fn durations(&self) -> Option<&Durations> {
        self.durations.get().map(|durations| &**durations)
    }

    fn sampled_out(&self) -> u64 {
        self.durations().map_or(0, |durations| durations.sampled_out.load(Ordering::Relaxed))
    }

    /// Returns the numbers of calls by outcome.
    pub(crate) fn calls(&self) -> [u64; 4] {
        let mut calls = loaded(&self.calls);
        calls[Outcome::Ok as usize] = calls[Outcome::Ok as usize].wrapping_add(self.sampled_out());
        calls
    }

    /// Returns the numbers of calls by the reason why they left no record.
    pub(crate) fn unrecorded(&self) -> [u64; 4] {
        let mut calls = loaded(&self.unrecorded);
        let sampled_out = &mut calls[Unrecorded::SampledOut as usize];
        *sampled_out = sampled_out.wrapping_add(self.sampled_out());
        calls
    }

    /// Returns the total duration of all its calls, in ticks.
    pub(crate) fn total_ticks(&self) -> u64 {
        let timed = self.durations().map_or(0, |durations| durations.total_ticks.load(Ordering::Relaxed));
        self.total_ticks.load(Ordering::Relaxed).wrapping_add(timed)
    }

    /// Takes the longest duration since the last time this was taken, in ticks.
    pub(crate) fn take_max_ticks(&self) -> u64 {
        let timed = self.durations().map_or(0, |durations| durations.max_ticks.swap(0, Ordering::Relaxed));
        self.max_ticks.swap(0, Ordering::Relaxed).max(timed)
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.calls() == [0; 4]
    }
}

fn loaded(counters: &[AtomicU64; 4]) -> [u64; 4] {
    std::array::from_fn(|at| counters[at].load(Ordering::Relaxed))
}

/// The tallies of one thread, by the id of the call site. They lie in twelve blocks, each twice as large as the one
/// before, so that a thread pays for the functions that it calls.
#[derive(Debug, Default)]
pub(crate) struct Tallies([OnceLock<Box<[Tally]>>; BLOCKS]);

const FIRST_BLOCK: usize = 32;
const BLOCKS: usize = 12;
const _: () = assert!(limits::SITES_MAX == (FIRST_BLOCK as u32) * ((1 << BLOCKS) - 1));

/// Returns the block of a site, and the place within that block.
#[cfg_attr(not(debug_assertions), inline(always))]
fn place(site: u32) -> (usize, usize) {
    let number = site as usize + FIRST_BLOCK;
    let block = (number / FIRST_BLOCK).ilog2() as usize;
    (block, number - (FIRST_BLOCK << block))
}

impl Tallies {
    /// Returns the tally of a function, made on first use; `None` for want of memory or beyond the bound.
    #[inline]
    pub(crate) fn get_or_make(&self, site: u32) -> Option<&Tally> {
        let (block, place) = place(site);
        match self.0.get(block)?.get() {
            Some(tallies) => tallies.get(place),
            None => self.make_block(block)?.get(place),
        }
    }

    #[cold]
    fn make_block(&self, block: usize) -> Option<&[Tally]> {
        let length = FIRST_BLOCK << block;
        if !reserve(length * size_of::<Tally>()) {
            return None;
        }
        let block = self.0.get(block)?;
        apart(|| &**block.get_or_init(|| (0..length).map(|_| Tally::default()).collect()))
    }

    /// Returns the tally of a function, made on first use without the bound of memory, for the table that threads share.
    pub(crate) fn get_or_make_unbounded(&self, site: u32) -> Option<&Tally> {
        let (block, place) = place(site);
        let length = FIRST_BLOCK << block;
        let block = self.0.get(block)?;
        if let Some(tallies) = block.get() {
            return tallies.get(place);
        }
        apart(|| block.get_or_init(|| (0..length).map(|_| Tally::default()).collect()))?.get(place)
    }

    /// Returns true if any call of a function was counted.
    pub(crate) fn is_used(&self, site: u32) -> bool {
        let (block, place) = place(site);
        let tally = self.0.get(block).and_then(OnceLock::get).and_then(|tallies| tallies.get(place));
        tally.is_some_and(|tally| !tally.is_untouched())
    }

    /// Returns all tallies that were ever used, with their sites.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Tally)> {
        self.0.iter().enumerate().flat_map(|(block, tallies)| {
            let first = (FIRST_BLOCK << block) - FIRST_BLOCK;
            let tallies = tallies.get().into_iter().flatten().enumerate();
            tallies
                .map(move |(place, tally)| ((first + place) as u32, tally))
                .filter(|(_, tally)| !tally.is_untouched())
        })
    }
}

/// The bytes of tallies and countdowns in this process.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Reserves memory for tallies and countdowns. Returns false if they would exceed their bound.
pub(crate) fn reserve(bytes: usize) -> bool {
    let before = BYTES.fetch_add(bytes, Ordering::Relaxed);
    if before + bytes > limits::TALLY_BYTES_MAX {
        BYTES.fetch_sub(bytes, Ordering::Relaxed);
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_has_a_place_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for site in 0..5000 {
            let (block, place) = place(site);
            assert!(place < FIRST_BLOCK << block, "{site}");
            assert!(seen.insert((block, place)), "{site}");
        }
        assert_eq!(place(limits::SITES_MAX - 1).0, BLOCKS - 1);
        assert!(Tallies::default().get_or_make(limits::SITES_MAX).is_none());
    }

    #[test]
    fn a_tally_counts_by_outcome_and_reason() {
        let tallies = Tallies::default();
        let tally = tallies.get_or_make(77).unwrap();
        tally.count(Outcome::Ok, Unrecorded::SampledOut, 100);
        tally.count(Outcome::Ok, Unrecorded::RingFull, 300);
        tally.count(Outcome::Panic, Unrecorded::SampledOut, 200);
        let sites: Vec<u32> = tallies.iter().map(|(site, _)| site).collect();
        assert_eq!(sites, [77]);
        assert_eq!(tally.calls(), [2, 0, 1, 0]);
        tally.durations().unwrap().count_sampled_out(500);
        assert_eq!(tally.calls(), [3, 0, 1, 0]);
        assert_eq!(tally.unrecorded(), [3, 1, 0, 0]);
        assert_eq!(tally.total_ticks(), 1100);
        assert_eq!([tally.take_max_ticks(), tally.take_max_ticks()], [500, 0]);
        assert_eq!(tally.durations().unwrap().iter().map(|(_, count)| count).sum::<u32>(), 4);
    }
}
