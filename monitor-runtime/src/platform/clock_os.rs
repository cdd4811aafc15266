//! The clocks of the operating system: the monotonic clock and the wall clock.
//!
//! Takes nothing; gives nanoseconds. The monotonic clock counts from its first reading in this process. The wall clock
//! is brought within years in which sums of a moment and a duration cannot overflow. The file does not know the
//! counter.
#![allow(clippy::disallowed_methods, reason = "the one reader of time")]

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The latest moment that the wall clock can show, the year 2200: a later one is a clock that was never set right, and
/// would leave no room for sums in 64 bits.
pub(crate) const LATEST_NS: i64 = 7_258_118_400_000_000_000;

/// Returns the nanoseconds since the first reading in this process, from the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    #[cfg(test)]
    if let Some(ns) = super::clock_simulated::monotonic_ns() {
        return ns;
    }
    let since = FIRST.get_or_init(Instant::now).elapsed();
    // 64 bits hold five centuries.
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos()))
}

/// Returns the nanoseconds since the Unix epoch by the wall clock: 0 for a time before it, and at most [`LATEST_NS`].
pub(crate) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX).min(LATEST_NS)
}
