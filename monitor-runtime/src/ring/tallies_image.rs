//! The reader of tallies, countdowns and their checkpoints in a ring file.
//!
//! Takes the words of their blocks, which may be anything; gives, for each site, the calls that left no record and that
//! the process had not counted yet. Counters that cannot be right are ignored. The file does not know what the store
//! holds.

use std::collections::HashMap;

use crate::ring::layout::{countdown, latest, tallied, tally};
use crate::ring::tallied::Tallied;

/// The tallies and countdowns of a process, summed over its threads.
#[derive(Debug, Default)]
pub(crate) struct TalliesImage {
    /// The sums of the tallies of each site, and their longest call in ticks.
    tallies: HashMap<u32, (Tallied, u64)>,
    /// The number of the last table of each thread, and the words of its countdowns.
    countdowns: HashMap<u32, (u32, Vec<[u64; countdown::WORDS]>)>,
    /// The part of the tallies and countdowns that was counted at the last snapshot.
    counted: HashMap<u32, Tallied>,
    /// True if the counted part is not known for some sites.
    is_counted_lost: bool,
}

/// Calls of a site that left no record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uncounted {
    pub(crate) sums: Tallied,
    /// The longest of these calls, in ticks.
    pub(crate) max: u64,
}

impl TalliesImage {
    pub(super) fn new(is_counted_lost: bool) -> Self {
        Self { is_counted_lost, ..Self::default() }
    }

    /// Reads the words of a block of tallies.
    pub(super) fn read_tallies(&mut self, block: u32, words: &[u64]) {
        if block as usize >= tally::BLOCKS {
            return;
        }
        let sites = tally::FIRST_BLOCK << block;
        let first = sites - tally::FIRST_BLOCK;
        for (at, words) in words.as_chunks::<{ tally::WORDS }>().0.iter().take(sites).enumerate() {
            let sums = Tallied::from_tally(words);
            if sums != Tallied::default() {
                let (sum, max) = self.tallies.entry((first + at) as u32).or_default();
                sum.add(&sums);
                *max = (*max).max(words[tally::MAX]).max(words[tally::TIMED_MAX]);
            }
        }
    }

    /// Reads the words of a table of countdowns. The last table of a thread holds all of its counts, so earlier ones
    /// are ignored.
    pub(super) fn read_countdowns(&mut self, id: u32, words: &[u64]) {
        let (thread, table) = (id >> 8, id & 0xFF);
        let known = self.countdowns.get(&thread).map(|(number, _)| *number);
        if known.is_none_or(|known| known < table) {
            self.countdowns.insert(thread, (table, words.as_chunks().0.to_vec()));
        }
    }

    /// Reads the words of a block of checkpoints.
    pub(super) fn read_counted(&mut self, group: u32, words: &[u64], snapshot: u64) {
        let slots = words.as_chunks::<{ tallied::WORDS }>().0.iter().take(tallied::SITES);
        for (at, words) in slots.enumerate() {
            let Some(first) = group.checked_mul(tallied::SITES as u32) else { return };
            let Some(site) = first.checked_add(at as u32) else { return };
            let pairs = words.as_chunks::<{ tallied::SLOT }>().0.iter().filter_map(|slot| {
                let (number, sums) = slot.split_first()?;
                Some((*number, Tallied::from_words(*sums.first_chunk()?)))
            });
            if let Some(counted) = latest(&pairs.collect::<Vec<_>>(), snapshot) {
                self.counted.insert(site, counted);
            }
        }
    }

    /// Returns the calls that left no record and that the process had not counted, by site.
    pub(crate) fn uncounted(&self) -> HashMap<u32, Uncounted> {
        let mut all: HashMap<u32, Uncounted> = HashMap::new();
        for (site, (sums, max)) in &self.tallies {
            all.insert(*site, Uncounted { sums: *sums, max: *max });
        }
        for (site, words) in self.countdowns.values().flat_map(|(_, words)| (0..).zip(words)) {
            let sums = Tallied::from_countdown(words);
            if sums != Tallied::default() {
                all.entry(site).or_default().sums.add(&sums);
            }
        }
        let missing = |(site, all): (u32, Uncounted)| {
            let counted = match self.counted.get(&site) {
                None if self.is_counted_lost => return None,
                counted => counted.copied().unwrap_or_default(),
            };
            let mut sums = all.sums.growth_since(&counted);
            // A thread without memory for its tally did not count the calls that it sent past its ring, so this
            // number may seem to have gone backwards.
            sums.sent.iter_mut().filter(|sent| **sent > SUM_MAX).for_each(|sent| *sent = 0);
            (is_plausible(&sums) && sums != Tallied::default()).then_some((site, Uncounted { sums, ..all }))
        };
        all.into_iter().filter_map(missing).collect()
    }
}

/// Returns false for sums that the calls since a snapshot cannot have, because their sums would overflow the store's
/// numbers, or because a counter went backwards.
fn is_plausible(sums: &Tallied) -> bool {
    sums.to_words().iter().all(|sum| *sum <= SUM_MAX)
}

/// The largest plausible sum: as many calls as a processor makes in a month, or as many ticks as a year has.
const SUM_MAX: u64 = 1 << 58;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the words of a block whose tally at this place has counted `calls` calls of each outcome, and as many
    /// timed ones.
    fn tallies(place: usize, calls: u64) -> Vec<u64> {
        let mut words = vec![0; tally::FIRST_BLOCK * tally::WORDS];
        let tally = &mut words[place * tally::WORDS..][..tally::WORDS];
        tally[tally::CALLS..tally::CALLS + 4].fill(calls);
        tally[tally::TIMED] = calls;
        words
    }

    fn counted(place: usize, snapshot: u64, sums: &Tallied) -> Vec<u64> {
        let mut words = vec![0; tallied::SITES * tallied::WORDS];
        words[place * tallied::WORDS] = snapshot;
        words[place * tallied::WORDS + 1..][..Tallied::WORDS].copy_from_slice(&sums.to_words());
        words
    }

    #[test]
    fn the_calls_of_all_threads_are_uncounted_but_for_those_of_the_snapshot() {
        let mut image = TalliesImage::new(false);
        image.read_tallies(0, &tallies(3, 10));
        image.read_tallies(0, &tallies(3, 5));
        let before = Tallied { calls: [4, 1, 2, 3], ..Tallied::default() };
        image.read_counted(0, &counted(3, 7, &before), 7);
        assert_eq!(image.uncounted()[&3].sums.calls, [30 - 4, 15 - 1, 15 - 2, 15 - 3]);
        image.read_counted(0, &counted(3, 9, &Tallied::default()), 7);
        assert_eq!(image.uncounted()[&3].sums.calls[0], 26, "snapshot 9 never became valid");
    }

    #[test]
    fn a_thread_s_last_table_of_countdowns_holds_all_counts() {
        let mut image = TalliesImage::new(false);
        let table = |counted: u64| [vec![0; 4], vec![counted << 32, 1 << 32], vec![0; 2]].concat();
        image.read_countdowns(1 << 8 | 1, &table(70));
        image.read_countdowns(1 << 8, &table(60));
        image.read_countdowns(2 << 8, &table(u64::from(u32::MAX)));
        let sums = image.uncounted()[&2].sums;
        assert_eq!((sums.counted, sums.taken_back), (69, 2), "32 bits of each count");
    }

    #[test]
    fn what_cannot_be_right_is_not_believed() {
        let mut image = TalliesImage::new(false);
        image.read_tallies(0, &tallies(3, 10));
        image.read_tallies(tally::BLOCKS as u32, &tallies(3, 10));
        image.read_counted(0, &counted(3, 7, &Tallied { calls: [21; 4], ..Tallied::default() }), 7);
        image.read_counted(u32::MAX, &counted(3, 7, &Tallied::default()), 7);
        assert!(image.uncounted().is_empty(), "a counter went backwards");
        let mut image = TalliesImage::new(true);
        image.read_tallies(0, &tallies(3, 10));
        assert!(image.uncounted().is_empty(), "how much of it is counted is not known");
    }
}
