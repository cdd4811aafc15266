//! The last log lines that a call wrote before it ended: what people look for in log files when a call has failed.
//!
//! Takes the id of a call; gives lines of the call and of the calls below it, by time. Lines of other calls of the trace, which
//! may have been under way meanwhile, are not among them.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::call_tree;
use super::logs::{self, Line};
use crate::store::Store;

/// The last lines of a failed call that are shown with it: what a screen has room for beside the failure.
pub(crate) const SHOWN: usize = 5;
/// The most calls of a trace that are read to find out which calls are below another one.
const TREE_CALLS_MAX: usize = 5_000;

/// Returns the last lines that a call, and the calls below it, wrote while it was under way.
pub(crate) fn find(store: &Store, call_id: i64, count: usize) -> Result<Vec<Line>> {
    if !logs::are_kept(store)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT trace_id, span_id, start_ns + duration_ns FROM calls WHERE call_id = ?1";
    let Some(call) = store.read_first_row(sql, [call_id])? else { return Ok(Vec::new()) };
    let [trace_id, span, end_ns] = [0, 1, 2].map(|at| call[at].to_integer().unwrap_or(0));
    let mut lines = logs::find_in_trace(store, trace_id, logs::TRACE_LINES_MAX)?;
    lines.retain(|line| line.at_ns <= end_ns);
    // In most failures the failed call wrote all lines itself, and then the tree need not be read.
    if lines.iter().any(|line| line.span != Some(span)) {
        let tree = call_tree::load(store, call_id, TREE_CALLS_MAX)?.unwrap_or_default();
        let parents = tree.calls.iter().map(|call| (call.span, call.parent)).collect();
        let below = spans_below(span, &parents);
        lines.retain(|line| line.span.is_some_and(|span| below.contains(&span)));
    }
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

/// Returns a span and all spans below it.
fn spans_below(span: i64, parents: &HashMap<i64, Option<i64>>) -> HashSet<i64> {
    let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
    for (child, parent) in parents {
        if let Some(parent) = parent {
            children.entry(*parent).or_default().push(*child);
        }
    }
    let (mut below, mut open) = (HashSet::new(), vec![span]);
    while let Some(span) = open.pop() {
        // A tampered store may hold a circle.
        if below.insert(span) {
            open.extend(children.get(&span).into_iter().flatten());
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spans_below_a_call_are_found_even_in_a_circle() {
        let parents =
            [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(1)), (5, Some(9)), (6, Some(7)), (7, Some(6))];
        let parents: HashMap<i64, Option<i64>> = parents.into_iter().collect();
        assert_eq!(spans_below(2, &parents), [2, 3].into());
        assert_eq!(spans_below(1, &parents), [1, 2, 3, 4].into());
        assert_eq!(spans_below(6, &parents), [6, 7].into());
    }
}
