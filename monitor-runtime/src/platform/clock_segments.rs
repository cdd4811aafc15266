//! The conversion of ticks to times: a line for each stretch of time in which the counter kept its rate.
//!
//! Takes pairs of readings of the counter and of the monotonic clock; gives times, and says where the counter went astray:
//! it went backwards, stood still, jumped, or changed its rate, as it does on a machine that was suspended, restored or
//! migrated. There a new segment begins, so that neither the times before nor those after are wrong. The rate of a segment
//! is measured over the last seconds. All arithmetic is bounded, because ticks of another process may have any value. Pure.

use super::clock_counter::Ticks;

/// A reading of ticks and one of the monotonic clock, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) ticks: Ticks,
    pub(super) monotonic_ns: u64,
    /// The bound of the distance between the two readings, in ticks.
    pub(super) width: Ticks,
}

/// A stretch of time in which the counter kept its rate.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// The earliest ticks that can belong to the segment: the counter went astray at most one step before its first anchor.
    from: Ticks,
    latest: Anchor,
    /// Nanoseconds per tick as 32.32 fixed point.
    rate: u64,
}

/// The segments of a process, and the measurement of the current rate.
#[derive(Debug)]
pub(super) struct Segments {
    /// At most [`DRIFTS_MAX`] segments before the current one, the oldest first.
    before: Vec<Segment>,
    current: Segment,
    /// The anchor that the rate is measured from, and the anchor that replaces it once that is [`BASE_NS`] old. So the
    /// rate is measured over at least [`BASE_NS`], once the process is old enough.
    base: Anchor,
    next_base: Anchor,
    /// True once the rate of the current segment was measured.
    is_measured: bool,
    /// The bound of the rate's relative error, as a 32.32 fixed-point number.
    error: u64,
}

/// The amount by which the counter went astray: `off_ns` nanoseconds against the monotonic clock (negative if the
/// counter is behind), within the `passed_ns` nanoseconds since the last anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drift {
    pub(super) off_ns: i64,
    pub(super) passed_ns: u64,
}

/// The number of times that a counter may go astray before it is not read any more.
pub(super) const DRIFTS_MAX: usize = 3;
/// The shortest measurement of a rate: an anchor's error of 20 ns is 0.02 % of it.
pub(super) const MEASURED_NS_MIN: u64 = 100_000;
/// The distance of the anchors that a rate is measured between, once the process is as old.
const BASE_NS: u64 = 1_000_000_000;
/// The counter is astray in a step if it and the clock disagree by more than one part in this many of the step's time:
/// twice as much as a time server usually moves the clock's rate.
const DRIFT_SHARE: u64 = 1000;
/// The counter and the clock may always disagree by this many nanoseconds, because the counters of two cores may differ
/// by a microsecond, and because so small an error hardly changes the time of a call.
const DRIFT_NS_MIN: u64 = 20_000;
/// Ticks up to this many nanoseconds ahead of the last anchor still belong to the current segment, because the
/// collector reads a step's records after it has taken the step's anchor.
const AHEAD_NS: u64 = 1_000_000_000;

/// Returns the ticks from `start` to `end`, or 0 if the counter went backwards in between.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) const fn elapsed(start: Ticks, end: Ticks) -> Ticks {
    let ticks = end.wrapping_sub(start).cast_signed();
    if ticks < 0 { 0 } else { ticks.cast_unsigned() }
}

/// Converts ticks to nanoseconds at a rate.
#[inline]
pub(super) fn scale(ticks: Ticks, rate: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(rate)) >> 32).unwrap_or(u64::MAX)
}

/// Converts nanoseconds to ticks at a rate.
pub(super) fn unscale(ns: u64, rate: u64) -> Ticks {
    u64::try_from((u128::from(ns) << 32) / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

fn scale_signed(ticks: i64, rate: u64) -> i64 {
    let ns = i64::try_from(scale(ticks.unsigned_abs(), rate)).unwrap_or(i64::MAX);
    if ticks < 0 { -ns } else { ns }
}

impl Segment {
    fn contains(&self, ticks: Ticks) -> bool {
        let ahead = unscale(AHEAD_NS, self.rate);
        let span = elapsed(self.from, self.latest.ticks).saturating_add(ahead);
        ticks.wrapping_sub(self.from) <= span
    }

    /// Returns the ticks between a tick and the segment.
    fn distance(&self, ticks: Ticks) -> Ticks {
        if ticks.wrapping_sub(self.from) <= elapsed(self.from, self.latest.ticks) {
            return 0;
        }
        let apart = |one: Ticks| one.wrapping_sub(ticks).cast_signed().unsigned_abs();
        apart(self.from).min(apart(self.latest.ticks))
    }

    /// Returns the monotonic time of a tick, in nanoseconds.
    fn monotonic_ns(&self, ticks: Ticks) -> i64 {
        let latest = i64::try_from(self.latest.monotonic_ns).unwrap_or(i64::MAX);
        latest.saturating_add(scale_signed(ticks.wrapping_sub(self.latest.ticks).cast_signed(), self.rate))
    }
}

impl Segments {
    /// Begins at an anchor, with a rate that holds until it is measured.
    pub(super) fn new(first: Anchor, rate: u64) -> Self {
        let current = Segment { from: first.ticks, latest: first, rate };
        Self { before: Vec::new(), current, base: first, next_base: first, is_measured: false, error: 0 }
    }

    pub(super) fn rate(&self) -> u64 {
        self.current.rate
    }

    pub(super) fn latest(&self) -> Anchor {
        self.current.latest
    }

    /// Returns true once the current rate was measured.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Returns how often the counter went astray.
    pub(super) fn drift_count(&self) -> usize {
        self.before.len()
    }

    /// Takes a new anchor. Returns how the counter went astray since the last one, if it did: then a new segment begins,
    /// with the old rate until it is measured anew.
    pub(super) fn advance(&mut self, now: Anchor) -> Option<Drift> {
        let passed_ns = now.monotonic_ns.saturating_sub(self.latest().monotonic_ns);
        if let Some(off_ns) = self.find_drift(now, passed_ns) {
            self.begin(now, self.rate(), passed_ns);
            return Some(Drift { off_ns, passed_ns });
        }
        self.current.latest = now;
        self.measure(now);
        if now.monotonic_ns.saturating_sub(self.next_base.monotonic_ns) >= BASE_NS {
            self.base = std::mem::replace(&mut self.next_base, now);
        }
        None
    }

    /// Takes a new anchor of a counter that is the clock itself, and so has nothing to be measured.
    pub(super) fn follow(&mut self, now: Anchor) {
        self.current.latest = now;
    }

    /// Begins a new segment at an anchor, `passed_ns` after the last one.
    pub(super) fn begin(&mut self, now: Anchor, rate: u64, passed_ns: u64) {
        // If the counter went forwards, the new segment cannot begin before the last anchor's ticks. If it stood still
        // or went back, those ticks are no bound.
        let passed = match elapsed(self.latest().ticks, now.ticks) {
            0 => u64::MAX / 4,
            ticks => ticks,
        };
        let from = now.ticks.wrapping_sub(unscale(passed_ns, rate).min(passed));
        let before = std::mem::replace(&mut self.current, Segment { from, latest: now, rate });
        self.before.push(before);
        if self.before.len() > DRIFTS_MAX + 1 {
            self.before.remove(0);
        }
        (self.base, self.next_base, self.is_measured, self.error) = (now, now, false, 0);
    }

    /// Returns by how many nanoseconds the counter and the clock disagree about the time since the last anchor, if it is more
    /// than their readings can differ by.
    fn find_drift(&self, now: Anchor, passed_ns: u64) -> Option<i64> {
        let (latest, rate) = (self.latest(), self.rate());
        let ticks = now.ticks.wrapping_sub(latest.ticks).cast_signed();
        let off_ns = scale_signed(ticks, rate).saturating_sub(i64::try_from(passed_ns).unwrap_or(i64::MAX));
        if !self.is_measured {
            // The rate is not known yet, but no counter stands still or runs backwards.
            let since_ns = now.monotonic_ns.saturating_sub(self.base.monotonic_ns);
            let stands = elapsed(self.base.ticks, now.ticks) == 0;
            return (stands && since_ns >= MEASURED_NS_MIN).then_some(off_ns);
        }
        let widths = scale(now.width.saturating_add(latest.width), rate);
        let bounds = [widths, passed_ns / DRIFT_SHARE, scale(passed_ns, self.error), DRIFT_NS_MIN];
        let bound = bounds.into_iter().fold(0, u64::saturating_add);
        (off_ns.unsigned_abs() > bound).then_some(off_ns)
    }

    /// Measures the rate over the last seconds, if the process is old enough.
    fn measure(&mut self, now: Anchor) {
        let ns = now.monotonic_ns.saturating_sub(self.base.monotonic_ns);
        let ticks = elapsed(self.base.ticks, now.ticks);
        if ns < MEASURED_NS_MIN || ticks == 0 {
            return;
        }
        self.current.rate =
            u64::try_from((u128::from(ns) << 32) / u128::from(ticks)).unwrap_or(u64::MAX).max(1);
        let width = u128::from(now.width.saturating_add(self.base.width));
        self.error = u64::try_from((width << 32) / u128::from(ticks)).unwrap_or(u64::MAX);
        self.is_measured = true;
    }

    /// Returns the segment of a tick: the latest that it can belong to, else the nearest.
    #[inline]
    fn segment_of(&self, ticks: Ticks) -> &Segment {
        if self.before.is_empty() || self.current.contains(ticks) {
            return &self.current;
        }
        let all = self.before.iter().chain([&self.current]).rev();
        all.min_by_key(|segment| segment.distance(ticks)).unwrap_or(&self.current)
    }

    /// Returns the monotonic time of a tick, in nanoseconds.
    #[inline]
    pub(super) fn monotonic_ns(&self, ticks: Ticks) -> i64 {
        self.segment_of(ticks).monotonic_ns(ticks)
    }

    /// Returns the duration, in nanoseconds, of a call that began at `start` and took `ticks`. If the counter went
    /// astray during the call, its start and its end are converted separately, each by its own segment.
    #[inline]
    pub(super) fn duration_ns(&self, start: Ticks, ticks: Ticks) -> u64 {
        let end = start.wrapping_add(ticks);
        let (first, last) = (self.segment_of(start), self.segment_of(end));
        if std::ptr::eq(first, last) {
            return scale(ticks, first.rate);
        }
        let ns = last.monotonic_ns(end).saturating_sub(first.monotonic_ns(start));
        u64::try_from(ns).unwrap_or(0)
    }
}
