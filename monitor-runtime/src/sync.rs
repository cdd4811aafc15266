//! The atomics that the lock-free parts are written over: the standard library's. The package in
//! `tests/loom` compiles the same source files over atomics that try all interleavings, by putting a
//! module of this name in its own crate.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, a poisoned one as well: a panic of the recorder's own leaves nothing half changed under a
/// lock, because whatever is done under one is a few moves of values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
