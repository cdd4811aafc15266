//! Loads under which the recorder's memory could grow. Each makes a known number of calls; the report says how many, and how
//! much memory the process had at its peak.

use std::fmt::Write as _;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};

use monitored::monitor;

#[monitor]
fn say(text: &str, number: u64) -> u64 {
    black_box(text.len() as u64 + number)
}

#[monitor]
fn fail(text: &str, number: u64) -> Result<u64, String> {
    Err(format!("{text} has no {number}"))
}

#[monitor(skip_all, no_result)]
fn panic_with(text: String) -> u64 {
    std::panic::panic_any(text)
}

/// The calls that were made: those that returned and those that failed.
#[derive(Debug, Default, Clone, Copy)]
struct Made {
    ok: u64,
    failed: u64,
}

impl std::iter::Sum for Made {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, made| Self { ok: sum.ok + made.ok, failed: sum.failed + made.failed })
    }
}

/// Makes the calls of a load, prints their numbers, and reports them with the memory.
pub(crate) fn run(load: &str, number: u64) {
    let made = match load {
        "hung-subscriber" => hung_subscriber(number),
        "long-panics" => long_panics(number),
        "failing-held" => failing_held(number),
        "threads-alive" => threads_alive(number),
        "threads-in-turn" => threads_in_turn(number),
        "tasks" => tasks(number),
        "many-functions" => many_functions(number),
        "folds" => folds(number),
        "until-recovered" => until_recovered(),
        other => panic!("no such load: {other}"),
    };
    println!("{} {}", made.ok, made.failed);
    report(made);
}

/// Makes calls with arguments on two threads, while a subscriber never comes back from its first records.
fn hung_subscriber(number: u64) -> Made {
    let subscription = monitored::subscribe(|_: &[monitored::Record]| {
        loop {
            std::thread::park();
        }
    });
    let text = "a text that a subscriber is handed as part of the arguments of each call".repeat(2);
    let made = in_threads(2, move || {
        for at in 0..number {
            say(&text, at);
        }
        Made { ok: number, failed: 0 }
    });
    drop(subscription);
    made
}

/// Panics on twenty threads with texts of ten megabytes.
fn long_panics(number: u64) -> Made {
    std::panic::set_hook(Box::new(|_| {}));
    // All texts are there at once, so that the program's own memory is the same each time.
    let all_made = Arc::new(Barrier::new(20));
    in_threads(20, move || {
        for _ in 0..number {
            let text = "x".repeat(10 << 20);
            all_made.wait();
            let _ = catch_unwind(AssertUnwindSafe(|| panic_with(text)));
        }
        Made { ok: 0, failed: number }
    })
}

/// Fails as fast as possible on two threads while a person holds the breaker, so that nothing is written.
fn failing_held(number: u64) -> Made {
    say("the first", 1);
    monitored::breaker().force_open("the disk is being replaced");
    let made = in_threads(2, move || {
        for at in 0..number {
            let _ = fail("the shelf of the warehouse", at);
        }
        Made { ok: 0, failed: number }
    });
    Made { ok: 1, ..made }
}

/// Fails as fast as possible on two threads while a person holds the breaker. Says so on stdout once the memory for what waits
/// is nearly used up, and goes on until it is killed.
pub(crate) fn fail_until_stopped() {
    say("the first", 1);
    monitored::breaker().force_open("the disk is being replaced");
    let fail = || {
        for at in 0.. {
            let _ = fail("the shelf of the warehouse", at);
        }
    };
    let _threads = [std::thread::spawn(fail), std::thread::spawn(fail)];
    super::wait_until(|| monitored::health().level == monitored::Level::Minimal);
    println!("full");
    loop {
        std::thread::park();
    }
}

/// Makes a call, and waits until the recorder has recovered what other processes have left.
fn until_recovered() -> Made {
    say("the first", 1);
    let rings = std::env::var_os("MONITOR_RINGS").unwrap_or_default();
    if std::env::var_os("MONITOR").is_none_or(|value| value != "off") {
        // A debug build on a busy machine takes minutes for the failures of a large file.
        for _ in 0..5 {
            super::wait_until(|| std::fs::read_dir(&rings).is_ok_and(|files| files.count() <= 1));
        }
    }
    Made { ok: 1, failed: 0 }
}

/// Has this many threads alive at once, each of which has made some calls.
fn threads_alive(number: u64) -> Made {
    let all_made = Arc::new(Barrier::new(usize::try_from(number).unwrap_or(usize::MAX)));
    in_threads(number, move || {
        let made = some_calls();
        all_made.wait();
        made
    })
}

/// Has this many threads one after the other, eight at a time.
fn threads_in_turn(number: u64) -> Made {
    (0..number / 8).map(|_| in_threads(8, some_calls)).sum()
}

fn some_calls() -> Made {
    for at in 0..10 {
        say("a customer", at);
    }
    let _ = fail("the cart", 1);
    Made { ok: 10, failed: 1 }
}

#[monitor]
async fn wait_with(text: String, barrier: Arc<tokio::sync::Barrier>) -> usize {
    barrier.wait().await;
    text.len()
}

/// Has this many async calls wait at once, each with an argument of two kilobytes.
fn tasks(number: u64) -> Made {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let barrier = Arc::new(tokio::sync::Barrier::new(usize::try_from(number).unwrap_or(usize::MAX)));
    runtime.block_on(async {
        let text = "y".repeat(2000);
        let task = |_| tokio::spawn(wait_with(text.clone(), Arc::clone(&barrier)));
        let tasks: Vec<_> = (0..number).map(task).collect();
        for task in tasks {
            let _ = task.await;
        }
    });
    Made { ok: number, failed: 0 }
}

#[monitor(skip_all)]
async fn caller(number: u64, barrier: Arc<tokio::sync::Barrier>) -> u64 {
    let text = "SELECT name, price FROM item WHERE id = ? ".repeat(11);
    for at in 0..FOLDED {
        say(&text, at + number);
    }
    barrier.wait().await;
    number
}

/// The calls that each caller makes of one function.
const FOLDED: u64 = 80;

/// Has this many callers under way at once, each of which has made so many calls of one function that they share a row.
fn folds(number: u64) -> Made {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let barrier = Arc::new(tokio::sync::Barrier::new(usize::try_from(number).unwrap_or(usize::MAX)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..number).map(|at| tokio::spawn(caller(at, Arc::clone(&barrier)))).collect();
        for task in tasks {
            let _ = task.await;
        }
    });
    Made { ok: number * (1 + FOLDED), failed: 0 }
}

/// Makes a list of functions that call a given number of functions.
macro_rules! functions {
    ($($tens:ident)*) => { functions! { @ $($tens [a b c d e f g h i j k l m n o p q r s t])* } };
    (@ $($tens:ident [$($ones:ident)*])*) => { $(functions! { @@ $tens $($ones)* })* };
    (@@ $tens:ident $($ones:ident)*) => {
        mod $tens {
            $(#[monitored::monitor] pub(super) fn $ones(number: u64) -> u64 { std::hint::black_box(number) })*
            pub(super) const ALL: super::Functions = &[$($ones),*];
        }
    };
}

functions! { f00 f01 f02 f03 f04 f05 f06 f07 f08 f09 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 }

/// The functions of a module.
type Functions = &'static [fn(u64) -> u64];

/// The functions in modules of twenty.
const FUNCTIONS: [Functions; 20] = [
    f00::ALL,
    f01::ALL,
    f02::ALL,
    f03::ALL,
    f04::ALL,
    f05::ALL,
    f06::ALL,
    f07::ALL,
    f08::ALL,
    f09::ALL,
    f10::ALL,
    f11::ALL,
    f12::ALL,
    f13::ALL,
    f14::ALL,
    f15::ALL,
    f16::ALL,
    f17::ALL,
    f18::ALL,
    f19::ALL,
];

/// Calls four hundred functions on this many threads that live at once, at a rate at which most calls leave no record.
fn many_functions(number: u64) -> Made {
    let _ = monitored::set_sample_rate("*", 0.01);
    let all_made = Arc::new(Barrier::new(usize::try_from(number).unwrap_or(usize::MAX)));
    in_threads(number, move || {
        let mut ok = 0;
        for function in FUNCTIONS.iter().copied().flatten().cycle().take(8000) {
            ok += function(1);
        }
        all_made.wait();
        Made { ok, failed: 0 }
    })
}

/// Uses this much of the calling thread's stack, so that the stack takes the same memory with and without a recorder.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "a large part of the stack is what is to be touched")]
fn touch_stack() {
    let mut stack = [1_u8; 40 << 10];
    black_box(&mut stack);
}

/// Runs a piece of work on this many threads at once. Their stacks are small, so that thousands have room.
fn in_threads(number: u64, work: impl Fn() -> Made + Send + Sync + Clone + 'static) -> Made {
    let spawn = |_| {
        let work = work.clone();
        let body = move || {
            touch_stack();
            work()
        };
        std::thread::Builder::new().stack_size(96 << 10).spawn(body).expect("a thread")
    };
    let threads: Vec<_> = (0..number).map(spawn).collect();
    threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
}

/// The time for which a flush is waited for that cannot come to its end.
const REFUSED_FOR: std::time::Duration = std::time::Duration::from_millis(100);

/// Writes lines of a name and a number.
fn report(made: Made) {
    let Some(path) = std::env::var_os("CHAOS_REPORT") else { return };
    let peak = super::phases::peak_kb();
    // A recorder that gets no memory any more cannot write what waits.
    let in_time = if super::allocator::refuses_for_good() { REFUSED_FOR } else { super::IN_TIME };
    let flushed = monitored::flush(in_time).is_ok();
    let health = monitored::health();
    let drops = health.dropped;
    let numbers = [
        ("ok", made.ok),
        ("failed", made.failed),
        ("peak_kb", peak.max(super::phases::peak_kb())),
        ("flushed", u64::from(flushed)),
        ("ring_full", drops.ring_full),
        ("backlog", drops.backlog),
        ("no_ring", drops.no_ring),
        ("store", drops.store),
        ("passed", drops.passed),
        ("folded", health.folded_errors),
        ("sampled_out", health.sampled_out),
        ("rows_written", health.rows_written),
        ("recorded", health.recorded),
        ("allocations_refused", super::allocator::refused()),
        ("refused", health.memory.iter().map(|part| part.refused).sum()),
    ];
    let mut text = String::new();
    for (name, number) in numbers {
        let _ = writeln!(text, "{name} {number}");
    }
    for part in &health.memory {
        let _ = writeln!(
            text,
            "part_{} {}\npart_refused_{} {}",
            part.part.as_str(),
            part.bytes,
            part.part.as_str(),
            part.refused
        );
    }
    let _ = std::fs::write(path, text);
}
