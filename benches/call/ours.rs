//! The functions of `plain` with `#[monitor]`, and the rounds that measure them. Each round belongs to one setup
//! of the recorder, which is one worker process.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use monitor_benches::{Bursts, Case, Figures, Options, case, floor, median};
use monitored::monitor;

use crate::os_clock;
use crate::plain::{self, DEEP, ID, NAME, Refused};

pub(crate) const DISABLED: &str = "disabled";
pub(crate) const COUNTED: &str = "unsampled, counted";
pub(crate) const TIMED: &str = "unsampled, timed";
pub(crate) const RECORDED: &str = "recorded";
pub(crate) const WITHOUT_COUNTER: &str = "recorded, on the system's clock";
pub(crate) const VALUES: &str = "recorded, (u64, &str) captured";
pub(crate) const DEFAULT: &str = "recorded, argument and result captured";
pub(crate) const ERROR: &str = "recorded, Err with a message";
pub(crate) const ASYNC: &str = "recorded, ready async function";
pub(crate) const NESTED: &str = "recorded, nested 10 deep";
pub(crate) const THREADS_2: &str = "recorded, 2 threads";
pub(crate) const THREADS_8: &str = "recorded, 8 threads";
pub(crate) const FLAT_OUT: &str = "recorded, flat out";
pub(crate) const FIRST_NEW: &str = "first call of a thread, new ring";
pub(crate) const FIRST_REUSED: &str = "first call of a thread, reused ring";

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

/// The case of the cheapest recorded function: no arguments and no result are captured.
fn number_case(name: &'static str) -> Case {
    case!(name, plain::number(black_box(1)), number(black_box(1)))
}

/// Waits until everything that was recorded is in the store.
fn flush() {
    let _ = monitored::flush(Duration::from_secs(10));
}

/// Measures a function of which no call is recorded.
pub(crate) fn measure_unrecorded(options: &Options, name: &'static str) -> Figures {
    let calls = if options.short { 1_000 } else { 50_000 };
    let bursts = Bursts { threads: 1, repeats: options.amount(40, 2), calls, settle: &|| () };
    bursts.measure(&with_floors(&[number_case(name)]))
}

/// Measures a function of which no call is recorded, after so many calls that the recorder no longer times them.
pub(crate) fn measure_counted(options: &Options) -> Figures {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        (0..1_000).for_each(|_| _ = number(black_box(1)));
    }
    measure_unrecorded(options, COUNTED)
}

/// Longer than the second after which the recorder looks at its functions again.
const WARM_UP: Duration = Duration::from_millis(1500);

/// Measures functions of which every call is recorded. The collector catches up between bursts.
pub(crate) fn measure_recorded(options: &Options) -> Figures {
    let cases = with_floors(&[
        number_case(RECORDED),
        case!(VALUES, plain::values(black_box(ID), black_box(NAME)), values(black_box(ID), black_box(NAME))),
        case!(DEFAULT, plain::number(black_box(1)), number_captured(black_box(1))),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, plain::finish(plain::ready(black_box(1))), plain::finish(ready(black_box(1)))),
        case!(NESTED, DEEP, plain::nested(black_box(DEEP)), nested(black_box(DEEP))),
    ]);
    recorded_bursts(options, 1).measure(&cases)
}

/// Measures a recorded call where the recorder cannot rely on the processor's counter. There are no figures where it cannot be
/// made to believe so.
#[expect(clippy::print_stderr, reason = "the reason for a missing row is told")]
pub(crate) fn measure_without_counter(options: &Options) -> Figures {
    static HIDDEN: LazyLock<bool> = LazyLock::new(|| {
        os_clock::hide_counter()
            .inspect_err(|error| eprintln!("{WITHOUT_COUNTER}: not measured: {error}"))
            .is_ok()
    });
    if !*HIDDEN {
        return Figures::new();
    }
    let cases = with_floors(&[os_clock::floor(), number_case(WITHOUT_COUNTER)]);
    recorded_bursts(options, 1).measure(&cases)
}

/// Measures recorded calls that several threads make at the same time.
pub(crate) fn measure_threads(options: &Options, threads: usize, name: &'static str) -> Figures {
    let bursts = recorded_bursts(options, threads);
    Bursts { repeats: 2 * bursts.repeats, ..bursts }.measure(&with_floors(&[number_case(name)]))
}

/// Measures recorded calls in bursts so long that they overrun any ring.
pub(crate) fn measure_flat_out(options: &Options) -> Figures {
    let calls = if options.short { 1_000 } else { 500_000 };
    let bursts = Bursts { threads: 1, repeats: options.amount(5, 1), calls, settle: &flush };
    bursts.measure(&with_floors(&[number_case(FLAT_OUT)]))
}

/// Measures the microseconds of a thread's first monitored call, for two kinds of threads: threads that stay,
/// each of which needs a new ring, and threads that end, whose ring the next one takes over.
pub(crate) fn measure_first_calls(options: &Options) -> Figures {
    number(1);
    let count = options.amount(10, 2);
    let (out, staying) = std::sync::mpsc::channel();
    for _ in 0..count {
        let out = out.clone();
        std::thread::spawn(move || {
            let _ = out.send(first_call_us());
            loop {
                std::thread::park();
            }
        });
    }
    let staying = staying.iter().take(count).collect::<Vec<_>>();
    let ending = (0..count).filter_map(|_| std::thread::spawn(first_call_us).join().ok()).collect::<Vec<_>>();
    [(FIRST_NEW.to_owned(), median(&staying)), (FIRST_REUSED.to_owned(), median(&ending))].into()
}

fn first_call_us() -> f64 {
    let start = Instant::now();
    black_box(number(black_box(1)));
    start.elapsed().as_secs_f64() * 1e6
}

/// Bursts of a few hundred kilobytes of records at most. The ring is then never so full that its owner does more
/// than write.
fn recorded_bursts(options: &Options, threads: usize) -> Bursts<'static> {
    Bursts { threads, repeats: options.amount(40, 2), calls: 1_000, settle: &flush }
}

fn with_floors(cases: &[Case]) -> Vec<Case> {
    floor::cases().iter().chain(cases).copied().collect()
}
