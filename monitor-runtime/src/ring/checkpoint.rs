//! Checkpoints in the ring file: how far each ring's records are counted and written, and each function's figures.
//!
//! Takes positions and figures; gives words, by which a recoverer counts and writes every record exactly once. Two
//! things change independently of each other: the figures in memory, and the batches that the store has committed. So
//! each value has two slots, and each slot has the number of the snapshot or batch from which the value is valid. A
//! snapshot is valid once its number is in the head page, a batch once the store has it. The file reads nothing back
//! but the numbers of its own slots.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::CallStats;
use crate::growth::MakeRoom as _;
use crate::record::ByOutcome;
use crate::ring::layout::{Kind, block, block_bytes, grouped, head, ledger, marks, tallied};
use crate::ring::memory::Memory;
use crate::ring::tallied::Tallied;

const _: () = assert!(tallied::SLOT == 1 + Tallied::WORDS, "a slot holds a number and all sums");
const _: () =
    assert!(grouped::SLOT == 1 + size_of::<ByOutcome>() / 8, "a slot holds a number and all failures");
const _: () = assert!(ledger::FIGURES == CallStats::WORDS, "a slot holds a number and all figures");

/// The writer of checkpoints. Without a ring file it writes nothing.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    memory: &'static Memory,
    /// Blocks of figures, by groups of site ids.
    blocks: Vec<Option<&'static [AtomicU64]>>,
    /// Blocks of what is counted of tallies, by groups of site ids.
    tallied: Vec<Option<&'static [AtomicU64]>>,
    /// Blocks of the failures that the store counts by kind, by groups of site ids.
    grouped: Vec<Option<&'static [AtomicU64]>>,
    /// The marks of each ring, by its number, and the position up to which it is counted. Number 0 is the overflow.
    rings: Vec<Option<(&'static [AtomicU64], u64)>>,
    /// Number of the last snapshot that is complete.
    snapshot: u64,
    /// Number of the last batch that the store has acknowledged.
    acknowledged: u64,
}

impl Checkpoints {
    pub(crate) fn new(memory: &'static Memory) -> Self {
        let overflow = &memory.head()[head::OVERFLOW_MARKS..head::OVERFLOW_MARKS + marks::WORDS];
        // Relaxed order suffices, because nobody reads the file before its first snapshot or batch.
        memory.head()[head::GROUPED].store(1, Ordering::Relaxed);
        let (blocks, tallied, grouped) = (Vec::new(), Vec::new(), Vec::new());
        let rings = vec![Some((overflow, 0))];
        Self { memory, blocks, tallied, grouped, rings, snapshot: 0, acknowledged: 0 }
    }

    /// Returns true if there is a ring file to write to.
    pub(crate) fn is_kept(&self) -> bool {
        self.memory.mapping().is_some()
    }

    /// Returns true if there is memory to note rings up to this number.
    pub(crate) fn make_room(&mut self, last_ring: u32) -> bool {
        self.rings.make_room((last_ring as usize + 1).saturating_sub(self.rings.len()))
    }

    /// Withdraws what was noted of failures by kind: a recoverer then does not know how many of them the store counts.
    pub(crate) fn withdraw_grouped(&mut self) {
        self.memory.head()[head::GROUPED].store(0, Ordering::Relaxed);
    }

    /// Notes for the next snapshot that the ring's records are counted up to this position. Returns true if that is
    /// further than before. `place` returns the ring's marks.
    pub(crate) fn counted(
        &mut self,
        ring: u32,
        position: u64,
        place: impl FnOnce() -> &'static [AtomicU64],
    ) -> bool {
        let at = ring as usize;
        if self.rings.len() <= at {
            self.rings.resize(at + 1, None);
        }
        let (marks, counted) = self.rings[at].get_or_insert_with(|| (place(), 0));
        if std::mem::replace(counted, position) == position {
            return false;
        }
        stage(&marks[marks::COUNTED..marks::WORDS], self.snapshot + 1, self.snapshot, &[position]);
        true
    }

    /// Notes for the next snapshot a function's figures since the process began.
    pub(crate) fn figures_counted(&mut self, site: u32, figures: &CallStats) {
        let (next, settled) = (self.snapshot + 1, self.snapshot);
        if let Some(words) = self.site(site) {
            stage(&words[ledger::COUNTED..ledger::WRITTEN], next, settled, &figures.to_words());
        }
    }

    /// Notes for the next snapshot how much of a site's tallies and countdowns is counted.
    pub(crate) fn tallied(&mut self, site: u32, sums: &Tallied) {
        let (next, settled) = (self.snapshot + 1, self.snapshot);
        let place = (site as usize / tallied::SITES, site as usize % tallied::SITES);
        match block_of(self.memory, &mut self.tallied, Kind::Tallied, place, (tallied::SITES, tallied::WORDS))
        {
            Some(words) => stage(words, next, settled, &sums.to_words()),
            None => self.memory.head()[head::TALLIED_LOST].store(1, Ordering::Relaxed),
        }
    }

    /// Notes how many failures of a site the store counts by kind once it has the batch, since the process began.
    pub(crate) fn grouped(&mut self, batch: u64, site: u32, failures: ByOutcome) {
        let settled = self.acknowledged;
        let place = (site as usize / grouped::SITES, site as usize % grouped::SITES);
        match block_of(self.memory, &mut self.grouped, Kind::Grouped, place, (grouped::SITES, grouped::WORDS))
        {
            Some(words) => stage(words, batch, settled, &failures),
            None => self.withdraw_grouped(),
        }
    }

    /// Returns the number of the next snapshot.
    pub(crate) fn next_snapshot(&self) -> u64 {
        self.snapshot + 1
    }

    /// Publishes the next snapshot, which is complete.
    pub(crate) fn publish(&mut self) {
        self.snapshot += 1;
        self.memory.head()[head::SNAPSHOT].store(self.snapshot, Ordering::Release);
    }

    /// Notes that with this batch the ring's records are written up to this position.
    pub(crate) fn written(&mut self, batch: u64, ring: u32, position: u64) {
        if let Some(Some((words, _))) = self.rings.get(ring as usize) {
            stage(&words[marks::WRITTEN..marks::COUNTED], batch, self.acknowledged, &[position]);
        }
    }

    /// Withdraws the note of [`Self::written`] for this ring, because the batch has none of its records any more.
    pub(crate) fn put_off(&mut self, batch: u64, ring: u32) {
        if let Some(Some((words, _))) = self.rings.get(ring as usize) {
            take_back(&words[marks::WRITTEN..marks::COUNTED], batch);
        }
    }

    /// Notes that with this batch a function's figures are written as they are now.
    pub(crate) fn figures_written(&mut self, batch: u64, site: u32, figures: &CallStats) {
        let settled = self.acknowledged;
        if let Some(words) = self.site(site) {
            stage(&words[ledger::WRITTEN..ledger::WORDS], batch, settled, &figures.to_words());
        }
    }

    /// Notes that the store has the batch.
    pub(crate) fn acknowledge(&mut self, batch: u64) {
        self.acknowledged = batch;
        self.memory.head()[head::ACKNOWLEDGED].store(batch, Ordering::Release);
    }

    /// Returns the words of a site in the ledger, or `None` without a ring file or without room in it.
    fn site(&mut self, site: u32) -> Option<&'static [AtomicU64]> {
        let place = (site as usize / ledger::SITES, site as usize % ledger::SITES);
        block_of(self.memory, &mut self.blocks, Kind::Ledger, place, (ledger::SITES, ledger::WORDS))
    }
}

/// Returns the words of a site in the block of its group, which is taken if necessary. `place` is the site's place
/// there. Returns `None` without a ring file or without room in it.
fn block_of(
    memory: &Memory,
    blocks: &mut Vec<Option<&'static [AtomicU64]>>,
    kind: Kind,
    (group, place): (usize, usize),
    (sites, words): (usize, usize),
) -> Option<&'static [AtomicU64]> {
    memory.mapping()?;
    if blocks.len() <= group {
        if !blocks.make_room(group + 1 - blocks.len()) {
            return None;
        }
        blocks.resize(group + 1, None);
    }
    if blocks[group].is_none() {
        blocks[group] = memory.take_mapped(kind, group as u32, block_bytes(sites * words));
    }
    let first = block::HEADER + place * words;
    Some(&blocks[group]?[first..first + words])
}

/// Writes values under a number into one of two slots: the slot of the same number, else a slot whose number never
/// became valid, because it is larger than `settled`, the last valid one, else the older slot. The other slot stays
/// valid meanwhile.
fn stage(slots: &[AtomicU64], number: u64, settled: u64, values: &[u64]) {
    let (one, other) = slots.split_at(slots.len() / 2);
    let of = |slot: &[AtomicU64]| slot[0].load(Ordering::Relaxed);
    let slot = match (of(one), of(other)) {
        (first, _) if first == number => one,
        (_, second) if second == number => other,
        (first, _) if first > settled => one,
        (_, second) if second > settled => other,
        (first, second) if first <= second => one,
        _ => other,
    };
    // Number 0 marks a slot that is half written, for a reader of the file.
    slot[0].store(0, Ordering::Release);
    for (word, value) in slot[1..].iter().zip(values) {
        word.store(*value, Ordering::Relaxed);
    }
    slot[0].store(number, Ordering::Release);
}

/// Clears the slot of this number. The other slot stays valid.
fn take_back(slots: &[AtomicU64], number: u64) {
    let staged = slots.chunks(slots.len() / 2).filter(|slot| slot[0].load(Ordering::Relaxed) == number);
    staged.for_each(|slot| slot[0].store(0, Ordering::Release));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_never_overwritten_and_what_never_held_is() {
        let slots: [AtomicU64; 4] = std::array::from_fn(|_| AtomicU64::new(0));
        let seen = || {
            let mut pairs =
                [0, 2].map(|at| (slots[at].load(Ordering::Relaxed), slots[at + 1].load(Ordering::Relaxed)));
            pairs.sort_unstable();
            pairs
        };
        stage(&slots, 1, 0, &[10]);
        assert_eq!(seen(), [(0, 0), (1, 10)]);
        stage(&slots, 2, 1, &[20]);
        assert_eq!(seen(), [(1, 10), (2, 20)]);
        // Batch 2 was given up and batch 3 follows: batch 1 is still valid.
        stage(&slots, 3, 1, &[30]);
        assert_eq!(seen(), [(1, 10), (3, 30)]);
        stage(&slots, 3, 1, &[31]);
        assert_eq!(seen(), [(1, 10), (3, 31)]);
        stage(&slots, 4, 3, &[40]);
        assert_eq!(seen(), [(3, 31), (4, 40)]);
        take_back(&slots, 4);
        assert_eq!(seen(), [(0, 40), (3, 31)]);
        take_back(&slots, 7);
        assert_eq!(seen(), [(0, 40), (3, 31)]);
    }
}
