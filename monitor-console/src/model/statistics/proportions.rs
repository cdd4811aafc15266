//! Two shares compared: the chi-squared test of a table of two rows and two columns, and Fisher's exact test where a cell
//! of the table expects too few rows for it.

use statrs::distribution::{ChiSquared, ContinuousCDF as _, DiscreteCDF as _, Hypergeometric, Poisson};

/// The rows that a cell has to expect for the chi-squared test.
const EXPECTED_MIN: f64 = 5.0;

/// Weights of rows, and the number of rows of weight 1 with as much information (Kish's effective size).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Weighted {
    /// The sum of the weights.
    pub(crate) sum: f64,
    /// The sum of their squares.
    pub(crate) squares: f64,
}

impl Weighted {
    /// Adds a row.
    pub(crate) fn add(&mut self, weight: f64) {
        self.sum += weight;
        self.squares += weight * weight;
    }

    /// Returns Kish's effective number of rows.
    pub(crate) fn effective_size(self) -> f64 {
        if self.squares > 0.0 { self.sum * self.sum / self.squares } else { 0.0 }
    }
}

/// Returns the p-value of the hypothesis that two shares are the same; `sizes` are the effective numbers of rows. The
/// chi-squared test is made with Yates's correction. Fisher's test is one-sided: it looks for a larger first share.
pub(crate) fn test_shares(shares: [f64; 2], sizes: [f64; 2]) -> f64 {
    let [a, b] = [0, 1].map(|side| (shares[side] * sizes[side], (1.0 - shares[side]) * sizes[side]));
    let n = sizes[0] + sizes[1];
    let margins = (a.0 + a.1) * (b.0 + b.1) * (a.0 + b.0) * (a.1 + b.1);
    if margins <= 0.0 || !margins.is_finite() {
        return 1.0;
    }
    let expected = [a.0 + b.0, a.1 + b.1].into_iter().flat_map(|column| sizes.map(|size| column * size / n));
    if expected.fold(f64::INFINITY, f64::min) < EXPECTED_MIN {
        return test_exactly([a.0, a.0 + b.0, sizes[0], n]);
    }
    let distance = ((a.0 * b.1 - a.1 * b.0).abs() - n / 2.0).max(0.0);
    let statistic = n * distance * distance / margins;
    ChiSquared::new(1.0).map_or(1.0, |distribution| distribution.sf(statistic))
}

/// Returns the probability of at least this many successes among the draws, by chance; `counts` are these successes,
/// all successes, the draws and the population.
fn test_exactly(counts: [f64; 4]) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of rows")]
    let [found, successes, draws, population] = counts.map(|count| count.round() as u64);
    let Ok(chance) = Hypergeometric::new(population, successes.min(population), draws.min(population)) else {
        return 1.0;
    };
    if found == 0 { 1.0 } else { chance.sf(found - 1) }
}

/// Returns the probability of at least `count` events where `expected` are expected.
pub(crate) fn poisson_tail(count: u64, expected: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    Poisson::new(expected.max(1e-9)).map_or(1.0, |distribution| distribution.sf(count - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_compared_as_in_published_tables() {
        // chisq.test(matrix(c(30, 70, 10, 90), 2)) in R: X-squared = 11.281, p-value = 0.0007829.
        let p = test_shares([0.3, 0.1], [100.0, 100.0]);
        assert!((p - 0.000_782_9).abs() < 1e-6, "{p}");
        assert!(test_shares([0.5, 0.5], [100.0, 100.0]) > 0.99);
        for degenerate in [test_shares([0.0, 0.0], [10.0, 10.0]), test_shares([0.5, 0.1], [0.0, 10.0])] {
            assert!(degenerate >= 1.0);
        }
    }

    #[test]
    fn small_tables_are_tested_exactly() {
        // fisher.test(matrix(c(4, 16, 5, 475), 2), alternative = "greater") in R: p-value = 0.000233.
        let p = test_shares([4.0 / 20.0, 5.0 / 480.0], [20.0, 480.0]);
        assert!((1e-4..5e-4).contains(&p), "{p}");
        assert!(test_shares([0.05, 0.0], [20.0, 480.0]) > 0.03);
    }

    #[test]
    fn weights_count_as_fewer_rows() {
        let mut even = Weighted::default();
        (0..50).for_each(|_| even.add(100.0));
        assert!((even.effective_size() - 50.0).abs() < 1e-9);
        let mut uneven = even;
        uneven.add(100_000.0);
        assert!(uneven.effective_size() < 2.0);
        assert!(Weighted::default().effective_size() == 0.0);
    }

    #[test]
    fn many_events_where_few_are_expected_are_unlikely() {
        assert!(poisson_tail(20, 0.5) < 1e-20);
        assert!(poisson_tail(1, 1.0) > 0.6);
        assert!(poisson_tail(0, 0.0) >= 1.0);
    }
}
