//! Calls that are sampled out but timed.
//!
//! Takes a call of a function whose calls are timed where they are not drawn; adds its duration to the durations
//! that the thread keeps of that function. Both ends are compiled into the monitored crate, as those of a recorded
//! call are, because a thread finds its state and its countdowns by one load each there.

use std::sync::atomic::Ordering;

use super::guard::{Entered, Slot, State, special};
use super::publish::count;
use crate::platform::clock::{Ticks, counter};
use crate::record::Outcome;
use crate::ring::frames;
use crate::site::{CallSite, fidelity};
use crate::thread::local;
use crate::thread::state::{NO_SPAN, UNSAMPLED};
use crate::thread::tally::{Tally, Unrecorded};

impl Slot {
    /// Enters a call that is sampled out but timed; any other call of a function that is not recorded without
    /// exception is left to [`Slot::open_otherwise`].
    ///
    /// A gap of this epoch tells that no first call of the function is to be kept: `draw` takes those before it
    /// draws a gap, except at rate zero, at which none is kept.
    #[inline(never)]
    pub(super) fn open_timed<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        let epoch = site.epoch();
        if fidelity::of(epoch) != fidelity::SAMPLED {
            return self.open_otherwise(site);
        }
        let Some(thread) = local::current() else { return self.open_otherwise(site) };
        let Some(table) = local::countdown_table() else { return self.open_otherwise(site) };
        let Some(countdown) = table.get(site.id()) else { return self.open_otherwise(site) };
        let parent = thread.current.load(Ordering::Relaxed);
        thread.suppress();
        let is_left_out = parent == UNSAMPLED || parent == NO_SPAN && countdown.skip_timed(epoch);
        if !is_left_out {
            thread.restore(parent);
            return self.open_otherwise(site);
        }
        let (special, durations) = (special::UNDRAWN, table.durations(site.id()));
        let start = counter();
        frames::push(thread.page.words, site.id(), start, UNSAMPLED);
        thread.restore(UNSAMPLED);
        self.0 = Some(Entered { start, special, durations, parent, ..Entered::nothing(site, thread) });
        State::ENTERED
    }
}

impl Entered {
    /// Ends an `ok` call that was not drawn and has nothing to put back.
    #[inline(never)]
    pub(super) fn end_timed<const IN_USER_CRATE: bool>(&self) {
        let end = counter();
        let duration = end.wrapping_sub(self.start);
        self.thread.suppress();
        let is_slow = duration >= self.site.slow_ticks.load(Ordering::Relaxed);
        if !is_slow && let Some(durations) = self.durations {
            durations.count_sampled_out(duration);
            frames::pop(self.thread.page.words);
            self.thread.restore(self.parent);
        } else {
            self.end_timed_slowly(end, is_slow);
        }
    }

    /// The end of a slow call, or of the first that the thread counts.
    #[cold]
    #[inline(never)]
    fn end_timed_slowly(&self, end: Ticks, is_slow: bool) {
        if is_slow {
            return self.end_specially(end, Outcome::Ok, &[]);
        }
        let Self { thread, site, start, parent, .. } = *self;
        count(thread, site, Outcome::Ok, Unrecorded::SampledOut, end.wrapping_sub(start));
        if let Some(durations) = thread.tallies.get_or_make(site.id()).and_then(Tally::durations)
            && local::make_countdown(thread, site.id()).is_some()
            && let Some(table) = local::countdown_table()
        {
            table.set_durations(site.id(), durations);
        }
        frames::pop(thread.page.words);
        thread.restore(parent);
    }
}
