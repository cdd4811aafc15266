//! A lock that may have been lost, because its owner is not there any more.
//!
//! Takes a mutex that is held for less than a microsecond at a time; gives its lock, or none if the owner does not release
//! it. The file does not know what the mutex protects.

use std::sync::{Mutex, MutexGuard, TryLockError};

use super::clock_os::monotonic_ns;

/// The time after which the lock counts as lost, in nanoseconds. Its owner may have to wait for a processor on a busy
/// machine, but not for that long.
const LOST_AFTER_NS: u64 = 100_000_000;

/// Locks a mutex that is held for less than a microsecond at a time. Returns `None` if the mutex is not released,
/// because another thread held it when this process was forked, or because this thread interrupted the code that holds
/// it: a wait for it would never end. The wait is bounded by time and not by attempts, because on a busy machine each
/// attempt takes as long as other programs keep the processor.
pub fn lock_unless_lost<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let mut since_ns = None;
    loop {
        match mutex.try_lock() {
            Ok(locked) => return Some(locked),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let now_ns = monotonic_ns();
                if now_ns.saturating_sub(*since_ns.get_or_insert(now_ns)) >= LOST_AFTER_NS {
                    return None;
                }
                std::thread::yield_now();
            }
        }
    }
}
