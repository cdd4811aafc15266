//! A program for tests to watch. Each run plays one scenario with a known number of calls and failures and prints its
//! own result; a test gives it a store and reads that afterwards.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program, not a library")]
#![allow(clippy::disallowed_methods, reason = "an ordinary user's program: threads, time and files")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use monitored::{Context, Level, monitor};

mod allocator;
mod control;
mod counter;
mod coroutines;
mod hostile;
mod placed;
mod panics;
mod children;
mod ways;
mod descriptors;
mod forest;
mod hot;
mod layers;
mod loads;
mod orders;
mod paced;
mod phases;
mod waiting;
mod dying;
mod exits;
mod twins;
mod trees;

/// The longest time for a flush or a shutdown, on the busiest machine and disk.
const IN_TIME: Duration = Duration::from_secs(60);

#[expect(clippy::too_many_lines, reason = "a line for each scenario")]
fn main() {
    allocator::refuse_allocations();
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let number = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(100_u64);
    match scenario.as_str() {
        "outcomes" => orders::outcomes(number),
        "return" => println!("{}", orders::make_calls(number)),
        "exit" => {
            println!("{}", orders::make_calls(number));
            std::process::exit(7);
        }
        "threads" => threads(number),
        "short-threads" => short_threads(number),
        "pace" => pace(number),
        "paced" => paced::run(number),
        "steady" => steady(),
        "flood" => flood(until_elapsed(number)),
        "flood-until-stopped" => flood(until_stdin_ends()),
        "outage" => outage(),
        "tree" => tree(number),
        "crowds" => crowds(number),
        "list-items" => println!("{}", trees::list_items(number)),
        "poll-for-ever" => trees::poll_for_ever(counter::map_file(&arguments.next().unwrap_or_default())),
        "poll-and-exit" => trees::poll_and_exit(number),
        "fail" => trees::fail(number),
        "layers" => layers::run(number),
        "hot" => hot::hot_and_rare(until_elapsed(number)),
        "hot-until-stopped" => hot::hot_and_rare(until_stdin_ends()),
        "burst" => hot::burst(number),
        "forest-until-stopped" => forest::grow(until_stdin_ends()),
        "bad-minute" => hot::bad_minute(number),
        "context" => context(),
        "destructor" => destructor(),
        "after-shutdown" => after_shutdown(),
        "late-shutdown" => late_shutdown(number),
        "recursion" => println!("{}", descend(number)),
        "stack" => stack(number),
        "fork" => fork(),
        "tasks" => waiting::tasks(number),
        "cancel" => waiting::cancel(),
        "spawned" => waiting::spawned(),
        "stealing" => waiting::stealing(),
        "destructors" => waiting::destructors(),
        "twins" => twins::run(number),
        "lose-descriptors" => descriptors::lose_descriptors(number),
        "lose-stderr" => descriptors::lose_stderr(number),
        "generations" => children::generations(&arguments.next().unwrap_or_default()),
        "prefork" => children::prefork(number),
        "fork-at-start" => children::fork_at_start(&arguments.next().unwrap_or_default()),
        "hook-waits" => panics::hook_waits_for_first_call(),
        "hook-flushes" => panics::hook_flushes(),
        "hook-starts" => panics::hook_starts_and_exits(),
        "nested-panics" => panics::nested(),
        "pinned" => placed::pinned(),
        "calling-subscriber" => placed::calling_subscriber(number),
        "signals-at-start" => placed::signals_at_start(),
        "fill-half" => fill_half(number),
        "small-stacks" => small_stacks(number),
        "children" => ways::children(number),
        "leaves" => println!("{}", children::call(number)),
        "plugins" => ways::plugins(number),
        "abrupt-children" => children::abrupt_children(number),
        "become-another" => placed::become_another(number),
        "flush" => flush(number),
        "subscribe" => control::subscribe(number),
        "rates" => control::rates(number),
        "breaker" => control::breaker(),
        "alerts" => control::alerts(),
        "fail-slowly" => control::fail_slowly(),
        "init" => control::init(),
        "idle" => {
            leaf(1);
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        }
        "called" => {
            leaf(1);
            let _ = std::thread::spawn(|| leaf(2)).join();
            println!("called");
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        }
        "on-call" => on_call(),
        "service" => service(until_elapsed(number)),
        "service-until-stopped" => service(until_stdin_ends()),
        "fail-until-stopped" => loads::fail_until_stopped(),
        "coroutines" => coroutines::take_turns(number),
        "load" => loads::run(&arguments.next().unwrap_or_default(), number),
        "phases" => phases::run(number),
        "hostile" => hostile::values(),
        "late" => hostile::exit_handlers(),
        "allocator" => allocator::allocator(number),
        "signals" => hostile::signals(number),
        "ends" => hostile::end_process(number, &arguments.next().unwrap_or_default()),
        "hook" => orders::hook(),
        "acknowledge" => acknowledge(),
        "failures" => failures(number),
        "numbered" => dying::numbered(number),
        "abort" => dying::abort(number),
        "abort-hot" => dying::abort_hot(number),
        "fail-held" => dying::fail_held(),
        "fold-failures" => dying::fold_failures(&arguments.next().unwrap_or_default(), number),
        "_exit" => dying::exit_at_once(number),
        "exec" => dying::exec(number),
        "stuck" => dying::stuck(),
        "panic" => dying::panic(number),
        "caught" => dying::caught(number),
        "uncaught" => dying::uncaught(number),
        "uncaught-outside" => dying::uncaught_outside(number),
        "thread-panics" => dying::thread_panics(number),
        "thread-panics-joined" => dying::thread_panics_joined(number),
        "panics-twice" => dying::panics_twice(number),
        "exit-in-call" => dying::exit_in_call(number),
        "exits" => exits::exit(&arguments.next().unwrap_or_default(), number),
        "namesakes" => dying::namesakes(),
        "stuck-tasks" => waiting::stuck_tasks(),
        other => {
            eprintln!("no such scenario: {other}");
            std::process::exit(2);
        }
    }
}

#[monitor]
fn leaf(number: u64) -> u64 {
    black_box(number) + 1
}

#[monitor]
fn branch(number: u64) -> u64 {
    leaf(number) + leaf(number + 1)
}

#[monitor]
fn root(number: u64) -> u64 {
    branch(number) + 1
}

/// Makes this many call trees of depth three.
fn tree(number: u64) {
    println!("{}", (0..number).map(root).sum::<u64>());
}

#[monitor]
fn crowd(number: u64) -> u64 {
    (0..CROWD).map(|at| leaf(number + at)).sum()
}

/// The number of leaves of a crowd: more than have a row each.
const CROWD: u64 = 70;

/// Makes this many crowds, whose last leaves share a row.
fn crowds(number: u64) {
    println!("{}", (0..number).map(crowd).sum::<u64>());
}

/// Runs this many threads at once, each with a hundred calls.
fn threads(number: u64) {
    let threads: Vec<_> =
        (0..number).map(|_| std::thread::spawn(|| (0..100).map(leaf).sum::<u64>())).collect();
    println!("{}", threads.into_iter().filter_map(|thread| thread.join().ok()).sum::<u64>());
}

/// Runs this many threads one after the other, each with three calls.
fn short_threads(number: u64) {
    let mut sum = 0;
    for at in 0..number {
        sum +=
            std::thread::spawn(move || (0..3).map(|call| leaf(at + call)).sum::<u64>()).join().unwrap_or(0);
    }
    println!("{sum}");
}

/// Makes a call a millisecond and prints its number, until this many are made or the process is killed.
fn pace(number: u64) {
    for at in 0..number {
        leaf(at);
        println!("{at}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes a call a millisecond and prints its number, until standard input ends.
fn steady() {
    let mut is_over = until_stdin_ends();
    let mut made = 0;
    while !is_over() {
        leaf(made);
        println!("{made}");
        made += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes a call for each line of standard input, and prints its number.
fn on_call() {
    leaf(0);
    for (at, line) in std::io::stdin().lines().enumerate() {
        if line.is_ok() {
            leaf(at as u64 + 1);
            println!("{at}");
        }
    }
}

/// Returns a question that is answered by true once standard input has ended: the program goes on until its test has
/// seen enough, however long that takes.
fn until_stdin_ends() -> impl FnMut() -> bool + Send + Clone {
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let has_ended = std::sync::Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        has_ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    move || is_over.load(std::sync::atomic::Ordering::Relaxed)
}

/// Returns a question that is answered by true once this many milliseconds have passed.
fn until_elapsed(milliseconds: u64) -> impl FnMut() -> bool + Send + Clone {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    move || Instant::now() >= until
}

/// Calls `orders::check` as fast as possible on two threads until `is_over` returns true, and prints how many calls
/// were made and how many failed. One call in a thousand fails.
fn flood(is_over: impl FnMut() -> bool + Send + Clone + 'static) {
    report(start_flood(is_over)());
}

/// Starts the threads of a flood. Returns a function that waits for their end and returns how many calls they have
/// made and how many of them failed.
fn start_flood(is_over: impl FnMut() -> bool + Send + Clone + 'static) -> impl FnOnce() -> (u64, u64) {
    let worker = |mut is_over: Box<dyn FnMut() -> bool + Send>| {
        let (mut calls, mut failed) = (0_u64, 0_u64);
        while !is_over() {
            for at in 0..1000 {
                failed += u64::from(orders::check(at).is_err());
                calls += 1;
            }
        }
        (calls, failed)
    };
    let threads =
        [is_over.clone(), is_over].map(|is_over| std::thread::spawn(move || worker(Box::new(is_over))));
    move || {
        let made = threads.into_iter().filter_map(|thread| thread.join().ok());
        made.fold((0, 0), |(calls, failed), made| (calls + made.0, failed + made.1))
    }
}

/// Makes the calls of a flood in an outage of the store and says on stdout when the recorder has come to its last
/// level, and, once standard input has ended, when it has taken all calls into its memory.
fn outage() {
    // This thread gets its ring before memory is short.
    leaf(0);
    let end_flood = start_flood(until_stdin_ends());
    wait_until(|| monitored::health().level == Level::Minimal);
    println!("{}", monitored::health().level);
    let (calls, failed) = end_flood();
    leaf(1);
    wait_until(|| {
        let health = monitored::health();
        let without_record =
            health.dropped.ring_full + health.dropped.no_ring + health.dropped.passed + health.folded_errors;
        health.recorded + without_record >= calls + 2
    });
    println!("drained");
    report((calls, failed));
}

/// Waits until a condition holds, a minute at most.
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + IN_TIME;
    while !is_so() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Prints how many calls were made, how many of them failed, what the recorder says of them, and the process's
/// memory.
fn report((calls, failed): (u64, u64)) {
    let flushed = monitored::flush(IN_TIME).is_ok();
    let health = monitored::health();
    println!(
        "{calls} {failed} {flushed} {} {} {}",
        health.dropped.total(),
        health.folded_errors,
        health.queue_bytes_max
    );
    println!("{}", std::fs::read_to_string("/proc/self/status").unwrap_or_default());
}

/// Makes a call on another thread, with and without its parent's context.
fn context() {
    #[monitor]
    fn outer() -> u64 {
        let context = Context::current();
        let with = std::thread::spawn(move || context.scope(|| leaf(1))).join().unwrap_or(0);
        let without = std::thread::spawn(|| branch(2)).join().unwrap_or(0);
        with + without
    }
    println!("{}", outer());
}

struct CallsWhenDropped;

impl Drop for CallsWhenDropped {
    fn drop(&mut self) {
        leaf(1);
    }
}

/// Makes a call in the destructor of a thread-local that is dropped before or after the recorder's own.
fn destructor() {
    thread_local!(static LATE: CallsWhenDropped = const { CallsWhenDropped });
    let work = |calls_first: bool| {
        if calls_first {
            leaf(0);
        }
        LATE.with(|_| {});
        leaf(0);
    };
    let threads = [true, false].map(|first| std::thread::spawn(move || work(first)));
    println!("{}", threads.into_iter().filter_map(|thread| thread.join().ok()).count());
}

/// Leaves the recorder no time to write, and ends once the recorder's thread has ended.
fn late_shutdown(number: u64) {
    println!("{}", orders::make_calls(number));
    let in_time = monitored::shutdown(Duration::from_millis(50)).is_ok();
    while std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{in_time}");
}

fn after_shutdown() {
    leaf(1);
    let first = monitored::shutdown(IN_TIME);
    println!("{} {:?} {}", leaf(2), first, monitored::health().level);
    let again = monitored::shutdown(IN_TIME);
    println!("{:?} {:?}", monitored::flush(IN_TIME), again);
}

/// Makes calls and flushes until it is killed. Prints after each flush how many calls are committed.
fn acknowledge() {
    let mut made = 0;
    loop {
        orders::make_calls(50);
        made += 50;
        if monitored::flush(IN_TIME).is_ok() {
            println!("{made}");
        }
    }
}

/// Makes failing calls as fast as possible on two threads for this many milliseconds, and prints how many.
fn failures(milliseconds: u64) {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    let worker = move || {
        let mut made = 0_u64;
        while Instant::now() < until {
            made += u64::from(orders::check(500).is_err());
        }
        made
    };
    let threads = [std::thread::spawn(worker), std::thread::spawn(worker)];
    let made: u64 = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
    println!("made {made}");
    println!("flushed {}", u8::from(monitored::flush(IN_TIME).is_ok()));
    println!("folded {}", monitored::health().folded_errors);
    println!("{}", std::fs::read_to_string("/proc/self/status").unwrap_or_default());
}

/// Makes calls of all kinds in rounds until it is over, at a pace at which every call gets a row. Prints a line when
/// the store has the first rounds, and at the end the number of rounds.
fn service(mut is_over: impl FnMut() -> bool) {
    static ORDERS: monitored_guard::Guard = monitored_guard::Guard::new("orders");

    std::panic::set_hook(Box::new(|_| {}));
    let _ = monitored_log::init();
    let _ = monitored_metrics::install();
    let mut rounds = 0;
    while !is_over() {
        log::warn!("round {rounds} begins");
        metrics::counter!("rounds", "program" => "victim").increment(1);
        let made = ORDERS.call(|| {
            orders::round(rounds);
            Ok::<_, String>(rounds)
        });
        assert_eq!(made.into_result().ok(), Some(rounds));
        root(rounds);
        waiting::round(rounds);
        rounds += 1;
        if rounds == 3 {
            // Makes an event for readers to find: nothing else goes wrong here.
            let _ = monitored::set_sample_rate("victim::nothing", 0.5);
            println!("{:?}", monitored::flush(IN_TIME));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("{rounds}");
}

#[monitor(skip_all, no_result)]
fn descend(depth: u64) -> u64 {
    if depth == 0 { 0 } else { descend(black_box(depth - 1)) + 1 }
}

/// Calls itself like `descend` and returns the address of the innermost frame.
#[monitor(skip_all, no_result)]
#[inline(never)]
fn innermost_frame(depth: u64) -> usize {
    if depth == 0 { (&raw const depth).addr() } else { black_box(innermost_frame(black_box(depth - 1))) }
}

/// Does the same as `innermost_frame` without the attribute.
#[inline(never)]
fn plain_innermost_frame(depth: u64) -> usize {
    if depth == 0 {
        (&raw const depth).addr()
    } else {
        black_box(plain_innermost_frame(black_box(depth - 1)))
    }
}

/// Prints how many bytes of stack a monitored call takes beyond a plain one.
fn stack(depth: u64) {
    let (with, without) = (innermost_frame(depth), plain_innermost_frame(depth));
    let more = without.abs_diff(with) as u64;
    println!("{}", if with < without { more / depth } else { 0 });
}

/// Forks; parent and child both record.
fn fork() {
    leaf(1);
    // The child goes on with this program instead of calling exec.
    match system::fork() {
        Some(0) => {
            for number in 0..50 {
                branch(number);
            }
            std::process::exit(0);
        }
        Some(child) => {
            for number in 0..30 {
                leaf(number);
            }
            println!("{}", system::wait(child));
        }
        None => println!("no fork"),
    }
}

/// System calls that the standard library does not offer.
mod system {
    #![allow(unsafe_code, reason = "fork and waitpid are not in the standard library")]

    pub(super) fn fork() -> Option<i32> {
        // SAFETY: the child calls functions of this program only, and exits.
        let child = unsafe { libc::fork() };
        (child >= 0).then_some(child)
    }

    pub(super) fn exit_at_once(code: i32) -> ! {
        // SAFETY: the call takes a number and does not return.
        unsafe { libc::_exit(code) }
    }

    pub(super) fn exit_by_c_library(code: i32) -> ! {
        // SAFETY: the call takes a number and does not return.
        unsafe { libc::exit(code) }
    }

    pub(super) fn exit_quickly(code: i32) -> ! {
        unsafe extern "C" {
            fn quick_exit(code: libc::c_int) -> !;
        }
        // SAFETY: the call takes a number and does not return.
        unsafe { quick_exit(code) }
    }

    /// Returns the bytes that may still be mapped.
    pub(super) fn address_space_left() -> usize {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is valid for writing.
        unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm.split_whitespace().next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
        usize::try_from(limit.rlim_cur.min(1 << 40).saturating_sub(pages * 4096)).unwrap_or(0)
    }

    pub(super) fn wait(child: i32) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        status
    }
}

/// Makes this many calls, flushes, and makes one more call. The store has the former after the flush.
fn flush(number: u64) {
    println!("{}", orders::make_calls(number));
    println!("{:?}", monitored::flush(IN_TIME));
    // This call is left to the end of the process.
    orders::make_calls(1);
}

/// Makes this many calls, and then takes nearly half of the address space that was left before them.
fn fill_half(number: u64) {
    let left = system::address_space_left();
    println!("{}", orders::make_calls(number));
    let mut taken: Vec<Vec<u8>> = Vec::new();
    for _ in 0..40 {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(left / 100).is_err() {
            println!("no more than {}", taken.len());
            break;
        }
        taken.push(piece);
    }
    println!("{}", taken.len());
}

/// Makes the first call of the program, and more calls, on threads whose stacks have this many KiB.
fn small_stacks(kibibytes: u64) {
    let bytes = usize::try_from(kibibytes).unwrap_or(0) * 1024;
    let make = |at: u64| std::thread::Builder::new().stack_size(bytes).spawn(move || orders::make_calls(at));
    let sums = (1..=8).map(|at| make(at).ok().and_then(|thread| thread.join().ok()).unwrap_or_default());
    println!("{}", sums.sum::<u64>());
}
