//! The order of calls in their tree. The file takes spans, parents and starts, and returns places; it does not know the
//! store.
//!
//! Every call gets exactly one place, whatever the store holds: a call whose caller is missing is a root, and
//! a circle of callers, which only a tampered store has, is entered at one of them. Nothing recurses, so a
//! tree may be a hundred thousand calls deep.

use std::collections::HashMap;

use monitor_runtime::store::span_ids::BLOCK_BITS;

/// The values of a call that decide its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) span_id: i64,
    pub(super) parent_id: Option<i64>,
    pub(super) start_ns: i64,
    /// The time from its start to its end; of calls that share a row, from the first start to the last end.
    pub(super) duration_ns: i64,
}

impl Node {
    /// Returns the block of the span id, which identifies the thread on which the call began. A thread's
    /// name does not identify it, because all workers of a pool may share one.
    pub(super) fn thread_key(&self) -> i64 {
        self.span_id >> BLOCK_BITS
    }
}

/// The place of a call: one line of the waterfall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the call.
    pub(super) node: usize,
    /// The index of the caller; `None` if the caller has no row.
    pub(super) parent: Option<usize>,
    /// The number of calls above the call.
    pub(super) depth: usize,
    /// True if the call has a caller without a row.
    pub(super) is_orphan: bool,
    /// The lines drawn before the call: `│  ├─ `.
    pub(super) branch: String,
}

/// The number of levels whose lines are drawn.
const BRANCHES_MAX: usize = super::DEPTH_SHOWN_MAX;

/// Returns the earliest start and the latest end of the calls.
pub(super) fn measure_extent(nodes: &[Node]) -> (i64, i64) {
    let start = nodes.iter().map(|node| node.start_ns).min().unwrap_or(0);
    let end = nodes.iter().map(|node| node.start_ns.saturating_add(node.duration_ns)).max().unwrap_or(0);
    (start, end)
}

/// Places each caller before its child calls, and siblings in the given order.
pub(super) fn arrange(nodes: &[Node]) -> Vec<Place> {
    let by_span: HashMap<i64, usize> =
        nodes.iter().enumerate().map(|(at, node)| (node.span_id, at)).collect();
    let parents: Vec<Option<usize>> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| by_span.get(&node.parent_id?).copied().filter(|parent| *parent != at))
        .collect();
    let mut children = vec![Vec::new(); nodes.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(at);
        }
    }
    let mut places = Vec::with_capacity(nodes.len());
    let mut is_placed = vec![false; nodes.len()];
    let roots = (0..nodes.len()).filter(|at| parents[*at].is_none());
    // After the roots come the calls that no root leads to: circles.
    for root in roots.chain(0..nodes.len()) {
        place_tree(root, nodes, &parents, &children, &mut is_placed, &mut places);
    }
    places
}

/// A call still to be placed, and the lines drawn before it and before its child calls.
struct Open {
    node: usize,
    depth: usize,
    lines: String,
    branch: String,
}

fn place_tree(
    root: usize,
    nodes: &[Node],
    parents: &[Option<usize>],
    children: &[Vec<usize>],
    is_placed: &mut [bool],
    places: &mut Vec<Place>,
) {
    let mut open = vec![Open { node: root, depth: 0, lines: String::new(), branch: String::new() }];
    while let Some(Open { node, depth, lines, branch }) = open.pop() {
        if std::mem::replace(&mut is_placed[node], true) {
            continue;
        }
        let is_orphan = nodes[node].parent_id.is_some() && parents[node].is_none();
        places.push(Place { node, parent: parents[node], depth, is_orphan, branch });
        let is_drawn = depth < BRANCHES_MAX;
        let last = children[node].last().copied();
        for child in children[node].iter().rev().copied() {
            let (bend, line) = if Some(child) == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (branch, lines) = if is_drawn {
                (format!("{lines}{bend}"), format!("{lines}{line}"))
            } else {
                (lines.clone(), lines.clone())
            };
            open.push(Open { node: child, depth: depth + 1, lines, branch });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(span_id: i64, parent_id: Option<i64>) -> Node {
        Node { span_id, parent_id, start_ns: span_id, duration_ns: 1 }
    }

    fn drawn(nodes: &[Node]) -> Vec<(i64, usize, String)> {
        let line = |place: Place| (nodes[place.node].span_id, place.depth, place.branch);
        arrange(nodes).into_iter().map(line).collect()
    }

    #[test]
    fn callers_stand_above_what_they_called() {
        let nodes = [node(1, None), node(2, Some(1)), node(3, Some(2)), node(4, Some(1))];
        let expected = [(1, 0, ""), (2, 1, "├─ "), (3, 2, "│  └─ "), (4, 1, "└─ ")];
        assert_eq!(drawn(&nodes), expected.map(|(span, depth, branch)| (span, depth, branch.to_owned())));
    }

    #[test]
    fn a_call_whose_caller_has_no_row_is_a_root_and_says_so() {
        let places = arrange(&[node(5, Some(4)), node(6, Some(5))]);
        assert!(places[0].is_orphan && places[0].depth == 0);
        assert!(!places[1].is_orphan && places[1].depth == 1);
    }

    #[test]
    fn every_call_has_one_place_even_in_a_circle() {
        let nodes = [node(1, Some(2)), node(2, Some(1)), node(3, Some(3)), node(4, Some(1)), node(1, None)];
        let mut placed: Vec<_> = arrange(&nodes).into_iter().map(|place| place.node).collect();
        placed.sort_unstable();
        assert_eq!(placed, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_very_deep_tree_is_arranged_without_recursion() {
        let nodes: Vec<_> = (1..=100_000).map(|span| node(span, (span > 1).then(|| span - 1))).collect();
        let places = arrange(&nodes);
        assert_eq!(places.last().map(|place| place.depth), Some(99_999));
        assert!(places.iter().all(|place| place.branch.len() < 600));
    }
}
