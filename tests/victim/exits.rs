//! Ends of the process within calls, each by another way.

use std::sync::mpsc;
use std::time::Duration;

use monitored::monitor;

use super::system;

#[monitor]
fn called(number: u64) -> u64 {
    std::hint::black_box(number)
}

#[monitor]
fn runs(way: &str, number: u64) {
    for at in 0..number {
        called(at);
    }
    leaves(way, 7);
}

#[monitor]
fn leaves(way: &str, code: i32) {
    match way {
        "process" => std::process::exit(code),
        "library" => system::exit_by_c_library(code),
        "quick" => system::exit_quickly(code),
        _ => system::exit_at_once(code),
    }
}

#[monitor]
fn waits(number: u64, ready: &mpsc::Sender<u64>) {
    called(number);
    let _ = ready.send(number);
    std::thread::sleep(Duration::from_secs(600));
}

#[monitor]
async fn awaits(number: u64) {
    called(number);
    std::future::pending::<()>().await;
}

/// Ends the process within calls of this many callees. A way of `threads` returns from `main` while as many threads are in
/// calls, and `tasks` exits while as many tasks wait.
pub(crate) fn exit(way: &str, number: u64) {
    match way {
        "threads" => {
            let (ready, readies) = mpsc::channel();
            for at in 0..number {
                let ready = ready.clone();
                std::thread::spawn(move || waits(at, &ready));
            }
            assert_eq!(readies.iter().take(usize::try_from(number).unwrap_or(0)).count() as u64, number);
        }
        "tasks" => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for at in 0..number {
                    tokio::spawn(awaits(at));
                }
                for _ in 0..number {
                    tokio::task::yield_now().await;
                }
                std::process::exit(7);
            });
        }
        way => runs(way, number),
    }
}
