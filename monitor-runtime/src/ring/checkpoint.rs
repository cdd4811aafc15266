//! How far each ring's records are counted and written, and what each function's figures are, in the ring
//! file: so that whoever recovers it counts and writes every record once.
//!
//! Two things happen that the file cannot see at once: the figures in memory move on, and the store
//! commits a batch. So each number stands twice, under the number of the snapshot or batch with which it
//! holds. A snapshot holds once its number is in the head page; a batch, once the store has it. In: marks
//! and figures. Out: words. Nothing is read back by the process itself but the numbers of its own slots.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Figures;
use crate::ring::layout::{Kind, block, block_bytes, head, ledger, marks};
use crate::ring::memory::Memory;

/// The ledger of a process; without a ring file it keeps nothing.
#[derive(Debug)]
pub(crate) struct Ledger {
    memory: &'static Memory,
    /// By site id in groups.
    blocks: Vec<Option<&'static [AtomicU64]>>,
    /// The marks of each ring, by its number, and how far it is counted; those of the overflow come first.
    rings: Vec<Option<(&'static [AtomicU64], u64)>>,
    /// The last snapshot that is whole.
    snapshot: u64,
    /// The last batch that the store is known to have.
    acknowledged: u64,
}

impl Ledger {
    pub(crate) fn new(memory: &'static Memory) -> Self {
        let overflow = &memory.head()[head::OVERFLOW_MARKS..head::OVERFLOW_MARKS + marks::WORDS];
        Self { memory, blocks: Vec::new(), rings: vec![Some((overflow, 0))], snapshot: 0, acknowledged: 0 }
    }

    /// Whether there is a file to keep anything in.
    pub(crate) fn is_kept(&self) -> bool {
        self.memory.mapping().is_some()
    }

    /// For the next snapshot: the ring's records are counted up to here. Whether that is further than
    /// before. `place` is where the ring's marks lie.
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

    /// For the next snapshot: a function's figures since the process began.
    pub(crate) fn figures_counted(&mut self, site: u32, figures: &Figures) {
        let (next, settled) = (self.snapshot + 1, self.snapshot);
        if let Some(words) = self.site(site) {
            stage(&words[ledger::COUNTED..ledger::WRITTEN], next, settled, &numbers(figures));
        }
    }

    /// The next snapshot is whole.
    pub(crate) fn publish(&mut self) {
        self.snapshot += 1;
        self.memory.head()[head::SNAPSHOT].store(self.snapshot, Ordering::Release);
    }

    /// With this batch the ring's records are written up to here.
    pub(crate) fn written(&mut self, batch: u64, ring: u32, position: u64) {
        if let Some(Some((words, _))) = self.rings.get(ring as usize) {
            stage(&words[marks::WRITTEN..marks::COUNTED], batch, self.acknowledged, &[position]);
        }
    }

    /// Takes back what [`Self::written`] said of the ring's records: this batch has none of them any more.
    pub(crate) fn put_off(&mut self, batch: u64, ring: u32) {
        if let Some(Some((words, _))) = self.rings.get(ring as usize) {
            take_back(&words[marks::WRITTEN..marks::COUNTED], batch);
        }
    }

    /// With this batch a function's figures are written as they are now.
    pub(crate) fn figures_written(&mut self, batch: u64, site: u32, figures: &Figures) {
        let settled = self.acknowledged;
        if let Some(words) = self.site(site) {
            stage(&words[ledger::WRITTEN..ledger::WORDS], batch, settled, &numbers(figures));
        }
    }

    /// The store has the batch.
    pub(crate) fn acknowledge(&mut self, batch: u64) {
        self.acknowledged = batch;
        self.memory.head()[head::ACKNOWLEDGED].store(batch, Ordering::Release);
    }

    /// The words of a site.
    fn site(&mut self, site: u32) -> Option<&'static [AtomicU64]> {
        if !self.is_kept() {
            return None;
        }
        let (group, place) = (site as usize / ledger::SITES, site as usize % ledger::SITES);
        if self.blocks.len() <= group {
            self.blocks.resize(group + 1, None);
        }
        if self.blocks[group].is_none() {
            let bytes = block_bytes(ledger::SITES * ledger::WORDS);
            self.blocks[group] = self.memory.take_mapped(Kind::Ledger, group as u32, bytes);
        }
        let first = block::HEADER + place * ledger::WORDS;
        Some(&self.blocks[group]?[first..first + ledger::WORDS])
    }
}

/// Figures as words.
fn numbers(figures: &Figures) -> [u64; ledger::FIGURES] {
    let Figures {
        calls, errors, panics, cancelled, recorded, sampled_out, dropped, total_ns, max_ns, ..
    } = *figures;
    [calls, errors, panics, cancelled, recorded, sampled_out, dropped, total_ns, max_ns]
}

/// Writes values under a number into one of two slots: that of the same number; else one whose number
/// never came to hold; else the older. The other stays what holds meanwhile.
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
    // A slot half written belongs to no number.
    slot[0].store(0, Ordering::Release);
    for (word, value) in slot[1..].iter().zip(values) {
        word.store(*value, Ordering::Relaxed);
    }
    slot[0].store(number, Ordering::Release);
}

/// Takes away what was staged under this number; the other slot holds.
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
        // Batch 2 was given up and 3 came after it: 1 still holds.
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
