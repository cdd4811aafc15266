//! Stopwatches. The clock is read before and after a whole loop of calls, never around each call.

use std::time::Instant;

/// Makes the call `calls` times. Returns the mean of the nanoseconds that a call took.
pub fn ns_per_call(calls: usize, mut call: impl FnMut()) -> f64 {
    let spent = seconds(|| {
        for _ in 0..calls {
            call();
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
    let calls = calls as f64;
    spent * 1e9 / calls
}

/// Does the work once. Returns the seconds that the work took.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
