//! Lanes for a timeline: places in which calls that run at the same time do not overlap.
//!
//! A call lies on its caller's lane if it fits into it, otherwise on its thread's lane while that is free, otherwise on the first
//! free lane of the process for concurrent calls. Calls of tasks that wait overlap on their thread, and a timeline shows
//! overlapping calls of one lane wrongly or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::Trees;
use crate::model::names::Name;

/// The place of a call in a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The lane of a thread.
    Thread(Name),
    /// The lane of this number for concurrent calls, from 1.
    Concurrent(u32),
}

/// A lane of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    /// The run of the program.
    pub(crate) process: i64,
    /// The place.
    pub(crate) place: Place,
}

/// The lanes, and the calls in the order in which a timeline takes them.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// The lanes.
    pub(crate) lanes: Vec<Lane>,
    /// The positions of calls among the nodes and of their lanes, by start.
    pub(crate) placed: Vec<(usize, usize)>,
}

/// The calls that are open on a lane: end and node of each, the outermost first.
type Open = Vec<(i64, usize)>;

#[derive(Default)]
struct Packer {
    lanes: Vec<Lane>,
    open: Vec<Open>,
    threads: HashMap<(i64, Name), usize>,
    free: HashMap<i64, BTreeSet<usize>>,
    numbers: HashMap<i64, u32>,
    /// The ends of the outermost calls on lanes for concurrent calls.
    taken: BinaryHeap<Reverse<(i64, usize)>>,
}

impl Lanes {
    /// Puts each call of the trees on a lane.
    pub(crate) fn pack(trees: &Trees) -> Self {
        let row = |node: usize| &trees.rows.rows[trees.nodes[node].row];
        let mut order: Vec<usize> = (0..trees.nodes.len()).collect();
        // Nodes hold callers before callees, so a callee that starts and ends with its caller comes after it.
        order.sort_by_key(|node| (row(*node).start_ns, Reverse(row(*node).end_ns()), *node));
        let mut packer = Packer::default();
        let mut lanes_of_nodes: Vec<Option<usize>> = vec![None; trees.nodes.len()];
        let mut placed = Vec::with_capacity(order.len());
        for node in order {
            let (start, end) = (row(node).start_ns, row(node).end_ns());
            packer.release(start);
            let caller = trees.nodes[node].caller.and_then(|caller| Some((caller, lanes_of_nodes[caller]?)));
            let lane = caller
                .filter(|(caller, lane)| packer.fits_below(*lane, *caller, start, end))
                .map(|(_, lane)| lane)
                .or_else(|| packer.find_thread(row(node).process, row(node).thread, start))
                .unwrap_or_else(|| packer.find_free(row(node).process, end));
            packer.open[lane].push((end, node));
            lanes_of_nodes[node] = Some(lane);
            placed.push((node, lane));
        }
        Self { lanes: packer.lanes, placed }
    }
}

impl Packer {
    /// Frees the lanes for concurrent calls whose outermost call has ended.
    fn release(&mut self, now: i64) {
        while let Some(Reverse((end, lane))) = self.taken.peek().copied() {
            if end > now {
                break;
            }
            self.taken.pop();
            self.open[lane].clear();
            self.free.entry(self.lanes[lane].process).or_default().insert(lane);
        }
    }

    /// Returns true if the innermost open call of the lane is the caller, and the call ends within the caller.
    fn fits_below(&mut self, lane: usize, caller: usize, start: i64, end: i64) -> bool {
        let open = &mut self.open[lane];
        // The caller itself stays open at its own end, for callees without a duration.
        while open.last().is_some_and(|(ended, node)| *ended <= start && *node != caller) {
            open.pop();
        }
        open.last().is_some_and(|(ends, node)| *node == caller && end <= *ends)
    }

    /// Returns the thread's lane if no call is open on it.
    fn find_thread(&mut self, process: i64, thread: Name, start: i64) -> Option<usize> {
        let (lanes, open) = (&mut self.lanes, &mut self.open);
        let lane = *self.threads.entry((process, thread)).or_insert_with(|| {
            lanes.push(Lane { process, place: Place::Thread(thread) });
            open.push(Open::new());
            lanes.len() - 1
        });
        let is_free = self.open[lane].first().is_none_or(|(ends, _)| *ends <= start);
        is_free.then(|| {
            self.open[lane].clear();
            lane
        })
    }

    /// Returns the first free lane for concurrent calls; adds one if none is free.
    fn find_free(&mut self, process: i64, end: i64) -> usize {
        let free = self.free.entry(process).or_default().pop_first();
        let lane = free.unwrap_or_else(|| {
            let number = self.numbers.entry(process).or_default();
            *number += 1;
            self.lanes.push(Lane { process, place: Place::Concurrent(*number) });
            self.open.push(Open::new());
            self.lanes.len() - 1
        });
        self.taken.push(Reverse((end, lane)));
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, trees};
    use super::*;
    use crate::model::rows::Row;

    fn places(rows: Vec<Row>) -> Vec<(i64, Place)> {
        let trees = trees(rows, None);
        let lanes = Lanes::pack(&trees);
        assert_no_overlap(&trees, &lanes);
        let mut places: Vec<_> = lanes
            .placed
            .iter()
            .map(|(node, lane)| (trees.rows.rows[trees.nodes[*node].row].span, lanes.lanes[*lane].place))
            .collect();
        places.sort_unstable();
        places
    }

    /// Asserts that every call is placed, and that calls of one lane lie within each other or apart.
    fn assert_no_overlap(trees: &Trees, lanes: &Lanes) {
        assert_eq!(lanes.placed.len(), trees.nodes.len());
        let mut open: HashMap<usize, Vec<i64>> = HashMap::new();
        for (node, lane) in &lanes.placed {
            let row = &trees.rows.rows[trees.nodes[*node].row];
            let open = open.entry(*lane).or_default();
            open.retain(|end| *end > row.start_ns || (*end == row.start_ns && row.end_ns() == *end));
            assert!(open.iter().all(|end| row.end_ns() <= *end), "{row:?} overlaps on lane {lane}");
            open.push(row.end_ns());
        }
    }

    const THREAD: Place = Place::Thread(0);

    #[test]
    fn nested_calls_stay_on_their_thread() {
        let rows = vec![call(1, None, 0, 0, 100), call(2, Some(1), 1, 0, 100), call(3, Some(2), 2, 100, 100)];
        assert_eq!(places(rows), [(1, THREAD), (2, THREAD), (3, THREAD)]);
    }

    #[test]
    fn concurrent_calls_get_lanes_that_are_used_again() {
        let rows = vec![
            call(1, None, 0, 0, 100),
            call(2, None, 0, 10, 50),
            call(3, Some(2), 1, 20, 40),
            call(4, None, 0, 60, 90),
            call(5, None, 0, 100, 120),
        ];
        let other = Place::Concurrent(1);
        assert_eq!(places(rows), [(1, THREAD), (2, other), (3, other), (4, other), (5, THREAD)]);
    }

    #[test]
    fn a_callee_that_outlives_its_caller_leaves_the_callers_lane() {
        let rows = vec![call(1, None, 0, 0, 100), call(2, Some(1), 1, 90, 300)];
        assert_eq!(places(rows), [(1, THREAD), (2, Place::Concurrent(1))]);
    }

    #[test]
    fn random_forests_never_overlap() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let rows = (1..40)
                .map(|span| {
                    let parent = (span > 1 && random.bool()).then(|| random.i64(1..span));
                    let start = random.i64(0..60);
                    Row {
                        thread: random.u32(0..3),
                        process: random.i64(1..3),
                        ..call(span, parent, 0, start, start + random.i64(0..30))
                    }
                })
                .collect();
            places(rows);
        }
    }
}
