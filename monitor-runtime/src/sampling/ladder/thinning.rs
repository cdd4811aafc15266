//! The thinning of trees at their roots: the rates by which the rows of all trees fit into the budget, and by which no
//! function leaves more rows than may be written. Pure.

use super::place::Place;
use super::rung::{Depth, Saving};
use super::water::level;
use super::{AIM, Bounds, Costs, Reason, SAVING_MIN, TIMING_SHARE, Tree, TreePart};
use crate::growth::{MakeRoom as _, collect_all};

/// If rows of a function are at most this share of the allowed rows, its trees are not thinned for them.
const FITS: f64 = 0.9;
/// A root keeps at least this many trees per second, because a few trees are still worth reading.
const TREES_MIN: f64 = 5.0;

/// The trees of a look, and the cost of their rows beyond that of timing the calls, in ns per second.
pub(super) struct Thinning<'a> {
    trees: &'a [Tree],
    /// The cost of each root's trees if all of them were kept.
    full: Vec<f64>,
    /// The cost of each root's trees that were kept.
    kept: Vec<f64>,
    /// The cost of all functions that a lower rung could save.
    reducible: f64,
}

impl<'a> Thinning<'a> {
    /// Sums up the costs of all trees. Returns `None` if there is no memory for them.
    pub(super) fn new(places: &[Place<'_>], trees: &'a [Tree], costs: &Costs) -> Option<Self> {
        let sum = |tree: &Tree| {
            tree.parts.iter().fold((0.0, 0.0), |(kept, full), part| {
                let (more_kept, more_full) = part_costs(part, places, costs);
                (kept + more_kept, full + more_full)
            })
        };
        let mut sums = (Vec::new(), Vec::new());
        if !(sums.0.make_room(trees.len()) && sums.1.make_room(trees.len())) {
            return None;
        }
        sums.extend(trees.iter().map(sum));
        let (kept, full) = sums;
        let reducible = places.iter().map(|place| place.reducible(costs)).sum();
        Some(Self { trees, full, kept, reducible })
    }

    /// Returns the cost of a root's trees if they are recorded at the requested rate.
    fn need(&self, at: usize, places: &[Place<'_>]) -> f64 {
        self.full[at] * places[self.trees[at].root].requested
    }

    /// Returns the cost of the fewest trees that a root keeps.
    fn min_cost(&self, at: usize) -> f64 {
        self.full[at] * (TREES_MIN / self.trees[at].number().max(TREES_MIN))
    }

    /// Returns the rate at which a root's trees cost no more than `grant`.
    fn rate(&self, at: usize, need: f64, grant: f64) -> f64 {
        if need <= grant { 1.0 } else { (grant.max(self.min_cost(at)) / self.full[at]).min(1.0) }
    }

    /// Returns the reducible costs of all functions if trees are kept at these rates.
    pub(super) fn cost_at(&self, rates: &[f64]) -> f64 {
        let saved = |at: usize| match self.trees[at].number() {
            // Calls of a root that has not ended may soon turn out to be trees of their own.
            number if number <= 0.0 => self.kept[at],
            _ => (self.kept[at] - rates[at] * self.full[at]).max(0.0),
        };
        self.reducible - (0..rates.len()).map(saved).sum::<f64>()
    }

    /// Returns the rate of each root by which all trees together fit into the budget. The most expensive trees are
    /// thinned first, and none for a saving that is too small. If that does not suffice, such trees are thinned as
    /// well. Returns `None` if there is no memory for the rates.
    pub(super) fn rates(&self, places: &[Place<'_>], budget: f64) -> Option<Vec<f64>> {
        let needs = collect_all((0..self.trees.len()).map(|at| self.need(at, places)))?;
        if budget.is_infinite() {
            return collect_all(needs.iter().map(|_| 1.0));
        }
        let beside = self.reducible - self.kept.iter().sum::<f64>();
        // Trees are not thinned for the time that calls take without rows, because thinning would not save it.
        let available = (AIM * budget - beside).max((AIM - TIMING_SHARE) * budget);
        let mut spared = collect_all(needs.iter().map(|_| false))?;
        let grant = loop {
            let needs = || needs.iter().copied().enumerate();
            let taken: f64 = needs().filter(|(at, _)| spared[*at]).map(|(_, need)| need).sum();
            let grant =
                level(needs().filter(|(at, _)| !spared[*at]).map(|(_, need)| need), available - taken)?;
            let is_spared = |(at, need): &(usize, f64)| {
                let saving = need - grant.max(self.min_cost(*at));
                !spared[*at] && *need > grant && saving < SAVING_MIN * budget
            };
            // Functions are spared one at a time, the cheapest first, because others save more once one is spared.
            let next = needs().filter(is_spared).min_by(|a, b| a.1.total_cmp(&b.1));
            let Some((next, _)) = next else { break grant };
            spared[next] = true;
        };
        let rates = needs.iter().zip(&spared).enumerate();
        let rate = |(at, (need, spared)): (usize, (&f64, &bool))| {
            if *spared { 1.0 } else { self.rate(at, *need, grant) }
        };
        let rates = collect_all(rates.map(rate))?;
        let left: f64 = needs.iter().enumerate().map(|(at, need)| need.min(rates[at] * self.full[at])).sum();
        if left <= available + (1.0 - AIM + SAVING_MIN) * budget {
            return Some(rates);
        }
        let grant = level(needs.iter().copied(), available)?;
        collect_all(needs.iter().enumerate().map(|(at, need)| self.rate(at, *need, grant)))
    }

    /// Returns the reason of a root whose trees are thinned because of their cost, with what its rate saves.
    pub(super) fn reason(&self, at: usize, places: &[Place<'_>]) -> Reason {
        let place = &places[self.trees[at].root];
        let would_cost = self.need(at, places);
        Reason::Trees(Saving { would_cost, saved: self.full[at] * (place.requested - place.rate()).max(0.0) })
    }
}

/// Returns the cost of the rows of a part of trees: that of the calls that were kept, and that of all calls.
fn part_costs(part: &TreePart, places: &[Place<'_>], costs: &Costs) -> (f64, f64) {
    let Place { rung, load, .. } = &places[part.place];
    if rung.depth != Depth::Whole {
        return (0.0, 0.0);
    }
    if part.records <= 0.0 {
        return (0.0, load.saving(part.calls, part.calls, costs, rung.captures).max(0.0));
    }
    let kept = load.saving(part.records, part.rows, costs, rung.captures).max(0.0);
    (kept, kept * (part.calls / part.records).max(1.0))
}

/// The rate of a root by which no function leaves more rows than may be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowsBound {
    pub(super) rate: f64,
    /// True if the last second had more rows than may be written.
    pub(super) is_exceeded: bool,
    /// The function whose rows are too many, and the rows per second that all trees would leave of it.
    pub(super) place: usize,
    pub(super) rows: f64,
}

/// Returns the bound of each root in whose trees a function has too many rows; `None` if there is no memory for the
/// bounds.
pub(super) fn rows_bounds(
    places: &[Place<'_>],
    trees: &[Tree],
    bounds: &Bounds,
) -> Option<Vec<Option<RowsBound>>> {
    let mut found = collect_all(trees.iter().map(|_| None))?;
    let most = bounds.rows_per_s;
    if most.is_infinite() {
        return Some(found);
    }
    // The rows that each function leaves in the trees of each root: those of the kept trees, and those of all trees.
    let mut rows: Vec<Vec<(usize, f64, f64)>> = collect_all(places.iter().map(|_| Vec::new()))?;
    for (at, tree) in trees.iter().enumerate() {
        let requested = places[tree.root].requested;
        for part in tree.parts.iter().filter(|part| places[part.place].rung.depth == Depth::Whole) {
            let full = if part.records > 0.0 { part.rows * part.calls / part.records } else { part.calls };
            if !rows[part.place].make_room(1) {
                return None;
            }
            rows[part.place].push((at, part.rows, full * requested));
        }
    }
    for (place, roots) in rows.iter().enumerate() {
        let full: f64 = roots.iter().map(|(_, _, full)| full).sum();
        if full <= FITS * most {
            continue;
        }
        // Up to three standard deviations more are chance; tail sampling removes the excess in any case.
        let is_exceeded = roots.iter().map(|(_, kept, _)| kept).sum::<f64>() > most + 3.0 * most.sqrt();
        let grant = level(roots.iter().map(|(_, _, full)| *full), AIM * most)?;
        for (at, _, need) in roots.iter().filter(|(_, _, need)| *need > grant) {
            let rate = places[trees[*at].root].requested * grant / need;
            let bound = RowsBound { rate, is_exceeded, place, rows: full };
            let lower = found[*at].is_none_or(|before: RowsBound| rate < before.rate);
            if lower {
                found[*at] = Some(bound);
            }
        }
    }
    Some(found)
}
