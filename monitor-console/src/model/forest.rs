//! The trees of calls: which row's call made which other row's call.
//!
//! A store may be tampered with, so spans may occur twice and parents may form a circle. A circle is cut: one of its rows
//! counts as a root.

use foldhash::HashMap;

use super::rows::Row;

/// Parents and children of rows, by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forest {
    parents: Vec<Option<u32>>,
    roots: Vec<u32>,
    /// The children of the row at position n lie in `children[starts[n]..starts[n + 1]]`.
    children: Vec<u32>,
    starts: Vec<u32>,
}

impl Forest {
    /// Finds parent, root and children of each row.
    pub(crate) fn plant(rows: &[Row]) -> Self {
        let positions: HashMap<(i64, i64), u32> =
            (0..).zip(rows).map(|(at, row)| ((row.process, row.span), at)).collect();
        let mut parents: Vec<Option<u32>> = (0_u32..)
            .zip(rows)
            .map(|(at, row)| {
                positions.get(&(row.process, row.parent?)).copied().filter(|parent| *parent != at)
            })
            .collect();
        let roots = find_roots(&mut parents);
        let mut starts = vec![0_u32; rows.len() + 1];
        for parent in parents.iter().flatten() {
            starts[*parent as usize + 1] += 1;
        }
        for at in 0..rows.len() {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut children = vec![0_u32; parents.iter().flatten().count()];
        for (at, parent) in (0_u32..).zip(&parents) {
            if let Some(parent) = parent {
                children[next[*parent as usize] as usize] = at;
                next[*parent as usize] += 1;
            }
        }
        Self { parents, roots, children, starts }
    }

    /// Returns the position of the caller's row, if it was loaded.
    pub(crate) fn parent(&self, at: usize) -> Option<usize> {
        self.parents[at].map(|parent| parent as usize)
    }

    /// Returns the position of the outermost caller's row.
    pub(crate) fn root(&self, at: usize) -> usize {
        self.roots[at] as usize
    }

    /// Returns the positions of the rows of the calls that a call made.
    pub(crate) fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let range = self.starts[at] as usize..self.starts[at + 1] as usize;
        self.children[range].iter().map(|child| *child as usize)
    }
}

/// Finds the root above each row, and cuts circles.
fn find_roots(parents: &mut [Option<u32>]) -> Vec<u32> {
    const UNKNOWN: u32 = u32::MAX;
    let mut roots = vec![UNKNOWN; parents.len()];
    // The walk on which a row was last met.
    let mut met = vec![UNKNOWN; parents.len()];
    let mut path = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        let root = loop {
            if roots[at] != UNKNOWN {
                break roots[at];
            }
            let walk = u32::try_from(start).unwrap_or(UNKNOWN);
            met[at] = walk;
            path.push(at);
            match parents[at] {
                Some(parent) if met[parent as usize] == walk => {
                    parents[at] = None;
                    break u32::try_from(at).unwrap_or(UNKNOWN);
                }
                Some(parent) => at = parent as usize,
                None => break u32::try_from(at).unwrap_or(UNKNOWN),
            }
        };
        for at in path.drain(..) {
            roots[at] = root;
        }
    }
    roots
}

/// Returns the length of the union of intervals, each clipped to `within`.
pub(crate) fn measure_union(intervals: &mut [(i64, i64)], within: (i64, i64)) -> i64 {
    intervals.sort_unstable();
    let mut covered = 0_i64;
    let mut reached = within.0;
    for (start, end) in intervals.iter() {
        let (start, end) = ((*start).max(reached), (*end).min(within.1));
        if end > start {
            covered = covered.saturating_add(end.saturating_sub(start));
            reached = end;
        }
    }
    covered
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the row of a call of function 0 with this span and parent.
    pub(crate) fn row(span: i64, parent: Option<i64>) -> Row {
        Row {
            call_id: span,
            process: 1,
            function: 0,
            thread: 0,
            span,
            parent,
            start_ns: 0,
            duration_ns: 100,
            busy_ns: 100,
            weight: 1.0,
            shared: 1,
            is_failed: false,
        }
    }

    #[test]
    fn parents_roots_and_children_are_found_whatever_the_order() {
        let rows = [row(3, Some(2)), row(1, None), row(2, Some(1)), row(4, Some(2)), row(9, Some(8))];
        let forest = Forest::plant(&rows);
        assert_eq!(forest.parent(0), Some(2));
        assert_eq!((forest.root(0), forest.root(3), forest.root(4)), (1, 1, 4));
        assert_eq!(forest.children(2).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(forest.children(4).count(), 0);
    }

    #[test]
    fn circles_are_cut() {
        let rows = [row(1, Some(2)), row(2, Some(3)), row(3, Some(1)), row(4, Some(3)), row(5, Some(5))];
        let forest = Forest::plant(&rows);
        let roots: Vec<_> = (0..4).map(|at| forest.root(at)).collect();
        assert!(roots.iter().all(|root| *root == roots[0] && forest.parent(*root).is_none()), "{roots:?}");
        assert_eq!(forest.root(4), 4);
    }

    #[test]
    fn spans_of_different_processes_are_different() {
        let mut other = row(1, None);
        other.process = 2;
        let rows = [other, row(2, Some(1))];
        assert_eq!(Forest::plant(&rows).parent(1), None);
    }

    #[test]
    fn a_union_counts_overlaps_once_and_clips() {
        assert_eq!(measure_union(&mut [(10, 20), (15, 30), (40, 99)], (0, 50)), 30);
        assert_eq!(measure_union(&mut [(10, 20), (12, 13)], (15, 50)), 5);
        assert_eq!(measure_union(&mut [(5, 1)], (0, 50)), 0);
    }
}
