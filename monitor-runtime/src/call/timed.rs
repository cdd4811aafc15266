//! Calls that are sampled out but timed.
//!
//! Takes a call of a function whose unsampled calls are timed; adds its duration to those that the thread keeps of that
//! function. Both ends are compiled into the monitored crate, as those of a recorded call are, because a thread finds its
//! state and its countdowns by one load each there. The file does not know calls that leave a record.

use std::sync::atomic::Ordering;

use super::entered::{Entered, Slot, Special, State};
use super::publish::count;
use crate::platform::clock::{Ticks, counter};
use crate::record::Outcome;
use crate::ring::frames;
use crate::site::{CallSite, Fidelity};
use crate::thread::local;
use crate::thread::state::{NO_SPAN, UNSAMPLED};
use crate::thread::tally::{Tally, Unrecorded};

impl Slot {
    /// Enters a call that is sampled out but timed. Any other call of a function that is not recorded without exception is
    /// left to [`Slot::open_decided_or_counted`].
    ///
    /// A gap of this epoch shows that no first call of the function is still to be kept: `decide` takes the first calls
    /// before it draws a gap, except at rate zero, at which none is kept.
    #[inline(never)]
    pub(super) fn open_timed<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        let epoch = site.epoch();
        if epoch.fidelity() != Fidelity::SAMPLED {
            return self.open_decided_or_counted(site);
        }
        let Some(thread) = local::current() else { return self.open_decided_or_counted(site) };
        let Some(table) = local::countdown_table() else { return self.open_decided_or_counted(site) };
        let Some(countdown) = table.get(site.id()) else { return self.open_decided_or_counted(site) };
        let parent = thread.current.load(Ordering::Relaxed);
        thread.suppress();
        let is_sampled_out = parent == UNSAMPLED || parent == NO_SPAN && countdown.skip_timed(epoch.number());
        if !is_sampled_out {
            thread.restore(parent);
            return self.open_decided_or_counted(site);
        }
        let (special, durations) = (Special::UNSAMPLED, table.durations(site.id()));
        let start = counter();
        frames::push(thread.page.words, site.id(), start, UNSAMPLED);
        thread.restore(UNSAMPLED);
        self.0 = Some(Entered { start, special, durations, parent, ..Entered::blank(site, thread) });
        State::ENTERED
    }
}

impl Entered {
    /// Ends an unsampled `ok` call that restores nothing of its thread.
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
            self.end_slow_or_first_timed(end, is_slow);
        }
    }

    /// Ends a slow call, or the first call that the thread counts.
    #[cold]
    #[inline(never)]
    fn end_slow_or_first_timed(&self, end: Ticks, is_slow: bool) {
        if is_slow {
            return self.end_flagged(end, Outcome::Ok, &[]);
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
