//! The pauses between attempts: they double from a second to a bound, each drawn between a half and the whole of it, so that
//! several commands that wait for one receiver do not come at once.

use std::time::Duration;

use crate::arguments::FIRST_PAUSE;

/// The longest pause that a receiver may ask for.
const ASKED_MAX: Duration = Duration::from_secs(600);

/// The pauses after attempts that failed.
#[derive(Debug)]
pub(super) struct Pauses {
    failures: u32,
    longest: Duration,
    random: fastrand::Rng,
}

impl Pauses {
    /// Returns pauses up to this one.
    pub(super) fn new(longest: Duration) -> Self {
        let seed = u64::from(std::process::id()) ^ crate::units::now_ns().cast_unsigned();
        Self::with_seed(longest, seed)
    }

    fn with_seed(longest: Duration, seed: u64) -> Self {
        Self { failures: 0, longest, random: fastrand::Rng::with_seed(seed) }
    }

    /// Begins anew, because an attempt succeeded.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the pause after an attempt that failed; at least the one that the receiver asks for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let whole = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let pause = whole.min(self.longest).mul_f64(0.5 + self.random.f64() / 2.0);
        pause.max(asked.unwrap_or_default().min(ASKED_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_are_drawn_and_begin_anew() {
        let longest = Duration::from_secs(60);
        let mut drawn = std::collections::HashSet::new();
        for seed in 0..50 {
            let mut pauses = Pauses::with_seed(longest, seed);
            for whole in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0_f64] {
                let pause = pauses.next(None);
                assert!((whole / 2.0..=whole).contains(&pause.as_secs_f64()), "{whole}: {pause:?}");
                drawn.insert(pause);
            }
            for _ in 0..100 {
                assert!(pauses.next(None) <= longest);
            }
            pauses.reset();
            assert!(pauses.next(None) <= FIRST_PAUSE);
            assert_eq!(pauses.next(Some(Duration::from_secs(120))), Duration::from_secs(120));
            assert_eq!(pauses.next(Some(Duration::from_secs(86_400))), ASKED_MAX);
        }
        assert!(drawn.len() > 300, "{}", drawn.len());
    }
}
