//! `cargo bench -p monitor-benches --bench ladder` measures functions with default settings, two seconds after the
//! start, when the recorder has lowered their rates. One program calls a function tens of millions of times a
//! second, as a root and below a recorded caller, and calls another function once a second. The other program
//! consists of functions that take a microsecond each. A third run checks everything that sampling promises: see
//! `promises`.
//!
//! Each program runs in a process of its own. Its floor is measured next to it: two reads of the counter for the
//! first program, the program without attributes for the second.

mod promises;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use monitor_benches::{Bursts, Case, Figures, Options, Table, Worker, case, floor, seconds, serve};
use monitored::monitor;

const HOT: &str = "a root called flat out, 2 s after the start";
const BELOW: &str = "the same function below a recorded caller";
const MICRO: &str = "a program of functions of 1 µs, whole run time";
const CALLS: &str = "calls a second of the flat-out function";

fn plain(number: u64) -> u64 {
    black_box(number) + 1
}

#[inline(never)]
fn unmonitored(number: u64) -> u64 {
    plain(number)
}

#[monitor(skip_all, no_result)]
#[inline(never)]
fn hot(number: u64) -> u64 {
    plain(number)
}

#[monitor]
fn seldom_called(number: u64) -> u64 {
    plain(number)
}

/// Makes a burst of calls. It is called once per burst, so that it is recorded and its calls are no roots.
#[monitor(skip_all, no_result)]
#[inline(never)]
fn caller(passes: u32, call: fn(u64) -> u64) {
    (0..passes).for_each(|_| _ = black_box(call(black_box(1))));
}

/// About a microsecond of arithmetic that the compiler cannot fold.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the body of both forms")]
fn work(number: u64) -> u64 {
    let mut value = black_box(number) | 1;
    for _ in 0..ROUNDS_OF_A_MICROSECOND {
        value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7);
    }
    value
}

/// A multiplication and a rotation that depend on each other take four cycles together.
const ROUNDS_OF_A_MICROSECOND: u32 = 700;

#[inline(never)]
fn micro_unmonitored(number: u64) -> u64 {
    work(number)
}

#[monitor(skip_all, no_result)]
#[inline(never)]
fn micro(number: u64) -> u64 {
    work(number)
}

fn main() -> std::io::Result<()> {
    let options = Options::from_args();
    match options.worker.as_deref() {
        Some("hot") => return hot_program(&options),
        Some("micro") => return micro_program(&options),
        Some(promises::WORKER) => return promises::run_program(),
        _ => {}
    }
    let mut table = Table::new("ladder", "ns", floor::READS);
    table.row(floor::READS, None);
    table.row(HOT, Some(0.15));
    table.row(BELOW, Some(0.15));
    table.row(MICRO, Some(1.015));
    table.row_with_value_goal(promises::HOT_COST, 0.15);
    let folder = tempfile::tempdir()?;
    let start = |name: &str| {
        let store = folder.path().join(format!("{name}.db"));
        Worker::start(name, &options, &[("MONITOR_DB", store.to_str().unwrap_or(":memory:"))])
    };
    let (mut hot, mut micro) = (start("hot")?, start("micro")?);
    for _ in 0..options.rounds() {
        let figures = hot.round()?;
        for name in [HOT, BELOW] {
            table.record(name, figures[name], figures[floor::READS]);
        }
        table.figure(CALLS, figures[CALLS] / 1e6, "million");
        let figures = micro.round()?;
        table.record_in(MICRO, figures["with"], figures["without"], "ms");
    }
    drop((hot, micro));
    let problems = promises::check(&options, &mut table)?;
    table.finish(&options)?;
    if problems.is_empty() { Ok(()) } else { Err(std::io::Error::other(problems.join("\n"))) }
}

/// Calls the hot function flat out for two seconds, and then as often as the measurement permits. A second thread
/// calls another function once a second meanwhile.
fn hot_program(options: &Options) -> std::io::Result<()> {
    static RUNNING: AtomicBool = AtomicBool::new(true);
    let rare = std::thread::spawn(|| {
        while RUNNING.load(Ordering::Relaxed) {
            seldom_called(1);
            std::thread::park_timeout(Duration::from_secs(1));
        }
    });
    let warm = Duration::from_secs(if options.short { 0 } else { 2 });
    let bursts = Bursts { threads: 1, repeats: options.amount(60, 2), calls: 200_000, settle: &|| () };
    let below = Case {
        name: BELOW,
        calls: 1,
        baseline: |passes| (0..passes).for_each(|_| _ = black_box(unmonitored(black_box(1)))),
        measured: |passes| caller(passes, hot),
    };
    let [reads, _] = floor::cases();
    let cases = [reads, case!(HOT, unmonitored(black_box(1)), hot(black_box(1))), below];
    let mut is_warm = false;
    let answer = serve(|| {
        if !std::mem::replace(&mut is_warm, true) {
            let until = Instant::now() + warm;
            while Instant::now() < until {
                (0..10_000).for_each(|_| _ = black_box(hot(black_box(1))));
            }
        }
        let before = calls_so_far();
        let mut figures = Figures::new();
        let spent = seconds(|| figures = bursts.measure(&cases));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        figures.insert(CALLS.to_owned(), (calls_so_far() - before) as f64 / spent);
        figures
    });
    RUNNING.store(false, Ordering::Relaxed);
    rare.thread().unpark();
    let _ = rare.join();
    answer
}

/// Returns the calls that the recorder has counted, once everything recorded is in the store.
fn calls_so_far() -> u64 {
    let _ = monitored::flush(Duration::from_secs(10));
    let health = monitored::health();
    health.recorded + health.sampled_out
}

/// Runs the functions of a microsecond with the attribute and without it, in turn.
fn micro_program(options: &Options) -> std::io::Result<()> {
    let calls = options.amount(100_000, 1_000);
    let pass = |call: fn(u64) -> u64| (0..calls).for_each(|_| _ = black_box(call(black_box(1))));
    let mut is_warm = options.short;
    serve(|| {
        if !std::mem::replace(&mut is_warm, true) {
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until {
                pass(micro);
            }
        }
        let (mut with, mut without) = (0.0, 0.0);
        for _ in 0..5 {
            without += seconds(|| pass(micro_unmonitored)) * 1e3;
            with += seconds(|| pass(micro)) * 1e3;
        }
        Figures::from([("with".to_owned(), with), ("without".to_owned(), without)])
    })
}
