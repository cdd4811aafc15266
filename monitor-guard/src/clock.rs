//! A clock that never goes back: the time since its first reading in the process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Returns the time since the first call of this function in the process.
pub(crate) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
