//! The ids that functions and threads of this process have in the open file.
//!
//! Takes functions and threads, each of which the collector reports once; gives the store's ids, and the rows that the
//! open file does not have yet. All rows are kept, because a new file needs them all again. Ids that were given out in
//! a transaction that fails are taken back. It does not write anything.

use super::awaited_calls::AwaitedCalls;
use super::error::no_memory;
use super::forgotten_rows::ForgottenRows;
use super::metric_ids::MetricIds;
use super::recent_failures::RecentFailures;
use super::span_ids::SpanIds;
use super::zones::Zones;
use crate::batch::{CallRow, FunctionRow, ThreadRow};
use crate::growth::{MakeRoom as _, collect_all, collect_most};
use crate::limits::{
    CAUSES_MAX, FORGOTTEN_ROWS_MAX, FUNCTIONS_MAX, LOG_SPANS_KNOWN_MAX, MAX_MEMORY_BYTES,
    SPAN_BLOCKS_KNOWN_MAX, THREADS_KNOWN_MAX,
};
use rusqlite::Connection;
use std::collections::HashMap;

/// The largest distance of a call's start from its segment's base: 2^47 ns, 39 hours, which SQLite stores in 6 bytes.
const BASE_REACH_NS: i64 = 1 << 47;

/// A period of a thread: a row of the table `thread`, to whose base the starts of the thread's calls are relative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadSegment {
    pub(crate) id: i64,
    pub(crate) base_ns: i64,
    /// Id of the last call that was written with the segment.
    pub(crate) last_call: i64,
}

impl ThreadSegment {
    /// Returns true if the call began less than [`BASE_REACH_NS`] after the base, or before the base. If it began long
    /// before the base, its start takes two bytes more.
    pub(crate) fn reaches(&self, call: &CallRow) -> bool {
        call.start_ns.checked_sub(self.base_ns).is_some_and(|far| far < BASE_REACH_NS)
    }
}

#[derive(Debug)]
struct Thread {
    row: ThreadRow,
    segment: Option<ThreadSegment>,
}

impl Thread {
    /// Returns the key by which threads are sorted, the first to be forgotten first: threads with a default name, which
    /// can be made again, and among equals the thread whose last call is the oldest.
    fn worth(&self) -> (bool, i64) {
        (self.row.name != default_name(self.row.id), self.segment.map_or(0, |segment| segment.last_call))
    }
}

/// The store's ids by the process's ids; 0 stands for none. Every call looks one up, so ids that are counted up from
/// 1, as the process gives them out, are found by their position.
#[derive(Debug, Default)]
struct Ids {
    dense: Vec<i64>,
    sparse: HashMap<u32, i64>,
}

impl Ids {
    fn get(&self, id: u32) -> Option<i64> {
        let dense = self.dense.get(id as usize).copied();
        dense.or_else(|| self.sparse.get(&id).copied()).filter(|stored| *stored != 0)
    }

    fn set(&mut self, id: u32, stored: i64) {
        let at = id as usize;
        if at >= FUNCTIONS_MAX {
            self.sparse.insert(id, stored);
            return;
        }
        if self.dense.len() <= at {
            self.dense.resize(at + 1, 0);
        }
        self.dense[at] = stored;
    }
}

/// The fewest threads, spans and failures that are remembered, however small the recorder's memory is.
const REMEMBERED_MIN: usize = 128;

/// Every function and thread that the store has received, with its id in the open file.
#[derive(Debug)]
pub(crate) struct IdCache {
    /// The number of threads that are remembered at most.
    threads_max: usize,
    /// The kinds of recent failures, to which causes are added that become known later.
    pub(crate) recent_failures: RecentFailures,
    functions: HashMap<u32, FunctionRow>,
    function_ids: Ids,
    threads: HashMap<u32, Thread>,
    /// The segments of forgotten threads.
    pub(crate) forgotten: ForgottenRows,
    /// Functions that the open file does not have yet.
    missing: Vec<u32>,
    /// The last day that was entered into the calendar.
    day: Option<i64>,
    /// The ids that spans have in the open file.
    pub(crate) spans: SpanIds,
    /// The calls that have written log lines and have no row yet.
    pub(crate) awaited: AwaitedCalls,
    /// The zones of the range to which calls are written.
    pub(crate) zones: Zones,
    /// Functions that the current transaction writes, and threads that it began a segment of.
    uncommitted_functions: Vec<u32>,
    uncommitted_threads: Vec<u32>,
    /// The ids of the program's metrics in the open file. They are found again whenever one is missing.
    pub(crate) metrics: MetricIds,
}

impl IdCache {
    /// Returns a cache for a recorder with this bound on its memory. Below the default bound, the cache remembers
    /// proportionally less; above it, no more.
    pub(crate) fn with_memory(memory_bytes: u64) -> Self {
        let share = memory_bytes.min(MAX_MEMORY_BYTES);
        let scaled = |most: usize| ((most as u64 * share / MAX_MEMORY_BYTES) as usize).max(REMEMBERED_MIN);
        Self {
            threads_max: scaled(THREADS_KNOWN_MAX),
            recent_failures: RecentFailures::new(scaled(CAUSES_MAX)),
            spans: SpanIds::new(scaled(SPAN_BLOCKS_KNOWN_MAX), scaled(FORGOTTEN_ROWS_MAX)),
            awaited: AwaitedCalls::new(scaled(LOG_SPANS_KNOWN_MAX)),
            functions: HashMap::new(),
            function_ids: Ids::default(),
            threads: HashMap::new(),
            forgotten: ForgottenRows::new(scaled(FORGOTTEN_ROWS_MAX)),
            missing: Vec::new(),
            day: None,
            uncommitted_functions: Vec::new(),
            uncommitted_threads: Vec::new(),
            zones: Zones::default(),
            metrics: MetricIds::default(),
        }
    }

    /// Remembers the functions and threads of a batch. A function that changed is written again. Fails if there is no memory for
    /// them.
    pub(crate) fn remember(
        &mut self,
        functions: &[FunctionRow],
        threads: &[ThreadRow],
    ) -> rusqlite::Result<()> {
        let ids = functions.iter().map(|row| row.id as usize + 1).max().unwrap_or(0).min(FUNCTIONS_MAX);
        // All functions may be missing, because another file is opened or a transaction fails.
        let all = self.functions.len() + functions.len();
        let has_room = self.functions.make_room(functions.len())
            && self.missing.make_room(all)
            && self.uncommitted_functions.make_room(all)
            && self.function_ids.dense.make_room(ids.saturating_sub(self.function_ids.dense.len()))
            && self.threads.make_room(threads.len())
            && self.uncommitted_threads.make_room(self.threads.len() + threads.len());
        if !has_room {
            return Err(no_memory());
        }
        for row in functions {
            if self.functions.get(&row.id) != Some(row) {
                self.functions.insert(row.id, row.clone());
                self.missing.push(row.id);
            }
        }
        for row in threads {
            self.threads.entry(row.id).or_insert_with(|| Thread { row: row.clone(), segment: None });
        }
        if self.threads.len() > self.threads_max {
            self.forget_threads(threads).ok_or_else(no_memory)?;
        }
        Ok(())
    }

    /// Forgets half of the threads, except the new ones. Returns `None` if there is no memory to sort them.
    fn forget_threads(&mut self, new: &[ThreadRow]) -> Option<()> {
        let mut new = collect_all(new.iter().map(|row| row.id))?;
        new.sort_unstable();
        let old = self.threads.iter().filter(|(id, _)| new.binary_search(id).is_err());
        let mut old = collect_all(old.map(|(id, thread)| (thread.worth(), *id)))?;
        old.sort_unstable();
        old.truncate(self.threads.len() - self.threads_max / 2);
        let gone = old.iter().filter_map(|(_, id)| self.threads.get(id)?.segment);
        self.forgotten.add(gone.map(|segment| (segment.id, segment.last_call)))?;
        for (_, id) in &old {
            self.threads.remove(id);
        }
        Some(())
    }

    /// Takes over the stored sampling rates of functions that are not written yet, because a recoverer does not know
    /// these rates.
    pub(crate) fn keep_stored_rates(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut select = connection
            .prepare("SELECT sample_rate FROM function WHERE name = ?1 AND file = ?2 AND line = ?3")?;
        for id in &self.missing {
            if let Some(row) = self.functions.get_mut(id)
                && let Some(found) = select.query((&row.name, &row.file, row.line))?.next()?
            {
                row.sample_rate = found.get(0)?;
            }
        }
        Ok(())
    }

    /// Returns the function of that id. A function that the collector has not reported gets a default name. Fails if
    /// there is no memory for it.
    pub(crate) fn function(&mut self, id: u32) -> rusqlite::Result<&FunctionRow> {
        if !(self.functions.make_room(1) && self.missing.make_room(self.functions.len() + 1)) {
            return Err(no_memory());
        }
        let missing = &mut self.missing;
        Ok(self.functions.entry(id).or_insert_with(|| {
            missing.push(id);
            default_function(id)
        }))
    }

    /// Returns true if this is not the day that was entered last. From now on the day counts as entered.
    pub(crate) fn is_new_day(&mut self, day: i64) -> bool {
        self.day.replace(day) != Some(day)
    }

    /// Returns a function's id in the open file.
    pub(crate) fn function_id(&self, id: u32) -> Option<i64> {
        self.function_ids.get(id)
    }

    /// Returns the functions that the open file does not have yet. From now on they count as written, unless the
    /// transaction fails: then all of them are missing again, however many of them it wrote. Fails if there is no
    /// memory for them.
    pub(crate) fn take_missing(&mut self) -> rusqlite::Result<Vec<u32>> {
        let taken = collect_all(self.missing.iter().copied()).ok_or_else(no_memory)?;
        if !self.uncommitted_functions.make_room(taken.len()) {
            return Err(no_memory());
        }
        self.uncommitted_functions.append(&mut self.missing);
        Ok(taken)
    }

    pub(crate) fn set_function_id(&mut self, id: u32, stored: i64) {
        self.function_ids.set(id, stored);
    }

    /// Returns the segment of a call's thread if it reaches the call, and notes that calls up to `last_call` use it.
    pub(crate) fn segment_for(&mut self, call: &CallRow, last_call: i64) -> Option<ThreadSegment> {
        let segment = self.threads.get_mut(&call.thread)?.segment.as_mut()?;
        segment.last_call = segment.last_call.max(last_call);
        segment.reaches(call).then_some(*segment)
    }

    /// Returns the thread of a call. A thread that the collector has not reported gets a default name. Fails if there
    /// is no memory for it.
    pub(crate) fn thread(&mut self, call: &CallRow) -> rusqlite::Result<&ThreadRow> {
        if !(self.threads.make_room(1) && self.uncommitted_threads.make_room(1)) {
            return Err(no_memory());
        }
        let thread = self.threads.entry(call.thread).or_insert_with(|| Thread {
            row: ThreadRow {
                id: call.thread,
                name: default_name(call.thread),
                prefix: u32::try_from(call.span_id >> 32).unwrap_or(0),
            },
            segment: None,
        });
        Ok(&thread.row)
    }

    pub(crate) fn set_segment(&mut self, thread: u32, segment: ThreadSegment) {
        if let Some(found) = self.threads.get_mut(&thread) {
            found.segment = Some(segment);
            self.uncommitted_threads.push(thread);
        }
    }

    /// Returns the segments all of whose calls have ids below `first_call`, as many as there is memory for.
    pub(crate) fn unused_segments(&self, first_call: i64) -> Vec<i64> {
        let segments = self.threads.values().filter_map(|thread| thread.segment);
        collect_most(segments.filter(|segment| segment.last_call < first_call).map(|segment| segment.id))
    }

    /// Returns the ids of the segments of remembered threads in ascending order. Fails if there is no memory for them.
    pub(crate) fn segment_ids(&self) -> rusqlite::Result<Vec<i64>> {
        let ids = self.threads.values().filter_map(|thread| Some(thread.segment?.id));
        let mut ids = collect_all(ids).ok_or_else(no_memory)?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// Forgets segments that the file does not have any more. `ids` must be in ascending order.
    pub(crate) fn drop_segments(&mut self, ids: &[i64]) {
        for thread in self.threads.values_mut() {
            if thread.segment.is_some_and(|segment| ids.binary_search(&segment.id).is_ok()) {
                thread.segment = None;
            }
        }
    }

    /// Keeps the ids of the current transaction, which was committed.
    pub(crate) fn commit(&mut self) {
        self.uncommitted_functions.clear();
        self.uncommitted_threads.clear();
        self.spans.commit();
        self.zones.commit();
        self.awaited.commit();
    }

    /// Takes back the ids of the current transaction, which failed.
    pub(crate) fn roll_back(&mut self) {
        self.day = None;
        self.spans.roll_back();
        self.zones.roll_back();
        self.awaited.roll_back();
        self.metrics.clear();
        for id in &self.uncommitted_functions {
            self.function_ids.set(*id, 0);
        }
        // The list of missing functions has room for all of them.
        self.missing.append(&mut self.uncommitted_functions);
        for id in self.uncommitted_threads.drain(..) {
            if let Some(found) = self.threads.get_mut(&id) {
                found.segment = None;
            }
        }
    }

    /// Takes over the segments and blocks of span ids that the open file has of this process as forgotten ones, so that
    /// they expire with the calls that the file has now. Does nothing for what there is no memory for.
    pub(crate) fn adopt_rows(&mut self, connection: &Connection, process_id: i64) -> rusqlite::Result<()> {
        let _ = self.forgotten.add(last_row(connection, "thread", process_id)?.into_iter());
        self.spans.adopt(process_id, last_row(connection, "span_block", process_id)?);
        Ok(())
    }

    /// Removes all ids and keeps all rows, because another file is open now.
    pub(crate) fn forget_ids(&mut self) {
        self.function_ids = Ids::default();
        self.day = None;
        self.spans.forget();
        self.zones.clear();
        self.awaited.forget();
        self.metrics.clear();
        self.threads.values_mut().for_each(|thread| thread.segment = None);
        self.forgotten.clear();
        self.missing.clear();
        self.missing.extend(self.functions.keys());
        self.commit();
    }
}

/// Returns the highest id of a row of the process in this table, together with the last call of the store.
fn last_row(connection: &Connection, table: &str, process_id: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = format!(
        "SELECT max(id), (SELECT coalesce(max(last_call), 0) FROM call_range) FROM {table} WHERE process_id = ?1"
    );
    connection.query_row(&sql, [process_id], |row| {
        let (last_id, last_call): (Option<i64>, i64) = (row.get(0)?, row.get(1)?);
        Ok(last_id.map(|last_id| (last_id, last_call)))
    })
}

/// Returns the name of a thread that has none.
fn default_name(id: u32) -> String {
    format!("thread-{id}")
}

fn default_function(id: u32) -> FunctionRow {
    FunctionRow {
        id,
        name: format!("function-{id}"),
        file: String::new(),
        line: 0,
        group: None,
        sample_rate: 1.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn threads_that_called_longest_ago_are_forgotten_and_what_they_leave_waits_for_their_last_call() {
        let mut ids = IdCache::with_memory(MAX_MEMORY_BYTES);
        let thread = |id: u32, name: &str| ThreadRow { id, name: name.to_owned(), prefix: id };
        let segment = |id, last_call| ThreadSegment { id, base_ns: 0, last_call };
        let count = u32::try_from(THREADS_KNOWN_MAX).unwrap();
        ids.remember(&[], &[thread(1, "main"), thread(2, "thread-2")]).unwrap();
        ids.set_segment(1, segment(1, 1));
        ids.set_segment(2, segment(2, 1_000_000));
        for id in 3..=count + 1 {
            ids.remember(&[], &[thread(id, &default_name(id))]).unwrap();
            ids.set_segment(id, segment(i64::from(id), i64::from(id)));
        }
        assert_eq!(ids.threads.len(), THREADS_KNOWN_MAX / 2);
        for id in [1, 2, count, count + 1] {
            assert!(ids.threads.contains_key(&id), "{id}");
        }
        // Segment n of these threads was last used by call n.
        let last_id = ids.forgotten.unused(1_000_000).unwrap();
        assert_eq!((ids.forgotten.unused(last_id), ids.forgotten.unused(last_id + 1)), (None, Some(last_id)));
        // Thread 2 has an early segment but a late call, so it is forgotten only now.
        for id in count + 2..2 * count {
            ids.remember(&[], &[thread(id, &default_name(id))]).unwrap();
            ids.set_segment(id, segment(i64::from(id), 2_000_000));
        }
        assert!(!ids.threads.contains_key(&2) && ids.threads.contains_key(&1));
        assert_eq!((ids.forgotten.unused(1_000_000), ids.forgotten.unused(1_000_001)), (None, Some(last_id)));
    }

    #[test]
    fn functions_of_a_transaction_that_failed_midway_are_all_missing_again() {
        let mut ids = IdCache::with_memory(MAX_MEMORY_BYTES);
        ids.remember(&[default_function(1), default_function(2), default_function(3)], &[]).unwrap();
        assert_eq!(ids.take_missing().unwrap(), [1, 2, 3]);
        ids.set_function_id(1, 11);
        ids.roll_back();
        assert_eq!(ids.function_id(1), None);
        assert_eq!(ids.take_missing().unwrap(), [1, 2, 3]);
        for id in 1..=3 {
            ids.set_function_id(id, 10 + i64::from(id));
        }
        ids.commit();
        ids.roll_back();
        assert_eq!((ids.function_id(3), ids.take_missing().unwrap().len()), (Some(13), 0));
    }
}
