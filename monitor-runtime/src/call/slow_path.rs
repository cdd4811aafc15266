//! Entries and exits that are not the common one: the first call of a function or a thread, calls of functions that are
//! sampled, calls below an unsampled one.
//!
//! Takes a site, and the span that is current on its thread. Gives a sampled call, an unsampled one that is looked at when
//! it ends, or none. Whatever an entry changes on the thread, the exit restores. The file does not know rates: see
//! `decision`.

use std::sync::atomic::Ordering;

use super::decision::{Decision, decide, is_certain, state_for};
use super::entered::{Entered, Slot, Special, State, begin_span};
use super::publish::{count, publish};
use crate::platform::clock::{Ticks, is_counter, ticks};
use crate::platform::coarse_clock::{coarse, coarse_start};
use crate::record::{Header, Kept, Outcome, Word};
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{RESERVED_SPANS, ThreadState, UNSAMPLED};
use crate::thread::tally::Unrecorded;

impl Slot {
    /// Enters a call that is neither recorded without exception nor sampled out but timed.
    #[inline(never)]
    pub(super) fn open_decided_or_counted(&mut self, site: &'static CallSite) -> State {
        match local::current() {
            Some(thread) if site.is_counted() => self.open_counted(site, thread),
            _ => self.open_decided(site),
        }
        if self.0.is_some() { State::ENTERED } else { State::NONE }
    }

    /// Enters a call that is only counted, below a sampled one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_counted(&mut self, site: &'static CallSite, thread: &'static ThreadState) {
        let parent = thread.current.load(Ordering::Relaxed);
        // A root's countdown also fits below a call that was sampled for certain.
        let fits = parent > RESERVED_SPANS && is_certain(thread.weight());
        if !fits
            || !local::countdown(site.id())
                .is_some_and(|countdown| countdown.skip_counted(site.epoch().number()))
        {
            return self.open_decided(site);
        }
        thread.set_current(UNSAMPLED);
        let (start, special) = (coarse(), Special::COUNTED_CALL);
        self.0 = Some(Entered { start, special, parent, ..Entered::blank(site, thread) });
    }

    /// Enters a call that needs a decision: the first of a function or a thread, a call of a sampled function, a call below an
    /// unsampled one or within a capture.
    #[cold]
    #[inline(never)]
    pub(super) fn open_decided(&mut self, site: &'static CallSite) {
        let Some((thread, lease)) = state_for(site) else { return };
        let parent = thread.current.load(Ordering::Relaxed);
        let weight_before = thread.weight();
        let mut entered = Entered { parent, ..Entered::blank(site, thread) };
        thread.suppress();
        match decide(site, thread, parent, weight_before) {
            Decision::Pass => {
                thread.restore(parent);
                if lease == Lease::Call {
                    local::release(thread);
                }
                return;
            }
            Decision::Follow => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
            }
            Decision::Sampled(weight) => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                thread.set_weight(weight);
                entered.special = Special::restoring_weight(weight_before);
            }
            Decision::First => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                entered.special = Special::FIRST;
            }
            Decision::Unsampled => {
                thread.restore(UNSAMPLED);
                entered.special = Special::UNSAMPLED;
            }
        }
        if lease == Lease::Call {
            entered.special.set(Special::RETURNS_STATE);
        }
        if !is_counter() {
            entered.special.set(Special::OS_CLOCK);
        }
        entered.start = entered.now();
        frames::push(thread.page.words, site.id(), entered.start, entered.frame_span());
        self.0 = Some(entered);
    }
}

impl Entered {
    /// Starts the call's time.
    #[inline(never)]
    pub(super) fn start_time(&mut self) {
        if !self.special.is_counted() {
            self.start = self.now();
            frames::start(self.thread.page.words, self.start);
        }
    }

    /// Returns the span that the call's frame shows.
    fn frame_span(&self) -> u64 {
        if self.special.is_unsampled() { UNSAMPLED } else { self.span }
    }

    /// Ends an `ok` call whose flags are other than unsampled or values alone.
    #[inline(never)]
    pub(super) fn end_ok_with_flags(&mut self) {
        if !self.end_counted() {
            self.end(self.now(), Outcome::Ok);
        }
    }

    /// Ends a counted call below a sampled one and returns true. Returns false if it is another call, or if the coarse clock
    /// has moved since its entry.
    fn end_counted(&self) -> bool {
        let ends = self.special == Special::COUNTED_CALL && coarse() == self.start;
        if ends {
            self.thread.set_current(self.parent);
        }
        ends
    }

    /// Ends the call without a last value.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome) {
        if self.special.has_values()
            && let Some(writer) = scratch::take(self.thread)
        {
            return self.end_with_values::<false>(end, outcome, writer);
        }
        self.end_with(end, outcome, &[]);
    }

    /// Ends the call with the values that it has captured.
    pub(super) fn end_with(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, parent, special, .. } = *self;
        thread.suppress();
        if special.without(Special::HAS_VALUES) != Special::NONE {
            return self.end_flagged(end, outcome, values);
        }
        frames::pop(thread.page.words);
        publish(thread, &self.sampled_header(end, outcome).encode(values.len()), values);
        thread.restore(parent);
    }

    /// Ends a call that is unsampled, or that restores something of its thread.
    #[inline(never)]
    pub(super) fn end_flagged(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, parent, special, .. } = *self;
        let counted = special.is_counted();
        let (start, end) = if counted { counted_interval(self.start, end) } else { (self.start, end) };
        let duration = end.wrapping_sub(start);
        let unsampled = special.is_unsampled();
        let leaves_none =
            unsampled && outcome == Outcome::Ok && duration < site.slow_ticks.load(Ordering::Relaxed);
        if leaves_none && !counted {
            count(thread, site, outcome, Unrecorded::SampledOut, duration);
        } else if !leaves_none {
            if counted {
                local::countdown(site.id()).inspect(|countdown| countdown.note_recorded());
            }
            let (kept, weight) = match outcome {
                Outcome::Ok if special.is_first() => (Kept::First, 1.0),
                Outcome::Ok if unsampled => (Kept::Slow, 1.0),
                Outcome::Ok => (Kept::Sampled, thread.weight()),
                _ => (Kept::Failed, 1.0),
            };
            let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
            if unsampled {
                header = header.as_root(thread.next_span());
            }
            publish(thread, &header.encode(values.len()), values);
        }
        if let Some(weight) = special.weight_to_restore() {
            thread.set_weight(weight);
        }
        if !counted {
            frames::pop(thread.page.words);
        }
        thread.restore(parent);
        if special.returns_state() {
            local::release(thread);
        }
    }
}

/// Returns the start and the end of a counted call, whose duration is known as far as the coarse clock has moved. If the
/// clock has not moved, the call ended at once. `end` was read from the counter, whether or not ticks are the counter's.
#[cold]
pub(crate) fn counted_interval(seen: Ticks, end: Ticks) -> (Ticks, Ticks) {
    let end = if is_counter() { end } else { ticks() };
    (if coarse() == seen { end } else { coarse_start(seen).min(end) }, end)
}
