//! Panics at moments at which a hook of the program's is at work, and panics within panics.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use monitored::monitor;

#[monitor]
fn fails(number: u64) -> u64 {
    assert!(number > 100, "{number} is not large");
    number
}

#[monitor]
fn call(number: u64) -> u64 {
    std::hint::black_box(number) + 1
}

fn caught<R>(run: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Makes the first monitored call while another thread is in the program's panic hook. The hook waits until that call
/// has been made.
pub(crate) fn hook_waits_for_first_call() {
    let (made, wait) = channel::<()>();
    let (entered, wait_entered) = channel::<()>();
    let hook = std::sync::Mutex::new(Some((entered, wait)));
    set_hook(Box::new(move |_| {
        let taken = hook.lock().ok().and_then(|mut hook| hook.take());
        if let Some((entered, wait)) = taken {
            let _ = entered.send(());
            let _ = wait.recv();
        }
    }));
    let panicking = std::thread::spawn(|| panic!("in the hook for a while"));
    let _ = wait_entered.recv();
    let began = Instant::now();
    let sum = call(1);
    let was_quick = began.elapsed() < Duration::from_secs(1);
    let _ = made.send(());
    println!("{sum} {was_quick} {}", panicking.join().is_err());
    println!("{} {:?}", call(2), monitored::flush(super::IN_TIME));
}

/// Flushes in the program's hook, which replaced the recorder's after the first call.
pub(crate) fn hook_flushes() {
    call(1);
    set_hook(Box::new(|_| println!("{:?}", monitored::flush(super::IN_TIME))));
    caught(|| fails(2));
    println!("{}", call(3));
}

/// Starts the recorder in the program's hook, which then ends the program.
pub(crate) fn hook_starts_and_exits() {
    set_hook(Box::new(|_| {
        println!("{}", call(1));
        std::process::exit(3);
    }));
    panic!("the hook ends the program");
}

/// Contains a panic when it is dropped.
struct Contains;

impl Drop for Contains {
    fn drop(&mut self) {
        caught(|| fails(7));
    }
}

#[monitor(skip_all, no_result)]
fn contains_another() {
    let _contains = Contains;
    panic!("the outer one");
}

#[monitor(skip_all, no_result)]
fn rethrows_the_older() {
    let older = catch_unwind(|| panic!("the older one"));
    caught(|| fails(8));
    let Err(payload) = older;
    resume_unwind(payload);
}

#[monitor(skip_all, no_result)]
fn panics_plainly() {
    panic!("the only one");
}

#[monitor(skip_all, no_result)]
fn panics_at_length() {
    panic!("{}", "long ".repeat(100_000));
}

/// Ends calls by panics that contain others, or that are older than the last.
pub(crate) fn nested() {
    set_hook(Box::new(|_| {}));
    call(1);
    for run in [contains_another, rethrows_the_older, panics_plainly, panics_at_length] {
        caught(run);
    }
    println!("{:?}", monitored::flush(super::IN_TIME));
}
