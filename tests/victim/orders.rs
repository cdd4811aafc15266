//! Synchronous calls of all kinds.

use std::fmt;
use std::hint::black_box;

use monitored::monitor;
use serde::Serialize;

#[derive(Debug, Serialize, Clone)]
struct Login {
    user: String,
    password: String,
}

#[derive(Debug)]
struct Refused(std::num::ParseIntError);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("order refused")
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

type Outcome<T> = Result<T, Refused>;

#[monitor]
fn parse(text: &str) -> Outcome<u32> {
    text.parse().map_err(Refused)
}

#[monitor]
fn must_be_small(number: u64) -> u64 {
    assert!(number < 10, "{number} is not small");
    number
}

#[monitor(fields(kind = if login.user.is_empty() { "anonymous" } else { "known" }))]
fn log_in(login: &Login, token: &str, attempts: u8) -> bool {
    black_box(login.password.len() + token.len()) > usize::from(attempts)
}

#[monitor]
fn sum(items: &[u32]) -> usize {
    items.len()
}

#[monitor(slow = "20ms", sample = 0.0)]
fn sometimes_slow(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}

/// Calls each function with each outcome a known number of times.
pub(crate) fn outcomes(number: u64) {
    std::panic::set_hook(Box::new(|_| {}));
    let mut failed = 0;
    for at in 0..number {
        failed += u32::from(parse(&at.to_string()).is_err());
        failed += u32::from(parse("x12").is_err());
        failed += u32::from(std::panic::catch_unwind(|| must_be_small(at % 11)).is_err());
        let login = Login { user: "ann".to_owned(), password: "hunter2".to_owned() };
        log_in(&login, "t0ken", 3);
    }
    println!("{failed} {}", sum(&vec![7; 10_000_000]));
    sometimes_slow(0);
    sometimes_slow(25);
}

/// Panics before and after the program has replaced the recorder's panic hook with its own, and again once the
/// recorder has noticed. Prints how often the program's hook was called.
pub(crate) fn hook() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLED: AtomicU32 = AtomicU32::new(0);
    std::panic::set_hook(Box::new(|_| {}));
    let fails = |number: u64| std::panic::catch_unwind(|| must_be_small(number)).is_err();
    fails(11);
    std::panic::set_hook(Box::new(|_| _ = CALLED.fetch_add(1, Ordering::Relaxed)));
    fails(12);
    // The recorder looks at the hook every half second. The flush returns after one more step of its thread, however
    // late that runs.
    std::thread::sleep(std::time::Duration::from_millis(600));
    let _ = monitored::flush(super::IN_TIME);
    fails(13);
    let _ = std::panic::catch_unwind(|| resume(Box::new("thrown on")));
    println!("{}", CALLED.load(Ordering::Relaxed));
}

/// Resumes unwinding with a payload, which calls no hook.
#[monitor(skip_all)]
fn resume(payload: Box<dyn std::any::Any + Send>) {
    std::panic::resume_unwind(payload);
}

/// Makes a call with each outcome that a synchronous call can have, and now and then a slow call; for `service`.
pub(crate) fn round(number: u64) {
    let _ = parse(&number.to_string());
    let _ = parse("x12");
    let _ = std::panic::catch_unwind(|| must_be_small(10));
    let user = if number.is_multiple_of(2) { "ann" } else { "" };
    log_in(&Login { user: user.to_owned(), password: "hunter2".to_owned() }, "t0ken", 3);
    if number.is_multiple_of(50) {
        sometimes_slow(25);
    }
}

#[monitor]
fn count(at: u64) -> u64 {
    black_box(at) + 1
}

/// Makes this many calls.
pub(crate) fn make_calls(number: u64) -> u64 {
    (0..number).map(count).sum()
}

/// Fails for one number in a thousand.
#[monitor]
pub(crate) fn check(at: u64) -> Result<u64, &'static str> {
    if black_box(at) == 500 { Err("five hundred") } else { Ok(at) }
}
