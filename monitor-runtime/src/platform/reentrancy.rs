//! What takes a lock or memory on the caller's thread runs apart: a signal handler that interrupts it and
//! makes a monitored call of its own must not ask for the same again, which would wait for itself for ever.
//! Such a call gives up what it would have needed. In: what is to be run. Out: its result, or none.

use std::cell::Cell;

thread_local! {
    /// Const and without Drop: an access is one load, and works in destructors of other thread-locals.
    static APART: Cell<bool> = const { Cell::new(false) };
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread is the recorder's own: monitored calls on it, by an allocator of the program's, are
/// let through. Their records would be drained by the step that makes them, which would never end.
pub(crate) fn claim_thread() {
    OURS.set(true);
}

/// Runs it on the recorder's own thread as on one of the program's, whose calls are recorded: what a call
/// costs is measured that way.
pub(crate) fn as_the_programs<R>(run: impl FnOnce() -> R) -> R {
    let before = OURS.replace(false);
    let result = run();
    OURS.set(before);
    result
}

/// Whether this thread is the recorder's own.
pub(crate) fn is_ours() -> bool {
    OURS.get()
}

/// Runs it, unless this thread has been interrupted while it ran something here.
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
