//! Waits for another process. Takes a question about it, and returns once the answer is yes; a busy machine may
//! need long for anything, so a test fails only after a minute. Knows nothing of stores and programs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time after which a test gives up, far longer than anything takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_ready` returns true. `awaited` names the condition in the message of a failure.
#[track_caller]
pub(crate) fn wait_for(awaited: &str, mut is_ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_ready() {
        assert!(Instant::now() < deadline, "waited in vain for {awaited}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the wall clock's time in nanoseconds since the Unix epoch, as the store writes it.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}
