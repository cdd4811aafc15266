//! Scenarios that do not end in good order: they are killed, or end without running any handler.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use monitored::monitor;

#[monitor]
fn step(thread: u64, number: u64) -> u64 {
    std::hint::black_box(thread + number)
}

#[monitor]
fn fails(number: u64) -> Result<(), String> {
    Err(format!("number {number}"))
}

/// Makes numbered calls on two threads until it is killed. After each call a thread writes its number of ended calls
/// into the file that `VICTIM_PROGRESS` names, where a test reads it.
pub(crate) fn numbered(pause_every: u64) {
    let path = std::env::var("VICTIM_PROGRESS").expect("the variable names a file");
    let file = File::options().write(true).open(path).expect("the file is there");
    let file = &file;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for number in 0.. {
                    step(thread, number);
                    if number % 10 == 9 {
                        let _ = fails(number);
                    }
                    let _ = file.write_all_at(&(number + 1).to_le_bytes(), thread * 8);
                    if number % pause_every == pause_every - 1 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    });
}

fn make_calls(number: u64) {
    for at in 0..number {
        step(0, at);
    }
}

pub(crate) fn abort(number: u64) {
    make_calls(number);
    std::process::abort();
}

#[monitor]
fn hot(number: u64) -> Result<u64, String> {
    if number % 100_000 == 99_999 {
        Err(format!("number {number}"))
    } else {
        Ok(std::hint::black_box(number))
    }
}

/// Calls one function flat out for so many milliseconds, which is long enough for it to be counted only, and aborts.
/// Prints the number of calls.
pub(crate) fn abort_hot(ms: u64) {
    let end = std::time::Instant::now() + Duration::from_millis(ms);
    let mut calls = 0;
    while std::time::Instant::now() < end {
        for _ in 0..1000 {
            let _ = hot(calls);
            calls += 1;
        }
    }
    println!("{calls}");
    std::process::abort();
}

/// Fails flat out while nothing can be written, until it is killed. Writes the number of ended calls into the file that
/// `VICTIM_PROGRESS` names after each.
pub(crate) fn fail_held() {
    let path = std::env::var("VICTIM_PROGRESS").expect("the variable names a file");
    let file = File::options().write(true).open(path).expect("the file is there");
    step(0, 0);
    monitored::breaker().force_open("a test");
    for number in 0_u64.. {
        let _ = fails(number);
        let _ = file.write_all_at(&(number + 1).to_le_bytes(), 0);
    }
}

/// Fails while nothing can be written, until this many failures found no room for a row, writes what waits, and fails so
/// again. Prints the number of failures, and goes on until it is killed.
pub(crate) fn fold_failures(way: &str, number: u64) {
    // A line for each panic would fill the pipe that a test reads last.
    std::panic::set_hook(Box::new(|_| ()));
    step(0, 0);
    let fail_until_folded = || {
        monitored::breaker().force_open("a test");
        let enough = monitored::health().folded_errors + number;
        let mut made = 0;
        while monitored::health().folded_errors < enough {
            made += fail_in_way(way);
        }
        made
    };
    let before = fail_until_folded();
    let written = monitored::health().rows_written;
    monitored::breaker().force_close("a test");
    super::wait_until(|| monitored::health().rows_written > written);
    println!("{}", before + fail_until_folded());
    wait_to_be_killed();
}

/// Makes some calls that fail in this way, with more kinds than one. Returns how many.
fn fail_in_way(way: &str) -> u64 {
    const TIMES: u64 = 100;
    let fail = || {
        for at in 0..TIMES {
            match way {
                "panic" => drop(std::panic::catch_unwind(|| dies(1 + at % 3))),
                "cancel" => super::waiting::cancel_one(),
                _ if at % 2 == 0 => _ = fails(at),
                _ => _ = refuses(at),
            }
        }
        TIMES
    };
    if way != "threads" {
        return fail();
    }
    // More threads than rings are emptied for, so that failures go past full rings.
    std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| scope.spawn(|| (0..50).map(|_| fail()).sum::<u64>()));
        threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

#[monitor]
fn refuses(number: u64) -> Result<(), String> {
    Err(format!("the gate is closed after {number} cars"))
}

/// Ends without handlers, as a shell does after it has replaced its last command.
pub(crate) fn exit_at_once(number: u64) {
    make_calls(number);
    super::system::exit_at_once(3);
}

/// Becomes another program, which is not monitored.
pub(crate) fn exec(number: u64) {
    make_calls(number);
    println!("{}", std::process::Command::new("sleep").arg("60").exec());
}

#[monitor]
fn waits(level: u64) {
    if level > 0 {
        return waits(level - 1);
    }
    println!("waiting");
    std::thread::sleep(Duration::from_secs(600));
}

#[monitor(slow = "50ms")]
fn handles(number: u64) {
    waits(2);
    step(0, number);
}

/// Hangs in calls on a named thread and in suspended async calls.
pub(crate) fn stuck() {
    make_calls(3);
    let worker = std::thread::Builder::new().name("worker".to_owned()).spawn(|| handles(7));
    super::waiting::stuck();
    drop(worker.map(std::thread::JoinHandle::join));
}

/// Panics in a way that ends the process.
pub(crate) fn panic(number: u64) {
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    make_calls(number);
    dies(number);
}

#[monitor]
fn dies(number: u64) {
    assert!(number == 0, "the reactor is at {number} degrees");
}

/// Says that it is ready, and goes on until it is killed.
fn wait_to_be_killed() {
    println!("ready");
    std::thread::sleep(Duration::from_secs(600));
}

#[monitor]
fn survives(number: u64) {
    let caught = std::panic::catch_unwind(|| dies(number));
    step(0, u64::from(caught.is_err()));
    wait_to_be_killed();
}

/// Catches a panic, and goes on until it is killed.
pub(crate) fn caught(number: u64) {
    make_calls(number);
    survives(number);
}

/// Calls when it is dropped, as guards of transactions do.
struct CallsWhenDropped;

impl Drop for CallsWhenDropped {
    fn drop(&mut self) {
        step(9, 9);
    }
}

#[monitor]
fn unwinds(number: u64) {
    let _guard = CallsWhenDropped;
    dies(number);
}

/// Panics on the main thread, where nothing catches it.
pub(crate) fn uncaught(number: u64) {
    make_calls(number);
    unwinds(number);
}

/// Panics on a main thread that has made no monitored call.
pub(crate) fn uncaught_outside(number: u64) {
    let _ = std::thread::spawn(move || make_calls(number)).join();
    panic!("the pump is at {number} bar");
}

fn dying_thread(number: u64) -> std::thread::JoinHandle<()> {
    let thread = std::thread::Builder::new().name("pump".to_owned());
    thread.spawn(move || unwinds(number)).expect("there are threads")
}

/// Goes on after a thread of it has ended by a panic, until it is killed.
pub(crate) fn thread_panics(number: u64) {
    make_calls(number);
    let thread = dying_thread(number);
    while !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    make_calls(number);
    wait_to_be_killed();
}

/// Panics because a thread of it has ended by a panic.
pub(crate) fn thread_panics_joined(number: u64) {
    make_calls(number);
    dying_thread(number).join().expect("the pump works");
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("the valve is stuck as well");
    }
}

#[monitor]
fn dies_twice(number: u64) {
    let _guard = PanicsWhenDropped;
    dies(number);
}

/// Panics in a destructor while it unwinds, which aborts the process.
pub(crate) fn panics_twice(number: u64) {
    make_calls(number);
    dies_twice(number);
}

#[monitor]
fn leaves(status: u64) {
    std::process::exit(i32::try_from(status).unwrap_or(1));
}

/// Catches a panic, and exits in a call with the status of a program that panicked.
pub(crate) fn exit_in_call(number: u64) {
    let _ = std::panic::catch_unwind(|| dies(number));
    leaves(101);
}

#[monitor]
fn serves(customer: &str, number: u64) {
    std::hint::black_box(customer);
    waits(number);
}

#[monitor]
fn without_arguments() {
    wait_to_be_killed();
}

/// Hangs on two threads of one name and on the main thread.
pub(crate) fn namesakes() {
    for (customer, number) in [("ada", 1), ("grace", 2)] {
        let thread = std::thread::Builder::new().name("worker".to_owned());
        drop(thread.spawn(move || serves(customer, number)));
    }
    without_arguments();
}
