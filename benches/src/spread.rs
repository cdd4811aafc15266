//! Median and quartiles of the rounds of a case. The functions are pure.

/// The median of some values, and the bounds of their middle half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The lower quartile: a quarter of the values lies below.
    pub low: f64,
    /// The median: half of the values lies below.
    pub median: f64,
    /// The upper quartile: three quarters of the values lie below.
    pub high: f64,
}

impl Spread {
    /// Returns the spread of the values; `None` if there are none.
    #[must_use]
    pub fn from_values(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters: usize| quantile(&sorted, quarters);
        Some(Self { low: at(1)?, median: at(2)?, high: at(3)? })
    }
}

/// Returns the median of the values; NaN if there are none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    Spread::from_values(values).map_or(f64::NAN, |spread| spread.median)
}

/// Returns the value below which this many quarters of the sorted values lie. If that position falls between
/// two values, the result is interpolated linearly.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * quarters;
    let (below, share) = (position / 4, [0.0, 0.25, 0.5, 0.75][position % 4]);
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (sorted[above] - sorted[below]) * share)
}
