//! The static identity of a monitored function; its id is given out on its first call.
//!
//! Takes what the expansion of `#[monitor]` knows of a function. Gives one word that a call reads to learn what to do
//! (`fidelity`), and the table of all sites for the collector (`table`). The fields that calls read always lie in one
//! cache line. The room does not know threads or rings.

mod description;
mod fidelity;
mod name;
mod table;
mod made;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

pub use description::Description;
pub(crate) use fidelity::{Epoch, Fidelity};
pub use made::SiteFacts;
pub(crate) use made::{make, refused};
pub(crate) use table::{by_id, registered};

use crate::limits;
use crate::sampling::Source;

/// A monitored function: a `static` in its expansion. The fields that calls read lie in one cache line; the facts that
/// do not change lie in the description.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct CallSite {
    /// An [`Epoch`].
    epoch: AtomicU32,
    id: AtomicU32,
    /// The number of first calls that are still to be kept at any rate.
    first: AtomicU32,
    captures_unsampled: AtomicBool,
    counted: AtomicBool,
    pub(crate) slow_ticks: AtomicU64,
    rate: AtomicU64,
    callee_rate: AtomicU64,
    about: &'static Description,
    /// The requested rate; `source` says who requested it.
    requested: AtomicU64,
    source: AtomicU32,
    /// The number of calls that passed through the recorder. It may wrap; the collector takes differences far more often.
    passed: AtomicU32,
    /// The highest rates that the ladder allows: see [`Caps`].
    cap: AtomicU64,
    callee_cap: AtomicU64,
    /// True if unsampled calls are all timed only because the coarse clock does not run. Once it runs, most of them are
    /// only counted.
    waits_for_clock: AtomicBool,
}

/// The ladder's limits for a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Caps {
    /// The highest rate of root calls: those without a monitored call around them.
    pub(crate) rate: f64,
    /// The highest rate of calls below a call that is kept. At 0 such a call has no row of its own, but its callees are
    /// kept with the tree.
    pub(crate) callee_rate: f64,
    /// True if only a share of the unsampled calls is timed.
    pub(crate) is_counted: bool,
    /// True if the arguments of unsampled calls are captured, in case such a call fails or is slow.
    pub(crate) captures_unsampled: bool,
}

impl Caps {
    /// The limits of a function that costs little.
    pub(crate) const NONE: Self =
        Self { rate: 1.0, callee_rate: 1.0, is_counted: false, captures_unsampled: true };
}

impl CallSite {
    /// The site of a function that was never called and is not described. Every site is a copy with its own description,
    /// because the compiler evaluates a copy in a third of the time that it needs for the calls which make the fields.
    #[expect(clippy::declare_interior_mutable_const, reason = "each use is meant to be a copy of its own")]
    const BLANK: Self = Self {
        epoch: AtomicU32::new(Epoch::UNKNOWN.number()),
        id: AtomicU32::new(0),
        first: AtomicU32::new(limits::FIRST_CALLS),
        captures_unsampled: AtomicBool::new(Caps::NONE.captures_unsampled),
        counted: AtomicBool::new(Caps::NONE.is_counted),
        slow_ticks: AtomicU64::new(u64::MAX),
        rate: AtomicU64::new(1_f64.to_bits()),
        callee_rate: AtomicU64::new(1_f64.to_bits()),
        about: &Description::NONE,
        requested: AtomicU64::new(1_f64.to_bits()),
        source: AtomicU32::new(Source::Default as u32),
        passed: AtomicU32::new(0),
        cap: AtomicU64::new(Caps::NONE.rate.to_bits()),
        callee_cap: AtomicU64::new(Caps::NONE.callee_rate.to_bits()),
        waits_for_clock: AtomicBool::new(false),
    };

    /// Returns the site of a function that was never called.
    #[must_use]
    pub const fn new(about: &'static Description) -> Self {
        Self { about, ..Self::BLANK }
    }

    /// Returns the id, or 0 before the function's first call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Returns the rule for the function's calls.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn fidelity(&self) -> Fidelity {
        Epoch::from_number(self.epoch.load(Ordering::Relaxed)).fidelity()
    }

    /// Returns the epoch, which changes whenever the rate or the fidelity does. It must be read before the rate: the acquire
    /// observes the rates that the release in `put_into_force` or `calibrate` publishes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::from_number(self.epoch.load(Ordering::Acquire))
    }

    /// Counts a call that passes through, because it interrupts the recorder in a signal handler, or because there is no memory
    /// for its thread. It takes neither a lock nor memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn count_passed(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
        PASSED.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of calls that passed through.
    pub(crate) fn passed(&self) -> u32 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Runs what the description states for the function's first call.
    #[cold]
    pub(crate) fn handle_first_call(&'static self) {
        (self.about.on_first_call)(self);
    }

    /// Returns true if only a share of the unsampled calls is timed.
    pub(crate) fn is_counted(&self) -> bool {
        self.fidelity() == Fidelity::COUNTED
    }

    /// Returns true if unsampled calls are all timed only because the coarse clock does not run.
    pub(crate) fn waits_for_clock(&self) -> bool {
        self.waits_for_clock.load(Ordering::Relaxed)
    }

    /// Notes whether calls are timed only because the coarse clock does not run.
    pub(crate) fn set_waits_for_clock(&self, waits: bool) {
        self.waits_for_clock.store(waits, Ordering::Relaxed);
    }

    /// Returns the rate of root calls: those without a monitored call around them.
    #[inline]
    pub(crate) fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// Returns the rate of calls below a call that is kept.
    #[inline]
    pub(crate) fn callee_rate(&self) -> f64 {
        f64::from_bits(self.callee_rate.load(Ordering::Relaxed))
    }

    /// Returns true if the arguments of unsampled calls are captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn captures_unsampled(&self) -> bool {
        self.captures_unsampled.load(Ordering::Relaxed)
    }

    /// Returns the rate stated in the source.
    pub(crate) fn sample_option(&self) -> Option<f64> {
        self.about.sample
    }

    pub(crate) fn slow_ns(&self) -> Option<u64> {
        self.about.slow_ns
    }

    /// Returns the names of the captured arguments, in order.
    pub(crate) fn arguments(&self) -> &'static [&'static str] {
        self.about.arguments
    }

    /// Returns the names of the extra fields.
    pub(crate) fn fields(&self) -> &'static [&'static str] {
        self.about.fields
    }

    pub(crate) fn group_name(&self) -> Option<&'static str> {
        self.about.group
    }

    /// Returns the names of arguments and of fields.
    pub(crate) fn names(&self) -> (&'static [&'static str], &'static [&'static str]) {
        (self.arguments(), self.fields())
    }

    pub(crate) fn place(&self) -> (&'static str, u32) {
        (self.about.file, self.about.line)
    }

    /// Returns the shown name: the option `name`, or the full path with the type.
    pub(crate) fn shown_name(&self) -> String {
        self.about.name.map_or_else(|| name::shown_path((self.about.path)()), str::to_owned)
    }

    /// Sets the duration from which callers treat a call as slow, converted by the calibration so far. The collector,
    /// which knows the calibration better, decides which calls are written as slow.
    pub(crate) fn set_slow_limit(&self, ns: u64) {
        let ticks = if ns == u64::MAX { u64::MAX } else { crate::platform::clock::ticks_from_ns(ns) };
        self.slow_ticks.store(ticks, Ordering::Relaxed);
    }

    /// Returns the requested rate, and who requested it.
    pub(crate) fn requested(&self) -> (f64, Source) {
        let rate = f64::from_bits(self.requested.load(Ordering::Relaxed));
        (rate, Source::from_number(self.source.load(Ordering::Relaxed)))
    }

    /// Requests a rate, of roots and callees alike. The rates in force are the requested one, as far as the ladder allows.
    pub(crate) fn request(&self, rate: f64, source: Source) {
        self.requested.store(rate.to_bits(), Ordering::Relaxed);
        self.source.store(source as u32, Ordering::Relaxed);
        self.put_into_force();
    }

    /// Sets the ladder's limits.
    pub(crate) fn apply(&self, caps: Caps) {
        self.cap.store(caps.rate.to_bits(), Ordering::Relaxed);
        self.callee_cap.store(caps.callee_rate.to_bits(), Ordering::Relaxed);
        self.counted.store(caps.is_counted, Ordering::Relaxed);
        self.captures_unsampled.store(caps.captures_unsampled, Ordering::Relaxed);
        self.put_into_force();
    }

    /// Returns the limits in force: those that the ladder has set, or lower ones where callers have throttled the
    /// function since.
    pub(crate) fn caps(&self) -> Caps {
        Caps {
            rate: f64::from_bits(self.cap.load(Ordering::Relaxed)),
            callee_rate: f64::from_bits(self.callee_cap.load(Ordering::Relaxed)),
            is_counted: self.counted.load(Ordering::Relaxed),
            captures_unsampled: self.captures_unsampled(),
        }
    }

    /// Sets the fields that calls read, and nothing else, for the site by which costs are measured.
    pub(crate) fn calibrate(&self, rate: f64, fidelity: Fidelity) {
        self.first.store(0, Ordering::Relaxed);
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        self.callee_rate.store(rate.to_bits(), Ordering::Relaxed);
        // Partner: the acquire in `epoch`, which then observes the rates.
        self.epoch.store(self.epoch().next(fidelity).number(), Ordering::Release);
    }

    /// Lowers the rates to a sixteenth, until the ladder sets them anew. Called when a ring is full and the collector cannot
    /// keep up, because most of the waiting records are then likely this function's.
    #[cold]
    pub(crate) fn throttle(&self) {
        self.cap_at((self.rate().min(self.callee_rate()) / THROTTLE).max(THROTTLED_RATE_MIN));
    }

    /// Lowers the rate of this root to that of a callee that has been throttled, because trees sampled more often would
    /// lack that callee.
    #[cold]
    pub(crate) fn throttle_like(&self, callee: &Self) {
        let rate = callee.rate();
        if rate < self.rate() {
            self.cap_at(rate);
        }
    }

    fn cap_at(&self, rate: f64) {
        self.apply(Caps { rate, callee_rate: rate, ..self.caps() });
    }

    /// Puts the requested rate into force, as far as it is allowed.
    fn put_into_force(&self) {
        let (requested, caps) = (f64::from_bits(self.requested.load(Ordering::Relaxed)), self.caps());
        let [rate, callee_rate] = [caps.rate, caps.callee_rate].map(|cap| requested.min(cap));
        let before = self.fidelity();
        let next = match caps.is_counted {
            _ if rate >= 1.0 && callee_rate >= 1.0 => Fidelity::RECORDED,
            true => Fidelity::COUNTED,
            false => Fidelity::SAMPLED,
        };
        let is_same = |before: f64, now: f64| before.to_bits() == now.to_bits();
        let stays = before == next && is_same(self.rate(), rate) && is_same(self.callee_rate(), callee_rate);
        if before == Fidelity::OFF || stays {
            return;
        }
        if before == Fidelity::RECORDED && next != before {
            // The first calls have their records already.
            self.first.store(0, Ordering::Relaxed);
        }
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        self.callee_rate.store(callee_rate.to_bits(), Ordering::Relaxed);
        // The epoch stays if the function was switched off meanwhile. The release publishes the new rate. Partner: the
        // acquire in `epoch`: a thread that sees the new epoch sees the new rate.
        let change = |number| {
            let epoch = Epoch::from_number(number);
            (epoch.fidelity() != Fidelity::OFF).then(|| epoch.next(next).number())
        };
        let _ = self.epoch.fetch_update(Ordering::Release, Ordering::Relaxed, change);
    }

    /// Takes one of the first calls, which are kept at any rate but zero. Returns false if none is left.
    #[cold]
    pub(crate) fn take_first(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.first.load(Ordering::Relaxed) > 0
            && self.rate() > 0.0
            && self.first.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Makes all calls from now on pass through, unrecorded and uncounted.
    pub(crate) fn switch_off(&self) {
        self.epoch.store(self.epoch().with_fidelity(Fidelity::OFF).number(), Ordering::Relaxed);
    }

    /// Gives the site its id and enters it in the table. Returns false when the table is full.
    #[cold]
    pub(crate) fn register(&'static self) -> bool {
        // Partner: the release below: a thread that sees the id finds the site in the table.
        if self.id.load(Ordering::Acquire) != 0 {
            return true;
        }
        // The site enters the table first, because other threads record calls of it as soon as it has its id.
        let Some(id) = table::add(self) else { return false };
        // The loser of a race leaves its number unused. The release publishes the entry in the table.
        let _ = self.id.compare_exchange(0, id, Ordering::Release, Ordering::Relaxed);
        true
    }
}

/// The number of calls of all functions that passed through. It is a static, because a signal handler has to find it.
/// The collector reads it to learn whether any site has such calls.
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of calls of all functions that passed through.
pub(crate) fn passed_of_all() -> u64 {
    PASSED.load(Ordering::Relaxed)
}

/// Forgets the calls that passed through, in the child of a fork: the parent counts them.
pub(crate) fn forget_passed() {
    PASSED.store(0, Ordering::Relaxed);
    registered().for_each(|site| site.passed.store(0, Ordering::Relaxed));
}

/// The divisor of a throttled rate. A function that is throttled at each eighth of a ring has made two million calls by
/// the time that three eighths of the ring are full.
const THROTTLE: f64 = 16.0;
/// The lowest throttled rate: at this rate no function is called often enough to overrun a ring.
const THROTTLED_RATE_MIN: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_throttled_as_far_as_the_function_that_it_calls() {
        static ABOUT: Description = Description::new(|| "orders::place", "src/orders.rs", 1, &[], &[]);
        let [root, callee] = [CallSite::new(&ABOUT), CallSite::new(&ABOUT)];
        callee.throttle();
        root.throttle_like(&callee);
        assert!(root.rate() < 1.0 && root.rate().to_bits() == callee.rate().to_bits());
        root.throttle();
        let rate = root.rate();
        root.throttle_like(&callee);
        assert!(rate < callee.rate() && root.rate().to_bits() == rate.to_bits());
    }
}
