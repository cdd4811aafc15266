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

impl Bursts<'_> {
    /// Nanoseconds added per call, by case.
    ///
    /// # Panics
    /// Where a case does.
    #[must_use]
    pub fn measure(&self, cases: &[Case]) -> Figures {
        let meeting = &Meeting::new(self.threads);
        let times: Vec<Vec<[f64; 2]>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|nth| scope.spawn(move || self.run(cases, meeting, nth == 0)))
                .collect();
            let mut all = vec![Vec::new(); cases.len()];
            for thread in threads {
                let of_thread = thread.join().unwrap_or_default();
                for (times, more) in all.iter_mut().zip(of_thread) {
                    times.extend(more);
                }
            }
            all
        });
        cases.iter().zip(times).map(|(case, times)| (case.name.to_owned(), added(&times))).collect()
    }

    /// One thread's part: the times per call without and with, by case and burst.
    fn run(&self, cases: &[Case], meeting: &Meeting, leads: bool) -> Vec<Vec<[f64; 2]>> {
        let mut times = vec![Vec::with_capacity(self.repeats); cases.len()];
        for _ in 0..self.repeats {
            for (case, times) in cases.iter().zip(&mut times) {
                times.push([case.without, case.with].map(|form| {
                    if leads {
                        (self.settle)();
                    }
                    meeting.rest();
                    form(WARM.div_ceil(case.calls));
                    meeting.start();
                    self.burst(case, form)
                }));
            }
        }
        times
    }

    fn burst(&self, case: &Case, form: fn(u32)) -> f64 {
        let passes = (self.calls / case.calls).max(1);
        let start = Instant::now();
        form(passes);
        start.elapsed().as_secs_f64() * 1e9 / f64::from(passes * case.calls)
    }
}

fn added(times: &[[f64; 2]]) -> f64 {
    let median = |form: usize| {
        let times: Vec<f64> = times.iter().map(|forms| forms[form]).collect();
        Spread::of(&times).map_or(f64::NAN, |spread| spread.median)
    };
    median(1) - median(0)
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
