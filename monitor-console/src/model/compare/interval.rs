//! The interval of the ratio of durations: a bootstrap that draws stretches of neighbouring windows, so that windows that
//! resemble each other stay together.

use fastrand::Rng;

use super::sample::Sample;
use crate::model::statistics::series::{draw_blocks, measure_autocorrelation};

/// The number of draws.
const DRAWS: usize = 200;
/// The seed, so that the same store always gives the same interval.
const SEED: u64 = 0x6d6f_6e69;
/// The parts of the draws that lie outside of the interval, on either side.
const OUTSIDE: f64 = 0.025;

/// Returns the 95 % interval of the ratio of the typical durations, after to before.
pub(super) fn estimate(samples: [&Sample; 2], bounds: [i32; 2]) -> (f64, f64) {
    let mut random = Rng::with_seed(SEED);
    // The sums of a window are computed once, and those of a stretch of windows are a difference of two sums from the start.
    let sums = samples.map(|sample| {
        let points = sample.points(bounds).map(|point| (point.logarithms, point.timed));
        points.filter(|(_, calls)| *calls > 0.0).collect::<Vec<_>>()
    });
    let means: Vec<f64> = sums[0].iter().map(|(sum, calls)| sum / calls).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few windows")]
    let block = (4.0 * measure_autocorrelation(&means)).ceil() as usize;
    let lengths = sums.each_ref().map(Vec::len);
    let upto = sums.map(add_up);
    let mut ratios: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let [before, after] = [0, 1].map(|side: usize| {
                let block = block.min(lengths[side].div_ceil(4));
                let drawn = draw_blocks(lengths[side], block, &mut random);
                let (sum, calls) = drawn.fold((0.0, 0.0), |all, stretch| {
                    let (start, end) = (upto[side][stretch.start], upto[side][stretch.end]);
                    (all.0 + (end.0 - start.0), all.1 + (end.1 - start.1))
                });
                if calls > 0.0 { sum / calls } else { 0.0 }
            });
            (after - before).exp2()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few draws"
    )]
    let outside = (DRAWS as f64 * OUTSIDE) as usize;
    (ratios[outside], ratios[DRAWS - 1 - outside])
}

/// Returns the sums of the figures before each position, and behind the last one.
fn add_up(figures: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    let before = figures.into_iter().map(|figure| {
        let before = sum;
        sum = (sum.0 + figure.0, sum.1 + figure.1);
        before
    });
    let mut upto: Vec<_> = before.collect();
    upto.push(sum);
    upto
}
