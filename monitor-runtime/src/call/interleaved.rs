//! Calls of stackful coroutines, which switch to another stack while a call is under way.
//!
//! Takes a call that ends after the call around it has ended, which shows that their stacks interleave; gives its
//! record. From then on nobody can tell which calls of this thread are below which, so each is recorded by itself:
//! without a parent rather than with a wrong one, and without arguments, because the values of calls are kept as a
//! stack in the thread's scratch memory, where interleaved calls overwrite each other's. Counts stay exact, and results
//! and the texts of errors are captured. The file does not know coroutines.

use std::sync::atomic::Ordering;

use super::decision::{Decision, decide};
use super::entered::{Entered, Slot, Special, State, Times, Values};
use super::publish::{count, publish};
use super::slow_path::counted_interval;
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::record::{Header, Kept, NOT_KEPT, Outcome, SELF_TICKS_MAX, Word};
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{INTERLEAVED, NO_SPAN, ThreadState, is_reserved};
use crate::thread::tally::{Spent, Unrecorded};

impl Slot {
    /// Enters a call on a thread on which calls interleave.
    #[cold]
    #[inline(never)]
    pub(super) fn open_detached(
        &mut self,
        site: &'static CallSite,
        thread: &'static ThreadState,
        lease: Lease,
    ) -> State {
        thread.suppress();
        let mut special = match decide(site, thread, NO_SPAN, 1.0) {
            Decision::Pass => {
                thread.restore(INTERLEAVED);
                if lease == Lease::Call {
                    local::release(thread);
                }
                return State::NONE;
            }
            Decision::Follow => Special::NONE,
            Decision::Sampled(weight) | Decision::SampledAlone(weight) => Special::weighing(weight),
            Decision::First => Special::FIRST,
            Decision::Unsampled | Decision::Timed | Decision::TimedAlone => Special::UNSAMPLED,
        };
        special.set(Special::DETACHED);
        if lease == Lease::Call {
            special.set(Special::RETURNS_STATE);
        }
        let span = thread.next_span();
        thread.restore(INTERLEAVED);
        let entered = self.0.insert(Entered { span, special, ..Entered::blank(site, thread) });
        entered.start = counter();
        State::ENTERED
    }
}

impl Entered {
    /// Returns true if the call around this one has ended before it, or if calls interleave on the thread. A call is
    /// not late if its callee never ended because the callee was jumped over: the call's own end restores what the
    /// callee has changed.
    #[inline]
    pub(super) fn is_late(&self) -> bool {
        let current = self.thread.current.load(Ordering::Relaxed);
        let is_older = || !is_reserved(current) && current & !NOT_KEPT < self.span;
        current == INTERLEAVED || self.span != NO_SPAN && is_older()
    }

    /// Forgets the values that were captured before, which other calls may have overwritten.
    pub(super) fn drop_values(&mut self) {
        self.special = self.special.cleared_of(Special::HAS_VALUES);
        self.values = Values::default();
        self.scratch.take().into_iter().for_each(scratch::put_back);
    }

    /// Ends a late call. `values` holds only its last value.
    #[cold]
    #[inline(never)]
    pub(super) fn end_late(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, special, .. } = *self;
        thread.suppress();
        if !special.is_detached() && !special.is_counted() {
            frames::pop(thread.page.words);
        }
        let (start, end) =
            if special.is_counted() { counted_interval(self.start, end) } else { (self.start, end) };
        let duration = elapsed(start, end);
        // The time that was spent in callees is not known.
        let self_ticks = duration.min(SELF_TICKS_MAX);
        let times = Times { duration, self_ticks, is_nested: false };
        let is_fast = duration < site.slow_ticks.load(Ordering::Relaxed);
        if special.is_unsampled() && outcome == Outcome::Ok && is_fast {
            // A counted call was counted at its entry.
            if !special.is_counted() {
                let spent = Spent { duration, self_ticks, busy: duration, is_nested: false };
                count(thread, site, outcome, Unrecorded::SampledOut, spent);
            }
        } else {
            if special.is_counted() {
                local::countdown(site.id()).inspect(|countdown| countdown.note_recorded());
            }
            let (kept, weight) = match outcome {
                Outcome::Ok if special.is_first() => (Kept::First, 1.0),
                Outcome::Ok if special.is_unsampled() => (Kept::Slow, 1.0),
                Outcome::Ok => (Kept::Sampled, special.own_weight().unwrap_or(1.0)),
                _ => (Kept::Failed, 1.0),
            };
            let header = self.header(outcome, kept, weight, times);
            let alone = Header { start, parent: NO_SPAN, trace: header.span, ..header };
            // A call that captured values earlier leaves none, because its last value cannot be distinguished from
            // them.
            let values = if special.has_values() && !self.has_last_value_alone() { &[] } else { values };
            let header =
                if values.is_empty() { Header { args_bytes: 0, fields_bytes: 0, ..alone } } else { alone };
            publish(thread, &header.encode(values.len()), values);
        }
        thread.begin_interleaving();
        if special.returns_state() {
            local::release(thread);
        }
    }

    /// Returns true if no arguments or fields were captured before the last value.
    fn has_last_value_alone(&self) -> bool {
        self.values.args_bytes() == 0 && self.values.fields_bytes() == 0
    }
}
