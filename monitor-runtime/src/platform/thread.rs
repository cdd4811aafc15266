//! Starts the recorder's threads.
//!
//! Takes a name and a body; gives a thread that runs none of the host's signal handlers. Nothing else in the
//! runtime starts one.
#![cfg_attr(unix, allow(unsafe_code, reason = "calls into the C library"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::reentrancy::claim_thread;

/// Starts a thread that blocks all signals.
///
/// # Errors
/// When the system gives no thread.
#[expect(clippy::disallowed_methods, reason = "the one place where the recorder's threads start")]
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let body = move || {
        claim_thread();
        take_usual_place();
        body();
    };
    without_signals(|| builder.spawn(body)).map(drop)
}

/// The most threads whose sets of processors are read: the oldest ones, among them the first.
#[cfg(target_os = "linux")]
const THREADS_MAX: usize = 64;

/// Lets the calling thread run on every processor that some thread of the process may use, and with the priority of the
/// process's first thread. It has inherited both from the thread that started it, which may be pinned to a processor where
/// it leaves no time to others, or run only when there is nothing else to do. A refusal changes nothing.
#[cfg(target_os = "linux")]
fn take_usual_place() {
    // SAFETY: gives the handle of the calling thread.
    let thread = unsafe { libc::pthread_self() };
    let mut policy = libc::SCHED_OTHER;
    // SAFETY: all-zero parameters are valid, and they are those of the usual policy. Other C libraries have more fields.
    let (mut parameters, usual): (libc::sched_param, libc::sched_param) = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid for writing. The functions for a process do nothing in musl; those for a thread work in every
    // C library.
    let result = unsafe { libc::pthread_getschedparam(thread, &raw mut policy, &raw mut parameters) };
    if result == 0 && policy != libc::SCHED_OTHER {
        // SAFETY: `usual` is valid for reading.
        unsafe { libc::pthread_setschedparam(thread, libc::SCHED_OTHER, &raw const usual) };
    }
    let first = libc::id_t::from(std::process::id());
    // SAFETY: asks for the priority of the process's first thread. An error is the value -1, a priority like others.
    let priority = unsafe { libc::getpriority(libc::PRIO_PROCESS, first) };
    // SAFETY: changes the calling thread only, because 0 is its own id.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) };
    let Some(own) = processors(0) else { return };
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    let ids = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    let all = ids.take(THREADS_MAX).filter_map(processors).fold(own, |mut all, one| {
        // SAFETY: both sets are initialised, and every number below the size is one of the sets'.
        (0..libc::CPU_SETSIZE as usize)
            .filter(|processor| unsafe { libc::CPU_ISSET(*processor, &one) })
            // SAFETY: as above.
            .for_each(|processor| unsafe { libc::CPU_SET(processor, &mut all) });
        all
    });
    // SAFETY: the set is initialised and has the stated size.
    unsafe { libc::sched_setaffinity(0, size_of_val(&all), &raw const all) };
}

#[cfg(not(target_os = "linux"))]
fn take_usual_place() {}

/// Returns the processors that a thread may use; 0 is the calling thread.
#[cfg(target_os = "linux")]
fn processors(thread: libc::pid_t) -> Option<libc::cpu_set_t> {
    // SAFETY: an all-zero set is valid to be filled.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writing and has the stated size.
    let result = unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) };
    (result == 0).then_some(set)
}

/// Work of a kind that may never end, such as reading from a mount that does not answer. It is done on threads of its own,
/// and while one of them has been given up, no other is started.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// The number of threads that were given up and have not ended.
    given_up: AtomicU32,
}

impl Waiting {
    /// Creates the state of a kind of work, none of which has begun.
    pub(crate) const fn new() -> Self {
        Self { given_up: AtomicU32::new(0) }
    }

    /// Does the work on a thread of its own. Returns `None` if the work takes longer than this, or if earlier work was
    /// given up and has not ended. The late result is dropped.
    pub(crate) fn run_with_limit<T: Send + 'static>(
        &'static self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.given_up.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let (done, wait) = sync_channel(1);
        // True once the work has ended, or was given up: whichever comes first.
        let is_over = Arc::new(AtomicBool::new(false));
        let was_over = Arc::clone(&is_over);
        let body = move || {
            let _ = done.send(work());
            if was_over.swap(true, Ordering::SeqCst) {
                self.given_up.fetch_sub(1, Ordering::SeqCst);
            }
        };
        spawn("monitored-wait", body).ok()?;
        if let Ok(result) = wait.recv_timeout(limit) {
            return Some(result);
        }
        // The thread is counted as given up first, so that it can take its count back if it ends just then.
        self.given_up.fetch_add(1, Ordering::SeqCst);
        if is_over.swap(true, Ordering::SeqCst) {
            self.given_up.fetch_sub(1, Ordering::SeqCst);
        }
        wait.try_recv().ok()
    }
}

/// Returns true if the calling thread blocks all signals, as the recorder's threads do from their first instruction on. The
/// standard library takes memory on a new thread before the thread can be marked in any other way, and an allocator of the
/// program's may make monitored calls.
#[cfg(unix)]
pub(crate) fn blocks_all_signals() -> bool {
    // SAFETY: an all-zero signal set is a valid value to be filled.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `blocked` is valid for writing; without a new set nothing is changed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut blocked) };
    // SAFETY: the set was filled above.
    let is_blocked = |signal| unsafe { libc::sigismember(&raw const blocked, signal) == 1 };
    (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)).all(is_blocked)
}

/// Returns false, because there are no signals.
#[cfg(not(unix))]
pub(crate) fn blocks_all_signals() -> bool {
    false
}

/// Runs a closure, because there are no signals that would have to be blocked.
#[cfg(not(unix))]
fn without_signals<R>(run: impl FnOnce() -> R) -> R {
    run()
}

/// Runs a closure with all signals blocked on the calling thread. A thread that the closure starts has them
/// blocked from its first instruction on, for good. So the recorder's threads run no handler of the host's,
/// which could call a monitored function before the thread is set up, and a file size limit shows as an error
/// of the write instead of the signal that ends the process.
#[cfg(unix)]
fn without_signals<R>(run: impl FnOnce() -> R) -> R {
    // SAFETY: an all-zero signal set is a valid value to be filled.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is valid for writing.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: as above.
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is an initialised set, `before` valid for writing.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    let result = run();
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_given_up_and_no_more_is_begun_until_it_ends() {
        static WAITING: Waiting = Waiting::new();
        let patience = Duration::from_secs(60);
        let (end, ended) = sync_channel::<()>(1);
        assert_eq!(WAITING.run_with_limit(patience, || 1), Some(1));
        assert_eq!(WAITING.run_with_limit(Duration::from_millis(1), move || ended.recv().is_ok()), None);
        assert_eq!(WAITING.run_with_limit(patience, || 2), None);
        end.send(()).unwrap();
        while WAITING.run_with_limit(patience, || 3) != Some(3) {
            std::thread::yield_now();
        }
    }
}
