//! The program: three monitored functions, each called by a thread of its own until the second process has tried
//! everything. It returns how many calls it made, how many of them failed and were slow, and the cost of a call
//! of the hot function, second by second.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use monitor_benches::{Figures, floor, median, seconds, serve};
use monitored::monitor;

use super::{CallCounts, END_VARIABLE, HANDLER, HOT, RARE, RATIO, SECONDS};

/// The duration of a slow call: longer than the limit of both functions, plus the resolution of the clock by which
/// the recorder notices slow calls.
const SLOW: Duration = Duration::from_millis(60);
const SLOW_EVERY: Duration = Duration::from_millis(250);
/// The cost is measured from this moment on.
const MEASURED_FROM: Duration = Duration::from_secs(2);

/// The body of the functions: 0 fails, 1 is slow, any other number is a nanosecond of work.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the body of both forms")]
fn work(number: u64) -> Result<u64, String> {
    match number {
        0 => Err("nothing to work on".to_owned()),
        1 => {
            std::thread::sleep(SLOW);
            Ok(1)
        }
        number => Ok(black_box(number) + 1),
    }
}

/// The hot function without the attribute.
#[inline(never)]
fn unmonitored(number: u64) -> Result<u64, String> {
    work(number)
}

#[monitor(skip_all, no_result, slow = "40ms")]
#[inline(never)]
fn hot(number: u64) -> Result<u64, String> {
    work(number)
}

/// Fails in every third call, and is slow in every fifth of the others.
#[monitor(slow = "40ms")]
fn rare(number: u64) -> Result<u64, String> {
    work(if number.is_multiple_of(3) { 0 } else { u64::from(!number.is_multiple_of(5)) + 1 })
}

/// Fails in every hundredth call.
#[monitor(slow = "250ms")]
fn handle(number: u64, path: &str) -> Result<usize, String> {
    if number.is_multiple_of(100) { Err(format!("{path} was not found")) } else { Ok(black_box(path).len()) }
}

/// Runs the program as a worker, until the file exists that the variable [`END_VARIABLE`] names.
pub(crate) fn run_program() -> std::io::Result<()> {
    let end = PathBuf::from(std::env::var_os(END_VARIABLE).unwrap_or_default());
    serve(|| {
        static RUNNING: AtomicBool = AtomicBool::new(true);
        let rare_calls = std::thread::spawn(|| call_rare(&RUNNING));
        let requests = std::thread::spawn(|| call_handler(&RUNNING));
        let start = Instant::now();
        let (counts, ratios) = call_hot(&end);
        let mut figures = Figures::from([(SECONDS.to_owned(), start.elapsed().as_secs_f64())]);
        RUNNING.store(false, Ordering::Relaxed);
        rare_calls.thread().unpark();
        rare_calls.join().unwrap_or_default().insert_into(&mut figures, RARE);
        requests.join().unwrap_or_default().insert_into(&mut figures, HANDLER);
        counts.insert_into(&mut figures, HOT);
        for (second, ratios) in ratios {
            figures.insert(format!("{RATIO}{second}"), median(&ratios));
        }
        let _ = monitored::flush(Duration::from_secs(10));
        figures
    })
}

/// Calls the rare function once a second.
fn call_rare(running: &AtomicBool) -> CallCounts {
    let mut counts = CallCounts::default();
    while running.load(Ordering::Relaxed) {
        counts.calls += 1;
        counts.failed += u64::from(rare(counts.calls).is_err());
        counts.slow += u64::from(counts.calls.is_multiple_of(5) && !counts.calls.is_multiple_of(3));
        std::thread::park_timeout(Duration::from_secs(1));
    }
    counts
}

/// Calls the request handler some hundred times a second.
fn call_handler(running: &AtomicBool) -> CallCounts {
    let mut counts = CallCounts::default();
    while running.load(Ordering::Relaxed) {
        counts.calls += 1;
        counts.failed += u64::from(handle(counts.calls, "/orders/17").is_err());
        std::thread::sleep(Duration::from_millis(1));
    }
    counts
}

/// The nanoseconds that the attribute adds to a call, as multiples of two counter reads, by seconds since the start.
type Ratios = BTreeMap<u64, Vec<f64>>;

/// Calls the hot function until the file `end` exists. The floor, the function without the attribute and the
/// function with it take turns.
fn call_hot(end: &Path) -> (CallCounts, Ratios) {
    const PASSES: u32 = 100_000;
    let [reads, _] = floor::cases();
    let pass = |call: fn(u64) -> Result<u64, String>| {
        seconds(|| (0..PASSES).for_each(|_| _ = black_box(call(black_box(7)))))
    };
    let (mut counts, mut ratios) = (CallCounts::default(), Ratios::new());
    let start = Instant::now();
    let mut next_slow = SLOW_EVERY;
    while !end.exists() {
        let reads_added = -seconds(|| (reads.baseline)(PASSES)) + seconds(|| (reads.measured)(PASSES));
        let call_added = -pass(unmonitored) + pass(hot);
        counts.calls += u64::from(PASSES) + 1;
        counts.failed += u64::from(hot(0).is_err());
        if start.elapsed() >= next_slow {
            next_slow += SLOW_EVERY;
            counts.calls += u64::from(hot(1).is_ok());
            counts.slow += 1;
        }
        if start.elapsed() >= MEASURED_FROM {
            ratios.entry(start.elapsed().as_secs()).or_default().push(call_added / reads_added);
        }
    }
    (counts, ratios)
}
