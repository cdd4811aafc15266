//! The decision about a call that is not simply recorded.
//!
//! Takes the site's rate, the span that is current on the thread, and the thread's countdown and random numbers. Gives
//! what becomes of the call. The calls of a tree are sampled together, as far as their functions' rates allow. The file
//! does not know how a call is entered.

use std::sync::atomic::Ordering;

use crate::platform::reentrancy::apart;
use crate::sampling;
use crate::site::{CallSite, Fidelity};
use crate::thread::countdown::GAP_MASK;
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::state::{NO_SPAN, SUPPRESSED, ThreadState, UNSAMPLED};

/// Returns true for the weight of a call that was sampled for certain.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_certain(weight: f32) -> bool {
    weight.to_bits() == 1_f32.to_bits()
}

/// The decision about a call.
pub(crate) enum Decision {
    /// The call passes through.
    Pass,
    /// The call is recorded like the call around it.
    Follow,
    /// The call is recorded with this weight.
    Sampled(f32),
    /// The call is recorded because it is among the first of its function.
    First,
    /// The call and all calls below it are unsampled.
    Unsampled,
}

/// Decides about a call. A root is sampled at its function's rate. A callee is sampled with its root, or less often if its
/// own rate is lower than the probability with which its root was sampled.
pub(crate) fn decide(site: &CallSite, thread: &'static ThreadState, parent: u64, weight: f32) -> Decision {
    if parent == SUPPRESSED {
        return Decision::Pass;
    }
    if parent == UNSAMPLED {
        if site.is_counted() {
            // The countdown has ended with this call, which is timed. A new one begins.
            count_down_root(site, thread);
        }
        return Decision::Unsampled;
    }
    if site.fidelity() == Fidelity::RECORDED {
        return Decision::Follow;
    }
    if parent == NO_SPAN && site.take_first() {
        return Decision::First;
    }
    let (sampled, rate) = if parent == NO_SPAN || (site.is_counted() && is_certain(weight)) {
        count_down_root(site, thread)
    } else {
        let rate = site.rate();
        match sampling::child(1.0 / f64::from(weight), rate) {
            sampling::Child::Follow => return Decision::Follow,
            sampling::Child::Subsample { probability } => {
                (sampling::next_gap(probability, random(thread)) == 0, rate)
            }
        }
    };
    if sampled { Decision::Sampled(sampling::weight(rate) as f32) } else { Decision::Unsampled }
}

/// Counts down to the next sampled root. Returns true if it is this call, and the rate.
fn count_down_root(site: &CallSite, thread: &'static ThreadState) -> (bool, f64) {
    // The epoch is read first, so that a countdown of this epoch is never one of an older rate.
    let epoch = site.epoch();
    let rate = site.rate();
    // If not all unsampled calls are timed, the countdown ends with a call that is either sampled or timed.
    let stop = if site.is_counted() { (rate + TIMED_SHARE).min(1.0) } else { rate };
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

/// The share of timed calls of a function whose unsampled calls are otherwise only counted.
const TIMED_SHARE: f64 = 1.0 / 256.0;

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
