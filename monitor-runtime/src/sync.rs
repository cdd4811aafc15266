//! Re-exports the standard library's atomics for the lock-free parts, and locks mutexes. The package in
//! `tests/loom` compiles the same source files over atomics that try all interleavings, because it has a
//! module of this name in its own crate.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also a poisoned one. A panic of the recorder's own leaves no data half changed, because the
/// code under a lock only moves a few values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
