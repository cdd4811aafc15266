//! Many threads that call at a low rate, and many threads that end after a few calls.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use monitor_benches::{Case, Figures, Options, case, floor, median, ns_per_call};

use crate::memory::{anonymous_mib, resident_mib, shared_mib};
use crate::{CALL, FLOOR, Result, drain_ms};

/// Calls in a burst, and calls a second of all threads together. The writer keeps up with this rate without loss.
const BURST: u32 = 256;
const CALLS_PER_SECOND: u64 = 400_000;

/// Short-lived threads that live at the same time, and the calls that each makes.
const AT_ONCE: usize = 8;
const CALLS: u64 = 10;

#[monitored::monitor(skip_all, no_result)]
#[inline(never)]
fn step(number: u64) -> u64 {
    black_box(number) + 1
}

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}

/// Measures this number of threads, each of which makes bursts of calls. The rate of all threads is constant.
pub(crate) fn steady(threads: usize, options: &Options) -> Result<Figures> {
    black_box(step(0));
    monitored::flush(Duration::from_secs(10))?;
    let unmonitored = case!("plain", plain(black_box(1)), plain(black_box(1)));
    let monitored = case!("step", plain(black_box(1)), step(black_box(1)));
    // First the same threads without a monitored call: the difference in memory is the recorder's.
    let (_, before) = rounds(threads, unmonitored, options)?;
    let (costs, after) = rounds(threads, monitored, options)?;
    let drain = drain_ms()?;
    let health = monitored::health();
    let column = |index: usize| costs.iter().map(|cost| cost[index]).collect::<Vec<_>>();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        (CALL.to_owned(), median(&column(0))),
        (FLOOR.to_owned(), median(&column(1))),
        ("MiB memory".to_owned(), after - before),
        ("ms to drain".to_owned(), drain),
        ("rows lost".to_owned(), health.dropped.total() as f64),
    ]))
}

/// Runs the bursts of all threads. Returns, for each burst, the nanoseconds that a call and the floor added, and
/// the resident memory while all threads are still alive.
fn rounds(threads: usize, case: Case, options: &Options) -> Result<(Vec<[f64; 2]>, f64)> {
    let [reads, _] = floor::cases();
    let bursts = (options.amount(3000, 100) / threads).max(3);
    let rate = CALLS_PER_SECOND / u64::from(BURST);
    let pause = Duration::from_secs(1) * u32::try_from(threads)? / u32::try_from(rate)?;
    let done = Barrier::new(threads + 1);
    let mut resident = Ok(0.0);
    let costs = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let done = &done;
                scope.spawn(move || {
                    let mut costs = Vec::with_capacity(bursts);
                    // The threads start one after the other.
                    std::thread::sleep(
                        pause * u32::try_from(index).unwrap_or(0) / u32::try_from(threads).unwrap_or(1),
                    );
                    for _ in 0..bursts {
                        costs.push([added_ns(case), added_ns(reads)]);
                        std::thread::sleep(pause);
                    }
                    done.wait();
                    // The second wait ends once memory has been measured.
                    done.wait();
                    costs
                })
            })
            .collect();
        done.wait();
        resident = resident_mib();
        done.wait();
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    Ok((costs, resident?))
}

/// Returns the nanoseconds that the second form of a case adds to a call, over one burst of each form.
fn added_ns(case: Case) -> f64 {
    let each = |burst: fn(u32)| ns_per_call(1, || burst(BURST)) / f64::from(BURST);
    each(case.measured) - each(case.baseline)
}

/// Measures threads that make some calls and end, a few of them at a time.
pub(crate) fn short_lived(threads: usize, options: &Options) -> Result<Figures> {
    black_box(step(0));
    monitored::flush(Duration::from_secs(10))?;
    let threads = if options.short { threads / 20 } else { threads };
    let without = waves(threads / 10, plain);
    // After the first ten thousand threads all memory is allocated that is needed once: the collector's buffers and
    // the allocator's reserves. Memory that is added later is growth.
    let before = anonymous_mib()?;
    waves(threads, step);
    let between = anonymous_mib()?;
    let with = waves(threads, step);
    let (needed, growth) = (between - before, anonymous_mib()? - between);
    let rings = shared_mib()?;
    let drain = drain_ms()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        ("µs first call of a new thread".to_owned(), median(&with) - median(&without)),
        ("MiB for the first 10 000 threads".to_owned(), needed),
        ("MiB growth with 10 000 more".to_owned(), growth),
        ("MiB of rings touched".to_owned(), rings),
        ("ms to drain".to_owned(), drain),
        ("rows lost".to_owned(), monitored::health().dropped.total() as f64),
    ]))
}

/// Starts the threads in waves and waits for each wave. Returns the microseconds of each thread's first call.
fn waves(threads: usize, call: fn(u64) -> u64) -> Vec<f64> {
    let mut firsts = Vec::with_capacity(threads);
    for _ in 0..threads.div_ceil(AT_ONCE) {
        let wave: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                std::thread::spawn(move || {
                    let start = Instant::now();
                    black_box(call(0));
                    let first = start.elapsed();
                    (1..CALLS).for_each(|number| _ = black_box(call(number)));
                    first.as_secs_f64() * 1e6
                })
            })
            .collect();
        firsts.extend(wave.into_iter().filter_map(|thread| thread.join().ok()));
    }
    firsts
}
