//! Findings about the store itself: receivers that lag behind, and calls that were deleted because the store was
//! full.

use super::{Facts, Finding, Level, Next};
use crate::units::{self, format_nanoseconds, format_quantity};

/// The age of an alert from which it should have reached its receivers.
const WAITED_NS_MIN: i64 = 600_000_000_000;

/// A receiver of alerts that has not taken all that are news to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lag {
    /// The name of the receiver.
    pub(crate) receiver: String,
    /// The number of alerts that wait for the receiver.
    pub(crate) waiting: usize,
    /// The time of the first alert that waits, ns since the Unix epoch.
    pub(crate) since_ns: i64,
    /// Deliveries that failed since the last success.
    pub(crate) failures: i64,
    /// The reason of the last failure.
    pub(crate) last_failure: Option<String>,
}

/// The calls that were deleted before their time, because the store was at its bound of size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The first and the last start of these calls, ns since the Unix epoch. Their failures are still there.
    pub(crate) from_ns: i64,
    pub(crate) until_ns: i64,
}

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    // The store has the present state of receivers, which lies after a span that has ended.
    let is_late =
        |lag: &&Lag| facts.reaches_present() && facts.now_ns.saturating_sub(lag.since_ns) >= WAITED_NS_MIN;
    let lags = facts.lags.iter().filter(is_late);
    let is_within = |short: &Shortage| {
        facts.period.is_none_or(|period| short.from_ns <= period.until_ns && short.until_ns >= period.from_ns)
    };
    let shortage = facts.shortage.filter(is_within);
    lags.map(|lag| describe_lag(facts, lag))
        .chain(shortage.map(|short| describe_shortage(facts, short)))
        .collect()
}

fn describe_lag(facts: &Facts, lag: &Lag) -> Finding {
    let why = match (&lag.last_failure, lag.failures) {
        (Some(reason), failures) if failures > 0 => {
            format!(
                "{} failed, the last one with: {reason}",
                format_quantity(failures, "delivery", "deliveries")
            )
        }
        _ => "no `monitor watch` has asked for them".to_owned(),
    };
    Finding {
        kind: "exporter_behind",
        level: Level::Warning,
        subject: lag.receiver.clone(),
        sentence: format!(
            "{} for the receiver {} for {} already: {why}",
            format_quantity(lag.waiting, "alert waits", "alerts wait"),
            lag.receiver,
            format_nanoseconds(facts.now_ns.saturating_sub(lag.since_ns))
        ),
        evidence: "SELECT * FROM alert_cursor".to_owned(),
        since_ns: Some(lag.since_ns),
        saves_ns: 0.0,
        rests_on: format_quantity(lag.waiting, "alert", "alerts"),
        is_estimated: false,
        next: "monitor alerts".into(),
    }
}

fn describe_shortage(facts: &Facts, Shortage { from_ns, until_ns }: Shortage) -> Finding {
    let time = |ns: i64| units::format_time(ns, facts.now_ns);
    Finding {
        kind: "nearly_full",
        level: Level::Info,
        subject: "the store".to_owned(),
        sentence: format!(
            "The store is at its bound of size: the calls from {} to {} UTC were deleted before their time, except those that failed; \
             counts and times of functions are exact",
            time(from_ns),
            time(until_ns)
        ),
        evidence:
            "SELECT first_call, last_call, min_start_ns, max_start_ns FROM call_range WHERE failed_only = 1"
                .to_owned(),
        since_ns: Some(from_ns),
        saves_ns: 0.0,
        rests_on: "the ranges of calls".to_owned(),
        is_estimated: false,
        next: Next::with_remark("monitor health", "MONITOR_MAX_DISK=1GiB keeps more"),
    }
}
