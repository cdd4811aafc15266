//! A counter and a monotonic clock for tests, which run as a test sets them.
//!
//! A thread reads them once a test has [`enter`]ed them there; all other threads read the machine's. Each reading takes a
//! microsecond, so that nothing waits for ever. Only tests are compiled with this file.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A raw counter value.
type Ticks = u64;

/// A counter and a monotonic clock that run as a test sets them.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    ticks: AtomicU64,
    monotonic_ns: AtomicU64,
    /// Ticks per microsecond.
    ticks_per_us: AtomicU64,
    is_os_clock: AtomicBool,
    /// Nanoseconds per tick by the last measurement: see `clock`.
    pub(super) ns_per_tick: AtomicU64,
    /// The number of readings of which one is a microsecond behind; 0 for none.
    behind_each: AtomicU64,
    readings: AtomicU64,
}

thread_local! {
    static ENTERED: Cell<Option<&'static SimulatedClock>> = const { Cell::new(None) };
}

impl SimulatedClock {
    /// Returns a clock whose counter begins at `ticks` and runs at this rate.
    pub(crate) fn new(ticks: Ticks, ticks_per_us: u64) -> &'static Self {
        Box::leak(Box::new(Self {
            ticks: AtomicU64::new(ticks),
            monotonic_ns: AtomicU64::new(1_000_000),
            ticks_per_us: AtomicU64::new(ticks_per_us),
            is_os_clock: AtomicBool::new(false),
            ns_per_tick: AtomicU64::new(1 << 32),
            behind_each: AtomicU64::new(0),
            readings: AtomicU64::new(0),
        }))
    }

    /// Makes the calling thread read this clock.
    pub(crate) fn enter(&'static self) {
        ENTERED.set(Some(self));
    }

    /// Lets time pass.
    pub(crate) fn pass_us(&self, us: u64) {
        self.monotonic_ns.fetch_add(us * 1000, Ordering::Relaxed);
        self.ticks.fetch_add(us * self.ticks_per_us.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Moves the counter alone, by this many microseconds.
    pub(crate) fn shift_us(&self, us: i64) {
        let ticks = us.unsigned_abs() * self.ticks_per_us.load(Ordering::Relaxed);
        let ticks = if us < 0 { ticks.wrapping_neg() } else { ticks };
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Sets the counter.
    pub(crate) fn set_ticks(&self, ticks: Ticks) {
        self.ticks.store(ticks, Ordering::Relaxed);
    }

    /// Changes the counter's rate.
    pub(crate) fn set_rate(&self, ticks_per_us: u64) {
        self.ticks_per_us.store(ticks_per_us, Ordering::Relaxed);
    }

    /// Lets one reading in this many be a microsecond behind.
    pub(crate) fn set_behind(&self, each: u64) {
        self.behind_each.store(each, Ordering::Relaxed);
    }
}

pub(super) fn entered() -> Option<&'static SimulatedClock> {
    ENTERED.try_with(Cell::get).ok().flatten()
}

pub(super) fn ticks() -> Option<Ticks> {
    let clock = entered()?;
    clock.pass_us(1);
    if clock.is_os_clock.load(Ordering::Relaxed) {
        return Some(clock.monotonic_ns.load(Ordering::Relaxed));
    }
    let each = clock.behind_each.load(Ordering::Relaxed);
    let reading = clock.readings.fetch_add(1, Ordering::Relaxed);
    let behind = if each != 0 && reading.is_multiple_of(each) { 2 } else { 0 };
    let behind = behind * clock.ticks_per_us.load(Ordering::Relaxed);
    Some(clock.ticks.load(Ordering::Relaxed).wrapping_sub(behind))
}

pub(super) fn monotonic_ns() -> Option<u64> {
    let clock = entered()?;
    clock.pass_us(1);
    Some(clock.monotonic_ns.load(Ordering::Relaxed))
}

pub(super) fn is_os_clock() -> Option<bool> {
    Some(entered()?.is_os_clock.load(Ordering::Relaxed))
}

pub(super) fn use_os_clock() -> bool {
    entered().inspect(|clock| clock.is_os_clock.store(true, Ordering::Relaxed)).is_some()
}
