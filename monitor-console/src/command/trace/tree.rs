//! Calls in the order of their tree. Pure: spans, parents and starts in, places out.
//!
//! Every call gets exactly one place, whatever the store holds: callers that are missing make a root,
//! and callers in a circle (which only a tampered store has) are entered at one of them. Nothing here
//! recurses, so a tree a hundred thousand deep is one more tree.

use std::collections::HashMap;

/// What of a call decides its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) span_id: i64,
    pub(super) parent_id: Option<i64>,
    pub(super) start_ns: i64,
    pub(super) duration_ns: i64,
}

impl Node {
    /// The thread it began on, which gives its span ids their upper half. Names are no identity: all
    /// workers of a pool share one.
    pub(super) fn thread(&self) -> i64 {
        self.span_id >> 32
    }
}

/// A line of the waterfall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the call.
    pub(super) node: usize,
    /// Index of its caller, where that has a row.
    pub(super) parent: Option<usize>,
    /// Calls above it.
    pub(super) depth: usize,
    /// It has a caller without a row.
    pub(super) is_orphan: bool,
    /// The lines that lead to it: `│  ├─ `.
    pub(super) branch: String,
}

/// Levels whose lines are drawn.
const BRANCHES_MAX: usize = super::DEPTH_SHOWN_MAX;

/// The first start and the last end.
pub(super) fn extent(nodes: &[Node]) -> (i64, i64) {
    let start = nodes.iter().map(|node| node.start_ns).min().unwrap_or(0);
    let end = nodes.iter().map(|node| node.start_ns.saturating_add(node.duration_ns)).max().unwrap_or(0);
    (start, end)
}

/// Callers before what they called, siblings in the order given.
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
    // After the roots come those that no root leads to: circles.
    for root in roots.chain(0..nodes.len()) {
        place(root, nodes, &parents, &children, &mut is_placed, &mut places);
    }
    places
}

/// A call still to be placed, and what leads to it.
struct Open {
    node: usize,
    depth: usize,
    lines: String,
    branch: String,
}

fn place(
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
