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
