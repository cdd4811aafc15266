//! The panic hook, which notes the message and the place of a thread's last panic and then calls the hook that was set
//! before.
//!
//! Takes a panic; gives its text, for the records of the calls that it unwinds. A panic inside user code that runs for
//! a capture is contained there and always stays silent. The file does not know calls.
//!
//! A program may replace this hook by one of its own. That shows at the first panic that ends a call and that this hook
//! has not seen; the hook is then put back in front of the program's.
//!
//! A thread that sets a hook waits until no thread is inside a hook, and a program's hook may take long, or wait for
//! the recorder. So a thread of its own sets the hook, and other threads wait for it at most [`HOOK_WAIT_MAX`].

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::limits::{HOOK_WAIT_MAX, PANIC_TEXT_BYTES_MAX};
use crate::platform::clock::{Ticks, monotonic, ticks};
use crate::platform::process::is_main_thread;
use crate::platform::thread::spawn;
use crate::ring::panics;
use crate::thread::local;

/// The last panic on a thread.
#[derive(Debug)]
struct Last {
    text: String,
    at: Ticks,
    /// The moment of the panic before, or 0.
    before: Ticks,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { text: String::new(), at: 0, before: 0 }) };
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// The address of the recorder's hook, by which it is recognized. These statics are hints, so relaxed order suffices.
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// True once a call ended by a panic that the hook has not seen.
static MISSED: AtomicBool = AtomicBool::new(false);
static HEAD_WORDS: OnceLock<HeadWords> = OnceLock::new();
static RENEWALS: AtomicU32 = AtomicU32::new(0);
/// True once the hook was set.
static IS_CHAINED: AtomicBool = AtomicBool::new(false);
/// The pause between two checks whether the hook was set. Setting the hook takes some ten microseconds.
const HOOK_PAUSE: Duration = Duration::from_micros(20);
/// True while a thread puts the hook back.
static IS_RENEWING: AtomicBool = AtomicBool::new(false);
/// The name of the thread that sets the hook.
const THREAD: &str = "monitored-hook";

/// The number of times that the hook is put back. After these, a program that replaces it each time keeps its own.
const RENEWALS_MAX: u32 = 16;

/// A function that returns the words of the ring file for a panic of a thread without a state; `None` before the
/// recorder runs.
type HeadWords = fn() -> Option<&'static [AtomicU64]>;

/// Starts a thread that puts the recorder's hook in front of the program's. Only the first call does so.
pub(crate) fn install_hook(head_words: HeadWords) {
    let _ = HEAD_WORDS.set(head_words);
    install_once();
}

fn install_once() {
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    if spawn(THREAD, || chain(std::panic::take_hook())).is_err() {
        INSTALLED.store(false, Ordering::Relaxed);
    }
}

/// Waits until the hook of [`install_hook`] is set, so that the text of a panic in the program's first call is known.
/// While some thread is in a hook of the program's, the hook cannot be set: the wait then ends early, and the thread
/// that sets the hook waits on.
pub(crate) fn await_hook() {
    // A thread that panics may be in the very hook that is waited for.
    if std::thread::panicking() {
        return;
    }
    wait_until(|| IS_CHAINED.load(Ordering::Acquire));
}

fn wait_until(is_over: impl Fn() -> bool) {
    let by = monotonic() + HOOK_WAIT_MAX;
    while !is_over() && monotonic() < by {
        #[expect(clippy::disallowed_methods, reason = "parking would consume a wake-up of the program's")]
        std::thread::sleep(HOOK_PAUSE);
    }
}

/// If another hook has replaced the recorder's, starts a thread that puts the recorder's hook back in front of that
/// one. A missed panic alone does not show a replacement, because payloads that are rethrown with `resume_unwind` pass
/// by all hooks.
pub(crate) fn renew_hook() {
    install_once();
    if !MISSED.swap(false, Ordering::Relaxed) || RENEWALS.load(Ordering::Relaxed) >= RENEWALS_MAX {
        return;
    }
    // Only one thread at a time has the hook renewed, because a hook may take for ever.
    if IS_RENEWING.swap(true, Ordering::Relaxed) {
        return;
    }
    match spawn(THREAD, renew) {
        Ok(()) => wait_until(|| !IS_RENEWING.load(Ordering::Acquire)),
        Err(_) => IS_RENEWING.store(false, Ordering::Relaxed),
    }
}

fn renew() {
    RENEWALS.fetch_add(1, Ordering::Relaxed);
    let hook = std::panic::take_hook();
    if address(&hook) == ADDRESS.load(Ordering::Relaxed) {
        std::panic::set_hook(hook);
    } else {
        chain(hook);
    }
    IS_RENEWING.store(false, Ordering::Release);
}

fn chain(previous: Hook) {
    let hook: Hook = Box::new(move |info| {
        if crate::capture::is_capturing() {
            return;
        }
        let words = remember(info);
        previous(info);
        if let Some(words) = words {
            panics::note_hook_returned(words, can_unwind(info));
        }
    });
    ADDRESS.store(address(&hook), Ordering::Relaxed);
    std::panic::set_hook(hook);
    IS_CHAINED.store(true, Ordering::Release);
}

fn address(hook: &Hook) -> usize {
    std::ptr::from_ref(&**hook).cast::<()>().addr()
}

/// Remembers a panic for the calls that it unwinds, and writes it for the reader of the ring file, in case the process
/// dies of it. Returns the words that it was written to.
fn remember(info: &PanicHookInfo<'_>) -> Option<&'static [AtomicU64]> {
    let remembered = LAST.try_with(|last| {
        let mut last = last.try_borrow_mut().ok()?;
        last.before = last.at;
        last.at = ticks();
        let text = &mut last.text;
        // The message of an abort follows a panic on the same thread and says less than the panic's own message, so
        // both are kept.
        if FOLLOWING.iter().any(|following| message(info).starts_with(following)) && !text.is_empty() {
            text.push_str("; then ");
        } else {
            text.clear();
        }
        push_bounded(text, message(info));
        if let Some(place) = info.location() {
            let _ = write!(text, ", {place}");
        }
        let is_main = is_main_thread();
        if let Some(thread) = local::current() {
            thread.note_panic(last.at, is_main, &last.text);
            return Some(thread.panic_words());
        }
        let words = HEAD_WORDS.get()?()?;
        panics::note(words, last.at, (0, 0), is_main, &last.text);
        Some(words)
    });
    remembered.ok().flatten()
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("panicked with a value that is not text")
}

/// Returns false for a panic after whose hook the process aborts. The standard library shows this to hooks only by
/// these messages of its own.
fn can_unwind(info: &PanicHookInfo<'_>) -> bool {
    let is_abort = |start: &&str| message(info).starts_with(start);
    cfg!(panic = "unwind") && !FOLLOWING.iter().chain(&["unsafe precondition(s) violated"]).any(is_abort)
}

/// The messages of aborts that a panic leads to: in a function that must not unwind, and in a destructor during
/// unwinding.
const FOLLOWING: [&str; 2] =
    ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];

/// Appends a message. A message longer than [`PANIC_TEXT_BYTES_MAX`] is cut and ends with `…`.
fn push_bounded(text: &mut String, message: &str) {
    let end = (0..=PANIC_TEXT_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    match message.get(..end) {
        Some(start) if message.len() > end => text.extend([start, "…"]),
        _ => text.push_str(message),
    }
}

/// Returns the text of the panic that ends a call that began at `start` on this thread. The text is empty if the hook
/// has seen no panic since, or several: a call that contained another panic, in a destructor that the first one ran or
/// before a payload was rethrown, can have been ended by any of them.
pub(crate) fn text_since(start: Ticks) -> String {
    let is_since = |at: Ticks| at != 0 && at.wrapping_sub(start).cast_signed() >= 0;
    let text = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        is_since(last.at).then(|| if is_since(last.before) { String::new() } else { last.text.clone() })
    });
    let text = text.ok().flatten();
    if text.is_none() {
        MISSED.store(true, Ordering::Relaxed);
    }
    text.unwrap_or_default()
}
