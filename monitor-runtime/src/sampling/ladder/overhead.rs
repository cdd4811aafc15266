//! The budget of all functions together. The most expensive functions sink first, and rise again one by one.

use super::{Bounds, Costs, Load, Reason, Rung};

/// A function on the ladder.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) rung: &'a mut Rung,
    pub(crate) load: Load,
    pub(crate) requested: f64,
}

impl Candidate<'_> {
    pub(super) fn rate(&self) -> f64 {
        self.requested.min(self.rung.limit())
    }

    /// Returns the cost of counting the calls if that alone exceeds the budget; else 0.
    fn counting_alone(&self, costs: &Costs, budget: f64) -> f64 {
        let counting = self.load.counted * costs.counted;
        if self.rung.is_counted && counting > budget { counting } else { 0.0 }
    }

    /// Returns the saving of the best step down, and the step.
    fn sinking(&self, costs: &Costs) -> Option<(f64, Step)> {
        let Load { calls, sampled, timed, .. } = self.load;
        let rows_left = (sampled / SINK).max(ROWS_LEAST);
        let of_rows = (sampled - rows_left) * self.load.row_cost(costs);
        if self.rate() >= 1.0 {
            // Calls without a row are timed instead, which costs something too.
            let saving = of_rows - (calls - rows_left) * costs.timed;
            return (saving > 0.0).then_some((saving, Step::Rows(rows_left)));
        }
        let of_timing = if self.rung.is_counted { 0.0 } else { timed * (costs.timed - costs.counted) };
        if of_timing >= of_rows && of_timing > 0.0 {
            Some((of_timing, Step::Timing))
        } else {
            (of_rows > 0.0).then_some((of_rows, Step::Rows(rows_left)))
        }
    }

    /// Returns the cost of the next step up, and the step.
    fn raising(&self, costs: &Costs) -> Option<(f64, Step)> {
        let Load { sampled, counted, .. } = self.load;
        if self.rung.is_counted {
            return Some((counted * (costs.timed - costs.counted), Step::Timing));
        }
        let rows = self.rung.rows_max * SINK;
        rows.is_finite().then(|| ((SINK - 1.0) * sampled * self.load.row_cost(costs), Step::Rows(rows)))
    }

    fn sink(&mut self, step: Step, bounds: &Bounds, percent: f64) {
        match step {
            Step::Timing => self.rung.is_counted = true,
            Step::Rows(rows) => {
                self.rung.rows_max = rows;
                self.rung.throttle(self.load.calls, bounds);
            }
        }
        self.rung.reason = Reason::Overhead { percent };
    }

    fn raise(&mut self, step: Step, bounds: &Bounds) {
        match step {
            Step::Timing => self.rung.is_counted = false,
            Step::Rows(rows) => {
                self.rung.rows_max = if rows >= bounds.rows_per_s { f64::INFINITY } else { rows };
            }
        }
        self.rung.reason = if self.rung.rows_max.is_finite() || self.rung.cap >= 1.0 {
            self.rung.reason
        } else {
            Reason::Rows { calls: self.load.calls }
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Switches between timing all calls and timing a share of them.
    Timing,
    /// Changes the bound to this many rows per second.
    Rows(f64),
}

/// The CPU time of the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Overhead {
    /// CPU time of the whole process, in ns per second.
    pub(crate) process: f64,
    /// CPU time of the recorder's thread, in ns per second.
    pub(crate) collector: f64,
}

/// Keeps the costs of all functions together within the budget.
#[derive(Debug, Default)]
pub(crate) struct OverheadControl {
    /// The number of consecutive looks that left room in the budget.
    calm: u32,
}

/// A function that costs too much keeps a tenth of its rows.
const SINK: f64 = 10.0;
/// A sinking function keeps at least this many rows per second, because a few rows are still worth reading.
const ROWS_LEAST: f64 = 10.0;
/// The smallest budget, in ns per second: a tenth of a percent of a core, which an idle recorder takes. A
/// program that sleeps most of its time therefore keeps its rows.
const BUDGET_LEAST: f64 = 1e6;
/// A function sinks only if that saves at least this share of the budget.
const SAVING_LEAST: f64 = 0.01;
/// The cheapest functions, which together make up less than this share of the total cost, do not sink: their
/// rows would be lost for hardly any saving.
const LEFT_ALONE: f64 = 0.05;
/// No function sinks if all functions together would save less than this share of the excess.
const WON_LEAST: f64 = 0.25;
/// A function may rise after this many consecutive looks with low costs.
const RAISE_AFTER: u32 = 5;
/// Costs are low below this share of the budget.
const RAISE_BELOW: f64 = 0.5;
/// A function rises only if the costs stay below this share of the budget afterwards.
const RAISE_TO: f64 = 0.75;

/// The most that a record costs the collector, in ns: a record with a kilobyte of values costs less. If the
/// collector was busy for longer, it was busy with other work.
const DRAINED_MOST: f64 = 10_000.0;

impl Costs {
    /// Raises the cost of a record to what the collector's time, in ns per second, says: records with values
    /// cost more.
    fn with_collector(self, ns: f64, records: f64) -> Self {
        let drained = ((ns - BUDGET_LEAST) / records.max(1.0)).min(DRAINED_MOST);
        Self { drained: self.drained.max(drained), ..self }
    }
}

impl OverheadControl {
    /// Sinks the most expensive functions while recording exceeds the budget, and raises one again after a
    /// while with room. Returns the costs of the last second and the budget, in ns per second.
    pub(crate) fn keep(
        &mut self,
        candidates: &mut [Candidate<'_>],
        costs: &Costs,
        overhead: Overhead,
        bounds: &Bounds,
    ) -> (f64, f64) {
        let records: f64 = candidates.iter().map(|candidate| candidate.load.records).sum();
        let costs = &costs.with_collector(overhead.collector, records);
        let on_callers: f64 = candidates.iter().map(|candidate| candidate.load.caller_cost(costs)).sum();
        let total = on_callers + overhead.collector;
        let budget = (bounds.overhead * overhead.process).max(BUDGET_LEAST);
        // Functions that are too expensive even to count are left out of the sum with all their costs. No rung
        // saves these costs, and other functions would lose their rows for nothing.
        let alone = candidates.iter().filter(|candidate| candidate.counting_alone(costs, budget) > 0.0);
        let alone: f64 = alone.map(|candidate| candidate.load.total_cost(costs)).sum();
        let to_save = (total - alone).max(0.0);
        if bounds.overhead >= 1.0 {
            for candidate in candidates {
                candidate.rung.is_counted = false;
                candidate.rung.rows_max = f64::INFINITY;
            }
        } else if to_save > budget {
            self.calm = 0;
            sink(candidates, costs, (to_save, budget), overhead.process, bounds);
        } else {
            mark_counting_alone(candidates, costs, budget, overhead.process);
            self.calm = if to_save < RAISE_BELOW * budget { self.calm + 1 } else { 0 };
            if self.calm >= RAISE_AFTER && raise(candidates, costs, RAISE_TO * budget - to_save, bounds) {
                self.calm = 0;
            }
        }
        (total, budget)
    }
}

fn sink(
    candidates: &mut [Candidate<'_>],
    costs: &Costs,
    (mut total, budget): (f64, f64),
    process: f64,
    bounds: &Bounds,
) {
    mark_counting_alone(candidates, costs, budget, process);
    let percent_of = |ns: f64| 100.0 * ns / process.max(1.0);
    candidates.sort_by(|a, b| b.load.total_cost(costs).total_cmp(&a.load.total_cost(costs)));
    let sinks = |candidate: &&mut Candidate<'_>| candidate.counting_alone(costs, budget) <= 0.0;
    let of_all: f64 =
        candidates.iter_mut().filter(sinks).map(|candidate| candidate.load.total_cost(costs)).sum();
    let mut of_cheaper = of_all;
    let worth = |(saving, _): &(f64, Step)| *saving >= SAVING_LEAST * budget;
    let to_be_saved =
        candidates.iter_mut().filter(sinks).filter_map(|candidate| candidate.sinking(costs).filter(worth));
    if to_be_saved.map(|(saving, _)| saving).sum::<f64>() < WON_LEAST * (total - budget) {
        return;
    }
    // A function that is too expensive to count does not sink: fewer rows would not help, and its rows are all
    // that is left to see of it.
    for candidate in candidates.iter_mut().filter(sinks) {
        if total <= budget || of_cheaper < LEFT_ALONE * of_all {
            return;
        }
        let in_all = candidate.load.total_cost(costs);
        of_cheaper -= in_all;
        if let Some((saving, step)) = candidate.sinking(costs).filter(worth) {
            candidate.sink(step, bounds, percent_of(in_all));
            total -= saving;
        }
    }
}

/// Sets the reason of functions whose counting alone exceeds the budget.
fn mark_counting_alone(candidates: &mut [Candidate<'_>], costs: &Costs, budget: f64, process: f64) {
    for candidate in candidates {
        let alone = candidate.counting_alone(costs, budget);
        if alone > 0.0 {
            candidate.rung.reason = Reason::CountingAlone { percent: 100.0 * alone / process.max(1.0) };
        }
    }
}

/// Raises the function that costs least to raise, if the cost fits. Returns whether it did.
fn raise(candidates: &mut [Candidate<'_>], costs: &Costs, room: f64, bounds: &Bounds) -> bool {
    let cheapest = candidates
        .iter_mut()
        .filter_map(|candidate| candidate.raising(costs).map(|(cost, step)| (cost, step, candidate)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    match cheapest {
        Some((cost, step, candidate)) if cost <= room => {
            candidate.raise(step, bounds);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BOUNDS, load};
    use super::*;

    const COSTS: Costs = Costs { recorded: 20.0, values: 20.0, timed: 25.0, counted: 2.0, drained: 1000.0 };
    const CORE: Overhead = Overhead { process: 1e9, collector: 1e6 };

    /// Looks this many times at functions with these calls per second.
    fn look(rungs: &mut [Rung], calls: &[f64], looks: usize) -> (f64, f64) {
        look_while(CORE, rungs, calls, looks)
    }

    /// Does the same while this much CPU time is used.
    fn look_while(overhead: Overhead, rungs: &mut [Rung], calls: &[f64], looks: usize) -> (f64, f64) {
        let mut control = OverheadControl::default();
        let mut last = (0.0, 0.0);
        for _ in 0..looks {
            let mut candidates: Vec<Candidate<'_>> = Vec::new();
            for (rung, calls) in rungs.iter_mut().zip(calls) {
                let load = load(*calls, rung, 1.0);
                rung.adapt(&load, 1.0, &BOUNDS);
                candidates.push(Candidate { rung, load, requested: 1.0 });
            }
            last = control.keep(&mut candidates, &COSTS, overhead, &BOUNDS);
        }
        last
    }

    #[test]
    fn what_stays_within_the_bounds_is_recorded_as_asked() {
        let mut rungs = [Rung::default(); 3];
        look(&mut rungs, &[1.0, 500.0, 999.0], 20);
        assert_eq!(rungs, [Rung::default(); 3]);
    }

    #[test]
    fn a_very_hot_function_is_counted_and_what_is_called_seldom_beside_it_recorded() {
        let mut rungs = [Rung::default(); 2];
        look(&mut rungs, &[4e6, 1.0], 3);
        assert!(rungs[0].is_counted && rungs[0].cap < 2e-4, "{:?}", rungs[0]);
        assert!(matches!(rungs[0].reason, Reason::Overhead { .. }), "{:?}", rungs[0]);
        assert_eq!(rungs[1], Rung::default());
        // The function stays on its rung, because rising would cost too much again.
        let (total, budget) = look(&mut rungs, &[4e6, 1.0], 50);
        assert!(rungs[0].is_counted && total < 1.2 * budget, "{total} {budget}");
    }

    #[test]
    fn what_costs_next_to_nothing_is_not_lowered_beside_a_function_that_breaks_the_budget() {
        let mut rungs = [Rung::default(); 4];
        rungs[0].throttle(4e6, &BOUNDS);
        let calls = [4e6, 300.0, 100.0, 20.0];
        // The collector is still busy with the records that the first left before it was throttled.
        look_while(Overhead { collector: 2e8, ..CORE }, &mut rungs, &calls, 1);
        assert!(rungs[0].is_counted, "{:?}", rungs[0]);
        assert_eq!(rungs[1..], [Rung::default(); 3]);
    }

    #[test]
    fn nothing_is_lowered_where_that_would_save_next_to_nothing() {
        // A program that gets little of its processor, and what the collector takes without any rows.
        let crowded = Overhead { process: 2e8, collector: 3e6 };
        let mut rungs = [Rung::default()];
        look_while(crowded, &mut rungs, &[20.0], 10);
        assert_eq!(rungs, [Rung::default()]);
        look_while(crowded, &mut rungs, &[900.0], 10);
        assert!(matches!(rungs[0].reason, Reason::Overhead { .. }), "{:?}", rungs[0]);
    }

    #[test]
    fn it_is_said_where_counting_alone_costs_too_much() {
        let mut rungs = [Rung::default()];
        look(&mut rungs, &[2e7], 5);
        let Reason::CountingAlone { percent } = rungs[0].reason else { panic!("{:?}", rungs[0]) };
        assert!((3.9..4.1).contains(&percent), "{percent}");
    }

    #[test]
    fn a_function_that_costs_too_much_to_count_takes_no_rows_from_others() {
        let mut rungs = [Rung::default(), Rung::default(), Rung::default()];
        look(&mut rungs, &[2e7, 900.0, 1.0], 5);
        assert!(matches!(rungs[0].reason, Reason::CountingAlone { .. }), "{:?}", rungs[0]);
        // Functions that were lowered while the first one was still timed rise again.
        look(&mut rungs, &[2e7, 900.0, 1.0], 60);
        assert!(matches!(rungs[0].reason, Reason::CountingAlone { .. }), "{:?}", rungs[0]);
        assert_eq!(rungs[1..], [Rung::default(); 2]);
        look(&mut rungs, &[10.0, 900.0, 1.0], 80);
        assert_eq!(rungs, [Rung::default(); 3]);
    }

    #[test]
    fn nor_by_what_else_it_costs_than_to_be_counted() {
        let mut rungs = [Rung::default(); 2];
        // The cost of the few timed calls and of the rows would exceed the budget.
        let busy = Overhead { collector: 9e6, ..CORE };
        look_while(busy, &mut rungs, &[2e7, 800.0], 60);
        assert!(matches!(rungs[0].reason, Reason::CountingAlone { .. }), "{:?}", rungs[0]);
        assert_eq!(rungs[1], Rung::default());
    }

    #[test]
    fn the_most_expensive_functions_sink_first_and_only_as_many_as_need_be() {
        let mut rungs = vec![Rung::default(); 40];
        let calls: Vec<f64> = (0..40).map(|at| f64::from(at) * 5_000.0).collect();
        let (total, budget) = look(&mut rungs, &calls, 30);
        assert!(total <= budget, "{total} {budget}");
        let first = rungs.iter().position(|rung| rung.is_counted);
        assert!(first.is_some_and(|first| first > 3), "{first:?}");
        assert!(rungs[first.unwrap_or(0)..].iter().all(|rung| rung.is_counted));
    }

    #[test]
    fn many_functions_within_their_own_rows_give_way_together() {
        let mut rungs = vec![Rung::default(); 100];
        let (total, budget) = look(&mut rungs, &[900.0; 100], 30);
        // The collector's own time is given here and does not fall with the rows.
        assert!(total <= budget, "{total} {budget}");
    }

    #[test]
    fn a_function_that_has_become_quiet_rises_again() {
        let mut rungs = [Rung::default()];
        look(&mut rungs, &[4e6], 5);
        assert!(rungs[0].is_counted);
        look(&mut rungs, &[10.0], 80);
        assert_eq!(rungs[0], Rung::default());
    }

    #[test]
    fn without_bounds_nothing_sinks() {
        let none = Bounds::new(0, 1.0);
        let mut rung = Rung::default();
        let load = Load { calls: 1e7, sampled: 1e7, records: 1e7, ..Load::default() };
        rung.adapt(&load, 1.0, &none);
        rung.throttle(1e7, &none);
        OverheadControl::default().keep(
            &mut [Candidate { rung: &mut rung, load, requested: 1.0 }],
            &COSTS,
            CORE,
            &none,
        );
        assert_eq!(rung, Rung::default());
    }

    #[test]
    fn a_program_that_mostly_sleeps_keeps_its_rows() {
        let mut rung = Rung::default();
        let idle = Overhead { process: 3e6, collector: 2e6 };
        for _ in 0..10 {
            let load = load(20.0, &rung, 1.0);
            OverheadControl::default().keep(
                &mut [Candidate { rung: &mut rung, load, requested: 1.0 }],
                &COSTS,
                idle,
                &BOUNDS,
            );
        }
        assert_eq!(rung, Rung::default());
    }
}
