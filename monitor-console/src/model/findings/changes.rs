//! Findings about functions that changed within the last ten minutes of the span, against the hour before.

use super::{Facts, Finding, Level, quote_shell, quote_sql, shorten};
use crate::model::compare::{Change, Measure, Sample, Verdict};
use crate::units::{format_count, format_duration, format_nanoseconds, format_percent};

/// The rise of calls a second, and the rank correlation of rate and duration, from which load explains a slowdown.
const LOAD_RATIO: f64 = 1.5;
const LOAD_CORRELATION: f64 = 0.6;

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    facts.changes.iter().filter_map(|change| describe(facts, change)).collect()
}

fn describe(facts: &Facts, change: &Change) -> Option<Finding> {
    let name = shorten(&change.function);
    let recent = facts.describe_recent();
    let rates = [0, 1].map(|side| rate(facts, change, side));
    let called = match rates[1] / rates[0].max(1e-9) {
        ratio if ratio >= LOAD_RATIO => format!("called {} times as often", format_count(ratio)),
        ratio if ratio <= 1.0 / LOAD_RATIO => "called less often".to_owned(),
        _ => "called as often as before".to_owned(),
    };
    let p99 = change
        .percentiles
        .map(|percentiles| format_nanoseconds(i64::try_from(percentiles[1]).unwrap_or(i64::MAX)));
    let size = match change.measure {
        Some(Measure::Body) | None => format!("takes {:.2} times as long", change.ratio),
        Some(Measure::Tail | Measure::FarTail) => "has more very slow calls".to_owned(),
    };
    let by_load = rates[1] / rates[0].max(1e-9) >= LOAD_RATIO && follows_load(facts, &change.function);
    let (kind, level, sentence) = match change.verdict {
        Verdict::Slower if by_load => (
            "slower_with_load",
            Level::Warning,
            format!(
                "{name} {size} {recent} (p99 {} → {}), along with {} times the calls: contention rather than code",
                p99[0],
                p99[1],
                format_count(rates[1] / rates[0].max(1e-9))
            ),
        ),
        Verdict::Slower => (
            "slower",
            Level::Warning,
            format!("{name} {size} {recent} (p99 {} → {}); {called}", p99[0], p99[1]),
        ),
        Verdict::Faster => {
            ("faster", Level::Info, format!("{name} got faster: × {:.2} {recent}; {called}", change.ratio))
        }
        Verdict::FailsMore => (
            "fails_more",
            Level::Warning,
            format!(
                "{name} fails more often {recent}: {} → {} of its calls; {called}",
                format_percent(share(change, 0)),
                format_percent(share(change, 1))
            ),
        ),
        _ => return None,
    };
    let from = facts.sides[1].range_ns.map_or(0, |range| range.0);
    Some(Finding {
        kind,
        level,
        subject: change.function.clone(),
        sentence,
        evidence: format!(
            "SELECT start_ns, calls, errors, p50_ms, p95_ms, p99_ms FROM latency WHERE function = {} ORDER BY start_ns",
            quote_sql(&change.function)
        ),
        since_ns: (from > 0).then_some(from),
        saves_ns: if change.verdict == Verdict::Slower { lost_ns(change) } else { 0.0 },
        rests_on: format!("{} windows against {}", change.windows[1], change.windows[0]),
        is_estimated: false,
        next: format!("monitor diff {}", quote_shell(&change.function)).into(),
    })
}

/// Returns the time by which the calls of the second side took longer, in ns.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn lost_ns(change: &Change) -> f64 {
    let [before, after] = change.percentiles.map(|percentiles| percentiles[0] as f64);
    (after - before).max(0.0) * change.calls[1] as f64
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn share(change: &Change, side: usize) -> f64 {
    change.failed[side] as f64 * 100.0 / change.calls[side].max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(facts: &Facts, change: &Change, side: usize) -> f64 {
    let (from, until) = facts.sides[side].range_ns.unwrap_or((0, 0));
    change.calls[side] as f64 / (until.saturating_sub(from).max(1) as f64 / 1e9)
}

/// Returns true if the windows with more calls are those with longer ones.
fn follows_load(facts: &Facts, function: &str) -> bool {
    let samples: Vec<&Sample> = facts.sides.iter().filter_map(|side| side.samples.get(function)).collect();
    let points: Vec<(f64, f64)> = samples.iter().flat_map(|sample| sample.loads()).collect();
    crate::model::statistics::rank::correlate(&points) >= LOAD_CORRELATION
}

/// Describes a time for sentences of other rules.
pub(super) fn describe_time(ns: f64) -> String {
    format_duration(ns)
}
