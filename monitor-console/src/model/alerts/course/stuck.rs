//! Calls of a function that were stuck at the end of each window: those that have ended since, and those that are under way.
//!
//! A stuck call is long, so it has a row once it ends. The limit is that of the function's history, because the store does not
//! have the option `slow`.

use std::path::PathBuf;

use anyhow::Result;
use monitor_runtime::recover;
use monitor_runtime::store::schema::WINDOW_NS;

use super::{Span, length};
use crate::model::calls::{self, Order, Query};
use crate::model::period::Period;
use crate::model::scope::Scope;
use crate::model::stuck;
use crate::pattern::Pattern;
use crate::store::Store;

/// The most calls that are looked at, the longest first.
const CALLS_MAX: usize = 500;

/// Counts the stuck calls at the end of each window.
pub(super) fn read(
    store: &Store,
    function: &str,
    folders: &[PathBuf],
    span: Span,
) -> Result<Vec<Option<f64>>> {
    let limit_ns = stuck::read_limit(store, function)?;
    let mut times = read_ended(store, function, limit_ns, span)?;
    let until_ns = (span.1 + 1) * WINDOW_NS;
    for process in recover::find_live(store.path(), folders, until_ns) {
        let of_function = process.calls.iter().filter(|call| call.function == function);
        times.extend(of_function.map(|call| {
            let limit_ns =
                call.slow_ns.map_or(limit_ns, |ns| limit_ns.max(i64::try_from(ns).unwrap_or(i64::MAX)));
            (call.start_ns.saturating_add(limit_ns), i64::MAX)
        }));
    }
    Ok(count(&times, span))
}

/// Counts the calls that are stuck at the end of each window. `times` has for each call the times from which and until
/// which it was stuck.
#[expect(clippy::cast_precision_loss, reason = "a number of calls")]
fn count(times: &[(i64, i64)], span: Span) -> Vec<Option<f64>> {
    let ends = (span.0..).map(|window| (window + 1).saturating_mul(WINDOW_NS)).take(length(span));
    ends.map(|end| Some(times.iter().filter(|(from, until)| *from <= end && end < *until).count() as f64))
        .collect()
}

/// Reads the calls that were stuck and have ended: for each, the times from which and until which it was stuck.
fn read_ended(store: &Store, function: &str, limit_ns: i64, span: Span) -> Result<Vec<(i64, i64)>> {
    // A name may hold characters that no pattern has.
    let Ok(pattern) = function.parse::<Pattern>() else { return Ok(Vec::new()) };
    let period = Period { from_ns: i64::MIN, until_ns: (span.1 + 1) * WINDOW_NS };
    let scope = Scope { period, processes: None };
    let query = Query {
        scope: &scope,
        pattern: Some(&pattern),
        is_failed: false,
        is_slow: false,
        min_ns: Some(limit_ns),
        max_ns: None,
        before: None,
        order: Order::Longest,
        limit: CALLS_MAX,
    };
    let found = calls::find(store, &query)?;
    let time = |call: &Vec<crate::report::Cell>| {
        let number = |name: &str| found.cell(call, name).to_integer();
        let is_of_function = found.cell(call, "function").as_text() == Some(function);
        let (start, duration) = (number("start_ns")?, number("duration_ns")?);
        is_of_function.then(|| (start.saturating_add(limit_ns), start.saturating_add(duration)))
    };
    Ok(found.calls.iter().filter_map(time).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the figures are whole numbers")]
    use super::*;

    #[test]
    fn a_call_is_stuck_at_the_ends_of_the_windows_between_its_limit_and_its_end() {
        let (first, second) = (100 * WINDOW_NS, WINDOW_NS / 10);
        let times = [(first + second, first + 2 * WINDOW_NS + second), (first + WINDOW_NS, i64::MAX)];
        let values: Vec<f64> = count(&times, (100, 103)).into_iter().flatten().collect();
        assert_eq!(values, [2.0, 2.0, 1.0, 1.0]);
        assert!(count(&[], (100, 99)).is_empty());
    }
}
