//! Exact counters of calls that leave no record: sampled out, or lost for want of room.
//!
//! Takes the end of such a call from the thread that made it. Gives cumulative counters, which the collector reads and
//! subtracts from those that it read before. A table belongs to one thread at a time, which loads and stores without
//! read-modify-write. The file does not know calls that leave a record: the collector counts those from their records.

use std::hint::spin_loop;
use std::sync::OnceLock;

use crate::accountant::{Accountant, Part};
use crate::limits;
use crate::platform::clock::Ticks;
use crate::platform::reentrancy::run_guarded;
use crate::record::Outcome;
use crate::ring::layout::tally;
use crate::ring::tallied::sent_place;
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
    /// The call shares a row that was summed up on its thread.
    Shared,
    /// The call failed and all room for failures was used up: one row counts it together with others.
    Folded,
}

/// The number of reasons.
pub(crate) const REASONS: usize = 5;

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
    pub(crate) fn growth_since(self, earlier: Self) -> Self {
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

/// The counters of one function on one thread, which lie in memory that outlives the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    words: &'static [AtomicU64; tally::WORDS],
    durations: &'static DurationsPlace,
}

/// The durations of a tally's calls, and the way to the counters of calls that were sampled out but timed: such a call
/// writes nowhere else. The calls of this kind were neither cancelled nor did they wait.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Durations {
    words: &'static [AtomicU64; tally::WORDS],
    /// The [`odd`] number of the last call that [`Self::count_sampled_out`] took, which is not in `counts` yet; 0
    /// before the first one. The next call counts it. A call that counted itself would store to an address that depends
    /// on the reading of the clock at its end. A processor may hold back the loads behind such a store until the
    /// address is known: timed calls took a fifth longer.
    last: AtomicU64,
    /// The numbers of all other calls of the tally by duration: see [`place_of`]. 32 bits may wrap; the collector takes
    /// differences far more often than that.
    counts: [AtomicU32; PLACES],
}

/// The place of a tally's durations. They are an array of one, because it can be made from a list, which asks for
/// its memory, while a box ends the process without memory.
pub(crate) type DurationsPlace = OnceLock<Box<[Durations; 1]>>;

/// The places for odd numbers in each doubling.
const PLACES_PER_DOUBLING: usize = 32;
/// The number of places, for durations of fewer than 48 bits. The last one takes all that are longer.
const PLACES: usize = 49 * PLACES_PER_DOUBLING;
/// The bits of a floating-point number behind those that number the places.
const BITS_BEHIND: u32 = f64::MANTISSA_DIGITS - 1 - PLACES_PER_DOUBLING.ilog2();
/// The leading bits of the floating-point number one, the smallest odd number.
const FIRST_PLACE: u64 = 1_f64.to_bits() >> BITS_BEHIND;

/// Returns an odd number for a duration: twice the duration, and one. It is never zero, and its place is exact for
/// short durations as well.
#[cfg_attr(not(debug_assertions), inline(always))]
const fn odd(ticks: Ticks) -> u64 {
    ticks << 1 | 1
}

/// Returns the place of an odd number: its leading six bits, and their position. Durations of six bits have a place
/// each, and longer ones share it with those that differ by less than a thirty-second. The place of zero is none.
///
/// A floating-point number begins with these bits. Its conversion takes three simple instructions, while the search for
/// the leading bit is a program of eight on some processors.
#[cfg_attr(not(debug_assertions), inline(always))]
fn place_of(odd: u64) -> usize {
    ((odd.cast_signed() as f64).to_bits() >> BITS_BEHIND).wrapping_sub(FIRST_PLACE) as usize
}

/// Returns the middle of the durations that share this place.
fn middle_of(place: usize) -> Ticks {
    let [from, to] =
        [place, place + 1].map(|place| f64::from_bits((FIRST_PLACE + place as u64) << BITS_BEHIND));
    // The durations are those whose odd numbers lie in between.
    let [first, end] = [from, to].map(|odd| (odd as u64) / 2);
    first + (end - first) / 2
}

impl Durations {
    /// Appends empty counts of durations to a list that has room for them. This is a function of its own because its
    /// stack frame holds a copy of the counts, and the caller's thread may have a small stack.
    #[cold]
    #[inline(never)]
    fn push_to(list: &mut Vec<Self>, words: &'static [AtomicU64; tally::WORDS]) {
        let counts = std::array::from_fn(|_| AtomicU32::new(0));
        list.push(Self { words, last: AtomicU64::new(0), counts });
    }

    /// Counts a call that was sampled out, timed and `ok`, and never waited. Called by the owner alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn count_sampled_out(&self, duration: Ticks, self_ticks: Ticks, is_nested: bool) {
        let words = self.words;
        add(&words[tally::TIMED_TOTAL], duration);
        add(&words[tally::TIMED_SELF], self_ticks);
        if is_nested {
            add(&words[tally::TIMED_NESTED], duration);
        }
        raise(&words[tally::TIMED_MAX], duration);
        self.count_with_next(duration);
        // The number of calls grows last, as in [`Tally::count`].
        add(&words[tally::TIMED], 1);
    }

    /// Counts the call before, and remembers this one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn count_with_next(&self, ticks: Ticks) {
        let before = self.last.load(Ordering::Relaxed);
        self.last.store(odd(ticks), Ordering::Relaxed);
        match self.counts.get(place_of(before)) {
            Some(count) => add_one(count),
            None if before == 0 => {}
            // A call to a function here would make the end of every timed call save registers.
            None => add_one(&self.counts[PLACES - 1]),
        }
    }

    #[inline]
    fn count(&self, ticks: Ticks) {
        add_one(self.place(ticks));
    }

    fn place(&self, ticks: Ticks) -> &AtomicU32 {
        &self.counts[place_of(odd(ticks)).min(PLACES - 1)]
    }

    /// Returns the numbers of calls, each with the duration in ticks that stands for those of its place. A call that
    /// ends meanwhile may be missing, and the one before it be there twice; the next reading finds both once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticks, u32)> + '_ {
        let last = match self.last.load(Ordering::Relaxed) {
            0 => PLACES,
            odd => place_of(odd).min(PLACES - 1),
        };
        let count = move |(place, count): (usize, &AtomicU32)| {
            (middle_of(place), count.load(Ordering::Relaxed).wrapping_add(u32::from(place == last)))
        };
        self.counts.iter().enumerate().map(count)
    }
}

/// Adds to a counter without read-modify-write, because there is one writer.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Adds one to a number of calls, as [`add`] does.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_one(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Raises a maximum without read-modify-write, because there is one writer.
#[cfg_attr(not(debug_assertions), inline(always))]
fn raise(max: &AtomicU64, ticks: u64) {
    if ticks > max.load(Ordering::Relaxed) {
        max.store(ticks, Ordering::Relaxed);
    }
}

impl Tally {
    /// Returns the tally with these counters and durations.
    pub(crate) const fn with_words(
        words: &'static [AtomicU64; tally::WORDS],
        durations: &'static DurationsPlace,
    ) -> Self {
        Self { words, durations }
    }

    /// Counts a call that took these times. Called by the owner alone.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, reason: Unrecorded, spent: Spent, accountant: &Accountant) {
        self.for_each_sum(outcome, spent, add);
        raise(&self.words[tally::MAX], spent.duration);
        if let Some(durations) = self.durations().or_else(|| self.make_durations(accountant)) {
            durations.count(spent.duration);
        }
        add(&self.words[tally::UNRECORDED + reason as usize], 1);
        // The number of calls grows last, so that a reader that sees the call almost always sees the rest of it.
        add(&self.words[tally::CALLS + outcome as usize], 1);
    }

    /// Counts a call from any thread, in the one table that threads share when there is no memory for tables of their
    /// own.
    #[cold]
    pub(crate) fn count_shared(
        &self,
        outcome: Outcome,
        reason: Unrecorded,
        spent: Spent,
        accountant: &Accountant,
    ) {
        self.for_each_sum(outcome, spent, |counter, amount| _ = counter.fetch_add(amount, Ordering::Relaxed));
        self.words[tally::MAX].fetch_max(spent.duration, Ordering::Relaxed);
        if let Some(durations) = self.durations().or_else(|| self.make_durations(accountant)) {
            durations.place(spent.duration).fetch_add(1, Ordering::Relaxed);
        }
        self.words[tally::UNRECORDED + reason as usize].fetch_add(1, Ordering::Relaxed);
        self.words[tally::CALLS + outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that is about to be sent past the ring, or, with `is_back`, takes the count back because there was
    /// no room past the ring either. The number grows before the collector can have taken the call.
    #[cold]
    pub(crate) fn count_sent(&self, outcome: Outcome, is_back: bool) {
        let one = if is_back { u64::MAX } else { 1 };
        self.words[sent_place(outcome as usize)].fetch_add(one, Ordering::Relaxed);
    }

    /// Adds the times of a call to each sum that they belong to.
    #[inline]
    fn for_each_sum(&self, outcome: Outcome, spent: Spent, add: impl Fn(&AtomicU64, u64)) {
        add(&self.words[tally::TOTAL], spent.duration);
        add(&self.words[tally::SELF], spent.self_ticks);
        if outcome == Outcome::Cancelled {
            add(&self.words[tally::CANCELLED], spent.duration);
        } else if spent.is_nested {
            add(&self.words[tally::NESTED], spent.duration);
        }
        if !spent.is_nested {
            add(&self.words[tally::BUSY], spent.busy);
        }
    }

    #[cold]
    fn make_durations(&self, accountant: &Accountant) -> Option<&'static Durations> {
        run_guarded(|| {
            let bytes = size_of::<Durations>() * KEPT_TWICE;
            if !accountant.take(Part::Tallies, bytes) {
                return None;
            }
            let mut made = Vec::new();
            if made.try_reserve_exact(1).is_err() {
                accountant.give_back(Part::Tallies, bytes);
                return None;
            }
            Durations::push_to(&mut made, self.words);
            let made = made.try_into().ok()?;
            Some(&self.durations.get_or_init(|| made)[0])
        })?
    }

    /// Returns the durations of the tally's calls; `None` before the first call, and for want of memory.
    pub(crate) fn durations(self) -> Option<&'static Durations> {
        self.durations.get().map(|durations| &durations[0])
    }

    /// Reads the counters. If a call is being counted, reads them again, because a reader would see its reason and not the
    /// call. A thread that stopped in between is not waited for.
    pub(crate) fn read(&self) -> Counts {
        let mut counts = self.read_once();
        for _ in 1..READS_MAX {
            if counts.is_whole() {
                break;
            }
            spin_loop();
            counts = self.read_once();
        }
        counts
    }

    /// Reads the counters, the numbers of calls first.
    pub(crate) fn read_once(&self) -> Counts {
        let mut words = [0; tally::WORDS];
        let numbers = [tally::TIMED].into_iter().chain(tally::CALLS..tally::CALLS + 4);
        let others = (0..tally::WORDS).filter(|at| *at != tally::TIMED && !is_number_of_calls(*at));
        for at in numbers.chain(others) {
            words[at] = self.words[at].load(Ordering::Relaxed);
        }
        Counts(words)
    }

    /// Takes the longest duration since the last time this was taken, in ticks.
    pub(crate) fn take_max_ticks(&self) -> u64 {
        let [timed, others] =
            [tally::TIMED_MAX, tally::MAX].map(|at| self.words[at].swap(0, Ordering::Relaxed));
        others.max(timed)
    }

    pub(crate) fn is_untouched(&self) -> bool {
        let is_zero = |at: usize| self.words[at].load(Ordering::Relaxed) == 0;
        is_zero(tally::TIMED) && (tally::CALLS..tally::CALLS + 4).all(is_zero)
    }
}

const fn is_number_of_calls(at: usize) -> bool {
    at >= tally::CALLS && at < tally::CALLS + 4
}

/// The counters of a tally, as one reading found them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts(pub(crate) [u64; tally::WORDS]);

impl Counts {
    /// Returns the numbers of calls by outcome.
    pub(crate) fn calls(&self) -> [u64; 4] {
        let mut calls: [u64; 4] = std::array::from_fn(|at| self.0[tally::CALLS + at]);
        let ok = &mut calls[Outcome::Ok as usize];
        *ok = ok.wrapping_add(self.0[tally::TIMED]);
        calls
    }

    /// Returns the numbers of calls by the reason why they left no record.
    pub(crate) fn unrecorded(&self) -> [u64; REASONS] {
        let mut calls: [u64; REASONS] = std::array::from_fn(|at| self.0[tally::UNRECORDED + at]);
        let sampled_out = &mut calls[Unrecorded::SampledOut as usize];
        *sampled_out = sampled_out.wrapping_add(self.0[tally::TIMED]);
        calls
    }

    /// Returns true if each call has its reason, so that no call was being counted when the counters were read.
    fn is_whole(&self) -> bool {
        let sum = |numbers: &[u64]| numbers.iter().fold(0, |sum: u64, number| sum.wrapping_add(*number));
        sum(&self.calls()) == sum(&self.unrecorded())
    }

    /// Returns the sums of the times of all calls.
    pub(crate) fn sums(&self) -> TickSums {
        let (total, nested) = (self.0[tally::TIMED_TOTAL], self.0[tally::TIMED_NESTED]);
        TickSums {
            durations: self.0[tally::TOTAL].wrapping_add(total),
            self_ticks: self.0[tally::SELF].wrapping_add(self.0[tally::TIMED_SELF]),
            busy: self.0[tally::BUSY].wrapping_add(total.wrapping_sub(nested)),
            nested: self.0[tally::NESTED].wrapping_add(nested),
            cancelled: self.0[tally::CANCELLED],
        }
    }
}

/// The tallies of one thread, by the id of the call site. They lie in twelve blocks, each twice as large as the one
/// before, so that a thread pays for the functions that it calls.
#[derive(Debug, Default)]
pub(crate) struct Tallies([OnceLock<Block>; tally::BLOCKS]);

/// A block of tallies.
#[derive(Debug)]
struct Block {
    words: &'static [[AtomicU64; tally::WORDS]],
    durations: &'static [DurationsPlace],
    survives: bool,
}

/// Zeroed words, and whether they outlive the process.
pub(crate) type Table = (&'static [AtomicU64], bool);

const FIRST_BLOCK: usize = tally::FIRST_BLOCK;
const BLOCKS: usize = tally::BLOCKS;
const _: () = assert!(limits::SITES_MAX == (FIRST_BLOCK as u32) * ((1 << BLOCKS) - 1));

/// Returns the block of a site, and the place within that block.
#[cfg_attr(not(debug_assertions), inline(always))]
fn place(site: u32) -> (usize, usize) {
    let number = site as usize + FIRST_BLOCK;
    let block = (number / FIRST_BLOCK).ilog2() as usize;
    (block, number - (FIRST_BLOCK << block))
}

impl Block {
    fn new((words, survives): Table, durations: Vec<DurationsPlace>) -> Self {
        let words = words.as_chunks().0;
        // A thread's state is never freed, and neither are its tallies.
        Self { words, durations: Vec::leak(durations), survives }
    }

    #[inline]
    fn get(&self, place: usize) -> Option<Tally> {
        Some(Tally::with_words(self.words.get(place)?, self.durations.get(place)?))
    }
}

impl Tallies {
    /// Returns the tally of a function, made on first use; `None` for want of memory or beyond the bound. `take` gets
    /// the number of the block and its number of words, and returns the memory for it.
    #[inline]
    pub(crate) fn get_or_make(
        &self,
        site: u32,
        take: impl FnOnce(u32, usize) -> Option<Table>,
        accountant: &Accountant,
    ) -> Option<Tally> {
        let (block, place) = place(site);
        match self.0.get(block)?.get() {
            Some(tallies) => tallies.get(place),
            None if accountant.take(Part::Tallies, block_bytes(block)) => {
                let made = self.make_block(block, take);
                if made.is_none() {
                    accountant.give_back(Part::Tallies, block_bytes(block));
                }
                made?.get(place)
            }
            None => None,
        }
    }

    /// Returns the tally of a function, made on first use without the bound of memory, for the table that threads share.
    pub(crate) fn get_or_make_unbounded(
        &self,
        site: u32,
        take: impl FnOnce(u32, usize) -> Option<Table>,
        accountant: &Accountant,
    ) -> Option<Tally> {
        let (block, place) = place(site);
        if let Some(tallies) = self.0.get(block)?.get() {
            return tallies.get(place);
        }
        let made = self.make_block(block, take)?;
        accountant.add(Part::Tallies, block_bytes(block));
        made.get(place)
    }

    #[cold]
    fn make_block(&self, block: usize, take: impl FnOnce(u32, usize) -> Option<Table>) -> Option<&Block> {
        let place = self.0.get(block)?;
        run_guarded(|| {
            if let Some(made) = place.get() {
                return Some(made);
            }
            let (sites, mut durations) = (FIRST_BLOCK << block, Vec::new());
            durations.try_reserve_exact(sites).ok()?;
            durations.resize_with(sites, DurationsPlace::new);
            let table = take(block as u32, sites * tally::WORDS)?;
            Some(place.get_or_init(|| Block::new(table, durations)))
        })?
    }

    /// Returns true if any call of a function was counted.
    pub(crate) fn is_used(&self, site: u32) -> bool {
        self.get(site).is_some_and(|tally| !tally.is_untouched())
    }

    /// Returns the tally of a function, if there is one.
    pub(crate) fn get(&self, site: u32) -> Option<Tally> {
        let (block, place) = place(site);
        self.0.get(block)?.get()?.get(place)
    }

    /// Returns all tallies that were ever used, with their sites, and whether they outlive the process.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Tally, bool)> {
        self.0.iter().enumerate().flat_map(|(block, tallies)| {
            let first = (FIRST_BLOCK << block) - FIRST_BLOCK;
            let all = tallies.get().into_iter().flat_map(move |tallies| {
                let places = 0..tallies.words.len();
                places.filter_map(|place| Some((place, tallies.get(place)?, tallies.survives)))
            });
            all.map(move |(place, tally, survives)| ((first + place) as u32, tally, survives))
                .filter(|(_, tally, _)| !tally.is_untouched())
        })
    }
}

/// Returns the bytes of a block of tallies.
const fn block_bytes(block: usize) -> usize {
    (FIRST_BLOCK << block) * (tally::WORDS * 8 + size_of::<DurationsPlace>())
}

/// The most times that the counters are read, if a call is being counted each time.
const READS_MAX: usize = 16;

/// The factor by which the memory of a histogram is counted, because the collector keeps a copy from its last reading.
const KEPT_TWICE: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Takes memory that ends with the process.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of what takes memory, which may have none")]
    fn take(_: u32, words: usize) -> Option<Table> {
        Some((Vec::leak((0..words).map(|_| AtomicU64::new(0)).collect()), false))
    }

    fn tally() -> Tally {
        Tallies::default().get_or_make(7, take, Accountant::boundless()).unwrap()
    }

    #[test]
    fn every_site_has_a_place_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for site in 0..5000 {
            let (block, place) = place(site);
            assert!(place < FIRST_BLOCK << block, "{site}");
            assert!(seen.insert((block, place)), "{site}");
        }
        assert_eq!(place(limits::SITES_MAX - 1).0, BLOCKS - 1);
        assert!(Tallies::default().get_or_make(limits::SITES_MAX, take, Accountant::boundless()).is_none());
    }

    #[test]
    fn a_tally_counts_by_outcome_and_reason() {
        let tallies = Tallies::default();
        let tally = tallies.get_or_make(77, take, Accountant::boundless()).unwrap();
        let spent =
            |duration| Spent { duration, self_ticks: duration / 4, busy: duration / 2, is_nested: false };
        tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(100), Accountant::boundless());
        tally.count(
            Outcome::Ok,
            Unrecorded::RingFull,
            Spent { is_nested: true, ..spent(300) },
            Accountant::boundless(),
        );
        tally.count(Outcome::Panic, Unrecorded::SampledOut, spent(200), Accountant::boundless());
        tally.count(Outcome::Cancelled, Unrecorded::Folded, spent(400), Accountant::boundless());
        let sites: Vec<u32> = tallies.iter().map(|(site, ..)| site).collect();
        assert_eq!(sites, [77]);
        assert_eq!(tally.read().calls(), [2, 0, 1, 1]);
        tally.durations().unwrap().count_sampled_out(500, 60, false);
        tally.durations().unwrap().count_sampled_out(80, 8, true);
        assert_eq!(tally.read().calls(), [4, 0, 1, 1]);
        assert_eq!(tally.read().unrecorded(), [4, 1, 0, 0, 1]);
        let sums =
            TickSums { durations: 1580, self_ticks: 250 + 68, busy: 350 + 500, nested: 380, cancelled: 400 };
        assert_eq!(tally.read().sums(), sums);
        assert_eq!([tally.take_max_ticks(), tally.take_max_ticks()], [500, 0]);
        assert_eq!(tally.durations().unwrap().iter().map(|(_, count)| count).sum::<u32>(), 6);
    }

    #[test]
    fn a_reading_beside_a_thread_that_counts_has_a_reason_for_each_call() {
        let tally = tally();
        let (is_over, mut torn) = (AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let spent = Spent { duration: 10, self_ticks: 10, busy: 10, is_nested: false };
                while !is_over.load(Ordering::Relaxed) {
                    tally.count(Outcome::Ok, Unrecorded::RingFull, spent, Accountant::boundless());
                }
            });
            while tally.is_untouched() {
                std::thread::yield_now();
            }
            torn = (0..100_000).filter(|_| !tally.read().is_whole()).count();
            is_over.store(true, Ordering::Relaxed);
        });
        // The thread may have lost its processor in the middle of a call, and is not waited for.
        assert!(torn < 10_000, "{torn} of 100000 readings lack the reason of a call");
    }

    #[test]
    fn calls_of_a_shared_tally_are_summed_as_those_of_one_owner_are() {
        let [owned, shared] = [tally(), tally()];
        for (outcome, is_nested) in [(Outcome::Ok, false), (Outcome::Error, true), (Outcome::Cancelled, true)]
        {
            let spent = Spent { duration: 1000, self_ticks: 10, busy: 100, is_nested };
            owned.count(outcome, Unrecorded::RingFull, spent, Accountant::boundless());
            shared.count_shared(outcome, Unrecorded::RingFull, spent, Accountant::boundless());
        }
        assert_eq!(owned.read().sums(), shared.read().sums());
        assert_eq!(
            owned.read().sums(),
            TickSums { durations: 3000, self_ticks: 30, busy: 100, nested: 1000, cancelled: 1000 }
        );
    }

    #[test]
    fn a_duration_is_told_apart_from_those_that_differ_by_a_thirtieth() {
        let mut last = 0;
        for ticks in (0..5_000).chain(
            (13..47).flat_map(|bits| (0..50).map(move |step| (1_u64 << bits) + step * (1 << bits) / 50)),
        ) {
            let place = place_of(odd(ticks));
            assert!(place >= last, "{ticks}");
            last = place;
            let off = middle_of(place).abs_diff(ticks) as f64 / (ticks.max(1) as f64);
            assert!(if ticks < 64 { middle_of(place) == ticks } else { off <= 1.0 / 64.0 }, "{ticks}: {off}");
        }
        assert_eq!((place_of(odd((1 << 48) - 1)), middle_of(0)), (PLACES - 1, 0));
    }

    #[test]
    fn each_timed_call_is_in_the_histogram_as_soon_as_it_ends() {
        let durations = tally().make_durations(Accountant::boundless()).unwrap();
        let seen = || durations.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!(seen(), []);
        for (calls, ticks) in [0, 9, 9, 40].into_iter().enumerate() {
            durations.count_sampled_out(ticks, 0, false);
            assert_eq!(seen().iter().map(|(_, count)| *count as usize).sum::<usize>(), calls + 1);
            assert!(seen().iter().any(|(seen, _)| *seen == ticks), "{ticks}");
        }
        assert_eq!(seen(), [(0, 1), (9, 2), (40, 1)]);
        // The longest elapsed time, and one that no clock gives.
        for ticks in [u64::MAX / 2, u64::MAX] {
            durations.count_sampled_out(ticks, 0, false);
            durations.count(ticks);
        }
        assert_eq!(seen().last(), Some(&(middle_of(PLACES - 1), 4)));
    }
}
