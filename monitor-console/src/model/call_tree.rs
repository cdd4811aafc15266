//! The tree of one trace, whose equal siblings are folded, with its critical path.
//!
//! Loading takes a store and the id of a call, and gives the calls of its trace. Arranging is pure: it takes calls and
//! what a person opened and closed, and gives lines. Every call has exactly one place, whatever the store holds, and
//! nothing recurses, so a tree may have any depth.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::logs::{self, Line as LogLine};
use super::number::to_f64;
use super::traces;
use super::waterfall;
use crate::report::{self, Cell};
use crate::store::Store;

/// The fewest equal siblings that are folded into one line.
const FOLD_MIN: usize = 5;
/// The largest share of a call's duration that its children may take if the call is to be folded: folding hides them.
const FOLD_CHILDREN_MAX: f64 = 0.1;

/// A call of a trace.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TreeCall {
    /// The id of the call.
    pub(crate) call_id: i64,
    /// The span, unique within the process.
    pub(crate) span: i64,
    /// The span of its caller; `None` for a root.
    pub(crate) parent: Option<i64>,
    /// The function.
    pub(crate) function: String,
    /// The outcome.
    pub(crate) outcome: String,
    /// True unless the outcome is `ok`.
    pub(crate) is_failed: bool,
    /// The start, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The time from its start to its end; of calls that share the row, to the last end.
    pub(crate) duration_ns: i64,
    /// The time being polled; of a sync call its duration.
    pub(crate) busy_ns: i64,
    /// The calls that share the row.
    pub(crate) shared: i64,
    /// The thread on which the call began.
    pub(crate) thread: String,
    /// The captured values, as text.
    pub(crate) args: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    /// The log lines that the call wrote, by time.
    pub(crate) said: Vec<LogLine>,
}

impl TreeCall {
    /// Returns the end.
    pub(crate) fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns.max(0))
    }
}

/// The calls of a trace, by start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree {
    /// The id of the trace.
    pub(crate) trace_id: i64,
    /// The run of the program.
    pub(crate) process_id: i64,
    /// The calls.
    pub(crate) calls: Vec<TreeCall>,
    /// True if calls beyond the bound were left out.
    pub(crate) is_cut: bool,
}

/// Loads the trace of a call, at most `limit` calls; `None` if no call has this id.
pub(crate) fn load(store: &Store, call_id: i64, limit: usize) -> Result<Option<Tree>> {
    let sql = "SELECT process_id, trace_id FROM calls WHERE call_id = ?1";
    let Some(found) = store.read_first_row(sql, [call_id])? else { return Ok(None) };
    let [process_id, trace_id] = [0, 1].map(|at| found[at].to_integer().unwrap_or(0));
    let shared = if store.has_span_blocks()? {
        "COALESCE(folded, 1), (SELECT last_ns FROM folds f WHERE f.call_id = calls.call_id)"
    } else {
        "1, NULL"
    };
    let sql = format!(
        "SELECT call_id, span_id, parent_id, function, outcome, failed, start_ns, duration_ns, busy_ns, thread,
           SUBSTR(args, 1, 4000), SUBSTR(result, 1, 4000), SUBSTR(error, 1, 4000), {shared}
         FROM calls WHERE call_id IN ({}) ORDER BY start_ns, duration_ns DESC, call_id LIMIT :limit",
        traces::select_calls(store)?
    );
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let mut tree = Tree { trace_id, process_id, ..Tree::default() };
    let bound = [(":trace", &trace_id), (":process", &process_id), (":limit", &wanted)];
    store.read_rows(&sql, &bound, |row| {
        tree.calls.push(read_call(&report::read_cells(row, 15)?));
        Ok(())
    })?;
    tree.is_cut = tree.calls.len() > limit;
    tree.calls.truncate(limit);
    tree.add_lines(logs::find_in_trace(store, trace_id, logs::TRACE_LINES_MAX)?);
    Ok(Some(tree))
}

fn read_call(cells: &[Cell]) -> TreeCall {
    let number = |at: usize| cells[at].to_integer().unwrap_or(0);
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    let start_ns = number(6);
    let own_ns = number(7);
    TreeCall {
        call_id: number(0),
        span: number(1),
        parent: cells[2].to_integer().filter(|parent| *parent != 0),
        function: text(3).unwrap_or_default(),
        outcome: text(4).unwrap_or_default(),
        is_failed: number(5) != 0,
        start_ns,
        duration_ns: cells[14].to_integer().map_or(own_ns, |last| last.saturating_sub(start_ns)).max(0),
        busy_ns: number(8).clamp(0, own_ns.max(0)),
        shared: number(13).max(1),
        thread: text(9).unwrap_or_default(),
        args: text(10),
        result: text(11),
        error: text(12),
        said: Vec::new(),
    }
}

/// The calls whose children a person hid, and the folds that a person opened, each fold by the id of its first call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Opened {
    /// Calls whose children are hidden.
    pub(crate) closed: HashSet<i64>,
    /// Folds whose calls are shown.
    pub(crate) folds: HashSet<i64>,
}

/// A line of an arranged tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// The call, or the first call of a fold, as a position in the tree.
    pub(crate) at: usize,
    /// The depth of the line in its tree; 0 for a root.
    pub(crate) depth: usize,
    /// The calls of a fold; empty for a single call.
    pub(crate) fold: Vec<usize>,
    /// True if lines can be shown or hidden below it.
    pub(crate) has_more: bool,
    /// True if the lines below are shown.
    pub(crate) is_open: bool,
    /// True if its caller has no row.
    pub(crate) is_orphan: bool,
}

impl Tree {
    /// Returns the first start and the last end.
    pub(crate) fn extent(&self) -> (i64, i64) {
        let start = self.calls.iter().map(|call| call.start_ns).min().unwrap_or(0);
        (start, self.calls.iter().map(TreeCall::end_ns).max().unwrap_or(0).max(start))
    }

    /// Gives each call the log lines that it wrote.
    fn add_lines(&mut self, lines: Vec<LogLine>) {
        let mut by_span: HashMap<i64, Vec<LogLine>> = HashMap::new();
        for line in lines {
            by_span.entry(line.span.unwrap_or(0)).or_default().push(line);
        }
        for call in &mut self.calls {
            call.said = by_span.remove(&call.span).unwrap_or_default();
        }
    }

    /// Returns the children of each call, in the order of calls, and the calls without a caller among them.
    fn plant(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let by_span: HashMap<i64, usize> =
            self.calls.iter().enumerate().map(|(at, call)| (call.span, at)).collect();
        let mut children = vec![Vec::new(); self.calls.len()];
        let mut roots = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            match call.parent.and_then(|parent| by_span.get(&parent)).filter(|parent| **parent != at) {
                Some(parent) => children[*parent].push(at),
                None => roots.push(at),
            }
        }
        (children, roots)
    }

    /// Arranges the calls as lines, with runs of equal siblings folded.
    pub(crate) fn arrange(&self, opened: &Opened) -> Vec<Line> {
        let (children, roots) = self.plant();
        let mut lines = Vec::new();
        let mut is_placed = vec![false; self.calls.len()];
        // The calls that no root leads to come after the roots: they form circles, which only a tampered store has.
        for first in roots.iter().copied().chain(0..self.calls.len()) {
            let mut open = self.fold_siblings(&[first], &children, 0);
            while let Some(mut line) = open.pop() {
                if line.fold.is_empty() && is_placed[line.at] {
                    continue;
                }
                let call = &self.calls[line.at];
                let below = if line.fold.is_empty() {
                    is_placed[line.at] = true;
                    line.is_orphan = call.parent.is_some() && line.depth == 0;
                    line.has_more = !children[line.at].is_empty();
                    line.is_open = line.has_more && !opened.closed.contains(&call.call_id);
                    self.fold_siblings(&children[line.at], &children, line.depth + 1)
                } else {
                    line.has_more = true;
                    line.is_open = opened.folds.contains(&call.call_id);
                    let single = |at: &usize| Line::single(*at, line.depth + 1);
                    line.fold.iter().rev().map(single).collect()
                };
                if line.is_open {
                    open.extend(below);
                } else {
                    mark_hidden(&below, &children, &mut is_placed);
                }
                lines.push(line);
            }
        }
        lines
    }

    /// Returns siblings as lines, the last one first. Siblings of one function that all succeeded, or all failed,
    /// share a line if they are many and their children take little of their time.
    fn fold_siblings(&self, siblings: &[usize], children: &[Vec<usize>], depth: usize) -> Vec<Line> {
        let is_plain = |at: usize| {
            let durations = children[at].iter().map(|child| self.calls[*child].duration_ns);
            let below = durations.fold(0, i64::saturating_add);
            to_f64(below) <= to_f64(self.calls[at].duration_ns) * FOLD_CHILDREN_MAX
        };
        let mut groups: HashMap<(&str, bool), Vec<usize>> = HashMap::new();
        if siblings.len() >= FOLD_MIN {
            for at in siblings.iter().copied().filter(|at| is_plain(*at)) {
                let call = &self.calls[at];
                groups.entry((&call.function, call.is_failed)).or_default().push(at);
            }
            groups.retain(|_, group| group.len() >= FOLD_MIN);
        }
        let mut lines = Vec::new();
        for at in siblings.iter().copied() {
            let call = &self.calls[at];
            match groups.get(&(call.function.as_str(), call.is_failed)).filter(|_| is_plain(at)) {
                Some(group) if group[0] == at => {
                    lines.push(Line { fold: group.clone(), ..Line::single(at, depth) });
                }
                Some(_) => {}
                None => lines.push(Line::single(at, depth)),
            }
        }
        lines.reverse();
        lines
    }

    /// Returns for each call whether it lies on the critical path.
    pub(crate) fn find_critical_path(&self) -> Vec<bool> {
        let (children, roots) = self.plant();
        let spans: Vec<_> = self.calls.iter().map(|call| (call.start_ns, call.end_ns())).collect();
        let path = waterfall::find_critical_path(&spans, &children, roots.into_iter());
        (0..self.calls.len()).map(|at| path.contains(&at)).collect()
    }
}

/// Marks everything below hidden lines as placed, so that it is not taken for a circle.
fn mark_hidden(lines: &[Line], children: &[Vec<usize>], is_placed: &mut [bool]) {
    let mut rest: Vec<usize> =
        lines.iter().flat_map(|line| line.fold.iter().copied().chain([line.at])).collect();
    while let Some(at) = rest.pop() {
        if !std::mem::replace(&mut is_placed[at], true) {
            rest.extend(&children[at]);
        }
    }
}

impl Line {
    fn single(at: usize, depth: usize) -> Self {
        Self { at, depth, fold: Vec::new(), has_more: false, is_open: false, is_orphan: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(span: i64, parent: Option<i64>, function: &str, (start_ns, duration_ns): (i64, i64)) -> TreeCall {
        let function = function.to_owned();
        TreeCall {
            call_id: span,
            span,
            parent,
            function,
            start_ns,
            duration_ns,
            shared: 1,
            ..TreeCall::default()
        }
    }

    fn drawn(tree: &Tree, opened: &Opened) -> Vec<(usize, i64, usize)> {
        let line = |line: Line| (line.depth, tree.calls[line.at].span, line.fold.len());
        tree.arrange(opened).into_iter().map(line).collect()
    }

    fn with_queries(count: i64) -> Tree {
        let mut calls = vec![call(1, None, "place", (0, 1000)), call(2, Some(1), "validate", (1, 5))];
        calls.extend((0..count).map(|n| call(10 + n, Some(1), "query", (10 + n * 10, 9))));
        calls.push(call(3, Some(1), "charge", (900, 90)));
        calls.push(call(4, Some(3), "authorize", (910, 60)));
        Tree { calls, ..Tree::default() }
    }

    #[test]
    fn many_equal_siblings_are_one_line_until_it_is_opened() {
        let tree = with_queries(6);
        let mut opened = Opened::default();
        assert_eq!(drawn(&tree, &opened), [(0, 1, 0), (1, 2, 0), (1, 10, 6), (1, 3, 0), (2, 4, 0)]);
        opened.folds.insert(10);
        assert_eq!(drawn(&tree, &opened).len(), 11);
        assert_eq!(drawn(&tree, &opened)[3], (2, 10, 0));
        assert_eq!(drawn(&with_queries(4), &Opened::default()).len(), 8);
    }

    #[test]
    fn a_closed_call_hides_what_is_below_it() {
        let opened = Opened { closed: [3].into(), ..Opened::default() };
        assert_eq!(drawn(&with_queries(6), &opened).last(), Some(&(1, 3, 0)));
        let opened = Opened { closed: [1].into(), ..Opened::default() };
        assert_eq!(drawn(&with_queries(6), &opened), [(0, 1, 0)]);
    }

    #[test]
    fn siblings_whose_children_matter_are_not_folded() {
        let mut tree = with_queries(6);
        for n in 0..6 {
            tree.calls.push(call(100 + n, Some(10 + n), "wait", (10 + n * 10, 8)));
        }
        assert!(tree.arrange(&Opened::default()).iter().all(|line| line.fold.is_empty()));
    }

    #[test]
    fn every_call_has_one_place_even_in_a_circle_and_a_lost_caller_is_told() {
        let calls = vec![
            call(1, Some(2), "a", (0, 1)),
            call(2, Some(1), "b", (0, 1)),
            call(3, Some(99), "c", (0, 1)),
            call(4, Some(4), "d", (0, 1)),
        ];
        let tree = Tree { calls, ..Tree::default() };
        let lines = tree.arrange(&Opened::default());
        let mut placed: Vec<_> = lines.iter().map(|line| line.at).collect();
        placed.sort_unstable();
        assert_eq!(placed, [0, 1, 2, 3]);
        assert!(lines.iter().any(|line| line.at == 2 && line.is_orphan));
        assert!(tree.find_critical_path().iter().any(|is_on_it| *is_on_it));
    }

    #[test]
    fn the_critical_path_leads_backwards_over_the_children_that_end_last() {
        let calls = vec![
            call(1, None, "place", (0, 100)),
            call(2, Some(1), "early", (5, 10)),
            call(3, Some(1), "beside", (20, 30)),
            call(4, Some(1), "slow", (20, 60)),
            call(5, Some(4), "inner", (30, 40)),
            call(6, Some(1), "spawned", (40, 500)),
        ];
        let tree = Tree { calls, ..Tree::default() };
        assert_eq!(tree.find_critical_path(), [true, true, false, true, true, false]);
    }

    #[test]
    fn a_very_deep_tree_is_arranged_without_recursion() {
        let calls = (1..=50_000).map(|span| call(span, (span > 1).then(|| span - 1), "f", (0, 1))).collect();
        let tree = Tree { calls, ..Tree::default() };
        assert_eq!(tree.arrange(&Opened::default()).len(), 50_000);
        assert!(tree.find_critical_path().iter().all(|is_on_it| *is_on_it));
    }
}
