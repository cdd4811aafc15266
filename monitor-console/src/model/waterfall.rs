//! The lines of a trace as they are shown: siblings folded, the critical path marked.
//!
//! Takes the calls of a tree in the order of their starts; gives lines. The file does not know the store.
//!
//! Siblings of one function that succeed, and whose callees take little time, are one line from the fifth on, because a
//! loop of a thousand queries shows no more than its number, its median and its longest call. The critical path goes
//! backwards from the end of the root: from each moment it goes to the child that ended last before that moment.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The number of equal siblings from which they share a line.
const FOLDED_FROM: usize = 5;
/// The share of the caller's duration that the callees of a sibling may take if the sibling is to share a line.
const CALLEES_SHARE_MAX: f64 = 0.1;

/// A call of the trace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The function.
    pub(crate) function: String,
    /// The start, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The duration, in ns.
    pub(crate) duration_ns: i64,
    /// True if the call failed.
    pub(crate) is_failed: bool,
    /// The position of its caller; `None` for a root. A caller comes before its callees in the list of lines.
    pub(crate) parent: Option<usize>,
    /// The number of calls that share the row.
    pub(crate) shared: i64,
}

impl Call {
    fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns.max(0))
    }
}

/// A line of the waterfall.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    /// A call.
    Call {
        /// The position of the call.
        at: usize,
        /// The number of its callers that have a row.
        depth: usize,
        /// True if the call lies on the critical path.
        is_critical: bool,
    },
    /// Calls of one function below one caller.
    Folded {
        /// The positions of the calls, by start.
        calls: Vec<usize>,
        /// The number of their callers that have a row.
        depth: usize,
        /// True if one of them lies on the critical path.
        is_critical: bool,
        /// The start of the first and the end of the last of the calls.
        span_ns: (i64, i64),
        /// The sum of the durations.
        total_ns: i64,
        /// The median duration.
        median_ns: i64,
        /// The longest duration.
        longest_ns: i64,
    },
}

/// Arranges calls as lines, callers before their callees. The siblings of a caller in `opened` are not folded; calls without a
/// caller have the position `usize::MAX`.
pub(crate) fn arrange(calls: &[Call], opened: &HashSet<usize>) -> Vec<Line> {
    let children = list_children(calls);
    let spans: Vec<_> = calls.iter().map(|call| (call.start_ns, call.end_ns())).collect();
    let roots = (0..calls.len()).filter(|at| parent_of(calls, *at).is_none());
    let critical = find_critical_path(&spans, &children, roots);
    let mut lines = Vec::with_capacity(calls.len());
    let mut is_placed = vec![false; calls.len()];
    let mut open: Vec<Entry> = Vec::new();
    let roots: Vec<usize> = (0..calls.len()).filter(|at| parent_of(calls, *at).is_none()).collect();
    push_siblings(calls, &children, None, &roots, 0, opened, &mut open);
    loop {
        while let Some(entry) = open.pop() {
            match entry {
                Entry::One(at, depth) => {
                    if std::mem::replace(&mut is_placed[at], true) {
                        continue;
                    }
                    lines.push(Line::Call { at, depth, is_critical: critical.contains(&at) });
                    push_siblings(calls, &children, Some(at), &children[at], depth + 1, opened, &mut open);
                }
                Entry::Many(group, depth) => {
                    // The callees of folded calls are folded with them.
                    for at in group.iter().flat_map(|at| children[*at].iter().chain([at])) {
                        is_placed[*at] = true;
                    }
                    lines.push(fold(calls, group, depth, &critical));
                }
            }
        }
        // A tampered store may hold circles, to which no root leads.
        match is_placed.iter().position(|is_placed| !is_placed) {
            Some(at) => open.push(Entry::One(at, 0)),
            None => return lines,
        }
    }
}

/// A call, or calls of one line, that are still to be placed.
enum Entry {
    One(usize, usize),
    Many(Vec<usize>, usize),
}

fn parent_of(calls: &[Call], at: usize) -> Option<usize> {
    calls[at].parent.filter(|parent| *parent < calls.len() && *parent != at)
}

fn list_children(calls: &[Call]) -> Vec<Vec<usize>> {
    let mut children = vec![Vec::new(); calls.len()];
    for at in 0..calls.len() {
        if let Some(parent) = parent_of(calls, at) {
            children[parent].push(at);
        }
    }
    for siblings in &mut children {
        siblings.sort_by_key(|at| (calls[*at].start_ns, *at));
    }
    children
}

/// Puts siblings on the stack, the last one first, with equal ones together.
fn push_siblings(
    calls: &[Call],
    children: &[Vec<usize>],
    parent: Option<usize>,
    siblings: &[usize],
    depth: usize,
    opened: &HashSet<usize>,
    open: &mut Vec<Entry>,
) {
    let is_opened = opened.contains(&parent.unwrap_or(usize::MAX));
    let whole = parent.map_or(i64::MAX, |parent| calls[parent].duration_ns).max(1);
    let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in siblings.iter().copied().filter(|at| is_plain(calls, children, *at, whole)) {
        groups.entry(calls[at].function.as_str()).or_default().push(at);
    }
    groups.retain(|_, group| group.len() >= FOLDED_FROM && !is_opened && parent.is_some());
    // A folded line stands where the first of its calls stands.
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut folded: HashSet<usize> = HashSet::new();
    let place: HashMap<usize, usize> = siblings.iter().copied().zip(0..).collect();
    for group in groups.into_values() {
        folded.extend(&group);
        entries.insert(place[&group[0]], Entry::Many(group, depth));
    }
    for at in siblings.iter().copied().filter(|at| !folded.contains(at)) {
        entries.insert(place[&at], Entry::One(at, depth));
    }
    open.extend(entries.into_values().rev());
}

/// Returns true for a call that may share a line: it succeeded, and its callees, if any, succeeded, called nothing and
/// took little time.
#[expect(clippy::cast_precision_loss, reason = "a share")]
fn is_plain(calls: &[Call], children: &[Vec<usize>], at: usize, whole_ns: i64) -> bool {
    let below: i64 =
        children[at].iter().map(|child| calls[*child].duration_ns.max(0)).fold(0, i64::saturating_add);
    !calls[at].is_failed
        && (children[at].is_empty()
            || below as f64 <= CALLEES_SHARE_MAX * whole_ns as f64 && !has_failed_child(calls, children, at))
}

fn has_failed_child(calls: &[Call], children: &[Vec<usize>], at: usize) -> bool {
    children[at].iter().any(|child| calls[*child].is_failed || !children[*child].is_empty())
}

fn fold(calls: &[Call], group: Vec<usize>, depth: usize, critical: &HashSet<usize>) -> Line {
    let mut durations: Vec<i64> = group.iter().map(|at| calls[*at].duration_ns.max(0)).collect();
    durations.sort_unstable();
    let start = group.iter().map(|at| calls[*at].start_ns).min().unwrap_or(0);
    let end = group.iter().map(|at| calls[*at].end_ns()).max().unwrap_or(0);
    Line::Folded {
        depth,
        is_critical: group.iter().any(|at| critical.contains(at)),
        span_ns: (start, end),
        total_ns: durations.iter().copied().fold(0, i64::saturating_add),
        median_ns: durations[durations.len() / 2],
        longest_ns: durations.last().copied().unwrap_or(0),
        calls: group,
    }
}

/// Finds the critical path of calls, each given by its start and its end: the root that ends last, then below each call on the
/// path the children that were waited for last.
pub(crate) fn find_critical_path(
    spans: &[(i64, i64)],
    children: &[Vec<usize>],
    roots: impl Iterator<Item = usize>,
) -> HashSet<usize> {
    let mut path = HashSet::new();
    let mut open: Vec<usize> = roots.max_by_key(|at| spans[*at].1).into_iter().collect();
    while let Some(at) = open.pop() {
        if !path.insert(at) {
            continue;
        }
        let mut by_end = children[at].clone();
        by_end.sort_by_key(|child| std::cmp::Reverse((spans[*child].1, spans[*child].0)));
        let mut reached = spans[at].1;
        for child in by_end {
            let (start, end) = spans[child];
            // A child that outlives its caller was not waited for.
            if end <= reached && end > start {
                open.push(child);
                reached = start;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, start_ns: i64, duration_ns: i64, parent: Option<usize>) -> Call {
        Call { function: function.to_owned(), start_ns, duration_ns, is_failed: false, parent, shared: 1 }
    }

    fn describe(lines: &[Line], calls: &[Call]) -> Vec<String> {
        let describe = |line: &Line| match line {
            Line::Call { at, depth, is_critical } => {
                format!("{depth} {}{}", calls[*at].function, if *is_critical { " !" } else { "" })
            }
            Line::Folded { calls: group, depth, is_critical, .. } => {
                let mark = if *is_critical { " !" } else { "" };
                format!("{depth} {} x{}{mark}", calls[group[0]].function, group.len())
            }
        };
        lines.iter().map(describe).collect()
    }

    #[test]
    fn equal_siblings_are_one_line_and_failed_ones_are_not() {
        let mut calls = vec![call("root", 0, 1000, None)];
        for n in 0..8 {
            calls.push(call("query", n * 100, 90, Some(0)));
        }
        calls[4].is_failed = true;
        calls.push(call("send", 900, 100, Some(0)));
        let lines = arrange(&calls, &HashSet::new());
        assert_eq!(describe(&lines, &calls), ["0 root !", "1 query x7 !", "1 query !", "1 send !"]);
        let Line::Folded { total_ns, median_ns, longest_ns, span_ns, .. } = &lines[1] else {
            panic!("{lines:?}")
        };
        assert_eq!((*total_ns, *median_ns, *longest_ns, *span_ns), (630, 90, 90, (0, 790)));
        assert_eq!(arrange(&calls, &HashSet::from([0])).len(), 10);
    }

    #[test]
    fn the_small_calls_of_folded_calls_are_folded_with_them() {
        let mut calls = vec![call("root", 0, 1_000_000, None)];
        for n in 0..6 {
            let at = calls.len();
            calls.push(call("load", n * 100, 90, Some(0)));
            calls.push(call("read", n * 100, 50, Some(at)));
        }
        let lines = arrange(&calls, &HashSet::new());
        assert_eq!(describe(&lines, &calls), ["0 root !", "1 load x6 !"]);
        assert_eq!(arrange(&calls, &HashSet::from([0])).len(), 13);
    }

    #[test]
    fn the_critical_path_goes_through_the_children_that_ended_last() {
        let calls = [
            call("root", 0, 100, None),
            call("quick", 0, 30, Some(0)),
            call("slow", 0, 80, Some(0)),
            call("inner", 10, 60, Some(2)),
            call("late", 85, 500, Some(0)),
        ];
        let lines = arrange(&calls, &HashSet::new());
        assert_eq!(describe(&lines, &calls), ["0 root !", "1 quick", "1 slow !", "2 inner !", "1 late"]);
    }

    #[test]
    fn every_call_is_in_one_line_even_in_a_circle() {
        let calls = [
            call("a", 0, 1, Some(1)),
            call("b", 0, 1, Some(0)),
            call("c", 0, 1, Some(2)),
            call("d", 0, 1, Some(9)),
        ];
        let lines = arrange(&calls, &HashSet::new());
        let mut placed: Vec<usize> = lines
            .iter()
            .flat_map(|line| match line {
                Line::Call { at, .. } => vec![*at],
                Line::Folded { calls, .. } => calls.clone(),
            })
            .collect();
        placed.sort_unstable();
        assert_eq!(placed, [0, 1, 2, 3]);
    }

    #[test]
    fn ten_thousand_siblings_are_few_lines_and_a_deep_tree_does_not_recurse() {
        let mut wide = vec![call("root", 0, 1_000_000, None)];
        wide.extend((0..10_000).map(|n| call(if n % 2 == 0 { "a" } else { "b" }, n * 100, 50, Some(0))));
        assert_eq!(arrange(&wide, &HashSet::new()).len(), 3);
        let deep: Vec<Call> = (0..100_000_usize).map(|n| call("f", 0, 5, n.checked_sub(1))).collect();
        assert_eq!(arrange(&deep, &HashSet::new()).len(), 100_000);
    }
}
