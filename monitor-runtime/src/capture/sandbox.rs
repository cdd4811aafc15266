//! The user's own code, run so that it cannot hurt its caller.
//!
//! Comes in: a closure that calls `Debug`, `Display`, `Serialize` or `Summarize`. Goes out: how it ended. Its panic
//! goes no further. While it runs, [`is_capturing`] is true: a monitored function called from inside is not
//! recorded, and the panic hook keeps silent.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Limits;

thread_local! {
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside user code that a capture called.
#[inline]
#[must_use]
pub fn is_capturing() -> bool {
    CAPTURING.get()
}

/// How user code ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Returned,
    /// It did not heed its refused writes and was left by [`escape`].
    Escaped,
    Panicked,
}

/// The payload of [`escape`].
struct Escape;

/// Leaves user code that goes on writing after having been told to stop. It unwinds without a call of the panic
/// hook; where unwinding is not possible it does nothing.
pub(super) fn escape() {
    if cfg!(panic = "unwind") {
        resume_unwind(Box::new(Escape));
    }
}

/// Runs user code.
#[inline]
pub(super) fn contained(limits: &Limits, code: impl FnOnce()) -> Ending {
    let outer = CAPTURING.replace(true);
    let suppressed = (limits.before_user_code)();
    let ending = match catch_unwind(AssertUnwindSafe(code)) {
        Ok(()) => Ending::Returned,
        Err(payload) => ending_of(payload),
    };
    (limits.after_user_code)(suppressed);
    CAPTURING.set(outer);
    ending
}

#[cold]
fn ending_of(payload: Box<dyn Any + Send>) -> Ending {
    let ending = if payload.is::<Escape>() { Ending::Escaped } else { Ending::Panicked };
    // The payload is the user's too: its destructor may panic in turn, and what comes of that is left alone.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    ending
}
