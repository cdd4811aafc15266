//! Guards code that takes a lock or memory on the caller's thread against re-entrancy and against forks.
//!
//! A signal handler may interrupt such code and make a monitored call, which must not take the same lock, because it
//! would wait for itself for ever. And a fork in the middle of such code would leave the lock taken in the child, for
//! ever. Takes a closure; gives its result, or `None` for the interrupting call. A fork waits until no such code runs,
//! and such code waits while a fork is under way, both for a bounded time.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

thread_local! {
    /// Const and without Drop, so that an access is one load and works in destructors of other thread-locals.
    static RUNS_GUARDED: Cell<bool> = const { Cell::new(false) };
    /// True while calls on the thread are not recorded, because the thread is the recorder's own.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// True on the recorder's own thread, also while that thread makes calls like a thread of the program.
    static IS_CLAIMED: Cell<bool> = const { Cell::new(false) };
    /// True on the thread that forks.
    static IS_FORKER: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that run guarded code. Its partner is `FORKING`: each side raises its own before it looks at the
/// other's. All accesses are sequentially consistent, so at least one side sees the other's.
static GUARDED: AtomicU32 = AtomicU32::new(0);
/// True while the process is being forked.
static FORKING: AtomicBool = AtomicBool::new(false);

/// The pause between two checks of a thread that waits for a fork to end, and of a fork that waits for guarded code.
pub(crate) const FORK_PAUSE: Duration = Duration::from_micros(200);
/// The most pauses, 200 ms in all. Guarded code takes some microseconds, and a fork a few milliseconds.
pub(crate) const FORK_PAUSES_MAX: u32 = 1000;

/// Marks this thread as the recorder's own. Monitored calls on it, by an allocator of the program's, are not
/// recorded, because the step that makes the records would drain them and never end.
pub(crate) fn claim_thread() {
    IS_CLAIMED.set(true);
    OURS.set(true);
}

/// Runs a closure on the recorder's own thread as on one of the program's, whose calls are recorded. The cost of
/// a call is measured that way.
pub(crate) fn with_recording<R>(run: impl FnOnce() -> R) -> R {
    let before = OURS.replace(false);
    let result = run();
    OURS.set(before);
    result
}

/// Returns true on the recorder's own threads, except within [`with_recording`].
pub(crate) fn is_ours() -> bool {
    OURS.get()
}

/// Runs a closure, unless it would interrupt another closure that runs here on this thread.
pub(crate) fn run_guarded<R>(run: impl FnOnce() -> R) -> Option<R> {
    if RUNS_GUARDED.replace(true) {
        return None;
    }
    enter();
    let result = run();
    GUARDED.fetch_sub(1, Ordering::SeqCst);
    RUNS_GUARDED.set(false);
    Some(result)
}

/// Returns true if a closure of [`run_guarded`] runs on this thread.
pub(crate) fn is_guarded() -> bool {
    RUNS_GUARDED.get()
}

/// Runs a part of a guarded closure that takes long and that a fork need not wait for, because a child never waits for
/// a lock that this part takes. Outside of guarded code it runs the closure and does nothing else.
pub(crate) fn run_unguarded<R>(run: impl FnOnce() -> R) -> R {
    if !is_guarded() {
        return run();
    }
    GUARDED.fetch_sub(1, Ordering::SeqCst);
    let result = run();
    enter();
    result
}

/// Counts the calling thread among those that run guarded code, once a fork that is under way has ended.
fn enter() {
    for _ in 0..FORK_PAUSES_MAX {
        GUARDED.fetch_add(1, Ordering::SeqCst);
        // A fork waits for the recorder's own step, which therefore does not wait for the fork.
        if !is_forking() || IS_FORKER.get() || IS_CLAIMED.get() {
            return;
        }
        GUARDED.fetch_sub(1, Ordering::SeqCst);
        pause();
    }
    GUARDED.fetch_add(1, Ordering::SeqCst);
}

/// Waits a moment. The thread does not park, because that would consume a wake-up that the program meant for its own
/// thread.
pub(crate) fn pause() {
    #[allow(clippy::disallowed_methods, reason = "there is no event to wait for around a fork")]
    std::thread::sleep(FORK_PAUSE);
}

/// Notes that the calling thread begins to fork.
pub(crate) fn begin_fork() {
    IS_FORKER.set(true);
    FORKING.store(true, Ordering::SeqCst);
}

/// Notes that the fork is over, in the parent.
pub(crate) fn end_fork() {
    FORKING.store(false, Ordering::SeqCst);
    IS_FORKER.set(false);
}

/// Returns true while the process is being forked.
pub(crate) fn is_forking() -> bool {
    FORKING.load(Ordering::SeqCst)
}

/// Returns true if another thread runs guarded code.
pub(crate) fn is_guarded_elsewhere() -> bool {
    GUARDED.load(Ordering::SeqCst) > u32::from(RUNS_GUARDED.get())
}

/// Begins anew in the child of a fork, which has the calling thread only. Returns true if another thread was running
/// guarded code when it was forked, so that locks may be taken for ever.
pub(crate) fn begin_child() -> bool {
    let was_guarded = is_guarded_elsewhere();
    GUARDED.store(u32::from(RUNS_GUARDED.get()), Ordering::SeqCst);
    end_fork();
    was_guarded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interrupts_goes_without() {
        assert_eq!(run_guarded(|| run_guarded(|| 1)), Some(None));
        assert_eq!(run_guarded(|| 2), Some(2));
    }

    #[test]
    fn the_long_part_of_a_guarded_closure_still_keeps_interruptions_out() {
        assert_eq!(run_guarded(|| run_unguarded(|| run_guarded(|| 1))), Some(None));
        assert_eq!(run_guarded(|| 2), Some(2));
    }

    #[test]
    fn outside_of_guarded_code_the_long_part_takes_nobody_from_the_count() {
        // Other tests run guarded code at the same time. A count below zero would be the largest number.
        const THREADS_MAX: u32 = 10_000;
        assert!(run_unguarded(|| GUARDED.load(Ordering::SeqCst)) < THREADS_MAX);
    }
}
