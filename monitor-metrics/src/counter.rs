//! A counter: increments that threads add in cache lines of their own.
//!
//! Each line only grows, so a reader that sums them up misses no increment: the next read has those that this read did
//! not see yet.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use metrics::CounterFn;

use crate::sync::lock;

/// The number of lines over which increments are spread.
const LINES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    lines: [Line; LINES],
    /// Keeps two threads that set the counter at once from adding the same difference twice.
    setting: Mutex<()>,
    is_set: AtomicBool,
}

thread_local! {
    /// The line of this thread, or `LINES` before its first increment.
    static LINE: Cell<usize> = const { Cell::new(LINES) };
}

impl Counter {
    /// Returns the sum of all increments. It wraps around, as each line does.
    pub(crate) fn total(&self) -> u64 {
        self.lines.iter().fold(0, |sum, line| sum.wrapping_add(line.0.load(Ordering::Relaxed)))
    }

    /// Returns true if the program set the counter to a number. Such a counter has a meaning even while nobody holds
    /// it.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }
}

impl CounterFn for Counter {
    #[inline]
    fn increment(&self, value: u64) {
        let line = self.lines.get(LINE.get()).unwrap_or_else(|| &self.lines[choose_line()]);
        line.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.is_set.store(true, Ordering::Relaxed);
        let _setting = lock(&self.setting);
        let more = value.saturating_sub(self.total());
        if more > 0 {
            self.increment(more);
        }
    }
}

/// Gives the thread its line, in turn.
#[cold]
fn choose_line() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let line = NEXT.fetch_add(1, Ordering::Relaxed) % LINES;
    LINE.set(line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_of_all_threads_add_up_while_somebody_reads() {
        let counter = Counter::default();
        let (mut read, mut last) = (0, 0);
        std::thread::scope(|scope| {
            for _ in 0..2 * LINES {
                scope.spawn(|| (0..50_000).for_each(|_| counter.increment(3)));
            }
            for _ in 0..1000 {
                let total = counter.total();
                read += total - last;
                last = total;
            }
        });
        read += counter.total() - last;
        assert_eq!((counter.total(), read), (300_000 * LINES as u64, 300_000 * LINES as u64));
    }

    #[test]
    fn a_counter_that_is_set_never_falls() {
        let counter = Counter::default();
        assert!(!counter.is_set());
        for (value, total) in [(7, 7), (5, 7), (9, 9), (u64::MAX, u64::MAX)] {
            counter.absolute(value);
            assert_eq!(counter.total(), total);
        }
        assert!(counter.is_set());
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|value| counter.absolute(value)));
            }
        });
        assert_eq!(counter.total(), 9_999, "no difference is added twice");
    }
}
