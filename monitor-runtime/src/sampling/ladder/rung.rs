//! The place of a function on the ladder, and the reason for it. A function sinks at once and rises slowly. Pure.

/// The reason why a function is recorded less than requested. Costs are in ns per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Reason {
    /// The function is recorded as requested.
    #[default]
    AsRequested,
    /// The function's trees are thinned, because they would leave more rows of one function than may be written.
    Rows {
        /// The id of the function whose rows are too many.
        function: u32,
        /// The rows per second that all trees would leave of it.
        rows: f64,
    },
    /// The function was lowered, and rises again step by step because there is room.
    Rising,
    /// The calls came faster than the collector could drain them.
    Overrun,
    /// The function's trees are thinned, because rows of all of them would exceed the budget.
    Trees(Saving),
    /// The function's calls have no rows in the trees of others, because they alone would take too much of the budget.
    TimedOnly(Saving),
    /// The function's calls are only counted, because timing them would take too much of the budget.
    Counted(Saving),
    /// Even counting the calls exceeds the budget, and no cheaper rung exists.
    CountingAlone(Saving),
}

/// The saving of a rung, in ns per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Saving {
    /// The cost without this rung.
    pub(crate) would_cost: f64,
    /// The part of this cost that the rung saves.
    pub(crate) saved: f64,
}

impl Reason {
    /// Returns the saving of a rung that was taken because of costs.
    pub(crate) fn saving(&self) -> Option<Saving> {
        match *self {
            Self::Trees(saving)
            | Self::TimedOnly(saving)
            | Self::Counted(saving)
            | Self::CountingAlone(saving) => Some(saving),
            Self::AsRequested | Self::Rows { .. } | Self::Rising | Self::Overrun => None,
        }
    }
}

/// The fidelity of a function's calls, apart from its rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The calls have rows in the trees of others.
    #[default]
    Whole,
    /// The calls are timed and have no rows in the trees of others.
    TimedOnly,
    /// The calls are only counted.
    Counted,
}

/// The place of a function on the ladder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    /// The highest rate of the trees that begin with the function, and of the rows of a function that is only counted.
    pub(crate) cap: f64,
    /// The cap that callers have put on the function's calls below kept calls since the last look of the ladder,
    /// because their rings overran; 1 if no caller has.
    pub(crate) throttled: f64,
    pub(crate) depth: Depth,
    /// True if the arguments of calls without a record are captured, in case such a call fails.
    pub(crate) captures: bool,
    /// The reason for cap and depth.
    pub(crate) reason: Reason,
    /// The number of consecutive looks at which the cap could have been higher.
    calm: u32,
    /// The number of consecutive looks at which captures would have been cheap.
    calm_captures: u32,
    /// True if the cap was lowered at the last look, so the last second still has calls from before.
    is_fresh: bool,
    /// The cost per call that `Depth::TimedOnly` saves, in ns.
    pub(super) saved_per_call: f64,
}

impl Default for Rung {
    fn default() -> Self {
        Self {
            cap: 1.0,
            throttled: 1.0,
            depth: Depth::Whole,
            captures: true,
            reason: Reason::AsRequested,
            calm: 0,
            calm_captures: 0,
            is_fresh: false,
            saved_per_call: 0.0,
        }
    }
}

/// The cap rises after this many consecutive looks at which it could be higher.
const RISE_AFTER: u32 = 3;
/// The factor by which the cap rises.
const RISE: f64 = 2.0;
/// A cap stays if another would differ by less than this factor, because the calls of a second are a sample.
const HYSTERESIS: f64 = 1.1;
/// The share of the budget that captures of one function's calls without a record may take.
const CAPTURES_SHARE: f64 = 1.0 / 20.0;

impl Rung {
    pub(crate) fn is_counted(&self) -> bool {
        self.depth == Depth::Counted
    }

    /// Returns the highest rate of the function's calls below kept calls.
    ///
    /// `begins_below` is true if trees begin with calls of the function that a long-lived call makes, such as `main`: a
    /// kept call is around these, and still they are roots.
    pub(crate) fn callee_cap(&self, begins_below: bool) -> f64 {
        match self.depth {
            Depth::Whole if begins_below => self.cap.min(self.throttled),
            Depth::Whole => self.throttled,
            Depth::TimedOnly => 0.0,
            Depth::Counted => self.cap,
        }
    }

    /// Lowers the cap to this rate, before the next look.
    pub(crate) fn cut(&mut self, cap: f64, reason: Reason) {
        if cap < self.cap {
            self.cap = cap;
            self.reason = reason;
            self.calm = 0;
            self.is_fresh = true;
        }
    }

    /// Moves the cap towards the target: down at once if it must, up slowly. Returns true if it sank.
    pub(super) fn approach(&mut self, target: f64, must_lower: bool) -> bool {
        let was_fresh = std::mem::replace(&mut self.is_fresh, false);
        if must_lower && target * HYSTERESIS < self.cap && !was_fresh {
            (self.cap, self.calm, self.is_fresh) = (target, 0, true);
            return true;
        }
        if self.cap < 1.0 && target > self.cap && (target >= 1.0 || target > self.cap * HYSTERESIS) {
            self.calm += 1;
            if self.reason == Reason::Overrun {
                // The cap takes its target at once, because callers, who do not know how often they call, throttled as
                // far as they could.
                self.cap = target;
            } else if self.calm >= RISE_AFTER {
                self.calm = 0;
                self.cap = (self.cap * RISE).min(target);
            }
        } else {
            self.calm = 0;
        }
        false
    }

    /// Decides whether the arguments of calls without a record are captured, from what that costs.
    pub(super) fn keep_captures(&mut self, cost: f64, budget: f64) {
        let most = CAPTURES_SHARE * budget;
        self.calm_captures = if cost < most / 2.0 { self.calm_captures + 1 } else { 0 };
        if cost > most {
            self.captures = false;
        } else if self.calm_captures >= RISE_AFTER {
            self.captures = true;
        }
    }

    /// Removes everything that only the budget requires.
    pub(super) fn lift_budget(&mut self) {
        self.depth = Depth::Whole;
        self.captures = true;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    #[test]
    fn a_cap_comes_down_at_once_and_goes_up_slowly() {
        let mut rung = Rung::default();
        assert!(rung.approach(0.025, true));
        assert!(!rung.approach(0.01, true), "the last second still shows calls of before");
        assert!(!rung.approach(0.024, true), "the cap is near enough");
        assert_eq!(rung.cap, 0.025);
        let mut caps = Vec::new();
        while rung.cap < 1.0 {
            assert!(!rung.approach(1.0, false));
            caps.push(rung.cap);
        }
        assert_eq!(caps[..6], [0.025, 0.025, 0.05, 0.05, 0.05, 0.1]);
        assert_eq!(caps.len(), 18);
    }

    #[test]
    fn what_callers_throttled_for_themselves_is_put_right_at_the_next_look() {
        let mut rung = Rung { cap: 1e-5, reason: Reason::Overrun, ..Rung::default() };
        rung.approach(0.0075, false);
        assert_eq!(rung.cap, 0.0075);
    }

    #[test]
    fn arguments_are_captured_unless_that_costs_more_than_a_twentieth_of_the_budget() {
        let mut rung = Rung::default();
        rung.keep_captures(0.4e6, 1e7);
        assert!(rung.captures);
        rung.keep_captures(0.6e6, 1e7);
        assert!(!rung.captures);
        for (cost, looks) in [(0.4e6, 10), (0.2e6, 2)] {
            (0..looks).for_each(|_| rung.keep_captures(cost, 1e7));
            assert!(!rung.captures, "{cost}");
        }
        rung.keep_captures(0.2e6, 1e7);
        assert!(rung.captures);
    }

    #[test]
    fn a_call_has_a_row_below_a_kept_call_unless_its_function_is_lowered_by_itself() {
        let thinned = Rung { cap: 0.1, ..Rung::default() };
        assert_eq!((thinned.callee_cap(false), thinned.callee_cap(true)), (1.0, 0.1));
        assert_eq!(Rung { depth: Depth::TimedOnly, ..thinned }.callee_cap(true), 0.0);
        assert_eq!(Rung { depth: Depth::Counted, ..thinned }.callee_cap(false), 0.1);
    }
}
