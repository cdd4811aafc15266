//! Growth of a figure over time: Mann and Kendall's test for a monotonic trend, and Theil and Sen's slope, the median
//! of all slopes between two points. Neither is misled by outliers.

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::model::number::to_f64;

/// The trend of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// The p-value of the hypothesis that the figure does not rise.
    pub(crate) p: f64,
    /// The median rise from one point to the next.
    pub(crate) slope: f64,
}

/// Returns the trend of a series; `None` for fewer than four points.
pub(crate) fn measure(series: &[f64]) -> Option<Trend> {
    let n = series.len();
    if n < 4 {
        return None;
    }
    let mut rises = 0_i64;
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for (first, a) in series.iter().enumerate() {
        for (second, b) in series.iter().enumerate().skip(first + 1) {
            rises += i64::from(b > a) - i64::from(b < a);
            slopes.push((b - a) / to_f64(second - first));
        }
    }
    let middle = slopes.len() / 2;
    let (_, slope, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
    Some(Trend { p: find_p(rises, series), slope: *slope })
}

/// Returns the probability of at least this many rises in a series without a trend; ties lower the variance.
fn find_p(rises: i64, series: &[f64]) -> f64 {
    let variance = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 =
        sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|tie| variance(to_f64(tie.len()))).sum();
    let deviation = ((variance(to_f64(series.len())) - ties) / 18.0).max(0.0).sqrt();
    if deviation == 0.0 || rises <= 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of pairs")]
    let z = (rises - 1) as f64 / deviation;
    Normal::standard().sf(z)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_rise_is_told_from_noise_and_from_a_step_down() {
        let rising: Vec<f64> = (0..30).map(|n| f64::from(n * 10 + n % 3)).collect();
        let trend = measure(&rising).unwrap();
        assert!(trend.p < 1e-6 && (trend.slope - 10.0).abs() < 0.2, "{trend:?}");
        let wandering: Vec<f64> = (0..30).map(|n| f64::from((n * 7) % 11)).collect();
        assert!(measure(&wandering).unwrap().p > 0.05);
        let falling: Vec<f64> = (0..30).rev().map(f64::from).collect();
        assert!(measure(&falling).unwrap().p > 0.99);
        assert!(measure(&[5.0; 30]).unwrap().p > 0.99);
        assert_eq!(measure(&[1.0, 2.0]), None);
    }

    #[test]
    fn one_outlier_makes_no_trend() {
        let mut series = vec![5.0; 30];
        series[29] = 500.0;
        assert!(measure(&series).unwrap().p > 0.01);
        assert_eq!(measure(&series).unwrap().slope, 0.0);
    }
}
