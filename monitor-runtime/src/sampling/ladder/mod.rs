//! The ladder decides how much of each function is recorded, from the calls of the last second.
//!
//! Takes the calls of each function, the trees that begin with it, what calls and rows cost, and the bounds. Gives the
//! rate of each function as the root of trees, and whether its calls have rows in the trees of others, are timed, or are
//! only counted. Trees are thinned at their roots; a function below is lowered only if it is too expensive by itself. No
//! function is lowered if that saves less than a tenth of the budget, nor for costs that lowering does not save. Pure:
//! the collector knows when to look and applies the result.

mod costs;
mod thread_costs;
mod rung;
mod place;
mod water;
mod thinning;
mod budget;
#[cfg(test)]
mod simulated;

pub(crate) use budget::{Budget, Cpu, Figures};
pub(crate) use costs::{Costs, Load, Values};
pub(crate) use place::Place;
pub(crate) use rung::{Depth, Reason, Rung, Saving};
pub(crate) use thread_costs::{ThreadCosts, Work};

/// The bounds for all functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// The most rows per second and function; infinite for no bound.
    pub(crate) rows_per_s: f64,
    /// The share of one core, and of the process's CPU time if that is more, that recording may cost; 1 for no bound.
    pub(crate) overhead: f64,
}

impl Bounds {
    /// Converts the values of the settings, where 0 rows mean no bound.
    pub(crate) fn new(max_rate: u32, max_overhead: f64) -> Self {
        let rows_per_s = if max_rate == 0 { f64::INFINITY } else { f64::from(max_rate) };
        Self { rows_per_s, overhead: max_overhead }
    }

    /// Returns what recording may cost, in ns per second, in a process that uses this much CPU time. Without a bound it
    /// is infinite.
    pub(crate) fn budget(&self, process_ns: f64) -> f64 {
        if self.overhead >= 1.0 { f64::INFINITY } else { self.overhead * process_ns.max(CORE) }
    }
}

/// The share of the budget that timing calls may take, which leaves the rest for rows.
const TIMING_SHARE: f64 = 0.5;
/// Functions are lowered to this share of the budget, so that chance does not exceed it.
pub(crate) const AIM: f64 = 0.75;
/// The smallest saving for which a function is lowered, as a share of the budget.
const SAVING_MIN: f64 = 0.1;
/// The CPU time of one core, in ns per second.
pub(crate) const CORE: f64 = 1e9;

/// A part of the trees that begin with one function: the calls of one function in these trees, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TreePart {
    /// The function, by its place among those that the ladder looks at.
    pub(crate) place: usize,
    /// Records that were left.
    pub(crate) records: f64,
    /// Records that became rows.
    pub(crate) rows: f64,
    /// Calls that these records stand for.
    pub(crate) calls: f64,
}

/// The trees that begin with one function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree {
    /// The function, by its place among those that the ladder looks at.
    pub(crate) root: usize,
    /// All functions in these trees, the root itself among them.
    pub(crate) parts: Vec<TreePart>,
}

impl Tree {
    /// Returns the number of trees per second.
    fn number(&self) -> f64 {
        self.parts.iter().find(|part| part.place == self.root).map_or(0.0, |part| part.calls)
    }
}
