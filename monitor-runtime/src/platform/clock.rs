//! The only reader of time. In: the machine's cycle counter and the OS clocks. Out: raw ticks for the
//! hot side, and their conversion to nanoseconds and Unix time for the cold side.
//!
//! Ticks are the time-stamp counter where it is invariant, else nanoseconds of the OS's monotonic
//! clock. Unix time is read once, at start: the time line of a process is that reading plus
//! monotonic time, so a wall clock that jumps moves no row, no duration and no retention bound.
#![allow(unsafe_code, reason = "reading the counter is an intrinsic")]
#![allow(clippy::disallowed_methods, reason = "the one reader of time")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits;

/// Raw counter value.
pub(crate) type Ticks = u64;

/// Reads the time-stamp counter, for callers who know that it is in use ([`is_counter`]): 7 ns, and no
/// order with its neighbours.
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

/// Whether ticks are readings of the time-stamp counter.
#[inline]
pub(crate) fn is_counter() -> bool {
    cfg!(all(target_arch = "x86_64", not(miri))) && COUNTER.load(Ordering::Relaxed) != OS_CLOCK
}

/// Reads ticks, whatever they are.
#[inline]
pub(crate) fn ticks() -> Ticks {
    if is_counter() { counter() } else { os_ticks() }
}

/// The counter in use; written once, at start. Until then the hot side reads the time-stamp counter,
/// and nothing has been recorded yet.
static COUNTER: AtomicU64 = AtomicU64::new(0);
const OS_CLOCK: u64 = 1;

/// Nanoseconds per tick as 32.32 fixed point, for the few conversions made on the hot side's cold
/// paths. Partner of [`Clock::advance`]; stale by at most a collector step.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(ONE_TO_ONE);
const ONE_TO_ONE: u64 = 1 << 32;

#[cold]
fn os_ticks() -> Ticks {
    monotonic_ns()
}

/// Nanoseconds since the first reading in this process, from the OS's monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Time since the first reading in this process, from the OS's monotonic clock.
pub(crate) fn monotonic() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// Nanoseconds since the Unix epoch by the wall clock.
pub(crate) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// As many ticks as last this long, by the calibration so far.
pub(crate) fn ticks_from_ns(ns: u64) -> Ticks {
    let rate = NS_PER_TICK.load(Ordering::Relaxed).max(1);
    u64::try_from((u128::from(ns) << 32) / u128::from(rate)).unwrap_or(u64::MAX)
}

/// Nanoseconds that this many ticks last, by the calibration so far.
#[inline]
pub(crate) fn ns_from_ticks(ticks: Ticks) -> u64 {
    let rate = NS_PER_TICK.load(Ordering::Relaxed);
    // The product has at most 96 bits, because the rate is at most 1, or the counter slower than 1 GHz and the
    // duration longer than centuries. So it is not tested, as `scale` does for numbers that are not believed.
    ((u128::from(ticks) * u128::from(rate)) >> 32) as u64
}

#[inline]
fn scale(ticks: Ticks, rate: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(rate)) >> 32).unwrap_or(u64::MAX)
}

/// The coarse clock: two words that the collector writes every few milliseconds while some function is
/// only counted. Read by its calls, which cannot afford the counter.
#[derive(Debug)]
#[repr(align(128))]
struct Coarse {
    latest: AtomicU64,
    /// What `latest` was before.
    before: AtomicU64,
}

static COARSE: Coarse = Coarse { latest: AtomicU64::new(2), before: AtomicU64::new(2) };

/// Ticks, as the coarse clock shows them: one plain load. The lowest two bits are 2: above all that is none,
/// and with one left for who keeps it.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn coarse() -> Ticks {
    COARSE.latest.load(Ordering::Relaxed)
}

/// Moves the coarse clock on.
pub(crate) fn advance_coarse() {
    COARSE.before.store(coarse(), Ordering::Relaxed);
    COARSE.latest.store(ticks() & !3 | 2, Ordering::Relaxed);
}

/// Moves the coarse clock on where it is due: for the collector's thread wherever it may be busy for longer
/// than a period. Returns by how much the clock was behind.
pub(crate) fn keep_coarse() -> Duration {
    let behind = ticks().saturating_sub(coarse());
    if behind >= ticks_from_ns(limits::COARSE_PERIOD.as_nanos() as u64) {
        advance_coarse();
    }
    Duration::from_nanos(ns_from_ticks(behind))
}

/// When something began that saw the coarse clock at `seen`, at most a period too early: where the clock
/// has moved once since, and late at that, only the last period before it moved is believed.
pub(crate) fn coarse_start(seen: Ticks) -> Ticks {
    if COARSE.before.load(Ordering::Relaxed) != seen {
        return seen;
    }
    let period = ticks_from_ns(limits::COARSE_PERIOD.as_nanos() as u64);
    seen.max(coarse().saturating_sub(period))
}

/// A pair of readings taken together.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    ticks: Ticks,
    monotonic_ns: u64,
}

impl Anchor {
    /// Takes the tightest of a few pairs, so that a descheduling between the two readings is not believed.
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

/// Converts ticks on the cold side: a line through the anchor at start and the latest one.
#[derive(Debug)]
pub(crate) struct Clock {
    first: Anchor,
    latest: Anchor,
    unix_ns_at_first: i64,
    rate: u64,
}

impl Clock {
    /// Chooses the counter and takes the first anchor. No calibration pause: the rate is the
    /// processor's own statement of it where it makes one, and is measured from the first step on.
    pub(crate) fn start() -> Self {
        if !counter_is_invariant() {
            COUNTER.store(OS_CLOCK, Ordering::Relaxed);
        }
        let first = Anchor::read();
        let rate = if COUNTER.load(Ordering::Relaxed) == OS_CLOCK { ONE_TO_ONE } else { stated_rate() };
        NS_PER_TICK.store(rate, Ordering::Relaxed);
        Self { first, latest: first, unix_ns_at_first: wall_ns(), rate }
    }

    /// Takes a new anchor; conversions before and after it agree at the anchor. Where the process is
    /// younger than a measurement takes, this waits for it, at most [`CALIBRATION_MIN_NS`].
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

    /// Duration in nanoseconds.
    #[inline]
    pub(crate) fn duration_ns(&self, ticks: Ticks) -> u64 {
        scale(ticks, self.rate)
    }

    /// Unix time of a tick.
    #[inline]
    pub(crate) fn unix_ns(&self, ticks: Ticks) -> i64 {
        let base = self.unix_ns_at_first + self.latest.monotonic_ns.cast_signed()
            - self.first.monotonic_ns.cast_signed();
        let delta = ticks.wrapping_sub(self.latest.ticks).cast_signed();
        let ns = scale(delta.unsigned_abs(), self.rate).cast_signed();
        // Ticks of another process may be anything.
        if delta < 0 { base.saturating_sub(ns) } else { base.saturating_add(ns) }
    }

    /// Unix time now.
    pub(crate) fn now_ns(&self) -> i64 {
        self.unix_ns_at_first + monotonic_ns().cast_signed() - self.first.monotonic_ns.cast_signed()
    }
}

/// How ticks become Unix time, as one process tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calibration {
    /// Ticks at a moment.
    pub(crate) ticks: Ticks,
    /// Unix time of that moment.
    pub(crate) unix_ns: i64,
    /// Nanoseconds per tick as 32.32 fixed point.
    pub(crate) rate: u64,
}

impl Clock {
    /// What another process needs to convert ticks of this one.
    pub(crate) fn calibration(&self) -> Calibration {
        Calibration { ticks: self.latest.ticks, unix_ns: self.unix_ns(self.latest.ticks), rate: self.rate }
    }

    /// A clock that converts the ticks of another process.
    pub(crate) fn of_another(calibration: Calibration) -> Self {
        let Calibration { ticks, unix_ns, rate } = calibration;
        let first = Anchor { ticks, monotonic_ns: 0 };
        Self { first, latest: first, unix_ns_at_first: unix_ns, rate }
    }
}

/// An anchor's error of 20 ns is 0.02 % of this.
const CALIBRATION_MIN_NS: u64 = 100_000;

/// Whether the counter runs at one rate in every state of every core.
fn counter_is_invariant() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::__cpuid;
        let extended = __cpuid(0x8000_0000).eax;
        extended >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        false
    }
}

/// The counter's rate as the processor or the hypervisor states it; 3 GHz where neither does, which
/// serves only until the first measurement.
fn stated_rate() -> u64 {
    const GUESS_KHZ: u64 = 3_000_000;
    let khz = stated_khz().unwrap_or(GUESS_KHZ);
    (1_000_000 << 32) / khz
}

fn stated_khz() -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::__cpuid;
        let leaves = __cpuid(0).eax;
        if leaves >= 0x15 {
            let leaf = __cpuid(0x15);
            if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
                return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax) / 1000);
            }
        }
        if leaves >= 0x16 {
            let mhz = u64::from(__cpuid(0x16).eax & 0xFFFF);
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
