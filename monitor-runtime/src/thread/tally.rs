//! Exact counters of calls that leave no record: sampled out, or lost for want of room.
//!
//! Takes the end of such a call from the thread that made it. Gives cumulative counters, which the collector reads and
//! subtracts from those that it read before. A table belongs to one thread at a time, which loads and stores without
//! read-modify-write. The file does not know calls that leave a record: the collector counts those from their records.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use crate::limits;
use crate::platform::clock::Ticks;
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

/// The times of a call that ended, in ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) duration: Ticks,
    /// The part of `busy` that was not spent in callees.
    pub(crate) self_ticks: Ticks,
    /// The duration, or the time of its polls if the call is async.
    pub(crate) busy: Ticks,
    /// True if another call of the function was under way around it on the same thread.
    pub(crate) is_nested: bool,
}

/// The sums of the times of calls, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TickSums {
    /// The durations of all calls.
    pub(crate) durations: Ticks,
    /// The self times of all calls.
    pub(crate) self_ticks: Ticks,
    /// The busy times of calls that are not nested.
    pub(crate) busy: Ticks,
    /// The durations of nested calls that were not cancelled.
    pub(crate) nested: Ticks,
    /// The durations of cancelled calls.
    pub(crate) cancelled: Ticks,
}

impl TickSums {
    /// Returns by how much these sums have grown since they were `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            durations: self.durations.wrapping_sub(earlier.durations),
            self_ticks: self.self_ticks.wrapping_sub(earlier.self_ticks),
            busy: self.busy.wrapping_sub(earlier.busy),
            nested: self.nested.wrapping_sub(earlier.nested),
            cancelled: self.cancelled.wrapping_sub(earlier.cancelled),
        }
    }

    /// Multiplies the sums by this ratio.
    pub(crate) fn scale(&mut self, (times, divisor): (u64, u64)) {
        let Self { durations, self_ticks, busy, nested, cancelled } = self;
        for sum in [durations, self_ticks, busy, nested, cancelled] {
            *sum = (u128::from(*sum) * u128::from(times) / u128::from(divisor.max(1))) as u64;
        }
    }
}

/// The counters of one function on one thread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Numbers of calls by outcome.
    calls: [AtomicU64; 4],
    /// Numbers of calls by the reason why they left no record.
    unrecorded: [AtomicU64; 4],
    total_ticks: AtomicU64,
    self_ticks: AtomicU64,
    busy_ticks: AtomicU64,
    nested_ticks: AtomicU64,
    cancelled_ticks: AtomicU64,
    max_ticks: AtomicU64,
    durations: OnceLock<Box<Durations>>,
}

/// The durations of a tally's calls, and all counters of calls that were sampled out but timed: such a call writes
/// nowhere else. None of these is cancelled or waits.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Durations {
    /// The number of calls that were sampled out, timed and `ok`. The tally's own counters leave them out.
    sampled_out: AtomicU64,
    total_ticks: AtomicU64,
    self_ticks: AtomicU64,
    nested_ticks: AtomicU64,
    max_ticks: AtomicU64,
    /// The numbers of all calls of the tally by duration: see [`place_of`]. 32 bits may wrap; the collector takes
    /// differences far more often than that.
    counts: [AtomicU32; PLACES],
}

/// The places for durations in each doubling.
const EACH: usize = 32;
/// The number of places, for durations of fewer than 48 bits. The last one takes all that are longer.
const PLACES: usize = (48 - EACH.ilog2() as usize + 1) * EACH;

/// Returns the place of a duration: its leading six bits, and their position. Durations of six bits have a place each, and
/// longer ones share it with those that differ by less than a thirty-second.
#[cfg_attr(not(debug_assertions), inline(always))]
fn place_of(ticks: Ticks) -> usize {
    let behind = (ticks | EACH as u64).ilog2() - EACH.ilog2();
    behind as usize * EACH + (ticks >> behind) as usize
}

/// Returns the middle of the durations that share this place.
fn middle_of(place: usize) -> Ticks {
    let behind = (place / EACH).saturating_sub(1);
    (((place - behind * EACH) as u64) << behind) + (1 << behind) / 2
}

impl Durations {
    fn new() -> Self {
        Self {
            sampled_out: AtomicU64::new(0),
            total_ticks: AtomicU64::new(0),
            self_ticks: AtomicU64::new(0),
            nested_ticks: AtomicU64::new(0),
            max_ticks: AtomicU64::new(0),
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Counts a call that was sampled out, timed and `ok`, and never waited. Called by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn count_sampled_out(&self, duration: Ticks, self_ticks: Ticks, is_nested: bool) {
        add(&self.total_ticks, duration);
        add(&self.self_ticks, self_ticks);
        if is_nested {
            add(&self.nested_ticks, duration);
        }
        raise(&self.max_ticks, duration);
        self.count(duration);
        // Last, as in [`Tally::count`].
        add(&self.sampled_out, 1);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn count(&self, ticks: Ticks) {
        let count = self.place(ticks);
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn place(&self, ticks: Ticks) -> &AtomicU32 {
        &self.counts[place_of(ticks).min(PLACES - 1)]
    }

    /// Returns the numbers of calls, each with the duration in ticks that stands for those of its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticks, u32)> + '_ {
        (0..).map(middle_of).zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
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
    /// Counts a call that took these times. Called by the owner alone.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, reason: Unrecorded, spent: Spent) {
        self.each_sum(outcome, spent, add);
        raise(&self.max_ticks, spent.duration);
        if let Some(durations) = self.durations().or_else(|| self.make_durations()) {
            durations.count(spent.duration);
        }
        add(&self.unrecorded[reason as usize], 1);
        // Last, so that a reader that sees the call almost always sees the rest of it.
        add(&self.calls[outcome as usize], 1);
    }

    /// Counts a call from any thread, in the one table that threads share when there is no memory for tables of their
    /// own.
    #[cold]
    pub(crate) fn count_shared(&self, outcome: Outcome, reason: Unrecorded, spent: Spent) {
        self.each_sum(outcome, spent, |counter, amount| _ = counter.fetch_add(amount, Ordering::Relaxed));
        self.max_ticks.fetch_max(spent.duration, Ordering::Relaxed);
        if let Some(durations) = self.durations().or_else(|| self.make_durations()) {
            durations.place(spent.duration).fetch_add(1, Ordering::Relaxed);
        }
        self.unrecorded[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the times of a call to each sum that they belong to.
    #[inline]
    fn each_sum(&self, outcome: Outcome, spent: Spent, add: impl Fn(&AtomicU64, u64)) {
        add(&self.total_ticks, spent.duration);
        add(&self.self_ticks, spent.self_ticks);
        if outcome == Outcome::Cancelled {
            add(&self.cancelled_ticks, spent.duration);
        } else if spent.is_nested {
            add(&self.nested_ticks, spent.duration);
        }
        if !spent.is_nested {
            add(&self.busy_ticks, spent.busy);
        }
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

    /// Returns the sums of the times of all its calls.
    pub(crate) fn sums(&self) -> TickSums {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let timed = |counter: fn(&Durations) -> &AtomicU64| {
            self.durations().map_or(0, |durations| of(counter(durations)))
        };
        let (total, nested) = (timed(|timed| &timed.total_ticks), timed(|timed| &timed.nested_ticks));
        TickSums {
            durations: of(&self.total_ticks).wrapping_add(total),
            self_ticks: of(&self.self_ticks).wrapping_add(timed(|timed| &timed.self_ticks)),
            busy: of(&self.busy_ticks).wrapping_add(total.wrapping_sub(nested)),
            nested: of(&self.nested_ticks).wrapping_add(nested),
            cancelled: of(&self.cancelled_ticks),
        }
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
        let spent =
            |duration| Spent { duration, self_ticks: duration / 4, busy: duration / 2, is_nested: false };
        tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(100));
        tally.count(Outcome::Ok, Unrecorded::RingFull, Spent { is_nested: true, ..spent(300) });
        tally.count(Outcome::Panic, Unrecorded::SampledOut, spent(200));
        tally.count(Outcome::Cancelled, Unrecorded::Folded, spent(400));
        let sites: Vec<u32> = tallies.iter().map(|(site, _)| site).collect();
        assert_eq!(sites, [77]);
        assert_eq!(tally.calls(), [2, 0, 1, 1]);
        tally.durations().unwrap().count_sampled_out(500, 60, false);
        tally.durations().unwrap().count_sampled_out(80, 8, true);
        assert_eq!(tally.calls(), [4, 0, 1, 1]);
        assert_eq!(tally.unrecorded(), [4, 1, 0, 1]);
        let sums =
            TickSums { durations: 1580, self_ticks: 250 + 68, busy: 350 + 500, nested: 380, cancelled: 400 };
        assert_eq!(tally.sums(), sums);
        assert_eq!([tally.take_max_ticks(), tally.take_max_ticks()], [500, 0]);
        assert_eq!(tally.durations().unwrap().iter().map(|(_, count)| count).sum::<u32>(), 6);
    }

    #[test]
    fn calls_of_a_shared_tally_are_summed_as_those_of_one_owner_are() {
        let [owned, shared] = [Tally::default(), Tally::default()];
        for (outcome, is_nested) in [(Outcome::Ok, false), (Outcome::Error, true), (Outcome::Cancelled, true)]
        {
            let spent = Spent { duration: 1000, self_ticks: 10, busy: 100, is_nested };
            owned.count(outcome, Unrecorded::RingFull, spent);
            shared.count_shared(outcome, Unrecorded::RingFull, spent);
        }
        assert_eq!(owned.sums(), shared.sums());
        assert_eq!(
            owned.sums(),
            TickSums { durations: 3000, self_ticks: 30, busy: 100, nested: 1000, cancelled: 1000 }
        );
    }

    #[test]
    fn a_duration_is_told_apart_from_those_that_differ_by_a_thirtieth() {
        let mut last = 0;
        for ticks in (0..5_000).chain(
            (13..47).flat_map(|bits| (0..50).map(move |step| (1_u64 << bits) + step * (1 << bits) / 50)),
        ) {
            let place = place_of(ticks);
            assert!(place == last || place == last + 1 || ticks > 5_000, "{ticks}");
            last = place;
            let off = middle_of(place).abs_diff(ticks) as f64 / (ticks.max(1) as f64);
            assert!(if ticks < 64 { middle_of(place) == ticks } else { off <= 1.0 / 64.0 }, "{ticks}: {off}");
        }
        assert_eq!((place_of((1 << 48) - 1), middle_of(0)), (PLACES - 1, 0));
        Durations::new().count(u64::MAX);
    }
}
