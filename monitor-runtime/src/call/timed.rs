//! Ends of calls that are sampled out but timed.
//!
//! Takes the end of a sampled-out call; adds its times to the sums that the thread keeps for the function. Both ends
//! are compiled into the monitored crate, as those of a recorded call are, because a thread finds its state and its
//! tables by one load each there. The file does not know calls that leave a record.

use std::sync::atomic::Ordering;

use super::entered::{Entered, Special, Times, cold_path};
use crate::platform::clock::{Ticks, counter, elapsed, processor_counter};
use crate::record::{NOT_KEPT, Outcome};
use crate::site::CallSite;
use crate::thread::local;
use crate::thread::scratch;
use crate::thread::state::ThreadState;
use crate::thread::tally::Tally;

impl Entered {
    /// Ends an `ok` call that has flags other than [`Special::UNSAMPLED`] alone.
    #[inline(never)]
    pub(super) fn end_ok_with_flags<const CRATE: u64>(&mut self) {
        match self.special {
            Special::HAS_VALUES => self.end_ok_with_values::<CRATE>(),
            Special::UNSAMPLED_WITH_VALUES => self.end_timed_with_values::<CRATE>(),
            _ => self.end_ok_rarely(),
        }
    }

    /// Ends an unsampled `ok` call that restores nothing of its thread.
    #[inline(never)]
    pub(super) fn end_timed<const CRATE: u64>(&self) {
        let Some(end) = processor_counter() else { return self.end_timed_by_os_clock() };
        let id = self.site.id();
        if self.needs_check(id, NOT_KEPT) {
            cold_path();
            return self.end_timed_nested(end);
        }
        let times = self.leave_outermost(end);
        self.count_timed(id, times);
    }

    #[cold]
    #[inline(never)]
    fn end_timed_by_os_clock(&self) {
        self.end_timed_nested(counter());
    }

    /// Ends an unsampled `ok` call around which another one of its function may be under way, or that is not the
    /// innermost one.
    #[inline(never)]
    fn end_timed_nested(&self, end: Ticks) {
        if self.is_late() {
            return self.end_late(end, Outcome::Ok, &[]);
        }
        let id = self.site.id();
        self.count_timed(id, self.leave(id, end));
    }

    /// Counts a timed `ok` call, unless it is slow.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn count_timed(&self, id: u32, times: Times) {
        let Times { duration, self_ticks, is_nested } = times;
        let Self { thread, site, .. } = *self;
        thread.suppress();
        let is_slow = duration >= site.slow_ticks.load(Ordering::Relaxed);
        let durations = local::countdown_table().and_then(|table| table.durations(id));
        match durations {
            Some(durations) if !is_slow => {
                durations.count_sampled_out(duration, self_ticks, is_nested);
                thread.restore(self.parent);
            }
            _ => self.end_slow_or_first_timed(duration, self_ticks, is_nested),
        }
    }

    /// Ends an unsampled `ok` call whose arguments were captured. The arguments are dropped unless the call was slow.
    #[inline(never)]
    pub(super) fn end_timed_with_values<const CRATE: u64>(&mut self) {
        let end = counter();
        let is_slow = elapsed(self.start, end) >= self.site.slow_ticks.load(Ordering::Relaxed);
        if !is_slow
            && !self.is_late()
            && let Some(writer) = scratch::take_made()
        {
            scratch::close(self.thread, writer, self.values.start());
            let id = self.site.id();
            self.count_timed(id, self.leave(id, end));
        } else {
            self.end(end, Outcome::Ok);
        }
    }

    /// Ends a slow call, or the first call that the thread counts.
    #[cold]
    #[inline(never)]
    fn end_slow_or_first_timed(&self, duration: Ticks, self_ticks: Ticks, is_nested: bool) {
        self.end_flagged(Times { duration, self_ticks, is_nested }, Outcome::Ok, &[]);
        remember_durations(self.thread, self.site);
    }
}

/// Remembers where the durations of a function's calls on this thread are counted, once a call was counted there.
#[cold]
pub(super) fn remember_durations(thread: &'static ThreadState, site: &'static CallSite) {
    let is_known = local::countdown_table().is_some_and(|table| table.durations(site.id()).is_some());
    // A slow call for which a record was written is counted by its record.
    if is_known || !thread.tallies.is_used(site.id()) {
        return;
    }
    let current = thread.current.load(Ordering::Relaxed);
    thread.suppress();
    if let Some(durations) = thread.tally(site.id()).and_then(Tally::durations)
        && local::make_countdown(thread, site.id()).is_some()
        && let Some(table) = local::countdown_table()
    {
        table.set_durations(site.id(), durations);
    }
    thread.restore(current);
}
