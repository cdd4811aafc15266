//! The fidelity ladder decides how much of each function is recorded, from the function's last second.
//!
//! Takes calls, rows and costs of each function, the bounds and the requested rate. Gives a cap on the rate of
//! the function's rows, and whether its calls are timed or only counted. A function sinks at once and rises
//! slowly. Pure: the collector knows when to look and applies the result.

mod overhead;

pub(crate) use overhead::{Candidate, Overhead, OverheadControl};

/// The bounds for all functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// The most rows per second and function; infinite for no bound.
    pub(crate) rows_per_s: f64,
    /// The share of the process's CPU time that recording may cost; 1 for no bound.
    pub(crate) overhead: f64,
}

impl Bounds {
    /// Converts the values of the settings, where 0 rows mean no bound.
    pub(crate) fn new(max_rate: u32, max_overhead: f64) -> Self {
        let rows_per_s = if max_rate == 0 { f64::INFINITY } else { f64::from(max_rate) };
        Self { rows_per_s, overhead: max_overhead }
    }
}

/// The costs of calls and records, in ns each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Costs {
    /// The cost to the caller of a call that leaves a record without values.
    pub(crate) recorded: f64,
    /// The additional cost of captured values.
    pub(crate) values: f64,
    /// The cost of a call that is timed and leaves no record.
    pub(crate) timed: f64,
    /// The cost of a call that is only counted.
    pub(crate) counted: f64,
    /// The cost of a record to the collector.
    pub(crate) drained: f64,
}

/// The calls of a function, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// Calls that ended.
    pub(crate) calls: f64,
    /// Calls that left a record.
    pub(crate) records: f64,
    /// Records that carried values.
    pub(crate) with_values: f64,
    /// Calls that were sampled for a row.
    pub(crate) sampled: f64,
    /// Calls that were timed and left no record.
    pub(crate) timed: f64,
    /// Calls that were only counted.
    pub(crate) counted: f64,
}

impl Load {
    /// Returns the cost to the callers, in ns per second.
    pub(crate) fn caller_cost(&self, costs: &Costs) -> f64 {
        self.records * costs.recorded
            + self.with_values * costs.values
            + self.timed * costs.timed
            + self.counted * costs.counted
    }

    /// Returns the cost to the callers and the collector, in ns per second.
    pub(crate) fn total_cost(&self, costs: &Costs) -> f64 {
        self.caller_cost(costs) + self.records * costs.drained
    }

    /// Returns the additional cost of a sampled call over an unsampled one.
    fn row_cost(&self, costs: &Costs) -> f64 {
        let values = if self.records > 0.0 { self.with_values / self.records } else { 0.0 };
        costs.recorded + values * costs.values + costs.drained
    }
}

/// The reason why a function is recorded less than requested.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Reason {
    /// The function is recorded as requested.
    #[default]
    AsRequested,
    /// The function makes more calls per second than rows may be written.
    Rows {
        /// The calls per second.
        calls: f64,
    },
    /// The calls came faster than the collector could drain them.
    Overrun,
    /// Recording would exceed the budget.
    Overhead {
        /// The cost of recording, in percent of the process's CPU time.
        percent: f64,
    },
    /// Even counting the calls exceeds the budget, and no cheaper rung exists.
    CountingAlone {
        /// The cost of counting, in percent of the process's CPU time.
        percent: f64,
    },
}

/// The place of a function on the ladder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    /// The highest rate of the function's rows.
    pub(crate) cap: f64,
    /// True if the calls are only counted.
    pub(crate) is_counted: bool,
    /// The reason for the rung.
    pub(crate) reason: Reason,
    /// A second cap on the rate, which keeps the callees in the function's trees although they are capped.
    pub(crate) tree_cap: f64,
    /// The rows per second that the overhead leaves; infinite for no bound.
    rows_max: f64,
    /// The number of consecutive looks at which the cap could have been higher.
    calm: u32,
}

impl Default for Rung {
    fn default() -> Self {
        let (reason, rows_max) = (Reason::AsRequested, f64::INFINITY);
        Self { cap: 1.0, is_counted: false, reason, tree_cap: 1.0, rows_max, calm: 0 }
    }
}

/// A new cap aims at this share of the allowed rows, so that chance does not exceed the bound.
const AIM: f64 = 0.75;
/// If the calls are at most this share of the allowed rows, every call has a row.
const FITS: f64 = 0.9;
/// The cap may rise if there were fewer rows than this share of the allowed rows.
const RISE_BELOW: f64 = 0.4;
/// The cap rises after this many consecutive looks with few rows.
const RISE_AFTER: u32 = 3;
/// The factor by which the cap rises.
const RISE: f64 = 2.0;

impl Rung {
    /// Returns the highest rate of the function's rows by both caps.
    pub(crate) fn limit(&self) -> f64 {
        self.cap.min(self.tree_cap)
    }

    /// Lowers the cap so that this many calls per second stay within the bound. Never raises the cap.
    pub(crate) fn throttle(&mut self, calls_per_s: f64, bounds: &Bounds) {
        let aim = self.aim(calls_per_s, bounds);
        if aim < self.cap {
            self.cap = aim;
            self.reason = Reason::Rows { calls: calls_per_s };
        }
        self.calm = 0;
    }

    /// Adapts the cap to the rows of the last second.
    pub(crate) fn adapt(&mut self, load: &Load, requested: f64, bounds: &Bounds) {
        let rows_max = self.rows_max.min(bounds.rows_per_s);
        // Up to three standard deviations more are chance; tail sampling removes the excess in any case.
        if load.sampled > rows_max + 3.0 * rows_max.sqrt() {
            self.throttle(load.calls, bounds);
        } else if self.cap < 1.0 && (load.sampled < RISE_BELOW * rows_max || load.calls <= FITS * rows_max) {
            self.calm += 1;
            let aim = self.aim(load.calls, bounds);
            if self.reason == Reason::Overrun && rows_max.is_finite() {
                // Callers throttled as far as they could, because they do not know how often they call.
                self.cap = self.cap.max(aim);
                self.reason = Reason::Rows { calls: load.calls };
            } else if self.calm >= RISE_AFTER || rows_max.is_infinite() {
                self.calm = 0;
                self.cap = (self.cap * RISE).min(aim);
            }
        } else {
            self.calm = 0;
        }
        if self.cap >= requested {
            self.cap = 1.0;
            if !self.is_counted {
                self.reason = Reason::AsRequested;
            }
        }
    }

    fn aim(&self, calls_per_s: f64, bounds: &Bounds) -> f64 {
        let rows = self.rows_max.min(bounds.rows_per_s);
        if calls_per_s <= FITS * rows { 1.0 } else { AIM * rows / calls_per_s }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    pub(super) const BOUNDS: Bounds = Bounds { rows_per_s: 1000.0, overhead: 0.01 };

    /// Returns the load of a function with this many calls per second on this rung.
    pub(super) fn load(calls: f64, rung: &Rung, requested: f64) -> Load {
        let sampled = calls * requested.min(rung.cap);
        let left = calls - sampled;
        let (timed, counted) =
            if rung.is_counted { (left / 256.0, left * 255.0 / 256.0) } else { (left, 0.0) };
        Load { calls, records: sampled, with_values: 0.0, sampled, timed, counted }
    }

    #[test]
    fn rows_come_down_at_once_and_go_up_slowly() {
        let mut rung = Rung::default();
        let busy = Load { calls: 30_000.0, sampled: 30_000.0, ..Load::default() };
        rung.adapt(&busy, 1.0, &BOUNDS);
        assert_eq!((rung.cap, rung.reason), (0.025, Reason::Rows { calls: 30_000.0 }));
        // A function that stays as busy stays on its rung.
        for _ in 0..50 {
            rung.adapt(&load(30_000.0, &rung, 1.0), 1.0, &BOUNDS);
        }
        assert_eq!(rung.cap, 0.025);
        let mut caps = Vec::new();
        while rung.cap < 1.0 {
            rung.adapt(&load(100.0, &rung, 1.0), 1.0, &BOUNDS);
            caps.push(rung.cap);
        }
        assert_eq!(caps[..6], [0.025, 0.025, 0.05, 0.05, 0.05, 0.1]);
        assert_eq!((caps.len(), rung.reason), (18, Reason::AsRequested));
    }

    #[test]
    fn what_callers_throttled_for_themselves_is_put_right_at_the_next_look() {
        let mut rung = Rung { cap: 1e-5, reason: Reason::Overrun, ..Rung::default() };
        rung.adapt(&load(1e5, &rung, 1.0), 1.0, &BOUNDS);
        assert_eq!((rung.cap, rung.reason), (0.0075, Reason::Rows { calls: 1e5 }));
    }

    #[test]
    fn a_function_all_of_whose_calls_fit_again_has_all_its_rows_again() {
        let mut rung = Rung::default();
        rung.adapt(&load(5000.0, &rung, 1.0), 1.0, &BOUNDS);
        assert_eq!(rung.cap, 0.15);
        for _ in 0..20 {
            rung.adapt(&load(900.0, &rung, 1.0), 1.0, &BOUNDS);
        }
        assert_eq!(rung, Rung::default());
    }

    #[test]
    fn a_rate_asked_for_is_never_raised() {
        let mut rung = Rung::default();
        rung.throttle(1e6, &BOUNDS);
        for _ in 0..100 {
            rung.adapt(&load(10.0, &rung, 0.01), 0.01, &BOUNDS);
        }
        let load = load(10.0, &rung, 0.01);
        assert_eq!(Candidate { rung: &mut rung, load, requested: 0.01 }.rate(), 0.01);
    }
}
