//! Works in phases. Takes a line on standard input for each, so that a test can cause and lift a fault between them.
//! Prints the result of a phase, whose calls and failures are known, and writes into a report what the work cost the
//! program itself.

use std::fmt::Write as _;
use std::fs::File;
use std::future::Future as _;
use std::hint::black_box;
use std::io::BufRead as _;
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::OnceLock;
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

/// The results of the work and its cost.
#[derive(Debug, Default)]
struct Totals {
    ok: u64,
    failed: u64,
    checksum: u64,
    /// Rounds in which the thread gave the processor up and stood still for more than a millisecond, and rounds that
    /// took more than a millisecond of work. Neither counts the time for which the thread could have run and was not
    /// scheduled. Time for which another thread was not scheduled does count, because a caller that has to wait for it
    /// waits.
    stood_still: u64,
    stood_still_max: Duration,
    worked_long: u64,
    worked_max: Duration,
    /// The work of the first round, in which the recorder starts.
    started: Duration,
    longest: Duration,
    threads: usize,
    files: usize,
}

impl Totals {
    fn count(&mut self, is_ok: bool, value: u64) {
        *if is_ok { &mut self.ok } else { &mut self.failed } += 1;
        self.checksum = self.checksum.rotate_left(5) ^ value;
    }

    /// Makes twelve calls.
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

    /// Takes the duration of a round, and what the scheduler counted for the thread before and after it.
    fn time(&mut self, took: Duration, before: Scheduled, after: Scheduled) {
        let worked = after.worked.saturating_sub(before.worked);
        let kept_waiting = after.kept_waiting.saturating_sub(before.kept_waiting);
        let has_slept = after.sleeps > before.sleeps;
        let stood_still = if has_slept { took.saturating_sub(worked + kept_waiting) } else { Duration::ZERO };
        self.longest = self.longest.max(took);
        if self.started.is_zero() {
            // The first call waits for the recorder's thread, which starts the recorder.
            self.started = worked + stood_still;
        } else {
            self.stood_still += u64::from(stood_still > SLOW);
            self.stood_still_max = self.stood_still_max.max(stood_still);
            self.worked_long += u64::from(worked > SLOW);
            self.worked_max = self.worked_max.max(worked);
        }
    }

    fn work(&mut self, rounds: u64, from: u64) {
        for at in from..from + rounds {
            let before = scheduled();
            let began = Instant::now();
            self.round(at);
            let (took, worked, sleeps) = (began.elapsed(), system::worked(), system::sleeps());
            self.time(took, before, Scheduled { worked, sleeps, ..scheduled() });
            if at.is_multiple_of(20) {
                self.threads = self.threads.max(entries("/proc/self/task"));
                // One descriptor belongs to the listing itself.
                self.files = self.files.max(entries("/proc/self/fd").saturating_sub(1));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The limit for a round of twelve calls: more than twelve monitored calls take.
const SLOW: Duration = Duration::from_millis(1);

/// The time for which this thread ran, the time for which it could have run and others did, and how often it gave the
/// processor up to wait.
#[derive(Debug, Clone, Copy)]
struct Scheduled {
    worked: Duration,
    kept_waiting: Duration,
    sleeps: i64,
}

/// Reads the scheduler's figures of the calling thread. The file stays open, because a fault may take all descriptors
/// away later.
fn scheduled() -> Scheduled {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| File::open("/proc/thread-self/schedstat").ok());
    let mut bytes = [0; 64];
    let length = file.as_ref().and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    let text = str::from_utf8(&bytes[..length]).unwrap_or_default();
    let kept_waiting = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    let kept_waiting = Duration::from_nanos(kept_waiting.unwrap_or(0));
    Scheduled { kept_waiting, worked: system::worked(), sleeps: system::sleeps() }
}

/// Returns the signals that have handlers, as a mask.
fn signals_caught() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Reads orders from standard input, one a line: `work`, `flush`, `call` and `end`.
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
            // The success of a flush is not part of the printed result: without a recorder it always succeeds.
            "flush" => {
                let began = Instant::now();
                let result = monitored::flush(FLUSH_MAX);
                let _ = writeln!(flushes, "flush_ms {}", began.elapsed().as_millis());
                let _ = writeln!(flushes, "flushed {}", u8::from(result.is_ok()));
                println!("flushed");
            }
            // Makes one more call, whose result is not part of the checksum.
            "call" => {
                price(0);
                totals.ok += 1;
                println!("called");
            }
            "end" => break,
            other => println!("what is {other}?"),
        }
    }
    report(&totals, &flushes);
    std::process::exit(7);
}

const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Writes lines of a name and a number. Where a name occurs again, the later line counts.
fn report(totals: &Totals, flushes: &str) {
    let Some(path) = std::env::var_os("CHAOS_REPORT") else { return };
    let health = monitored::health();
    let mut text = flushes.to_owned();
    let drops = health.dropped;
    let numbers = [
        ("ok", totals.ok),
        ("failed", totals.failed),
        ("stood_still", totals.stood_still),
        ("stood_still_us_max", micros(totals.stood_still_max)),
        ("worked_long", totals.worked_long),
        ("worked_us_max", micros(totals.worked_max)),
        ("started_us", micros(totals.started)),
        ("longest_us", micros(totals.longest)),
        ("signals_caught", signals_caught()),
        ("threads", totals.threads as u64),
        ("files", totals.files as u64),
        ("files_left", entries("/proc/self/fd").saturating_sub(1) as u64),
        ("peak_kb", peak_kb()),
        ("recorded", health.recorded),
        ("ring_full", drops.ring_full),
        ("backlog", drops.backlog),
        ("no_ring", drops.no_ring),
        ("store", drops.store),
        ("passed", drops.passed),
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

/// Returns the most memory that the process had so far. Pages of files are left out. They are above all the program's own code,
/// which the kernel holds in any case.
pub(crate) fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = |name: &str| -> u64 {
        let rest = status.lines().find_map(|line| line.strip_prefix(name));
        rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    kb("VmHWM:").saturating_sub(kb("RssFile:"))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

mod system {
    #![allow(unsafe_code, reason = "a thread's clock and its sleeps are not in the standard library")]

    use std::time::Duration;

    /// Returns how often this thread has waited for something, as `getrusage` counts it.
    pub(super) fn sleeps() -> i64 {
        // SAFETY: all zeros are a valid value of this type.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is valid for writing.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        usage.ru_nvcsw
    }

    /// Returns the time for which this thread has run.
    pub(super) fn worked() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}
