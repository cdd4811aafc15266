//! Simulations of comparisons: how often `diff` finds a change where there is none, and where there is one.
//!
//! A case is a function whose durations are log-normal, sixty calls in each window of 10 s unless said otherwise. Its
//! load wanders: the level of the durations in a window is a part of the level before and a random step (AR(1)), with a
//! standard deviation of 10 %. The seeds are fixed, so the figures are the same in each run; the bounds leave room for
//! another generator of random numbers.
#![allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "a test prints the shares of its cases")]

use fastrand::Rng;
use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::{self, Histogram};

use super::{Measure, Sample, Side, Verdict, add_intervals, compare};

/// The cases of each kind.
const CASES: u64 = 100;
/// Windows of 30 and of 5 minutes.
const LONG: usize = 180;
const SHORT: usize = 30;

/// A kind of case.
#[derive(Clone, Copy)]
struct Kind {
    /// The part of the level that stays from one window to the next.
    stays: f64,
    calls: u32,
    windows: [usize; 2],
    /// The factor of all durations on the second side.
    body: f64,
    /// The factor of the slowest twentieth on the second side.
    tail: f64,
    /// The failed calls of each window on the second side.
    failed: u64,
    /// True if calls on the second side were only counted.
    is_estimated: bool,
}

const CALM: Kind = Kind {
    stays: 0.0,
    calls: 60,
    windows: [LONG, SHORT],
    body: 1.0,
    tail: 1.0,
    failed: 0,
    is_estimated: false,
};
const WANDERING: Kind = Kind { stays: 0.8, ..CALM };

/// The standard deviation of the level, in binary logarithms: 10 %.
const LEVEL: f64 = 0.14;
/// The standard deviation of the durations within a window, in binary logarithms.
const SPREAD: f64 = 1.0;

/// Returns a number of the standard normal distribution.
fn normal(random: &mut Rng) -> f64 {
    let (a, b) = (1.0 - random.f64(), random.f64());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Returns both sides of a case; the level wanders on from the first to the second.
fn simulate(kind: Kind, seed: u64) -> [Side; 2] {
    let mut random = Rng::with_seed(seed);
    let step = LEVEL * (1.0 - kind.stays * kind.stays).sqrt();
    let mut level = LEVEL * normal(&mut random);
    let mut at = 0;
    [0, 1].map(|side: usize| {
        let mut sample = Sample::default();
        for _ in 0..kind.windows[side] {
            level = level * kind.stays + step * normal(&mut random);
            at += 1;
            let mut buckets = Vec::with_capacity(kind.calls as usize);
            let mut max_ns = 0;
            for _ in 0..kind.calls {
                let deviation = normal(&mut random);
                let mut ns = (20.0 + level + SPREAD * deviation).exp2();
                // The slowest twentieth of a normal distribution lies above 1.645 deviations.
                let is_tail = deviation > 1.645;
                if side == 1 {
                    ns *= kind.body * if is_tail { kind.tail } else { 1.0 };
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration")]
                let ns = ns as u64;
                max_ns = max_ns.max(ns);
                buckets.push((histogram::bucket(ns), 1));
            }
            let stats = CallStats {
                calls: kind.calls.into(),
                errors: if side == 1 { kind.failed } else { 0 },
                max_ns,
                is_estimated: side == 1 && kind.is_estimated,
                ..CallStats::default()
            };
            sample.add(at, &stats, &Histogram::from_buckets(&buckets).to_bytes());
        }
        let sample = sample.finish();
        Side { samples: [("f".to_owned(), sample)].into(), windows: 0, range_ns: None }
    })
}

/// Returns the share of cases with this verdict, in percent.
fn share(kind: Kind, verdict: Verdict) -> f64 {
    let found = (0..CASES).filter(|seed| {
        let [before, after] = simulate(kind, seed + 1);
        compare(&before, &after, 0.1)[0].verdict == verdict
    });
    found.count() as f64 / CASES as f64 * 100.0
}

/// Asserts that the share of cases with a verdict lies within the bounds, in percent.
fn assert_share(name: &str, kind: Kind, verdict: Verdict, bounds: std::ops::RangeInclusive<f64>) {
    let found = share(kind, verdict);
    println!("{name}: {} in {found:.1} % of the cases", verdict.as_str());
    assert!(bounds.contains(&found), "{name}: {} in {found:.1} % of the cases", verdict.as_str());
}

#[test]
fn calm_and_wandering_loads_without_a_change_are_rarely_called_slower() {
    assert_share("calm", CALM, Verdict::Slower, 0.0..=2.0);
    assert_share("wandering", WANDERING, Verdict::Slower, 0.0..=3.0);
    assert_share("strong drift", Kind { stays: 0.95, ..CALM }, Verdict::Slower, 0.0..=4.0);
    assert_share("rare", Kind { calls: 3, ..CALM }, Verdict::Slower, 0.0..=4.0);
}

#[test]
fn calls_that_take_half_as_long_again_are_found_in_five_minutes() {
    assert_share("x 1.25", Kind { body: 1.25, ..WANDERING }, Verdict::Slower, 60.0..=100.0);
    assert_share("x 1.5", Kind { body: 1.5, ..WANDERING }, Verdict::Slower, 88.0..=100.0);
    assert_share("x 2", Kind { body: 2.0, ..WANDERING }, Verdict::Slower, 90.0..=100.0);
    assert_share("rare x 1.5", Kind { calls: 3, body: 1.5, ..CALM }, Verdict::Slower, 88.0..=100.0);
    assert_share("x 0.5", Kind { body: 0.5, ..WANDERING }, Verdict::Faster, 90.0..=100.0);
}

#[test]
fn half_an_hour_finds_a_quarter_more() {
    let kind = Kind { body: 1.25, windows: [LONG, LONG], ..WANDERING };
    assert_share("30 min, x 1.25", kind, Verdict::Slower, 92.0..=100.0);
}

#[test]
fn a_tail_that_alone_got_longer_is_found() {
    assert_share("tail x 2", Kind { tail: 2.0, ..WANDERING }, Verdict::Slower, 88.0..=100.0);
    assert_share("tail x 4", Kind { tail: 4.0, ..WANDERING }, Verdict::Slower, 88.0..=100.0);
    let [before, after] = simulate(Kind { tail: 4.0, ..WANDERING }, 1);
    assert!(matches!(compare(&before, &after, 0.1)[0].measure, Some(Measure::Tail | Measure::FarTail)));
}

#[test]
fn the_interval_mostly_holds_the_true_ratio_and_is_the_same_at_each_reading() {
    let kind = Kind { body: 1.5, windows: [LONG, LONG], ..WANDERING };
    let held = (0..60).filter(|seed| {
        let [before, after] = simulate(kind, 500 + seed);
        let interval = || {
            let mut changes = compare(&before, &after, 0.1);
            add_intervals(&mut changes, [&before, &after]);
            changes[0].interval
        };
        let (low, high) = interval();
        assert_eq!((low, high), interval());
        (low..=high).contains(&1.5)
    });
    let held = held.count();
    println!("the interval held the ratio in {held} of 60 cases");
    // A load that wanders makes the interval too narrow, as the help of `diff` says.
    assert!(held >= 42, "the interval held the ratio in {held} of 60 cases");
}

#[test]
fn few_calls_few_windows_and_estimates_give_no_verdict() {
    let verdict = |kind: Kind| {
        let [before, after] = simulate(kind, 1);
        compare(&before, &after, 0.1)[0].verdict
    };
    assert_eq!(verdict(Kind { windows: [LONG, 3], body: 4.0, ..CALM }), Verdict::TooFew);
    assert_eq!(verdict(Kind { calls: 1, windows: [LONG, 20], body: 4.0, ..CALM }), Verdict::TooFew);
    let [before, after] = simulate(Kind { body: 4.0, is_estimated: true, ..CALM }, 1);
    assert_eq!(compare(&before, &after, 0.1)[0].verdict, Verdict::CannotTell);
    let nothing = Side::default();
    assert_eq!(compare(&before, &nothing, 0.1)[0].verdict, Verdict::TooFew);
    assert_eq!(compare(&nothing, &nothing, 0.1), []);
}

#[test]
fn many_functions_are_tested_without_more_false_alarms() {
    let mut sides = [Side::default(), Side::default()];
    for n in 0..60 {
        let kind = if n == 30 { Kind { body: 2.0, ..CALM } } else { CALM };
        for (all, of_one) in sides.iter_mut().zip(simulate(kind, 9_000 + n)) {
            all.samples.insert(format!("f{n}"), of_one.samples["f"].clone());
        }
    }
    let changes = compare(&sides[0], &sides[1], 0.1);
    let slower: Vec<_> = changes.iter().filter(|change| change.verdict == Verdict::Slower).collect();
    assert_eq!(slower.len(), 1, "{slower:?}");
    assert_eq!(slower[0].function, "f30");
    assert!((slower[0].ratio / 2.0 - 1.0).abs() < 0.15, "{}", slower[0].ratio);
}

#[test]
fn failures_that_became_more_frequent_are_told() {
    let [before, after] = simulate(Kind { failed: 6, ..CALM }, 3);
    let more = &compare(&before, &after, 0.1)[0];
    assert_eq!((more.verdict, more.failed[1]), (Verdict::FailsMore, 180));
    let less = &compare(&after, &before, 0.1)[0];
    assert_eq!(less.verdict, Verdict::FailsLess);
}
