//! A poll of an async call on a thread: the thread, its context before the poll, and the poll's start.
//!
//! Takes the state of the thread; gives it back as it was. A poll stays where it was built, because a copy would wait
//! until the processor has combined the narrower stores. The file does not know the call.

use super::context::Context;
use super::decision::take_state;
use crate::platform::clock::Ticks;
use crate::ring::frames;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{CallerState, ThreadState};

/// The place of a poll under way on this thread; empty for a poll of a call that passes through. Its drop restores the
/// context that the thread had before.
#[derive(Debug)]
pub(super) struct Polled(pub(super) Option<Poll>);

/// A poll of a call that does not pass through.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) thread: &'static ThreadState,
    before: Context,
    pub(super) caller_state: CallerState,
    pub(super) since: Ticks,
    pub(super) special: PollSpecial,
    /// With [`PollSpecial::SHOWS_ARGUMENTS`], the place in the scratch memory at which a copy of the call's arguments
    /// begins, for readers of the ring file.
    pub(super) shown_at: usize,
}

/// The flags that set a poll apart from a usual one, for which the word is zero.
///
/// | bits | content |
/// |---|---|
/// | 2 | a copy of the call's arguments is in the scratch memory during this poll |
/// | 1 | the thread's state was taken for this poll, which returns it |
/// | 0 | the poll is not timed, and no frame shows it |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PollSpecial(u64);

impl PollSpecial {
    pub(super) const NONE: Self = Self(0);
    pub(super) const UNTIMED: Self = Self(1);
    pub(super) const RETURNS_STATE: Self = Self(1 << 1);
    pub(super) const SHOWS_ARGUMENTS: Self = Self(1 << 2);

    #[inline]
    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
    #[inline]
    pub(super) const fn set(&mut self, flag: Self) {
        self.0 |= flag.0;
    }
}

impl Polled {
    /// Returns a place without a poll.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Ends the poll, if there is one. Returns the thread, if it keeps its state.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn leave(&mut self) -> Option<&'static ThreadState> {
        let poll = self.0.as_ref()?;
        let thread = if poll.special == PollSpecial::NONE {
            poll.restore();
            Some(poll.thread)
        } else {
            poll.leave_flagged()
        };
        self.0 = None;
        thread
    }
}

impl Drop for Polled {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        self.leave();
    }
}

impl Poll {
    /// Begins a poll of a call of this function. The call's context is not entered yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(thread: &'static ThreadState, id: u32) -> Self {
        let (before, caller_state) = (Context::from_state(thread), CallerState::enter(thread, id));
        Self { thread, before, caller_state, since: 0, special: PollSpecial::NONE, shown_at: 0 }
    }

    /// Ends a poll with flags. Returns the thread, if it keeps its state.
    #[cold]
    #[inline(never)]
    fn leave_flagged(&self) -> Option<&'static ThreadState> {
        if self.special.has(PollSpecial::SHOWS_ARGUMENTS) {
            scratch::pop_copy(self.shown_at);
        }
        if !self.special.has(PollSpecial::UNTIMED) {
            self.restore();
        }
        if self.special.has(PollSpecial::RETURNS_STATE) {
            local::release(self.thread);
            return None;
        }
        Some(self.thread)
    }

    /// Restores the context that the thread had before the poll, and takes the call off the stack of calls under way.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn restore(&self) {
        self.before.enter(self.thread);
        self.caller_state.restore(self.thread);
        frames::pop(self.thread.page.words);
    }
}

/// Returns the calling thread's state, taken if necessary, with its lease. Returns `None` if there is no state for the
/// thread.
pub(super) fn leased_state() -> Option<(&'static ThreadState, Lease)> {
    match local::current() {
        Some(thread) => Some((thread, Lease::Thread)),
        None => take_state(),
    }
}
