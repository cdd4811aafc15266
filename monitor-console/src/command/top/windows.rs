//! Functions over a stretch of time, summed from windows of 10 s.
//!
//! Counts, total and maximum add up exactly, and so do histograms: a percentile is that of all windows
//! merged. A window that an older version of the store had has none and adds nothing to percentiles.

use std::collections::HashMap;

use anyhow::{Result, bail};
use monitor_runtime::histogram::Histogram;
use rusqlite::types::Value;

use super::globs;
use crate::pattern::Pattern;
use crate::report::{Cell, Column};
use crate::store::Store;

/// The first schema version whose windows have histograms.
const WITH_HISTOGRAMS: f64 = 2.0;

/// Rows with the columns of the view `functions`.
pub(super) fn functions(store: &Store, pattern: Option<&Pattern>, since_ns: i64) -> Result<Vec<Vec<Cell>>> {
    let first = since_ns.div_euclid(monitor_runtime::store::schema::WINDOW_NS);
    let [whole, ending] = globs(pattern);
    let version = store.first("PRAGMA user_version", [])?.and_then(|row| row[0].number()).unwrap_or(0.0);
    if version < WITH_HISTOGRAMS {
        bail!(
            "the store has schema version {version}, without histograms by window, which --since needs; a program \
             with a newer version of monitored that writes to it brings them along"
        );
    }
    let histograms = histograms(store, first)?;
    let columns = [
        "id",
        "function",
        "file",
        "line",
        "group_name",
        "calls",
        "errors",
        "panics",
        "cancelled",
        "total_ns",
        "max_ns",
        "sample_rate",
        "estimated",
    ];
    let report =
        store.report(columns.into_iter().map(Column::data).collect(), SUMS, (first, whole, ending))?;
    Ok(report.rows.into_iter().map(|row| function(&row, &histograms)).collect())
}

const SUMS: &str = "
SELECT f.id, f.name, f.file, f.line, f.group_name, SUM(w.calls), SUM(w.errors), SUM(w.panics), SUM(w.cancelled),
  SUM(w.total_ns), MAX(w.max_ns), f.sample_rate, MAX(w.estimated)
FROM latency_window w JOIN function f ON f.id = w.function_id
WHERE w.window >= ?1 AND w.shown = 1 AND (?2 IS NULL OR f.name GLOB ?2 OR f.name GLOB ?3)
GROUP BY f.id";

fn histograms(store: &Store, first: i64) -> Result<HashMap<i64, Histogram>> {
    let mut histograms: HashMap<i64, Histogram> = HashMap::new();
    let sql = "SELECT function_id, histogram FROM latency_window WHERE window >= ?1 AND shown = 1";
    store.rows(sql, [first], |row| {
        let histogram = Histogram::from_bytes(row.get_ref(1)?.as_blob().unwrap_or_default());
        histograms.entry(row.get(0)?).or_default().merge(&histogram);
        Ok(())
    })?;
    Ok(histograms)
}

fn function(row: &[Cell], histograms: &HashMap<i64, Histogram>) -> Vec<Cell> {
    let number = |at: usize| row[at].number().unwrap_or(0.0);
    let histogram = match row[0].value {
        Value::Integer(id) => histograms.get(&id).filter(|histogram| histogram.total() > 0),
        _ => None,
    };
    let max_ns = match row[10].value {
        Value::Integer(max_ns) => u64::try_from(max_ns).unwrap_or(0),
        _ => 0,
    };
    let (number_of_calls, total_ms) = (number(5), number(9) / 1e6);
    let per_call = |sum: f64| if number_of_calls > 0.0 { sum / number_of_calls } else { 0.0 };
    let percentile = |share: f64| match histogram {
        Some(histogram) => milliseconds(histogram.percentile(share, max_ns)).into(),
        None => Value::Null.into(),
    };
    let mut cells = row[1..9].to_vec();
    cells.push((per_call(number(6) + number(7) + number(8)) * 100.0).into());
    cells.extend([Value::Null, Value::Null].map(Cell::from));
    cells.extend([Cell::from(total_ms), per_call(total_ms).into()]);
    cells.extend([percentile(0.5), percentile(0.95), percentile(0.99)]);
    cells.extend([(number(10) / 1e6).into(), row[11].clone(), row[12].clone()]);
    cells
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}
