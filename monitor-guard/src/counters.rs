//! The figures of a guard.
//!
//! The number of calls rises with each call, so it is the sum of several numbers in cache lines of their own, of which
//! each thread increments one. The other figures change rarely, so each is a single number.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of lines over which calls are spread.
const LINES: usize = 8;

#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

/// The number of calls, spread over cache lines.
#[derive(Debug)]
pub(crate) struct Calls([Line; LINES]);

thread_local! {
    /// The line of this thread, or `LINES` before its first call.
    static LINE: Cell<usize> = const { Cell::new(LINES) };
}

impl Calls {
    pub(crate) const fn new() -> Self {
        Self([const { Line(AtomicU64::new(0)) }; LINES])
    }

    /// Counts a call.
    #[inline]
    pub(crate) fn count(&self) {
        let line = LINE.get();
        let line = self.0.get(line).unwrap_or_else(|| &self.0[choose_line()]);
        line.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

/// Gives the thread its line, in turn.
#[cold]
fn choose_line() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below eight")]
    let line = (NEXT.fetch_add(1, Ordering::Relaxed) % LINES as u64) as usize;
    LINE.set(line);
    line
}

/// A figure that rarely changes.
#[derive(Debug)]
pub(crate) struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The figures of a guard since the process began.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) calls: Calls,
    pub(crate) failures: Count,
    pub(crate) rejected: Count,
    pub(crate) by_value: Count,
    pub(crate) by_cache: Count,
    pub(crate) by_function: Count,
    pub(crate) probes: Count,
    pub(crate) retries: Count,
    pub(crate) retried_ok: Count,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            calls: Calls::new(),
            failures: Count::new(),
            rejected: Count::new(),
            by_value: Count::new(),
            by_cache: Count::new(),
            by_function: Count::new(),
            probes: Count::new(),
            retries: Count::new(),
            retried_ok: Count::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_all_threads_add_up() {
        let calls = Calls::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * LINES {
                scope.spawn(|| (0..10_000).for_each(|_| calls.count()));
            }
        });
        assert_eq!(calls.sum(), 20_000 * LINES as u64);
    }
}
