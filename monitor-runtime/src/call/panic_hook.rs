//! The panic hook, which notes the message and the place of a thread's last panic and then calls the hook that it found.
//!
//! Takes a panic; gives its text, for the records of the calls that it unwinds. A panic inside user code that runs for a
//! capture is contained there and always stays silent. The file does not know calls.
//!
//! A program may replace this hook by one of its own. That shows at the first panic that ends a call and that this hook
//! has not seen; the hook is then put back in front of the program's.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::platform::clock::{Ticks, ticks};

/// The last panic on a thread.
#[derive(Debug)]
struct Last {
    text: String,
    at: Ticks,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { text: String::new(), at: 0 }) };
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// The address of the recorder's hook, by which it is recognized. These statics are hints, so relaxed order suffices.
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// True once a call ended by a panic that the hook has not seen.
static MISSED: AtomicBool = AtomicBool::new(false);
static RENEWALS: AtomicU32 = AtomicU32::new(0);

/// The number of times that the hook is put back. After these, a program that replaces it each time keeps its own.
const RENEWALS_MAX: u32 = 16;

/// Chains the hook, once. A panicking thread must not set hooks; the next caller then does it.
pub(crate) fn install_hook() {
    if std::thread::panicking() || INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    chain(std::panic::take_hook());
}

/// Puts the hook back in front of the one that replaced it, if one did. A missed panic alone does not show that, because
/// payloads that are rethrown with `resume_unwind` pass by all hooks.
pub(crate) fn renew_hook() {
    if !MISSED.swap(false, Ordering::Relaxed) || RENEWALS.load(Ordering::Relaxed) >= RENEWALS_MAX {
        return;
    }
    RENEWALS.fetch_add(1, Ordering::Relaxed);
    let hook = std::panic::take_hook();
    if address(&hook) == ADDRESS.load(Ordering::Relaxed) {
        std::panic::set_hook(hook);
    } else {
        chain(hook);
    }
}

fn chain(previous: Hook) {
    let hook: Hook = Box::new(move |info| {
        if crate::capture::is_capturing() {
            return;
        }
        remember(info);
        previous(info);
    });
    ADDRESS.store(address(&hook), Ordering::Relaxed);
    std::panic::set_hook(hook);
}

fn address(hook: &Hook) -> usize {
    std::ptr::from_ref(&**hook).cast::<()>().addr()
}

fn remember(info: &PanicHookInfo<'_>) {
    let Some(thread) = crate::thread::local::current() else { return };
    let _ = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else { return };
        last.at = ticks();
        let text = &mut last.text;
        text.clear();
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        text.push_str(message.unwrap_or("panicked with a value that is not text"));
        if let Some(place) = info.location() {
            let _ = write!(text, ", {place}");
        }
        // For the reader of the ring file, in case the process dies of this panic.
        thread.home.metadata.panicked(crate::platform::clock::wall_ns(), text);
    });
}

/// Returns the text of the panic that ends a call that began at `start` on this thread; empty if the hook has seen no panic
/// since.
pub(crate) fn text_since(start: Ticks) -> String {
    let text = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        (last.at.wrapping_sub(start).cast_signed() >= 0 && last.at != 0).then(|| last.text.clone())
    });
    let text = text.ok().flatten();
    if text.is_none() {
        MISSED.store(true, Ordering::Relaxed);
    }
    text.unwrap_or_default()
}
