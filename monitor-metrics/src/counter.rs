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
    /// The number from which the program's absolute numbers are counted, once there is one. The lock keeps two threads that
    /// set the counter at once from adding the same difference twice.
    base: Mutex<Option<u64>>,
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

    /// Counts what a total has grown by since the first call. The first total itself is not counted, because the store adds
    /// up what the processes count, and a total of the kernel or of a device goes on from one process to the next. A counter
    /// that was incremented before is one of the process, which begins at 0.
    fn absolute(&self, value: u64) {
        self.is_set.store(true, Ordering::Relaxed);
        let mut base = lock(&self.base);
        let total = self.total();
        let base = *base.get_or_insert(if total == 0 { value } else { 0 });
        let more = value.saturating_sub(base).saturating_sub(total);
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
    fn a_counter_that_is_set_counts_from_the_first_total_on_and_never_falls() {
        let counter = Counter::default();
        assert!(!counter.is_set());
        for (value, total) in [(7, 0), (5, 0), (9, 2), (8, 2), (u64::MAX, u64::MAX - 7)] {
            counter.absolute(value);
            assert_eq!(counter.total(), total);
        }
        assert!(counter.is_set());
        let counter = Counter::default();
        counter.increment(5);
        for (value, total) in [(9, 9), (3, 9), (12, 12)] {
            counter.absolute(value);
            assert_eq!(counter.total(), total, "a counter of the process begins at 0");
        }
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|value| counter.absolute(value)));
            }
        });
        assert_eq!(counter.total(), 9_999, "no difference is added twice");
    }
}
