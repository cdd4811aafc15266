//! The span ids of the store, which are unique in it and below 2^53.
//!
//! Takes span ids of a process; gives those of the store. A process makes its ids from a random number, so that threads
//! need no agreement; they take all 63 bits, and two processes may have the same. The store gives each block of a
//! process's ids a block of its own, in the order in which the blocks are first used, and remembers the pair in
//! `span_block`. So the process and its recoverer both map a span, and the parent of its child, to the same id. The
//! file does not know calls.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::growth::{MakeRoom as _, collect_all, collect_most};

/// Bits of a span id within its block. A block is small, so that a thread that makes few calls wastes few ids: 2^33 blocks
/// are enough for a hundred threads a second over two years.
pub const BLOCK_BITS: u32 = 20;

/// A block in the open file.
#[derive(Debug, Clone, Copy)]
struct Block {
    id: i64,
    /// Id of the last call that was written with the block.
    last_call: i64,
}

/// The blocks that are known, by the number that the block has in the process.
#[derive(Debug)]
pub(crate) struct SpanIds {
    /// The number of blocks that are known at most.
    max: usize,
    known: HashMap<u64, Block>,
    /// The block that was asked for last, because the spans of a thread follow each other.
    last: Option<(u64, i64)>,
}

impl SpanIds {
    /// Returns a memory of at most this many blocks.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: HashMap::new(), last: None }
    }

    /// Returns the store's id of a span, for calls up to `last_call`. Numbers below the first block name no span: 0 stands for
    /// none, and 1 for an unsampled call. They stay as they are.
    pub(crate) fn map(
        &mut self,
        transaction: &Connection,
        process_id: i64,
        span: u64,
        last_call: i64,
    ) -> rusqlite::Result<i64> {
        let block = span >> BLOCK_BITS;
        if block == 0 {
            return Ok(span.cast_signed());
        }
        let id = match self.last {
            Some((last, id)) if last == block => id,
            _ => self.find_or_make(transaction, process_id, block, last_call)?,
        };
        self.last = Some((block, id));
        Ok(id << BLOCK_BITS | (span & ((1 << BLOCK_BITS) - 1)).cast_signed())
    }

    fn find_or_make(
        &mut self,
        transaction: &Connection,
        process_id: i64,
        block: u64,
        last_call: i64,
    ) -> rusqlite::Result<i64> {
        if let Some(known) = self.known.get_mut(&block) {
            known.last_call = known.last_call.max(last_call);
            return Ok(known.id);
        }
        // The newest row is never deleted, so an id is given once.
        let id = transaction
            .prepare(
                "INSERT INTO span_block (process_id, block) VALUES (?1, ?2)
                 ON CONFLICT (process_id, block) DO UPDATE SET block = excluded.block RETURNING id",
            )?
            .query_row([process_id, block.cast_signed()], |row| row.get(0))?;
        if self.known.len() >= self.max {
            self.forget_half();
        }
        // A block that is not remembered is read from the file again.
        if self.known.make_room(1) {
            self.known.insert(block, Block { id, last_call });
        }
        Ok(id)
    }

    /// Forgets the blocks that were used longest ago. They are read from the file again if they are needed.
    fn forget_half(&mut self) {
        let Some(mut calls) = collect_all(self.known.values().map(|block| block.last_call)) else {
            return self.known.clear();
        };
        let middle = calls.len() / 2;
        let (_, median, _) = calls.select_nth_unstable(middle);
        let median = *median;
        let mut left = self.known.len() - middle;
        self.known.retain(|_, block| {
            let stays = block.last_call > median || (block.last_call == median && left == 0);
            left = left.saturating_sub(usize::from(!stays));
            stays
        });
    }

    /// Returns at most `wanted` blocks all of whose calls have ids below `first_call`. Each is the number of the block
    /// in the process, and its id in the store.
    pub(crate) fn unused(&self, first_call: i64, wanted: usize) -> Vec<(u64, i64)> {
        let unused = self.known.iter().filter(|(_, block)| block.last_call < first_call);
        collect_most(unused.map(|(block, known)| (*block, known.id)).take(wanted))
    }

    /// Removes blocks that the file does not have any more.
    pub(crate) fn drop_blocks(&mut self, blocks: &[(u64, i64)]) {
        for (block, _) in blocks {
            self.known.remove(block);
        }
        self.end_batch();
    }

    /// Makes the next call look its block up again, so that the block notes that call.
    pub(crate) fn end_batch(&mut self) {
        self.last = None;
    }

    /// Removes all blocks, because the file may not have them.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.max);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::limits::SPAN_BLOCKS_KNOWN_MAX;

    fn store() -> Connection {
        let store = Connection::open_in_memory().unwrap();
        crate::store::schema::create(&store).unwrap();
        store
    }

    #[test]
    fn equal_ids_of_two_processes_differ_in_the_store_and_both_fit_a_double() {
        let store = store();
        let (mut one, mut other) = (SpanIds::new(SPAN_BLOCKS_KNOWN_MAX), SpanIds::new(SPAN_BLOCKS_KNOWN_MAX));
        let span = 0x7fff_ffff_ffff_fff0;
        let ids: Vec<i64> = (0..40_u64)
            .flat_map(|step| [one.map(&store, 1, span - step, 1), other.map(&store, 2, span - step, 1)])
            .map(Result::unwrap)
            .collect();
        let different: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(different.len(), 80);
        assert!(ids.iter().all(|id| (1 << BLOCK_BITS..1 << 53).contains(id)));
    }

    #[test]
    fn a_recoverer_maps_spans_as_the_process_did() {
        let store = store();
        let spans = [7 << 32 | 5, 9 << 32 | 1, 7 << 32 | 5 | 1 << BLOCK_BITS, 1, 0];
        let map = || {
            let mut ids = SpanIds::new(SPAN_BLOCKS_KNOWN_MAX);
            spans.map(|span| ids.map(&store, 1, span, 1).unwrap())
        };
        let first = map();
        assert_eq!((first, first[3], first[4]), (map(), 1, 0));
    }

    #[test]
    fn more_blocks_than_are_remembered_keep_their_ids() {
        let store = store();
        let transaction = store.unchecked_transaction().unwrap();
        let mut ids = SpanIds::new(SPAN_BLOCKS_KNOWN_MAX);
        let blocks = SPAN_BLOCKS_KNOWN_MAX as u64 + 10;
        for block in 1..=blocks {
            ids.map(&transaction, 1, block << BLOCK_BITS, block.cast_signed()).unwrap();
        }
        assert!(ids.known.len() <= SPAN_BLOCKS_KNOWN_MAX);
        assert_eq!(ids.map(&transaction, 1, 1 << BLOCK_BITS, 0).unwrap(), 1 << BLOCK_BITS);
        let unused = ids.unused(blocks.cast_signed(), 5);
        assert_eq!(unused.len(), 5);
        ids.drop_blocks(&unused);
        assert!(unused.iter().all(|(block, _)| !ids.known.contains_key(block)));
    }
}
