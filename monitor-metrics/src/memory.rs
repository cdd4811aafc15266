//! The bytes that series hold, and the bytes that they may hold.
//!
//! The bound is a share of the recorder's memory. The recorder sets it whenever it asks for changes. When the bytes
//! reach the last known bound, the recorder is asked for the present one.

use std::sync::atomic::{AtomicUsize, Ordering};

use monitor_runtime::bridge;

/// The bytes of all series.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// The bytes that all series may hold, as the recorder last reported.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Takes bytes. Returns false, and takes none, if there is no room.
pub(crate) fn take(bytes: usize) -> bool {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    if held <= LIMIT.load(Ordering::Relaxed) {
        return true;
    }
    LIMIT.store(bridge::metrics_memory_max(), Ordering::Relaxed);
    let has_room = held <= LIMIT.load(Ordering::Relaxed);
    if !has_room {
        give_back(bytes);
    }
    has_room
}

/// Gives bytes back.
pub(crate) fn give_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

/// Returns the bytes that are held.
pub(crate) fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// Notes the bytes that may be held.
pub(crate) fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Sets the bound for a test. The tests of a process share it, so that it holds until the result is dropped.
#[cfg(test)]
pub(crate) fn set_limit_alone(bytes: usize) -> std::sync::MutexGuard<'static, ()> {
    static TESTS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let alone = crate::sync::lock(&TESTS);
    set_limit(bytes);
    alone
}
