//! Many tests at once: Benjamini and Hochberg's adjustment, which bounds the share of false alarms among the alarms.

/// Returns the adjusted p-values, in the order of the given ones. A test passes at a rate of false discoveries if its
/// adjusted value is at most that rate.
pub(crate) fn adjust(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest = 1.0_f64;
    for (passed, at) in order.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a number of tests")]
        let factor = p_values.len() as f64 / (p_values.len() - passed) as f64;
        smallest = smallest.min(p_values[*at] * factor);
        adjusted[*at] = smallest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_adjusted_as_published() {
        // The values of p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "BH") in R are all 0.05.
        let adjusted = adjust(&[0.01, 0.02, 0.03, 0.04, 0.05]);
        assert!(adjusted.iter().all(|p| (p - 0.05).abs() < 1e-12), "{adjusted:?}");
        let adjusted = adjust(&[0.9, 0.001, 0.04]);
        for (found, expected) in adjusted.iter().zip([0.9, 0.003, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(adjust(&[]), [] as [f64; 0]);
    }
}
