//! The reader of the counters of calls that left no record: tallies, which hold counts and durations, and countdowns,
//! which only count.
//!
//! Takes the counters of all threads, which only grow; adds the differences since the last reading to the statistics of
//! functions. Calls that were only counted have no durations of their own: the durations of timed calls of the same
//! function and thread stand for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::folded_failures::Failures;
use super::functions::Functions;
use super::health::Health;
use super::parts::Parts;
use crate::batch::CallStats;
use crate::growth::MakeRoom as _;
use crate::histogram::Histogram;
use crate::platform::clock::Ticks;
use crate::record::Outcome;
use crate::ring::tallied::Tallied;
use crate::site;
use crate::store::OTHER_KIND;
use crate::thread::countdown::{Countdown, CountdownTable};
use crate::thread::pool::ThreadPool;
use crate::thread::tally::{Counts, Durations, Tally, Unrecorded};

/// A counter, if there is one, and whether it outlives the process.
type Kept<T> = Option<(T, bool)>;

/// The reader of all tallies and countdowns.
#[derive(Debug, Default)]
pub(super) struct TallyReader {
    /// The counters as of the last reading, by the thread's place and the site's id.
    read: HashMap<(usize, u32), TallyRead>,
    /// The number of calls at the last reading that passed through, that is, ran without being recorded: of all
    /// functions together, and of each function by the id of its site.
    passed_of_all: u64,
    passed: HashMap<u32, u32>,
}

/// The counters of a tally and its countdown as of the last reading.
#[derive(Debug, Default)]
struct TallyRead {
    counts: Counts,
    counted: u32,
    counted_failed: u32,
    durations: Vec<u32>,
    /// The number of calls that were only counted and that have not been given the durations of timed calls yet.
    untimed: u64,
}

impl TallyReader {
    /// Adds the calls that were tallied since the last reading.
    pub(super) fn step(&mut self, rings: &ThreadPool, parts: &mut Parts<'_>) {
        for (place, state) in rings.states().enumerate() {
            let countdowns = state.countdowns.table();
            let survives = countdowns.is_some_and(CountdownTable::survives);
            for (site, tally, tally_survives) in state.tallies.iter() {
                let countdown = countdowns.and_then(|table| table.get(site)).map(|one| (one, survives));
                self.read(place, site, (Some((tally, tally_survives)), countdown), parts);
            }
            for (site, countdown) in state.countdowns.iter() {
                if !state.tallies.is_used(site) {
                    self.read(place, site, (None, Some((countdown, survives))), parts);
                }
            }
        }
        for (site, tally, survives) in rings.home.shared_tallies.iter() {
            self.read(usize::MAX, site, (Some((tally, survives)), None), parts);
        }
        self.read_passed(parts);
    }

    /// Adds the calls that passed through since the last reading. Nothing is known of them but their functions.
    fn read_passed(&mut self, parts: &mut Parts<'_>) {
        let passed_of_all = site::passed_of_all();
        if std::mem::replace(&mut self.passed_of_all, passed_of_all) == passed_of_all {
            return;
        }
        let now_ns = parts.clock.now_ns();
        for site in site::registered() {
            let passed = site.passed();
            let before = self.passed.get(&site.id()).copied().unwrap_or(0);
            if passed == before {
                continue;
            }
            parts.functions.discover_missing(site.id());
            if parts.functions.get(site.id()).is_none() || !self.passed.make_room(1) {
                // The counters only grow, so they can be read once the machine has memory again.
                self.passed_of_all = passed_of_all.wrapping_sub(1);
                continue;
            }
            self.passed.insert(site.id(), passed);
            let calls = u64::from(passed.wrapping_sub(before));
            let added = CallStats { calls, dropped: calls, is_estimated: true, ..CallStats::default() };
            if let Some(stats) = parts.functions.stats_mut(site.id()) {
                stats.add(now_ns, added, Histogram::default());
            }
            parts.report.health.dropped.passed += calls;
        }
    }

    /// Reads the counters of a function on a thread, each with whether it outlives the process.
    fn read(
        &mut self,
        place: usize,
        site: u32,
        (tally, countdown): (Kept<Tally>, Kept<Countdown>),
        parts: &mut Parts<'_>,
    ) {
        let Parts { clock, functions, ladder, report, .. } = parts;
        let health = &mut report.health;
        functions.discover_missing(site);
        // The counters only grow, so they can be read once the machine has memory again.
        if functions.get(site).is_none() || !self.read.make_room(1) {
            return;
        }
        let read = match self.read.entry((place, site)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(TallyRead::default()),
        };
        let counts = tally.map(|(tally, _)| tally.read()).unwrap_or_default();
        let before = std::mem::replace(&mut read.counts, counts);
        let calls = differences(before.calls(), counts.calls());
        let (counted_now, failed_now) =
            countdown.map_or((0, 0), |(countdown, _)| (countdown.counted(), countdown.failed()));
        let counted_before = std::mem::replace(&mut read.counted, counted_now);
        let begun = u64::from(read.counted.wrapping_sub(counted_before));
        let failed_before = std::mem::replace(&mut read.counted_failed, failed_now);
        let taken_back = u64::from(read.counted_failed.wrapping_sub(failed_before));
        if calls == [0; 4] {
            // A call that is being counted may have added its times already: they are read with its number.
            read.counts = before;
        }
        let mut grown = Tallied::default();
        if tally.is_some_and(|(_, survives)| survives) {
            grown = Tallied::from_tally(&read.counts.0).growth_since(&Tallied::from_tally(&before.0));
        }
        if countdown.is_some_and(|(_, survives)| survives) {
            (grown.counted, grown.taken_back) = (begun, taken_back);
        }
        // Calls that were sent past a ring are counted once they are taken.
        grown.sent = [0; 4];
        functions.note_tallied(site, &grown);
        let counted = begun.saturating_sub(taken_back);
        // Calls that began before the last reading and have left a record since were counted too early.
        let too_early = taken_back - (begun - counted);
        read.untimed = read.untimed.saturating_sub(too_early);
        if too_early > 0
            && let Some(stats) = functions.stats_mut(site)
        {
            stats.uncount(too_early);
            health.sampled_out = health.sampled_out.saturating_sub(too_early);
        }
        if calls == [0; 4] && counted == 0 {
            return;
        }
        let reasons = differences(before.unrecorded(), read.counts.unrecorded());
        let mut times = read.counts.sums().growth_since(before.sums());
        let tally = tally.map(|(tally, _)| tally);
        let durations =
            tally.and_then(Tally::durations).map(|durations| new_durations(&mut read.durations, durations));
        let mut durations = durations.unwrap_or_default();
        read.untimed = read.untimed.wrapping_add(counted);
        times.scale(extrapolate(&mut read.untimed, &mut durations));
        let dropped = reasons[Unrecorded::RingFull as usize]
            + reasons[Unrecorded::NoRing as usize]
            + reasons[Unrecorded::Folded as usize];
        let mut histogram = Histogram::default();
        for (ticks, count) in &durations {
            histogram.add(clock.duration_ns(*ticks), *count);
        }
        let sampled_out = reasons[Unrecorded::SampledOut as usize].wrapping_add(counted);
        health.dropped.ring_full += reasons[Unrecorded::RingFull as usize];
        health.dropped.no_ring += reasons[Unrecorded::NoRing as usize];
        health.sampled_out += sampled_out;
        let all = calls.iter().sum::<u64>().wrapping_add(counted);
        let ns = |ticks| clock.calls_ns(all, ticks);
        let added = CallStats {
            calls: all,
            errors: calls[Outcome::Error as usize],
            panics: calls[Outcome::Panic as usize],
            cancelled: calls[Outcome::Cancelled as usize],
            sampled_out,
            dropped,
            total_ns: ns(times.durations.saturating_sub(times.nested).saturating_sub(times.cancelled)),
            self_ns: ns(times.self_ticks),
            busy_ns: ns(times.busy),
            nested_ns: ns(times.nested),
            cancelled_ns: ns(times.cancelled),
            max_ns: clock.calls_ns(1, tally.map_or(0, |tally| tally.take_max_ticks())),
            is_estimated: counted > 0,
            ..CallStats::default()
        };
        let now_ns = clock.now_ns();
        if let Some(function) = functions.get(site) {
            // A call that shares a row counts as recorded once its row holds it.
            let shared = reasons[Unrecorded::Shared as usize];
            let without_row = reasons[Unrecorded::SampledOut as usize].wrapping_add(shared);
            ladder.count_unrecorded(function, without_row, counted, dropped);
        }
        if let Some(stats) = functions.stats_mut(site) {
            stats.add(now_ns, added, histogram);
        }
        fold_failures(site, calls, now_ns, functions, health);
    }
}

/// Counts failures by kind. A failure leaves a record at any rate, so a failure that is only in a tally found no room
/// anywhere.
fn fold_failures(function: u32, calls: [u64; 4], at_ns: i64, functions: &mut Functions, health: &mut Health) {
    for outcome in Outcome::FAILURES {
        let count = calls[outcome as usize];
        if count > 0 {
            let (message, error_type) = (OTHER_KIND.to_owned(), String::new());
            functions.fold(Failures { function, outcome, message, error_type, count, at_ns }, health);
        }
    }
}

/// Returns how much was added to counters since they were last read.
fn differences<const N: usize>(before: [u64; N], now: [u64; N]) -> [u64; N] {
    std::array::from_fn(|at| now[at].wrapping_sub(before[at]))
}

/// Extends the durations of timed calls to the calls that were only counted: raises their counts so that they add up to
/// both. Returns the numbers of all calls and of the timed ones. Without timed calls returns (1, 1), and the counted
/// calls wait for the next reading.
fn extrapolate(untimed: &mut u64, durations: &mut [(Ticks, u64)]) -> (u64, u64) {
    let timed: u64 = durations.iter().map(|(_, count)| count).sum();
    if timed == 0 || *untimed == 0 {
        return (1, 1);
    }
    let all = std::mem::take(untimed) + timed;
    let (mut seen, mut given) = (0, 0);
    for (_, count) in durations {
        // The sum is scaled and not each count, so that the rounded counts add up to exactly all calls.
        seen += *count;
        let up_to_here = (u128::from(all) * u128::from(seen) / u128::from(timed)) as u64;
        *count = up_to_here - given;
        given = up_to_here;
    }
    (all, timed)
}

/// Returns durations in ticks, and the numbers of calls of about these durations since the last reading.
///
/// A number that was read while a call moved between places may be one too large, and the next reading finds it fallen. That
/// call was in fact another one, which this reading finds at its own place for the first time, so one call less is
/// returned there: the sum over all readings is exact.
fn new_durations(before: &mut Vec<u32>, durations: &Durations) -> Vec<(Ticks, u64)> {
    let mut added = Vec::new();
    let mut has_fallen = false;
    for (place, (ticks, count)) in durations.iter().enumerate() {
        if before.len() <= place {
            // A number that finds no room is read with the next ones, because the place stays as it was.
            if !before.make_room(1) {
                break;
            }
            before.push(0);
        }
        if !added.make_room(1) {
            break;
        }
        let new = count.wrapping_sub(before[place]).cast_signed();
        if new > 0 {
            before[place] = count;
            added.push((ticks, u64::from(new.unsigned_abs())));
        }
        has_fallen |= new < 0;
    }
    if has_fallen {
        take_back(before, durations, &mut added);
    }
    added
}

/// Takes the calls by which numbers have fallen from those that were added. What is left of them waits for the next reading.
#[cold]
fn take_back(before: &mut [u32], durations: &Durations, added: &mut Vec<(Ticks, u64)>) {
    for (before, (_, count)) in before.iter_mut().zip(durations.iter()) {
        while before.wrapping_sub(count).cast_signed() > 0 {
            let Some((_, new)) = added.iter_mut().find(|(_, new)| *new > 0) else { return };
            *new -= 1;
            *before = before.wrapping_sub(1);
        }
    }
    added.retain(|(_, new)| *new > 0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::sync::AtomicU64;
    use crate::thread::tally::{Spent, Tallies, TickSums};

    #[test]
    fn a_number_that_was_read_while_a_call_moved_is_counted_once() {
        let take = |_, words| {
            let words: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
            Some((&*Vec::leak(words), false))
        };
        let tally = Tallies::default().get_or_make(7, take, Accountant::boundless()).unwrap();
        tally.count(Outcome::Ok, Unrecorded::SampledOut, Spent::default(), Accountant::boundless());
        let durations = tally.durations().unwrap();
        let mut before = Vec::new();
        assert_eq!(new_durations(&mut before, durations), [(0, 1)]);
        // The last reading saw a call twice, and missed the one that ended meanwhile.
        before[0] += 1;
        assert_eq!(new_durations(&mut before, durations), []);
        durations.count_sampled_out(90, 0, false);
        assert_eq!(new_durations(&mut before, durations), [], "the call that was missed is counted already");
        durations.count_sampled_out(0, 0, false);
        durations.count_sampled_out(90, 0, false);
        let read = new_durations(&mut before, durations);
        assert_eq!(read.iter().map(|(_, calls)| *calls).collect::<Vec<_>>(), [1, 1]);
        // The number may also grow again before it is read.
        before[0] += 1;
        durations.count_sampled_out(0, 0, false);
        assert_eq!(new_durations(&mut before, durations), []);
        durations.count_sampled_out(0, 0, false);
        assert_eq!(new_durations(&mut before, durations), [(0, 1)]);
    }

    #[test]
    fn timed_calls_speak_for_all_that_were_counted() {
        let mut durations = vec![(10, 3), (100, 1)];
        let mut untimed = 99;
        assert_eq!(extrapolate(&mut untimed, &mut durations), (103, 4));
        assert_eq!(durations.iter().map(|(_, count)| count).sum::<u64>(), 103);
        assert_eq!((durations[0].1, untimed), (77, 0));
        let mut times = TickSums { durations: 130, self_ticks: 4, ..TickSums::default() };
        times.scale((103, 4));
        assert_eq!((times.durations, times.self_ticks), (130 * 103 / 4, 103));
        let mut untimed = 7;
        assert_eq!(extrapolate(&mut untimed, &mut []), (1, 1));
        assert_eq!(untimed, 7);
    }
}
