//! The share of a core that was used in a period. Pure: moments and CPU times in, percent out.

use std::time::Duration;

/// The beginning of a period, and the CPU time that was used by then.
#[derive(Debug)]
pub(super) struct CpuShare {
    wall: Duration,
    used: Duration,
}

impl CpuShare {
    /// Begins a period at the moment `wall`, by which the CPU time `used` was used.
    pub(super) fn new(wall: Duration, used: Duration) -> Self {
        Self { wall, used }
    }

    /// Returns the percentage of one core that was used since the period began.
    pub(super) fn current(&self, wall: Duration, used: Duration) -> f64 {
        let share = used.saturating_sub(self.used).as_secs_f64()
            / wall.saturating_sub(self.wall).max(PERIOD_MIN).as_secs_f64();
        share * 100.0
    }

    /// Returns the percentage of one core that was used in the period, and begins the next period at this moment.
    pub(super) fn end_period(&mut self, wall: Duration, used: Duration) -> f64 {
        let share = self.current(wall, used);
        *self = Self { wall, used };
        share
    }
}

/// The shortest period that a share refers to, because the first moments of a program are not typical of it.
const PERIOD_MIN: Duration = Duration::from_secs(1);
