//! Re-exports what the lock-free parts are built from. `tests/loom` compiles the same source files over types that try all
//! interleavings.

use std::sync::PoisonError;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks a mutex, also a poisoned one. Code under a lock of this package leaves no value half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
