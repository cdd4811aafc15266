//! The time from which on a call under way counts as stuck.
//!
//! Takes the 99th percentile of a function, or its name; gives a time in ns. The rule on alerts has the same limit. A function
//! that declares `slow` has at least that limit; the store does not have the option.

use anyhow::Result;

use crate::store::Store;

/// The least time after which a call is stuck.
pub(crate) const NS_MIN: i64 = 10_000_000_000;
/// A call is stuck after this many times the 99th percentile of its function.
const FACTOR: f64 = 20.0;

/// Returns the limit of a function with this 99th percentile, in ns.
pub(crate) fn limit_ns(p99_ns: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a duration in ns is far from the end of 64 bits")]
    let usual = (p99_ns * FACTOR) as i64;
    usual.max(NS_MIN)
}

/// Reads the limit of a function from its history.
pub(crate) fn read_limit(store: &Store, function: &str) -> Result<i64> {
    let mut p99_ms: f64 = 0.0;
    store.read_rows("SELECT max(p99_ms) FROM functions WHERE function = ?1", [function], |row| {
        p99_ms = row.get::<_, Option<f64>>(0)?.unwrap_or(0.0);
        Ok(())
    })?;
    Ok(limit_ns(p99_ms * 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_multiple_of_the_usual_duration_but_ten_seconds_at_least() {
        assert_eq!(limit_ns(0.0), NS_MIN);
        assert_eq!(limit_ns(2e9), 40_000_000_000);
    }
}
