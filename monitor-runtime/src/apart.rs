//! What takes a lock or memory on the caller's thread runs apart: a signal handler that interrupts it and
//! makes a monitored call of its own must not ask for the same again, which would wait for itself for ever.
//! Such a call gives up what it would have needed. In: what is to be run. Out: its result, or none.

use std::cell::Cell;

thread_local! {
    /// Const and without Drop: an access is one load, and works in destructors of other thread-locals.
    static APART: Cell<bool> = const { Cell::new(false) };
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
