//! From the ids of this process to those of the store: every function and thread the store was given,
//! and the id under which the file that is open now has it, if it has.
//!
//! Functions and threads are given once; a new file needs them all again, so they are kept. Ids given
//! out in a transaction that fails are taken back. This file knows no SQL.

use crate::batch::{CallRow, FunctionRow, ThreadRow};
use crate::limits::{FUNCTIONS_MAX, THREADS_KNOWN_MAX};
use std::collections::{HashMap, HashSet, VecDeque};

/// How far after its thread's base a start may lie: 2^47 ns, 39 hours, still takes 6 bytes.
const BASE_REACH_NS: i64 = 1 << 47;

/// A thread as the open file has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) id: i64,
    pub(crate) base_ns: i64,
    pub(crate) span_base: i64,
    /// Last call written under it.
    pub(crate) last_call: i64,
}

impl Lane {
    /// Whether the call began near enough after the base; one that began long before it still may use
    /// the lane, at the price of two bytes.
    pub(crate) fn reaches(&self, call: &CallRow) -> bool {
        call.start_ns.checked_sub(self.base_ns).is_some_and(|far| far < BASE_REACH_NS)
    }
}

#[derive(Debug)]
struct Thread {
    row: ThreadRow,
    lane: Option<Lane>,
}

impl Thread {
    /// What is forgotten first: threads whose name would be made up again, those that called longest ago.
    fn worth(&self) -> (bool, i64) {
        (self.row.name != made_up(self.row.id), self.lane.map_or(0, |lane| lane.last_call))
    }
}

/// Lanes whose threads were forgotten: in the file, those of this process up to this id that are not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) last_id: i64,
    /// No call of theirs comes behind this one.
    last_call: i64,
}

/// Ids in the open file by id in the process, 0 for none. Every call asks for one, so those that are
/// counted up from 1, as they should be, are found by their position.
#[derive(Debug, Default)]
struct Ids {
    near: Vec<i64>,
    far: HashMap<u32, i64>,
}

impl Ids {
    fn get(&self, id: u32) -> Option<i64> {
        let near = self.near.get(id as usize).copied();
        near.or_else(|| self.far.get(&id).copied()).filter(|stored| *stored != 0)
    }

    fn set(&mut self, id: u32, stored: i64) {
        let at = id as usize;
        if at >= FUNCTIONS_MAX {
            self.far.insert(id, stored);
            return;
        }
        if self.near.len() <= at {
            self.near.resize(at + 1, 0);
        }
        self.near[at] = stored;
    }
}

/// The store's memory of what it was given.
#[derive(Debug, Default)]
pub(crate) struct Known {
    functions: HashMap<u32, FunctionRow>,
    function_ids: Ids,
    threads: HashMap<u32, Thread>,
    /// Oldest first.
    left: VecDeque<Left>,
    /// Functions that the open file does not have yet.
    missing: Vec<u32>,
    /// The day last entered in the calendar.
    day: Option<i64>,
    /// Written, or to be written, in the transaction under way; given a lane in it.
    fresh_functions: Vec<u32>,
    fresh_threads: Vec<u32>,
}

impl Known {
    /// Takes in what a batch brings. A function given again is written again, as its rate may differ.
    pub(crate) fn learn(&mut self, functions: &[FunctionRow], threads: &[ThreadRow]) {
        for row in functions {
            if self.functions.get(&row.id) != Some(row) {
                self.functions.insert(row.id, row.clone());
                self.missing.push(row.id);
            }
        }
        for row in threads {
            self.threads.entry(row.id).or_insert_with(|| Thread { row: row.clone(), lane: None });
        }
        if self.threads.len() > THREADS_KNOWN_MAX {
            let new: HashSet<u32> = threads.iter().map(|row| row.id).collect();
            self.forget_threads(&new);
        }
    }

    /// Forgets half of the threads, but none of these.
    fn forget_threads(&mut self, new: &HashSet<u32>) {
        let old = self.threads.iter().filter(|(id, _)| !new.contains(id));
        let mut old: Vec<_> = old.map(|(id, thread)| (thread.worth(), *id)).collect();
        old.sort_unstable();
        old.truncate(self.threads.len() - THREADS_KNOWN_MAX / 2);
        let gone: Vec<Lane> = old.iter().filter_map(|(_, id)| self.threads.remove(id)?.lane).collect();
        let Some(last_id) = gone.iter().map(|lane| lane.id).max() else { return };
        // Those left before may reach over lanes that go only now: they have to wait for these, and whoever
        // comes later for them.
        let mut last_call = 0;
        for left in self.left.iter_mut().chain([&mut Left { last_id, last_call: 0 }]) {
            let within = gone.iter().filter(|lane| lane.id <= left.last_id).map(|lane| lane.last_call);
            left.last_call = within.fold(left.last_call.max(last_call), i64::max);
            last_call = left.last_call;
        }
        self.left.push_back(Left { last_id, last_call });
    }

    /// Gives functions that the store has the rate that stands there: who gave them does not know it.
    pub(crate) fn keep_rates(&mut self, connection: &rusqlite::Connection) -> rusqlite::Result<()> {
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

    /// The function of that id, made up where it was never given.
    pub(crate) fn function(&mut self, id: u32) -> &FunctionRow {
        let missing = &mut self.missing;
        self.functions.entry(id).or_insert_with(|| {
            missing.push(id);
            unnamed(id)
        })
    }

    /// Whether a day is another than that last entered; it counts as entered from now on.
    pub(crate) fn is_new_day(&mut self, day: i64) -> bool {
        self.day.replace(day) != Some(day)
    }

    /// Its id in the open file.
    pub(crate) fn function_id(&self, id: u32) -> Option<i64> {
        self.function_ids.get(id)
    }

    /// Functions that the open file does not have yet; they count as written from now on, unless the
    /// transaction fails, however far it got with them.
    pub(crate) fn take_missing(&mut self) -> Vec<u32> {
        self.fresh_functions.extend(&self.missing);
        std::mem::take(&mut self.missing)
    }

    pub(crate) fn set_function_id(&mut self, id: u32, stored: i64) {
        self.function_ids.set(id, stored);
    }

    /// The lane for a call, where the open file has one that reaches it; it is noted as used up to
    /// `last_call`.
    pub(crate) fn lane(&mut self, call: &CallRow, last_call: i64) -> Option<Lane> {
        let lane = self.threads.get_mut(&call.thread)?.lane.as_mut()?;
        lane.last_call = lane.last_call.max(last_call);
        lane.reaches(call).then_some(*lane)
    }

    /// The thread of a call, made up where it was never given.
    pub(crate) fn thread(&mut self, call: &CallRow) -> &ThreadRow {
        &self
            .threads
            .entry(call.thread)
            .or_insert_with(|| Thread {
                row: ThreadRow {
                    id: call.thread,
                    name: made_up(call.thread),
                    prefix: u32::try_from(call.span_id >> 32).unwrap_or(0),
                },
                lane: None,
            })
            .row
    }

    pub(crate) fn set_lane(&mut self, thread: u32, lane: Lane) {
        if let Some(known) = self.threads.get_mut(&thread) {
            known.lane = Some(lane);
            self.fresh_threads.push(thread);
        }
    }

    /// Lanes whose calls all lie below `first_call`.
    pub(crate) fn lanes_unused_before(&self, first_call: i64) -> Vec<i64> {
        let lanes = self.threads.values().filter_map(|thread| thread.lane);
        lanes.filter(|lane| lane.last_call < first_call).map(|lane| lane.id).collect()
    }

    /// Lanes of forgotten threads whose calls all lie below `first_call`.
    pub(crate) fn left_unused_before(&self, first_call: i64) -> Option<Left> {
        self.left.front().copied().filter(|left| left.last_call < first_call)
    }

    /// The lanes of threads that are known.
    pub(crate) fn lane_ids(&self) -> HashSet<i64> {
        self.threads.values().filter_map(|thread| Some(thread.lane?.id)).collect()
    }

    /// The file has no more of the first of these lanes.
    pub(crate) fn drop_left(&mut self) {
        self.left.pop_front();
    }

    /// Forgets lanes that the file no longer has.
    pub(crate) fn drop_lanes(&mut self, ids: &[i64]) {
        let ids: HashSet<i64> = ids.iter().copied().collect();
        for thread in self.threads.values_mut() {
            if thread.lane.is_some_and(|lane| ids.contains(&lane.id)) {
                thread.lane = None;
            }
        }
    }

    /// The transaction was committed: its ids hold.
    pub(crate) fn committed(&mut self) {
        self.fresh_functions.clear();
        self.fresh_threads.clear();
    }

    /// The transaction failed: its ids were never given out.
    pub(crate) fn rolled_back(&mut self) {
        self.day = None;
        for id in self.fresh_functions.drain(..) {
            self.function_ids.set(id, 0);
            self.missing.push(id);
        }
        for id in self.fresh_threads.drain(..) {
            if let Some(known) = self.threads.get_mut(&id) {
                known.lane = None;
            }
        }
    }

    /// Another file is open, which has none of it.
    pub(crate) fn forget_ids(&mut self) {
        self.function_ids = Ids::default();
        self.day = None;
        self.threads.values_mut().for_each(|known| known.lane = None);
        self.left.clear();
        self.missing = self.functions.keys().copied().collect();
        self.committed();
    }
}

/// The name of a thread that has none.
fn made_up(id: u32) -> String {
    format!("thread-{id}")
}

fn unnamed(id: u32) -> FunctionRow {
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
    use super::*;

    #[test]
    fn threads_that_called_longest_ago_are_forgotten_and_what_they_leave_waits_for_their_last_call() {
        let mut known = Known::default();
        let thread = |id: u32, name: &str| ThreadRow { id, name: name.to_owned(), prefix: id };
        let lane = |id, last_call| Lane { id, base_ns: 0, span_base: 0, last_call };
        let count = u32::try_from(THREADS_KNOWN_MAX).unwrap();
        known.learn(&[], &[thread(1, "main"), thread(2, "thread-2")]);
        known.set_lane(1, lane(1, 1));
        known.set_lane(2, lane(2, 1_000_000));
        for id in 3..=count + 1 {
            known.learn(&[], &[thread(id, &made_up(id))]);
            known.set_lane(id, lane(i64::from(id), i64::from(id)));
        }
        assert_eq!(known.threads.len(), THREADS_KNOWN_MAX / 2);
        for id in [1, 2, count, count + 1] {
            assert!(known.threads.contains_key(&id), "{id}");
        }
        let left = known.left[0];
        assert_eq!((known.left.len(), left.last_id), (1, left.last_call));
        assert!(known.left_unused_before(left.last_call).is_none());
        assert_eq!(known.left_unused_before(left.last_call + 1).unwrap().last_id, left.last_id);
        // The second has a lane from before, and goes only now.
        for id in count + 2..2 * count {
            known.learn(&[], &[thread(id, &made_up(id))]);
            known.set_lane(id, lane(i64::from(id), 2_000_000));
        }
        assert!(!known.threads.contains_key(&2) && known.threads.contains_key(&1));
        assert!(known.left.len() > 1 && known.left_unused_before(1_000_000).is_none());
    }

    #[test]
    fn functions_of_a_transaction_that_failed_midway_are_all_missing_again() {
        let mut known = Known::default();
        known.learn(&[unnamed(1), unnamed(2), unnamed(3)], &[]);
        assert_eq!(known.take_missing(), [1, 2, 3]);
        known.set_function_id(1, 11);
        known.rolled_back();
        assert_eq!(known.function_id(1), None);
        assert_eq!(known.take_missing(), [1, 2, 3]);
        for id in 1..=3 {
            known.set_function_id(id, 10 + i64::from(id));
        }
        known.committed();
        known.rolled_back();
        assert_eq!((known.function_id(3), known.take_missing().len()), (Some(13), 0));
    }
}
