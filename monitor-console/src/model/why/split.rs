//! The bound between slow and other calls.
//!
//! Many functions have two kinds of calls, with a gap between their durations: the gap is the bound. It is found by
//! Otsu's method on the logarithm of the durations: the bound that leaves the least spread within both sides. Without a
//! gap, the slowest hundredth is slow, or more if that is fewer than twenty rows, up to a tenth.

use super::facts::CallFacts;
use super::{ROWS_MIN, to_f64};

/// The part of the spread that a gap has to explain. For a normal distribution it is 0.64, for a uniform one 0.75.
const EXPLAINED_MIN: f64 = 0.8;
/// The ratio of the means of both sides that a gap needs.
const RATIO_MIN: f64 = 2.0;
/// The smallest and the largest share of calls that may be slow.
const SHARE: (f64, f64) = (0.002, 0.5);
/// The share of the calls that is slow without a gap, and the largest such share.
const SLOWEST: (f64, f64) = (0.01, 0.1);

/// The bound from which a call is slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    /// The shortest duration of a slow call.
    pub(crate) from_ns: i64,
    /// True if there is a gap between slow and other calls; false if the slowest calls were taken.
    pub(crate) is_gap: bool,
}

/// Finds the bound; `None` if there are no calls of different duration.
pub(crate) fn find(calls: &[CallFacts]) -> Option<Cut> {
    let mut sorted: Vec<(i64, f64)> =
        calls.iter().map(|call| (call.duration_ns.max(1), call.weight)).collect();
    sorted.sort_by_key(|(duration, _)| *duration);
    if sorted.first()?.0 == sorted.last()?.0 {
        return None;
    }
    Some(find_gap(&sorted).unwrap_or_else(|| take_slowest(&sorted)))
}

/// Finds the gap that explains most of the spread of the logarithms.
fn find_gap(sorted: &[(i64, f64)]) -> Option<Cut> {
    let points: Vec<(f64, f64)> = sorted.iter().map(|(ns, weight)| (to_f64(*ns).ln(), *weight)).collect();
    let whole: f64 = points.iter().map(|(_, weight)| weight).sum();
    let mean = points.iter().map(|(x, weight)| x * weight).sum::<f64>() / whole;
    let spread = points.iter().map(|(x, weight)| (x - mean).powi(2) * weight).sum::<f64>();
    if spread <= 0.0 {
        return None;
    }
    let (mut below, mut below_sum) = (0.0, 0.0);
    let mut best: Option<(f64, usize, f64)> = None;
    for at in 1..points.len() {
        let (x, weight) = points[at - 1];
        below += weight;
        below_sum += x * weight;
        let above = whole - below;
        let is_allowed = (SHARE.0..=SHARE.1).contains(&(above / whole)) && sorted[at].0 > sorted[at - 1].0;
        if !is_allowed {
            continue;
        }
        let (low, high) = (below_sum / below, (mean * whole - below_sum) / above);
        let explained = below * above / whole * (high - low).powi(2) / spread;
        if best.is_none_or(|(most, ..)| explained > most) {
            best = Some((explained, at, high - low));
        }
    }
    let (explained, at, distance) = best?;
    let is_gap = explained >= EXPLAINED_MIN && distance >= RATIO_MIN.ln();
    is_gap.then(|| Cut { from_ns: sorted[at].0, is_gap: true })
}

/// Takes the slowest calls.
fn take_slowest(sorted: &[(i64, f64)]) -> Cut {
    let whole: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let (mut weight, mut rows, mut from_ns) = (0.0, 0.0, sorted[sorted.len() - 1].0);
    for (ns, of_row) in sorted.iter().rev() {
        let share = (weight + of_row) / whole;
        let is_enough = share > SLOWEST.0 && rows >= ROWS_MIN;
        if (is_enough || share > SLOWEST.1) && *ns < from_ns {
            break;
        }
        weight += of_row;
        rows += 1.0;
        from_ns = *ns;
    }
    Cut { from_ns, is_gap: false }
}
