//! The parts of the time of calls: the calls that they made, their own computing and their own waiting.

use std::collections::{BTreeMap, HashMap};

use super::facts::CallFacts;
use super::to_f64;
use crate::model::cover::{Stretch, measure_cover};
use crate::model::forest::Forest;
use crate::model::rows::Rows;

/// The share of the time below which a part is left out.
const SHARE_MIN: f64 = 0.01;
/// The most parts that are reported.
const SHOWN_MAX: usize = 6;

/// The parts of the time of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spent {
    /// The callees, by function: their number, and the time in which at least one of them was under way.
    pub(crate) callees: Vec<(String, u64, i64)>,
    /// The time outside of these calls in which it was polled or ran.
    pub(crate) computing_ns: i64,
    /// The time outside of these calls in which it waited.
    pub(crate) waiting_ns: i64,
}

/// A part of the time of calls: means per call of the group and of the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// The kind of part.
    pub(crate) name: PartName,
    /// The mean time per call, in ns.
    pub(crate) mean_ns: [f64; 2],
    /// The mean number of calls of the part per call; 1 for the function's own time.
    pub(crate) calls: [f64; 2],
}

/// The name of a part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PartName {
    /// A function that was called.
    Callee(String),
    /// The function's own computing.
    Computing,
    /// The function's own waiting.
    Waiting,
}

/// Measures where the time of the call at this position went; of calls that share the row, the mean of them.
pub(super) fn measure(rows: &Rows, forest: &Forest, at: usize) -> Spent {
    let row = &rows.rows[at];
    let shared = row.shared.max(1);
    let cover =
        |callees: &[Stretch]| measure_cover(Stretch::new(row), callees.iter().copied()) / i64::from(shared);
    let mut by_callee: HashMap<u32, (u64, Vec<Stretch>)> = HashMap::new();
    let mut all = Vec::new();
    for child in forest.children(at) {
        let child = &rows.rows[child];
        let entry = by_callee.entry(child.function).or_default();
        entry.0 += u64::from(child.shared);
        entry.1.push(Stretch::new(child));
        all.push(Stretch::new(child));
    }
    let callees = by_callee
        .into_iter()
        .map(|(function, (calls, callees))| {
            let calls = calls.div_ceil(u64::from(shared));
            (rows.names.text(function).to_owned(), calls, cover(&callees))
        })
        .collect();
    let own_ns = row.duration_ns.max(0).saturating_sub(cover(&all)).max(0);
    let waiting_ns = own_ns.min(row.duration_ns.saturating_sub(row.busy_ns).max(0));
    Spent { callees, computing_ns: own_ns - waiting_ns, waiting_ns }
}

/// Compares the parts of both sides, the largest difference first.
pub(super) fn compare(sides: &[Vec<&CallFacts>; 2]) -> Vec<Part> {
    let mut parts: BTreeMap<PartName, Part> = BTreeMap::new();
    let mut whole = [0.0; 2];
    for (side, calls) in sides.iter().enumerate() {
        let known: Vec<_> =
            calls.iter().filter_map(|call| Some((call.weight, call.spent.as_ref()?))).collect();
        let weight: f64 = known.iter().map(|(weight, _)| weight).sum();
        if weight <= 0.0 {
            return Vec::new();
        }
        for (of_row, spent) in known {
            let share = of_row / weight;
            let mut add = |name: PartName, number: f64, ns: i64| {
                let empty = Part { name: name.clone(), mean_ns: [0.0; 2], calls: [0.0; 2] };
                let part = parts.entry(name).or_insert(empty);
                part.mean_ns[side] += to_f64(ns) * share;
                part.calls[side] += number * share;
                whole[side] += to_f64(ns) * share;
            };
            for (callee, number, ns) in &spent.callees {
                #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
                add(PartName::Callee(callee.clone()), *number as f64, *ns);
            }
            add(PartName::Computing, 1.0, spent.computing_ns);
            add(PartName::Waiting, 1.0, spent.waiting_ns);
        }
    }
    let mut parts: Vec<_> = parts.into_values().collect();
    parts.retain(|part| (0..2).any(|side| part.mean_ns[side] > whole[side] * SHARE_MIN));
    let difference = |part: &Part| part.mean_ns[0] - part.mean_ns[1];
    parts.sort_by(|a, b| difference(b).total_cmp(&difference(a)));
    parts.truncate(SHOWN_MAX);
    parts
}
