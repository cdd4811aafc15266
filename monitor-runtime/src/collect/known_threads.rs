//! The threads of the program as the collector knows them: name and span prefix, by id.
//!
//! Takes the threads that introduced themselves; gives names, and rows for the store. The number of threads is bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::batch::ThreadRow;
use crate::limits;
use crate::thread::pool::ThreadPool;

/// The threads of the program.
#[derive(Debug, Default)]
pub(super) struct KnownThreads {
    /// Name and span prefix, by id.
    by_id: HashMap<u32, (Arc<str>, u32)>,
    /// The rows that the store does not have yet.
    new: Vec<ThreadRow>,
}

impl KnownThreads {
    /// Adds the threads that introduced themselves since the last look. Too many are not kept: all are forgotten but
    /// those in `owners`, which have a ring.
    pub(super) fn discover(&mut self, rings: &ThreadPool, owners: &[u32]) {
        if self.by_id.len() > limits::THREADS_KNOWN_MAX {
            let owners: HashSet<u32> = owners.iter().copied().collect();
            self.by_id.retain(|id, _| owners.contains(id));
        }
        for thread in rings.home.take_introduced() {
            self.by_id.insert(thread.id, (thread.name.as_str().into(), thread.prefix));
            self.new.push(ThreadRow { id: thread.id, name: thread.name, prefix: thread.prefix });
        }
    }

    pub(super) fn name(&self, id: u32) -> Option<&Arc<str>> {
        self.by_id.get(&id).map(|(name, _)| name)
    }

    /// Returns the rows that the store does not have yet, and forgets them.
    pub(super) fn take_new_rows(&mut self) -> Vec<ThreadRow> {
        std::mem::take(&mut self.new)
    }

    /// Returns the rows of all threads.
    pub(super) fn all_rows(&self) -> Vec<ThreadRow> {
        let row = |(id, (name, prefix)): (&u32, &(Arc<str>, u32))| ThreadRow {
            id: *id,
            name: name.as_ref().to_owned(),
            prefix: *prefix,
        };
        self.by_id.iter().map(row).collect()
    }
}
