//! Which calls of a sampled function are drawn. In: the site's rate, what is current on the thread, the
//! thread's countdown and random numbers. Out: what becomes of the call.

use std::sync::atomic::Ordering;

use crate::platform::reentrancy::apart;
use crate::sampling;
use crate::site::{CallSite, fidelity};
use crate::thread::countdown::GAP_MASK;
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::state::{NO_SPAN, SUPPRESSED, ThreadState, UNSAMPLED};

/// Whether what has this weight was drawn for certain.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_certain(weight: f32) -> bool {
    weight.to_bits() == 1_f32.to_bits()
}

/// What becomes of a call.
pub(crate) enum Draw {
    /// Nothing: it passes through.
    Pass,
    /// As the call around it.
    Follow,
    /// Recorded with this weight.
    Drawn(f32),
    /// Recorded for being among the first calls of its function.
    First,
    /// Left out, and all below it.
    Undrawn,
}

/// Draws a call: a root at its function's rate, a callee with its root, or less often where its own
/// rate is lower than the probability that its root was drawn with.
pub(crate) fn draw(site: &CallSite, thread: &'static ThreadState, parent: u64, weight: f32) -> Draw {
    if parent == SUPPRESSED {
        return Draw::Pass;
    }
    if parent == UNSAMPLED {
        if site.is_counted() {
            // The countdown has ended with this call, which is timed; it begins anew.
            draw_root(site, thread);
        }
        return Draw::Undrawn;
    }
    if site.fidelity() == fidelity::RECORDED {
        return Draw::Follow;
    }
    if parent == NO_SPAN && site.take_first() {
        return Draw::First;
    }
    let (drawn, rate) = if parent == NO_SPAN || (site.is_counted() && is_certain(weight)) {
        draw_root(site, thread)
    } else {
        let rate = site.rate();
        match sampling::child(1.0 / f64::from(weight), rate) {
            sampling::Child::Follow => return Draw::Follow,
            sampling::Child::Subsample { probability } => {
                (sampling::next_gap(probability, random(thread)) == 0, rate)
            }
        }
    };
    if drawn { Draw::Drawn(sampling::weight(rate) as f32) } else { Draw::Undrawn }
}

/// Counts down to the next root call that is drawn; gives the rate as well.
fn draw_root(site: &CallSite, thread: &'static ThreadState) -> (bool, f64) {
    // The epoch first: a countdown that says it is of this epoch must not be of an older rate.
    let epoch = site.epoch();
    let rate = site.rate();
    // Where not all undrawn calls are timed, the countdown ends with one that is either drawn or timed.
    let stop = if site.is_counted() { (rate + TIMED_SHARE).min(1.0) } else { rate };
    let Some(countdown) = local::make_countdown(thread, site.id()) else {
        return (sampling::next_gap(rate, random(thread)) == 0, rate);
    };
    let gap = countdown.gap(epoch).unwrap_or_else(|| next_gap(stop, thread));
    if gap & GAP_MASK > 0 {
        countdown.set_gap(epoch, gap - 1);
        return (false, rate);
    }
    countdown.set_gap(epoch, next_gap(stop, thread));
    let ends = gap & REDRAW_FLAG == 0;
    (ends && (stop <= rate || sampling::next_gap(rate / stop, random(thread)) == 0), rate)
}

/// Share of the calls that are timed of a function whose calls are otherwise only counted.
const TIMED_SHARE: f64 = 1.0 / 256.0;

/// A gap, flagged where it ends in another draw instead of a drawn call: gaps have no memory, so a long
/// one may be taken in pieces.
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

/// Registers the site if need be, and finds or takes the calling thread's state.
pub(crate) fn thread_for(site: &'static CallSite) -> Option<(&'static ThreadState, Lease)> {
    if site.fidelity() == fidelity::UNKNOWN {
        apart(|| site.meet())?;
    }
    if site.fidelity() == fidelity::OFF {
        return None;
    }
    match local::current() {
        Some(thread) => Some((thread, Lease::Thread)),
        None => apart(|| pool::process_threads()?.acquire())?,
    }
}
