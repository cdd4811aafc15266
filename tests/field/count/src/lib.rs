//! An independent count of calls: each function has a counter of its own, and the counters are written to a file when the
//! process exits.
//!
//! Takes a file and a line for each function that is called; gives a line `file:line count` for each of them, in a file of
//! the process in the folder `FIELD_COUNTS`. A process that is killed or aborts leaves no file. The package knows nothing
//! of the recorder.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// The counter of one function.
#[derive(Debug)]
pub struct Counter {
    file: &'static str,
    line: u32,
    calls: AtomicU64,
    is_listed: AtomicBool,
    next: AtomicPtr<Counter>,
}

/// The counters of all functions that were called, as a list.
static FIRST: AtomicPtr<Counter> = AtomicPtr::new(std::ptr::null_mut());

extern "C" {
    fn atexit(function: extern "C" fn()) -> i32;
}

impl Counter {
    /// Returns a counter at zero.
    #[must_use]
    pub const fn new(file: &'static str, line: u32) -> Self {
        let (calls, is_listed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { file, line, calls, is_listed, next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Counts a call.
    #[inline]
    pub fn hit(&'static self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.is_listed.load(Ordering::Relaxed) {
            self.list();
        }
    }

    #[cold]
    fn list(&'static self) {
        if self.is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = std::ptr::from_ref(self).cast_mut();
        let mut first = FIRST.load(Ordering::Acquire);
        loop {
            self.next.store(first, Ordering::Relaxed);
            match FIRST.compare_exchange(first, this, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(other) => first = other,
            }
        }
        if first.is_null() {
            // SAFETY: `atexit` takes any function without arguments, and `write` lives as long as the process.
            unsafe { atexit(write) };
        }
    }
}

/// Writes all counters to the file of this process.
extern "C" fn write() {
    let Some(folder) = std::env::var_os("FIELD_COUNTS") else { return };
    let path = std::path::Path::new(&folder).join(std::process::id().to_string());
    let mut text = Vec::new();
    let mut at = FIRST.load(Ordering::Acquire);
    // SAFETY: the list holds counters that live as long as the process.
    while let Some(counter) = unsafe { at.as_ref() } {
        let _ = writeln!(text, "{}:{} {}", counter.file, counter.line, counter.calls.load(Ordering::Relaxed));
        at = counter.next.load(Ordering::Acquire);
    }
    let _ = std::fs::write(path, text);
}
