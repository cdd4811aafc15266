//! What was drained from the rings and is not yet in the store, once more, in the ring file: so it
//! survives the process as what is in the rings does. In: pieces of rings, before the ring forgets them.
//! Out: the blocks they lie in, to be held until their records are committed; the last holder's drop
//! frees a block. The process itself never reads them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::layout::{Kind, block, block_bytes, entry};
use crate::region::Memory;
use crate::thread_rings::lock;

/// Blocks of the journal, held.
pub(crate) type Held = Vec<Arc<Block>>;

/// One block.
#[derive(Debug)]
pub(crate) struct Block {
    words: &'static [AtomicU64],
    free: Arc<Free>,
}

/// Blocks that nobody holds.
#[derive(Debug, Default)]
struct Free {
    blocks: Mutex<Vec<&'static [AtomicU64]>>,
    /// What is in the journal from now on is for whoever recovers it.
    is_left: AtomicBool,
}

/// Where words that were appended lie: the number of the first word of each piece, its block, its place
/// there.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<(usize, Arc<Block>, usize)>,
    words: usize,
}

impl Pieces {
    /// Walks over the pieces, from the first word on.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { pieces: &self.pieces }
    }

    /// The blocks they lie in.
    pub(crate) fn held(&self) -> Held {
        let mut held: Held = self.pieces.iter().map(|(_, block, _)| Arc::clone(block)).collect();
        held.dedup_by(|one, other| Arc::ptr_eq(one, other));
        held
    }
}

/// A walk over pieces.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    pieces: &'a [(usize, Arc<Block>, usize)],
}

impl Walk<'_> {
    /// Writes words over those at this number, which is behind that of the last call, within one piece.
    pub(crate) fn amend(&mut self, number: usize, words: &[u64]) {
        while let [_, (next, ..), ..] = self.pieces
            && *next <= number
        {
            self.pieces = &self.pieces[1..];
        }
        let Some((first, block, at)) = self.pieces.first().filter(|(first, ..)| *first <= number) else {
            return;
        };
        let place = at + (number - first);
        for (slot, word) in block.words.iter().skip(place).zip(words) {
            slot.store(*word, Ordering::Relaxed);
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

/// The journal of a process; without a ring file it keeps nothing.
#[derive(Debug)]
pub(crate) struct Journal {
    memory: &'static Memory,
    current: Option<Arc<Block>>,
    /// Ring and position behind the last entry of the current block, and where that entry begins.
    last: (u32, u64, usize),
    pieces: Pieces,
    free: Arc<Free>,
    blocks: usize,
    blocks_max: usize,
}

impl Journal {
    /// A journal of at most so many bytes.
    pub(crate) fn new(memory: &'static Memory, bytes_max: usize) -> Self {
        let blocks_max = bytes_max / block_bytes(BLOCK_WORDS);
        Self {
            memory,
            current: None,
            last: (0, 0, 0),
            pieces: Pieces::default(),
            free: Arc::default(),
            blocks: 0,
            blocks_max,
        }
    }

    /// Whether there is a file to keep anything in.
    pub(crate) fn is_kept(&self) -> bool {
        self.memory.mapping().is_some()
    }

    /// Keeps whole records from this position of a ring on; `thread` is whose the first of them is. Where
    /// there is no room they are as safe as the process is.
    pub(crate) fn append(&mut self, (ring, position): (u32, u64), thread: u32, words: &[u64]) {
        let length = words.len();
        let first = self.pieces.words;
        self.pieces.words += length;
        if length == 0 || !self.is_kept() || !self.make_room(length + entry::HEADER) {
            return;
        }
        let Some(current) = &self.current else { return };
        let block = current.words;
        let mut at = block[block::FILLED].load(Ordering::Relaxed) as usize;
        let continues = at > block::HEADER && (self.last.0, self.last.1) == (ring, position);
        if !continues {
            self.last.2 = at;
            block[at + entry::LENGTH].store(u64::from(ring) << 32, Ordering::Relaxed);
            block[at + entry::POSITION].store(position, Ordering::Relaxed);
            block[at + entry::THREAD].store(u64::from(thread), Ordering::Relaxed);
            at += entry::HEADER;
        }
        for (slot, word) in block[at..].iter().zip(words) {
            slot.store(*word, Ordering::Relaxed);
        }
        let begins = &block[self.last.2 + entry::LENGTH];
        begins.store(begins.load(Ordering::Relaxed) + length as u64, Ordering::Relaxed);
        // The entry counts from here on; the ring may forget its words.
        block[block::FILLED].store((at + length) as u64, Ordering::Release);
        (self.last.0, self.last.1) = (ring, position + length as u64);
        self.pieces.pieces.push((first, Arc::clone(current), at));
    }

    /// What was appended since the last call.
    pub(crate) fn take_pieces(&mut self) -> Pieces {
        std::mem::take(&mut self.pieces)
    }

    /// Leaves what it holds in the file, whoever lets go of it: the collector ends before the store has
    /// taken everything.
    pub(crate) fn leave(&self) {
        self.free.is_left.store(true, Ordering::Relaxed);
    }

    /// Sees to it that the current block has room for this many words.
    fn make_room(&mut self, words: usize) -> bool {
        let filled = |block: &Block| block.words[block::FILLED].load(Ordering::Relaxed) as usize;
        if self.current.as_ref().is_some_and(|block| filled(block) + words <= block.words.len()) {
            return true;
        }
        self.current = None;
        let free = lock(&self.free.blocks).pop();
        let Some(words) = free.or_else(|| self.new_block()) else { return false };
        words[block::FILLED].store(block::HEADER as u64, Ordering::Release);
        self.current = Some(Arc::new(Block { words, free: Arc::clone(&self.free) }));
        true
    }

    fn new_block(&mut self) -> Option<&'static [AtomicU64]> {
        if self.blocks >= self.blocks_max {
            return None;
        }
        let words = self.memory.take_mapped(Kind::Journal, 0, block_bytes(BLOCK_WORDS))?;
        self.blocks += 1;
        Some(words)
    }
}

/// Of 64 KiB with its header: room for any piece of a ring, which a record at its end makes longer by at
/// most 50 KiB.
const BLOCK_WORDS: usize = 8192 - block::HEADER;
