//! The programs that the tests run. Each is a test that does nothing unless it is run as a child.
#![allow(clippy::print_stdout, reason = "the test reads what its child prints")]

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use log::kv::Value;
use log::{Level, LevelFilter, Log, Metadata, Record, debug, error, info, trace, warn};
use monitored::monitor;

use crate::program::{CHILD, PATIENCE};

/// The lines that each thread of [`flood`] says, and the number of its threads.
pub(crate) const FLOOD_LINES: u64 = 125_000;
pub(crate) const FLOOD_THREADS: u64 = 8;

fn is_child(name: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|child| child == name)
}

fn flush() {
    monitored::flush(PATIENCE).unwrap();
}

#[monitor]
fn charge(order: u64) -> Result<(), String> {
    for attempt in 1..=3 {
        warn!(attempt, peer:% = std::net::Ipv4Addr::LOCALHOST, amount = 9.5, card_token = "4242"; "attempt {attempt} of order {order} failed");
    }
    error!(target: "payments", "order {order} is given up");
    Err("card declined".to_owned())
}

#[monitor]
async fn ship(order: u64) -> u64 {
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        std::task::Poll::Ready(())
    })
    .await;
    warn!("order {order} ships late");
    order
}

/// Says lines within calls, sync and async, on two threads, and outside of calls.
#[test]
fn orders() {
    if !is_child("orders") {
        return;
    }
    monitored_log::init().unwrap();
    warn!("outside of calls");
    for order in [71, 72] {
        assert!(charge(order).is_err());
    }
    std::thread::spawn(|| assert!(charge(73).is_err())).join().unwrap();
    block_on(ship(71));
    flush();
}

/// Polls a future to its end.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Says a line of each level, with a logger that stores up to `info`.
#[test]
fn levels() {
    if !is_child("levels") {
        return;
    }
    monitored_log::builder().level(LevelFilter::Info).init().unwrap();
    assert_eq!(log::max_level(), LevelFilter::Info);
    assert!(log::log_enabled!(Level::Info) && !log::log_enabled!(Level::Debug));
    error!("of level error");
    warn!("of level warn");
    info!("of level info");
    debug!("of level debug");
    trace!("of level trace");
    // A caller that does not ask the macros first.
    log::logger().log(&Record::builder().level(Level::Debug).args(format_args!("directly")).build());
    flush();
}

/// Says lines that hold secrets.
#[test]
fn secrets() {
    if !is_child("secrets") {
        return;
    }
    monitored_log::init().unwrap();
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    warn!("refused the token {token} twice");
    warn!("sent Authorization: Basic c2VjcmV0OnNlY3JldA==");
    warn!("x-api-key: 0123456789secret");
    warn!(password = "secret", url = "postgres://ada:secret@db/shop", nested:? = Nested { api_key: "secret" }; "connects");
    flush();
}

#[derive(Debug)]
struct Nested {
    #[allow(dead_code, reason = "it is read by `Debug`")]
    api_key: &'static str,
}

/// An error with a source.
#[derive(Debug)]
struct Refused(std::num::ParseIntError);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("order refused")
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Says lines whose pairs are errors, or have no value.
#[test]
fn errors() {
    if !is_child("errors") {
        return;
    }
    monitored_log::init().unwrap();
    let refused = Refused("seven".parse::<u8>().unwrap_err());
    let boxed: Box<dyn Error + Send + Sync> = "disk full".into();
    warn!(err:err = refused; "captured");
    warn!(err:err = *boxed; "boxed");
    let borrowed: &(dyn Error + 'static) = &refused;
    // A logger between the macro and ours may borrow the value.
    let pairs = [("err", Value::from_dyn_error(borrowed)), ("token", Value::from_dyn_error(borrowed))];
    let record =
        Record::builder().level(Level::Warn).args(format_args!("borrowed")).key_values(&pairs).build();
    log::logger().log(&record);
    warn!(err:% = refused; "displayed");
    warn!(size = None::<u64>, left = Some(3); "optional");
    flush();
}

/// Says lines whose texts are hostile.
#[test]
fn hostile() {
    if !is_child("hostile") {
        return;
    }
    monitored_log::init().unwrap();
    warn!("\u{1b}[31mred\u{1b}[0m\r\nsecond\tline\u{0}\u{202e}");
    warn!("{}", "ö".repeat(100_000));
    warn!("{Fails}");
    warn!("{Panics}");
    warn!("{Says}");
    warn!(target: &"t".repeat(10_000), "of a long target");
    warn!(empty = "", "a \"b\"\n" = 1, many = "x".repeat(10_000).as_str(); "");
    // More places than have an entry of their own.
    for number in 0..10_000 {
        let target = format!("made::{number}");
        warn!(target: &target, "made at run time");
    }
    flush();
}

struct Fails;
struct Panics;
struct Says;

impl fmt::Display for Fails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("before the failure")?;
        Err(fmt::Error)
    }
}

impl fmt::Display for Panics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("before the panic")?;
        panic!("in Display");
    }
}

impl fmt::Display for Says {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        warn!("said within Display");
        assert!(charge(1).is_err());
        formatter.write_str("around")
    }
}

/// Says a million lines on eight threads. Prints what the recorder counts as dropped.
#[test]
fn flood() {
    if !is_child("flood") {
        return;
    }
    monitored_log::init().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..FLOOD_THREADS {
            scope.spawn(move || {
                for number in 0..FLOOD_LINES {
                    match number % 3 {
                        0 => warn!("{thread} {number}"),
                        1 => error!("{thread} {number}"),
                        // Many places, so that rings fill up although each place has its bound.
                        _ => warn!(target: &format!("place {}", number % 2000), "{thread} {number}"),
                    }
                }
            });
        }
    });
    flush();
}

/// Writes numbered log lines until the process is killed, and prints the number of each line after the line is written.
#[test]
fn killed() {
    if !is_child("killed") {
        return;
    }
    monitored_log::init().unwrap();
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        say_number(number);
        writeln!(out, "said {number}").unwrap();
        out.flush().unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[monitor]
fn say_number(number: u64) {
    let target = format!("place {}", number % 50);
    warn!(target: &target, "line {number}");
}

/// Says lines of one place as fast as it can, then prints their number and waits to be killed.
#[test]
fn killed_within_a_second() {
    if !is_child("killed_within_a_second") {
        return;
    }
    monitored_log::init().unwrap();
    (0..5000).for_each(|number| warn!("line {number}"));
    println!("said 5000");
    std::thread::sleep(PATIENCE);
}

/// A logger as programs have them: it filters by itself, and writes a line for each record.
struct Lines(Mutex<std::io::Stdout>);

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Debug && metadata.target() != "quiet"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut out = self.0.lock().unwrap();
            writeln!(out, "[{} {}] {}", record.level(), record.target(), record.args()).unwrap();
        }
    }

    fn flush(&self) {
        self.0.lock().unwrap().write_all(b"flushed\n").unwrap();
    }
}

/// Says lines of every level through a logger of its own, with or without ours around it.
#[test]
fn wrapped() {
    if !is_child("wrapped") {
        return;
    }
    let inner = Box::new(Lines(Mutex::new(std::io::stdout())));
    match std::env::var("WRAPS").unwrap().as_str() {
        "no" => {
            log::set_boxed_logger(inner).unwrap();
            log::set_max_level(LevelFilter::Trace);
        }
        "all" => monitored_log::wrap(inner).init().unwrap(),
        level => monitored_log::wrap(inner).inner_level(level.parse().unwrap()).init().unwrap(),
    }
    for target in ["loud", "quiet"] {
        error!(target: target, "of level error");
        warn!(target: target, "of level warn");
        info!(target: target, "of level info");
        debug!(target: target, "of level debug");
        trace!(target: target, "of level trace");
    }
    println!("enabled {}", log::log_enabled!(target: "quiet", Level::Info));
    log::logger().flush();
    flush();
    assert!(monitored_log::init().is_err(), "a second logger is refused");
}
