//! Which functions have to be recorded less for what they call to stay with them. In: rates and calls of
//! functions, and who calls whom. Out: rates, none higher than before. Pure.

use std::collections::{HashMap, HashSet};

/// How much of a function may stay, and how often it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limited {
    pub(crate) rate: f64,
    pub(crate) calls: f64,
}

/// Lowers the rates of functions to those of the functions they call, so that what stays of them stays with
/// its callees. Not where a callee is called so much more often that hardly anything would be left, nor of
/// a function that is not among them: one that is called seldom loses no row over whom it calls. But those
/// who call such a one look through it at whom it calls.
pub(super) fn lower(limited: &HashMap<u32, Limited>, edges: &HashSet<(u32, u32)>) -> HashMap<u32, Limited> {
    let mut lowered = limited.clone();
    let mut seen_through: HashMap<u32, Limited> = HashMap::new();
    // As often as trees of functions are deep.
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

/// Up to so many calls of one function in a tree the tree is thinned out whole rather than they in it.
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
        let lowered = lower(&before, &edges);
        assert_eq!(lowered[&1].rate, 0.1);
        // The fifth is called too seldom: hardly anything would be left of it.
        assert_eq!((lowered[&3].rate, lowered[&5].rate, lowered.len()), (0.1, 0.7, 3));
    }
}
