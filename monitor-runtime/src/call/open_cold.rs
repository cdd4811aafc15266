//! The parts of an open call beyond the words of its home thread: visits of other threads, values, and the reason of a
//! failure.
//!
//! Takes the rarer steps of an open call; gives the outcome, the times and the values of its record. User code never
//! runs under the lock of a call. The file does not know what the call represents.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::async_call::AsyncCall;
use super::async_state::State;
use super::async_values::Values;
use super::captured::{Captured, is_recorders};
use super::context::Context;
use super::open::Open;
use super::out_of_order;
use super::panic_hook;
use super::poll::leased_state;
use super::visit::{ColdState, Visit};
use crate::capture::{Fields, Writer, keep_newest};
use crate::limits::VALUES_BYTES_MAX;
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::platform::lost_lock::lock_unless_lost;
use crate::record::Outcome;
use crate::ring::frames;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{CallerState, ThreadState};

/// Returns the calling thread's state, taken if necessary; `None` on a thread that would have to give it back at once.
fn kept_state() -> Option<&'static ThreadState> {
    let (thread, lease) = leased_state()?;
    if lease == Lease::Call {
        local::release(thread);
        return None;
    }
    Some(thread)
}

impl Open {
    /// Locks the cold state, and notes that it is no longer empty.
    fn lock_cold(&self) -> Option<MutexGuard<'_, ColdState>> {
        let cold = lock_unless_lost(&self.cold)?;
        self.has_cold.store(true, Ordering::Relaxed);
        Some(cold)
    }

    /// Notes that the call began, or is entered, while its thread unwinds.
    #[cold]
    pub(super) fn note_unwinding(&self) {
        if let Some(mut cold) = self.lock_cold() {
            cold.is_in_unwinding = true;
        }
    }

    /// Enters a call on a thread that did not begin it or has entered it already, or a call that sets no context.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_cold(&self) {
        let state = self.state();
        if state.is_over() || state.is_counted() || local::current().is_some_and(is_recorders) {
            return;
        }
        self.note_winding();
        if std::thread::panicking() {
            self.note_unwinding();
        }
        let (Some(thread), Some(site)) = (kept_state(), self.site()) else { return };
        out_of_order::forget(self.shown_span());
        let Some(mut cold) = self.lock_cold() else { return };
        let is_timed = !self.is_timed_at_home() && cold.visits.iter().all(|visit| visit.since == 0);
        let mut visit = if is_timed {
            Visit::begin(thread, site.id())
        } else {
            let before = Context::from_state(thread);
            Visit { thread, before, caller_state: CallerState::default(), since: 0 }
        };
        if state.has_context() {
            self.context().enter(thread);
        }
        if is_timed {
            visit.since = counter();
            frames::push(thread.page.words, site.id(), self.start(), self.shown_span());
            if cold.busy == 0 && visit.caller_state.may_be_nested(site.id()) {
                self.note_nested(thread);
            }
        }
        cold.visits.push(visit);
        self.others.store(u32::try_from(cold.visits.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Sets the flag for nested calls if another call of the function is under way around the first visit.
    #[cold]
    #[inline(never)]
    pub(super) fn note_nested(&self, thread: &ThreadState) {
        let id = self.site().map_or(0, crate::site::CallSite::id);
        if self.busy() == (0, 0) && frames::holds_around(thread.page.words, id) {
            self.set_state(State::NESTED);
        }
    }

    /// Leaves a call on a thread that did not begin it, that has entered it twice, that has entered another call since,
    /// or that unwinds.
    #[cold]
    #[inline(never)]
    pub(super) fn exit_cold(&self) {
        let Some(thread) = local::current().filter(|thread| !is_recorders(thread)) else { return };
        if std::thread::panicking() {
            self.note_panic();
        }
        self.leave(thread);
    }

    /// Ends the last visit of this thread. Returns false if there is none.
    fn leave(&self, thread: &'static ThreadState) -> bool {
        let Some(visit) = self.take_visit(thread) else { return false };
        let (here, is_current) = (Context::from_state(thread), self.is_current(thread));
        let is_late = self.state().has_context() && !is_current;
        if visit.since != 0 {
            let (busy, callees) = visit.end_time();
            if self.is_at_home(thread) {
                self.add_busy(busy, callees);
            } else if let Some(mut cold) = self.lock_cold() {
                cold.busy = cold.busy.wrapping_add(busy);
                cold.callees = cold.callees.wrapping_add(callees);
            }
            frames::pop(thread.page.words);
            self.wait(thread, visit.since.wrapping_add(busy));
        }
        if is_late {
            // The context of the call that was entered later stays current.
            here.enter(thread);
            out_of_order::note(self.context().span, visit.before);
        } else if is_current {
            visit.before.enter(thread);
        }
        true
    }

    /// Takes the last visit of this thread.
    fn take_visit(&self, thread: &'static ThreadState) -> Option<Visit> {
        if self.others.load(Ordering::Relaxed) > 0
            && let Some(mut cold) = self.lock_cold()
            && let Some(at) = cold.visits.iter().rposition(|visit| std::ptr::eq(visit.thread, thread))
        {
            let visit = cold.visits.remove(at);
            self.others.store(u32::try_from(cold.visits.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
            return Some(visit);
        }
        self.is_entered_at_home(thread).then(|| self.leave_home(thread))
    }

    /// Returns true if the call is the current one of this thread.
    fn is_current(&self, thread: &ThreadState) -> bool {
        self.state().has_context() && thread.current.load(Ordering::Relaxed) == self.context().span
    }

    /// Notes the panic that unwinds through the call, with its text, which only this thread knows. Does nothing for a
    /// call that began while its thread was already unwinding.
    #[cold]
    fn note_panic(&self) {
        let is_known = |cold: &ColdState| cold.has_panicked || cold.is_in_unwinding;
        if self.lock_cold().is_none_or(|cold| is_known(&cold)) {
            return;
        }
        if let Some(thread) = local::current() {
            thread.note_unwinding();
        }
        let text = panic_hook::text_since(self.start());
        let text = if text.is_empty() { None } else { Captured::failure(&mut |out| out.write_str(&text)) };
        if let Some(mut cold) = self.lock_cold() {
            cold.has_panicked = true;
            cold.failure = text;
        }
    }

    /// Ends a call that may have a cold state, or that may still be entered. The call ends as `outcome`. If this is
    /// `None`, the cold state decides between `panic`, `error` and `ok`.
    #[cold]
    #[inline(never)]
    pub(super) fn end_cold(&self, outcome: Option<Outcome>) {
        if outcome.is_none() && std::thread::panicking() {
            self.note_panic();
        }
        let thread = local::current();
        if let Some(thread) = thread.filter(|thread| !is_recorders(thread)) {
            // Any other thread restores its context by itself.
            while self.leave(thread) {}
        }
        let cold = self
            .lock_cold()
            .map_or(ColdState::none(), |mut cold| std::mem::replace(&mut *cold, ColdState::none()));
        self.others.store(0, Ordering::Relaxed);
        self.has_cold.store(false, Ordering::Relaxed);
        let outcome = outcome.unwrap_or(match (cold.has_panicked, &cold.failure) {
            (true, _) => Outcome::Panic,
            (false, Some(_)) => Outcome::Error,
            (false, None) => Outcome::Ok,
        });
        let end = if outcome == Outcome::Cancelled { counter() } else { self.end_time(thread) };
        if let Some(mut call) = self.to_call(self.busy_with(&cold, end), cold.values) {
            let failure = cold.failure;
            let mut text = failure.as_ref().map(|text| move |writer: &mut Writer<'_>| writer.put(&text.0));
            AsyncCall::end(&mut call, end, outcome, text.as_mut().map(|text| text as scratch::Capture<'_>));
        }
        self.vacate(thread);
    }

    /// Returns the busy time on all threads, and the part of it that was spent in callees. Visits that begin on two
    /// threads at the same moment are both timed, so the sum is capped at the call's duration.
    fn busy_with(&self, cold: &ColdState, end: Ticks) -> (Ticks, Ticks) {
        let (busy, callees) = self.busy();
        let all = busy.saturating_add(cold.busy).min(elapsed(self.start(), end));
        (all, callees.saturating_add(cold.callees).min(all))
    }
}

// The values of the call.
impl Open {
    /// Returns the calling thread's state if values of this call are captured on it, and `None` otherwise.
    fn capturing_thread(&self) -> Option<&'static ThreadState> {
        let state = self.state();
        let captures = state.is_sampled()
            || state.is_unsampled() && self.site().is_some_and(crate::site::CallSite::captures_unsampled);
        local::current().filter(|thread| captures && thread.captures.args())
    }

    /// Returns true if values of this call are captured on this thread.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.capturing_thread().is_some()
    }

    /// Captures the first values of the call, with their names. No other thread may use the call yet, because these
    /// values replace all earlier ones.
    pub fn capture(&self, mut write: impl FnMut(&mut Fields<'_, '_>)) {
        let Some(thread) = self.capturing_thread() else { return };
        let mut values = None;
        let bytes = Values::capture(&mut values, thread, &mut |writer| write(&mut Fields::new(writer)));
        if let Some(values) = &mut values {
            values.args_bytes = bytes;
        }
        if let Some(mut cold) = self.lock_cold() {
            cold.values = values;
            self.show_values(thread, &cold);
        }
    }

    /// Adds values to those of the call. A value replaces an earlier one of its name. Beyond the bound for the values
    /// of a call, values are left out.
    pub fn add(&self, more: &Captured) {
        let (Some(thread), Some(mut cold)) = (self.capturing_thread(), self.lock_cold()) else { return };
        let earlier = cold.values.as_ref().map(|values| values.tokens()).unwrap_or_default();
        let room = VALUES_BYTES_MAX.saturating_sub(more.0.len());
        let all = if earlier.len() <= room {
            [earlier, &*more.0].concat()
        } else {
            [&*keep_newest(earlier), &*more.0].concat()
        };
        if all.len() <= VALUES_BYTES_MAX {
            Values::set_arguments(&mut cold.values, thread, all.into_boxed_slice());
            self.show_values(thread, &cold);
        }
    }

    /// Shows the values to readers of the ring file.
    fn show_values(&self, thread: &ThreadState, cold: &ColdState) {
        let slot = self.slot.load(Ordering::Relaxed);
        if let Some(values) = cold.values.as_ref().filter(|_| slot != 0) {
            thread.home.suspended.set_arguments(&thread.home.memory, slot, values.arguments());
        }
    }

    /// Notes that the call fails, with this text. The last text counts.
    pub fn fail(&self, text: Captured) {
        if let Some(mut cold) = self.lock_cold() {
            cold.failure = Some(text);
        }
    }

    /// Notes that the call fails. The text counts only if the call has no text of a failure yet.
    pub fn fail_unless_failed(&self, text: Captured) {
        if let Some(mut cold) = self.lock_cold() {
            cold.failure.get_or_insert(text);
        }
    }

    /// Returns the tokens of the captured values.
    #[cfg(test)]
    pub(super) fn values(&self) -> Box<[u8]> {
        let cold = crate::sync::lock(&self.cold);
        cold.values.as_ref().map(|values| values.tokens().into()).unwrap_or_default()
    }
}
