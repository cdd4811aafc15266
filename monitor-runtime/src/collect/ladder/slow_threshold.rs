//! The duration from which a call of a function has a row for being slow, at any sampling rate.
//!
//! The author of the function declares it; otherwise it is the function's own 99th percentile, and a bounded number of
//! calls per second have such a row. Pure.

use crate::batch::decode::Times;

/// The duration from which calls have a row for being slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowThreshold {
    pub(super) ns: u64,
    /// Calls that ended before this moment are compared with the previous threshold, `before_ns`, because their callers
    /// used that threshold to decide whether an unsampled call leaves a record.
    since_ns: i64,
    before_ns: u64,
    /// The rows that are left this second, if the threshold is the function's own percentile.
    left: u32,
}

impl Default for SlowThreshold {
    fn default() -> Self {
        Self { ns: u64::MAX, since_ns: i64::MIN, before_ns: u64::MAX, left: u32::MAX }
    }
}

impl SlowThreshold {
    /// Returns the threshold that the function's author declared, or one that no call reaches.
    pub(super) fn declared(ns: Option<u64>) -> Self {
        Self { ns: ns.unwrap_or(u64::MAX), ..Self::default() }
    }

    /// Replaces the threshold, and allows `left` rows until it is replaced again.
    pub(super) fn set(&mut self, ns: u64, left: u32, now_ns: i64) {
        *self = Self { ns, since_ns: now_ns, before_ns: self.ns, left };
    }

    /// Returns true, and takes one of the rows that are left, if a call is slow and may have a row for that.
    pub(super) fn takes(&mut self, times: &Times) -> bool {
        let threshold = if times.end_ns < self.since_ns { self.before_ns } else { self.ns };
        let takes = times.duration_ns >= threshold && self.left > 0;
        if takes && self.left != u32::MAX {
            self.left -= 1;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn takes(threshold: &mut SlowThreshold, duration_ns: u64, end_ns: i64) -> bool {
        let start_ns = end_ns - duration_ns.cast_signed();
        threshold.takes(&Times { start_ns, end_ns, duration_ns, busy_ns: duration_ns, self_ns: duration_ns })
    }

    #[test]
    fn no_more_calls_a_look_have_rows_for_being_slower_than_usual_than_may() {
        let mut threshold = SlowThreshold::default();
        assert!(!takes(&mut threshold, u64::MAX / 4, 10), "there is no threshold yet");
        threshold.set(1000, limits::SLOW_ROWS, 100);
        assert!(!takes(&mut threshold, 999, 110));
        assert!(!takes(&mut threshold, 5000, 90), "it ended before the threshold was set");
        let taken = (0..1_000).filter(|call| takes(&mut threshold, 1000 + call, 200)).count();
        assert_eq!(taken, limits::SLOW_ROWS as usize);
        threshold.set(2000, limits::SLOW_ROWS, 1_000_000);
        assert!(takes(&mut threshold, 1500, 999_999) && !takes(&mut threshold, 1500, 1_000_001));
        assert!(takes(&mut threshold, 2000, 1_000_001));
    }

    #[test]
    fn all_calls_past_a_stated_limit_have_rows() {
        let mut threshold = SlowThreshold::default();
        threshold.set(1000, u32::MAX, 100);
        assert!((0..100_000).all(|call| takes(&mut threshold, 1000 + call, 200)));
    }
}
