//! The fidelity ladder: how much is recorded of each function, from what it did in the last second.
//!
//! In: calls, rows and costs of each function, the bounds, what was asked for. Out: a cap on the rate of
//! its rows and whether its calls are timed or only counted. Down at once, up slowly. Pure: what is done
//! about it, and when it is looked at, others know.

mod overhead;

pub(crate) use overhead::{Balance, Overhead, Place};

/// What holds for all functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// Most rows a second and function; infinite for no bound.
    pub(crate) rows_per_s: f64,
    /// Share of the process's CPU time that recording may cost; 1 for no bound.
    pub(crate) overhead: f64,
}

impl Bounds {
    /// From the settings' own figures: no rows means no bound on them.
    pub(crate) fn new(max_rate: u32, max_overhead: f64) -> Self {
        let rows_per_s = if max_rate == 0 { f64::INFINITY } else { f64::from(max_rate) };
        Self { rows_per_s, overhead: max_overhead }
    }
}

/// What things cost, ns each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Costs {
    /// A call that leaves a record without values, to its caller.
    pub(crate) recorded: f64,
    /// What captured values add.
    pub(crate) values: f64,
    /// A call that is timed and leaves no record.
    pub(crate) timed: f64,
    /// A call that is only counted.
    pub(crate) counted: f64,
    /// A record, to the collector.
    pub(crate) drained: f64,
}

/// What a function did, each a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// Calls ended.
    pub(crate) calls: f64,
    /// Calls that left a record.
    pub(crate) records: f64,
    /// Records that carried values.
    pub(crate) with_values: f64,
    /// Calls that were drawn for a row.
    pub(crate) drawn: f64,
    /// Calls that were timed and left no record.
    pub(crate) timed: f64,
    /// Calls that were only counted.
    pub(crate) counted: f64,
}

impl Load {
    /// What its callers pay, ns a second.
    pub(crate) fn on_callers(&self, costs: &Costs) -> f64 {
        self.records * costs.recorded
            + self.with_values * costs.values
            + self.timed * costs.timed
            + self.counted * costs.counted
    }

    /// The same with the collector's part.
    pub(crate) fn in_all(&self, costs: &Costs) -> f64 {
        self.on_callers(costs) + self.records * costs.drained
    }

    /// What a call that is drawn costs more than one that is not.
    fn of_a_row(&self, costs: &Costs) -> f64 {
        let values = if self.records > 0.0 { self.with_values / self.records } else { 0.0 };
        costs.recorded + values * costs.values + costs.drained
    }
}

/// Why a function is recorded less than was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Reason {
    /// It is not.
    #[default]
    AsAsked,
    /// It makes more calls a second than rows may be written.
    Rows {
        /// How many calls a second.
        calls: f64,
    },
    /// Its calls came faster than the collector could take them in.
    Overrun,
    /// Recording would cost more than it may.
    Overhead {
        /// What it would cost, in percent of the process's CPU time.
        percent: f64,
    },
    /// Even counting its calls costs more than recording may, and less than that is not to be had.
    CountingAlone {
        /// What counting costs, in percent of the process's CPU time.
        percent: f64,
    },
}

/// Where a function stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rung {
    /// The rate of its rows is at most this.
    pub(crate) cap: f64,
    /// Whether its calls are only counted.
    pub(crate) is_counted: bool,
    pub(crate) reason: Reason,
    /// And at most this, lest its callees' caps take them out of its trees.
    pub(crate) whole: f64,
    /// Rows a second that the overhead leaves it; infinite for no bound.
    rows_max: f64,
    /// Looks in a row at which the cap could have been higher.
    calm: u32,
}

impl Default for Rung {
    fn default() -> Self {
        let (reason, rows_max) = (Reason::AsAsked, f64::INFINITY);
        Self { cap: 1.0, is_counted: false, reason, whole: 1.0, rows_max, calm: 0 }
    }
}

/// A new cap aims at this share of the rows that are allowed, so that chance does not pass the bound.
const AIM: f64 = 0.75;
/// Calls that are not more than this share of it all have their rows.
const FITS: f64 = 0.9;
/// The cap rises when there were fewer rows than this share of those allowed,
const RISE_BELOW: f64 = 0.4;
/// at so many looks in a row,
const RISE_AFTER: u32 = 3;
/// by this factor.
const RISE: f64 = 2.0;

impl Rung {
    /// The most that the rate of its rows may be.
    pub(crate) fn limit(&self) -> f64 {
        self.cap.min(self.whole)
    }

    /// Makes the cap such that so many calls a second stay within the bound. Never raises it.
    pub(crate) fn brake(&mut self, calls_per_s: f64, bounds: &Bounds) {
        let aim = self.aim(calls_per_s, bounds);
        if aim < self.cap {
            self.cap = aim;
            self.reason = Reason::Rows { calls: calls_per_s };
        }
        self.calm = 0;
    }

    /// Adapts the cap to the rows of the last second.
    pub(crate) fn adapt(&mut self, load: &Load, asked: f64, bounds: &Bounds) {
        let rows_max = self.rows_max.min(bounds.rows_per_s);
        // Up to three standard deviations more are chance; what is too much is thinned out all the same.
        if load.drawn > rows_max + 3.0 * rows_max.sqrt() {
            self.brake(load.calls, bounds);
        } else if self.cap < 1.0 && (load.drawn < RISE_BELOW * rows_max || load.calls <= FITS * rows_max) {
            self.calm += 1;
            let aim = self.aim(load.calls, bounds);
            if self.reason == Reason::Overrun && rows_max.is_finite() {
                // Callers braked as hard as they could, not knowing how often they call.
                self.cap = self.cap.max(aim);
                self.reason = Reason::Rows { calls: load.calls };
            } else if self.calm >= RISE_AFTER || rows_max.is_infinite() {
                self.calm = 0;
                self.cap = (self.cap * RISE).min(aim);
            }
        } else {
            self.calm = 0;
        }
        if self.cap >= asked {
            self.cap = 1.0;
            if !self.is_counted {
                self.reason = Reason::AsAsked;
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

    /// What a function with so many calls a second does on this rung.
    pub(super) fn load(calls: f64, rung: &Rung, asked: f64) -> Load {
        let drawn = calls * asked.min(rung.cap);
        let left = calls - drawn;
        let (timed, counted) =
            if rung.is_counted { (left / 256.0, left * 255.0 / 256.0) } else { (left, 0.0) };
        Load { calls, records: drawn, with_values: 0.0, drawn, timed, counted }
    }

    #[test]
    fn rows_come_down_at_once_and_go_up_slowly() {
        let mut rung = Rung::default();
        let busy = Load { calls: 30_000.0, drawn: 30_000.0, ..Load::default() };
        rung.adapt(&busy, 1.0, &BOUNDS);
        assert_eq!((rung.cap, rung.reason), (0.025, Reason::Rows { calls: 30_000.0 }));
        // As busy as before it stays where it is.
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
        assert_eq!((caps.len(), rung.reason), (18, Reason::AsAsked));
    }

    #[test]
    fn what_callers_braked_for_themselves_is_put_right_at_the_next_look() {
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
        rung.brake(1e6, &BOUNDS);
        for _ in 0..100 {
            rung.adapt(&load(10.0, &rung, 0.01), 0.01, &BOUNDS);
        }
        let load = load(10.0, &rung, 0.01);
        assert_eq!(Place { rung: &mut rung, load, asked: 0.01 }.rate(), 0.01);
    }
}
