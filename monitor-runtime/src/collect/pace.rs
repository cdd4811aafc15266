//! The pause between two steps: short while rings fill up, longer with little load, and a rest while nothing happens.
//!
//! Takes what a step found, and when the other parts have something to do; gives the time until the next step. Pure. It
//! does not close rings and does not wait: the collector and its thread do.

use std::time::Duration;

use crate::limits::{LIGHT_PAUSE, REST_PAUSE};

/// The findings of a step, and the work that waits.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "answers to independent questions")]
pub(super) struct StepStats {
    /// The setting `drain_interval`.
    pub(super) drain_interval: Duration,
    /// The time since the step before.
    pub(super) passed: Duration,
    /// The share of the fullest ring that was in use when the step began, 0 to 1.
    pub(super) fullest: f64,
    /// True if a record came or a counter moved.
    pub(super) is_active: bool,
    /// The number of calls that were counted in the step, with and without a record.
    pub(super) calls: u64,
    /// True if the rings had been closed before the step began, so that the first record in any of them wakes the
    /// collector.
    pub(super) is_asleep: bool,
    /// True if a subscriber receives records as they are drained.
    pub(super) is_streamed: bool,
    /// True if calls rely on the coarse clock, which is advanced between the steps.
    pub(super) is_counting: bool,
    /// The time until the earliest waiting work is due; `None` if no work waits.
    pub(super) due: Option<Duration>,
}

impl StepStats {
    /// Returns the findings of a collector that has made no step yet.
    pub(super) fn initial(drain_interval: Duration) -> Self {
        Self {
            drain_interval,
            passed: Duration::ZERO,
            fullest: 0.0,
            is_active: false,
            calls: 0,
            is_asleep: false,
            is_streamed: false,
            is_counting: false,
            due: None,
        }
    }

    /// Returns the time until the next step.
    pub(super) fn pause(&self) -> Duration {
        let Self { drain_interval, due, .. } = *self;
        let by_load = match self {
            Self { is_active: true, is_streamed: false, is_counting: false, .. } if !self.is_busy() => {
                self.stretched()
            }
            Self { is_active: true, .. } => drain_interval,
            // A call that was being recorded while the rings were closed is found by a second look, which comes soon.
            Self { is_asleep: false, .. } => drain_interval.min(LIGHT_PAUSE),
            _ => drain_interval.max(REST_PAUSE),
        };
        due.map_or(by_load, |due| by_load.min(due.max(DUE_MIN)))
    }

    /// Returns true if so many calls come that the ladder has to see them soon, though few of them leave a record.
    fn is_busy(&self) -> bool {
        self.calls as f64 > CALM_CALLS_PER_S * self.passed.as_secs_f64()
    }

    /// Returns the pause in which the fullest ring would fill up to `CALM_SHARE`, if records keep coming as fast as
    /// since the step before. The pause is at least the drain interval, and at most the longer of that and
    /// `LIGHT_PAUSE`.
    fn stretched(&self) -> Duration {
        let longest = self.drain_interval.max(LIGHT_PAUSE);
        let ratio = CALM_SHARE / self.fullest.max(f64::MIN_POSITIVE);
        let seconds = self.passed.as_secs_f64() * ratio;
        if seconds >= longest.as_secs_f64() {
            return longest;
        }
        Duration::from_secs_f64(seconds).max(self.drain_interval)
    }
}

/// The share of a ring that may fill between two steps. The ring itself wakes the collector at half.
const CALM_SHARE: f64 = 0.125;
/// The calls per second up to which pauses stretch: so few calls, even of a microsecond each, make no function hot.
const CALM_CALLS_PER_S: f64 = 5000.0;
/// The shortest pause for something that is due, so that the thread never spins.
const DUE_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    /// Returns the findings of a step that came `passed_ms` after the one before, and emptied this share of a ring.
    fn active(passed_ms: u64, fullest: f64) -> StepStats {
        let passed = Duration::from_millis(passed_ms);
        StepStats { passed, fullest, is_active: true, ..StepStats::initial(INTERVAL) }
    }

    fn quiet(is_asleep: bool) -> StepStats {
        StepStats { is_active: false, is_asleep, ..active(100, 0.0) }
    }

    #[test]
    fn pauses_stretch_as_far_as_rings_stay_empty() {
        let table = [
            // The full load, a tenth of it, and forty calls a second.
            (active(100, 0.9), 100),
            (active(100, 0.09), 138),
            (active(100, 0.002), 1950),
            // Counters moved, rings are empty.
            (active(100, 0.0), 1950),
            // A stretched pause in which the load has grown is followed by a short one.
            (active(1950, 0.5), 487),
            (active(1950, 1.0), 243),
        ];
        for (seen, ms) in table {
            assert_eq!(seen.pause().as_millis(), ms, "{seen:?}");
        }
    }

    #[test]
    fn a_step_that_finds_nothing_is_followed_by_a_second_look_and_then_by_a_rest() {
        assert_eq!(quiet(false).pause(), INTERVAL);
        assert_eq!(quiet(true).pause(), REST_PAUSE);
    }

    #[test]
    fn a_subscriber_the_coarse_clock_and_a_hot_function_are_served_as_often_as_rings_are_drained() {
        assert_eq!(StepStats { is_streamed: true, ..active(100, 0.0) }.pause(), INTERVAL);
        assert_eq!(StepStats { is_counting: true, ..active(100, 0.0) }.pause(), INTERVAL);
        assert_eq!(StepStats { calls: 501, ..active(100, 0.0) }.pause(), INTERVAL);
        assert_eq!(StepStats { calls: 499, ..active(100, 0.0) }.pause(), LIGHT_PAUSE);
        assert_eq!(StepStats { is_streamed: true, ..quiet(true) }.pause(), REST_PAUSE);
    }

    #[test]
    fn what_is_due_ends_every_pause() {
        for seen in [active(100, 0.0), quiet(true)] {
            let due = |ms| StepStats { due: Some(Duration::from_millis(ms)), ..seen }.pause().as_millis();
            assert_eq!([due(0), due(700)], [1, 700]);
            assert_eq!(due(60_000), seen.pause().as_millis());
        }
    }

    #[test]
    fn a_drain_interval_that_is_longer_than_all_of_these_holds() {
        let long = Duration::from_secs(30);
        for seen in [active(100, 0.9), active(100, 0.0), quiet(true)] {
            assert_eq!(StepStats { drain_interval: long, ..seen }.pause(), long);
        }
    }
}
