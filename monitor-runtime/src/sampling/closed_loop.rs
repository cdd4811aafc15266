//! Tests sampling as a whole in a closed loop: calls are sampled at a rate that the ladder moves, and tail
//! sampling removes rows where a drain brings more than are allowed, in many runs with fixed seeds.

use std::collections::HashMap;

use super::ladder::{AIM, Bounds, Budget, Costs, Cpu, Load, Place, Reason, Rung, Tree, TreePart};
use super::tail::{Round, SampledBy, SampledCall, TailSampling, TokenBucket};
use super::{Random, next_gap, weight};

const BOUNDS: Bounds = Bounds { rows_per_s: 200.0, overhead: 1.0 };
const DRAIN_S: f64 = 0.1;

/// Calls in each tenth of a second: quiet, bursts from the first moment on, floods, quiet again.
fn calls_in(drain: usize) -> u32 {
    match drain {
        0 => 3000,
        20..=34 if drain.is_multiple_of(5) => 8000,
        40..50 => 20_000,
        _ => [3, 0, 25, 40][drain % 4],
    }
}

/// Runs the loop and returns the estimate by weights, the exact number of calls, and the rows.
fn run(seed: u64, requested: f64) -> (f64, f64, f64) {
    let mut random = Random::new(seed);
    let (mut rung, mut bucket) = (Rung::default(), TokenBucket::default());
    let (mut estimate, mut exact, mut rows) = (0.0, 0.0, 0.0);
    let (mut budget, mut load, mut weights, mut first) = (Budget::default(), Load::default(), 0.0, 8);
    for drain in 0..80 {
        let rate = requested.min(rung.cap);
        let calls = calls_in(drain);
        let mut sampled = Vec::new();
        let mut at = u64::from(next_gap(rate, random.draw()));
        while at < u64::from(calls) {
            let span = first + at;
            sampled.push(SampledCall {
                site: 1,
                span,
                parent: 0,
                trace: span,
                start: span,
                by: SampledBy::Chance,
            });
            at += 1 + u64::from(next_gap(rate, random.draw()));
        }
        first += u64::from(calls);
        exact += f64::from(calls);
        load.calls += f64::from(calls);
        load.records += sampled.len() as f64;
        weights += sampled.len() as f64 / rate;
        bucket.fill(DRAIN_S, BOUNDS.rows_per_s);
        let share = bucket.take(sampled.len() as u64);
        if share < 1.0 {
            let calls_per_s = sampled.len() as f64 / rate / DRAIN_S;
            let because = Reason::Rows { function: 1, rows: calls_per_s };
            rung.cut(AIM * BOUNDS.rows_per_s / calls_per_s, because);
        }
        let (shares, none) = ([(1, share)].into(), HashMap::new());
        let round = Round { shares: &shares, in_flight: &none, take_first: |_| false, seed };
        let spans: Vec<u64> = sampled.iter().map(|call| call.span).collect();
        let decisions = TailSampling::new(crate::limits::DECISIONS_MAX).decide(sampled, round);
        let shares = spans.iter().map(|span| decisions.decision(*span).probability);
        for share in shares.filter(|share| *share > 0.0) {
            estimate += weight(rate) / share;
            rows += 1.0;
        }
        if drain % 10 == 9 {
            let load = std::mem::take(&mut load);
            let (records, calls) = (load.records, std::mem::take(&mut weights));
            let trees = Vec::from([Tree {
                root: 0,
                parts: vec![TreePart { place: 0, records, rows: records, calls }],
            }]);
            let mut places = [Place { function: 1, rung: &mut rung, load, requested }];
            let kept = budget.keep(&mut places, trees, &Costs::default(), (Cpu::default(), 1.0), &BOUNDS);
            assert!(kept.is_some());
        }
    }
    (estimate, exact, rows)
}

#[test]
fn weights_are_unbiased_while_the_ladder_moves_and_bursts_are_thinned_over_many_runs() {
    for requested in [1.0, 0.2] {
        let runs = 600;
        let (mut sum, mut squares, mut most, mut exact) = (0.0, 0.0, 0.0_f64, 0.0);
        for seed in 0..runs {
            let (estimate, calls, rows) = run(0x5EED_0000 + seed * 7919, requested);
            sum += estimate;
            squares += estimate * estimate;
            most = most.max(rows);
            exact = calls;
        }
        let runs = runs as f64;
        let mean = sum / runs;
        let error = ((squares / runs - mean * mean) / runs).sqrt();
        // The mean may be off by four times its standard error, which comes from the runs themselves. That is small
        // enough that a bias of a twelfth would show.
        assert!((mean - exact).abs() < 4.0 * error, "{requested}: {mean} for {exact}, error {error}");
        assert!(error < 0.02 * exact, "{requested}: {error}");
        // The rows of eight seconds, those allowed before, and an allowance for chance.
        assert!(most < 200.0 * 9.0 + 150.0, "{requested}: {most} rows");
    }
}
