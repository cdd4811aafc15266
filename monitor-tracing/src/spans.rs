//! The spans that are open, by their ids.
//!
//! Takes spans as they begin; gives them back to whoever enters, leaves or closes them, on any thread. Nothing but the
//! recorder's code runs under a lock, and each lock is held for less than a microsecond. The registry's own place for a layer's
//! data would allocate memory for each span and needs two locks for each access. The file does not know what happens to a span.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, TryLockError};

use monitor_runtime::bridge::Open;
use tracing_core::span::Id;

/// A span that is open.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) open: Open,
    /// The functions of the spans that it follows from.
    pub(crate) follows: Vec<String>,
}

/// The number of parts with a lock each, so that threads seldom meet at one; at most 256, because a byte selects one.
const PARTS: usize = 64;
/// The tries to get a lock, which is held for less than a microsecond, before it counts as lost.
const TRIES_MAX: usize = 100_000;
/// The lowest bit of a registry's id that tells the thread; those below tell the span's place among the spans of the thread.
const THREAD_SHIFT: u32 = 38;

/// The spans of one layer that are open.
#[derive(Debug)]
pub(crate) struct Spans(Box<[Part]>);

/// The spans of a part, in cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(Mutex<ById>);

type ById = HashMap<u64, Span, BuildHasherDefault<IdHasher>>;

/// Spreads the numbers of spans by one multiplication, because ids cannot be chosen by an attacker.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self((0..PARTS).map(|_| Part::default()).collect())
    }

    /// Adds a span.
    pub(crate) fn insert(&self, id: &Id, open: Open) {
        let Some(mut part) = self.part(id) else { return };
        let replaced = part.insert(id.into_u64(), Span { open, follows: Vec::new() });
        drop(part);
        // An id is not given out twice at a time; should it be, the earlier span ends as cancelled, without the lock.
        drop(replaced);
    }

    /// Runs a closure on an open span. Returns `None` if the span is not recorded.
    #[inline]
    pub(crate) fn access<R>(&self, id: &Id, run: impl FnOnce(&mut Span) -> R) -> Option<R> {
        self.part(id)?.get_mut(&id.into_u64()).map(run)
    }

    /// Removes a span that is closed.
    pub(crate) fn remove(&self, id: &Id) -> Option<Span> {
        self.part(id)?.remove(&id.into_u64())
    }

    /// Does the same, unless the part is locked.
    pub(crate) fn try_remove(&self, id: &Id) -> Option<Span> {
        self.0[place(id)].0.try_lock().ok()?.remove(&id.into_u64())
    }

    /// Locks the part of a span. Returns `None` if the lock is not released, because another thread held it when this process
    /// was forked: the child has no such thread, and would wait for ever.
    #[inline]
    fn part(&self, id: &Id) -> Option<MutexGuard<'_, ById>> {
        let part = &self.0[place(id)].0;
        for _ in 0..TRIES_MAX {
            match part.try_lock() {
                Ok(locked) => return Some(locked),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }
}

/// Returns the part for a span. Spans of different threads lie in different parts, as far as there are enough.
fn place(id: &Id) -> usize {
    let id = id.into_u64();
    let mixed = id ^ (id >> THREAD_SHIFT).wrapping_mul(7);
    usize::from(mixed.to_le_bytes()[0]) % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_a_fork_left_behind_does_not_stop_the_child() {
        let spans = Spans::new();
        let id = Id::from_u64(1);
        std::thread::scope(|scope| {
            // This thread keeps the lock of the part that holds `id`, as it does in the child of a fork whose parent held the lock.
            let locked = spans.part(&id);
            assert!(locked.is_some());
            assert!(
                scope
                    .spawn(|| spans.access(&id, |_| ()).is_none() && spans.remove(&id).is_none())
                    .join()
                    .is_ok()
            );
        });
        assert!(spans.part(&id).is_some());
    }
}
