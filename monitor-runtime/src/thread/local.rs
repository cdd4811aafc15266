//! What a thread finds of its own at hand, behind one thread-local word each.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::state::{SUPPRESSED, ThreadState};
use crate::platform::reentrancy::as_the_programs;
use crate::thread::countdown::{Countdown, Table};
use crate::thread::scratch::Arena;

thread_local! {
    /// Const and without Drop: an access is one load, and it works in destructors of other thread-locals.
    pub(super) static HERE: Here =
        const { Here { state: Cell::new(None), countdowns: Cell::new(None), arena: Cell::new(None) } };
    /// Gives the state back when the thread ends.
    pub(super) static EXIT: Exit = const { Exit };
}

/// What a thread finds of its own at hand.
pub(super) struct Here {
    state: Cell<Option<&'static ThreadState>>,
    /// The table of its state's countdowns, where one step leads to it.
    countdowns: Cell<Option<&'static Table>>,
    /// Its writer of captured values, while that is not lent.
    arena: Cell<Option<Arena>>,
}

impl Here {
    pub(super) fn set(&self, state: Option<&'static ThreadState>) {
        self.countdowns.set(state.and_then(|state| state.countdowns.table()));
        self.state.set(state);
    }
}

pub(super) struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        if let Some(state) = current() {
            state.home.release(state);
        }
    }
}

/// The calling thread's state, if it has one.
// This and the next are not always inlined: they must have been compiled before what calls them, else `with` stays
// a call in a cold block.
#[inline]
pub(crate) fn current() -> Option<&'static ThreadState> {
    HERE.with(|here| here.state.get())
}

/// Where the calling thread's writer lies.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn with_arena<R>(run: impl FnOnce(&Cell<Option<Arena>>) -> R) -> R {
    HERE.with(|here| run(&here.arena))
}

/// The calling thread's table of countdowns, if it has one.
#[inline]
pub(crate) fn countdown_table() -> Option<&'static Table> {
    HERE.with(|here| here.countdowns.get())
}

/// The calling thread's countdown of a function, if it was used before.
#[inline]
pub(crate) fn countdown(site: u32) -> Option<&'static Countdown> {
    HERE.with(|here| here.countdowns.get())?.of(site)
}

/// The calling thread's countdown of a function. `None` for want of memory or beyond the bound.
pub(crate) fn countdown_of(thread: &'static ThreadState, site: u32) -> Option<&'static Countdown> {
    countdown(site).or_else(|| {
        let table = thread.countdowns.grow(site)?;
        HERE.with(|here| here.countdowns.set(Some(table)));
        table.of(site)
    })
}

/// Makes monitored calls on this thread pass through while user code runs for a capture. Returns the span that was
/// current, for [`end_suppression`]; none on a thread without a state.
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

/// Runs it with a state for the recorder's own thread, which has none otherwise and keeps none.
pub(crate) fn borrowed<R>(run: impl FnOnce() -> R) -> R {
    let result = as_the_programs(run);
    if let Some(state) = current() {
        state.home.release(state);
    }
    result
}

/// Forgets the calling thread's state without giving it back: it is the parent's, and this is the
/// child of a fork.
pub(crate) fn forget_current() {
    HERE.with(|here| here.set(None));
}
