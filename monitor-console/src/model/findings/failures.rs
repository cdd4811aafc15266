//! Findings about kinds of failure: bursts, and kinds that are new.

use super::{Facts, Finding, Level, quote_shell, quote_sql, shorten};
use crate::model::failures::Kind;
use crate::model::number::to_f64;
use crate::model::statistics::proportions::poisson_tail;
use crate::units::{format_count, format_quantity};

const MINUTE_NS: i64 = 60_000_000_000;
/// The fewest failures of a burst, the failures that a minute may expect, and the largest chance of it.
const BURST_MIN: i64 = 20;
const EXPECTED_MAX: f64 = 1.0;
const P_MAX: f64 = 1e-6;
/// The longest burst: what lasts longer is a state.
const BURST_NS_MAX: i64 = 10 * MINUTE_NS;
/// The history without a kind of failure that makes the kind new.
const ABSENT_NS: i64 = 60 * MINUTE_NS;
/// The characters of a message that a sentence quotes.
const MESSAGE_MAX: usize = 60;

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let kinds = facts.failures.iter().filter(|kind| !kind.is_passed_on() && kind.outcome != "cancelled");
    kinds.filter_map(|kind| find_burst(facts, kind).or_else(|| find_new(facts, kind))).collect()
}

/// Finds a burst: a kind whose failures all lie within a few minutes, after a longer time without it. Of failures
/// without rows the store knows only the first and the last, so the burst has to hold all failures of the kind.
fn find_burst(facts: &Facts, kind: &Kind) -> Option<Finding> {
    let history = facts.history_since_ns?;
    let length = kind.last_ns.unwrap_or(kind.first_ns).saturating_sub(kind.first_ns).max(0);
    let before = kind.first_ns.saturating_sub(history);
    if length > BURST_NS_MAX || before < ABSENT_NS / 6 || kind.count < BURST_MIN {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let minutes = (length as f64 / MINUTE_NS as f64).max(1.0);
    // Half a failure in all the time before is the rate that the history allows.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let expected = 0.5 / (before as f64 / MINUTE_NS as f64) * minutes;
    if expected >= EXPECTED_MAX || poisson_tail(kind.count.cast_unsigned(), expected) > P_MAX {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a length of time")]
    let before_text = super::changes::describe_time(before as f64);
    let sentence = format!(
        "{}: {} in {}, none in the {before_text} before ({})",
        quote(&kind.message),
        format_quantity(format_count(to_f64(kind.count)), "failure", "failures"),
        if minutes <= 1.0 { "a minute".to_owned() } else { format!("{minutes:.0} min") },
        shorten(&kind.function)
    );
    Some(describe(kind, "bursts_of_failures", Level::Warning, sentence))
}

/// Finds a kind that began after an hour without it.
fn find_new(facts: &Facts, kind: &Kind) -> Option<Finding> {
    let history = facts.history_since_ns?;
    let from = facts.period.map_or(i64::MIN, |period| period.from_ns);
    let is_within = kind.first_ns >= from && facts.now_ns.saturating_sub(kind.first_ns) <= ABSENT_NS;
    if !is_within || kind.first_ns.saturating_sub(history) < ABSENT_NS {
        return None;
    }
    let sentence = format!(
        "{} is new in {}: {} so far",
        quote(&kind.message),
        shorten(&kind.function),
        format_quantity(format_count(to_f64(kind.count)), "failure", "failures")
    );
    Some(describe(kind, "new_failure", Level::Warning, sentence))
}

fn describe(kind: &Kind, name: &'static str, level: Level, sentence: String) -> Finding {
    Finding {
        kind: name,
        level,
        subject: kind.function.clone(),
        sentence,
        evidence: format!(
            "SELECT call_id, start_ns, error, args FROM errors WHERE function = {} AND start_ns >= {} ORDER BY call_id DESC LIMIT 20",
            quote_sql(&kind.function),
            kind.first_ns.saturating_sub(MINUTE_NS)
        ),
        since_ns: Some(kind.first_ns),
        saves_ns: 0.0,
        rests_on: format_quantity(kind.count, "failure", "failures"),
        is_estimated: false,
        next: match kind.example {
            Some(example) => {
                format!("monitor trace {example}    # monitor why {} --failed", quote_shell(&kind.function))
            }
            None => format!("monitor errors {}", quote_shell(&kind.function)),
        },
    }
}

fn quote(message: &str) -> String {
    let short: String = message.chars().take(MESSAGE_MAX).collect();
    if short.len() < message.len() { format!("“{short}…”") } else { format!("“{short}”") }
}
