//! Findings about the sums of functions: where most of the time goes, and which calls are often cancelled.

use super::{Facts, Finding, Level, quote_shell, quote_sql, shorten};
use crate::model::edges::{self, Caller};
use crate::model::number::to_f64;
use crate::units::{format_count, format_duration, format_percent, format_quantity};

/// The share of all time that one function takes, the fewest functions among which that says something, and the least
/// time of all of them.
const HOT_SHARE: f64 = 0.4;
const HOT_FUNCTIONS: usize = 10;
const HOT_MS_MIN: f64 = 1_000.0;
/// The least share and number of cancelled calls.
const CANCELLED_SHARE: f64 = 0.05;
const CANCELLED_MIN: u64 = 20;

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    find_hot(facts).into_iter().chain(find_cancelled(facts)).collect()
}

fn find_hot(facts: &Facts) -> Option<Finding> {
    let called = facts.functions.iter().filter(|function| function.calls > 0);
    let whole: f64 = called.clone().map(|function| function.self_ms).sum();
    let hottest = called.clone().max_by(|a, b| a.self_ms.total_cmp(&b.self_ms))?;
    let share = hottest.self_ms / whole.max(1e-9);
    if called.count() < HOT_FUNCTIONS || share < HOT_SHARE || whole < HOT_MS_MIN {
        return None;
    }
    let sentence = format!(
        "{} of all time is spent in {} itself: {} in {}",
        format_percent(share * 100.0),
        shorten(&hottest.name),
        format_duration(hottest.self_ms * 1e6),
        format_quantity(format_count(to_f64(hottest.calls)), "call", "calls")
    );
    Some(Finding {
        kind: "hot",
        level: Level::Info,
        subject: hottest.name.clone(),
        sentence,
        evidence: if facts.is_narrowed() {
            format!(
                "SELECT function, SUM(calls) AS calls, SUM(self_ms) AS self_ms, SUM(total_ms) AS total_ms FROM latency WHERE 1{} \
                 GROUP BY function ORDER BY self_ms DESC LIMIT 10",
                facts.condition_of_span("start_ns")
            )
        } else {
            "SELECT function, calls, self_ms, total_ms FROM functions ORDER BY self_ms DESC LIMIT 10"
                .to_owned()
        },
        since_ns: None,
        saves_ns: 0.0,
        rests_on: format_quantity(hottest.calls, "call", "calls"),
        is_estimated: hottest.is_estimated,
        next: format!("monitor why {}", quote_shell(&hottest.name)).into(),
    })
}

/// Finds functions whose calls are often cancelled. A call that is cancelled takes the calls below it along, so only
/// the outermost function is reported.
fn find_cancelled(facts: &Facts) -> Vec<Finding> {
    let is_often = |cancelled: u64, calls: u64| {
        cancelled >= CANCELLED_MIN && to_f64(cancelled) > to_f64(calls) * CANCELLED_SHARE
    };
    let often: Vec<_> =
        facts.functions.iter().filter(|function| is_often(function.cancelled, function.calls)).collect();
    if often.is_empty() {
        return Vec::new();
    }
    let edges = edges::collect(&facts.rows, &facts.forest);
    let names = &facts.rows.names;
    let is_taken_along = |name: &str| {
        edges.iter().any(|edge| match edge.caller {
            Caller::Function(caller) => {
                let caller = names.text(caller);
                names.text(edge.callee) == name
                    && caller != name
                    && often.iter().any(|function| function.name == caller)
            }
            Caller::Root | Caller::Unrecorded => false,
        })
    };
    let outermost = often.iter().filter(|function| !is_taken_along(&function.name));
    outermost
        .map(|function| Finding {
            kind: "cancelled_often",
            level: Level::Warning,
            subject: function.name.clone(),
            sentence: format!(
                "{} is given up before it ends in {} of its {}: its caller waits less long than it takes",
                shorten(&function.name),
                format_percent(to_f64(function.cancelled) / to_f64(function.calls) * 100.0),
                format_quantity(format_count(to_f64(function.calls)), "call", "calls")
            ),
            evidence: format!(
                "SELECT call_id, start_ns, duration_ms, args FROM calls WHERE function = {} AND outcome = 'cancelled'{} ORDER BY \
                 call_id DESC LIMIT 20",
                quote_sql(&function.name),
                facts.condition_of_span("start_ns")
            ),
            since_ns: None,
            saves_ns: 0.0,
            rests_on: format_quantity(function.calls, "call", "calls"),
            is_estimated: false,
            next: format!("monitor callers {}", quote_shell(&function.name)).into(),
        })
        .collect()
}
