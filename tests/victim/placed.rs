//! Threads of the program whose place or moment the recorder must not share.
#![allow(unsafe_code, reason = "affinity, priorities and signals are not in the standard library")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "a set is made and used in one step")]

use std::mem::{size_of_val, zeroed};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use monitored::{Record, monitor};

#[monitor]
fn call(number: u64) -> u64 {
    std::hint::black_box(number) + 1
}

/// Makes the first call on a thread that is pinned to one processor and runs only when there is nothing else to do. Prints
/// whether the recorder's thread may use as many processors as the first one, and has the usual policy.
pub(crate) fn pinned() {
    let made = std::thread::spawn(|| {
        // SAFETY: the sets are valid for writing and reading, and of the stated size.
        unsafe {
            let mut one: libc::cpu_set_t = zeroed();
            libc::CPU_SET(first_processor(), &mut one);
            assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &raw const one), 0);
            let idle = libc::sched_param { sched_priority: 0 };
            assert_eq!(libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const idle), 0);
        }
        call(1)
    });
    println!("{}", made.join().unwrap_or_default());
    let _ = monitored::flush(super::IN_TIME);
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).unwrap_or_default();
        if name.trim() == "monitored" {
            // SAFETY: asks for the policy of a thread.
            let policy = unsafe { libc::sched_getscheduler(id) };
            println!("{} {}", processors(id) == processors(0), policy == libc::SCHED_OTHER);
        }
    }
}

fn set_of(thread: libc::pid_t) -> libc::cpu_set_t {
    // SAFETY: an all-zero set is valid to be filled.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the set is valid for writing and of the stated size.
    unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) };
    set
}

fn processors(thread: libc::pid_t) -> i32 {
    // SAFETY: the set is initialised.
    unsafe { libc::CPU_COUNT(&set_of(thread)) }
}

fn first_processor() -> usize {
    let set = set_of(0);
    // SAFETY: the set is initialised, and the numbers are below its size.
    (0..1024).find(|processor| unsafe { libc::CPU_ISSET(*processor, &set) }).unwrap_or(0)
}

/// Makes this many calls while a subscriber makes a call for each record that it is handed. Prints that the stream ends.
pub(crate) fn calling_subscriber(number: u64) {
    let handed = Arc::new(Mutex::new(0_u64));
    let shared = Arc::clone(&handed);
    let subscription = monitored::subscribe(move |records: &[Record]| {
        for _ in records {
            call(0);
        }
        if let Ok(mut handed) = shared.lock() {
            *handed += records.len() as u64;
        }
    });
    (0..number).for_each(|number| _ = call(number));
    let count = || handed.lock().map_or(0, |handed| *handed);
    super::wait_until(|| count() >= number);
    let _ = monitored::flush(super::IN_TIME);
    let _ = monitored::flush(super::IN_TIME);
    println!("{}", count());
    drop(subscription);
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_alarm(_: i32) {
    if call(7) == 8 {
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the recorder, subscribes and sets rates while a handler of signals makes calls on the same thread.
pub(crate) fn signals_at_start() {
    let alarm = |microseconds| {
        let period = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        // SAFETY: `timer` is valid for reading, and the pointer for the old timer may be null.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    };
    // SAFETY: the handler lives as long as the program.
    unsafe { libc::signal(libc::SIGALRM, on_alarm as *const () as libc::sighandler_t) };
    alarm(500);
    println!("{:?}", monitored::init(monitored::Config::new()));
    for at in 0..200 {
        drop(monitored::subscribe(|_: &[Record]| ()));
        let _ = monitored::set_sample_rate("none::*", f64::from(at) / 200.0);
        let _ = monitored::reset_sample_rate("none::*");
    }
    alarm(0);
    println!("{:?} {}", monitored::flush(super::IN_TIME), HANDLED.load(Ordering::Relaxed) > 0);
}

/// Makes this many calls, becomes another user, and makes as many more. Prints what the end of recording says.
pub(crate) fn become_another(number: u64) {
    (0..number).for_each(|number| _ = call(number));
    println!("{:?}", monitored::flush(super::IN_TIME));
    // SAFETY: changes the user of all threads, as the C library does it.
    println!("{}", unsafe { libc::setuid(65534) });
    (0..number).for_each(|number| _ = call(number));
    let _ = monitored::flush(super::IN_TIME);
    super::wait_until(|| monitored::health().level == monitored::Level::Degraded);
    let ended = monitored::shutdown(super::IN_TIME);
    println!("{}", ended.is_err_and(|why| why.to_string().contains("until the program ends")));
}
