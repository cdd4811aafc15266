//! Keeps a layer from being entered while it works on the same thread.
//!
//! Takes the work of one callback; runs it, unless the thread is in another one. A value that is captured may write events or
//! open spans in its `Debug`, and an allocator may do so at any moment. Both would wait for a lock that their own thread holds. The
//! file does not know what the work is.

use std::cell::Cell;

thread_local! {
    /// True while a callback runs on this thread. Const and without `Drop`, so it works in destructors of other
    /// thread-locals.
    static IS_WORKING: Cell<bool> = const { Cell::new(false) };
}

/// Resets the mark when the work ends, also by a panic.
struct Working;

impl Drop for Working {
    #[inline]
    fn drop(&mut self) {
        IS_WORKING.set(false);
    }
}

/// Runs the work of a callback. Returns `None`, and runs nothing, if the thread is within another callback.
#[inline]
pub(crate) fn run_unless_working<R>(work: impl FnOnce() -> R) -> Option<R> {
    if IS_WORKING.replace(true) {
        return None;
    }
    let _working = Working;
    Some(work())
}
