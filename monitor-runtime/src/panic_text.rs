//! What the last panic on a thread said: message and place, taken down by a panic hook that then
//! calls the hook it found. In: a panic. Out: its text, for the records of the calls it unwinds.
//! A panic inside user code that runs for a capture is contained there and stays silent.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Chains the hook, once. A thread that is panicking may not; it is done by the next caller then.
pub(crate) fn install_hook() {
    if std::thread::panicking() || INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if crate::capture::is_capturing() {
            return;
        }
        remember(info);
        previous(info);
    }));
}

fn remember(info: &PanicHookInfo<'_>) {
    if crate::thread_rings::current().is_none() {
        return;
    }
    let _ = TEXT.try_with(|text| {
        let Ok(mut text) = text.try_borrow_mut() else { return };
        text.clear();
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        text.push_str(message.unwrap_or("panicked with a value that is not text"));
        if let Some(place) = info.location() {
            let _ = write!(text, ", {place}");
        }
    });
}

/// The text of the last panic on this thread, empty where there was none.
pub(crate) fn last() -> String {
    TEXT.try_with(|text| text.try_borrow().map(|text| text.clone()).unwrap_or_default()).unwrap_or_default()
}
