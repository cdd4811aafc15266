//! The budget of all functions together: which functions are lowered when it is exceeded, and which rise when there is
//! room.
//!
//! Takes the calls of all functions and the trees that begin with them; moves their rungs. The ladder looks at them
//! about once a second, and the comments call that a look. No function is lowered for costs that no rung saves: the
//! recorder's wake-ups and the counting of counted calls. Functions that are too expensive by themselves are lowered
//! first, the largest saving first; the remaining excess is saved at the roots of the most expensive trees.

use super::costs::COUNTED_ROWS;
use super::place::Place;
use super::rung::{Depth, Saving};
use super::thinning::{RowsBound, Thinning, rows_bounds};
use super::{AIM, Bounds, Costs, Reason, SAVING_MIN, TIMING_SHARE, Tree, TreePart};
use crate::growth::{MakeRoom as _, collect_all};

/// The CPU time of the last second, in ns per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cpu {
    /// CPU time of the whole process.
    pub(crate) process: f64,
    /// CPU time of the recorder's thread.
    pub(crate) collector: f64,
    /// The part of the latter that wake-ups and batches took.
    pub(crate) fixed: f64,
}

/// The costs of recording in the last second, in ns per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    /// The cost on the callers' threads and on the recorder's own.
    pub(crate) cost: f64,
    /// The part that does not depend on calls and rows.
    pub(crate) fixed: f64,
    /// The cost that lowered functions save.
    pub(crate) saved: f64,
    /// The cost that recording may have; infinite without a bound.
    pub(crate) budget: f64,
}

/// Keeps the costs of all functions together within the budget.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// The CPU time of the process, smoothed.
    process: f64,
    /// The part of the budget that the last seconds left unused, in ns; negative after an excess. A short burst may
    /// spend it without lowering any function. `None` without a bound, and before the first look.
    credit: Option<f64>,
    /// The number of consecutive looks that left room in the budget.
    calm: u32,
    /// The budget of the last look, in ns per second.
    last: f64,
}

/// A function whose calls take more than this share of the budget just to be timed, 100 000 calls a second or more, is
/// lowered by itself before others are.
const HOT: f64 = 0.25;
/// A function with more calls than this in a tree, on average, is lowered by itself: its rows are folded there anyway, and
/// trees are not thinned for it.
const CALLS_IN_TREE: f64 = 64.0;
/// The seconds of the budget that may be spent at once.
const BURST: f64 = 2.0;
/// A function rises only if the costs stay below this share of the budget afterwards.
const RAISE_TO: f64 = 0.75;
/// A function may rise after this many consecutive looks with room in the budget.
const RAISE_AFTER: u32 = 5;
/// The share of the process's last CPU time in its smoothed CPU time.
const SMOOTHING: f64 = 0.2;
/// The rate of a counted function stays while it is right within this factor.
const COUNTED_HYSTERESIS: f64 = 2.0;

impl Budget {
    /// Moves the rungs of all functions by their calls in a look of this many seconds. Returns the costs; `None` if
    /// there is no memory to find the rungs: the next look moves them.
    pub(crate) fn keep(
        &mut self,
        places: &mut [Place<'_>],
        mut trees: Vec<Tree>,
        costs: &Costs,
        (cpu, seconds): (Cpu, f64),
        bounds: &Bounds,
    ) -> Option<Figures> {
        self.process += SMOOTHING * (cpu.process - self.process);
        let budget = bounds.budget(self.process.max(cpu.process));
        self.last = budget;
        for Place { rung, load, .. } in &mut *places {
            rung.keep_captures(load.timed * load.capture(costs), budget);
        }
        add_roots_without_rows(places, &mut trees)?;
        let on_callers =
            places.iter().map(|place| place.load.caller_cost(costs, place.rung.captures)).sum::<f64>();
        let is_over = self.is_over(sum_reducible(places, costs), budget, seconds);
        if budget.is_infinite() {
            for place in &mut *places {
                place.rung.lift_budget();
            }
        } else if is_over {
            self.calm = 0;
            lower_hot(places, &trees, costs, budget)?;
        } else {
            self.raise(places, costs, budget);
        }
        let thinning = Thinning::new(places, &trees, costs)?;
        let by_cost = thinning.rates(places, budget)?;
        if is_over {
            let excess =
                |places: &[Place<'_>]| Some(Thinning::new(places, &trees, costs)?.cost_at(&by_cost) - budget);
            lower_rest(places, &trees, excess, costs, budget)?;
        }
        let by_rows = rows_bounds(places, &trees, bounds)?;
        for (at, tree) in trees.iter().enumerate() {
            let (target, must_lower, reason) = match by_rows[at] {
                Some(RowsBound { rate, is_exceeded, place, rows }) if rate < by_cost[at] => {
                    (rate, is_exceeded, Reason::Rows { function: places[place].function, rows })
                }
                _ if by_cost[at] < 1.0 => (by_cost[at], is_over, thinning.reason(at, places)),
                _ => (1.0, false, Reason::Rising),
            };
            move_root(&mut places[tree.root], target, must_lower, reason);
        }
        for place in &mut *places {
            settle(place, costs, bounds, budget);
        }
        // The reason of each thinned root gets the saving of the rate that is in force now.
        for (at, tree) in trees.iter().enumerate() {
            if matches!(places[tree.root].rung.reason, Reason::Trees(_)) {
                places[tree.root].rung.reason = thinning.reason(at, places);
            }
        }
        let savings = places.iter().filter_map(|place| place.rung.reason.saving());
        Some(Figures {
            cost: on_callers + cpu.collector,
            fixed: cpu.fixed.min(cpu.collector),
            saved: savings.map(|saving| saving.saved).sum(),
            budget,
        })
    }

    /// Returns the budget of the last look, in ns per second.
    pub(crate) fn last(&self) -> f64 {
        self.last
    }

    /// Returns true if the costs exceed the budget, and have used up what the seconds before left of it.
    fn is_over(&mut self, cost: f64, budget: f64, seconds: f64) -> bool {
        if budget.is_infinite() {
            self.credit = None;
            return false;
        }
        let credit = self.credit.unwrap_or(BURST * budget) + (budget - cost) * seconds;
        self.credit = Some(credit.clamp(-budget, BURST * budget));
        credit < 0.0 && cost > budget
    }

    /// Raises the function that is lowered by itself and costs least to raise, if that fits.
    fn raise(&mut self, places: &mut [Place<'_>], costs: &Costs, budget: f64) {
        let room = RAISE_TO * budget - sum_reducible(places, costs);
        self.calm = if room > 0.0 { self.calm + 1 } else { 0 };
        if self.calm < RAISE_AFTER {
            return;
        }
        let raising = |place: &Place<'_>| match place.rung.depth {
            Depth::Whole => None,
            Depth::TimedOnly => Some(place.rows_left_out()),
            Depth::Counted => Some(place.timing(costs)),
        };
        let lowered = places.iter_mut().filter_map(|place| raising(place).map(|cost| (cost, place)));
        let Some((cost, place)) = lowered.min_by(|a, b| a.0.total_cmp(&b.0)) else { return };
        if cost <= room {
            self.calm = 0;
            let is_counted = place.rung.is_counted();
            place.rung.depth = if is_counted { Depth::TimedOnly } else { Depth::Whole };
            place.rung.reason = Reason::Rising;
        }
    }
}

/// Adds the trees of thinned roots that left no record, so that it is known what higher rates would bring. A function that
/// is only called in the trees of others, or not at all, need not stay thinned. Returns `None` without memory for them.
fn add_roots_without_rows(places: &mut [Place<'_>], trees: &mut Vec<Tree>) -> Option<()> {
    let mut is_found = collect_all(places.iter().map(|_| false))?;
    let mut is_root = collect_all(places.iter().map(|_| false))?;
    for tree in &*trees {
        is_root[tree.root] = true;
        for part in &tree.parts {
            is_found[part.place] = true;
        }
    }
    for (root, place) in places.iter_mut().enumerate() {
        if place.rung.cap >= 1.0 || place.rung.is_counted() || is_root[root] {
            continue;
        }
        if is_found[root] || place.load.calls <= 0.0 {
            move_root(place, 1.0, false, Reason::Rising);
        } else {
            let part = TreePart { place: root, calls: place.load.calls, ..TreePart::default() };
            if !trees.make_room(1) {
                return None;
            }
            trees.push(Tree { root, parts: vec![part] });
        }
    }
    Some(())
}

/// Returns the place whose lowering saves most, if it saves at least `min`.
fn find_best(savings: impl Iterator<Item = (usize, f64)>, min: f64) -> Option<usize> {
    let candidates = savings.filter(|(_, saving)| *saving >= min);
    candidates.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

fn sum_reducible(places: &[Place<'_>], costs: &Costs) -> f64 {
    places.iter().map(|place| place.reducible(costs)).sum()
}

/// Lowers functions that are too expensive by themselves, the largest saving first, until the costs fit: those whose
/// calls take too long to time are only counted, and those that are called very often in each tree are only timed.
/// Returns `None` if there is no memory to find them.
fn lower_hot(places: &mut [Place<'_>], trees: &[Tree], costs: &Costs, budget: f64) -> Option<()> {
    while sum_reducible(places, costs) > AIM * budget {
        let timing = |place: &Place<'_>| if place.rung.is_counted() { 0.0 } else { place.timing(costs) };
        let in_all: f64 = places.iter().map(timing).sum();
        let hot = if in_all > TIMING_SHARE * budget { SAVING_MIN } else { HOT } * budget;
        let counting = savings_of_counting(places, costs).filter(|(at, _)| timing(&places[*at]) >= hot);
        let Some(at) = find_best(counting, SAVING_MIN * budget) else { break };
        places[at].count_only(costs);
    }
    while sum_reducible(places, costs) > AIM * budget {
        let parts = callees(places, trees)?;
        let often = parts.iter().filter(|callee| callee.part.calls > CALLS_IN_TREE * callee.trees);
        let timing = often.map(|callee| (callee.part.place, callee.saving(places, costs)));
        let Some(at) = find_best(timing, HOT * budget) else { break };
        if let Some(callee) = parts.iter().find(|callee| callee.part.place == at) {
            places[at].time_only(callee.part, costs);
        }
    }
    Some(())
}

/// Lowers functions by themselves where thinned trees are still too expensive, the largest saving first. Returns `None`
/// if there is no memory to find them.
fn lower_rest(
    places: &mut [Place<'_>],
    trees: &[Tree],
    excess: impl Fn(&[Place<'_>]) -> Option<f64>,
    costs: &Costs,
    budget: f64,
) -> Option<()> {
    while excess(places)? > SAVING_MIN * budget {
        let parts = callees(places, trees)?;
        let rows = parts.iter().map(|callee| (callee.part.place, callee.saving(places, costs)));
        let rows = find_best(rows, SAVING_MIN * budget);
        let callee = rows.and_then(|at| parts.iter().find(|callee| callee.part.place == at));
        if let Some(callee) = callee {
            places[callee.part.place].time_only(callee.part, costs);
        } else if let Some(at) = find_best(savings_of_counting(places, costs), SAVING_MIN * budget) {
            places[at].count_only(costs);
        } else {
            break;
        }
    }
    Some(())
}

/// Returns what is saved if the calls of a function are only counted, for each function whose calls are timed.
fn savings_of_counting(places: &[Place<'_>], costs: &Costs) -> impl Iterator<Item = (usize, f64)> {
    // Counting a first function costs the wake-ups that advance the coarse clock.
    let ticks = if places.iter().any(|place| place.rung.is_counted()) { 0.0 } else { costs.ticks };
    let saving = move |place: &Place<'_>| place.cost(costs) - place.load.cost_counted(costs) - ticks;
    let timed = places.iter().enumerate().filter(|(_, place)| !place.rung.is_counted());
    timed.map(move |(at, place)| (at, saving(place)))
}

/// A function's calls in the trees of others.
struct Callee {
    part: TreePart,
    /// The trees in which the function is called.
    trees: f64,
}

impl Callee {
    fn saving(&self, places: &[Place<'_>], costs: &Costs) -> f64 {
        let place = &places[self.part.place];
        place.load.saving(self.part.records, self.part.rows, costs, place.rung.captures)
    }
}

/// Returns the functions that have rows in the trees of others; `None` without memory for them.
fn callees(places: &[Place<'_>], trees: &[Tree]) -> Option<Vec<Callee>> {
    let mut sums: Vec<Option<Callee>> = collect_all(places.iter().map(|_| None))?;
    // The trees of a root that has not ended are left out, because their number is not known yet.
    for tree in trees.iter().filter(|tree| tree.number() > 0.0) {
        let of_others = tree.parts.iter().filter(|part| part.place != tree.root);
        for part in of_others.filter(|part| places[part.place].rung.depth == Depth::Whole) {
            let none = || Callee { part: TreePart { place: part.place, ..TreePart::default() }, trees: 0.0 };
            let sum = sums[part.place].get_or_insert_with(none);
            sum.part.records += part.records;
            sum.part.rows += part.rows;
            sum.part.calls += part.calls;
            sum.trees += tree.number();
        }
    }
    collect_all(sums.into_iter().flatten())
}

/// Moves the cap of a root towards this rate, and states the reason.
fn move_root(place: &mut Place<'_>, target: f64, must_lower: bool, reason: Reason) {
    if place.rung.is_counted() {
        return;
    }
    let target = if target >= place.requested { 1.0 } else { target };
    place.rung.approach(target, must_lower);
    if place.rung.depth == Depth::Whole {
        place.rung.reason = reason;
    }
}

/// Sets the rate of a function that is only counted, and the reason of one that is lowered by itself or not at all.
fn settle(place: &mut Place<'_>, costs: &Costs, bounds: &Bounds, budget: f64) {
    let Place { rung, load, requested, .. } = place;
    let timed = load.cost_timed(costs);
    let left_out = load.calls * rung.saved_per_call;
    match rung.depth {
        Depth::Counted => {
            let rows = COUNTED_ROWS.min(AIM * bounds.rows_per_s);
            let cap = (rows / load.calls.max(rows)).min(1.0);
            if cap * COUNTED_HYSTERESIS < rung.cap || cap > rung.cap * COUNTED_HYSTERESIS {
                rung.cap = cap;
            }
            let saving = Saving { would_cost: timed, saved: (timed - load.cost_counted(costs)).max(0.0) };
            let is_alone = load.calls * costs.counted > budget;
            rung.reason = if is_alone { Reason::CountingAlone(saving) } else { Reason::Counted(saving) };
        }
        Depth::TimedOnly => {
            rung.reason = Reason::TimedOnly(Saving { would_cost: timed + left_out, saved: left_out });
        }
        Depth::Whole => {
            rung.saved_per_call = 0.0;
            if rung.cap >= *requested {
                (rung.cap, rung.reason) = (1.0, Reason::AsRequested);
            }
        }
    }
}
