//! Visits of an open call: the times for which it is entered on a thread. Also the parts of an open call that few calls
//! need.
//!
//! Takes the state of a thread; gives the context that the thread had before the visit, and the time that has passed.
//! The file does not know the call.

use super::async_values::Values;
use super::captured::Captured;
use super::context::Context;
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::thread::state::{CallerState, ThreadState};

/// The parts of an open call that few calls need. A lock guards them, unlike the words of the call.
#[derive(Debug)]
pub(super) struct ColdState {
    /// The visits under way, except that of the thread that began the call.
    pub(super) visits: Vec<Visit>,
    /// The busy time on other threads, and the part of it that was spent in callees.
    pub(super) busy: Ticks,
    pub(super) callees: Ticks,
    pub(super) values: Option<Box<Values>>,
    /// The text of the failure, as a token.
    pub(super) failure: Option<Captured>,
    /// True once a panic has unwound through the call.
    pub(super) has_panicked: bool,
    /// True if the call began, or was entered, while its thread unwound. An end in the same panic then does not mean
    /// that the call panicked.
    pub(super) is_in_unwinding: bool,
}

impl ColdState {
    pub(super) const fn none() -> Self {
        Self {
            visits: Vec::new(),
            busy: 0,
            callees: 0,
            values: None,
            failure: None,
            has_panicked: false,
            is_in_unwinding: false,
        }
    }
}

/// A time for which an open call is entered on a thread.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) thread: &'static ThreadState,
    /// The thread's context around the visit.
    pub(super) before: Context,
    pub(super) caller_state: CallerState,
    /// The moment at which the visit began; 0 for a visit that is not timed, because another visit of the call is
    /// timed.
    pub(super) since: Ticks,
}

impl Visit {
    /// Begins a visit of a call of this function. The call's context is not entered, and its time does not run yet.
    #[inline]
    pub(super) fn begin(thread: &'static ThreadState, id: u32) -> Self {
        let (before, caller_state) = (Context::from_state(thread), CallerState::enter(thread, id));
        Self { thread, before, caller_state, since: 0 }
    }

    /// Ends the time of a timed visit. Returns the time, and the part of it that was spent in callees.
    #[inline]
    pub(super) fn end_time(&self) -> (Ticks, Ticks) {
        let busy = elapsed(self.since, counter());
        (busy, self.caller_state.leave(self.thread, busy))
    }
}
