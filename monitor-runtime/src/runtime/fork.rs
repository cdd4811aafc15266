//! Forks without exec.
//!
//! The child of a fork has one thread, and every lock that another thread held stays locked in it for ever: SQLite's
//! among them. So a fork waits, for a bounded time, until the collector is between two steps and no thread is in code
//! that takes a lock of the recorder's. A child that was forked in the middle of either does not record. Otherwise it
//! starts a recorder of its own, with locks and channels of its own. A fork that bypasses the C library waits for
//! nothing; its child notices the fork, because it lacks a mark that its parent has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::platform::descriptor::close_all;
use crate::platform::fork_mark;
use crate::platform::reentrancy::{
    FORK_PAUSE, FORK_PAUSES_MAX, begin_child, begin_fork, end_fork, is_forking, is_guarded_elsewhere, pause,
};
use crate::ring::mapping::leave_to_parent;
use crate::site::forget_passed;
use crate::thread::local::forget_current;

/// The number of generations that record. A process with more forks behind it does not.
pub(super) const GENERATIONS: usize = 64;

/// The number of forks between the first process and this one.
static GENERATION: AtomicUsize = AtomicUsize::new(0);
/// True while the collector is in a step. Its partner is the flag of a fork under way: each side raises its own flag before
/// it looks at the other's. All accesses are sequentially consistent, so at least one side sees the other's flag.
static STEPPING: AtomicBool = AtomicBool::new(false);

/// Returns the number of forks between the first process and this one.
pub(super) fn generation() -> usize {
    fork_mark::notice_by_pid();
    GENERATION.load(Ordering::Relaxed)
}

/// Prepares for forks of this process. It comes before the first lock that a child might find taken.
pub(super) fn prepare_for_forks() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if fork_mark::is_marked() {
        return;
    }
    // The mark comes first: a child that is forked before the handlers are installed notices the fork by it.
    fork_mark::prepare(begin_generation);
    if !REGISTERED.swap(true, Ordering::SeqCst) {
        crate::platform::process::at_fork(prepare_fork, in_parent, in_child);
    }
}

/// Runs a step of the collector. The step begins while no fork is under way, and a fork waits for the end of the step,
/// for a bounded time.
pub(super) fn between_forks<R>(step: impl FnOnce() -> R) -> R {
    loop {
        STEPPING.store(true, Ordering::SeqCst);
        if !is_forking() {
            break;
        }
        STEPPING.store(false, Ordering::SeqCst);
        std::thread::park_timeout(FORK_PAUSE);
    }
    let result = step();
    STEPPING.store(false, Ordering::SeqCst);
    result
}

extern "C" fn prepare_fork() {
    begin_fork();
    for _ in 0..FORK_PAUSES_MAX {
        if !STEPPING.load(Ordering::SeqCst) && !is_guarded_elsewhere() {
            return;
        }
        pause();
    }
}

extern "C" fn in_parent() {
    end_fork();
}

extern "C" fn in_child() {
    fork_mark::note_process();
    begin_generation();
}

/// Begins a new generation in the child: the thread's state, the recorder and the ring file are left to the parent.
/// Descriptors are closed, because locks of the parent's belong to the open files and would outlive the parent.
fn begin_generation() {
    leave_to_parent();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    close_all();
    forget_passed();
    let was_stepping = STEPPING.swap(false, Ordering::SeqCst);
    let was_guarded = begin_child();
    let generations = if was_stepping || was_guarded { GENERATIONS } else { 1 };
    GENERATION.fetch_add(generations, Ordering::Relaxed);
    forget_current();
}
