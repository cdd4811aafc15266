//! The journal: a copy, in the ring file, of drained records that are not in the store yet.
//!
//! Takes pieces of rings before the rings forget them, and single records of a higher priority than the rest of their
//! piece; gives the blocks that hold them. A holder keeps a block until its records are committed, and the drop of
//! the last holder frees the block. So drained records survive the process as undrained ones do. When room is short,
//! the last blocks are reserved for records of a higher priority. The process itself never reads the journal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::accountant::{Accountant, Part};
use crate::growth::MakeRoom as _;
use crate::record::settle;
use crate::ring::layout::{Kind, block, block_bytes, entry, filled};
use crate::ring::memory::Memory;
use crate::sync::lock;

/// Blocks of the journal that are in use as long as this list exists.
pub(crate) type Held = Vec<Arc<Block>>;

/// A block of the journal. Its drop frees it.
#[derive(Debug)]
pub(crate) struct Block {
    words: &'static [AtomicU64],
    free: Arc<Free>,
}

/// Blocks that nobody holds.
#[derive(Debug, Default)]
struct Free {
    blocks: Mutex<Vec<&'static [AtomicU64]>>,
    /// True once the content of the journal is left to a recoverer: blocks are not freed any more.
    is_left: AtomicBool,
}

/// The priority of kept records, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Everything that a ring held.
    Drained,
    /// A call that will have a row.
    Row,
    /// A failure.
    Failure,
}

/// The places of appended words.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<Piece>,
    words: usize,
}

/// Words that were appended together: the number of the first, how many they are, their block, and their place in
/// it.
#[derive(Debug)]
struct Piece {
    first: usize,
    length: usize,
    block: Arc<Block>,
    at: usize,
}

impl Pieces {
    /// Returns a walk over the pieces, from the first word on.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { pieces: &self.pieces }
    }

    /// Returns the blocks of the pieces, each once.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::new();
        for Piece { block, .. } in &self.pieces {
            let is_held = held.iter().rev().any(|other| Arc::ptr_eq(other, block));
            // A block for which there is no memory is released, although after a kill a recoverer would still need it.
            if !is_held && held.make_room(1) {
                held.push(Arc::clone(block));
            }
        }
        held
    }

    /// Returns true if no word was skipped.
    pub(crate) fn are_whole(&self) -> bool {
        self.pieces.iter().map(|piece| piece.length).sum::<usize>() == self.words
    }

    /// Returns true if the word of this number was kept.
    pub(crate) fn is_kept(&self, number: usize) -> bool {
        let behind = self.pieces.partition_point(|piece| piece.first <= number);
        let piece = behind.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.is_some_and(|piece| number < piece.first + piece.length)
    }
}

/// A walk over pieces.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    pieces: &'a [Piece],
}

impl Walk<'_> {
    /// Overwrites the words at this number. The number must be larger than that of the last call, and the words lie
    /// within one piece.
    pub(crate) fn amend(&mut self, number: usize, words: &[u64]) {
        while let [_, next, ..] = self.pieces
            && next.first <= number
        {
            self.pieces = &self.pieces[1..];
        }
        // Words that found no room in the journal are not there to be overwritten.
        let lies_there = |piece: &&Piece| (piece.first..piece.first + piece.length).contains(&number);
        let Some(Piece { first, block, at, .. }) = self.pieces.first().filter(lies_there) else { return };
        let place = at + (number - first);
        for (slot, word) in block.words.iter().skip(place).zip(words) {
            slot.store(*word, Ordering::Relaxed);
        }
    }
}

impl Block {
    /// Marks the copies of these records of a ring as settled: a recoverer writes no rows for them. `positions` are the
    /// positions of the records in the ring, in ascending order.
    pub(crate) fn settle(&self, ring: u32, positions: &[u64]) {
        let (mut at, end) = (block::HEADER, filled(self.words));
        while at + entry::HEADER <= end {
            let word = |place: usize| self.words[at + place].load(Ordering::Relaxed);
            let (of, from) = (word(entry::LENGTH), word(entry::POSITION));
            let (begin, length) = (at + entry::HEADER, of & u64::from(u32::MAX));
            if of >> 32 == u64::from(ring) {
                let first = positions.partition_point(|position| *position < from);
                let here = positions[first..].iter().take_while(|position| **position - from < length);
                for slot in here.filter_map(|position| self.words.get(begin + (position - from) as usize)) {
                    slot.store(settle(slot.load(Ordering::Relaxed)), Ordering::Relaxed);
                }
            }
            at = begin + length as usize;
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.free.is_left.load(Ordering::Relaxed) {
            self.words[block::FILLED].store(block::HEADER as u64, Ordering::Release);
            lock(&self.free.blocks).push(self.words);
        }
    }
}

/// The writer of the journal. Without a ring file it keeps nothing.
#[derive(Debug)]
pub(crate) struct Journal {
    memory: &'static Memory,
    accountant: &'static Accountant,
    /// A lane for each priority, because records that are released early must not hold the room of records that stay.
    lanes: [Lane; 3],
    pieces: Pieces,
    free: Arc<Free>,
    blocks: usize,
}

/// The place where the next words of one priority are appended.
#[derive(Debug, Default)]
struct Lane {
    current: Option<Arc<Block>>,
    /// Ring and end position of the last entry in the current block, and the place where that entry begins.
    last: (u32, u64, usize),
}

impl Journal {
    /// Creates a journal. It may take its reserved blocks even if the accountant's limit has no room for them.
    pub(crate) fn new(memory: &'static Memory, accountant: &'static Accountant) -> Self {
        Self {
            memory,
            accountant,
            lanes: Default::default(),
            pieces: Pieces::default(),
            free: Arc::default(),
            blocks: 0,
        }
    }

    /// Returns true if there is a ring file to write to.
    pub(crate) fn is_kept(&self) -> bool {
        self.memory.mapping().is_some()
    }

    /// Appends whole records that lie in a ring from this position on. `thread` wrote the first of them. Returns false
    /// if there is no room: the records are then lost if the process is killed.
    pub(crate) fn append(
        &mut self,
        priority: Priority,
        (ring, position): (u32, u64),
        thread: u32,
        words: &[u64],
    ) -> bool {
        let length = words.len();
        if length == 0 || !self.is_kept() {
            return true;
        }
        if !(self.pieces.pieces.make_room(1) && self.make_room(priority, length + entry::HEADER)) {
            return false;
        }
        let Lane { current: Some(current), last } = &mut self.lanes[priority as usize] else { return false };
        let block = current.words;
        let mut at = filled(block);
        let continues = at > block::HEADER && (last.0, last.1) == (ring, position);
        if !continues {
            last.2 = at;
            block[at + entry::LENGTH].store(u64::from(ring) << 32, Ordering::Relaxed);
            block[at + entry::POSITION].store(position, Ordering::Relaxed);
            block[at + entry::THREAD].store(u64::from(thread), Ordering::Relaxed);
            at += entry::HEADER;
        }
        for (slot, word) in block[at..].iter().zip(words) {
            slot.store(*word, Ordering::Relaxed);
        }
        let begins = &block[last.2 + entry::LENGTH];
        begins.store(begins.load(Ordering::Relaxed).wrapping_add(length as u64), Ordering::Relaxed);
        // Publishes the entry to a reader of the file. From here on the ring may forget its words.
        block[block::FILLED].store((at + length) as u64, Ordering::Release);
        (last.0, last.1) = (ring, position + length as u64);
        let first = self.pieces.words;
        self.pieces.words += length;
        self.pieces.pieces.push(Piece { first, length, block: Arc::clone(current), at });
        true
    }

    /// Skips this many drained words: they are not written to the journal.
    pub(crate) fn pass(&mut self, words: usize) {
        self.pieces.words += words;
    }

    /// Returns the pieces that were appended since the last call.
    pub(crate) fn take_pieces(&mut self) -> Pieces {
        std::mem::take(&mut self.pieces)
    }

    /// Leaves the content of all blocks in the file for a recoverer, because the collector ends before the store has
    /// taken everything.
    pub(crate) fn leave(&self) {
        self.free.is_left.store(true, Ordering::Relaxed);
    }

    /// Makes sure that the current block of this priority has room for this many words. Returns false if there is none.
    fn make_room(&mut self, priority: Priority, words: usize) -> bool {
        let fits = |block: &Arc<Block>| filled(block.words) + words <= block.words.len();
        if self.lanes[priority as usize].current.as_ref().is_some_and(fits) {
            return true;
        }
        self.lanes[priority as usize].current = None;
        let Some(words) = self.free_block(priority) else { return false };
        words[block::FILLED].store(block::HEADER as u64, Ordering::Release);
        self.lanes[priority as usize].current = Some(Arc::new(Block { words, free: Arc::clone(&self.free) }));
        true
    }

    /// Returns a block that nobody holds, unless the last ones are reserved for records of a higher priority.
    fn free_block(&mut self, priority: Priority) -> Option<&'static [AtomicU64]> {
        let mut free = lock(&self.free.blocks);
        let blocks_max = (self.accountant.limit(Part::Journal) / BLOCK_BYTES).max(RESERVED_BLOCKS);
        let left = free.len() + blocks_max.saturating_sub(self.blocks);
        if left <= RESERVED_BLOCKS - priority as usize {
            return None;
        }
        if let Some(block) = free.pop() {
            return Some(block);
        }
        // Each block has room among the free ones, so that its release needs no memory.
        if self.blocks >= blocks_max || !free.make_room(self.blocks + 1) {
            return None;
        }
        drop(free);
        let words = self.memory.take_mapped(Kind::Journal, 0, BLOCK_BYTES)?;
        self.accountant.add(Part::Journal, BLOCK_BYTES);
        self.blocks += 1;
        Some(words)
    }
}

/// Blocks that drained words leave for rows and failures: one for rows, and one that is for failures alone. A
/// block has room for some 740 failures without values.
const RESERVED_BLOCKS: usize = 2;
/// Words of a block of 64 KiB without its header: room for any piece of a ring, which its last record lengthens by at
/// most 50 KiB.
const BLOCK_WORDS: usize = 8192 - block::HEADER;
const BLOCK_BYTES: usize = block_bytes(BLOCK_WORDS);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::ring::mapping::Mapping;

    /// A journal of the reserved blocks alone, and the folder that its file lies in.
    fn smallest() -> (Journal, tempfile::TempDir) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let memory = Memory::mapped(Mapping::create(folder.path(), "rings", 1 << 20).unwrap());
        (Journal::new(Box::leak(Box::new(memory)), Accountant::of_part(Part::Journal, 0)), folder)
    }

    #[test]
    fn what_is_worth_less_leaves_room_for_what_is_worth_more() {
        let (mut journal, _folder) = smallest();
        let half = vec![0; BLOCK_WORDS / 2 - entry::HEADER];
        let mut fits = |priority, position| journal.append(priority, (1, position), 1, &half);
        assert!(!fits(Priority::Drained, 0));
        assert_eq!([0, 1 << 20, 2 << 20].map(|at| fits(Priority::Row, at)), [true, true, false]);
        assert_eq!([0, 1 << 20, 2 << 20].map(|at| fits(Priority::Failure, at)), [true, true, false]);
        assert!(!fits(Priority::Row, 3 << 20), "the room of failures is for failures alone");
    }

    #[test]
    fn a_block_that_nobody_holds_is_filled_anew() {
        let (mut journal, _folder) = smallest();
        let whole = vec![0; BLOCK_WORDS - entry::HEADER];
        for position in 0..10 {
            assert!(journal.append(Priority::Failure, (1, position << 20), 1, &whole));
            let held = journal.take_pieces().held();
            let again = journal.append(Priority::Failure, (2, position << 20), 1, &whole);
            assert!(again, "the other one is free");
            assert!(!journal.append(Priority::Failure, (3, 0), 1, &whole));
            drop((held, journal.take_pieces()));
        }
    }

    #[test]
    fn copies_of_given_up_records_are_settled_wherever_they_lie_in_the_block() {
        let (mut journal, _folder) = smallest();
        assert!(journal.append(Priority::Failure, (1, 100), 1, &[0; 20]));
        assert!(journal.append(Priority::Failure, (2, 100), 1, &[0; 20]));
        assert!(journal.append(Priority::Failure, (1, 200), 1, &[0; 20]));
        let [block] = &journal.take_pieces().held()[..] else { panic!("several blocks") };
        block.settle(1, &[90, 100, 110, 120, 200, 219, 220]);
        let first = block::HEADER + entry::HEADER;
        let is_settled = |place: &usize| block.words[*place].load(Ordering::Relaxed) == settle(0);
        let settled: Vec<usize> = (first..filled(block.words)).filter(is_settled).collect();
        let third = first + 2 * (20 + entry::HEADER);
        assert_eq!(settled, [first, first + 10, third, third + 19]);
    }

    #[test]
    fn words_that_were_passed_over_are_not_written_over_others() {
        let (mut journal, _folder) = smallest();
        assert!(journal.append(Priority::Failure, (1, 0), 1, &[1, 2]));
        journal.pass(2);
        assert!(journal.append(Priority::Failure, (1, 4), 1, &[5, 6]));
        let pieces = journal.take_pieces();
        let mut walk = pieces.walk();
        for number in [0, 2, 4] {
            walk.amend(number, &[90 + number as u64]);
        }
        let Piece { block, at, .. } = &pieces.pieces[0];
        let words = block.words[*at..].iter().map(|word| word.load(Ordering::Relaxed));
        let words: Vec<u64> = words.take(2 + entry::HEADER + 2).collect();
        assert_eq!((&words[..2], &words[2 + entry::HEADER..]), (&[90, 2][..], &[94, 6][..]));
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6].map(|at| pieces.is_kept(at)),
            [true, true, false, false, true, true, false]
        );
        assert!(!pieces.are_whole());
    }
}
