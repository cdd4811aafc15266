//! The calls that were recorded and lose their rows: evicted from the backlog, or refused by the store.
//!
//! Takes a call that was counted as recorded; corrects the statistics of its function. A failure is counted by kind
//! instead, so that no failure disappears without a trace.

use super::folded_failures::Failures;
use super::functions::Functions;
use super::health::{Drops, Health};
use super::parts::Parts;
use super::report::Report;
use crate::batch::RowLost;
use crate::batch::decode::{self, Pending};
use crate::platform::clock::Clock;
use crate::record::Outcome;
use crate::ring::journal::Priority;
use crate::store::fingerprint;

/// A call that loses its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostCall {
    pub(super) function: u32,
    pub(super) outcome: Outcome,
    pub(super) end_ns: i64,
    /// The number of calls that lose the row: several if they share it.
    pub(super) calls: u64,
}

impl LostCall {
    /// Counts the loss: under the counter of its reason, or by kind with the text and the type
    /// of its error if the call failed.
    pub(super) fn count(
        self,
        functions: &mut Functions,
        health: &mut Health,
        counter: fn(&mut Drops) -> &mut u64,
        error: impl FnOnce() -> (Option<String>, Option<String>),
    ) {
        let Self { function, outcome, end_ns, calls } = self;
        if let Some(stats) = functions.stats_mut(function) {
            stats.lose_rows(end_ns, calls, RowLost::Dropped);
        }
        if outcome.is_failure() {
            let (text, error_type) = error();
            let text = text.as_deref().unwrap_or(fingerprint::without_message(outcome));
            let message = fingerprint::kind(outcome, text);
            let error_type = error_type.unwrap_or_default();
            let failures = Failures { function, outcome, message, error_type, count: 1, at_ns: end_ns };
            functions.fold(failures, health);
        } else {
            *counter(&mut health.dropped) += calls;
        }
    }
}

/// Counts calls of a function that is not known, because the machine has no memory for its name and statistics.
pub(super) fn count_unknown(outcome: Outcome, calls: u64, health: &mut Health) {
    *if outcome.is_failure() { &mut health.folded_errors } else { &mut health.dropped.backlog } += calls;
}

/// Evicts the rows that the backlog has no room for.
pub(super) fn evict(parts: &mut Parts<'_>) {
    let Parts { backlog, functions, clock, report, safety, .. } = parts;
    let lose = counter(functions, clock, report);
    let journal = &mut safety.journal;
    backlog.evict(lose, |waiting, words| {
        let (ring, end) = waiting.end();
        let place = (ring, end.saturating_sub(words.len() as u64));
        let is_kept = journal.append(Priority::Failure, place, waiting.thread(), words);
        is_kept.then(|| journal.take_pieces().held())
    });
}

/// Returns a closure that counts each row it is given as lost.
pub(super) fn count_lost<'a>(parts: &'a mut Parts<'_>) -> impl FnMut(&Pending<'_>) + 'a {
    let Parts { functions, clock, report, .. } = parts;
    counter(functions, clock, report)
}

fn counter<'a>(
    functions: &'a mut Functions,
    clock: &'a Clock,
    report: &'a mut Report,
) -> impl FnMut(&Pending<'_>) + 'a {
    let log = report.log_places();
    let health = &mut report.health;
    let mut scratch = Vec::new();
    move |waiting: &Pending<'_>| {
        let waiting = match waiting {
            Pending::Call(call) => call,
            Pending::Line(pending) => return log.count_dropped(pending.line.lines),
        };
        let (function, outcome) = (waiting.header.site, waiting.header.outcome);
        let Some(names) = functions.get(function).map(|function| function.site.names()) else {
            return count_unknown(outcome, waiting.calls(), health);
        };
        let end_ns = decode::to_times(&waiting.header, clock).end_ns;
        let lost = LostCall { function, outcome, end_ns, calls: waiting.calls() };
        lost.count(
            functions,
            health,
            |dropped| &mut dropped.backlog,
            || {
                let values = decode::to_values(waiting, names, &mut scratch);
                (values.error, values.error_type)
            },
        );
    }
}
