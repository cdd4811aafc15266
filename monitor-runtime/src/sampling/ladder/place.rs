//! A function on the ladder: its rung, its calls of the last second, and what other rungs would save. Pure.

use super::rung::Depth;
use super::{Costs, Load, Rung, TreePart};

/// A function on the ladder.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The id of the function.
    pub(crate) function: u32,
    pub(crate) rung: &'a mut Rung,
    pub(crate) load: Load,
    pub(crate) requested: f64,
}

impl Place<'_> {
    pub(super) fn cost(&self, costs: &Costs) -> f64 {
        self.load.total_cost(costs, self.rung.captures)
    }

    /// Returns the cost that a lower rung could save. A function whose calls are only counted is on the lowest one.
    pub(super) fn reducible(&self, costs: &Costs) -> f64 {
        if self.rung.is_counted() { 0.0 } else { self.cost(costs) }
    }

    /// Returns the cost of timing all calls over that of counting them: what only `Depth::Counted` saves.
    pub(super) fn timing(&self, costs: &Costs) -> f64 {
        self.load.cost_timed(costs) - self.load.calls * costs.counted
    }

    /// Returns the cost of the rows that `Depth::TimedOnly` leaves out.
    pub(super) fn rows_left_out(&self) -> f64 {
        self.load.calls * self.rung.saved_per_call
    }

    /// Returns the rate of the trees that begin with the function.
    pub(super) fn rate(&self) -> f64 {
        self.requested.min(self.rung.cap)
    }

    /// Sets the calls to be only counted from now on.
    pub(super) fn count_only(&mut self, costs: &Costs) {
        if self.rung.depth == Depth::Whole {
            let rows = self.cost(costs) - self.load.cost_timed(costs);
            self.rung.saved_per_call = rows.max(0.0) / self.load.calls.max(1.0);
        }
        self.rung.depth = Depth::Counted;
    }

    /// Sets the calls in the trees of others to be only timed from now on. `part` has the records and rows that this
    /// saves.
    pub(super) fn time_only(&mut self, part: TreePart, costs: &Costs) {
        let saved = self.load.saving(part.records, part.rows, costs, self.rung.captures);
        self.rung.saved_per_call = saved.max(0.0) / self.load.calls.max(1.0);
        self.rung.depth = Depth::TimedOnly;
        self.load.records -= part.records;
        self.load.rows -= part.rows;
        self.load.timed += part.records;
    }
}
