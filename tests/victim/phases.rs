//! Work in phases, each begun by a line on standard input, so that a fault can be brought about and
//! lifted between them. The calls and failures of a phase are known, its result goes to stdout, and what
//! the work cost the program itself goes into a report beside it.

use std::fmt::Write as _;
use std::future::Future as _;
use std::hint::black_box;
use std::io::BufRead as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use monitored::monitor;

#[monitor]
fn price(item: u64) -> u64 {
    black_box(item) * 3 + 1
}

#[monitor]
fn reserve(item: u64, note: &str) -> Result<u64, String> {
    if item.is_multiple_of(10) { Err(format!("no stock for item {item}, {note}")) } else { Ok(item + 2) }
}

#[monitor]
fn audit(item: u64) -> u64 {
    assert!(!item.is_multiple_of(50), "item {item} is missing");
    item
}

#[monitor]
async fn ship(item: u64) -> u64 {
    if item.is_multiple_of(40) {
        std::future::pending::<()>().await;
    }
    item + 5
}

/// What was done, and what it cost.
#[derive(Debug, Default)]
struct Totals {
    ok: u64,
    failed: u64,
    checksum: u64,
    /// Rounds that took more than a millisecond and in which the thread had to wait for something.
    slowed: u64,
    slowed_max: Duration,
    longest: Duration,
    threads: usize,
    files: usize,
}

impl Totals {
    fn count(&mut self, is_ok: bool, value: u64) {
        *if is_ok { &mut self.ok } else { &mut self.failed } += 1;
        self.checksum = self.checksum.rotate_left(5) ^ value;
    }

    /// Twelve calls.
    fn round(&mut self, at: u64) {
        for item in 0..8 {
            let value = price(at + item);
            self.count(true, value);
        }
        for item in 0..2 {
            let reserved = reserve(2 * at + item, "asked for by hand");
            self.count(reserved.is_ok(), reserved.unwrap_or(7));
        }
        let audited = std::panic::catch_unwind(|| audit(at));
        self.count(audited.is_ok(), audited.unwrap_or(11));
        let shipped = pin!(ship(at)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match shipped {
            Poll::Ready(value) => self.count(true, value),
            Poll::Pending => self.count(false, 13),
        }
    }

    fn work(&mut self, rounds: u64, from: u64) {
        for at in from..from + rounds {
            let (began, waited) = (Instant::now(), system::waits());
            self.round(at);
            let took = began.elapsed();
            self.longest = self.longest.max(took);
            if took > Duration::from_millis(1) && system::waits() > waited {
                self.slowed += 1;
                self.slowed_max = self.slowed_max.max(took);
            }
            if at.is_multiple_of(20) {
                self.threads = self.threads.max(entries("/proc/self/task"));
                // One descriptor is that of the listing itself.
                self.files = self.files.max(entries("/proc/self/fd").saturating_sub(1));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// `work`, `flush` and `end` are what may be asked for, a line each.
pub(crate) fn run(rounds: u64) {
    std::panic::set_hook(Box::new(|_| {}));
    let mut totals = Totals::default();
    let mut flushes = String::new();
    let mut phase = 0;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "work" => {
                totals.work(rounds, phase * rounds);
                phase += 1;
                println!("phase {phase}: {} ok, {} failed, {:x}", totals.ok, totals.failed, totals.checksum);
            }
            // Whether it succeeds is no part of the result: without a recorder it always does.
            "flush" => {
                let began = Instant::now();
                let result = monitored::flush(FLUSH_MAX);
                let _ = writeln!(flushes, "flush_ms {}", began.elapsed().as_millis());
                let _ = writeln!(flushes, "flushed {}", u8::from(result.is_ok()));
                println!("flushed");
            }
            "end" => break,
            other => println!("what is {other}?"),
        }
    }
    report(&totals, &flushes);
    std::process::exit(7);
}

const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Lines of a name and a number; where a name occurs again, the later line counts.
fn report(totals: &Totals, flushes: &str) {
    let Some(path) = std::env::var_os("CHAOS_REPORT") else { return };
    let health = monitored::health();
    let mut text = flushes.to_owned();
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()).unwrap_or("0");
    let drops = health.dropped;
    let numbers = [
        ("ok", totals.ok),
        ("failed", totals.failed),
        ("slowed", totals.slowed),
        ("slowed_us_max", u64::try_from(totals.slowed_max.as_micros()).unwrap_or(u64::MAX)),
        ("longest_us", u64::try_from(totals.longest.as_micros()).unwrap_or(u64::MAX)),
        ("threads", totals.threads as u64),
        ("files", totals.files as u64),
        ("files_left", entries("/proc/self/fd").saturating_sub(1) as u64),
        ("peak_kb", peak.parse().unwrap_or(0)),
        ("recorded", health.recorded),
        ("ring_full", drops.ring_full),
        ("backlog", drops.backlog),
        ("no_ring", drops.no_ring),
        ("store", drops.store),
        ("folded", health.folded_errors),
        ("rows_written", health.rows_written),
        ("queue_bytes", health.queue_bytes),
        ("writer_errors", health.writer_errors),
        ("openings", health.breaker.openings),
        ("retries", health.breaker.retries),
        ("duplicates", health.duplicates_avoided),
        ("in_memory", u64::from(health.store.is_none())),
    ];
    for (name, number) in numbers {
        let _ = writeln!(text, "{name} {number}");
    }
    let _ = std::fs::write(path, text);
}

mod system {
    #![allow(unsafe_code, reason = "getrusage is not in the standard library")]

    /// How often this thread gave up the processor because it had to wait.
    pub(super) fn waits() -> i64 {
        // SAFETY: all zeros are a valid value of this struct of numbers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is valid for writing.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        usage.ru_nvcsw
    }
}
