//! The value of a rule on metrics in each window, over all series that its pattern selects.

use std::collections::BTreeMap;

use anyhow::Result;
use monitor_runtime::alert::{Measure, Rule};
use monitor_runtime::store::schema::WINDOW_NS;

use super::{Span, length, place};
use crate::model::metrics::{self, Kind, Metric, Selection, Window};
use crate::model::period::Period;
use crate::model::scope::Scope;
use crate::store::Store;

/// Reads the value of each window, and the unit if all series have the same one. As in a process, the rule measures
/// one kind of series: the increments a second of all counters; without counters, the highest gauge (the lowest if
/// the rule fires below its threshold); without gauges, the values of all histograms.
pub(super) fn read(store: &Store, rule: &Rule, span: Span) -> Result<(Vec<Option<f64>>, Option<String>)> {
    let period = Period { from_ns: span.0 * WINDOW_NS, until_ns: (span.1 + 1) * WINDOW_NS - 1 };
    // A gauge that did not change within the span keeps its value.
    let known = Period { from_ns: i64::MIN, until_ns: period.until_ns };
    let mut series = metrics::read(store, &Selection::default(), known)?;
    series.retain(|metric| rule.pattern.matches(&metric.name));
    let kinds: &[Kind] = if rule.measure == Measure::Metric {
        &[Kind::Counter, Kind::Gauge, Kind::Histogram]
    } else {
        &[Kind::Histogram]
    };
    let kind = kinds.iter().copied().find(|kind| series.iter().any(|metric| metric.kind == *kind));
    let Some(kind) = kind else { return Ok((vec![None; length(span)], None)) };
    series.retain(|metric| metric.kind == kind);
    let unit = series[0].unit.clone().filter(|_| kind != Kind::Counter);
    let unit = unit.filter(|unit| series.iter().all(|metric| metric.unit.as_ref() == Some(unit)));
    let scope = Scope { period, processes: None };
    let values = match kind {
        Kind::Histogram => merge_histograms(store, &series, rule.measure, &scope, span)?,
        _ => combine(store, &series, kind, rule.is_above, &scope, span)?,
    };
    Ok((values, unit))
}

/// Combines counters by their sum, and gauges by the highest value if `is_above`, else by the lowest.
fn combine(
    store: &Store,
    series: &[Metric],
    kind: Kind,
    is_above: bool,
    scope: &Scope,
    span: Span,
) -> Result<Vec<Option<f64>>> {
    let mut values: Vec<Option<f64>> = vec![None; length(span)];
    for metric in series {
        let history = metrics::read_history(store, metric, scope)?;
        let found = history.series(kind, |window| window.value(kind));
        for (window, value) in (history.range.0..).zip(found) {
            let (Some(at), Some(value)) = (place(window, span), value) else { continue };
            values[at] = Some(match values[at] {
                None => value,
                Some(other) if kind == Kind::Counter => other + value,
                Some(other) if is_above => other.max(value),
                Some(other) => other.min(value),
            });
        }
    }
    Ok(values)
}

/// Merges the histograms of each window, and computes the measure from the merged one.
fn merge_histograms(
    store: &Store,
    series: &[Metric],
    measure: Measure,
    scope: &Scope,
    span: Span,
) -> Result<Vec<Option<f64>>> {
    let mut merged: BTreeMap<i64, Window> = BTreeMap::new();
    for metric in series {
        for window in metrics::read_history(store, metric, scope)?.windows {
            merged.entry(window.number).and_modify(|sum| sum.merge(&window)).or_insert(window);
        }
    }
    let mut values = vec![None; length(span)];
    for (number, window) in merged {
        let Some(at) = place(number, span) else { continue };
        values[at] = match measure {
            Measure::MetricP50 => window.quantile(0.5),
            Measure::MetricP95 => window.quantile(0.95),
            Measure::MetricP99 => window.quantile(0.99),
            Measure::MetricMax => window.max,
            _ => window.mean(),
        };
    }
    Ok(values)
}
