//! The course of an alert's measure: its value in each window around the alert.
//!
//! Takes an alert and its rule; gives a value for each window of 10 s, as the rule computes it from what the store has. The files
//! below it read the sources: windows of calls, calls that are stuck, kinds of failure, metrics, and samples of the process. Of
//! breakers, levels, lost rows and costs the store keeps the present state alone, so these measures have no course.

mod metrics;
mod process;
mod stuck;
mod windows;

use std::path::PathBuf;

use anyhow::Result;
use monitor_runtime::alert::{Measure, Rule as Evaluated};
use monitor_runtime::store::schema::WINDOW_NS;

use super::super::period::Period;
use super::{Alert, Rule};
use crate::store::Store;

/// The course of the measure of an alert around it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// The span.
    pub(crate) period: Period,
    /// The value in each window; `None` for a window without data.
    pub(crate) values: Vec<Option<f64>>,
    /// The threshold.
    pub(crate) threshold: f64,
    /// The measure.
    pub(crate) measure: Measure,
    /// The name of the measured function, or the pattern of the measured metrics. It is empty for the process.
    pub(crate) subject: String,
    /// The unit of a metric.
    pub(crate) unit: Option<String>,
}

/// The time before and after an alert that its course shows.
const MARGIN_NS: i64 = 600_000_000_000;
/// The longest course.
const COURSE_NS_MAX: i64 = 3 * 3_600_000_000_000;

/// A span of windows: the first and the last.
type Span = (i64, i64);

/// Reads the course of the measure of an alert, from ten minutes before it began; figures of functions are summed over
/// all processes. `folders` hold the ring files of running processes, which have the calls under way. Returns `None` if
/// the store has no history of the measure, or if the rule is gone.
pub(crate) fn read_course(
    store: &Store,
    alert: &Alert,
    rules: &[Rule],
    folders: &[PathBuf],
    now_ns: i64,
) -> Result<Option<Course>> {
    let is_rule = |rule: &&Rule| rule.name == alert.rule && rule.level == alert.level;
    let Some(rule) = rules.iter().find(is_rule).and_then(Rule::to_evaluated) else { return Ok(None) };
    let until_ns = alert.until_ns.map_or(now_ns, |until| until.saturating_add(MARGIN_NS).min(now_ns));
    let from_ns = alert.since_ns.saturating_sub(MARGIN_NS).max(until_ns.saturating_sub(COURSE_NS_MAX));
    let span = (from_ns.div_euclid(WINDOW_NS), until_ns.div_euclid(WINDOW_NS));
    let Some(found) = read_values(store, alert, &rule, folders, span)? else { return Ok(None) };
    Ok(Some(Course {
        period: Period { from_ns: span.0 * WINDOW_NS, until_ns },
        values: found.course,
        threshold: rule.threshold,
        measure: rule.measure,
        subject: found.subject,
        unit: found.unit,
    }))
}

/// The values of a span, the subject that they belong to, and the unit of a metric.
struct Values {
    course: Vec<Option<f64>>,
    subject: String,
    unit: Option<String>,
}

fn read_values(
    store: &Store,
    alert: &Alert,
    rule: &Evaluated,
    folders: &[PathBuf],
    span: Span,
) -> Result<Option<Values>> {
    if rule.measure.is_of_metric() {
        let (values, unit) = metrics::read(store, rule, span)?;
        return Ok(Some(Values { course: values, subject: rule.pattern.as_str().to_owned(), unit }));
    }
    let Some(function) = &alert.function else {
        let is_memory = rule.measure == Measure::Memory;
        let values =
            if is_memory { Some(process::read_memory(store, alert.process_id, span)?) } else { None };
        return Ok(values.map(|values| Values { course: values, subject: String::new(), unit: None }));
    };
    let values = match rule.measure {
        measure if measure.is_of_recorder() => return Ok(None),
        Measure::Stuck => stuck::read(store, function, folders, span)?,
        Measure::NewFailure => windows::read_new_failures(store, function, span)?,
        _ => windows::read(store, function, rule, span)?,
    };
    Ok(Some(Values { course: values, subject: function.clone(), unit: None }))
}

/// Returns the place of a window within a span; `None` outside of it.
fn place(window: i64, (first, last): Span) -> Option<usize> {
    (first..=last).contains(&window).then(|| usize::try_from(window - first).ok()).flatten()
}

/// Returns the number of windows of a span.
fn length((first, last): Span) -> usize {
    usize::try_from(last.saturating_sub(first)).map_or(0, |windows| windows + 1)
}
