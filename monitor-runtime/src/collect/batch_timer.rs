//! The moment at which a batch goes: at once if it is full or somebody waits for it, otherwise a second after the one
//! before, or two seconds if more calls wait than anybody follows by eye.
//!
//! Takes moments and numbers; answers yes or no. Pure. It does not know whether the store takes the batch: `retry` and
//! the breaker decide that.

use std::time::Duration;

use super::mode::Mode;
use crate::limits::{BATCH_INTERVAL, BATCH_ROWS_MANY};

/// The rows that wait for the next batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) rows: usize,
    /// True if the rows fill a batch, or as much memory as may be left to waiting.
    pub(super) is_full: bool,
}

/// The timer of batches.
#[derive(Debug)]
pub(super) struct BatchTimer {
    pause: Duration,
    next: Duration,
}

impl BatchTimer {
    /// Returns a timer by which at most one batch that is not full goes in each drain interval.
    pub(super) fn new(drain_interval: Duration) -> Self {
        Self { pause: drain_interval.max(BATCH_INTERVAL), next: Duration::ZERO }
    }

    /// Replaces the drain interval.
    pub(super) fn set_interval(&mut self, drain_interval: Duration) {
        self.pause = drain_interval.max(BATCH_INTERVAL);
    }

    /// Returns true if what waits is to go now.
    pub(super) fn is_due(&self, now: Duration, waiting: Waiting, mode: Mode) -> bool {
        let extra = if waiting.rows >= BATCH_ROWS_MANY { BATCH_INTERVAL } else { Duration::ZERO };
        mode == Mode::Flush || waiting.is_full || now >= self.next + extra
    }

    /// Notes that a batch goes now. The jitter keeps processes on one store from writing in step.
    pub(super) fn begin(&mut self, now: Duration, jitter: Duration) {
        self.next = now + self.pause + jitter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Waiting = Waiting { rows: BATCH_ROWS_MANY - 1, is_full: false };
    const MANY: Waiting = Waiting { rows: BATCH_ROWS_MANY, is_full: false };
    const FULL: Waiting = Waiting { rows: 4096, is_full: true };

    /// Returns the milliseconds between a batch at 7 s and the next one.
    fn pause(timer: &mut BatchTimer, waiting: Waiting, jitter_ms: u64) -> Option<u64> {
        let begun = Duration::from_secs(7);
        timer.begin(begun, Duration::from_millis(jitter_ms));
        (0..=5000).find(|ms| timer.is_due(begun + Duration::from_millis(*ms), waiting, Mode::Usual))
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_a_second_or_two_after_the_last() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        let table = [(FEW, 0, 1000), (MANY, 0, 2000), (FULL, 0, 0), (FEW, 25, 1025), (MANY, 25, 2025)];
        for (waiting, jitter_ms, expected) in table {
            assert_eq!(pause(&mut timer, waiting, jitter_ms), Some(expected), "{waiting:?}");
        }
    }

    #[test]
    fn a_batch_goes_no_oftener_than_rings_are_drained() {
        let mut timer = BatchTimer::new(Duration::from_secs(3));
        assert_eq!(pause(&mut timer, FEW, 0), Some(3000));
    }

    #[test]
    fn the_first_batch_and_the_first_after_a_pause_go_at_once() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        assert!(timer.is_due(Duration::from_millis(1), FEW, Mode::Usual));
        timer.begin(Duration::from_secs(7), Duration::ZERO);
        for waiting in [FEW, MANY] {
            assert!(timer.is_due(Duration::from_secs(10), waiting, Mode::Usual));
        }
    }

    #[test]
    fn who_waits_for_a_flush_waits_for_no_pause() {
        let mut timer = BatchTimer::new(Duration::from_millis(100));
        timer.begin(Duration::from_secs(7), Duration::ZERO);
        assert!(!timer.is_due(Duration::from_secs(7), FEW, Mode::Usual));
        assert!(timer.is_due(Duration::from_secs(7), FEW, Mode::Flush));
    }
}
