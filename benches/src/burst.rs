//! Measuring in bursts: a case and the same without the attribute, in turn, a few thousand calls each,
//! with a pause before each in which whoever collects can catch up.
//!
//! In: cases. Out: nanoseconds added per call, as the median over the bursts. The first calls of a burst
//! are not measured: after the pause the caches hold the collector's data, in all cases alike.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::{Figures, Spread};

/// A function in two forms. Each field makes so many passes, in a loop of its own.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What the table calls it.
    pub name: &'static str,
    /// Calls in a pass.
    pub calls: u32,
    /// The loop around the function without the attribute.
    pub without: fn(u32),
    /// The loop around the function with it.
    pub with: fn(u32),
}

/// A [`Case`] from two expressions that each are one pass: name, calls in a pass where they are not one,
/// the expression without the attribute, the expression with it.
#[macro_export]
macro_rules! case {
    ($name:expr, $without:expr, $with:expr) => {
        $crate::case!($name, 1, $without, $with)
    };
    ($name:expr, $calls:expr, $without:expr, $with:expr) => {
        $crate::Case {
            name: $name,
            calls: $calls,
            without: |passes| (0..passes).for_each(|_| _ = ::std::hint::black_box($without)),
            with: |passes| (0..passes).for_each(|_| _ = ::std::hint::black_box($with)),
        }
    };
}

/// How to measure.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a closure has none")]
pub struct Bursts<'a> {
    /// How many call at once.
    pub threads: usize,
    /// Measurements of each case, of which the median counts.
    pub repeats: usize,
    /// Calls in a burst.
    pub calls: u32,
    /// Returns when all that was recorded has been collected.
    pub settle: &'a (dyn Fn() + Sync),
}

/// Calls before a burst that are not measured.
const WARM: u32 = 64;

/// One form of a case in one burst on one thread.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: Instant,
    end: Instant,
    calls: u32,
}

impl Bursts<'_> {
    /// Nanoseconds added per call, by case; none of a case for several threads that never ran at the
    /// same time.
    ///
    /// # Panics
    /// Where a case does.
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
            ns_per_call(&threads)
        };
        let added =
            cases.iter().enumerate().map(|(nth, case)| (case.name.to_owned(), ns(nth, 1) - ns(nth, 0)));
        added.filter(|(_, ns)| ns.is_finite()).collect()
    }

    /// One thread's part: the bursts of each case, without and with.
    fn run(&self, cases: &[Case], meeting: &Meeting, leads: bool) -> Vec<[Vec<Span>; 2]> {
        let mut spans = vec![[const { Vec::new() }; 2]; cases.len()];
        for _ in 0..self.repeats {
            for (case, spans) in cases.iter().zip(&mut spans) {
                for (form, spans) in [case.without, case.with].into_iter().zip(spans) {
                    if leads {
                        (self.settle)();
                    }
                    meeting.rest();
                    form(WARM.div_ceil(case.calls));
                    meeting.start();
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

/// The median over all bursts, of several threads over those that coincided with another thread's: on a
/// busy machine not all do. Not a number where none did.
fn ns_per_call(threads: &[&[Span]]) -> f64 {
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
    Spread::of(&counts).map_or(f64::NAN, |spread| spread.median)
}

/// Whether two spans nearly coincide. One that merely covers the other may be that of a thread that
/// was taken off its processor meanwhile.
fn coincide(span: &Span, other: &Span) -> bool {
    let common = span.end.min(other.end).saturating_duration_since(span.start.max(other.start));
    common * 10 >= (span.end - span.start).max(other.end - other.start) * 9
}

/// Where threads wait for each other: asleep while one lets the collector catch up, awake to start at
/// the same moment.
struct Meeting {
    rest: Barrier,
    threads: usize,
    arrived: AtomicUsize,
}

/// Turns of a spinning wait before the processor is offered to others.
const SPINS: u32 = 1000;

impl Meeting {
    fn new(threads: usize) -> Self {
        Self { rest: Barrier::new(threads), threads, arrived: AtomicUsize::new(0) }
    }

    fn rest(&self) {
        self.rest.wait();
    }

    /// All start together, as far as there are processors for all of them.
    fn start(&self) {
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
