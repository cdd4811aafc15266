//! The course of an alert's measure: its value in each window around the alert.
//!
//! Takes an alert and its rule; gives values computed from the windows of calls as the rule computes them.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::alert::{Measure, WindowFigures};
use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::WINDOW_NS;

use super::super::period::Period;
use super::{Alert, Rule};
use crate::store::Store;

/// The course of the measure of an alert around it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// The span.
    pub(crate) period: Period,
    /// The value in each window; `None` for a window that says nothing.
    pub(crate) values: Vec<Option<f64>>,
    /// The threshold.
    pub(crate) threshold: f64,
    /// The measure.
    pub(crate) measure: Measure,
}

/// The time before and after an alert that its course shows.
const AROUND_NS: i64 = 600_000_000_000;
/// The longest course.
const COURSE_NS_MAX: i64 = 3 * 3_600_000_000_000;

/// Reads the course of the measure of an alert, over the sum of all processes, from ten minutes before it began. Returns `None` if
/// windows of calls do not tell of the measure, or if the rule is gone.
pub(crate) fn read_course(
    store: &Store,
    alert: &Alert,
    rules: &[Rule],
    now_ns: i64,
) -> Result<Option<Course>> {
    let Some(function) = &alert.function else { return Ok(None) };
    let is_rule = |rule: &&Rule| rule.name == alert.rule && rule.level == alert.level;
    let Some(rule) = rules.iter().find(is_rule).and_then(Rule::to_evaluated) else { return Ok(None) };
    if matches!(rule.measure, Measure::Stuck | Measure::NewFailure | Measure::SurgePct)
        || rule.measure.is_of_recorder()
        || rule.measure.is_of_metric()
    {
        return Ok(None);
    }
    let until_ns = alert.until_ns.map_or(now_ns, |until| until.saturating_add(AROUND_NS).min(now_ns));
    let from_ns = alert.since_ns.saturating_sub(AROUND_NS).max(until_ns.saturating_sub(COURSE_NS_MAX));
    let first = from_ns.div_euclid(WINDOW_NS);
    let last = until_ns.div_euclid(WINDOW_NS);
    let windows = read_windows(store, function, (first, last))?;
    let values = (first..=last).map(|at| {
        let (stats, histogram) = windows.get(&at)?;
        if stats.calls < rule.min_calls && rule.measure != Measure::CallsPerS {
            return None;
        }
        rule.measure.of_window(&WindowFigures::new(1, function, Some((stats, histogram))), 0.0)
    });
    Ok(Some(Course {
        period: Period { from_ns: first * WINDOW_NS, until_ns },
        values: values.collect(),
        threshold: rule.threshold,
        measure: rule.measure,
    }))
}

/// Reads the statistics of a function by window, summed over processes.
fn read_windows(
    store: &Store,
    function: &str,
    (first, last): (i64, i64),
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
        histogram.merge(&Histogram::from_bytes(row.get_ref(9)?.as_blob().unwrap_or_default()));
        Ok(())
    })?;
    Ok(windows)
}
