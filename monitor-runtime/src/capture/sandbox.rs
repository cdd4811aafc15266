//! The sandbox in which the user's code runs, so that it cannot hurt its caller.
//!
//! Takes a closure that calls `Debug`, `Display`, `Serialize` or `Summarize`; gives the way it ended. A panic goes no
//! further. While the closure runs, [`is_capturing`] is true: a monitored function that it calls is not recorded, and
//! the panic hook keeps silent. The file does not know what the closure writes.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Limits;

thread_local! {
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// Returns true if this thread is inside user code that a capture called.
#[inline]
#[must_use]
pub fn is_capturing() -> bool {
    CAPTURING.get()
}

/// The way in which user code ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Returned,
    /// The code ignored its refused writes and was left by [`escape`].
    Escaped,
    Panicked,
}

/// The payload of [`escape`].
struct Escape;

/// Leaves user code that goes on writing although its writes are refused. The unwinding does not call the panic hook.
/// Where the program aborts on panics, the function does nothing.
pub(super) fn escape() {
    if cfg!(panic = "unwind") {
        resume_unwind(Box::new(Escape));
    }
}

/// Runs user code in the sandbox.
#[inline]
pub(super) fn run(limits: &Limits, code: impl FnOnce()) -> Ending {
    let outer = CAPTURING.replace(true);
    let suppressed = (limits.before_user_code)();
    let ending = match catch_unwind(AssertUnwindSafe(code)) {
        Ok(()) => Ending::Returned,
        Err(payload) => ending_by(payload),
    };
    (limits.after_user_code)(suppressed);
    CAPTURING.set(outer);
    ending
}

#[cold]
fn ending_by(payload: Box<dyn Any + Send>) -> Ending {
    let ending = if payload.is::<Escape>() { Ending::Escaped } else { Ending::Panicked };
    // The payload belongs to the user as well, so its destructor may panic in turn. That second payload is leaked.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    ending
}
