//! The end of an open call.
//!
//! Takes the words of a call that was left; gives its record, or a count if the call was sampled out. The common ends
//! read the words one by one, without the [`AsyncCall`] that the general end takes. Each call ends in exactly one of
//! these ways. The file does not know how the call was entered.

use std::sync::atomic::Ordering;

use super::async_call::{AsyncCall, write_ok};
use super::async_state::State;
use super::direct;
use super::open::{ASSUMED, LOOKED_AT, Open};
use super::publish::count;
use super::timed::remember_durations;
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::platform::coarse_clock::coarse;
use crate::record::{Outcome, place, sizes_word};
use crate::thread::local;
use crate::thread::state::ThreadState;
use crate::thread::tally::{Spent, Unrecorded};

impl Open {
    /// Ends the call: as `panic` if a panic unwinds or has unwound through it, else as `error` if [`Self::fail`] was
    /// called, else as `ok`. The record goes into the ring of this thread.
    #[inline]
    pub fn end(&self) {
        let is_plain = !self.has_cold.load(Ordering::Relaxed)
            && self.since.load(Ordering::Relaxed) == 0
            && !std::thread::panicking();
        if is_plain { self.end_ok() } else { self.end_cold(None) }
    }

    /// Ends the call as `cancelled`, for a call whose end was not reported.
    pub fn cancel(&self) {
        self.end_cold(Some(Outcome::Cancelled));
    }

    #[inline]
    fn end_ok(&self) {
        if self.state().is_counted() && coarse() == self.start() {
            return self.end_counted();
        }
        let thread = local::current_if_marked();
        let end = self.end_time(thread);
        let is_over = |thread: &ThreadState| self.state() == State::SAMPLED && self.end_sampled(thread, end);
        if !thread.is_some_and(is_over) {
            self.end_unless_sampled(thread, end);
        }
        self.vacate(thread);
    }

    /// Ends an `ok` call that is not simply recorded.
    #[inline(never)]
    fn end_unless_sampled(&self, thread: Option<&'static ThreadState>, end: Ticks) {
        let is_over = |thread| self.state() == State::UNSAMPLED && self.end_timed(thread, end);
        if !thread.is_some_and(is_over) {
            self.end_with_decision(end);
        }
    }

    /// Ends a sampled call and returns true. Returns false, and changes nothing, if the ring is at a limit.
    #[inline]
    fn end_sampled(&self, thread: &ThreadState, end: Ticks) -> bool {
        let is_over = write_ok(thread, self.site.load(Ordering::Relaxed), (self.start(), end), |room| {
            room.put(place::SPAN, self.span.load(Ordering::Relaxed));
            room.put(place::PARENT, self.parent.load(Ordering::Relaxed));
            room.put(place::TRACE, self.trace.load(Ordering::Relaxed));
            room.put(place::SIZES, sizes_word(self.context().weight, 0, 0));
            let (busy, callees) = self.busy();
            Spent { busy, self_ticks: busy.saturating_sub(callees), ..Spent::default() }
        });
        if is_over {
            self.leave_slot(thread);
        }
        is_over
    }

    /// Ends an unsampled call and returns true. Returns false, and changes nothing, if the call was slow.
    #[inline]
    fn end_timed(&self, thread: &'static ThreadState, end: Ticks) -> bool {
        let Some(site) = self.site() else { return false };
        let duration = elapsed(self.start(), end);
        if duration >= site.slow_ticks.load(Ordering::Relaxed) {
            return false;
        }
        self.leave_slot(thread);
        let (busy, callees) = self.busy();
        let self_ticks = busy.saturating_sub(callees);
        let current = thread.current.load(Ordering::Relaxed);
        thread.suppress();
        // The remembered durations are those of calls that never waited.
        let durations = local::countdown_table().and_then(|table| table.durations(site.id()));
        if let Some(durations) = durations.filter(|_| busy == duration) {
            durations.count_sampled_out(duration, self_ticks, false);
        } else {
            let spent = Spent { duration, self_ticks, busy, is_nested: false };
            count(thread, site, Outcome::Ok, Unrecorded::SampledOut, spent);
            remember_durations(thread, site);
        }
        thread.restore(current);
        true
    }

    /// Ends a call that was counted when it began, and that was not slow.
    fn end_counted(&self) {
        let thread = local::current();
        if let Some(thread) = thread {
            self.leave_slot(thread);
        }
        self.vacate(thread);
    }

    /// Ends an `ok` call for which no faster end fits.
    #[cold]
    #[inline(never)]
    fn end_with_decision(&self, end: Ticks) {
        if let Some(mut call) = self.to_call(self.busy(), None) {
            AsyncCall::end(&mut call, end, Outcome::Ok, None);
        }
    }

    /// Gives the call's slot among the calls in flight back, if the call has one.
    #[inline]
    fn leave_slot(&self, thread: &ThreadState) {
        let slot = self.slot.load(Ordering::Relaxed);
        if slot != 0 {
            let span = self.shown_span();
            thread.home.suspended.give_back(&thread.spare_slots, slot, self.start(), span);
        }
    }

    /// Returns the moment at which the call ends on this thread, and notes whether the call was direct.
    #[inline]
    pub(super) fn end_time(&self, thread: Option<&ThreadState>) -> Ticks {
        let left = self.left.load(Ordering::Relaxed);
        let is_next = |thread: &ThreadState| {
            self.is_at_home(thread) && thread.last_span() == self.left_span.load(Ordering::Relaxed)
        };
        let is_next = left != 0 && thread.is_some_and(is_next);
        let course = self.course.load(Ordering::Relaxed);
        if course == ASSUMED && is_next {
            direct::note(self.site.load(Ordering::Relaxed), true);
            return left;
        }
        self.end_time_read(course, left, is_next)
    }

    /// Reads the moment at which the call ends, and notes whether the call was direct.
    #[inline(never)]
    fn end_time_read(&self, course: u32, left: Ticks, is_next: bool) -> Ticks {
        let now = counter();
        let is_direct = course == LOOKED_AT && is_next && direct::is_gap_short(elapsed(left, now));
        direct::note(self.site.load(Ordering::Relaxed), is_direct);
        now
    }
}
