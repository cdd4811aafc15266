//! Forks without exec.
//!
//! The child of a fork has one thread, and every lock that another thread held stays locked in it for ever: SQLite's
//! among them. So a fork waits, for a bounded time, until the collector is between two steps. A child that was forked in
//! the middle of a step does not record. Otherwise it starts a recorder of its own, with locks and channels of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::ring::mapping::leave_to_parent;
use crate::thread::local::forget_current;

/// The number of generations that record. A process further down does not.
pub(super) const GENERATIONS: usize = 64;

/// The number of forks between the first process and this one.
static GENERATION: AtomicUsize = AtomicUsize::new(0);
/// True while the collector is in a step. Its partner is `FORKING`: each side raises its own flag before it looks at the
/// other's. All accesses are sequentially consistent, so at least one side sees the other's flag.
static STEPPING: AtomicBool = AtomicBool::new(false);
/// True while the process is being forked.
static FORKING: AtomicBool = AtomicBool::new(false);

/// Returns the number of forks between the first process and this one.
pub(super) fn generation() -> usize {
    GENERATION.load(Ordering::Relaxed)
}

/// Prepares for forks of this process. Returns false if the platform does not allow that.
pub(super) fn prepare_for_forks() -> bool {
    crate::platform::process::at_fork(before, in_parent, in_child)
}

/// Runs a step of the collector that no fork interrupts.
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

/// The number of pauses that a fork waits at most: 200 ms. A step takes a few milliseconds unless the disk hangs.
const FORK_WAIT_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_micros(200);

extern "C" fn before() {
    FORKING.store(true, Ordering::SeqCst);
    for _ in 0..FORK_WAIT_MAX {
        if !STEPPING.load(Ordering::SeqCst) {
            return;
        }
        // The thread does not park, because that would consume a wake-up that the program meant for its own thread.
        #[expect(clippy::disallowed_methods, reason = "there is no event to wait for in a handler of fork")]
        std::thread::sleep(PAUSE);
    }
}

extern "C" fn in_parent() {
    FORKING.store(false, Ordering::SeqCst);
}

/// Begins a new generation in the child: the thread's state, the recorder and the ring file are the parent's.
extern "C" fn in_child() {
    leave_to_parent();
    let was_stepping = STEPPING.swap(false, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
    let generations = if was_stepping { GENERATIONS } else { 1 };
    GENERATION.fetch_add(generations, Ordering::Relaxed);
    forget_current();
}
