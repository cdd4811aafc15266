//! Median and quartiles of the rounds of a case: pure.

/// Where the middle half of some values lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// A quarter of the values lies below.
    pub low: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters.
    pub high: f64,
}

impl Spread {
    /// Of at least one value.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters: usize| quantile(&sorted, quarters);
        Some(Self { low: at(1)?, median: at(2)?, high: at(3)? })
    }
}

/// Between its two neighbours where a quarter of the values falls between two.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * quarters;
    let (below, share) = (position / 4, [0.0, 0.25, 0.5, 0.75][position % 4]);
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (sorted[above] - sorted[below]) * share)
}
