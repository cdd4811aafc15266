//! Thins out what was drawn before the ladder could act: a burst leaves as many rows as are allowed.
//!
//! In: the calls of one drain, and for each function the probability with which its rows may stay. Out:
//! the probability with which each call was kept, 0 for one that goes. As on the hot side a tree is kept
//! whole: a callee goes with its caller, and stays with it unless its own function's probability is
//! lower. What decides is a number made from the call's id, which has nothing to do with what the call
//! did; so weights divided by the probability stay unbiased. Pure.

use std::collections::HashMap;

use super::{Child, Random, child};

/// A call, as far as thinning looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) site: u32,
    pub(crate) span: u64,
    pub(crate) parent: u64,
    pub(crate) start: u64,
}

/// For each call its probability of having been kept, by its span.
pub(crate) fn thin(mut calls: Vec<Drawn>, rows: impl Fn(u32) -> f64, seed: u64) -> HashMap<u64, f64> {
    // Whoever calls has begun before whom it calls.
    calls.sort_unstable_by_key(|call| (call.start, call.span));
    let mut kept = HashMap::with_capacity(calls.len());
    for call in calls {
        // A caller that has not ended was drawn, or there would be no callee.
        let above = kept.get(&call.parent).copied().unwrap_or(1.0);
        let probability = match child(above, rows(call.site)) {
            _ if above <= 0.0 => 0.0,
            Child::Follow => above,
            Child::Subsample { probability } if uniform(call.span, seed) < probability => above * probability,
            Child::Subsample { .. } => 0.0,
        };
        kept.insert(call.span, probability);
    }
    kept
}

/// A number between 0 and 1 that belongs to this call.
fn uniform(span: u64, seed: u64) -> f64 {
    (Random::new(span ^ seed).draw() >> 11) as f64 / (1_u64 << 53) as f64
}

/// How many rows a function may still leave: as many as fit a second, filled up evenly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    rows: f64,
}

impl Default for Allowance {
    /// Full: what is called less often than it may leave rows is recorded from its first call on.
    fn default() -> Self {
        Self { rows: f64::INFINITY }
    }
}

impl Allowance {
    /// Lets so many seconds pass.
    pub(crate) fn fill(&mut self, seconds: f64, rows_per_s: f64) {
        self.rows = (self.rows + seconds * rows_per_s).min(rows_per_s);
    }

    /// Takes rows out; returns the probability with which each may stay. At least one is let through
    /// in the mean, since what has no chance at all no weight can make up for.
    pub(crate) fn take(&mut self, rows: u64) -> f64 {
        let rows = rows as f64;
        let granted = self.rows.max(1.0).min(rows);
        self.rows = (self.rows - granted).max(0.0);
        if rows > granted { granted / rows } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    /// Trees of a root (site 1), a branch (2) and two leaves (3), spans from this one on.
    fn trees(number: u64, first: u64) -> Vec<Drawn> {
        let mut calls = Vec::new();
        for tree in 0..number {
            let root = first + tree * 4;
            let call = |site, at, parent| Drawn { site, span: root + at, parent, start: root + at };
            // In the order of their ends.
            calls.extend([call(3, 2, root + 1), call(3, 3, root + 1), call(2, 1, root), call(1, 0, 0)]);
        }
        calls
    }

    #[test]
    fn a_tree_is_kept_whole_or_goes_whole() {
        let kept = thin(trees(5000, 8), |site| if site == 1 { 0.1 } else { 1.0 }, 7);
        let mut roots = 0;
        for tree in 0..5000 {
            let first = kept[&(8 + tree * 4)];
            roots += u32::from(first > 0.0);
            assert!(first == 0.0 || first == 0.1);
            assert!((1..4).all(|at| kept[&(8 + tree * 4 + at)] == first));
        }
        // Five standard deviations, 21 each.
        assert!((395..605).contains(&roots), "{roots}");
    }

    #[test]
    fn a_callee_that_is_thinned_further_stays_only_where_its_caller_does() {
        let kept = thin(trees(5000, 8), |site| [1.0, 0.5, 1.0, 0.1][site as usize], 7);
        let leaves =
            (0..5000).flat_map(|tree| [2, 3].map(|at| (kept[&(8 + tree * 4)], kept[&(8 + tree * 4 + at)])));
        let mut stayed = 0;
        for (root, leaf) in leaves {
            assert!(leaf == 0.0 || (root == 0.5 && (leaf - 0.1).abs() < 1e-12), "{root} {leaf}");
            stayed += u32::from(leaf > 0.0);
        }
        assert!((850..1150).contains(&stayed), "{stayed}");
    }

    #[test]
    fn weights_of_what_stays_estimate_what_was_there_over_many_runs() {
        let runs = 400_u32;
        let mut sum = 0.0;
        for run in 0..runs {
            let kept = thin(trees(500, 8), |site| if site == 3 { 0.02 } else { 0.3 }, u64::from(run) << 20);
            sum += kept.values().filter(|kept| **kept > 0.0).map(|kept| 1.0 / kept).sum::<f64>();
        }
        let mean = sum / f64::from(runs);
        // 500 trees of 4: leaves (two a tree, 1/0.02) and pairs of root and branch (1/0.3) have a
        // standard deviation of 290 a run, 14.5 in the mean; five of them.
        assert!((mean - 2000.0).abs() < 73.0, "{mean}");
    }

    #[test]
    fn an_allowance_lets_a_second_of_rows_through_at_once_and_then_as_many_as_fill_up() {
        let mut allowance = Allowance::default();
        allowance.fill(0.0, 1000.0);
        assert_eq!(allowance.take(600), 1.0);
        assert_eq!(allowance.take(1600), 0.25);
        allowance.fill(0.1, 1000.0);
        assert_eq!(allowance.take(1000), 0.1);
        assert_eq!(allowance.take(1000), 0.001);
        allowance.fill(60.0, 1000.0);
        assert_eq!(allowance.take(1000), 1.0);
    }

    #[test]
    fn without_a_bound_everything_stays() {
        let mut allowance = Allowance::default();
        allowance.fill(0.1, f64::INFINITY);
        assert_eq!(allowance.take(1_000_000), 1.0);
        allowance.fill(0.1, f64::INFINITY);
        assert_eq!(allowance.take(1_000_000), 1.0);
    }
}
