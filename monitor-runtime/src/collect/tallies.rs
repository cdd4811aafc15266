//! The reader of tallies and countdowns: calls that left no record.
//!
//! Takes the counters of all threads, which only grow; adds the differences since the last reading to the statistics of
//! functions. Calls that were only counted have no durations of their own: timed calls of the same function and thread
//! speak for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::folded_failures::{Failures, OTHER};
use super::parts::Parts;
use crate::batch::CallStats;
use crate::histogram::Histogram;
use crate::platform::clock::Ticks;
use crate::record::Outcome;
use crate::thread::countdown::Countdown;
use crate::thread::pool::ThreadPool;
use crate::thread::tally::{Durations, Tally, TickSums, Unrecorded};

/// The reader of all tallies and countdowns.
#[derive(Debug, Default)]
pub(super) struct TallyReader {
    /// The counters as of the last reading, by the thread's place and the site's id.
    read: HashMap<(usize, u32), TallyRead>,
}

/// The counters of a tally and its countdown as of the last reading.
#[derive(Debug, Default)]
struct TallyRead {
    calls: [u64; 4],
    unrecorded: [u64; 4],
    counted: u32,
    counted_failed: u32,
    sums: TickSums,
    durations: Vec<u32>,
    /// The calls that were only counted and that no timed call has spoken for yet.
    unspoken: u64,
}

impl TallyReader {
    /// Adds the calls that were tallied since the last reading.
    pub(super) fn step(&mut self, rings: &ThreadPool, parts: &mut Parts<'_>) {
        let (no_tally, no_countdown) = (Tally::default(), Countdown::default());
        for (place, state) in rings.all().iter().enumerate() {
            let countdowns = state.countdowns.table();
            for (site, tally) in state.tallies.iter() {
                let countdown = countdowns.and_then(|table| table.get(site)).unwrap_or(&no_countdown);
                self.read(place, site, tally, countdown, parts);
            }
            for (site, countdown) in state.countdowns.iter() {
                if !state.tallies.is_used(site) {
                    self.read(place, site, &no_tally, countdown, parts);
                }
            }
        }
        for (site, tally) in rings.home.shared_tallies.iter() {
            self.read(usize::MAX, site, tally, &no_countdown, parts);
        }
    }

    fn read(&mut self, place: usize, site: u32, tally: &Tally, countdown: &Countdown, parts: &mut Parts<'_>) {
        let Parts { clock, functions, ladder, report, .. } = parts;
        let health = &mut report.health;
        functions.discover_missing(site);
        let read = match self.read.entry((place, site)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(TallyRead::default()),
        };
        let calls = differences(&mut read.calls, tally.calls());
        let counted_before = std::mem::replace(&mut read.counted, countdown.counted());
        let begun = u64::from(read.counted.wrapping_sub(counted_before));
        let failed_before = std::mem::replace(&mut read.counted_failed, countdown.failed());
        let taken_back = u64::from(read.counted_failed.wrapping_sub(failed_before));
        let counted = begun.saturating_sub(taken_back);
        // Calls that began before the last reading and have left a record since were counted too early.
        let too_early = taken_back - (begun - counted);
        read.unspoken = read.unspoken.saturating_sub(too_early);
        if too_early > 0
            && let Some(stats) = functions.stats_mut(site)
        {
            stats.uncount(too_early);
            health.sampled_out = health.sampled_out.saturating_sub(too_early);
        }
        if calls == [0; 4] && counted == 0 {
            return;
        }
        let reasons = differences(&mut read.unrecorded, tally.unrecorded());
        let sums = tally.sums();
        let mut times = sums.since(std::mem::replace(&mut read.sums, sums));
        let durations = tally.durations().map(|durations| new_durations(&mut read.durations, durations));
        let mut durations = durations.unwrap_or_default();
        read.unspoken = read.unspoken.wrapping_add(counted);
        times.scale(speak_for(&mut read.unspoken, &mut durations));
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
        let added = CallStats {
            calls: calls.iter().sum::<u64>().wrapping_add(counted),
            errors: calls[Outcome::Error as usize],
            panics: calls[Outcome::Panic as usize],
            cancelled: calls[Outcome::Cancelled as usize],
            recorded: 0,
            sampled_out,
            dropped,
            total_ns: clock
                .duration_ns(times.durations.saturating_sub(times.nested).saturating_sub(times.cancelled)),
            self_ns: clock.duration_ns(times.self_ticks),
            busy_ns: clock.duration_ns(times.busy),
            nested_ns: clock.duration_ns(times.nested),
            cancelled_ns: clock.duration_ns(times.cancelled),
            max_ns: clock.duration_ns(tally.take_max_ticks()),
            is_estimated: counted > 0,
            ..CallStats::default()
        };
        let now_ns = clock.now_ns();
        if let Some(function) = functions.get(site) {
            ladder.count_unrecorded(function, reasons[Unrecorded::SampledOut as usize], counted, dropped);
        }
        if let Some(stats) = functions.stats_mut(site) {
            stats.add(now_ns, added, histogram);
        }
        // A failure leaves a record at any rate, so a failure that is only in a tally found no room anywhere.
        for outcome in [Outcome::Error, Outcome::Panic, Outcome::Cancelled] {
            let count = calls[outcome as usize];
            if count > 0 {
                let message = OTHER.to_owned();
                let error_type = String::new();
                let failures =
                    Failures { function: site, outcome, message, error_type, count, at_ns: now_ns };
                functions.fold(failures, health);
            }
        }
    }
}

/// Returns how much was added to counters since they were last read.
fn differences<const N: usize>(before: &mut [u64; N], now: [u64; N]) -> [u64; N] {
    let before = std::mem::replace(before, now);
    std::array::from_fn(|at| now[at].wrapping_sub(before[at]))
}

/// Lets the calls that were timed speak for those that were only counted: multiplies their durations to be as many as
/// both. Returns the numbers of all calls and of those that were timed. Without timed calls the counted ones go on waiting.
fn speak_for(unspoken: &mut u64, durations: &mut [(Ticks, u64)]) -> (u64, u64) {
    let timed: u64 = durations.iter().map(|(_, count)| count).sum();
    if timed == 0 || *unspoken == 0 {
        return (1, 1);
    }
    let all = std::mem::take(unspoken) + timed;
    let (mut seen, mut given) = (0, 0);
    for (_, count) in durations {
        // Cumulative, so that the rounded counts add up to exactly all calls.
        seen += *count;
        let up_to_here = (u128::from(all) * u128::from(seen) / u128::from(timed)) as u64;
        *count = up_to_here - given;
        given = up_to_here;
    }
    (all, timed)
}

/// Returns durations in ticks, and the numbers of calls of about these durations since the last reading.
fn new_durations(before: &mut Vec<u32>, durations: &Durations) -> Vec<(Ticks, u64)> {
    let mut added = Vec::new();
    for (place, (ticks, count)) in durations.iter().enumerate() {
        if before.len() <= place {
            before.push(0);
        }
        let new = count.wrapping_sub(std::mem::replace(&mut before[place], count));
        if new > 0 {
            added.push((ticks, u64::from(new)));
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_calls_speak_for_all_that_were_counted() {
        let mut durations = vec![(10, 3), (100, 1)];
        let mut unspoken = 99;
        assert_eq!(speak_for(&mut unspoken, &mut durations), (103, 4));
        assert_eq!(durations.iter().map(|(_, count)| count).sum::<u64>(), 103);
        assert_eq!((durations[0].1, unspoken), (77, 0));
        let mut times = TickSums { durations: 130, self_ticks: 4, ..TickSums::default() };
        times.scale((103, 4));
        assert_eq!((times.durations, times.self_ticks), (130 * 103 / 4, 103));
        let mut unspoken = 7;
        assert_eq!(speak_for(&mut unspoken, &mut []), (1, 1));
        assert_eq!(unspoken, 7);
    }
}
