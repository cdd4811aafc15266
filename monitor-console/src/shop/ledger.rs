//! The shop's own ledger: the number of calls of each function by outcome, counted by the functions
//! themselves.
//!
//! `monitor demo` compares the store with this ledger, so nothing of the recorder is used here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic;
use std::sync::{Mutex, PoisonError};

/// The way a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Ok,
    Error,
    Panic,
    Cancelled,
}

/// A function's calls, in all and by outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) function: String,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
    pub(crate) cancelled: u64,
}

/// Calls by function, then by outcome in the order of [`Outcome`].
static CALLS: Mutex<BTreeMap<&'static str, [u64; 4]>> = Mutex::new(BTreeMap::new());

thread_local! {
    static PANIC_IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Counts a call.
pub(super) fn count(function: &'static str, outcome: Outcome) {
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    calls.entry(function).or_default()[outcome as usize] += 1;
}

/// Counts a call as `ok` or `error` by its result, and returns the result.
pub(super) fn count_result<T, E>(function: &'static str, result: Result<T, E>) -> Result<T, E> {
    count(function, if result.is_ok() { Outcome::Ok } else { Outcome::Error });
    result
}

/// Returns an entry for each function that was called, ordered by name.
pub(super) fn read_entries() -> Vec<Entry> {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = |(function, outcomes): (&&'static str, &[u64; 4])| Entry {
        function: (*function).to_owned(),
        calls: outcomes.iter().sum(),
        errors: outcomes[Outcome::Error as usize],
        panics: outcomes[Outcome::Panic as usize],
        cancelled: outcomes[Outcome::Cancelled as usize],
    };
    calls.iter().map(entry).collect()
}

/// Installs a panic hook that prints nothing for panics of the workload, and hands every other panic to
/// the hook that was installed before.
pub(super) fn silence_expected_panics() {
    let previous_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !PANIC_IS_EXPECTED.get() {
            previous_hook(info);
        }
    }));
}

/// Runs code that may panic on purpose, catches the panic and prints nothing about it.
pub(super) fn catch_expected_panic(body: impl FnOnce() + panic::UnwindSafe) {
    PANIC_IS_EXPECTED.set(true);
    drop(panic::catch_unwind(body));
    PANIC_IS_EXPECTED.set(false);
}
