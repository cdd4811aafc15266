//! Draws the number of calls to skip until the next sampled call, so that one random number is needed per
//! sampled call instead of one per call. Also holds the random generator of the recorder. Pure; the caller
//! keeps the state of the generator.

/// The gap after which another gap is drawn instead of keeping a call. Gaps have no memory, so drawing again
/// keeps even the smallest rates unbiased.
pub const REDRAW: u32 = u32::MAX;

/// Returns the number of calls to skip before the next kept one, if calls are kept independently with
/// probability `rate`; `random` is uniform over all `u64`. Rate 0 always gives [`REDRAW`].
///
/// Inversion of the geometric distribution: `floor(ln(u) / ln(1 - rate))` with `u` uniform in (0, 1]
/// (Devroye, Non-Uniform Random Variate Generation, 1986, chapter X.2).
#[must_use]
pub fn next_gap(rate: f64, random: u64) -> u32 {
    if rate >= 1.0 {
        return 0;
    }
    if rate.is_nan() || rate <= 0.0 {
        return REDRAW;
    }
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds exactly")]
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let gap = (uniform.ln() / (-rate).ln_1p()).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the cast saturates at the very value that is meant"
    )]
    let gap = gap as u32;
    gap
}

/// A small generator of random numbers: one word of state, one chain of multiplications per draw. A crate is
/// not needed for five lines that the hot path inlines.
///
/// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). Its
/// numbers are predictable, which does no harm here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Creates a generator that starts from this seed; different seeds give unrelated sequences.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the seed of a generator that continues this one.
    #[must_use]
    pub const fn state(&self) -> u64 {
        self.state
    }

    /// Returns the next number, uniform over all `u64`.
    pub const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns the next number, uniform from 0 to below 1.
    pub(crate) const fn draw_share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_scale_are_exact() {
        for random in [0, 1, u64::MAX] {
            assert_eq!(next_gap(1.0, random), 0);
            assert_eq!(next_gap(0.0, random), REDRAW);
            assert_eq!(next_gap(f64::NAN, random), REDRAW);
        }
        assert_eq!(next_gap(1e-300, 0), REDRAW);
        assert_eq!(next_gap(0.5, u64::MAX), 0);
    }

    #[test]
    fn calls_are_kept_as_often_as_the_rate_says() {
        for (rate, calls) in [(0.9, 100_000_u32), (0.5, 100_000), (0.1, 200_000), (0.001, 2_000_000)] {
            let mut random = Random::new(42);
            let (mut kept, mut at) = (0_u32, next_gap(rate, random.draw()));
            while at < calls {
                kept += 1;
                at = at.saturating_add(1).saturating_add(next_gap(rate, random.draw()));
            }
            let expected = f64::from(calls) * rate;
            let five_deviations = 5.0 * (expected * (1.0 - rate)).sqrt();
            assert!((f64::from(kept) - expected).abs() < five_deviations, "{rate}: {kept}");
        }
    }

    #[test]
    fn gaps_have_the_geometric_distribution() {
        let (rate, draws) = (0.3, 100_000_u32);
        let mut random = Random::new(1);
        let mut seen = [0_u32; 5];
        for _ in 0..draws {
            if let Some(count) = seen.get_mut(next_gap(rate, random.draw()) as usize) {
                *count += 1;
            }
        }
        let mut probability = rate;
        for count in seen {
            let expected = f64::from(draws) * probability;
            assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "{seen:?}");
            probability *= 1.0 - rate;
        }
    }

    #[test]
    fn the_generator_gives_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.draw(), 6_457_827_717_110_365_317);
        assert_eq!(random.draw(), 3_203_168_211_198_807_973);
    }
}
