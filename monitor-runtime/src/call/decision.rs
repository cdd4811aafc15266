//! The decision about a call that is not simply recorded.
//!
//! Takes the site's rates, the span that is current on the thread, and the thread's countdown and random numbers. Gives
//! what becomes of the call, and of the calls below it. The calls of a tree are kept together, as far as their functions'
//! rates allow. The file does not know how a call is entered.
//!
//! Each kept call carries the weight that fits the chance by which it was kept in its surroundings, and whatever the
//! recorder itself decides about these surroundings is decided for all calls alike. So the sums of weights are unbiased.

use std::sync::atomic::Ordering;

use super::entered::cold_path;
use crate::platform::reentrancy::apart;
use crate::record::NOT_KEPT;
use crate::sampling;
use crate::site::{CallSite, Epoch, Fidelity};
use crate::thread::countdown::GAP_MASK;
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::state::{NO_SPAN, ThreadState, is_reserved};

/// Returns [`NOT_KEPT`] for a call that is timed and leaves no record, 0 for a call that is recorded like the call
/// around it or as a root. Returns `None` for a call that needs a decision.
///
/// A gap of this epoch shows that no first call of the function is still to be kept: `decide` takes the first calls
/// before it draws a gap, except at rate zero, at which none is kept.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn decide_quickly(site: &CallSite, epoch: Epoch, parent: u64) -> Option<u64> {
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
/// its function's rate for callees is lower than the probability with which its root was sampled. A function that is only
/// counted has a countdown of its own, whatever is around its calls.
pub(crate) fn decide(site: &CallSite, thread: &'static ThreadState, parent: u64, weight: f32) -> Decision {
    if is_reserved(parent) {
        return Decision::Pass;
    }
    let fidelity = site.fidelity();
    let is_counted = fidelity == Fidelity::COUNTED;
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

/// Counts down to the function's next sampled call. Returns true if it is this one, and the rate.
fn count_down(site: &CallSite, thread: &'static ThreadState) -> (bool, f64) {
    // The epoch is read first, so that a countdown of this epoch is never one of an older rate.
    let epoch = site.epoch();
    let rate = site.rate();
    // If not all unsampled calls are timed, the countdown ends with a call that is either sampled or timed.
    let stop = if site.is_counted() { (rate + sampling::TIMED_SHARE).min(1.0) } else { rate };
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

/// Draws a gap at this rate. A gap that is too long is cut and flagged: it ends in another draw instead of a sampled call,
/// which changes nothing, because gaps are memoryless.
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
    if site.fidelity() == Fidelity::UNKNOWN {
        apart(|| site.handle_first_call())?;
    }
    if site.fidelity() == Fidelity::OFF {
        return None;
    }
    match local::current() {
        Some(thread) => Some((thread, Lease::Thread)),
        None => apart(|| pool::process_threads()?.acquire())?,
    }
}
