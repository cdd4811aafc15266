//! Mann and Whitney's test: whether the values of one series tend to be larger than those of another.
//!
//! Neighbouring windows of one process resemble each other, so a series of n windows contains as much information as
//! fewer independent ones. The caller gives that number, and the variance is computed from it.

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::model::number::to_f64;

/// Returns the p-values of the hypotheses that values of `after` do not tend to be larger, and not smaller, than those of
/// `before`; `sizes` are the effective numbers of values of `before` and `after`.
pub(crate) fn test_both_ways(before: &[f64], after: &[f64], sizes: [f64; 2]) -> [f64; 2] {
    if before.is_empty() || after.is_empty() || sizes.iter().any(|size| *size < 1.0) {
        return [1.0; 2];
    }
    let mut all: Vec<(f64, bool)> =
        before.iter().map(|value| (*value, false)).chain(after.iter().map(|value| (*value, true))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let n = to_f64(all.len());
    let mut rank_sum = 0.0;
    let mut ties = 0.0;
    let mut below = 0.0;
    for tie in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let size = to_f64(tie.len());
        let rank = below + f64::midpoint(size, 1.0);
        rank_sum += rank * to_f64(tie.iter().filter(|(_, is_after)| *is_after).count());
        ties += size * size * size - size;
        below += size;
    }
    let after_size = to_f64(after.len());
    let u = rank_sum - after_size * (after_size + 1.0) / 2.0;
    let share = u / (after_size * to_f64(before.len()));
    let tie_factor = if n > 1.0 { 1.0 - ties / (n * n * n - n) } else { 0.0 };
    let variance = (sizes[0] + sizes[1] + 1.0) / (12.0 * sizes[0] * sizes[1]) * tie_factor;
    if variance <= 0.0 {
        return [1.0; 2];
    }
    let deviation = (share - 0.5) / variance.sqrt();
    [deviation, -deviation].map(|deviation| Normal::standard().sf(deviation))
}

/// Returns Spearman's rank correlation of pairs of figures, -1 to 1; 0 for fewer than five pairs.
pub(crate) fn correlate(pairs: &[(f64, f64)]) -> f64 {
    if pairs.len() < 5 {
        return 0.0;
    }
    let ranks = |of: fn(&(f64, f64)) -> f64| {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|a, b| of(&pairs[*a]).total_cmp(&of(&pairs[*b])));
        let mut ranks = vec![0.0; pairs.len()];
        let mut below = 0;
        for tie in order.chunk_by(|a, b| of(&pairs[*a]).total_cmp(&of(&pairs[*b])).is_eq()) {
            let rank = to_f64(below) + f64::midpoint(to_f64(tie.len()), 1.0);
            for at in tie {
                ranks[*at] = rank;
            }
            below += tie.len();
        }
        ranks
    };
    let (first, second) = (ranks(|pair| pair.0), ranks(|pair| pair.1));
    let mean = f64::midpoint(to_f64(pairs.len()), 1.0);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&first, &first) * product(&second, &second)).sqrt();
    if scale > 0.0 { product(&first, &second) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_larger(before: &[f64], after: &[f64], sizes: [f64; 2]) -> f64 {
        let [larger, smaller] = test_both_ways(before, after, sizes);
        assert!((test_both_ways(after, before, [sizes[1], sizes[0]])[1] - larger).abs() < 1e-12);
        assert!(larger + smaller >= 1.0 - 1e-12);
        larger
    }

    #[test]
    fn a_shift_is_found_and_its_direction_matters() {
        let before: Vec<f64> = (0..30).map(f64::from).collect();
        let after: Vec<f64> = (20..50).map(f64::from).collect();
        // U = 850 of 900: z = 5.914.
        assert!(test_larger(&before, &after, [30.0, 30.0]) < 1e-8);
        assert!(test_larger(&after, &before, [30.0, 30.0]) > 0.999);
        assert!((test_larger(&before, &before, [30.0, 30.0]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn fewer_effective_values_tell_less() {
        let before: Vec<f64> = (0..30).map(f64::from).collect();
        let after: Vec<f64> = (8..38).map(f64::from).collect();
        assert!(test_larger(&before, &after, [30.0, 30.0]) < 0.01);
        assert!(test_larger(&before, &after, [5.0, 5.0]) > 0.1);
    }

    #[test]
    fn ranks_that_rise_together_correlate() {
        let pairs: Vec<(f64, f64)> = (0..20).map(|n| (f64::from(n), f64::from(n * n))).collect();
        assert!((correlate(&pairs) - 1.0).abs() < 1e-12);
        let falling: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*a, -b)).collect();
        assert!((correlate(&falling) + 1.0).abs() < 1e-12);
        assert!(correlate(&[(1.0, 2.0); 20]).abs() < 1e-12 && correlate(&pairs[..4]).abs() < 1e-12);
    }

    #[test]
    fn ties_and_empty_series_tell_nothing() {
        assert!(test_larger(&[1.0; 20], &[1.0; 20], [20.0, 20.0]) >= 1.0);
        assert!(test_larger(&[], &[1.0], [0.0, 1.0]) >= 1.0);
    }
}
