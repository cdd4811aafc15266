//! The parts that a thread finds by itself, each behind one thread-local word.
//!
//! Takes the state that a thread is given; gives this state, its countdowns and its scratch writer to the calls on the
//! thread, and gives the state back when the thread ends. The words always belong to one and the same state. The file
//! does not know where a state comes from.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::countdown::{Countdown, CountdownTable};
use super::state::{SUPPRESSED, ScratchWriter, ThreadState};
use crate::platform::fork_mark::{is_marked, notice};
use crate::platform::reentrancy::{run_guarded, with_recording};
use crate::sync::lock;

thread_local! {
    /// Const and without `Drop`: an access is one load, and it works in destructors of other thread-locals.
    static LOCAL: Local =
        const { Local { state: Cell::new(None), countdowns: Cell::new(None), scratch: Cell::new(None) } };
    /// Gives the state back when the thread ends.
    static EXIT: ReleaseOnExit = const { ReleaseOnExit };
}

/// The parts that a thread finds by itself.
struct Local {
    state: Cell<Option<&'static ThreadState>>,
    /// The table of the state's countdowns, which one step leads to from here.
    countdowns: Cell<Option<&'static CountdownTable>>,
    /// The writer of captured values, while it is not lent.
    scratch: Cell<Option<ScratchWriter>>,
}

impl Local {
    fn set(&self, state: Option<&'static ThreadState>) {
        self.countdowns.set(state.and_then(|state| state.countdowns.table()));
        self.state.set(state);
    }
}

struct ReleaseOnExit;

impl Drop for ReleaseOnExit {
    fn drop(&mut self) {
        if let Some(state) = current() {
            state.note_thread_end();
            release(state);
        }
    }
}

/// The time for which a state was taken for the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Until the thread's end, which gives the state back.
    Thread,
    /// For one call, which gives the state back at its end, because the thread is ending already.
    Call,
}

/// Returns the lease of a state that the calling thread takes now.
pub(super) fn lease() -> Lease {
    if EXIT.try_with(|_| ()).is_ok() { Lease::Thread } else { Lease::Call }
}

/// Makes a state the calling thread's own, with the scratch writer that lies with it. A thread of a forked process may
/// have another writer, into memory of its parent's ring file, which is left.
pub(super) fn adopt(state: &'static ThreadState) {
    take_scratch();
    let writer = lock(&state.scratch).take();
    state.has_scratch.store(writer.is_some(), Ordering::Relaxed);
    if let Some(writer) = writer {
        writer.close(0);
        put_scratch(writer);
    }
    LOCAL.with(|local| local.set(Some(state)));
}

/// Gives back a state that the calling thread no longer uses, with its scratch writer. Records in its ring stay there,
/// in order, before those of the next owner.
pub(crate) fn release(state: &'static ThreadState) {
    // The list may grow, and an allocator of the program's may make a monitored call that asks for a state.
    run_guarded(|| {
        LOCAL.with(|local| local.set(None));
        if let Some(writer) = take_scratch() {
            *lock(&state.scratch) = Some(writer);
        }
        state.home.release_state(state.index);
    });
}

/// Returns the calling thread's state; `None` if the thread has not recorded yet.
// This and the next two functions are not `inline(always)`: they must have been compiled before their callers, else
// `with` stays a call in a cold block.
#[inline]
pub(crate) fn current() -> Option<&'static ThreadState> {
    if !is_marked() {
        // In the child of a fork, this forgets the state of the parent.
        notice();
    }
    LOCAL.with(|local| local.state.get())
}

/// Does what [`current`] does, but returns `None` also in a process that was not marked yet, so that a caller with a slower
/// way to go needs no function call here.
#[inline]
pub(crate) fn current_if_marked() -> Option<&'static ThreadState> {
    if is_marked() { LOCAL.with(|local| local.state.get()) } else { None }
}

/// Takes the calling thread's scratch writer; `None` if there is none, or it is lent.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn take_scratch() -> Option<ScratchWriter> {
    LOCAL.with(|local| local.scratch.take())
}

/// Puts the calling thread's scratch writer back.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn put_scratch(writer: ScratchWriter) {
    LOCAL.with(|local| local.scratch.set(Some(writer)));
}

/// Returns the calling thread's table of countdowns, if it has one.
#[inline]
pub(crate) fn countdown_table() -> Option<&'static CountdownTable> {
    LOCAL.with(|local| local.countdowns.get())
}

/// Returns the calling thread's countdown of a function; `None` if it was not used before.
#[inline]
pub(crate) fn countdown(site: u32) -> Option<Countdown> {
    LOCAL.with(|local| local.countdowns.get())?.get(site)
}

/// Returns the calling thread's countdown of a function, made on first use; `None` for want of memory or beyond the
/// bound.
pub(crate) fn make_countdown(thread: &'static ThreadState, site: u32) -> Option<Countdown> {
    countdown(site).or_else(|| {
        let table = thread.countdowns.grow(site, thread.take_countdowns(), thread.home.accountant)?;
        LOCAL.with(|local| local.countdowns.set(Some(table)));
        table.get(site)
    })
}

/// Makes monitored calls on this thread pass through while user code runs for a capture. Returns the span that was
/// current, for [`end_suppression`]; `None` on a thread without a state.
#[inline]
pub(crate) fn suppress() -> Option<u64> {
    let thread = current()?;
    let before = thread.current.load(Ordering::Relaxed);
    thread.set_current(SUPPRESSED);
    Some(before)
}

/// Ends what [`suppress`] began.
#[inline]
pub(crate) fn end_suppression(before: Option<u64>) {
    if let (Some(before), Some(thread)) = (before, current()) {
        thread.set_current(before);
    }
}

/// Runs a closure on the recorder's own thread as if the thread were the program's, and gives back the state that the
/// closure took. The recorder's thread has no state otherwise.
pub(crate) fn with_borrowed_state<R>(run: impl FnOnce() -> R) -> R {
    let result = with_recording(run);
    if let Some(state) = current() {
        release(state);
    }
    result
}

/// Forgets the calling thread's state without giving it back, in the child of a fork: the state belongs to the parent.
pub(crate) fn forget_current() {
    LOCAL.with(|local| local.set(None));
}
