//! From which duration on calls of a function have rows for being slow, whatever the rate: as its author said,
//! or by its own 99th percentile, so many a second.

use super::super::Function;
use crate::batch::decode::Times;
use crate::limits;

/// From which duration on calls have a row for being slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowLimit {
    ns: u64,
    /// What it was before this moment: by then calls that were not drawn were left out by it.
    since_ns: i64,
    before_ns: u64,
    /// Rows left this second, where the limit is the function's own percentile.
    left: u32,
}

impl Default for SlowLimit {
    fn default() -> Self {
        Self { ns: u64::MAX, since_ns: i64::MIN, before_ns: u64::MAX, left: u32::MAX }
    }
}

impl SlowLimit {
    /// From the duration on that the function's author stated, if any.
    pub(super) fn stated(ns: Option<u64>) -> Self {
        Self { ns: ns.unwrap_or(u64::MAX), ..Self::default() }
    }

    pub(super) fn set(&mut self, ns: u64, left: u32, now_ns: i64) {
        *self = Self { ns, since_ns: now_ns, before_ns: self.ns, left };
    }

    /// Whether a call is slow and may have a row for that.
    pub(super) fn takes(&mut self, times: &Times) -> bool {
        let limit = if times.end_ns < self.since_ns { self.before_ns } else { self.ns };
        let takes = times.duration_ns >= limit && self.left > 0;
        if takes && self.left != u32::MAX {
            self.left -= 1;
        }
        takes
    }
}

impl Function {
    /// Finds from which duration on calls are kept for being slow, and tells the hot side.
    pub(super) fn find_slow_limit(&mut self, now_ns: i64, percentile: Option<u64>) {
        let is_counted = self.standing.rung.is_counted;
        let coarse_ns = limits::COARSE_PERIOD.as_nanos() as u64;
        let least = if is_counted { coarse_ns } else { 0 };
        let slow = &mut self.standing.slow;
        if let Some(own) = self.site.slow_ns() {
            slow.set(own.max(least), u32::MAX, now_ns);
            // The coarse clock may be as much behind at the start as at the end.
            self.site.set_slow_limit(if is_counted { own.max(least) } else { own / 2 });
            return;
        }
        slow.set(percentile.unwrap_or(u64::MAX).max(least), limits::SLOW_ROWS, now_ns);
        self.site.set_slow_limit(slow.ns);
    }

    /// The function's own percentile, where slow calls have a row for that: at rate 1 they have one as it is,
    /// and at rate 0 none was asked for.
    pub(super) fn percentile(&self, all: &[Option<Self>]) -> Option<u64> {
        let is_sampled = self.site.rate() > 0.0 && self.site.rate() < 1.0;
        let counted = all.get(self.counted_as as usize)?.as_ref().filter(|_| is_sampled)?;
        counted.figures.slow_limit(self.standing.calls_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(limit: &mut SlowLimit, duration_ns: u64, end_ns: i64) -> bool {
        let start_ns = end_ns - duration_ns.cast_signed();
        limit.takes(&Times { start_ns, end_ns, duration_ns, busy_ns: duration_ns })
    }

    #[test]
    fn no_more_calls_a_look_have_rows_for_being_slower_than_usual_than_may() {
        let mut limit = SlowLimit::default();
        assert!(!takes(&mut limit, u64::MAX / 4, 10), "there is no limit yet");
        limit.set(1000, limits::SLOW_ROWS, 100);
        assert!(!takes(&mut limit, 999, 110));
        assert!(!takes(&mut limit, 5000, 90), "it ended before the limit held");
        let taken = (0..1_000).filter(|call| takes(&mut limit, 1000 + call, 200)).count();
        assert_eq!(taken, limits::SLOW_ROWS as usize);
        limit.set(2000, limits::SLOW_ROWS, 1_000_000);
        assert!(takes(&mut limit, 1500, 999_999) && !takes(&mut limit, 1500, 1_000_001));
        assert!(takes(&mut limit, 2000, 1_000_001));
    }

    #[test]
    fn all_calls_past_a_stated_limit_have_rows() {
        let mut limit = SlowLimit::default();
        limit.set(1000, u32::MAX, 100);
        assert!((0..100_000).all(|call| takes(&mut limit, 1000 + call, 200)));
    }
}
