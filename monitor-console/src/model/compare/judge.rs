//! The verdict on each function: tests, gates, and adjustment for the number of functions.

use std::collections::BTreeSet;

use super::interval;
use super::sample::{Pooled, Sample, Series};
use super::side::Side;
use crate::model::number::to_f64;
use crate::model::parallel::map_in_threads;
use crate::model::statistics::series::measure_autocorrelation;
use crate::model::statistics::{multiple, rank};

/// The share of false alarms among the alarms, split over the three measures of duration.
const ALPHA: f64 = 0.01;
/// The number of measures of duration.
const MEASURES: f64 = 3.0;
/// The number of calls above a percentile that must be expected on the second side for a test of their share: with
/// fewer, a single chance hit makes a large share.
const EXPECTED_MIN: f64 = 5.0;
/// The least ratio that matters between the shares of calls above a percentile on both sides: above the 95th, and above
/// the 99th percentile.
const TAIL_RATIOS: [f64; 2] = [1.3, 1.5];
/// The fewest calls and windows of a side, and the fewest independent windows that these are worth.
const CALLS_MIN: u64 = 30;
const WINDOWS_MIN: usize = 5;
const EFFECTIVE_MIN: f64 = 3.0;
/// The least ratio and the least difference of the shares of failed calls that matter.
const FAILED_RATIO: f64 = 1.5;
const FAILED_DIFFERENCE: f64 = 0.01;

/// The verdict on a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The function's calls take longer.
    Slower,
    /// More of the function's calls fail.
    FailsMore,
    /// Fewer of the function's calls fail.
    FailsLess,
    /// The function's calls take less time.
    Faster,
    /// The function's durations are estimates.
    CannotTell,
    /// The function has too few calls or windows on a side.
    TooFew,
    /// No difference was found.
    Same,
}

impl Verdict {
    /// Returns the verdict in words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slower => "slower",
            Self::FailsMore => "fails more",
            Self::FailsLess => "fails less",
            Self::Faster => "faster",
            Self::CannotTell => "cannot tell (estimated)",
            Self::TooFew => "too few",
            Self::Same => "same",
        }
    }
}

/// The measure that decided a verdict on durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The mean logarithm of the durations.
    Body,
    /// The share of calls above the 95th percentile of the side before.
    Tail,
    /// The share of calls above the 99th percentile of the side before.
    FarTail,
}

/// The comparison of a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The function.
    pub(crate) function: String,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The measure that decided, for `slower` and `faster`.
    pub(crate) measure: Option<Measure>,
    /// True if a function that it calls got slower, and its own time did not grow by as much.
    pub(crate) is_passed_on: bool,
    /// The ratio of the typical durations (geometric means), after to before.
    pub(crate) ratio: f64,
    /// The 95 % interval of the ratio; not a number before [`add_intervals`], and for a function that has too few calls.
    pub(crate) interval: (f64, f64),
    /// The ratio of the shares of calls above the 95th percentile of the side before.
    pub(crate) tail_ratio: f64,
    /// The adjusted p-value of the verdict; 1 without one.
    pub(crate) p: f64,
    /// Windows of both sides.
    pub(crate) windows: [u64; 2],
    /// Calls of both sides.
    pub(crate) calls: [u64; 2],
    /// Failed calls of both sides.
    pub(crate) failed: [u64; 2],
    /// The 50th and the 99th percentile of both sides, in ns.
    pub(crate) percentiles: [[u64; 2]; 2],
}

/// Marks the functions that got slower because functions that they call did. `edges` are pairs of caller and callee.
pub(crate) fn trace_causes(changes: &mut [Change], sides: [&Side; 2], edges: &[(String, String)]) {
    let slower: BTreeSet<String> = changes
        .iter()
        .filter(|change| change.verdict == Verdict::Slower)
        .map(|change| change.function.clone())
        .collect();
    for change in changes.iter_mut().filter(|change| change.verdict == Verdict::Slower) {
        let calls_slower = edges.iter().any(|(caller, callee)| {
            *caller == change.function && *callee != change.function && slower.contains(callee)
        });
        // The rise of the mean time of a call, and the part of it outside of monitored calls.
        let means = sides.map(|side| side.samples.get(&change.function).map_or([0.0; 2], Sample::mean_times));
        let [whole, own] = [0, 1].map(|at: usize| means[1][at] - means[0][at]);
        change.is_passed_on = calls_slower && own < whole * OWN_SHARE;
    }
}

/// The share of a slowdown that a function's own time has to make up if one of its callees got slower as well.
const OWN_SHARE: f64 = 0.5;

/// The p-values of one function: slower and faster, by measure, and fails more and less.
struct Tested {
    durations: [[f64; 3]; 2],
    failures: [f64; 2],
    gates: [[bool; 3]; 2],
    failure_gates: [bool; 2],
    excuse: Option<Verdict>,
}

/// Compares all functions that both sides have; `min_change` is the least change of typical durations that matters, 0.1
/// for 10 %. The most important verdict comes first.
pub(crate) fn compare(before: &Side, after: &Side, min_change: f64) -> Vec<Change> {
    let names: BTreeSet<&String> = before.samples.keys().chain(after.samples.keys()).collect();
    let empty = Sample::default();
    let pairs: Vec<(&String, [&Sample; 2])> = names
        .into_iter()
        .map(|name| (name, [before, after].map(|side| side.samples.get(name).unwrap_or(&empty))))
        .collect();
    let tested: Vec<Tested> = map_in_threads(&pairs, |(_, samples)| test(*samples, min_change));
    // Each function is one test in each direction: its smallest p-value, adjusted for the three measures.
    let adjust = |p: &dyn Fn(&Tested) -> f64| multiple::adjust(&tested.iter().map(p).collect::<Vec<_>>());
    let smallest = |direction: usize| {
        move |tested: &Tested| {
            (tested.durations[direction].iter().copied().fold(1.0, f64::min) * MEASURES).min(1.0)
        }
    };
    let adjusted = [0, 1].map(|direction| adjust(&smallest(direction)));
    let adjusted_failures =
        [0, 1].map(|direction: usize| adjust(&|tested: &Tested| tested.failures[direction]));
    let mut changes: Vec<Change> = pairs
        .iter()
        .zip(&tested)
        .enumerate()
        .map(|(at, ((name, samples), tested))| {
            // The factor by which the adjustment for the number of functions raised the smallest p-value.
            let factors = [0, 1].map(|direction| {
                let own = smallest(direction)(tested);
                if own > 0.0 { adjusted[direction][at] / own } else { 1.0 }
            });
            let failures = [0, 1].map(|direction: usize| adjusted_failures[direction][at]);
            describe(name, *samples, tested, factors, failures)
        })
        .collect();
    changes.sort_by(|a, b| {
        let size = |change: &Change| (change.ratio.max(1e-9).ln().abs() * 1e6).round();
        a.verdict
            .cmp(&b.verdict)
            .then_with(|| size(b).total_cmp(&size(a)))
            .then_with(|| a.function.cmp(&b.function))
    });
    changes
}

/// Adds the intervals of the ratios, which takes about as long as the comparison: for those that are shown.
pub(crate) fn add_intervals(changes: &mut [Change], sides: [&Side; 2]) {
    let intervals = map_in_threads(changes, |change| {
        let samples = sides.map(|side| side.samples.get(&change.function));
        match samples {
            [Some(before), Some(after)]
                if change.verdict != Verdict::TooFew
                    && [before, after].iter().all(|sample| sample.histogram().total() > 0) =>
            {
                interval::estimate([before, after], before.find_bounds())
            }
            _ => (f64::NAN, f64::NAN),
        }
    });
    for (change, interval) in changes.iter_mut().zip(intervals) {
        change.interval = interval;
    }
}

fn test(samples: [&Sample; 2], min_change: f64) -> Tested {
    let bounds = samples[0].find_bounds();
    let pooled = samples.map(|sample| sample.pool(bounds));
    let excuse = if samples.iter().any(|sample| sample.calls() < CALLS_MIN) {
        Some(Verdict::TooFew)
    } else {
        samples.iter().any(|sample| sample.is_estimated()).then_some(Verdict::CannotTell)
    };
    let mut tested = Tested {
        durations: [[1.0; 3]; 2],
        failures: [1.0; 2],
        gates: [[false; 3]; 2],
        failure_gates: [false; 2],
        excuse,
    };
    if tested.excuse == Some(Verdict::TooFew) {
        return tested;
    }
    let series = samples.map(|sample| sample.series(bounds));
    let measures: [fn(&Series) -> &Vec<f64>; 3] =
        [|series| &series.body, |series| &series.tail, |series| &series.far_tail];
    let body_time = measure_autocorrelation(&series[0].body);
    for (at, measure) in measures.into_iter().enumerate() {
        let time = if at == 0 { body_time } else { body_time.sqrt() };
        let Some(p) = test_both_ways([measure(&series[0]), measure(&series[1])], time) else {
            tested.excuse = tested.excuse.or(Some(Verdict::TooFew));
            return tested;
        };
        let expected = [1.0, pooled[0].shares[0], pooled[0].shares[1]][at] * to_f64(samples[1].calls());
        if expected >= EXPECTED_MIN {
            tested.durations[0][at] = p[0];
            tested.durations[1][at] = p[1];
        }
    }
    tested.gates = find_gates(samples, &pooled, min_change);
    if let Some(p) = test_both_ways([&series[0].failed, &series[1].failed], 1.0) {
        tested.failures = p;
        let shares = pooled.map(|pooled| pooled.failed);
        let is_more = |from: f64, to: f64| to >= from * FAILED_RATIO && to - from >= FAILED_DIFFERENCE;
        tested.failure_gates = [is_more(shares[0], shares[1]), is_more(shares[1], shares[0])];
    }
    tested
}

/// Tests whether the second series is larger, and whether it is smaller; `None` if a side has too few effective values.
/// The autocorrelation time is that of the first series, but at least `time_min`: the shares of a tail follow the same
/// load as the body, which their noise hides.
fn test_both_ways(series: [&Vec<f64>; 2], time_min: f64) -> Option<[f64; 2]> {
    let time = measure_autocorrelation(series[0]).max(time_min);
    let sizes = series.map(|series| to_f64(series.len() as u64) / time);
    let is_short = series.iter().any(|series| series.len() < WINDOWS_MIN);
    if is_short || sizes.iter().any(|size| *size < EFFECTIVE_MIN) {
        return None;
    }
    let [before, after] = series;
    Some(rank::test_both_ways(before, after, sizes))
}

/// Returns which measures changed by an amount that matters: upwards, and downwards.
fn find_gates(samples: [&Sample; 2], pooled: &[Pooled; 2], min_change: f64) -> [[bool; 3]; 2] {
    let ratio = (pooled[1].body - pooled[0].body).exp2();
    // A percentile that no call of a side exceeded counts as exceeded by half a call.
    let share =
        |side: usize, tail: usize| pooled[side].shares[tail].max(0.5 / to_f64(samples[side].calls().max(1)));
    let rises = |tail: usize| share(1, tail) / share(0, tail) >= TAIL_RATIOS[tail];
    let falls = |tail: usize| share(0, tail) / share(1, tail) >= TAIL_RATIOS[tail];
    [[ratio >= 1.0 + min_change, rises(0), rises(1)], [ratio <= 1.0 / (1.0 + min_change), falls(0), falls(1)]]
}

fn describe(
    name: &str,
    samples: [&Sample; 2],
    tested: &Tested,
    factors: [f64; 2],
    failures: [f64; 2],
) -> Change {
    let bounds = samples[0].find_bounds();
    let pooled = samples.map(|sample| sample.pool(bounds));
    let floor = |side: usize| 0.5 / to_f64(samples[side].calls().max(1));
    let (verdict, measure, p) = decide(tested, factors, failures);
    let has_both = samples.iter().all(|sample| sample.histogram().total() > 0);
    Change {
        function: name.to_owned(),
        verdict,
        measure,
        is_passed_on: false,
        ratio: if has_both { (pooled[1].body - pooled[0].body).exp2() } else { 1.0 },
        interval: (f64::NAN, f64::NAN),
        tail_ratio: pooled[1].shares[0].max(floor(1)) / pooled[0].shares[0].max(floor(0)),
        p,
        windows: samples.map(Sample::number),
        calls: samples.map(Sample::calls),
        failed: samples.map(Sample::failed),
        percentiles: samples.map(|sample| {
            let histogram = sample.histogram();
            [0.5, 0.99].map(|share| histogram.percentile(share, sample.max_ns()))
        }),
    }
}

/// Returns the verdict, the measure that decided, and its adjusted p-value.
fn decide(tested: &Tested, factors: [f64; 2], failures: [f64; 2]) -> (Verdict, Option<Measure>, f64) {
    let measures = [Measure::Body, Measure::Tail, Measure::FarTail];
    let best = |direction: usize| {
        let passed = (0..3).filter(|at| tested.gates[direction][*at]).map(|at| {
            ((tested.durations[direction][at] * MEASURES * factors[direction]).min(1.0), measures[at])
        });
        // The body carries the most information, so it comes first if several measures changed.
        passed.into_iter().find(|(p, _)| *p <= ALPHA)
    };
    let failed = |direction: usize| tested.failure_gates[direction] && failures[direction] <= ALPHA;
    if tested.excuse.is_some_and(|excuse| excuse == Verdict::TooFew) {
        return (Verdict::TooFew, None, 1.0);
    }
    let of_durations = match (best(0), best(1)) {
        _ if tested.excuse.is_some() => None,
        (Some((p, measure)), None) => Some((Verdict::Slower, Some(measure), p)),
        (Some(slower), Some(faster)) if slower.0 <= faster.0 => {
            Some((Verdict::Slower, Some(slower.1), slower.0))
        }
        (_, Some((p, measure))) => Some((Verdict::Faster, Some(measure), p)),
        (None, None) => None,
    };
    match of_durations {
        Some(slower @ (Verdict::Slower, ..)) => slower,
        _ if failed(0) => (Verdict::FailsMore, None, failures[0]),
        Some(faster) => faster,
        None if failed(1) => (Verdict::FailsLess, None, failures[1]),
        None => (tested.excuse.unwrap_or(Verdict::Same), None, 1.0),
    }
}
