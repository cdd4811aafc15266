//! Exact figures of calls that leave no record: sampled out, or lost for want of room.
//!
//! In: the end of such a call, from the thread that made it. Out: cumulative counters that the
//! collector reads and subtracts from what it read before. A table belongs to one thread at a time,
//! which loads and stores without read-modify-write; a call that does leave a record is counted by
//! the collector from that record instead, so it touches nothing here.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use crate::histogram::{self, BUCKETS};
use crate::limits;
use crate::platform::clock;
use crate::platform::reentrancy::apart;
use crate::record::Outcome;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Why a call left no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrecorded {
    /// Not drawn.
    SampledOut,
    /// The ring was full.
    RingFull,
    /// The thread has no ring.
    NoRing,
    /// It failed, and all room for failures was used up: it is counted in a row with others.
    Folded,
}

/// Figures of one function on one thread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By outcome.
    pub(crate) calls: [AtomicU64; 4],
    /// By reason.
    pub(crate) unrecorded: [AtomicU64; 4],
    pub(crate) total_ticks: AtomicU64,
    pub(crate) max_ticks: AtomicU64,
    durations: OnceLock<Box<Durations>>,
}

/// Counts of durations by the place of their bucket. 32 bits may wrap; the collector takes differences
/// far more often than that.
#[derive(Debug)]
pub(crate) struct Durations([AtomicU32; BUCKETS]);

impl Durations {
    #[inline]
    fn count_of(&self, ticks: u64) -> &AtomicU32 {
        &self.0[histogram::place(clock::ns_from_ticks(ticks)).min(BUCKETS - 1)]
    }

    /// Counts by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).enumerate()
    }
}

/// Adds without read-modify-write: there is one writer.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Tally {
    /// Counts a call of this duration. Called by the owner alone.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, reason: Unrecorded, ticks: u64) {
        add(&self.total_ticks, ticks);
        if ticks > self.max_ticks.load(Ordering::Relaxed) {
            self.max_ticks.store(ticks, Ordering::Relaxed);
        }
        if let Some(durations) = self.durations().or_else(|| self.first_durations()) {
            let count = durations.count_of(ticks);
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        add(&self.unrecorded[reason as usize], 1);
        // Last, so that a reader who sees the call by and large sees the rest of it.
        add(&self.calls[outcome as usize], 1);
    }

    /// Counts a call from any thread: for the one table that threads share when there is no memory
    /// for tables of their own.
    #[cold]
    pub(crate) fn count_shared(&self, outcome: Outcome, reason: Unrecorded, ticks: u64) {
        self.total_ticks.fetch_add(ticks, Ordering::Relaxed);
        self.max_ticks.fetch_max(ticks, Ordering::Relaxed);
        if let Some(durations) = self.durations().or_else(|| self.first_durations()) {
            durations.count_of(ticks).fetch_add(1, Ordering::Relaxed);
        }
        self.unrecorded[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    fn first_durations(&self) -> Option<&Durations> {
        apart(|| {
            if !reserve(size_of::<Durations>()) {
                return None;
            }
            let new = || Box::new(Durations(std::array::from_fn(|_| AtomicU32::new(0))));
            Some(&**self.durations.get_or_init(new))
        })?
    }

    pub(crate) fn durations(&self) -> Option<&Durations> {
        self.durations.get().map(|durations| &**durations)
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.calls.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

/// The tallies of one thread, by the id of the call site: twelve blocks, each twice as large as the
/// one before, so that a thread pays for the functions it calls.
#[derive(Debug, Default)]
pub(crate) struct Tallies([OnceLock<Box<[Tally]>>; BLOCKS]);

const FIRST_BLOCK: usize = 32;
const BLOCKS: usize = 12;
const _: () = assert!(limits::SITES_MAX == (FIRST_BLOCK as u32) * ((1 << BLOCKS) - 1));

/// Block of a site, and the place within it.
#[cfg_attr(not(debug_assertions), inline(always))]
fn place(site: u32) -> (usize, usize) {
    let number = site as usize + FIRST_BLOCK;
    let block = (number / FIRST_BLOCK).ilog2() as usize;
    (block, number - (FIRST_BLOCK << block))
}

impl Tallies {
    /// The tally of a function, made on first use. `None` for want of memory or beyond the bound.
    #[inline]
    pub(crate) fn of(&self, site: u32) -> Option<&Tally> {
        let (block, place) = place(site);
        match self.0.get(block)?.get() {
            Some(tallies) => tallies.get(place),
            None => self.first(block)?.get(place),
        }
    }

    #[cold]
    fn first(&self, block: usize) -> Option<&[Tally]> {
        let length = FIRST_BLOCK << block;
        if !reserve(length * size_of::<Tally>()) {
            return None;
        }
        let block = self.0.get(block)?;
        apart(|| &**block.get_or_init(|| (0..length).map(|_| Tally::default()).collect()))
    }

    /// The same without the bound: for the table that threads share.
    pub(crate) fn of_unbounded(&self, site: u32) -> Option<&Tally> {
        let (block, place) = place(site);
        let length = FIRST_BLOCK << block;
        let block = self.0.get(block)?;
        if let Some(tallies) = block.get() {
            return tallies.get(place);
        }
        apart(|| block.get_or_init(|| (0..length).map(|_| Tally::default()).collect()))?.get(place)
    }

    /// Whether anything was counted of a function.
    pub(crate) fn is_used(&self, site: u32) -> bool {
        let (block, place) = place(site);
        let tally = self.0.get(block).and_then(OnceLock::get).and_then(|tallies| tallies.get(place));
        tally.is_some_and(|tally| !tally.is_untouched())
    }

    /// All tallies that were ever used, with their sites.
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

/// Bytes of tallies and countdowns in this process.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Reserves memory for tallies and countdowns while they stay within their bound.
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
        assert!(Tallies::default().of(limits::SITES_MAX).is_none());
    }

    #[test]
    fn a_tally_counts_by_outcome_and_reason() {
        let tallies = Tallies::default();
        let tally = tallies.of(77).unwrap();
        tally.count(Outcome::Ok, Unrecorded::SampledOut, 100);
        tally.count(Outcome::Ok, Unrecorded::RingFull, 300);
        tally.count(Outcome::Panic, Unrecorded::SampledOut, 200);
        let sites: Vec<u32> = tallies.iter().map(|(site, _)| site).collect();
        assert_eq!(sites, [77]);
        let calls: Vec<u64> = tally.calls.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(calls, [2, 0, 1, 0]);
        assert_eq!(tally.total_ticks.load(Ordering::Relaxed), 600);
        assert_eq!(tally.max_ticks.load(Ordering::Relaxed), 300);
        assert_eq!(tally.durations().unwrap().iter().map(|(_, count)| count).sum::<u32>(), 3);
    }
}
