//! The decision whether a call is recorded, timed, only counted or passed through, for calls off the common path.
//!
//! Takes the site's rates, the span that is current on the thread, and the thread's countdown and random numbers. Gives
//! a [`Decision`] about the call and the calls below it. The calls of a tree are kept together, as far as their
//! functions' rates allow. The file does not know how a call is entered.
//!
//! The weight of a kept call is the reciprocal of the probability with which it was kept, given the calls around it.
//! The recorder's own decisions about those calls apply to all calls alike. So sums of weights are unbiased.

use std::sync::atomic::Ordering;

use super::entered::cold_path;
use crate::platform::reentrancy::{is_ours, run_guarded};
use crate::record::NOT_KEPT;
use crate::sampling;
use crate::site::{CallSite, Epoch, Fidelity};
use crate::thread::countdown::GAP_MASK;
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::state::{NO_SPAN, ThreadState, WRITING, is_reserved};

/// Returns [`NOT_KEPT`] for a call that is timed and leaves no record, 0 for a call that is recorded like the call
/// around it or as a root. Returns `None` for a call that needs a decision.
///
/// The countdown on this thread holds a gap: the number of calls until the next sampled one. A gap that was drawn in
/// this epoch shows that no first call of the function is still to be kept, because `decide` takes the first calls
/// before it draws a gap, except at rate zero, at which none is kept.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn decide_fast(site: &CallSite, epoch: Epoch, parent: u64) -> Option<u64> {
    if epoch.fidelity() == Fidelity::RECORDED {
        return Some(parent & NOT_KEPT);
    }
    cold_path();
    if epoch.fidelity() != Fidelity::SAMPLED {
        return None;
    }
    if parent == NO_SPAN {
        let is_sampled_out = local::countdown(site.id())?.skip_timed(epoch.number());
        return is_sampled_out.then_some(NOT_KEPT);
    }
    let follows = parent & NOT_KEPT != 0 || site.callee_rate() >= 1.0;
    follows.then_some(parent & NOT_KEPT)
}

/// The decision about a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decision {
    /// The call passes through.
    Pass,
    /// The call is recorded like the call around it, or as a root.
    Follow,
    /// The call is recorded, and the calls below it are kept, with this weight.
    Sampled(f32),
    /// The call is recorded with this weight. The calls below it are kept if the call around it is.
    SampledAlone(f32),
    /// The call is recorded because it is among the first of its function.
    First,
    /// The call and the calls below it are unsampled.
    Unsampled,
    /// The call is unsampled. The calls below it are kept with the call around it.
    Timed,
    /// The call is unsampled, and transparent: calls below it have the call around it as their parent.
    TimedAlone,
}

/// Decides about a call. A root is sampled at its function's rate. A callee is sampled with its root, or less often if
/// its function's rate for callees is lower than the probability with which its root was sampled. A function that is
/// only counted has a countdown of its own, independent of the calls around its calls.
pub(crate) fn decide(site: &CallSite, thread: &'static ThreadState, parent: u64, weight: f32) -> Decision {
    if is_reserved(parent) {
        return Decision::Pass;
    }
    let fidelity = site.fidelity();
    let is_counted = fidelity == Fidelity::COUNTED;
    if site.waits_for_clock() {
        request_clock_at_random(thread, parent);
    }
    if !is_counted && parent & NOT_KEPT != 0 {
        return Decision::Unsampled;
    }
    if fidelity == Fidelity::RECORDED {
        return Decision::Follow;
    }
    if parent == NO_SPAN && site.take_first() {
        return Decision::First;
    }
    let sampled = |rate: f64| sampling::weight(rate) as f32;
    if is_counted {
        let (is_sampled, rate) = count_down(site, thread);
        return if is_sampled { Decision::SampledAlone(sampled(rate)) } else { Decision::TimedAlone };
    }
    if parent == NO_SPAN {
        let (is_sampled, rate) = count_down(site, thread);
        return if is_sampled { Decision::Sampled(sampled(rate)) } else { Decision::Unsampled };
    }
    let rate = site.callee_rate();
    if rate <= 0.0 {
        return Decision::Timed;
    }
    match sampling::child(1.0 / f64::from(weight), rate) {
        sampling::Child::Follow => Decision::Follow,
        sampling::Child::Subsample { probability }
            if sampling::next_gap(probability, random(thread)) == 0 =>
        {
            Decision::Sampled(sampled(rate))
        }
        sampling::Child::Subsample { .. } => Decision::Unsampled,
    }
}

/// Counts down to the function's next sampled call. Returns true if this call is the sampled one, and the rate in
/// force.
fn count_down(site: &CallSite, thread: &'static ThreadState) -> (bool, f64) {
    // The epoch is read before the rate. In the other order, a gap that was drawn for an old rate could be stored with
    // a newer epoch and stay in force.
    let epoch = site.epoch();
    let rate = site.rate();
    // If not all unsampled calls are timed, the countdown ends with a call that is either sampled or timed.
    let stops = site.is_counted() || site.waits_for_clock();
    let stop = if stops { (rate + sampling::TIMED_SHARE).min(1.0) } else { rate };
    let Some(countdown) = local::make_countdown(thread, site.id()) else {
        return (sampling::next_gap(rate, random(thread)) == 0, rate);
    };
    let gap = countdown.gap(epoch.number()).unwrap_or_else(|| next_gap(stop, thread));
    if gap & GAP_MASK > 0 {
        countdown.set_gap(epoch.number(), gap - 1);
        return (false, rate);
    }
    countdown.set_gap(epoch.number(), next_gap(stop, thread));
    let ends = gap & REDRAW_FLAG == 0;
    (ends && (stop <= rate || sampling::next_gap(rate / stop, random(thread)) == 0), rate)
}

/// Wakes the collector with one call in some hundred, so that the coarse clock runs and the function's calls are only
/// counted. Chance decides which calls wake it, so that a function that is called now and then rarely does.
fn request_clock_at_random(thread: &ThreadState, parent: u64) {
    // A root gets here only at the end of a countdown, which is one call in 256.
    let one_in = if parent == NO_SPAN { 2 } else { 512 };
    if random(thread).is_multiple_of(one_in) {
        thread.home.request_clock();
    }
}

/// Draws a gap at this rate. A gap that is too long is cut and flagged: it ends in another draw instead of a sampled
/// call, which changes nothing, because gaps are memoryless.
fn next_gap(rate: f64, thread: &ThreadState) -> u32 {
    let gap = sampling::next_gap(rate, random(thread));
    if gap >= GAP_MASK { GAP_MASK | REDRAW_FLAG } else { gap }
}

const REDRAW_FLAG: u32 = GAP_MASK + 1;

fn random(thread: &ThreadState) -> u64 {
    let mut generator = sampling::Random::new(thread.random.load(Ordering::Relaxed));
    let random = generator.draw();
    thread.random.store(generator.state(), Ordering::Relaxed);
    random
}

/// Returns the calling thread's state, taken if necessary, after the function's first call has registered its site.
/// Returns `None` if calls of the function pass through.
pub(crate) fn state_for(site: &'static CallSite) -> Option<(&'static ThreadState, Lease)> {
    if site.fidelity() == Fidelity::UNKNOWN && run_guarded(|| site.handle_first_call()).is_none() {
        site.count_passed();
        return None;
    }
    if site.fidelity() == Fidelity::OFF {
        return None;
    }
    if let Some(thread) = local::current() {
        return Some((thread, Lease::Thread));
    }
    let taken = take_state();
    if taken.is_none() && !is_ours() {
        site.count_passed();
    }
    taken
}

/// Takes a state for the calling thread. Returns `None` if there is no memory for a state, or if the call interrupts
/// the recorder.
pub(super) fn take_state() -> Option<(&'static ThreadState, Lease)> {
    run_guarded(|| pool::process_threads()?.acquire())?
}

/// Counts a call that passes through, if `current`, the thread's current span, shows that the call interrupts the
/// writing of a record.
#[inline]
pub(super) fn count_if_passed(site: &CallSite, current: u64) {
    if current == WRITING {
        site.count_passed();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::call::entered::RUNTIME;
    use crate::config::CaptureMode;
    use crate::private::{Call, Slot};
    use crate::ring::memory::Memory;
    use crate::sampling::Source;
    use crate::site::{Caps, Description};
    use crate::thread::pool::ThreadPool;

    /// Makes calls of a function that waits for the coarse clock. Returns true if they request the clock.
    fn requests_clock(calls: u32, is_root: bool) -> bool {
        static ABOUT: Description = Description::new(|| "forecast::step", "src/forecast.rs", 1, &[], &[]);
        let (overflow, _taken) = crossbeam_channel::unbounded();
        let accountant = Accountant::boundless();
        let rings = ThreadPool::new(accountant, 1 << 40, CaptureMode::All, overflow, Memory::on_heap(None));
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        let site = || -> &'static CallSite { Box::leak(Box::new(CallSite::new(&ABOUT))) };
        let [root, callee] = [site(), site()];
        for site in [root, callee] {
            assert!(site.register());
            site.request(1.0, Source::Default);
        }
        callee.apply(Caps { rate: 1e-5, callee_rate: 1e-5, ..Caps::NONE });
        callee.set_waits_for_clock(true);
        let call = |site| Call::<RUNTIME>::enter(&mut Slot::empty(), site).ok();
        std::thread::spawn(move || {
            let (state, _) = rings.acquire().unwrap();
            let mut slot = Slot::empty();
            let mut around = (!is_root).then(|| Call::<RUNTIME>::enter(&mut slot, root));
            (0..calls).for_each(|_| call(callee));
            around.iter_mut().for_each(Call::ok);
            drop(around);
            local::release(state);
        })
        .join()
        .unwrap();
        rings.home.take_clock_request()
    }

    #[test]
    fn a_burst_of_calls_that_wait_for_the_coarse_clock_wants_it_at_once() {
        for is_root in [false, true] {
            assert!(requests_clock(100_000, is_root));
            let wanted = (0..20).filter(|_| requests_clock(1, is_root)).count();
            assert!(wanted < 5, "{wanted} of 20 lone calls want the clock");
        }
    }
}
