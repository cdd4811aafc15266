//! Calls at a steady rate, and how long a commit takes meanwhile: what a reader of the store may slow down.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use monitored::monitor;

use crate::IN_TIME;

/// Calls a second, of both callers together.
const RATE: u64 = 50_000;
/// The time between two commits that are waited for.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

#[monitor]
fn weigh(parcel: u64) -> u64 {
    black_box(parcel) ^ 1
}

/// Makes calls for so many seconds. It prints the calls, the rows that were lost, and the times of commits in µs.
pub(crate) fn run(seconds: u64) {
    let span = Duration::from_secs(seconds);
    weigh(0);
    monitored::flush(IN_TIME).expect("the store opens");
    let stop = AtomicBool::new(false);
    let (made, commits) = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2).map(|_| scope.spawn(|| call_until(&stop))).collect();
        let commits = time_commits(span);
        stop.store(true, Relaxed);
        (callers.into_iter().map(|caller| caller.join().expect("a caller ends")).sum::<u64>(), commits)
    });
    monitored::flush(IN_TIME).expect("everything is written");
    let commits: Vec<String> = commits.iter().map(|commit| commit.as_micros().to_string()).collect();
    println!("{} {} {}", made + 1, monitored::health().dropped.total(), commits.join(","));
}

/// Makes half of the calls of the rate. Calls that are late are made at once. Returns their number.
fn call_until(stop: &AtomicBool) -> u64 {
    let (start, mut made) = (Instant::now(), 0);
    while !stop.load(Relaxed) {
        let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(0);
        while made < elapsed * (RATE / 2) / 1_000_000 {
            made += 1;
            black_box(weigh(made));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    made
}

/// Asks for a commit again and again, and returns how long each took.
fn time_commits(span: Duration) -> Vec<Duration> {
    let (start, mut commits) = (Instant::now(), Vec::new());
    while start.elapsed() < span {
        let asked = Instant::now();
        monitored::flush(IN_TIME).expect("a commit ends");
        commits.push(asked.elapsed());
        std::thread::sleep(COMMIT_EVERY);
    }
    commits
}
