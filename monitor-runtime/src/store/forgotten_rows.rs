//! The rows of the process that the store's writer no longer remembers, so that they can be deleted when they expire.
//!
//! Takes the id of each forgotten row with the id of the last call that uses the row; gives an id up to which forgotten
//! rows are unused, once no such call is left. An entry stands for all rows of the process up to its id, except the
//! remembered ones. Entries ascend in their ids and in their last calls. The file does not know which rows are
//! remembered, and deletes nothing.

use std::collections::VecDeque;

use crate::growth::MakeRoom as _;

/// The forgotten rows up to an id.
#[derive(Debug, Clone, Copy)]
struct Entry {
    last_id: i64,
    /// Id of the last call that was written with any of these rows.
    last_call: i64,
}

/// The forgotten rows of one table.
#[derive(Debug)]
pub(crate) struct ForgottenRows {
    /// The number of entries at most.
    max: usize,
    /// Oldest first.
    entries: VecDeque<Entry>,
}

impl ForgottenRows {
    /// Returns a queue of at most this many entries.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, entries: VecDeque::new() }
    }

    /// Adds rows, each as its id and the id of the last call that uses it. If there is no room for an entry, the newest
    /// entry takes the rows over, so that they are deleted later. Returns `None` and changes nothing if there is no
    /// entry and no memory for one.
    pub(crate) fn add(&mut self, rows: impl Iterator<Item = (i64, i64)> + Clone) -> Option<()> {
        let Some(last_id) = rows.clone().map(|(id, _)| id).max() else { return Some(()) };
        if self.entries.back().is_none_or(|entry| entry.last_id < last_id) {
            if self.entries.len() < self.max && self.entries.make_room(1) {
                self.entries.push_back(Entry { last_id, last_call: 0 });
            } else {
                self.entries.back_mut()?.last_id = last_id;
            }
        }
        // An earlier entry stands for every row up to its id, including rows that are forgotten only now. So the entry
        // has to wait for their calls, and each later entry has to wait for the entries before it.
        for (id, last_call) in rows {
            let at = self.entries.partition_point(|entry| entry.last_id < id);
            if let Some(entry) = self.entries.get_mut(at) {
                entry.last_call = entry.last_call.max(last_call);
            }
        }
        let mut last_call = 0;
        for entry in &mut self.entries {
            last_call = entry.last_call.max(last_call);
            entry.last_call = last_call;
        }
        Some(())
    }

    /// Returns the id up to which the oldest entry's rows reach, if all their calls have ids below `first_call`.
    pub(crate) fn unused(&self, first_call: i64) -> Option<i64> {
        self.entries.front().filter(|entry| entry.last_call < first_call).map(|entry| entry.last_id)
    }

    /// Removes the oldest entry, because the file has none of its rows any more.
    pub(crate) fn drop_oldest(&mut self) {
        self.entries.pop_front();
    }

    /// Removes all entries, because another file is open now.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn entries(rows: &ForgottenRows) -> Vec<(i64, i64)> {
        rows.entries.iter().map(|entry| (entry.last_id, entry.last_call)).collect()
    }

    #[test]
    fn an_entry_waits_for_the_last_call_of_every_row_up_to_its_id() {
        let mut rows = ForgottenRows::new(8);
        rows.add([(1, 10), (3, 12)].into_iter()).unwrap();
        rows.add([(4, 11), (6, 20)].into_iter()).unwrap();
        assert_eq!(entries(&rows), [(3, 12), (6, 20)]);
        assert_eq!((rows.unused(12), rows.unused(13)), (None, Some(3)));
        // Row 2 is forgotten late, so the first entry waits for its call, and the second waits for the first.
        rows.add([(2, 25)].into_iter()).unwrap();
        assert_eq!(entries(&rows), [(3, 25), (6, 25)]);
        rows.drop_oldest();
        assert_eq!((rows.unused(25), rows.unused(26)), (None, Some(6)));
    }

    #[test]
    fn a_full_queue_gives_its_newest_entry_the_rows() {
        let mut rows = ForgottenRows::new(2);
        for id in 1..=5 {
            rows.add([(id, 10 * id)].into_iter()).unwrap();
        }
        assert_eq!(entries(&rows), [(1, 10), (5, 50)]);
        rows.drop_oldest();
        rows.add([(6, 60)].into_iter()).unwrap();
        assert_eq!(entries(&rows), [(5, 50), (6, 60)]);
    }
}
