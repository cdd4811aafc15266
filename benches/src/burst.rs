//! Measures cases in bursts. A burst is some thousand calls in a row; the function with the attribute and
//! the same function without it take turns, and before each burst a pause lets the collector catch up.
//!
//! The module takes cases and returns the nanoseconds that the attribute adds to a call, as the median
//! over the bursts. The first calls of a burst are never measured, because after the pause the caches hold
//! the collector's data, in every case alike. The module does not know which recorder is measured.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::{Figures, median};

/// A function in two forms. Each form is a loop of its own that makes the given number of passes.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The case's name in the table.
    pub name: &'static str,
    /// Calls in a pass.
    pub calls: u32,
    /// The loop around the function without the attribute.
    pub baseline: fn(u32),
    /// The loop around the function with the attribute.
    pub measured: fn(u32),
}

/// Makes a [`Case`] from two expressions, each of which is one pass. The arguments are the name, the calls
/// in a pass (1 if left out), the expression without the attribute, and the expression with it.
#[macro_export]
macro_rules! case {
    ($name:expr, $baseline:expr, $measured:expr) => {
        $crate::case!($name, 1, $baseline, $measured)
    };
    ($name:expr, $calls:expr, $baseline:expr, $measured:expr) => {
        $crate::Case {
            name: $name,
            calls: $calls,
            baseline: |passes| (0..passes).for_each(|_| _ = ::std::hint::black_box($baseline)),
            measured: |passes| (0..passes).for_each(|_| _ = ::std::hint::black_box($measured)),
        }
    };
}

/// The settings of a measurement.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a closure has none")]
pub struct Bursts<'a> {
    /// Threads that call at the same time.
    pub threads: usize,
    /// Bursts of each case. The result is their median.
    pub repeats: usize,
    /// Calls in a burst.
    pub calls: u32,
    /// Returns once the collector has taken everything that was recorded.
    pub settle: &'a (dyn Fn() + Sync),
}

/// Calls at the start of a burst that are not measured.
pub const WARM: u32 = 64;

/// The time that one burst took on one thread.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: Instant,
    end: Instant,
    calls: u32,
}

impl Bursts<'_> {
    /// Returns the nanoseconds added per call, by case. A case for several threads is missing if its
    /// threads never ran at the same time.
    ///
    /// # Panics
    /// Panics if a case panics.
    #[must_use]
    pub fn measure(&self, cases: &[Case]) -> Figures {
        let meeting = &Meeting::new(self.threads);
        let threads: Vec<Vec<[Vec<Span>; 2]>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|nth| scope.spawn(move || self.run(cases, meeting, nth == 0)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        let ns = |case: usize, form: usize| {
            let threads: Vec<&[Span]> =
                threads.iter().filter_map(|cases| Some(&*cases.get(case)?[form])).collect();
            median_ns_per_call(&threads)
        };
        let added =
            cases.iter().enumerate().map(|(nth, case)| (case.name.to_owned(), ns(nth, 1) - ns(nth, 0)));
        added.filter(|(_, ns)| ns.is_finite()).collect()
    }

    /// Runs all bursts of one thread. Returns their times by case: without the attribute, and with it.
    fn run(&self, cases: &[Case], meeting: &Meeting, leads: bool) -> Vec<[Vec<Span>; 2]> {
        let mut spans = vec![[const { Vec::new() }; 2]; cases.len()];
        for _ in 0..self.repeats {
            for (case, spans) in cases.iter().zip(&mut spans) {
                for (form, spans) in [case.baseline, case.measured].into_iter().zip(spans) {
                    if leads {
                        (self.settle)();
                    }
                    meeting.wait_asleep();
                    form(WARM.div_ceil(case.calls));
                    meeting.start_together();
                    spans.push(self.burst(case, form));
                }
            }
        }
        spans
    }

    fn burst(&self, case: &Case, form: fn(u32)) -> Span {
        let passes = (self.calls / case.calls).max(1);
        let start = Instant::now();
        form(passes);
        Span { start, end: Instant::now(), calls: passes * case.calls }
    }
}

/// Returns the median of the nanoseconds per call. With several threads only those bursts count that
/// coincide with a burst of another thread: on a busy machine not all do. Returns NaN if none coincides.
fn median_ns_per_call(threads: &[&[Span]]) -> f64 {
    let mut all = Vec::new();
    let mut together = Vec::new();
    for (nth, thread) in threads.iter().enumerate() {
        for (burst, span) in thread.iter().enumerate() {
            let ns = (span.end - span.start).as_secs_f64() * 1e9 / f64::from(span.calls);
            all.push(ns);
            let others = threads.iter().enumerate().filter(|(other, _)| *other != nth);
            if others.filter_map(|(_, other)| other.get(burst)).any(|other| coincide(span, other)) {
                together.push(ns);
            }
        }
    }
    let counts = if threads.len() > 1 { together } else { all };
    median(&counts)
}

/// Returns whether two spans overlap in at least nine tenths of the longer one. A span that merely covers
/// the other does not count, because its thread may have been taken off its processor meanwhile.
fn coincide(span: &Span, other: &Span) -> bool {
    let common = span.end.min(other.end).saturating_duration_since(span.start.max(other.start));
    common * 10 >= (span.end - span.start).max(other.end - other.start) * 9
}

/// A meeting point of the measured threads. They sleep while one of them lets the collector catch up, and
/// spin until the last one arrives, so that all start at the same moment.
struct Meeting {
    asleep: Barrier,
    threads: usize,
    arrived: AtomicUsize,
}

/// Turns of the spinning wait before the processor is offered to other threads.
const SPINS: u32 = 1000;

impl Meeting {
    fn new(threads: usize) -> Self {
        Self { asleep: Barrier::new(threads), threads, arrived: AtomicUsize::new(0) }
    }

    fn wait_asleep(&self) {
        self.asleep.wait();
    }

    /// Spins until all threads have arrived. They start together only if there is a processor for each.
    ///
    /// The increment and the load form a barrier: what a thread did before it arrived is visible to all
    /// threads after they leave.
    fn start_together(&self) {
        let turn = self.arrived.fetch_add(1, Ordering::AcqRel) / self.threads;
        let mut spins = 0;
        while self.arrived.load(Ordering::Acquire) < (turn + 1) * self.threads {
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}
