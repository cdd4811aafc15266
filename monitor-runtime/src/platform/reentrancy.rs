//! Guards code that takes a lock or memory on the caller's thread against re-entrancy. A signal handler may
//! interrupt that code and make a monitored call, which must not take the same lock, because it would wait for
//! itself for ever. Takes a closure; gives its result, or `None` for the interrupting call.

use std::cell::Cell;

thread_local! {
    /// Const and without Drop, so that an access is one load and works in destructors of other thread-locals.
    static APART: Cell<bool> = const { Cell::new(false) };
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as the recorder's own. Monitored calls on it, by an allocator of the program's, are not
/// recorded, because the step that makes the records would drain them and never end.
pub(crate) fn claim_thread() {
    OURS.set(true);
}

/// Runs a closure on the recorder's own thread as on one of the program's, whose calls are recorded. The cost of
/// a call is measured that way.
pub(crate) fn as_the_programs<R>(run: impl FnOnce() -> R) -> R {
    let before = OURS.replace(false);
    let result = run();
    OURS.set(before);
    result
}

/// Returns whether this thread is the recorder's own.
pub(crate) fn is_ours() -> bool {
    OURS.get()
}

/// Runs a closure, unless it would interrupt another closure that runs here on this thread.
pub(crate) fn apart<R>(run: impl FnOnce() -> R) -> Option<R> {
    if APART.replace(true) {
        return None;
    }
    let result = run();
    APART.set(false);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interrupts_goes_without() {
        assert_eq!(apart(|| apart(|| 1)), Some(None));
        assert_eq!(apart(|| 2), Some(2));
    }
}
