//! Time as the recorder knows it. Takes the counter and the clocks of the operating system; gives raw ticks to the hot
//! side, and their conversion to nanoseconds and Unix time to the cold side.
//!
//! Ticks are readings of the processor's counter where that can be relied on, else nanoseconds of the monotonic clock.
//! Unix time is read once, at start: the time line of a process is that reading plus monotonic time, so a wall
//! clock that jumps moves no row, no duration and no retention bound. A counter that goes astray moves none either: see
//! `clock_segments`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use super::clock_counter::{Ticks, counter, processor_counter};
use super::clock_counter::{choose_counter, is_believed, is_os_clock, stated_rate, use_os_clock};
pub(crate) use super::clock_os::{monotonic_ns, wall_ns};
pub(crate) use super::clock_segments::elapsed;
use super::clock_segments::{Anchor, DRIFTS_MAX, Drift, Segments, scale, unscale};
use crate::units::format_short_duration;

/// Reads ticks where the reading is not on the common path of a call.
#[inline]
pub(crate) fn ticks() -> Ticks {
    counter()
}

/// Nanoseconds per tick as 32.32 fixed point, for the few conversions that callers' threads make on their slow paths.
/// [`Clock::advance`] writes it, so it is stale by at most one step of the collector.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(ONE_TO_ONE);
const ONE_TO_ONE: u64 = 1 << 32;

fn ns_per_tick() -> &'static AtomicU64 {
    #[cfg(test)]
    if let Some(clock) = super::clock_simulated::entered() {
        return &clock.ns_per_tick;
    }
    &NS_PER_TICK
}

/// Returns the time since the first reading in this process, from the OS's monotonic clock.
pub(crate) fn monotonic() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// Converts nanoseconds to ticks, by the calibration so far.
pub(crate) fn ticks_from_ns(ns: u64) -> Ticks {
    unscale(ns, ns_per_tick().load(Ordering::Relaxed))
}

/// Converts ticks to nanoseconds, by the calibration so far.
#[inline]
pub(crate) fn ns_from_ticks(ticks: Ticks) -> u64 {
    scale(ticks, ns_per_tick().load(Ordering::Relaxed))
}

/// Returns the number of the second that a moment lies in, counted from where the ticks begin.
pub(crate) fn second_at(ticks: Ticks) -> u32 {
    (ns_from_ticks(ticks) / 1_000_000_000) as u32
}

impl Anchor {
    /// Reads both clocks [`ANCHOR_TRIES`] times and returns the pair with the smallest `width`, so that a pair is not
    /// used if the thread was paused between its readings.
    fn read() -> Self {
        let mut best = Self { ticks: 0, monotonic_ns: 0, width: Ticks::MAX };
        for _ in 0..ANCHOR_TRIES {
            let before = ticks();
            let monotonic_ns = monotonic_ns();
            let after = ticks();
            // Counters of two cores may differ, so the second reading may lie before the first.
            let width = after.wrapping_sub(before).cast_signed().unsigned_abs();
            if width <= best.width {
                best = Self { ticks: before.wrapping_add(elapsed(before, after) / 2), monotonic_ns, width };
            }
        }
        best
    }
}

/// The number of pairs of readings for an anchor. Three bound the error to some 20 ns at a cost below a microsecond.
const ANCHOR_TRIES: u32 = 3;

/// The conversion of ticks on the cold side.
#[derive(Debug)]
pub(crate) struct Clock {
    segments: Segments,
    /// The Unix time at which the monotonic clock was at zero.
    unix_ns_at_zero: i64,
    /// The start of the process or of its recorder: no call began earlier.
    earliest_ns: i64,
    /// The longest time by which a moment may lie ahead of the last anchor, in nanoseconds.
    ahead_ns: i64,
    /// True for the clock of this process, false for that of another.
    is_own: bool,
}

impl Clock {
    /// Chooses the counter and takes the first anchor. There is no pause for calibration: the processor states
    /// the rate, or it is guessed, and it is measured from the first step on.
    pub(crate) fn start() -> Self {
        choose_counter();
        let first = Anchor::read();
        let rate = if is_os_clock() { ONE_TO_ONE } else { stated_rate() };
        ns_per_tick().store(rate, Ordering::Relaxed);
        let unix_ns = wall_ns();
        let monotonic_ns = i64::try_from(first.monotonic_ns).unwrap_or(i64::MAX);
        Self {
            segments: Segments::new(first, rate),
            unix_ns_at_zero: unix_ns.saturating_sub(monotonic_ns),
            earliest_ns: unix_ns,
            ahead_ns: AHEAD_NS,
            is_own: true,
        }
    }

    /// Takes a new anchor; conversions before and after it agree at the anchor. While the counter's rate is not
    /// measured, this waits, about [`clock_segments::MEASURED_NS_MIN`]. Returns a message for the program's operator if
    /// the counter has gone astray since the last anchor; all values that the hot side has converted must then be
    /// converted anew.
    ///
    /// [`clock_segments::MEASURED_NS_MIN`]: super::clock_segments::MEASURED_NS_MIN
    pub(crate) fn advance(&mut self) -> Option<String> {
        let mut told = None;
        if is_os_clock() {
            self.segments.follow(Anchor::read());
        } else {
            told = self.segments.advance(Anchor::read());
            while !self.segments.is_measured() && !self.leave_counter(told.is_some()) {
                told = self.segments.advance(Anchor::read()).or(told);
            }
        }
        ns_per_tick().store(self.segments.rate(), Ordering::Relaxed);
        told.map(describe)
    }

    /// Goes over to the clock of the operating system if the counter went astray too often, or the kernel has given up
    /// on it. Returns true if ticks are that clock's.
    fn leave_counter(&mut self, has_drifted: bool) -> bool {
        if has_drifted && (self.segments.drift_count() >= DRIFTS_MAX || !is_believed()) {
            use_os_clock();
            self.segments.begin(Anchor::read(), ONE_TO_ONE, 0);
            return true;
        }
        false
    }

    /// Converts ticks to nanoseconds by the current rate. The duration of a single call is converted by
    /// [`Self::call_ns`].
    #[inline]
    pub(crate) fn duration_ns(&self, ticks: Ticks) -> u64 {
        scale(ticks, self.segments.rate())
    }

    /// Converts the sum of the durations of this many calls to nanoseconds. A single tick count of a counter that went
    /// astray may be centuries.
    pub(crate) fn calls_ns(&self, calls: u64, ticks: Ticks) -> u64 {
        self.duration_ns(ticks).min(self.longest_ns().saturating_mul(calls))
    }

    /// Converts the duration of a call that began at these ticks to nanoseconds.
    #[inline]
    pub(crate) fn call_ns(&self, start: Ticks, ticks: Ticks) -> u64 {
        self.segments.duration_ns(start, ticks).min(self.longest_ns())
    }

    /// Returns the longest time, in nanoseconds, that a call can have lasted: the age of its process.
    fn longest_ns(&self) -> u64 {
        let longest_ns = self.latest_ns().saturating_sub(self.earliest_ns).saturating_add(self.ahead_ns);
        u64::try_from(longest_ns).unwrap_or(0)
    }

    /// Returns the Unix time of a tick, in nanoseconds.
    #[inline]
    pub(crate) fn unix_ns(&self, ticks: Ticks) -> i64 {
        let ns = self.unix_ns_at_zero.saturating_add(self.segments.monotonic_ns(ticks));
        if !self.is_own {
            return ns;
        }
        let ns = if ns > self.latest_ns().saturating_add(self.ahead_ns) { ns.min(self.now_ns()) } else { ns };
        ns.max(self.earliest_ns)
    }

    /// Returns the Unix time of the last anchor.
    fn latest_ns(&self) -> i64 {
        let monotonic_ns = i64::try_from(self.segments.latest().monotonic_ns).unwrap_or(i64::MAX);
        self.unix_ns_at_zero.saturating_add(monotonic_ns)
    }

    /// Returns the Unix time now, in nanoseconds.
    pub(crate) fn now_ns(&self) -> i64 {
        self.unix_ns_at(monotonic())
    }

    /// Returns the Unix time of a moment of [`monotonic`].
    pub(crate) fn unix_ns_at(&self, moment: Duration) -> i64 {
        self.unix_ns_at_zero.saturating_add(i64::try_from(moment.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Describes how the counter went astray.
fn describe(drift: Drift) -> String {
    let Drift { off_ns, passed_ns } = drift;
    let off = format_short_duration(off_ns.unsigned_abs() as f64);
    let passed = format_short_duration(passed_ns as f64);
    let way = if off_ns < 0 { "behind" } else { "ahead of" };
    let next = if is_os_clock() {
        "the clock is read in its place from now on, which makes calls dearer"
    } else {
        "its times are measured anew"
    };
    format!(
        "the processor's counter was found {off} {way} the system's clock after {passed}, as on a machine that \
         was suspended, restored or migrated: {next}; calls under way meanwhile may have wrong times"
    )
}

/// The conversion of ticks to Unix time, as one process passes it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calibration {
    /// The ticks at a moment.
    pub(crate) ticks: Ticks,
    /// The Unix time of that moment.
    pub(crate) unix_ns: i64,
    /// Nanoseconds per tick as 32.32 fixed point.
    pub(crate) rate: u64,
}

impl Clock {
    /// Returns the conversion that another process needs for the ticks of this one.
    pub(crate) fn calibration(&self) -> Calibration {
        let Anchor { ticks, .. } = self.segments.latest();
        Calibration { ticks, unix_ns: self.latest_ns(), rate: self.segments.rate() }
    }

    /// Creates a clock that converts the ticks of another process, which began at this Unix time.
    pub(crate) fn from_calibration(calibration: Calibration, started_ns: i64) -> Self {
        let Calibration { ticks, unix_ns, rate } = calibration;
        let first = Anchor { ticks, monotonic_ns: 0, width: 0 };
        Self {
            segments: Segments::new(first, rate),
            unix_ns_at_zero: unix_ns,
            earliest_ns: started_ns,
            ahead_ns: AHEAD_OF_OTHERS_NS,
            is_own: false,
        }
    }
}

/// The longest time by which a tick may lie ahead of the last anchor: a step's records are read after its anchor was taken.
const AHEAD_NS: i64 = 1_000_000_000;
/// The longest time by which a tick of another process may lie ahead of the last anchor, because its recorder may have
/// rested for some minutes.
const AHEAD_OF_OTHERS_NS: i64 = 600_000_000_000;
