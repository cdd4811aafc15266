//! The age from which a call under way counts as stuck, by the store's history of its function.
//!
//! Takes the name of a function; gives a time in ns, by the rule of `monitor_runtime::alert`. The store does not have
//! the option `slow`, so the caller has to raise the limit of a function that declares a longer one.

use anyhow::Result;
use monitor_runtime::alert::{STUCK_NS_MIN, stuck_limit_ns};

use crate::store::Store;

/// Reads the limit of a function. A function without a percentile has the shortest limit that there is.
pub(crate) fn read_limit(store: &Store, function: &str) -> Result<i64> {
    let mut p99_ms = None;
    store.read_rows("SELECT max(p99_ms) FROM functions WHERE function = ?1", [function], |row| {
        p99_ms = row.get::<_, Option<f64>>(0)?;
        Ok(())
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration in ns is above 0 and far from the end of 64 bits"
    )]
    let p99_ns = p99_ms.map(|ms| (ms * 1e6) as u64);
    let limit_ns = stuck_limit_ns(p99_ns, None).unwrap_or(STUCK_NS_MIN);
    Ok(i64::try_from(limit_ns).unwrap_or(i64::MAX))
}
