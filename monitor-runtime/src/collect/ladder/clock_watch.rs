//! The watch over the coarse clock, which the collector's thread advances.
//!
//! The coarse clock is a time stamp in memory that the collector updates every few milliseconds. Calls that are only
//! counted read it, so that a slow one is noticed. While a disk may hold up the collector for long, such calls are
//! timed instead. The watch also sums up how long the clock stood still nevertheless.

use std::time::Duration;

use super::super::events::Events;
use super::super::functions::Functions;
use super::function_state::FunctionStates;
use crate::platform::clock::Clock;
use crate::platform::coarse_clock::{advance_coarse, keep_coarse, take_time_stood};
use crate::site::Caps;
use crate::units::format_short_duration;

/// The watch over the coarse clock.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "answers to independent questions")]
pub(super) struct ClockWatch {
    /// True if there are functions whose calls are only counted, and which therefore rely on the clock.
    is_relied_on: bool,
    /// True while calls are timed that would otherwise only be counted, because the thread may be held up.
    is_suspended: bool,
    /// True if a call has come since the last step that was only counted, or would have been if the clock had run.
    pub(super) is_used: bool,
    /// True while the clock stands because no call relies on it. Calls that would be counted are timed all that time.
    is_resting: bool,
    /// The time for which the clock stood still since the last report, while calls relied on it.
    stood: Duration,
}

impl ClockWatch {
    /// Advances the clock, and ends its rest if `is_wanted` is true, because calls wait for it. Adds up the time for
    /// which the clock stood still. Returns true if calls were timed since the last step and are only counted from now
    /// on.
    pub(super) fn step(
        &mut self,
        is_wanted: bool,
        functions: &Functions,
        states: &mut FunctionStates,
    ) -> bool {
        self.is_used |= is_wanted;
        self.is_resting &= !self.is_used;
        if self.is_suspended && !self.is_resting {
            // The clock is advanced first, because calls that are only counted from here on must see the time of this
            // moment.
            begin_anew();
            count_only(functions, states, true);
            self.is_suspended = false;
            return true;
        }
        keep_coarse();
        self.add_time_stood();
        false
    }

    /// Adds up the time for which the clock stood still while calls relied on it.
    fn add_time_stood(&mut self) {
        let stood = take_time_stood();
        if self.is_running() && !self.is_suspended {
            self.stood += stood;
        }
    }

    /// Notes whether there are functions whose calls are only counted. The clock counts as used when the first of them
    /// appears, because that function is being called.
    pub(super) fn set_relied_on(&mut self, is_relied_on: bool) {
        if is_relied_on && !self.is_relied_on {
            self.is_used = true;
            begin_anew();
        }
        self.is_relied_on = is_relied_on;
    }

    /// Returns true if the clock is relied on and has to go on between two steps.
    pub(super) fn is_running(&self) -> bool {
        self.is_relied_on && !self.is_resting
    }

    /// Lets the clock rest if no call relied on it since this was last called. Until such a call comes again, calls are
    /// timed, so the clock need not be advanced for them.
    pub(super) fn stop_if_unused(&mut self, functions: &Functions, states: &mut FunctionStates) {
        self.is_resting = !std::mem::take(&mut self.is_used);
        if self.is_resting && self.is_relied_on {
            self.suspend(functions, states);
            // The last step of the ladder may have lowered further functions, or changed rates, after the clock was
            // suspended.
            count_only(functions, states, false);
        }
    }

    /// Times the calls that would otherwise only be counted, until the next look, because a disk may hold up this
    /// thread, and the clock with it. The clock is advanced once more for the calls that have begun.
    pub(super) fn suspend(&mut self, functions: &Functions, states: &mut FunctionStates) {
        if self.is_relied_on && !self.is_suspended {
            self.add_time_stood();
            self.is_suspended = true;
            count_only(functions, states, false);
            advance_coarse();
        }
    }

    /// Reports for how long calls that are only counted could be slow without being noticed.
    pub(super) fn report(&mut self, clock: &Clock, events: &mut Events) {
        let stood = std::mem::take(&mut self.stood);
        if !stood.is_zero() {
            let detail = format!(
                "the recorder was held up for {}: calls that were slow in it, of functions that are only counted, \
                 have no row",
                format_short_duration(stood.as_nanos() as f64)
            );
            events.add(clock.now_ns(), "slow", detail);
        }
    }
}

/// Moves the clock on after a time in which no call relied on it, and forgets for how long it stood still.
fn begin_anew() {
    advance_coarse();
    take_time_stood();
}

/// Sets the calls of functions on the lowest rung to be only counted if `is_counted`, else to be timed.
fn count_only(functions: &Functions, states: &mut FunctionStates, is_counted: bool) {
    let counted = states.iter_mut(functions).filter(|(_, state)| state.rung.is_counted());
    for (function, _) in counted {
        function.site.set_waits_for_clock(!is_counted);
        function.site.apply(Caps { is_counted, ..function.site.caps() });
    }
}
