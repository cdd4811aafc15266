//! Forking without exec. The child has one thread, and whatever lock another thread held stays locked
//! in it for ever: SQLite's among them. So a fork waits, for a bounded time, until the collector is
//! between two steps; a child that was forked in the middle of one does not record.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::ring::mapping::leave_to_parent;
use crate::thread::pool::forget_current;

/// Forks of forks that record; a process further down does not.
pub(super) const GENERATIONS: usize = 16;

static GENERATION: AtomicUsize = AtomicUsize::new(0);
/// The collector is in a step. Partner: `FORKING`; each side raises its own flag before it looks at
/// the other's, so at least one of them sees the other: all accesses are sequentially consistent.
static STEPPING: AtomicBool = AtomicBool::new(false);
static FORKING: AtomicBool = AtomicBool::new(false);

/// How many forks lie between the first process and this one.
pub(super) fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// Has forks of this process prepared for. False where that cannot be had.
pub(super) fn prepare_for_forks() -> bool {
    crate::platform::process::at_fork(before, in_parent, in_child)
}

/// Runs a step of the collector, which no fork interrupts.
pub(super) fn between_forks<R>(step: impl FnOnce() -> R) -> R {
    loop {
        STEPPING.store(true, Ordering::SeqCst);
        if !FORKING.load(Ordering::SeqCst) {
            break;
        }
        STEPPING.store(false, Ordering::SeqCst);
        std::thread::park_timeout(PAUSE);
    }
    let result = step();
    STEPPING.store(false, Ordering::SeqCst);
    result
}

/// A step takes a few milliseconds unless the disk hangs; a fork is held up for 200 ms at most.
const FORK_WAIT_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_micros(200);

extern "C" fn before() {
    FORKING.store(true, Ordering::SeqCst);
    for _ in 0..FORK_WAIT_MAX {
        if !STEPPING.load(Ordering::SeqCst) {
            return;
        }
        // Parking would take the program's own wake-up for ours.
        #[expect(clippy::disallowed_methods, reason = "there is no event to wait for in a handler of fork")]
        std::thread::sleep(PAUSE);
    }
}

extern "C" fn in_parent() {
    FORKING.store(false, Ordering::SeqCst);
}

/// The thread's state, the recorder and the ring file are the parent's.
extern "C" fn in_child() {
    leave_to_parent();
    let was_stepping = STEPPING.swap(false, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
    let generations = if was_stepping { GENERATIONS } else { 1 };
    GENERATION.fetch_add(generations, Ordering::Relaxed);
    forget_current();
}
