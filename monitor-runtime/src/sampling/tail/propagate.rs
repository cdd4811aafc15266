//! Lowers the rates of callers to those of their callees, so that kept callers have their callees. Takes rates
//! and calls of functions, and the pairs of callers and callees; gives rates, none higher than before. Pure.

use std::collections::{HashMap, HashSet};

/// The share of its rows that a function may keep, and its calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limited {
    pub(crate) rate: f64,
    pub(crate) calls: f64,
}

/// Lowers the rates of functions to those of the functions they call, so that a kept call has its callees.
/// A caller is not lowered to a callee that is called so much more often that hardly a row would be left. A
/// function that is not limited keeps all rows, because it is called seldom; but its callers are lowered to
/// its callees.
pub(super) fn propagate(
    limited: &HashMap<u32, Limited>,
    edges: &HashSet<(u32, u32)>,
) -> HashMap<u32, Limited> {
    let mut lowered = limited.clone();
    let mut seen_through: HashMap<u32, Limited> = HashMap::new();
    // A rate moves up by one caller each time, so the number of pairs bounds the repetitions.
    for _ in 0..=edges.len() {
        let mut is_done = true;
        for (caller, callee) in edges {
            let below = lowered.get(callee).or_else(|| seen_through.get(callee)).copied();
            let Some(below) = below else { continue };
            let next = match lowered.get(caller) {
                Some(above) if below.calls > CALLEES_WHOLE_MAX * above.calls => continue,
                Some(above) => Limited { rate: below.rate, ..*above },
                None => below,
            };
            let rates = if lowered.contains_key(caller) { &mut lowered } else { &mut seen_through };
            if rates.get(caller).is_none_or(|before| next.rate < before.rate) {
                rates.insert(*caller, next);
                is_done = false;
            }
        }
        if is_done {
            break;
        }
    }
    lowered
}

/// Up to this many calls of one function in a tree, the whole tree is kept or removed; with more calls, each
/// call is decided within the tree.
pub(crate) const CALLEES_WHOLE_MAX: f64 = 16.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    #[test]
    fn a_caller_is_lowered_to_whom_it_calls_through_one_that_is_not_limited() {
        let edges = HashSet::from([(1, 2), (2, 3), (4, 2), (5, 4)]);
        let limited = |rate: f64, calls: f64| Limited { rate, calls };
        let before =
            HashMap::from([(1, limited(0.5, 10.0)), (3, limited(0.1, 60.0)), (5, limited(0.7, 1.0))]);
        let lowered = propagate(&before, &edges);
        assert_eq!(lowered[&1].rate, 0.1);
        // The fifth is called too seldom: hardly anything would be left of it.
        assert_eq!((lowered[&3].rate, lowered[&5].rate, lowered.len()), (0.1, 0.7, 3));
    }
}
