//! The static identity of a monitored function; its id is given out on its first call.
//!
//! In: what the expansion of `#[monitor]` knows. Out: one word that the hot side loads to learn what
//! to do with a call, and the table of all sites for the cold side. It does not know threads or rings.

mod name;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::limits::{self, SITES_MAX};
use crate::sampling::Source;

/// What to do with a call of a function: the low byte of its epoch.
pub(crate) mod fidelity {
    /// Never called so far.
    pub(crate) const UNKNOWN: u8 = 0;
    /// Leave it alone.
    pub(crate) const OFF: u8 = 1;
    /// Record each call that no one above has sampled out. Not used where ticks are those of the OS clock.
    pub(crate) const RECORDED: u8 = 2;
    /// Draw each call; those not drawn are timed. Not used where ticks are those of the OS clock.
    pub(crate) const SAMPLED: u8 = 3;
    /// The same, but only a share of those not drawn is timed: what is called so often costs too much.
    pub(crate) const COUNTED: u8 = 4;
    /// As [`SAMPLED`], where ticks are those of the OS clock.
    pub(crate) const SAMPLED_BY_OS_CLOCK: u8 = 5;

    /// The fidelity in this epoch.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn of(epoch: u32) -> u8 {
        epoch as u8
    }

    /// The epoch after this one, with this fidelity.
    pub(super) const fn next(epoch: u32, fidelity: u8) -> u32 {
        with(epoch.wrapping_add(1 << u8::BITS), fidelity)
    }

    /// The same epoch, with this fidelity.
    pub(super) const fn with(epoch: u32, fidelity: u8) -> u32 {
        epoch & !(u8::MAX as u32) | fidelity as u32
    }
}

/// One monitored function: a `static` in its expansion. What calls look at lies in one cache line, what
/// does not change lies elsewhere.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct CallSite {
    /// Counts changes of the rate above the byte that says the fidelity, so that threads notice that a gap
    /// was drawn for another one.
    epoch: AtomicU32,
    id: AtomicU32,
    /// First calls that are still to be kept whatever the rate.
    first: AtomicU32,
    rate: AtomicU64,
    pub(crate) slow_ticks: AtomicU64,
    /// The rate asked for, and below by what.
    asked: AtomicU64,
    /// What the ladder allows: at most this rate, and below whether undrawn calls are timed.
    cap: AtomicU64,
    about: &'static Description,
    source: AtomicU32,
    counted: AtomicBool,
}

/// What is known of a monitored function before it is called.
#[derive(Debug)]
pub struct Description {
    path: fn() -> &'static str,
    file: &'static str,
    line: u32,
    arguments: &'static [&'static str],
    fields: &'static [&'static str],
    name: Option<&'static str>,
    group: Option<&'static str>,
    sample: Option<f64>,
    slow_ns: Option<u64>,
    /// Runs on the function's first call: registers the site with the recorder of the process, or switches it off.
    on_first_call: fn(&'static CallSite),
}

impl Description {
    /// `path` is `type_name` of a type nested in the monitored function (or in the initializer of its
    /// static); `arguments` and `fields` name, in
    /// order, the values that the expansion captures (redacted ones included).
    #[must_use]
    pub const fn new(
        path: fn() -> &'static str,
        file: &'static str,
        line: u32,
        arguments: &'static [&'static str],
        fields: &'static [&'static str],
    ) -> Self {
        Self {
            path,
            file,
            line,
            arguments,
            fields,
            name: None,
            group: None,
            sample: None,
            slow_ns: None,
            on_first_call: CallSite::switch_off,
        }
    }

    /// Has the function's first call run `register`; without it the function is left alone.
    #[must_use]
    pub(crate) const fn on_first_call(mut self, register: fn(&'static CallSite)) -> Self {
        self.on_first_call = register;
        self
    }

    /// The option `name`.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// The option `group`.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// The option `sample`.
    ///
    /// # Panics
    /// At compile time, when the rate lies outside 0 to 1.
    #[must_use]
    pub const fn sample(mut self, rate: f64) -> Self {
        assert!(rate >= 0.0 && rate <= 1.0, "`sample` must lie between 0 and 1");
        self.sample = Some(rate);
        self
    }

    /// The option `slow`, in nanoseconds; see [`duration`].
    #[must_use]
    pub const fn slow(mut self, nanoseconds: u64) -> Self {
        self.slow_ns = Some(nanoseconds);
        self
    }
}

impl CallSite {
    /// A function that was never called.
    #[must_use]
    pub const fn new(about: &'static Description) -> Self {
        Self {
            epoch: AtomicU32::new(fidelity::UNKNOWN as u32),
            id: AtomicU32::new(0),
            rate: AtomicU64::new(1_f64.to_bits()),
            slow_ticks: AtomicU64::new(u64::MAX),
            first: AtomicU32::new(limits::FIRST_CALLS),
            asked: AtomicU64::new(1_f64.to_bits()),
            source: AtomicU32::new(Source::Default as u32),
            cap: AtomicU64::new(1_f64.to_bits()),
            counted: AtomicBool::new(false),
            about,
        }
    }

    /// Its id, 0 before its first call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// What to do with its calls.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn fidelity(&self) -> u8 {
        fidelity::of(self.epoch.load(Ordering::Relaxed))
    }

    /// Changes whenever its rate or fidelity does. To be read before the rate is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Does what the description asks for on the function's first call.
    #[cold]
    pub(crate) fn meet(&'static self) {
        (self.about.on_first_call)(self);
    }

    /// Whether only a share of the calls that are not drawn is timed.
    pub(crate) fn is_counted(&self) -> bool {
        self.fidelity() == fidelity::COUNTED
    }

    #[inline]
    pub(crate) fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// The rate stated in the source.
    pub(crate) fn sample_option(&self) -> Option<f64> {
        self.about.sample
    }

    pub(crate) fn slow_ns(&self) -> Option<u64> {
        self.about.slow_ns
    }

    /// The names of its arguments, as they are captured.
    pub(crate) fn arguments(&self) -> &'static [&'static str] {
        self.about.arguments
    }

    /// The names of its extra fields.
    pub(crate) fn fields(&self) -> &'static [&'static str] {
        self.about.fields
    }

    pub(crate) fn group_name(&self) -> Option<&'static str> {
        self.about.group
    }

    /// Names of arguments and of fields.
    pub(crate) fn names(&self) -> (&'static [&'static str], &'static [&'static str]) {
        (self.arguments(), self.fields())
    }

    pub(crate) fn place(&self) -> (&'static str, u32) {
        (self.about.file, self.about.line)
    }

    /// The name shown: the option `name`, or the full path with the type.
    pub(crate) fn shown_name(&self) -> String {
        self.about.name.map_or_else(|| name::path((self.about.path)()), str::to_owned)
    }

    /// Tells the hot side from which duration on a call counts as slow, by the calibration so far. What
    /// is written as slow, the collector decides, who knows better.
    pub(crate) fn set_slow_limit(&self, ns: u64) {
        let ticks = if ns == u64::MAX { u64::MAX } else { crate::platform::clock::ticks_from_ns(ns) };
        self.slow_ticks.store(ticks, Ordering::Relaxed);
    }

    /// The rate asked for, and by what.
    pub(crate) fn asked(&self) -> (f64, Source) {
        let rate = f64::from_bits(self.asked.load(Ordering::Relaxed));
        (rate, Source::from_number(self.source.load(Ordering::Relaxed)))
    }

    /// Asks for a rate; what is in force is that, as far as the ladder allows.
    pub(crate) fn ask(&self, rate: f64, source: Source) {
        self.asked.store(rate.to_bits(), Ordering::Relaxed);
        self.source.store(source as u32, Ordering::Relaxed);
        self.apply();
    }

    /// The ladder's word: at most this rate, and calls that are not drawn timed or only counted.
    pub(crate) fn limit(&self, cap: f64, is_counted: bool) {
        self.cap.store(cap.to_bits(), Ordering::Relaxed);
        self.counted.store(is_counted, Ordering::Relaxed);
        self.apply();
    }

    /// For the site by which costs are measured: sets what calls look at, and nothing else.
    pub(crate) fn calibrate(&self, rate: f64, fidelity: u8) {
        self.first.store(0, Ordering::Relaxed);
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        self.epoch.store(fidelity::next(self.epoch(), fidelity), Ordering::Release);
    }

    /// Most of what waits for the collector is likely of this function, and it cannot follow: from here on
    /// few of its calls are drawn, until the ladder knows better.
    #[cold]
    pub(crate) fn brake(&self) {
        self.cap_at((self.rate() / BRAKE).max(BRAKED_LEAST));
    }

    /// A tree that this function is the root of is drawn no more often than what has been braked below it:
    /// else it would lack that.
    #[cold]
    pub(crate) fn brake_with(&self, callee: &Self) {
        let rate = callee.rate();
        if rate < self.rate() {
            self.cap_at(rate);
        }
    }

    fn cap_at(&self, rate: f64) {
        self.cap.store(rate.to_bits(), Ordering::Relaxed);
        self.apply();
    }

    /// The rate that is allowed.
    pub(crate) fn cap(&self) -> f64 {
        f64::from_bits(self.cap.load(Ordering::Relaxed))
    }

    /// Puts into force what is asked for and allowed.
    fn apply(&self) {
        let cap = f64::from_bits(self.cap.load(Ordering::Relaxed));
        let rate = f64::from_bits(self.asked.load(Ordering::Relaxed)).min(cap);
        let before = self.fidelity();
        let is_counter = crate::platform::clock::is_counter();
        let next = match self.counted.load(Ordering::Relaxed) {
            _ if rate >= 1.0 && is_counter => fidelity::RECORDED,
            true => fidelity::COUNTED,
            false if is_counter => fidelity::SAMPLED,
            false => fidelity::SAMPLED_BY_OS_CLOCK,
        };
        if before == fidelity::OFF || (before == next && self.rate().to_bits() == rate.to_bits()) {
            return;
        }
        if before == fidelity::RECORDED && next != before {
            // Its first calls have their rows.
            self.first.store(0, Ordering::Relaxed);
        }
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        // Not where it has been switched off meanwhile. Partner: the acquire in `epoch`: who sees the new epoch
        // sees the new rate.
        let change = |epoch| (fidelity::of(epoch) != fidelity::OFF).then(|| fidelity::next(epoch, next));
        let _ = self.epoch.fetch_update(Ordering::Release, Ordering::Relaxed, change);
    }

    /// Whether this is one of the first calls, which are kept at any rate but zero.
    #[cold]
    pub(crate) fn take_first(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.first.load(Ordering::Relaxed) > 0
            && self.rate() > 0.0
            && self.first.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Leaves the function alone from now on.
    pub(crate) fn switch_off(&self) {
        self.epoch.store(fidelity::with(self.epoch(), fidelity::OFF), Ordering::Relaxed);
    }

    /// Gives the site its id and enters it in the table; false when the table is full.
    #[cold]
    pub(crate) fn register(&'static self) -> bool {
        // Partner: the release below: who sees the id finds the site in the table.
        if self.id.load(Ordering::Acquire) != 0 {
            return true;
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        if id >= SITES_MAX {
            // Stays here: the counter must not come round.
            NEXT_ID.store(SITES_MAX, Ordering::Relaxed);
            return false;
        }
        // The table first: as soon as the site has its id, other threads record calls of it.
        let block = &TABLE[id as usize / BLOCK];
        let block = block.get_or_init(|| (0..BLOCK).map(|_| OnceLock::new()).collect());
        let _ = block[id as usize % BLOCK].set(self);
        // The loser of a race leaves its number unused.
        let _ = self.id.compare_exchange(0, id, Ordering::Release, Ordering::Relaxed);
        true
    }
}

/// Three eighths of a ring, braked by this at each, hold two million calls.
const BRAKE: f64 = 16.0;
/// A rate that no function is so hot as to overrun a ring with.
const BRAKED_LEAST: f64 = 1e-6;

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
const BLOCK: usize = 256;
/// All sites by id. Append-only and without a lock, so that the child of a fork can go on with it.
static TABLE: [OnceLock<Box<[OnceLock<&'static CallSite>]>>; (SITES_MAX as usize).div_ceil(BLOCK)] =
    [const { OnceLock::new() }; (SITES_MAX as usize).div_ceil(BLOCK)];

/// The site with this id.
pub(crate) fn by_id(id: u32) -> Option<&'static CallSite> {
    TABLE.get(id as usize / BLOCK)?.get()?.get(id as usize % BLOCK)?.get().copied()
}

/// All sites registered so far.
pub(crate) fn all() -> impl Iterator<Item = &'static CallSite> {
    let numbers = 1..NEXT_ID.load(Ordering::Relaxed);
    numbers.filter_map(|id| by_id(id).filter(|site| site.id() == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_braked_as_far_as_what_it_calls() {
        static ABOUT: Description = Description::new(|| "orders::place", "src/orders.rs", 1, &[], &[]);
        let [root, callee] = [CallSite::new(&ABOUT), CallSite::new(&ABOUT)];
        callee.brake();
        root.brake_with(&callee);
        assert!(root.rate() < 1.0 && root.rate().to_bits() == callee.rate().to_bits());
        root.brake();
        let rate = root.rate();
        root.brake_with(&callee);
        assert!(rate < callee.rate() && root.rate().to_bits() == rate.to_bits());
    }
}
