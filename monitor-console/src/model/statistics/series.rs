//! Series of figures whose neighbours resemble each other: how many independent figures they are worth, and draws of
//! whole stretches.

use std::ops::Range;

use fastrand::Rng;

use crate::model::number::to_f64;

/// The autocorrelation below which the rest counts as noise.
const CORRELATION_MIN: f64 = 0.05;

/// Returns the integrated autocorrelation time: n figures contain as much information as n divided by this many
/// independent ones. It is at least 1.
pub(crate) fn measure_autocorrelation(series: &[f64]) -> f64 {
    let n = to_f64(series.len());
    if series.len() < 4 {
        return 1.0;
    }
    let mean = series.iter().sum::<f64>() / n;
    let variance: f64 = series.iter().map(|figure| (figure - mean).powi(2)).sum();
    // Figures that are all the same differ from their mean by rounding.
    if variance <= n * (mean * 1e-12).powi(2) {
        return 1.0;
    }
    let correlation = |lag: usize| {
        let products = series.iter().zip(&series[lag..]).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>() / variance
    };
    let lags = (1..series.len() / 2).map(correlation).take_while(|found| *found > CORRELATION_MIN);
    1.0 + 2.0 * lags.sum::<f64>()
}

/// Draws stretches of `block` neighbours from a series of this length, together as long as the series; the last one is
/// shorter if need be.
pub(crate) fn draw_blocks(
    length: usize,
    block: usize,
    random: &mut Rng,
) -> impl Iterator<Item = Range<usize>> + '_ {
    let block = block.clamp(1, length.max(1));
    (0..length).step_by(block).map(move |drawn| {
        let start = random.usize(0..=length - block);
        start..start + block.min(length - drawn)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wandering_series_is_worth_fewer_figures() {
        let mut random = Rng::with_seed(1);
        let noise: Vec<f64> = (0..2000).map(|_| random.f64()).collect();
        assert!(measure_autocorrelation(&noise) < 1.5);
        let mut level = 0.0;
        let wandering: Vec<f64> = noise
            .iter()
            .map(|noise| {
                level = level * 0.8 + noise - 0.5;
                level
            })
            .collect();
        // (1 + 0.8) / (1 - 0.8) = 9.
        let time = measure_autocorrelation(&wandering);
        assert!((6.0..13.0).contains(&time), "{time}");
        assert!((measure_autocorrelation(&[0.1; 30]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn blocks_are_stretches_of_neighbours_and_a_seed_draws_the_same() {
        let draw = |length, block| draw_blocks(length, block, &mut Rng::with_seed(7)).collect::<Vec<_>>();
        assert_eq!(draw(100, 10), draw(100, 10));
        for (length, block, lengths) in [
            (100, 10, vec![10; 10]),
            (7, 3, vec![3, 3, 1]),
            (2, 9, vec![2]),
            (3, 0, vec![1; 3]),
            (0, 3, vec![]),
        ] {
            let drawn = draw(length, block);
            assert!(drawn.iter().all(|stretch| stretch.end <= length), "{drawn:?}");
            assert_eq!(drawn.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), lengths);
        }
    }
}
