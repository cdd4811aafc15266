//! Forty small programs: twenty with one fault each, twenty that look like them and have none.
//!
//! `corpus list` prints their names, each with the kind of finding that is its fault, or `-`. `corpus NAME` runs one.
//! The test runs all of them and compares what `monitor findings` says of each.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

mod planted;
mod clean;

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "list" {
        for (name, kind, _) in planted::PROGRAMS {
            println!("{name} {kind}");
        }
        for (name, _) in clean::PROGRAMS {
            println!("{name} -");
        }
        return ExitCode::SUCCESS;
    }
    let planted = planted::PROGRAMS.iter().find(|program| program.0 == name).map(|program| program.2);
    let clean = clean::PROGRAMS.iter().find(|program| program.0 == name).map(|program| program.1);
    let Some(run) = planted.or(clean) else {
        eprintln!("there is no program `{name}`: `corpus list` prints their names");
        return ExitCode::from(2);
    };
    run();
    ExitCode::SUCCESS
}

/// Lets the thread wait.
fn wait(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Lets the task wait.
async fn rest(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Computes for this long.
fn compute(milliseconds: u64) -> u64 {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut sum = 1_u64;
    while Instant::now() < end {
        sum = std::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    sum
}

/// Runs a future to its end on a runtime of two threads.
fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime starts").block_on(future);
}
