//! The only reader of time. Takes the machine's cycle counter and the clocks of the operating system; gives raw
//! ticks to the hot side, and their conversion to nanoseconds and Unix time to the cold side.
//!
//! Ticks are readings of the time-stamp counter if it is invariant, else nanoseconds of the monotonic clock.
//! Unix time is read once, at start: the time line of a process is that reading plus monotonic time, so a wall
//! clock that jumps moves no row, no duration and no retention bound.
#![allow(unsafe_code, reason = "reading the counter is an intrinsic")]
#![allow(clippy::disallowed_methods, reason = "the one reader of time")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A raw counter value.
pub(crate) type Ticks = u64;

/// Reads the time-stamp counter, for callers who know that it is in use ([`is_counter`]). The read takes 7 ns
/// and is not ordered with the instructions around it.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn counter() -> Ticks {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: every x86_64 processor has the instruction; it reads a register.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        os_ticks()
    }
}

/// Returns whether ticks are readings of the time-stamp counter.
#[inline]
pub(crate) fn is_counter() -> bool {
    cfg!(all(target_arch = "x86_64", not(miri))) && COUNTER.load(Ordering::Relaxed) != OS_CLOCK
}

/// Reads ticks from the counter in use.
#[inline]
pub(crate) fn ticks() -> Ticks {
    if is_counter() { counter() } else { os_ticks() }
}

/// The counter in use; written once, at start. Until then the hot side reads the time-stamp counter,
/// and nothing has been recorded yet.
static COUNTER: AtomicU64 = AtomicU64::new(0);
const OS_CLOCK: u64 = 1;

/// Nanoseconds per tick as 32.32 fixed point, for the few conversions on the hot side's cold paths.
/// [`Clock::advance`] writes it, so it is stale by at most one step of the collector.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(ONE_TO_ONE);
const ONE_TO_ONE: u64 = 1 << 32;

#[cold]
fn os_ticks() -> Ticks {
    monotonic_ns()
}

/// Returns the nanoseconds since the first reading in this process, from the OS's monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time since the first reading in this process, from the OS's monotonic clock.
pub(crate) fn monotonic() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// Returns the nanoseconds since the Unix epoch by the wall clock.
pub(crate) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Converts nanoseconds to ticks, by the calibration so far.
pub(crate) fn ticks_from_ns(ns: u64) -> Ticks {
    let rate = NS_PER_TICK.load(Ordering::Relaxed).max(1);
    u64::try_from((u128::from(ns) << 32) / u128::from(rate)).unwrap_or(u64::MAX)
}

/// Converts ticks to nanoseconds, by the calibration so far.
#[inline]
pub(crate) fn ns_from_ticks(ticks: Ticks) -> u64 {
    let rate = NS_PER_TICK.load(Ordering::Relaxed);
    // The product is not checked for overflow, as `scale` checks it for ticks of other processes. It has at most
    // 96 bits: the rate exceeds 1 only if the counter is slower than 1 GHz, and then only a duration of centuries
    // would overflow.
    ((u128::from(ticks) * u128::from(rate)) >> 32) as u64
}

#[inline]
fn scale(ticks: Ticks, rate: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(rate)) >> 32).unwrap_or(u64::MAX)
}

/// A reading of ticks and one of the monotonic clock, taken together.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    ticks: Ticks,
    monotonic_ns: u64,
}

impl Anchor {
    /// Takes the tightest of a few pairs, so that a pair with a pause of the thread between its readings is not
    /// used.
    fn read() -> Self {
        let mut best = (u64::MAX, Self { ticks: 0, monotonic_ns: 0 });
        for _ in 0..ANCHOR_TRIES {
            let before = ticks();
            let monotonic_ns = monotonic_ns();
            let gap = ticks().wrapping_sub(before);
            if gap < best.0 {
                best = (gap, Self { ticks: before.wrapping_add(gap / 2), monotonic_ns });
            }
        }
        best.1
    }
}

/// Three pairs bound the error of an anchor to some 20 ns at a cost below a microsecond.
const ANCHOR_TRIES: u32 = 3;

/// The conversion of ticks on the cold side: a line through the anchor at start and the latest anchor.
#[derive(Debug)]
pub(crate) struct Clock {
    first: Anchor,
    latest: Anchor,
    unix_ns_at_first: i64,
    rate: u64,
}

impl Clock {
    /// Chooses the counter and takes the first anchor. There is no pause for calibration: the processor states
    /// the rate, or it is guessed, and it is measured from the first step on.
    pub(crate) fn start() -> Self {
        if !counter_is_invariant() {
            COUNTER.store(OS_CLOCK, Ordering::Relaxed);
        }
        let first = Anchor::read();
        let rate = if COUNTER.load(Ordering::Relaxed) == OS_CLOCK { ONE_TO_ONE } else { stated_rate() };
        NS_PER_TICK.store(rate, Ordering::Relaxed);
        Self { first, latest: first, unix_ns_at_first: wall_ns(), rate }
    }

    /// Takes a new anchor; conversions before and after it agree at the anchor. If the process is younger than
    /// a measurement takes, this waits, at most [`CALIBRATION_MIN_NS`].
    pub(crate) fn advance(&mut self) {
        let mut now = Anchor::read();
        while now.monotonic_ns - self.first.monotonic_ns < CALIBRATION_MIN_NS {
            now = Anchor::read();
        }
        let ticks = now.ticks.wrapping_sub(self.first.ticks);
        let ns = now.monotonic_ns - self.first.monotonic_ns;
        if ticks == 0 || ticks > u64::MAX / 2 {
            return;
        }
        self.rate = u64::try_from((u128::from(ns) << 32) / u128::from(ticks)).unwrap_or(self.rate);
        self.latest = now;
        NS_PER_TICK.store(self.rate, Ordering::Relaxed);
    }

    /// Converts a duration to nanoseconds.
    #[inline]
    pub(crate) fn duration_ns(&self, ticks: Ticks) -> u64 {
        scale(ticks, self.rate)
    }

    /// Returns the Unix time of a tick, in nanoseconds.
    #[inline]
    pub(crate) fn unix_ns(&self, ticks: Ticks) -> i64 {
        let base = self.unix_ns_at_first + self.latest.monotonic_ns.cast_signed()
            - self.first.monotonic_ns.cast_signed();
        let delta = ticks.wrapping_sub(self.latest.ticks).cast_signed();
        let ns = scale(delta.unsigned_abs(), self.rate).cast_signed();
        // The ticks of another process may have any value, so the sum saturates.
        if delta < 0 { base.saturating_sub(ns) } else { base.saturating_add(ns) }
    }

    /// Returns the Unix time now, in nanoseconds.
    pub(crate) fn now_ns(&self) -> i64 {
        self.unix_ns_at_first + monotonic_ns().cast_signed() - self.first.monotonic_ns.cast_signed()
    }
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
        Calibration { ticks: self.latest.ticks, unix_ns: self.unix_ns(self.latest.ticks), rate: self.rate }
    }

    /// Creates a clock that converts the ticks of another process.
    pub(crate) fn from_calibration(calibration: Calibration) -> Self {
        let Calibration { ticks, unix_ns, rate } = calibration;
        let first = Anchor { ticks, monotonic_ns: 0 };
        Self { first, latest: first, unix_ns_at_first: unix_ns, rate }
    }
}

/// The shortest measurement: an anchor's error of 20 ns is 0.02 % of it.
const CALIBRATION_MIN_NS: u64 = 100_000;

/// Returns a leaf of the processor's description of itself.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unused_unsafe, reason = "the intrinsic is safe in newer toolchains, but unsafe in the minimal one")]
fn read_cpuid(leaf: u32) -> core::arch::x86_64::CpuidResult {
    // SAFETY: every x86_64 processor has the instruction; it writes registers only.
    unsafe { core::arch::x86_64::__cpuid(leaf) }
}

/// Returns whether the counter runs at one rate in every state of every core.
fn counter_is_invariant() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let extended = read_cpuid(0x8000_0000).eax;
        extended >= 0x8000_0007 && read_cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        false
    }
}

/// Returns the counter's rate as the processor or the hypervisor states it. If neither does, the rate is 3 GHz,
/// which serves only until the first measurement.
fn stated_rate() -> u64 {
    const GUESS_KHZ: u64 = 3_000_000;
    let khz = stated_khz().unwrap_or(GUESS_KHZ);
    (1_000_000 << 32) / khz
}

fn stated_khz() -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let leaves = read_cpuid(0).eax;
        if leaves >= 0x15 {
            let leaf = read_cpuid(0x15);
            if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
                return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax) / 1000);
            }
        }
        if leaves >= 0x16 {
            let mhz = u64::from(read_cpuid(0x16).eax & 0xFFFF);
            if mhz != 0 {
                return Some(mhz * 1000);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_survives_the_round_trip_through_ticks() {
        let mut clock = Clock::start();
        let start = monotonic_ns();
        while monotonic_ns() - start < 3_000_000 {}
        clock.advance();
        let ticks = ticks_from_ns(1_000_000);
        let back = clock.duration_ns(ticks);
        assert!(back.abs_diff(1_000_000) < 1_000, "{back}");
    }

    #[test]
    fn unix_time_of_a_tick_follows_the_monotonic_clock() {
        let mut clock = Clock::start();
        let start = monotonic_ns();
        while monotonic_ns() - start < 3_000_000 {}
        clock.advance();
        let now = clock.now_ns();
        let converted = clock.unix_ns(ticks());
        assert!(converted >= now - 1_000 && converted < now + 1_000_000_000, "{converted} {now}");
        assert!(clock.unix_ns(ticks()) >= converted);
    }
}
