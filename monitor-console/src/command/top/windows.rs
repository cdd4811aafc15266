//! The windows of 10 s that `--since` selects.

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use crate::store::Store;
use crate::units;

/// The windows that a span selects, each as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    first: i64,
    last: i64,
}

impl Windows {
    /// Returns the windows from the one that holds this time to the present one. Later windows were written while a
    /// clock was wrong.
    pub(super) fn starting_at(since_ns: i64) -> Self {
        let [first, last] = [since_ns, units::end_of_span()].map(|ns| ns.div_euclid(WINDOW_NS));
        Self { first, last }
    }

    /// Returns the start of the first window.
    pub(super) fn start_ns(self) -> i64 {
        self.first.saturating_mul(WINDOW_NS)
    }

    /// Returns true if the store has windows after the present one.
    pub(super) fn are_followed(self, store: &Store) -> Result<bool> {
        let sql = "SELECT 1 FROM latency_window WHERE window > ?1 LIMIT 1";
        Ok(store.read_integer(sql, [self.last])?.is_some())
    }
}
