//! The calls of a function in a second, and what they cost as they are recorded and as they could be. Pure.

/// The costs of calls and records, in ns each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Costs {
    /// The cost to the caller of a call that leaves a record without values.
    pub(crate) recorded: f64,
    /// The additional cost of captured values of `values_bytes`.
    pub(crate) values: f64,
    /// The size of the values by which `values` was measured.
    pub(crate) values_bytes: f64,
    /// The cost of a call that is timed and leaves no record.
    pub(crate) timed: f64,
    /// The cost of a call that is only counted.
    pub(crate) counted: f64,
    /// The cost of a record to the collector.
    pub(crate) drained: f64,
    /// The additional cost of a row to the collector.
    pub(crate) row: f64,
    /// The additional cost of a byte of a row's values to the collector.
    pub(crate) value_byte: f64,
    /// The cost of the wake-ups per second that counted calls need, whatever their number.
    pub(crate) ticks: f64,
}

/// The calls of a function, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// Calls that ended.
    pub(crate) calls: f64,
    /// Calls that left a record.
    pub(crate) records: f64,
    /// Records that became rows.
    pub(crate) rows: f64,
    /// Calls that were timed and left no record.
    pub(crate) timed: f64,
    /// Calls that were only counted.
    pub(crate) counted: f64,
    /// The share of records that carry values, and the bytes of these values.
    pub(crate) values: Values,
}

/// The captured values of a function.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Values {
    /// The share of calls with values.
    pub(crate) share: f64,
    /// The mean size of the values of a call that has some, in bytes.
    pub(crate) bytes: f64,
}

/// The rows per second that a function leaves whose calls are only counted: enough to read some, and hardly a cost.
pub(crate) const COUNTED_ROWS: f64 = 50.0;

impl Load {
    /// Returns the mean cost of capturing the values of a call.
    pub(super) fn capture(&self, costs: &Costs) -> f64 {
        let Values { share, bytes } = self.values;
        share * costs.values * (bytes / costs.values_bytes.max(1.0)).max(1.0)
    }

    /// Returns the cost of a call that is timed and leaves no record.
    fn timed_call(&self, costs: &Costs, captures: bool) -> f64 {
        costs.timed + if captures { self.capture(costs) } else { 0.0 }
    }

    /// Returns the cost of a record, to the caller and the collector, up to its row.
    fn record(&self, costs: &Costs) -> f64 {
        costs.recorded + self.capture(costs) + costs.drained
    }

    /// Returns the cost of a row of this function to the collector, beside that of its record.
    fn row(&self, costs: &Costs) -> f64 {
        costs.row + self.values.share * self.values.bytes * costs.value_byte
    }

    /// Returns the cost to the callers, in ns per second.
    pub(crate) fn caller_cost(&self, costs: &Costs, captures: bool) -> f64 {
        self.records * (costs.recorded + self.capture(costs))
            + self.timed * self.timed_call(costs, captures)
            + self.counted * costs.counted
    }

    /// Returns the cost to the callers and the collector, in ns per second.
    pub(crate) fn total_cost(&self, costs: &Costs, captures: bool) -> f64 {
        self.caller_cost(costs, captures) + self.records * costs.drained + self.rows * self.row(costs)
    }

    /// Returns the cost if all calls were timed, and none had a record or captured values.
    pub(crate) fn cost_timed(&self, costs: &Costs) -> f64 {
        self.calls * costs.timed
    }

    /// Returns the cost if the calls were only counted.
    pub(crate) fn cost_counted(&self, costs: &Costs) -> f64 {
        let rows = COUNTED_ROWS.min(self.calls);
        let timed = (self.calls - rows) * crate::sampling::TIMED_SHARE;
        (self.calls - rows - timed) * costs.counted
            + timed * costs.timed
            + rows * (self.record(costs) + self.row(costs))
    }

    /// Returns the saving if this many records and rows per second are not left, and their calls are timed instead.
    pub(crate) fn saving(&self, records: f64, rows: f64, costs: &Costs, captures: bool) -> f64 {
        records * (self.record(costs) - self.timed_call(costs, captures)) + rows * self.row(costs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        recorded: 20.0,
        values: 20.0,
        values_bytes: 20.0,
        timed: 25.0,
        counted: 2.0,
        drained: 150.0,
        row: 1000.0,
        value_byte: 2.0,
        ticks: 0.0,
    };

    #[test]
    fn what_a_row_costs_less_what_the_call_costs_without_it_is_what_its_loss_saves() {
        let values = Values { share: 0.5, bytes: 200.0 };
        let with = Load { calls: 100.0, records: 100.0, rows: 100.0, values, ..Load::default() };
        let without = Load { records: 0.0, rows: 0.0, timed: 100.0, ..with };
        for captures in [false, true] {
            let saved = with.total_cost(&COSTS, captures) - without.total_cost(&COSTS, captures);
            assert!((with.saving(100.0, 100.0, &COSTS, captures) - saved).abs() < 1e-6);
        }
        // Half of the calls have 200 bytes, ten times as much as was measured.
        assert!((with.capture(&COSTS) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn counted_calls_cost_their_count_and_a_few_rows() {
        let load = Load { calls: 5e6, ..Load::default() };
        let cost = load.cost_counted(&COSTS);
        assert!((1e7..1.1e7).contains(&cost), "{cost}");
        assert!(Load { calls: 3.0, ..Load::default() }.cost_counted(&COSTS) < 4000.0);
    }
}
