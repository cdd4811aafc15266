//! The moment at which a write without success is tried again: after a longer pause each time, and not in step with
//! other processes.
//!
//! Takes moments; gives moments. Pure: random numbers come from a generator of its own. It does not know whether a
//! write may be made at all: the breaker decides that.

use std::time::Duration;

use crate::limits::{RETRY_BUSY_MAX, RETRY_BUSY_MIN, RETRY_FAILED_MAX, RETRY_FAILED_MIN};
use crate::sampling::Random;

/// The pauses between the tries of one write.
#[derive(Debug)]
pub(super) struct Retry {
    tries: u32,
    next: Duration,
    random: Random,
}

impl Retry {
    /// Returns the pauses of a process. Processes with different seeds do not try in step.
    pub(super) fn new(seed: u64) -> Self {
        Self { tries: 0, next: Duration::ZERO, random: Random::new(seed) }
    }

    /// Returns true if it is time for the next try.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }

    /// Returns the moment of the next try.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Notes that another process was writing.
    pub(super) fn busy(&mut self, now: Duration) {
        self.postpone(now, RETRY_BUSY_MIN, RETRY_BUSY_MAX);
    }

    /// Notes that the write failed.
    pub(super) fn failed(&mut self, now: Duration) {
        self.postpone(now, RETRY_FAILED_MIN, RETRY_FAILED_MAX);
    }

    /// Notes that the write was made, or that somebody wants it to be tried at once.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
        self.next = Duration::ZERO;
    }

    /// Returns a random span of up to a quarter of this one, for work that many processes do equally often.
    pub(super) fn jitter(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.random_share() / 4.0)
    }

    /// Sets the moment of the next try. The pause doubles with each try; half of it is fixed, half is random.
    fn postpone(&mut self, now: Duration, min: Duration, max: Duration) {
        let pause = min.saturating_mul(1 << self.tries.min(16)).min(max);
        self.tries = self.tries.saturating_add(1);
        self.next = now + pause.mul_f64(0.5 + self.random_share() / 2.0);
    }

    /// Returns a random number from 0 to 1.
    fn random_share(&mut self) -> f64 {
        self.random.draw_share()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pauses, in milliseconds, after this many failures in a row.
    fn pauses(seed: u64, failures: usize) -> Vec<u128> {
        let mut retry = Retry::new(seed);
        let mut now = Duration::from_secs(7);
        let mut pauses = Vec::new();
        for _ in 0..failures {
            retry.failed(now);
            assert!(!retry.is_due(now) && retry.is_due(retry.next));
            pauses.push(retry.next.saturating_sub(now).as_millis());
            now = retry.next;
        }
        pauses
    }

    #[test]
    fn each_pause_is_up_to_twice_the_one_before_and_bounded() {
        for seed in 0..100 {
            let full = (0..12).map(|try_| (RETRY_FAILED_MIN * (1 << try_)).min(RETRY_FAILED_MAX).as_millis());
            for (pause, full) in pauses(seed, 12).into_iter().zip(full) {
                assert!(pause >= full / 2 && pause <= full, "{pause} of {full} ms");
            }
        }
    }

    #[test]
    fn two_processes_do_not_try_in_step() {
        assert_ne!(pauses(1, 5), pauses(3, 5));
    }

    #[test]
    fn a_write_that_was_made_leaves_no_pause() {
        let mut retry = Retry::new(5);
        retry.failed(Duration::from_secs(1));
        retry.reset();
        assert!(retry.is_due(Duration::ZERO));
        retry.busy(Duration::ZERO);
        assert!(retry.next <= RETRY_BUSY_MIN);
    }

    #[test]
    fn jitter_is_at_most_a_quarter() {
        let mut retry = Retry::new(9);
        assert!((0..1000).all(|_| retry.jitter(Duration::from_millis(100)) <= Duration::from_millis(25)));
    }
}
