//! The threads of the program as the collector knows them: name and span prefix, by id.
//!
//! Takes the threads that introduced themselves; gives names, and rows for the store. The number of threads is bounded,
//! and so is the number of rows, because rows must not pile up while the store takes nothing. A thread without a row is
//! shown by its id.

use std::collections::HashMap;
use std::sync::Arc;

use crate::accountant::Part;
use crate::batch::ThreadRow;
use crate::growth::{MakeRoom as _, collect_all};
use crate::limits;
use crate::thread::pool::ThreadPool;

/// The threads of the program.
#[derive(Debug, Default)]
pub(super) struct KnownThreads {
    /// Name and span prefix, by id.
    by_id: HashMap<u32, (Arc<str>, u32)>,
    /// The rows that the store does not have yet.
    new: Vec<ThreadRow>,
    /// The bytes that were last reported to the accountant.
    bytes: usize,
}

impl KnownThreads {
    /// Adds the threads that introduced themselves since this was last called. If too many are known by then, forgets
    /// all but those in `owners`, which have a ring.
    pub(super) fn discover(&mut self, rings: &ThreadPool, owners: &[u32]) {
        let accountant = rings.home.accountant;
        let threads_max = (accountant.limit(Part::Threads) / BYTES / SHARE).min(limits::THREADS_KNOWN_MAX);
        if self.by_id.len() > threads_max {
            // Without memory for a sorted list, all threads are forgotten.
            let mut owners = collect_all(owners.iter().copied()).unwrap_or_default();
            owners.sort_unstable();
            self.by_id.retain(|id, _| owners.binary_search(id).is_ok());
        }
        for thread in rings.home.take_introduced() {
            // A thread that is not known is shown by its id.
            if self.by_id.make_room(1) {
                self.by_id.insert(thread.id, (thread.name.as_str().into(), thread.prefix));
            }
            if self.new.len() < threads_max && self.new.make_room(1) {
                self.new.push(ThreadRow { id: thread.id, name: thread.name, prefix: thread.prefix });
            }
        }
        let bytes = (self.by_id.len() + self.new.len()) * BYTES;
        accountant.add(Part::Threads, bytes);
        accountant.give_back(Part::Threads, std::mem::replace(&mut self.bytes, bytes));
    }

    pub(super) fn name(&self, id: u32) -> Option<&Arc<str>> {
        self.by_id.get(&id).map(|(name, _)| name)
    }

    /// Returns the id of the thread that gave a call this span id, or `None` if the thread is not known.
    pub(super) fn find_by_span(&self, span: u64) -> Option<u32> {
        let prefix = (span >> 32) as u32;
        self.by_id.iter().find(|(_, (_, known))| *known == prefix).map(|(id, _)| *id)
    }

    /// Returns the rows that the store does not have yet, and forgets them.
    pub(super) fn take_new_rows(&mut self) -> Vec<ThreadRow> {
        std::mem::take(&mut self.new)
    }

    /// Returns the rows of all threads; `None` if there is no memory for them.
    pub(super) fn all_rows(&self) -> Option<Vec<ThreadRow>> {
        let row = |(id, (name, prefix)): (&u32, &(Arc<str>, u32))| ThreadRow {
            id: *id,
            name: name.as_ref().to_owned(),
            prefix: *prefix,
        };
        collect_all(self.by_id.iter().map(row))
    }
}

/// The bytes of a thread that is known by name, and of a row.
const BYTES: usize = 192;
/// The divisor of the memory for threads: the known threads, and the rows, may each take the memory divided by this
/// number.
const SHARE: usize = 8;
