//! When a batch goes: at once where it is full or someone waits for it, else a second after the one
//! before, or two where more calls wait than anyone follows by eye. Pure: moments and numbers in, yes or
//! no out.
//!
//! It does not know whether the store takes the batch: that is for `retry` and the breaker to say.

use std::time::Duration;

use super::Pace;
use crate::limits::{BATCH_INTERVAL, BATCH_ROWS_MANY};

/// What waits for the next batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) rows: usize,
    /// They fill a batch, or as much memory as may be left to waiting.
    pub(super) is_full: bool,
}

/// The pauses between batches.
#[derive(Debug)]
pub(super) struct Pacing {
    pause: Duration,
    next: Duration,
}

impl Pacing {
    /// No two batches that are not full go within one drain.
    pub(super) fn new(drain_interval: Duration) -> Self {
        Self { pause: drain_interval.max(BATCH_INTERVAL), next: Duration::ZERO }
    }

    /// Rings are drained at another pace from now on.
    pub(super) fn set_interval(&mut self, drain_interval: Duration) {
        self.pause = drain_interval.max(BATCH_INTERVAL);
    }

    /// Whether what waits is to go now.
    pub(super) fn is_due(&self, now: Duration, waiting: Waiting, pace: Pace) -> bool {
        let more = if waiting.rows >= BATCH_ROWS_MANY { BATCH_INTERVAL } else { Duration::ZERO };
        pace == Pace::Flush || waiting.is_full || now >= self.next + more
    }

    /// A batch goes. The jitter keeps processes on one store from writing in step.
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

    /// The milliseconds after a batch at 7 s from which on the next one goes.
    fn pause(pacing: &mut Pacing, waiting: Waiting, jitter_ms: u64) -> Option<u64> {
        let begun = Duration::from_secs(7);
        pacing.begin(begun, Duration::from_millis(jitter_ms));
        (0..=5000).find(|ms| pacing.is_due(begun + Duration::from_millis(*ms), waiting, Pace::Usual))
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_a_second_or_two_after_the_last() {
        let mut pacing = Pacing::new(Duration::from_millis(100));
        let table = [(FEW, 0, 1000), (MANY, 0, 2000), (FULL, 0, 0), (FEW, 25, 1025), (MANY, 25, 2025)];
        for (waiting, jitter_ms, expected) in table {
            assert_eq!(pause(&mut pacing, waiting, jitter_ms), Some(expected), "{waiting:?}");
        }
    }

    #[test]
    fn a_batch_goes_no_oftener_than_rings_are_drained() {
        let mut pacing = Pacing::new(Duration::from_secs(3));
        assert_eq!(pause(&mut pacing, FEW, 0), Some(3000));
    }

    #[test]
    fn the_first_batch_and_the_first_after_a_pause_go_at_once() {
        let mut pacing = Pacing::new(Duration::from_millis(100));
        assert!(pacing.is_due(Duration::from_millis(1), FEW, Pace::Usual));
        pacing.begin(Duration::from_secs(7), Duration::ZERO);
        for waiting in [FEW, MANY] {
            assert!(pacing.is_due(Duration::from_secs(10), waiting, Pace::Usual));
        }
    }

    #[test]
    fn who_waits_for_a_flush_waits_for_no_pause() {
        let mut pacing = Pacing::new(Duration::from_millis(100));
        pacing.begin(Duration::from_secs(7), Duration::ZERO);
        assert!(!pacing.is_due(Duration::from_secs(7), FEW, Pace::Usual));
        assert!(pacing.is_due(Duration::from_secs(7), FEW, Pace::Flush));
    }
}
