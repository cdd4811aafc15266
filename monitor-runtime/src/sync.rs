//! Re-exports the standard library's atomics for the lock-free parts, and locks mutexes. The package in
//! `tests/loom` compiles the same source files over atomics that try all interleavings, because it has a
//! module of this name in its own crate.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Locks a mutex, also a poisoned one. A panic of the recorder's own leaves no data half changed, because the
/// code under a lock only moves a few values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of attempts to get a lock that is never held for more than a microsecond. After these the lock counts as
/// lost.
const TRIES_MAX: usize = 100_000;

/// Locks a mutex that is held for less than a microsecond at a time. Returns `None` if the mutex is not released,
/// because another thread held it when this process was forked, or because this thread interrupted the code that holds
/// it: a wait for it would never end.
pub fn lock_unless_lost<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    for _ in 0..TRIES_MAX {
        match mutex.try_lock() {
            Ok(locked) => return Some(locked),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    None
}
