//! Measures that follow from windows of calls, and kinds of failure that were new.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::alert::{Measure, Rule, Usual, WindowFigures};
use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::WINDOW_NS;

use super::{Span, length, place};
use crate::store::Store;

/// The windows before a course whose failures count as usual: three hours, after which a twentieth of their weight is left.
const USUAL_WINDOWS: i64 = 1080;
/// The age of a store from which a kind of failure counts as new.
const HISTORY_NS: i64 = 3_600_000_000_000;

/// Reads the value of a measure of a function in each window.
pub(super) fn read(
    store: &Store,
    function: &str,
    rule: &Rule,
    (first, last): Span,
) -> Result<Vec<Option<f64>>> {
    let before = if rule.measure == Measure::SurgePct { USUAL_WINDOWS } else { 0 };
    let windows = read_windows(store, function, (first - before, last))?;
    let mut usual = Usual::default();
    let values = (first - before..=last).map(|at| {
        let found = windows.get(&at).map(|(stats, histogram)| (stats, histogram));
        let is_too_few = found.is_some_and(|(stats, _)| stats.calls < rule.min_calls);
        let value = if is_too_few && rule.measure != Measure::CallsPerS {
            None
        } else {
            rule.measure.window_value(&WindowFigures::new(1, function, found), usual.failed_pct())
        };
        if let Some((stats, _)) = found {
            usual.add(at, stats);
        }
        // Without a single call in the span the values are unknown, and not those of a function at rest.
        value.filter(|_| !windows.is_empty())
    });
    Ok(values.skip(usize::try_from(before).unwrap_or(0)).collect())
}

/// Reads the statistics of a function by window, summed over processes.
fn read_windows(
    store: &Store,
    function: &str,
    (first, last): Span,
) -> Result<HashMap<i64, (CallStats, Histogram)>> {
    // The key of the table begins with the window, so the function is looked up in each window.
    let sql = "WITH RECURSIVE n(window) AS (SELECT ?1 UNION ALL SELECT window + 1 FROM n WHERE window < ?2)
               SELECT w.window, w.calls, w.errors, w.panics, w.cancelled, w.total_ns, w.nested_ns, w.cancelled_ns, w.max_ns,
                 w.histogram
               FROM n CROSS JOIN function f CROSS JOIN latency_window w ON w.window = n.window AND w.function_id = f.id
               WHERE f.name = ?3 AND w.shown = 1";
    let mut windows: HashMap<i64, (CallStats, Histogram)> = HashMap::new();
    store.read_rows(sql, (first, last, function), |row| {
        let number = |at: usize| {
            row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0).max(0).cast_unsigned()
        };
        let [calls, errors, panics, cancelled] = [1, 2, 3, 4].map(number);
        let [total_ns, nested_ns, cancelled_ns, max_ns] = [5, 6, 7, 8].map(number);
        let read = CallStats {
            calls,
            errors,
            panics,
            cancelled,
            total_ns,
            nested_ns,
            cancelled_ns,
            max_ns,
            ..CallStats::default()
        };
        let (stats, histogram) = windows.entry(row.get(0)?).or_default();
        stats.merge(&read);
        histogram.merge_bytes(row.get_ref(9)?.as_blob().unwrap_or_default());
        Ok(())
    })?;
    Ok(windows)
}

/// Counts the kinds of failure of a function that the store first got in each window.
pub(super) fn read_new_failures(store: &Store, function: &str, span: Span) -> Result<Vec<Option<f64>>> {
    let mut values = vec![Some(0.0); length(span)];
    let sql = "SELECT g.first_ns FROM error_group g JOIN function f ON f.id = g.function_id
               WHERE f.name = ?1 AND g.first_ns >= ?2
                 AND g.first_ns >= (SELECT min(started_ns) FROM process) + ?3";
    store.read_rows(sql, (function, span.0 * WINDOW_NS, HISTORY_NS), |row| {
        let window = row.get::<_, i64>(0)?.div_euclid(WINDOW_NS);
        if let Some(count) = place(window, span).and_then(|at| values[at].as_mut()) {
            *count += 1.0;
        }
        Ok(())
    })?;
    Ok(values)
}
