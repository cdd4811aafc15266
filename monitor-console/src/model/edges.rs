//! Edges: which function calls which, how often under one parent call, and for how long.

use foldhash::{HashMap, HashMapExt as _};

use anyhow::Result;

use super::cover::{Stretch, measure_cover};
use super::forest::Forest;
use super::names::Name;
use super::number::to_f64;
use super::rows::Rows;
use crate::report;
use crate::store::Store;

/// The caller of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// A monitored function.
    Function(Name),
    /// No caller, because the calls of the callee are roots.
    Root,
    /// A call without a row among those that were read.
    Unrecorded,
}

/// The calls of one function by one caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edge {
    /// The caller.
    pub(crate) caller: Caller,
    /// The called function.
    pub(crate) callee: Name,
    /// The rows of the callee that were read.
    pub(crate) rows: u64,
    /// The number of calls that the rows stand for.
    pub(crate) calls: f64,
    /// The number of calls that failed.
    pub(crate) failed: f64,
    /// The time of all these calls, in ns.
    pub(crate) total_ns: f64,
    /// The part of the callers' time in which at least one of these calls was under way, in ns.
    pub(crate) covered_ns: f64,
    /// The number of calls of the caller, with or without one of these calls; 0 unless the caller is a function.
    pub(crate) parents: f64,
    /// The most calls under one parent call. For parent calls that share a row, their mean counts, rounded up.
    pub(crate) most: u64,
    /// The id of the parent call with the most calls.
    pub(crate) most_call_id: Option<i64>,
    /// The position of the store that this call is from.
    pub(crate) most_store: usize,
    /// True if calls were sampled, so the number of calls and their time are estimates.
    pub(crate) is_estimated: bool,
}

impl Edge {
    fn new(caller: Caller, callee: Name) -> Self {
        Self {
            caller,
            callee,
            rows: 0,
            calls: 0.0,
            failed: 0.0,
            total_ns: 0.0,
            covered_ns: 0.0,
            parents: 0.0,
            most: 0,
            most_call_id: None,
            most_store: 0,
            is_estimated: false,
        }
    }

    /// Returns the mean number of these calls under one call of the caller; `None` without a caller.
    pub(crate) fn calls_per_parent(&self) -> Option<f64> {
        (self.parents > 0.0).then(|| self.calls / self.parents)
    }

    /// Returns the most of these calls under one call of the caller; `None` without a caller.
    pub(crate) fn most_per_parent(&self) -> Option<i64> {
        matches!(self.caller, Caller::Function(_)).then(|| i64::try_from(self.most).unwrap_or(i64::MAX))
    }
}

/// Returns the edges between all functions, the one with the most time first.
pub(crate) fn collect(rows: &Rows, forest: &Forest) -> Vec<Edge> {
    let mut edges: HashMap<(Caller, Name), Edge> = HashMap::new();
    for (at, row) in rows.rows.iter().enumerate() {
        let caller = match (row.parent, forest.parent(at)) {
            (None, _) => Caller::Root,
            (Some(_), Some(parent)) => Caller::Function(rows.rows[parent].function),
            (Some(_), None) => Caller::Unrecorded,
        };
        let edge = edges.entry((caller, row.function)).or_insert_with(|| Edge::new(caller, row.function));
        edge.rows += 1;
        edge.calls += row.weight;
        edge.is_estimated |= row.weight_of_one() > 1.0;
        if row.is_failed {
            edge.failed += row.weight;
        }
        edge.total_ns += to_f64(row.duration_ns.max(0)) * row.weight;
    }
    for parent in 0..rows.rows.len() {
        count_below(rows, forest, parent, &mut edges);
    }
    let mut calls: HashMap<Name, f64> = HashMap::new();
    for row in &rows.rows {
        *calls.entry(row.function).or_default() += row.weight;
    }
    for edge in edges.values_mut() {
        if let Caller::Function(caller) = edge.caller {
            edge.parents = calls.get(&caller).copied().unwrap_or(0.0);
        }
    }
    let mut edges: Vec<_> = edges.into_values().collect();
    edges.sort_by(|a, b| {
        b.total_ns.total_cmp(&a.total_ns).then_with(|| (a.caller, a.callee).cmp(&(b.caller, b.callee)))
    });
    edges
}

/// Adds the calls below one parent row to its edges: the most calls below one of the calls that share the row, which is
/// their mean, rounded up, and the time that they cover.
fn count_below(rows: &Rows, forest: &Forest, parent: usize, edges: &mut HashMap<(Caller, Name), Edge>) {
    let mut by_callee: Vec<(Name, usize)> =
        forest.children(parent).map(|child| (rows.rows[child].function, child)).collect();
    by_callee.sort_unstable();
    let row = &rows.rows[parent];
    for group in by_callee.chunk_by(|a, b| a.0 == b.0) {
        let Some(edge) = edges.get_mut(&(Caller::Function(row.function), group[0].0)) else { continue };
        let below: u64 = group.iter().map(|(_, child)| u64::from(rows.rows[*child].shared)).sum();
        let calls = below.div_ceil(u64::from(row.shared.max(1)));
        if calls > edge.most {
            edge.most = calls;
            edge.most_call_id = Some(row.call_id);
            edge.most_store = row.store();
        }
        let callees = group.iter().map(|(_, child)| Stretch::new(&rows.rows[*child]));
        edge.covered_ns += to_f64(measure_cover(Stretch::new(row), callees)) * row.weight_of_one();
    }
}

/// Reads which function was ever seen to call which, by name; nothing in a store of an older version.
pub(crate) fn read_pairs(store: &Store) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    if store.has_span_blocks()? {
        store.read_rows("SELECT caller, callee FROM call_edges", [], |row| {
            let cells = report::read_cells(row, 2)?;
            let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
            pairs.push((text(0), text(1)));
            Ok(())
        })?;
    }
    Ok(pairs)
}

/// A function that another one calls, and that does not have a row for every call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unrecorded {
    /// The caller.
    pub(crate) caller: String,
    /// The function.
    pub(crate) callee: String,
    /// The detail in which its calls are recorded: `timed` or `counted`.
    pub(crate) fidelity: String,
    /// Calls a second.
    pub(crate) calls_per_s: f64,
    /// The share of calls that get a row, 0 to 1.
    pub(crate) rate: f64,
}

/// Reads the functions that do not have a row for every call in a process, once for each caller; nothing in a store of
/// an older version, which does not know who calls whom.
pub(crate) fn read_unrecorded(store: &Store, process_id: i64) -> Result<Vec<Unrecorded>> {
    let mut found = Vec::new();
    if !store.has_span_blocks()? {
        return Ok(found);
    }
    let sql = "SELECT e.caller, e.callee, r.fidelity, r.calls_per_s, r.rate
               FROM call_edges e JOIN rates r ON r.function = e.callee
               WHERE r.process_id = ?1 AND r.fidelity <> 'recorded'
               ORDER BY e.caller, e.callee";
    store.read_rows(sql, [process_id], |row| {
        let cells = report::read_cells(row, 5)?;
        let [caller, callee, fidelity] =
            [0, 1, 2].map(|at| cells[at].as_text().unwrap_or_default().to_owned());
        let (calls_per_s, rate) = (cells[3].to_number().unwrap_or(0.0), cells[4].to_number().unwrap_or(1.0));
        found.push(Unrecorded { caller, callee, fidelity, calls_per_s, rate });
        Ok(())
    })?;
    Ok(found)
}

/// Returns the time of all calls of each function, in ns.
pub(crate) fn sum_durations(rows: &Rows) -> HashMap<Name, f64> {
    let mut sums = HashMap::new();
    for row in &rows.rows {
        *sums.entry(row.function).or_default() += to_f64(row.duration_ns.max(0)) * row.weight;
    }
    sums
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::model::forest::tests::row;
    use crate::model::rows::Row;

    fn collected(rows: Vec<Row>) -> Vec<Edge> {
        let rows = Rows { rows, ..Rows::default() };
        collect(&rows, &Forest::plant(&rows.rows))
    }

    fn call(function: Name, span: i64, parent: Option<i64>, start_ns: i64, duration_ns: i64) -> Row {
        Row { function, start_ns, duration_ns, ..row(span, parent) }
    }

    #[test]
    fn an_edge_counts_calls_parents_and_the_most_under_one_parent() {
        let edges = collected(vec![
            call(0, 1, None, 0, 100),
            call(1, 2, Some(1), 10, 20),
            call(1, 3, Some(1), 40, 20),
            call(0, 4, None, 200, 100),
            Row { is_failed: true, ..call(1, 5, Some(4), 210, 10) },
            call(0, 6, None, 400, 100),
        ]);
        let edge = edges.iter().find(|edge| edge.callee == 1).unwrap();
        assert_eq!(edge.caller, Caller::Function(0));
        assert_eq!((edge.calls, edge.parents, edge.most, edge.failed), (3.0, 3.0, 2, 1.0));
        assert_eq!((edge.total_ns, edge.covered_ns, edge.most_call_id), (50.0, 50.0, Some(1)));
        assert_eq!(edge.calls_per_parent(), Some(1.0));
        let roots = edges.iter().find(|edge| edge.callee == 0).unwrap();
        assert_eq!((roots.caller, roots.calls, roots.parents), (Caller::Root, 3.0, 0.0));
    }

    #[test]
    fn calls_that_share_a_row_and_sampled_calls_count_with_their_weight() {
        let edges = collected(vec![
            Row { weight: 10.0, ..call(0, 1, None, 0, 1000) },
            Row { weight: 1000.0, shared: 100, ..call(1, 2, Some(1), 0, 5) },
        ]);
        let edge = edges.iter().find(|edge| edge.callee == 1).unwrap();
        assert_eq!((edge.calls, edge.parents, edge.most), (1000.0, 10.0, 100));
        assert_eq!((edge.total_ns, edge.covered_ns), (5000.0, 5000.0));
        assert!(edge.is_estimated);
    }

    #[test]
    fn the_most_calls_below_one_caller_are_not_those_below_all_callers_that_share_its_row() {
        let edges = collected(vec![
            Row { weight: 836.0, shared: 836, ..call(0, 1, None, 0, 10) },
            Row { weight: 836.0, shared: 836, ..call(1, 2, Some(1), 0, 5) },
            Row { weight: 837.0, shared: 837, ..call(2, 3, Some(1), 0, 5) },
        ]);
        let find = |callee| edges.iter().find(|edge| edge.callee == callee).unwrap();
        assert_eq!((find(1).most, find(2).most), (1, 2));
        assert_eq!((find(1).covered_ns, find(2).covered_ns), (836.0 * 5.0, 837.0 * 5.0));
    }

    #[test]
    fn overlapping_calls_cover_their_parent_once_and_a_lost_caller_is_told() {
        let edges = collected(vec![
            call(0, 1, None, 0, 100),
            call(1, 2, Some(1), 0, 60),
            call(1, 3, Some(1), 0, 60),
            call(1, 9, Some(8), 0, 60),
        ]);
        let find = |caller| edges.iter().find(|edge| edge.callee == 1 && edge.caller == caller).unwrap();
        assert_eq!(find(Caller::Function(0)).covered_ns, 60.0);
        assert_eq!(find(Caller::Unrecorded).calls, 1.0);
    }
}
