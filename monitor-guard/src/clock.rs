//! The time since the process asked first, which never goes back.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Returns the time since the first call of this function in the process.
pub(crate) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
