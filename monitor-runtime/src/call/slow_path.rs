//! Calls that do not take the usual way: the first of a function or a thread, those of functions that are
//! sampled, those below a call that was left out.
//!
//! In: a site, and what is current on its thread. Out: a call that is drawn, one that is left out but looked
//! at when it ends, or none.

use std::sync::atomic::Ordering;

use super::decision::{Draw, draw, is_certain, thread_for};
use super::guard::{Entered, Slot, State, begin_span, special};
use super::publish::{count, deliver};
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
    #[inline(never)]
    pub(super) fn open_otherwise(&mut self, site: &'static CallSite) -> State {
        match local::current() {
            Some(thread) if site.is_counted() => self.open_counted(site, thread),
            _ => self.open_specially(site),
        }
        if self.0.is_some() { State::ENTERED } else { State::NONE }
    }

    /// Enters a call that is only counted below one that was drawn.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_counted(&mut self, site: &'static CallSite, thread: &'static ThreadState) {
        let parent = thread.current.load(Ordering::Relaxed);
        // A root's countdown fits below a call that was drawn for certain, too.
        let fits = parent > RESERVED_SPANS && is_certain(thread.weight());
        if !fits || !local::countdown(site.id()).is_some_and(|countdown| countdown.skip_counted(site.epoch()))
        {
            return self.open_specially(site);
        }
        thread.set_current(UNSAMPLED);
        let (start, special) = (coarse(), special::JUST_COUNTED);
        self.0 = Some(Entered { start, special, parent, ..Entered::nothing(site, thread) });
    }

    /// The first call of a function or a thread, a sampled function, a call below one that was not
    /// drawn or within a capture.
    #[cold]
    #[inline(never)]
    pub(super) fn open_specially(&mut self, site: &'static CallSite) {
        let Some((thread, lease)) = thread_for(site) else { return };
        let parent = thread.current.load(Ordering::Relaxed);
        let weight_before = thread.weight();
        let mut entered = Entered { parent, ..Entered::nothing(site, thread) };
        thread.suppress();
        match draw(site, thread, parent, weight_before) {
            Draw::Pass => {
                thread.restore(parent);
                if lease == Lease::Call {
                    local::release(thread);
                }
                return;
            }
            Draw::Follow => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
            }
            Draw::Drawn(weight) => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                thread.set_weight(weight);
                entered.special = special::OWN_WEIGHT | u64::from(weight_before.to_bits()) << 32;
            }
            Draw::First => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                entered.special = special::FIRST;
            }
            Draw::Undrawn => {
                thread.restore(UNSAMPLED);
                entered.special = special::UNDRAWN;
            }
        }
        if lease == Lease::Call {
            entered.special |= special::OWN_STATE;
        }
        if !is_counter() {
            entered.special |= special::OS_CLOCK;
        }
        entered.start = entered.now();
        frames::push(thread.page.words, site.id(), entered.start, entered.frame_span());
        self.0 = Some(entered);
    }
}

impl Entered {
    /// Starts the call's time.
    #[inline(never)]
    pub(super) fn begin(&mut self) {
        if self.special & special::COUNTED == 0 {
            self.start = self.now();
            frames::start(self.thread.page.words, self.start);
        }
    }

    /// The span that its frame shows.
    fn frame_span(&self) -> u64 {
        if self.special & special::UNDRAWN == 0 { self.span } else { UNSAMPLED }
    }

    /// Ends an `ok` call that is neither timed alone nor drawn with nothing to put back.
    #[inline(never)]
    pub(super) fn end_ok_otherwise(&mut self) {
        if !self.end_counted() {
            self.end(self.now(), Outcome::Ok);
        }
    }

    /// Ends a call that was only counted below one that was drawn, unless the coarse clock has moved under
    /// it. Whether it did.
    fn end_counted(&self) -> bool {
        let ends = self.special == special::JUST_COUNTED && coarse() == self.start;
        if ends {
            self.thread.set_current(self.parent);
        }
        ends
    }

    /// Ends the call without a last value.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome) {
        if self.special & special::VALUES != 0
            && let Some(arena) = scratch::take(self.thread)
        {
            return self.end_with_values::<false>(end, outcome, arena);
        }
        self.end_with(end, outcome, &[]);
    }

    /// Ends the call, whatever it is.
    pub(super) fn end_with(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, parent, special, .. } = *self;
        thread.suppress();
        if special & !special::VALUES != 0 {
            return self.end_specially(end, outcome, values);
        }
        frames::pop(thread.page.words);
        deliver(thread, &self.drawn(end, outcome).encode(values.len()), values);
        thread.restore(parent);
    }

    /// The end of a call that was not drawn or holds something to put back.
    #[inline(never)]
    pub(super) fn end_specially(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, parent, special, .. } = *self;
        let counted = special & special::COUNTED != 0;
        let (start, end) = if counted { end_of_counted(self.start, end) } else { (self.start, end) };
        let duration = end.wrapping_sub(start);
        let undrawn = special & special::UNDRAWN != 0;
        let leaves_none =
            undrawn && outcome == Outcome::Ok && duration < site.slow_ticks.load(Ordering::Relaxed);
        if leaves_none && !counted {
            count(thread, site, outcome, Unrecorded::SampledOut, duration);
        } else if !leaves_none {
            if counted {
                local::countdown(site.id()).inspect(|countdown| countdown.note_recorded());
            }
            let (kept, weight) = match outcome {
                Outcome::Ok if special & special::FIRST != 0 => (Kept::First, 1.0),
                Outcome::Ok if undrawn => (Kept::Slow, 1.0),
                Outcome::Ok => (Kept::Sampled, thread.weight()),
                _ => (Kept::Failed, 1.0),
            };
            let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
            if undrawn {
                header = header.as_root(thread.next_span());
            }
            deliver(thread, &header.encode(values.len()), values);
        }
        if special & special::OWN_WEIGHT != 0 {
            thread.set_weight(f32::from_bits((special >> 32) as u32));
        }
        if !counted {
            frames::pop(thread.page.words);
        }
        thread.restore(parent);
        if special & special::OWN_STATE != 0 {
            local::release(thread);
        }
    }
}

/// Start and end of a call that was only counted: as far as the coarse clock has moved. Where it has not,
/// it ended at once. The end was read by the counter, of whatever kind ticks are.
#[cold]
pub(crate) fn end_of_counted(seen: Ticks, end: Ticks) -> (Ticks, Ticks) {
    let end = if is_counter() { end } else { ticks() };
    (if coarse() == seen { end } else { coarse_start(seen).min(end) }, end)
}
