//! Stopwatches. The clock is read twice around many calls, never around one.

use std::time::Instant;

/// Runs it `calls` times; nanoseconds that each took.
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

/// Runs it once; seconds that it took.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
