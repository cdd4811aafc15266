//! Values that misbehave while they are captured, and calls at moments at which little works.

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use monitored::monitor;

#[monitor]
fn leaf(number: u64) -> u64 {
    black_box(number) + 1
}

#[derive(Clone, Copy)]
enum Hostile {
    Panics,
    Endless,
    Deaf,
    Deep,
    Calls,
}

impl fmt::Debug for Hostile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panics => panic!("no debug today"),
            Self::Endless => loop {
                formatter.write_str("and on ")?;
            },
            Self::Deaf => {
                for _ in 0..1_000_000 {
                    let _ = formatter.write_str("not listening ");
                }
                Ok(())
            }
            Self::Deep => formatter.write_str(&"[".repeat(1_000_000)),
            Self::Calls => write!(formatter, "{}", leaf(3)),
        }
    }
}

#[monitor]
fn takes(value: Hostile) -> u64 {
    matches!(value, Hostile::Deaf).into()
}

/// Makes ten calls with each kind of value, and one of `leaf`. Calls made while a value is captured are not recorded.
pub(crate) fn values() {
    let mut sum = 0;
    for _ in 0..10 {
        for value in [Hostile::Panics, Hostile::Endless, Hostile::Deaf, Hostile::Deep, Hostile::Calls] {
            sum += takes(value);
        }
    }
    println!("{sum} {}", leaf(1));
}

/// Makes calls in exit handlers that are registered before and after the recorder's own.
pub(crate) fn exit_handlers() {
    system::at_exit(at_exit);
    println!("{}", leaf(1));
    system::at_exit(at_exit);
}

extern "C" fn at_exit() {
    // The result must be right, whether the call is recorded or not.
    if leaf(41) != 42 {
        system::leave(3);
    }
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

/// The function that the signal handler calls; `leaf` is called only outside of it.
#[monitor]
fn handled(number: u64) -> u64 {
    black_box(number) + 1
}

extern "C" fn on_signal(_: i32) {
    if handled(7) == 8 {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes this many calls with some pauses, interrupted a thousand times a second by a signal whose handler makes a
/// call, and a few more calls afterwards.
pub(crate) fn signals(number: u64) {
    system::alarm_each_millisecond(on_signal);
    let mut sum = 0;
    for at in 0..number {
        sum += leaf(at);
        if at % 1000 == 999 {
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
    }
    system::stop_alarm();
    sum += (0..100).map(leaf).sum::<u64>();
    println!("{sum}");
    let handled = SIGNALS.load(Ordering::Relaxed);
    assert!(handled > 0, "no signal came");
    if let Some(path) = std::env::var_os("CHAOS_REPORT") {
        let flushed = monitored::flush(super::IN_TIME).is_ok();
        let passed = monitored::health().dropped.passed;
        let _ = std::fs::write(
            path,
            format!("handled {handled}\nflushed {}\npassed {passed}\n", u8::from(flushed)),
        );
    }
}

/// Makes this many calls and ends the process at once, in the way named.
pub(crate) fn end_process(number: u64, how: &str) {
    for at in 0..number {
        leaf(at);
    }
    println!("{number}");
    match how {
        "abort" => std::process::abort(),
        "_exit" => system::leave(9),
        "kill" => system::kill_self(),
        "exec" => system::execute(),
        _ => {}
    }
}

mod system {
    #![allow(unsafe_code, reason = "handlers and ways to end are not in the standard library")]

    pub(super) fn at_exit(handler: extern "C" fn()) {
        // SAFETY: the handler lives as long as the program.
        unsafe { libc::atexit(handler) };
    }

    pub(super) fn leave(code: i32) -> ! {
        // SAFETY: the call ends the process, whatever its state, and touches no memory of it.
        unsafe { libc::_exit(code) }
    }

    pub(super) fn kill_self() {
        // SAFETY: the call raises a signal on the calling thread, which ends the process.
        unsafe { libc::raise(libc::SIGKILL) };
    }

    pub(super) fn execute() {
        use std::os::unix::process::CommandExt as _;
        let error = std::process::Command::new("true").exec();
        println!("{error}");
    }

    pub(super) fn alarm_each_millisecond(handler: extern "C" fn(i32)) {
        // SAFETY: the handler lives as long as the program.
        unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
        set_alarm(1000);
    }

    pub(super) fn stop_alarm() {
        set_alarm(0);
    }

    fn set_alarm(microseconds: i64) {
        let period = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        // SAFETY: `timer` is valid for reading, and the pointer for the old timer may be null.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    }
}
