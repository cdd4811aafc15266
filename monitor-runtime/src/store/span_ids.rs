//! The span ids of the store, which are unique in it and below 2^53.
//!
//! Takes span ids of a process; gives those of the store. A process makes its ids from a random number, so that threads
//! need no agreement; they take all 63 bits, and two processes may have the same. The store gives each block of a
//! process's ids a block of its own, in the order in which the blocks are first used, and remembers the pair in
//! `span_block`. So the process and its recoverer both map a span, and the parent of its child, to the same id. Blocks
//! that are no longer remembered are noted as forgotten, so that their rows expire too. Of calls, the file knows only
//! the id of the last call of a block.

use std::collections::HashMap;

use rusqlite::Connection;

use super::error::no_memory;
use super::forgotten_rows::ForgottenRows;
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
    /// The blocks that the file may have and that are not known any more.
    forgotten: ForgottenRows,
    /// The process in the store that the blocks belong to; 0 before the first block.
    process_id: i64,
    /// The highest id of a known block, and its value at the last commit. Ids ascend, so the blocks between the two are
    /// those that the current transaction has made.
    last_id: i64,
    committed_id: i64,
    /// The block that was asked for last, because the spans of a thread follow each other.
    last: Option<(u64, i64)>,
}

impl SpanIds {
    /// Returns a memory of at most this many blocks, and of this many entries of forgotten ones.
    pub(crate) fn new(blocks_max: usize, forgotten_max: usize) -> Self {
        Self {
            max: blocks_max,
            known: HashMap::new(),
            forgotten: ForgottenRows::new(forgotten_max),
            process_id: 0,
            last_id: 0,
            committed_id: 0,
            last: None,
        }
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
        self.process_id = process_id;
        self.last_id = self.last_id.max(id);
        if self.known.len() >= self.max {
            self.forget_half().ok_or_else(no_memory)?;
        }
        if self.known.make_room(1) {
            self.known.insert(block, Block { id, last_call });
        } else {
            // The block is read from the file again when it is needed.
            self.forgotten.add([(id, last_call)].into_iter()).ok_or_else(no_memory)?;
        }
        Ok(id)
    }

    /// Forgets the blocks that were used longest ago, or all if there is no memory to sort them. They are read from the
    /// file again if they are needed. Returns `None` and changes nothing if there is no memory to note them as
    /// forgotten.
    fn forget_half(&mut self) -> Option<()> {
        let age = |block: &Block| (block.last_call, block.id);
        let middle = self.known.len() / 2;
        let newest = match collect_all(self.known.values().map(age)) {
            Some(mut ages) => *ages.select_nth_unstable(middle).1,
            None => (i64::MAX, i64::MAX),
        };
        let gone = self.known.values().filter(|block| age(block) <= newest);
        self.forgotten.add(gone.map(|block| (block.id, block.last_call)))?;
        self.known.retain(|_, block| age(block) > newest);
        Some(())
    }

    /// Returns at most `wanted` blocks all of whose calls have ids below `first_call`. Each is the number of the block
    /// in the process, and its id in the store.
    pub(crate) fn unused(&self, first_call: i64, wanted: usize) -> Vec<(u64, i64)> {
        let unused = self.known.iter().filter(|(_, block)| block.last_call < first_call);
        collect_most(unused.map(|(block, known)| (*block, known.id)).take(wanted))
    }

    /// Returns the process and the id up to which its blocks are unused, except the known ones. The calls of these
    /// blocks have ids below `first_call`.
    pub(crate) fn unused_forgotten(&self, first_call: i64) -> Option<(i64, i64)> {
        self.forgotten.unused(first_call).map(|last_id| (self.process_id, last_id))
    }

    /// Removes the oldest entry of forgotten blocks, because the file has none of them any more.
    pub(crate) fn drop_forgotten(&mut self) {
        self.forgotten.drop_oldest();
    }

    /// Returns the ids of the known blocks in ascending order. Fails if there is no memory for them.
    pub(crate) fn known_ids(&self) -> rusqlite::Result<Vec<i64>> {
        let mut ids = collect_all(self.known.values().map(|block| block.id)).ok_or_else(no_memory)?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// Takes over the blocks that the file has of the process as forgotten ones: the highest id, and the last call.
    pub(crate) fn adopt(&mut self, process_id: i64, last_row: Option<(i64, i64)>) {
        self.process_id = process_id;
        // Without memory, the blocks stay until the process is deleted.
        let _ = self.forgotten.add(last_row.into_iter());
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

    /// Keeps the blocks that the current transaction has made, because the transaction was committed.
    pub(crate) fn commit(&mut self) {
        self.committed_id = self.last_id;
    }

    /// Removes the blocks that the current transaction has made, because the transaction failed. The file has the other
    /// blocks all the same. Their last calls may be too high now, so their rows may go later.
    pub(crate) fn roll_back(&mut self) {
        self.known.retain(|_, block| block.id <= self.committed_id);
        self.last_id = self.committed_id;
        self.end_batch();
    }

    /// Removes all blocks, because another file is open now.
    pub(crate) fn forget(&mut self) {
        self.known = HashMap::new();
        self.forgotten.clear();
        (self.process_id, self.last_id, self.committed_id) = (0, 0, 0);
        self.end_batch();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::limits::{FORGOTTEN_ROWS_MAX, SPAN_BLOCKS_KNOWN_MAX};

    fn span_ids() -> SpanIds {
        SpanIds::new(SPAN_BLOCKS_KNOWN_MAX, FORGOTTEN_ROWS_MAX)
    }

    fn store() -> Connection {
        let store = Connection::open_in_memory().unwrap();
        crate::store::schema::create(&store).unwrap();
        store
    }

    #[test]
    fn equal_ids_of_two_processes_differ_in_the_store_and_both_fit_a_double() {
        let store = store();
        let (mut one, mut other) = (span_ids(), span_ids());
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
            let mut ids = span_ids();
            spans.map(|span| ids.map(&store, 1, span, 1).unwrap())
        };
        let first = map();
        assert_eq!((first, first[3], first[4]), (map(), 1, 0));
    }

    #[test]
    fn more_blocks_than_are_remembered_keep_their_ids() {
        let store = store();
        let transaction = store.unchecked_transaction().unwrap();
        let mut ids = span_ids();
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
    #[test]
    fn a_failed_transaction_takes_back_only_its_own_blocks() {
        let store = store();
        let mut ids = span_ids();
        for block in 1..=3_u64 {
            ids.map(&store, 1, block << BLOCK_BITS, 1).unwrap();
        }
        ids.commit();
        let transaction = store.unchecked_transaction().unwrap();
        ids.map(&transaction, 1, 4 << BLOCK_BITS, 2).unwrap();
        transaction.rollback().unwrap();
        ids.roll_back();
        assert_eq!(ids.known_ids().unwrap(), [1, 2, 3]);
        // Another process gets the id that was taken back.
        assert_eq!(span_ids().map(&store, 2, 9 << BLOCK_BITS, 2).unwrap(), 4 << BLOCK_BITS);
        assert_eq!(ids.map(&store, 1, 4 << BLOCK_BITS, 3).unwrap(), 5 << BLOCK_BITS);
    }

    #[test]
    fn a_forgotten_block_that_is_used_again_and_forgotten_again_waits_for_its_last_call() {
        let store = store();
        let transaction = store.unchecked_transaction().unwrap();
        let mut ids = SpanIds::new(4, 4);
        let map = |ids: &mut SpanIds, block: u64, last_call| {
            ids.map(&transaction, 1, block << BLOCK_BITS, last_call).unwrap();
        };
        (1..=5).for_each(|block| map(&mut ids, block, block.cast_signed()));
        assert_eq!((ids.unused_forgotten(3), ids.unused_forgotten(4)), (None, Some((1, 3))));
        map(&mut ids, 1, 6);
        assert_eq!(ids.known_ids().unwrap(), [1, 4, 5]);
        (7..=12).for_each(|block| map(&mut ids, block, block.cast_signed()));
        assert!(!ids.known.contains_key(&1));
        assert_eq!((ids.unused_forgotten(6), ids.unused_forgotten(7)), (None, Some((1, 3))));
    }
}
