//! Retries: how often a call is made again, and the pauses between.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The number of attempts of a call, and the pauses between them. A pause is twice the one before, up to a bound, and half of
/// it is random, so that callers that failed together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use monitored_guard::{Guard, Retry};
///
/// static RATES: Guard = Guard::new("rates").retry(Retry::times(4).pause(Duration::from_millis(50)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    pause: Duration,
    pause_max: Duration,
}

impl Retry {
    /// Returns a rule of this many attempts, the first one included, with pauses from 100 ms to 10 s. Zero counts as
    /// one.
    #[must_use]
    pub const fn times(attempts: u32) -> Self {
        let attempts = if attempts == 0 { 1 } else { attempts };
        Self { attempts, pause: Duration::from_millis(100), pause_max: Duration::from_secs(10) }
    }

    /// Sets the pause after the first attempt.
    #[must_use]
    pub const fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Sets the longest pause. A part that asks to be left alone for longer is not asked again by the same call.
    #[must_use]
    pub const fn pause_max(self, pause_max: Duration) -> Self {
        Self { pause_max, ..self }
    }

    /// Returns the pause after this attempt, counted from 1, or `None` if it was the last one. `wait` is the time for
    /// which the part asks to be left alone. `random` is a number in 0..=1.
    pub(crate) fn pause_after(&self, attempt: u32, wait: Option<Duration>, random: f64) -> Option<Duration> {
        if attempt >= self.attempts || wait.is_some_and(|wait| wait > self.pause_max) {
            return None;
        }
        let doublings = (attempt - 1).min(31);
        let pause = self.pause.saturating_mul(1 << doublings).min(self.pause_max);
        // A product that rounding has made too large for a duration is the whole pause.
        let jittered =
            Duration::try_from_secs_f64(pause.as_secs_f64() * (0.5 + 0.5 * random)).unwrap_or(pause);
        Some(wait.map_or(jittered, |wait| wait.max(jittered)))
    }
}

/// Returns a random number, 0 to 1. The standard library seeds its hashers with random keys, which suffices for jitter.
pub(crate) fn random() -> f64 {
    let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
    f64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_half_of_each_is_random() {
        let retry = Retry::times(6).pause(ms(100)).pause_max(ms(500));
        let pauses = |random| [1, 2, 3, 4, 5, 6].map(|attempt| retry.pause_after(attempt, None, random));
        assert_eq!(
            pauses(1.0),
            [Some(ms(100)), Some(ms(200)), Some(ms(400)), Some(ms(500)), Some(ms(500)), None]
        );
        assert_eq!(
            pauses(0.0),
            [Some(ms(50)), Some(ms(100)), Some(ms(200)), Some(ms(250)), Some(ms(250)), None]
        );
        assert_eq!(Retry::times(0).pause_after(1, None, 0.5), None);
        assert_eq!(Retry::times(u32::MAX).pause_after(1000, None, 1.0), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_longest_pause_is_a_pause() {
        let retry = Retry::times(u32::MAX).pause(Duration::MAX).pause_max(Duration::MAX);
        for attempt in [1, 2, 1000, u32::MAX - 1] {
            assert_eq!(retry.pause_after(attempt, None, 1.0), Some(Duration::MAX));
            assert!(retry.pause_after(attempt, Some(Duration::MAX), 0.0) == Some(Duration::MAX));
        }
    }

    #[test]
    fn a_part_that_asks_for_time_gets_it_or_is_not_asked_again() {
        let retry = Retry::times(3).pause(ms(100)).pause_max(ms(500));
        assert_eq!(retry.pause_after(1, Some(ms(300)), 1.0), Some(ms(300)));
        assert_eq!(retry.pause_after(1, Some(ms(10)), 1.0), Some(ms(100)));
        assert_eq!(retry.pause_after(1, Some(ms(501)), 1.0), None);
    }

    #[test]
    fn random_numbers_differ_and_lie_between_nought_and_one() {
        let numbers = [(); 100].map(|()| random());
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(numbers.iter().any(|number| *number < 0.5) && numbers.iter().any(|number| *number > 0.5));
    }
}
