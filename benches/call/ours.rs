//! The same functions with `#[monitor]`, and the workers that measure them: one process for each way to
//! set the recorder up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use monitor_benches::{Bursts, Case, Figures, Options, Spread, case, floor};
use monitored::monitor;

use crate::plain::{self, DEEP, ID, NAME, Refused};

pub(crate) const DISABLED: &str = "disabled";
pub(crate) const COUNTED: &str = "sampled out, counted";
pub(crate) const TIMED: &str = "sampled out, timed";
pub(crate) const RECORDED: &str = "recorded";
pub(crate) const VALUES: &str = "recorded, (u64, &str) captured";
pub(crate) const DEFAULT: &str = "recorded, argument and result captured";
pub(crate) const ERROR: &str = "recorded, Err with a message";
pub(crate) const ASYNC: &str = "recorded, ready async function";
pub(crate) const NESTED: &str = "recorded, 10 deep";
pub(crate) const THREADS_2: &str = "recorded, 2 threads";
pub(crate) const THREADS_8: &str = "recorded, 8 threads";
pub(crate) const FLAT_OUT: &str = "recorded, flat out";
pub(crate) const FIRST_NEW: &str = "first call of a thread, ring new";
pub(crate) const FIRST_REUSED: &str = "first call of a thread, ring reused";

#[monitor(skip_all, no_result)]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[monitor]
#[inline(never)]
fn number_captured(number: u64) -> u64 {
    black_box(number) + 1
}

#[monitor(no_result)]
#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    black_box(id) + black_box(name).len() as u64
}

#[monitor(skip_all)]
#[inline(never)]
fn refuses(number: u64) -> Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[monitor(skip_all, no_result)]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}

#[monitor(skip_all, no_result)]
#[inline(never)]
fn nested(depth: u32) -> u32 {
    if depth > 1 { black_box(nested(black_box(depth - 1))) + 1 } else { black_box(depth) }
}

fn bare(name: &'static str) -> Case {
    case!(name, plain::number(black_box(1)), number(black_box(1)))
}

/// Everything that was recorded is in the store.
fn settle() {
    let _ = monitored::flush(Duration::from_secs(10));
}

/// No call is recorded.
pub(crate) fn unrecorded(options: &Options, name: &'static str) -> Figures {
    let calls = if options.short { 1_000 } else { 50_000 };
    let bursts = Bursts { threads: 1, repeats: options.amount(40, 2), calls, settle: &|| () };
    bursts.measure(&with_floors(&[bare(name)]))
}

/// No call is recorded, and there have been so many that the recorder has ceased to time them.
pub(crate) fn counted(options: &Options) -> Figures {
    let start = Instant::now();
    while start.elapsed() < NOTICED {
        (0..1_000).for_each(|_| _ = number(black_box(1)));
    }
    unrecorded(options, COUNTED)
}

/// The recorder looks once a second.
const NOTICED: Duration = Duration::from_millis(1500);

/// Every call is recorded; the collector catches up between bursts.
pub(crate) fn recording(options: &Options) -> Figures {
    let cases = with_floors(&[
        bare(RECORDED),
        case!(VALUES, plain::values(black_box(ID), black_box(NAME)), values(black_box(ID), black_box(NAME))),
        case!(DEFAULT, plain::number(black_box(1)), number_captured(black_box(1))),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, plain::finish(plain::ready(black_box(1))), plain::finish(ready(black_box(1)))),
        case!(NESTED, DEEP, plain::nested(black_box(DEEP)), nested(black_box(DEEP))),
    ]);
    in_bursts(options, 1).measure(&cases)
}

/// As `recording`, by several threads at once.
pub(crate) fn threads(options: &Options, threads: usize, name: &'static str) -> Figures {
    let bursts = in_bursts(options, threads);
    Bursts { repeats: 2 * bursts.repeats, ..bursts }.measure(&with_floors(&[bare(name)]))
}

/// In bursts that overrun any ring.
pub(crate) fn flat_out(options: &Options) -> Figures {
    let calls = if options.short { 1_000 } else { 500_000 };
    let bursts = Bursts { threads: 1, repeats: options.amount(5, 1), calls, settle: &settle };
    bursts.measure(&with_floors(&[bare(FLAT_OUT)]))
}

/// Microseconds of the first monitored call of threads that stay, so that each needs a ring of its own,
/// and of threads that end.
pub(crate) fn first_calls(options: &Options) -> Figures {
    number(1);
    let count = options.amount(10, 2);
    let (out, staying) = std::sync::mpsc::channel();
    for _ in 0..count {
        let out = out.clone();
        std::thread::spawn(move || {
            let _ = out.send(first_call());
            loop {
                std::thread::park();
            }
        });
    }
    let staying = staying.iter().take(count).collect::<Vec<_>>();
    let ending = (0..count).filter_map(|_| std::thread::spawn(first_call).join().ok()).collect::<Vec<_>>();
    let median = |times: &[f64]| Spread::of(times).map_or(f64::NAN, |spread| spread.median);
    [(FIRST_NEW.to_owned(), median(&staying)), (FIRST_REUSED.to_owned(), median(&ending))].into()
}

fn first_call() -> f64 {
    let start = Instant::now();
    black_box(number(black_box(1)));
    start.elapsed().as_secs_f64() * 1e6
}

/// A few hundred kilobytes of records at most, far from what makes a ring's owner look up.
fn in_bursts(options: &Options, threads: usize) -> Bursts<'static> {
    Bursts { threads, repeats: options.amount(40, 2), calls: 1_000, settle: &settle }
}

fn with_floors(cases: &[Case]) -> Vec<Case> {
    floor::cases().iter().chain(cases).copied().collect()
}
