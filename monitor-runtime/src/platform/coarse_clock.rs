//! The coarse clock: ticks that the collector writes every few milliseconds while some function is only
//! counted. The calls of these functions read it, because they cannot afford the counter.
//!
//! Takes ticks; gives the ticks of the last update, at most a period old while the collector runs. The file does not
//! know which calls rely on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::{Ticks, elapsed, ns_from_ticks, ticks, ticks_from_ns};
use crate::limits;

/// Two words, alone in their cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Coarse {
    latest: AtomicU64,
    /// The value of `latest` before the last update.
    before: AtomicU64,
}

static COARSE: Coarse = Coarse { latest: AtomicU64::new(2), before: AtomicU64::new(2) };

/// The time in ns for which the clock stood still, since it was last taken. Only delays of at least
/// [`limits::COARSE_STOOD`] are summed up.
static STOOD_NS: AtomicU64 = AtomicU64::new(0);

/// Returns the ticks that the coarse clock shows, by one plain load. The lowest two bits are always binary `10`: the
/// value is then never 0 or 1, which stand for "no time", and code that stores the value may use the lowest bit for a
/// flag.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn coarse() -> Ticks {
    COARSE.latest.load(Ordering::Relaxed)
}

/// The bits of the coarse clock that do not show time.
const COARSE_BITS: Ticks = 3;

/// Moves the coarse clock on.
pub(crate) fn advance_coarse() {
    COARSE.before.store(coarse(), Ordering::Relaxed);
    COARSE.latest.store(ticks() & !COARSE_BITS | 2, Ordering::Relaxed);
}

/// Moves the coarse clock on if a period has passed, or if the counter went backwards. The collector's thread calls
/// this wherever it may wait, or be busy, for longer than a period. If the clock stood still for long,
/// [`take_time_stood`] tells so.
pub(crate) fn keep_coarse() {
    let (shown, now) = (coarse(), ticks());
    let behind = elapsed(shown, now);
    let is_ahead = elapsed(now, shown) > COARSE_BITS;
    if is_ahead || behind >= ticks_from_ns(limits::COARSE_PERIOD.as_nanos() as u64) {
        advance_coarse();
    }
    let behind_ns = ns_from_ticks(behind);
    if u128::from(behind_ns) >= limits::COARSE_STOOD.as_nanos() {
        STOOD_NS.fetch_add(behind_ns, Ordering::Relaxed);
    }
}

/// Returns the time for which the clock stood still since this was last called, in delays of at least
/// [`limits::COARSE_STOOD`].
pub(crate) fn take_time_stood() -> Duration {
    Duration::from_nanos(STOOD_NS.swap(0, Ordering::Relaxed))
}

/// Returns the estimated start, in ticks, of a call that read `seen` from the coarse clock; `seen` itself is at most a
/// period too early while the clock moves on time. If the clock has moved exactly once since, and late, the estimate is
/// no earlier than a period before that move.
pub(crate) fn coarse_start(seen: Ticks) -> Ticks {
    if COARSE.before.load(Ordering::Relaxed) != seen {
        return seen;
    }
    let period = ticks_from_ns(limits::COARSE_PERIOD.as_nanos() as u64);
    seen.max(coarse().saturating_sub(period))
}
