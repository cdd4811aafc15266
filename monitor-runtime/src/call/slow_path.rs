//! Entries and exits that are not the common one: the first call of a function or a thread, calls of functions that are
//! sampled, calls that are only counted.
//!
//! Takes a site, and the span that is current on its thread. Gives a sampled call, an unsampled call whose outcome and
//! duration are checked when it ends, or no call. Whatever an entry changes on the thread, the exit restores. The file
//! does not know rates: see `decision`.

use std::sync::atomic::Ordering;

use super::decision::{Decision, count_if_passed, decide, state_for};
use super::entered::{Entered, RUNTIME, Slot, Special, State, Times, begin_span};
use super::publish::{count, publish};
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::platform::coarse_clock::{coarse, coarse_start};
use crate::record::{Header, Kept, NOT_KEPT, Outcome, Word};
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{CallerState, INTERLEAVED};
use crate::thread::tally::{Spent, Unrecorded};

impl Slot {
    /// Enters a call that needs a decision: the first call of a function or on a thread, a call of a sampled function,
    /// or a call within a capture.
    #[cold]
    #[inline(never)]
    pub(super) fn open_decided(&mut self, site: &'static CallSite) -> State {
        let Some((thread, lease)) = state_for(site) else { return State::NONE };
        let parent = thread.current.load(Ordering::Relaxed);
        if parent == INTERLEAVED {
            return self.open_detached(site, thread, lease);
        }
        let weight_before = thread.weight();
        let around_tree = parent & NOT_KEPT;
        thread.suppress();
        let decision = decide(site, thread, parent, weight_before);
        let (tree, special) = match decision {
            Decision::Pass => {
                thread.restore(parent);
                count_if_passed(site, parent);
                if lease == Lease::Call {
                    local::release(thread);
                }
                return State::NONE;
            }
            Decision::Follow => (around_tree, Special::for_tree(around_tree)),
            Decision::Sampled(_) => (0, Special::restoring_weight(weight_before)),
            Decision::SampledAlone(weight) => (around_tree, Special::weighing(weight)),
            Decision::First => (0, Special::FIRST),
            Decision::Unsampled => (NOT_KEPT, Special::UNSAMPLED),
            Decision::Timed | Decision::TimedAlone => (around_tree, Special::UNSAMPLED),
        };
        let mut entered = Entered { special, parent, ..Entered::blank(site, thread) };
        entered.caller_state = CallerState::enter(thread, site.id());
        let shown = if decision == Decision::TimedAlone {
            thread.restore(parent);
            tree
        } else {
            entered.span = thread.next_span();
            begin_span(thread, parent, entered.span, tree);
            entered.span | tree
        };
        if let Decision::Sampled(weight) = decision {
            thread.set_weight(weight);
        }
        if lease == Lease::Call {
            entered.special.set(Special::RETURNS_STATE);
        }
        entered.start = counter();
        frames::push(thread.page.words, site.id(), entered.start, shown);
        self.0 = Some(entered);
        State::ENTERED
    }
}

impl Entered {
    /// Starts the call's time.
    #[inline(never)]
    pub(super) fn start_time(&mut self) {
        self.start = counter();
        frames::start(self.thread.page.words, self.start);
    }

    /// Ends an `ok` call for which no faster end fits, such as a call with flags other than [`Special::UNSAMPLED`] and
    /// [`Special::HAS_VALUES`].
    #[inline(never)]
    pub(super) fn end_ok_rarely(&mut self) {
        self.end(counter(), Outcome::Ok);
    }

    /// Ends the call without a last value.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome) {
        if self.special.has_values()
            && let Some(writer) = scratch::take(self.thread)
        {
            return self.end_with_values::<RUNTIME>(end, outcome, writer);
        }
        self.end_with(end, outcome, &[]);
    }

    /// Ends the call with the values that it has captured.
    pub(super) fn end_with(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, parent, special, .. } = *self;
        if self.is_late() {
            return self.end_late(end, outcome, values);
        }
        thread.suppress();
        if special.is_counted() {
            return self.end_counted(end, outcome, values);
        }
        let times = self.leave(self.site.id(), end);
        if special.cleared_of(Special::HAS_VALUES) != Special::NONE {
            return self.end_flagged(times, outcome, values);
        }
        publish(thread, &self.sampled_header(times, outcome).encode(values.len()), values);
        thread.restore(parent);
    }

    /// Ends a counted call that may leave a record, because it failed or because the coarse clock has moved since its
    /// entry. The call was never on the stack of calls under way, and its callees were those of the call around it.
    fn end_counted(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, parent, .. } = *self;
        let (start, end) = counted_interval(self.start, end);
        let duration = elapsed(start, end);
        if outcome != Outcome::Ok || duration >= site.slow_ticks.load(Ordering::Relaxed) {
            local::countdown(site.id()).inspect(|countdown| countdown.note_recorded());
            let kept = if outcome == Outcome::Ok { Kept::Slow } else { Kept::Failed };
            let is_nested = frames::holds(thread.page.words, site.id());
            let times = Times { duration, self_ticks: duration, is_nested };
            let header = Header { start, ..self.header(outcome, kept, 1.0, times) };
            publish(thread, &header.encode(values.len()), values);
        }
        thread.restore(parent);
    }

    /// Ends a call that is unsampled, or that restores something of its thread, and that has left the stack of calls
    /// under way.
    #[inline(never)]
    pub(super) fn end_flagged(&self, times: Times, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, parent, special, .. } = *self;
        let Times { duration, self_ticks, is_nested } = times;
        let is_unsampled = special.is_unsampled();
        let is_fast = duration < site.slow_ticks.load(Ordering::Relaxed);
        if is_unsampled && outcome == Outcome::Ok && is_fast {
            let spent = Spent { duration, self_ticks, busy: duration, is_nested };
            count(thread, site, outcome, Unrecorded::SampledOut, spent);
        } else {
            let (kept, weight) = match outcome {
                Outcome::Ok if special.is_first() => (Kept::First, 1.0),
                Outcome::Ok if is_unsampled => (Kept::Slow, 1.0),
                Outcome::Ok => (Kept::Sampled, special.own_weight().unwrap_or_else(|| thread.weight())),
                _ => (Kept::Failed, 1.0),
            };
            publish(thread, &self.header(outcome, kept, weight, times).encode(values.len()), values);
        }
        if let Some(weight) = special.weight_to_restore() {
            thread.set_weight(weight);
        }
        thread.restore(parent);
        if special.returns_state() {
            local::release(thread);
        }
    }
}

/// Returns the start and the end of a counted call. The duration is only as exact as the coarse clock. If the clock has
/// not moved since `seen`, the duration is zero.
#[cold]
pub(crate) fn counted_interval(seen: Ticks, end: Ticks) -> (Ticks, Ticks) {
    (if coarse() == seen { end } else { coarse_start(seen).min(end) }, end)
}
