//! Starts the recorder's threads.
//!
//! Takes a name and a body; gives a thread that runs none of the host's signal handlers. Nothing else in the
//! runtime starts one.
#![allow(unsafe_code, reason = "calls into the C library")]

/// Starts a thread that blocks all signals.
///
/// # Errors
/// When the system gives no thread.
#[expect(clippy::disallowed_methods, reason = "the one place where the recorder's threads start")]
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    without_signals(|| builder.spawn(body)).map(drop)
}

/// Runs a closure with all signals blocked on the calling thread. A thread that the closure starts has them
/// blocked from its first instruction on, for good. So the recorder's threads run no handler of the host's,
/// which could call a monitored function before the thread is set up, and a file size limit shows as an error
/// of the write instead of the signal that ends the process.
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
