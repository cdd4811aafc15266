//! The shop's own books: each call, by function and by how it ended, written down by the function
//! itself. They are what the store is compared with, so nothing of the recorder is used here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic;
use std::sync::{Mutex, PoisonError};

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Ok,
    Error,
    Panic,
    Cancelled,
}

/// A function's line in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) function: String,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
    pub(crate) cancelled: u64,
}

static CALLS: Mutex<BTreeMap<&'static str, [u64; 4]>> = Mutex::new(BTreeMap::new());

thread_local! {
    static PANIC_IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Writes a call down.
pub(super) fn note(function: &'static str, end: End) {
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    calls.entry(function).or_default()[end as usize] += 1;
}

/// Writes a call down by its result, and gives the result back.
pub(super) fn noted<T, E>(function: &'static str, result: Result<T, E>) -> Result<T, E> {
    note(function, if result.is_ok() { End::Ok } else { End::Error });
    result
}

/// All lines, by name.
pub(super) fn lines() -> Vec<Line> {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let line = |(function, ends): (&&'static str, &[u64; 4])| Line {
        function: (*function).to_owned(),
        calls: ends.iter().sum(),
        errors: ends[End::Error as usize],
        panics: ends[End::Panic as usize],
        cancelled: ends[End::Cancelled as usize],
    };
    calls.iter().map(line).collect()
}

/// Panics that are part of the workload print nothing; any other prints what it always does.
pub(super) fn silence_expected_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !PANIC_IS_EXPECTED.get() {
            usual(info);
        }
    }));
}

/// Runs what may panic on purpose; the panic ends here.
pub(super) fn expecting_panic(body: impl FnOnce() + panic::UnwindSafe) {
    PANIC_IS_EXPECTED.set(true);
    drop(panic::catch_unwind(body));
    PANIC_IS_EXPECTED.set(false);
}
