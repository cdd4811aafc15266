//! Many threads that each call now and then, and many that hardly call before they end.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use monitor_benches::{Case, Figures, Options, Spread, case, floor, ns_per_call, seconds};

use crate::memory::{anonymous_mib, resident_mib, shared_mib};
use crate::{CALL, FLOOR, Result};

/// Calls in a burst, and calls a second over all threads: what the writer follows without loss.
const BURST: u32 = 256;
const CALLS_PER_SECOND: u64 = 400_000;

/// Short-lived threads that live at once, and what each calls.
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

/// So many threads, bursts of calls spread over all of them at a steady rate.
pub(crate) fn steady(threads: usize, options: &Options) -> Result<Figures> {
    black_box(step(0));
    monitored::flush(Duration::from_secs(10))?;
    let unmonitored = case!("plain", plain(black_box(1)), plain(black_box(1)));
    let monitored = case!("step", plain(black_box(1)), step(black_box(1)));
    // The same threads without a monitored call first: what is more afterwards is the recorder's.
    let (_, before) = rounds(threads, unmonitored, options)?;
    let (costs, after) = rounds(threads, monitored, options)?;
    let mut drained = Ok(());
    let drain = seconds(|| drained = monitored::flush(Duration::from_mins(1)));
    drained?;
    let health = monitored::health();
    let median = |at: usize| {
        let values: Vec<_> = costs.iter().map(|cost| cost[at]).collect();
        Spread::of(&values).map_or(f64::NAN, |spread| spread.median)
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        (CALL.to_owned(), median(0)),
        (FLOOR.to_owned(), median(1)),
        ("MiB memory".to_owned(), after - before),
        ("ms to drain".to_owned(), drain * 1e3),
        ("rows lost".to_owned(), health.dropped.total() as f64),
    ]))
}

/// Each thread's bursts; what a call added and what the floor added, burst by burst, and the memory
/// while all threads still live.
fn rounds(threads: usize, case: Case, options: &Options) -> Result<(Vec<[f64; 2]>, f64)> {
    let [reads, _] = floor::cases();
    let bursts = (options.amount(3000, 100) / threads).max(3);
    let rate = CALLS_PER_SECOND / u64::from(BURST);
    let pause = Duration::from_secs(1) * u32::try_from(threads)? / u32::try_from(rate)?;
    let done = Barrier::new(threads + 1);
    let mut resident = Ok(0.0);
    let costs = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|at| {
                let done = &done;
                scope.spawn(move || {
                    let mut costs = Vec::with_capacity(bursts);
                    // Not all at once.
                    std::thread::sleep(
                        pause * u32::try_from(at).unwrap_or(0) / u32::try_from(threads).unwrap_or(1),
                    );
                    for _ in 0..bursts {
                        costs.push([added(case), added(reads)]);
                        std::thread::sleep(pause);
                    }
                    done.wait();
                    // The second wait ends when memory has been looked at.
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

/// Nanoseconds that each call of a burst took more than one without.
fn added(case: Case) -> f64 {
    let each = |burst: fn(u32)| ns_per_call(1, || burst(BURST)) / f64::from(BURST);
    each(case.with) - each(case.without)
}

/// Threads that make some calls and end, a few at a time.
pub(crate) fn short_lived(threads: usize, options: &Options) -> Result<Figures> {
    black_box(step(0));
    monitored::flush(Duration::from_secs(10))?;
    let threads = if options.short { threads / 20 } else { threads };
    let without = waves(threads / 10, plain);
    // What is needed once, buffers of the collector and the allocator's reserves, is there after the first ten
    // thousand; what comes later is growth.
    let before = anonymous_mib()?;
    waves(threads, step);
    let between = anonymous_mib()?;
    let with = waves(threads, step);
    let (needed, growth) = (between - before, anonymous_mib()? - between);
    let rings = shared_mib()?;
    let mut drained = Ok(());
    let drain = seconds(|| drained = monitored::flush(Duration::from_mins(1)));
    drained?;
    let median = |firsts: &[f64]| Spread::of(firsts).map_or(f64::NAN, |spread| spread.median);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        ("µs first call of a new thread".to_owned(), median(&with) - median(&without)),
        ("MiB for the first 10 000 threads".to_owned(), needed),
        ("MiB growth over 10 000 more".to_owned(), growth),
        ("MiB of rings touched by then".to_owned(), rings),
        ("ms to drain".to_owned(), drain * 1e3),
        ("rows lost".to_owned(), monitored::health().dropped.total() as f64),
    ]))
}

/// Microseconds of the first call of each thread.
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
