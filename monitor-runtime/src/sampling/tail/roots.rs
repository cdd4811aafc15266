//! Finds the roots at which the trees of a drain are thinned if a function leaves more rows than it may.
//!
//! Takes the calls of a drain, the calls in flight behind them, and the functions with too many rows; gives the
//! functions at whose calls trees begin, with the share of these trees that may stay. A tree that alone holds a good
//! part of the rows that may stay cannot be kept or removed as a whole, such as that of `main`: its root is kept, and
//! trees begin with the calls that it makes. Pure.

use std::collections::HashMap;

use super::{InFlight, SampledCall};
use crate::growth::MakeRoom as _;

/// A function that leaves more rows in a drain than it may.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Excess {
    /// The share of the rows that may stay.
    pub(crate) share: f64,
    /// The rows that may stay.
    pub(crate) granted: f64,
    /// The rate of trees by which the function leaves no more rows than it may from now on.
    pub(crate) cap: f64,
}

/// The bound of the trees that begin with a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RootBound {
    /// The share of the trees in this drain that may stay.
    pub(crate) share: f64,
    /// The rate of trees from now on, and the function whose rows require it.
    pub(crate) cap: f64,
    pub(crate) because_of: u32,
}

/// A tree that holds more than this share of the rows that may stay is not kept or removed as a whole.
const LOAD_MAX: f64 = 0.25;
/// The most callers around a call that are visited. The bound ends a circle, which is possible because frames change
/// while they are read.
const DEPTH_MAX: usize = 256;

/// Returns the bounds of the trees that hold rows of functions with too many rows.
pub(crate) fn bound_roots(
    calls: &[SampledCall],
    in_flight: &HashMap<u64, InFlight>,
    excess: &HashMap<u32, Excess>,
) -> HashMap<u32, RootBound> {
    let mut known: HashMap<u64, InFlight> = HashMap::new();
    // Without memory, a call whose caller is not known begins a tree.
    for call in calls {
        if !known.make_room(1) {
            break;
        }
        known.insert(call.span, InFlight { site: call.site, parent: call.parent });
    }
    let find = |span: u64| known.get(&span).or_else(|| in_flight.get(&span)).copied();
    let above = |span: u64| std::iter::successors(Some(span), |span| find(*span).map(|call| call.parent));
    let callers = |span: u64| above(span).take_while(|span| *span != 0).take(DEPTH_MAX);
    let too_many = || calls.iter().filter_map(|call| excess.get(&call.site).map(|excess| (call, excess)));
    let mut loads: HashMap<u64, f64> = HashMap::new();
    for (call, excess) in too_many() {
        for span in callers(call.span) {
            if loads.make_room(1) {
                *loads.entry(span).or_default() += 1.0 / excess.granted.max(1.0);
            }
        }
    }
    let mut bounds: HashMap<u32, RootBound> = HashMap::new();
    for (call, excess) in too_many() {
        let fits = |span: &u64| loads.get(span).is_some_and(|load| *load <= LOAD_MAX);
        let root = callers(call.span).take_while(|span| *span == call.span || fits(span)).last();
        let site = root.and_then(find).map_or(call.site, |root| root.site);
        let bound = RootBound { share: excess.share, cap: excess.cap, because_of: call.site };
        // Without memory for its bound, a tree is not thinned.
        if !bounds.make_room(1) {
            break;
        }
        let before = bounds.entry(site).or_insert(bound);
        before.share = before.share.min(bound.share);
        if bound.cap < before.cap {
            *before = RootBound { share: before.share, ..bound };
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::super::SampledBy;
    use super::*;

    fn call(site: u32, span: u64, parent: u64) -> SampledCall {
        SampledCall { site, span, parent, trace: 1, start: span, by: SampledBy::Certainty }
    }

    fn bound(calls: &[SampledCall], in_flight: &[(u64, u32, u64)], granted: f64) -> Vec<(u32, f64)> {
        let in_flight =
            in_flight.iter().map(|(span, site, parent)| (*span, InFlight { site: *site, parent: *parent }));
        let excess = HashMap::from([(3, Excess { share: 0.1, granted, cap: 0.2 })]);
        let bounds = bound_roots(calls, &in_flight.collect(), &excess);
        assert!(bounds.values().all(|bound| bound.cap == 0.2 && bound.because_of == 3));
        let mut shares: Vec<_> = bounds.into_iter().map(|(site, bound)| (site, bound.share)).collect();
        shares.sort_by_key(|(site, _)| *site);
        shares
    }

    #[test]
    fn trees_are_thinned_at_their_roots_and_only_those_that_hold_what_is_too_much() {
        let trees = (1..100).flat_map(|tree| {
            let root = tree * 8;
            [call(3, root + 2, root + 1), call(2, root + 1, root), call(1, root, 0), call(4, root + 3, 0)]
        });
        assert_eq!(bound(&trees.collect::<Vec<_>>(), &[], 100.0), [(1, 0.1)]);
    }

    #[test]
    fn trees_begin_below_a_call_that_holds_most_of_the_rows() {
        // A worker in `main` handles 100 requests: neither of the two has ended.
        let trees = (1..100).flat_map(|tree| [call(3, tree * 8 + 1, tree * 8), call(2, tree * 8, 5)]);
        let in_flight = [(5, 6, 4), (4, 7, 0)];
        assert_eq!(bound(&trees.clone().collect::<Vec<_>>(), &in_flight, 100.0), [(2, 0.1)]);
        // The bounds are the same after the worker has ended.
        let ended: Vec<_> = trees.chain([call(6, 5, 4), call(7, 4, 0)]).collect();
        assert_eq!(bound(&ended, &[], 100.0), [(2, 0.1)]);
        // Calls without a caller are roots themselves.
        let flat: Vec<_> = (1..100).map(|span| call(3, span, 0)).collect();
        assert_eq!(bound(&flat, &[], 10.0), [(3, 0.1)]);
    }

    #[test]
    fn a_circle_among_callers_ends() {
        let calls: Vec<_> = (10..100).map(|span| call(3, span, 4)).collect();
        assert!(!bound(&calls, &[(4, 6, 5), (5, 7, 4)], 100.0).is_empty());
    }
}
