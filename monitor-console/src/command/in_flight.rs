//! Calls in flight as trees: the stack of each thread, and the tasks of suspended async calls.
//!
//! The file takes calls with their threads, spans and parents, and returns each call once, behind the call around it,
//! with the number of calls around it. A call on a stack is below the call before it on that stack; the first call of a
//! stack, and a suspended call, are below the call that their parent id names. The file does not know whether the
//! process runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A call in flight, as far as its place depends on it.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlightCall {
    /// Number and name of the thread; `None` for a suspended async call. The number is unknown in stores of older
    /// versions.
    pub(super) thread: Option<(Option<i64>, String)>,
    /// Number of calls around the call on its stack.
    pub(super) depth: i64,
    pub(super) start_ns: i64,
    pub(super) span_id: i64,
    pub(super) parent_id: Option<i64>,
}

/// The place of a call in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the call.
    pub(super) call: usize,
    /// The number of calls above the call in its tree.
    pub(super) depth: usize,
    /// The index of the tree's first call.
    pub(super) root: usize,
}

/// The highest reserved span id. Several calls may have the same reserved id, so it identifies no call.
const RESERVED_SPANS: i64 = 2;

/// Arranges calls by trees, the tree with the oldest root first.
pub(super) fn arrange(calls: &[InFlightCall]) -> Vec<Place> {
    let parents = find_parents(calls);
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); calls.len()];
    let mut roots = Vec::new();
    for (at, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => below[*parent].push(at),
            None => roots.push(at),
        }
    }
    let by_age = |at: &usize| std::cmp::Reverse((calls[*at].start_ns, *at));
    roots.sort_by_key(by_age);
    let mut places = Vec::with_capacity(calls.len());
    let mut next: Vec<Place> = roots.into_iter().map(|call| Place { call, depth: 0, root: call }).collect();
    while let Some(place) = next.pop() {
        places.push(place);
        let callees = &mut below[place.call];
        callees.sort_by_key(by_age);
        next.extend(callees.drain(..).map(|call| Place { call, depth: place.depth + 1, ..place }));
    }
    places
}

/// Returns the index of the call around each call. No call is above itself, whatever the ids say.
fn find_parents(calls: &[InFlightCall]) -> Vec<Option<usize>> {
    let spans: HashMap<i64, usize> = calls.iter().enumerate().map(|(at, call)| (call.span_id, at)).collect();
    let named = |call: &InFlightCall| {
        let parent = call.parent_id.filter(|parent| *parent > RESERVED_SPANS)?;
        spans.get(&parent).copied()
    };
    let mut parents: Vec<Option<usize>> = calls.iter().map(named).collect();
    let mut stacks: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        if let Some(thread) = &call.thread {
            stacks.entry(thread).or_default().push(at);
        }
    }
    for stack in stacks.values_mut() {
        stack.sort_by_key(|at| calls[*at].depth);
        stack.windows(2).for_each(|pair| parents[pair[1]] = Some(pair[0]));
    }
    break_circles(&mut parents);
    parents
}

/// Makes a root of one call of each circle, which only a damaged store or ring file has.
fn break_circles(parents: &mut [Option<usize>]) {
    let mut is_done = vec![false; parents.len()];
    for first in 0..parents.len() {
        let mut path = BTreeSet::new();
        let mut at = first;
        while !is_done[at] && path.insert(at) {
            match parents[at] {
                Some(parent) if path.contains(&parent) => parents[at] = None,
                Some(parent) => at = parent,
                None => {}
            }
        }
        for at in path {
            is_done[at] = true;
        }
    }
}

/// Names the thread of each call, with its number if several threads share a name; `None` for a suspended call.
pub(super) fn name_threads(calls: &[InFlightCall]) -> Vec<Option<String>> {
    let mut numbers: BTreeMap<&str, BTreeSet<Option<i64>>> = BTreeMap::new();
    for (number, name) in calls.iter().filter_map(|call| call.thread.as_ref()) {
        numbers.entry(name).or_default().insert(*number);
    }
    let name = |call: &InFlightCall| {
        let (number, name) = call.thread.as_ref()?;
        let is_shared = numbers.get(name.as_str()).is_some_and(|numbers| numbers.len() > 1);
        Some(match number {
            Some(number) if is_shared => format!("{name} #{number}"),
            _ => name.clone(),
        })
    };
    calls.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_stack(thread: i64, depth: i64, span_id: i64) -> InFlightCall {
        let thread = Some((Some(thread), "worker".to_owned()));
        InFlightCall { thread, depth, start_ns: span_id, span_id, parent_id: None }
    }

    fn suspended(span_id: i64, parent: i64) -> InFlightCall {
        InFlightCall { start_ns: span_id, span_id, parent_id: Some(parent), ..InFlightCall::default() }
    }

    fn drawn(calls: &[InFlightCall]) -> Vec<(i64, usize)> {
        arrange(calls).into_iter().map(|place| (calls[place.call].span_id, place.depth)).collect()
    }

    #[test]
    fn stacks_of_threads_of_one_name_are_trees_of_their_own() {
        let calls = [on_stack(1, 0, 10), on_stack(2, 0, 20), on_stack(1, 1, 11), on_stack(2, 1, 21)];
        assert_eq!(drawn(&calls), [(10, 0), (11, 1), (20, 0), (21, 1)]);
        let named: Vec<_> = name_threads(&calls).into_iter().flatten().collect();
        assert_eq!(named, ["worker #1", "worker #2", "worker #1", "worker #2"]);
        assert_eq!(name_threads(&calls[..1]), [Some("worker".to_owned())]);
    }

    #[test]
    fn suspended_calls_are_below_the_call_that_awaits_them_and_so_is_one_that_is_polled() {
        let polled = InFlightCall { parent_id: Some(10), ..on_stack(1, 0, 30) };
        let calls = [polled, on_stack(1, 1, 31), suspended(20, 10), suspended(10, 0), suspended(5, 99)];
        assert_eq!(drawn(&calls), [(5, 0), (10, 0), (20, 1), (30, 1), (31, 2)]);
    }

    #[test]
    fn unsampled_calls_share_a_span_and_keep_their_place_on_the_stack() {
        let calls = [on_stack(1, 0, 1), on_stack(1, 1, 1), on_stack(1, 2, 1)];
        assert_eq!(drawn(&calls), [(1, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn every_call_has_one_place_whatever_the_ids_say() {
        let calls =
            [suspended(10, 20), suspended(20, 30), suspended(30, 10), suspended(40, 40), suspended(50, 20)];
        let mut placed: Vec<_> = arrange(&calls).into_iter().map(|place| place.call).collect();
        placed.sort_unstable();
        assert_eq!(placed, [0, 1, 2, 3, 4]);
        let crossed = [
            InFlightCall { parent_id: Some(21), ..on_stack(1, 0, 10) },
            on_stack(1, 1, 11),
            InFlightCall { parent_id: Some(11), ..on_stack(2, 0, 20) },
            on_stack(2, 1, 21),
        ];
        assert_eq!(arrange(&crossed).len(), 4);
    }
}
