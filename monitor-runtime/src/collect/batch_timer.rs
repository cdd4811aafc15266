//! Decides when a batch goes to the store: at once if it is full or a caller waits for it, otherwise no sooner than a
//! pause after the batch before. In the first moments of a process only full batches go, because the process may end
//! soon.
//!
//! Takes moments and numbers; answers yes or no. Pure. It does not know whether the store takes the batch: `retry` and
//! the breaker decide that.

use std::time::Duration;

use super::step::Mode;
use crate::limits::{BATCH_INTERVAL, SETTLED_AGE};

/// The timer of batches.
#[derive(Debug)]
pub(super) struct BatchTimer {
    pause: Duration,
    next: Duration,
}

impl BatchTimer {
    /// Returns a timer by which at most one batch that is not full goes in each drain interval.
    pub(super) fn new(drain_interval: Duration) -> Self {
        Self { pause: drain_interval.max(BATCH_INTERVAL), next: SETTLED_AGE }
    }

    /// Replaces the drain interval.
    pub(super) fn set_interval(&mut self, drain_interval: Duration) {
        self.pause = drain_interval.max(BATCH_INTERVAL);
    }

    /// Returns true if the waiting rows go to the store now. `is_full` is true if they fill a batch, or the memory that
    /// waiting rows may take.
    pub(super) fn is_due(&self, now: Duration, is_full: bool, mode: Mode) -> bool {
        mode == Mode::Flush || is_full || now >= self.next
    }

    /// Returns the moment at which a batch goes even if it is not full.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Notes that a batch goes now. The jitter keeps processes that share a store from writing at the same moments. It
    /// makes the next batch due earlier, not later, so that the drain that ends a stretched pause finds it due.
    pub(super) fn begin(&mut self, now: Duration, jitter: Duration) {
        self.next = now + self.pause.saturating_sub(jitter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the milliseconds between a batch at 7 s and the next one.
    fn pause(timer: &mut BatchTimer, is_full: bool, jitter_ms: u64) -> Option<u64> {
        let begun = Duration::from_secs(7);
        timer.begin(begun, Duration::from_millis(jitter_ms));
        (0..=5000).find(|ms| timer.is_due(begun + Duration::from_millis(*ms), is_full, Mode::Usual))
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_within_two_seconds_of_the_last() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        for (is_full, jitter_ms, expected) in [(false, 0, 1950), (true, 0, 0), (false, 25, 1925)] {
            assert_eq!(pause(&mut timer, is_full, jitter_ms), Some(expected), "{is_full}");
        }
    }

    #[test]
    fn a_batch_goes_no_oftener_than_rings_are_drained() {
        let mut timer = BatchTimer::new(Duration::from_secs(3));
        assert_eq!(pause(&mut timer, false, 0), Some(3000));
    }

    #[test]
    fn the_first_batch_of_a_process_of_some_age_and_the_first_after_a_pause_go_at_once() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        assert!(!timer.is_due(SETTLED_AGE / 2, false, Mode::Usual));
        assert!(timer.is_due(SETTLED_AGE, false, Mode::Usual));
        timer.begin(Duration::from_secs(7), Duration::ZERO);
        assert!(timer.is_due(Duration::from_secs(10), false, Mode::Usual));
    }

    #[test]
    fn who_waits_for_a_flush_waits_for_no_pause() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        timer.begin(Duration::from_secs(7), Duration::ZERO);
        assert!(!timer.is_due(Duration::from_secs(7), false, Mode::Usual));
        assert!(timer.is_due(Duration::from_secs(7), false, Mode::Flush));
    }
}
