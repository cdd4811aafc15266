//! Figures of functions over a span of time, summed from windows of 10 s.
//!
//! Counts, totals and maxima are exact sums. Histograms are merged exactly too, so a percentile is that of
//! all calls in these windows. A window that an older version wrote has no histogram and adds nothing to
//! percentiles.

use std::collections::HashMap;

use anyhow::{Result, bail};
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::WINDOW_NS;
use rusqlite::types::Value;

use super::FIRST_VERSION_WITH_SELF_TIMES;
use crate::pattern::{self, Pattern};
use crate::report::{Cell, Column};
use crate::store::Store;
use crate::units;

/// The first schema version whose windows have histograms.
const FIRST_VERSION_WITH_HISTOGRAMS: i64 = 2;

/// The windows that a span selects, each as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    first: i64,
    last: i64,
}

impl Windows {
    /// Returns the windows from the one that holds this time to the present one. Later windows were written while a
    /// clock was wrong.
    pub(super) fn since(since_ns: i64) -> Self {
        let [first, last] = [since_ns, units::end_of_span()].map(|ns| ns.div_euclid(WINDOW_NS));
        Self { first, last }
    }

    /// Returns the start of the first window.
    pub(super) fn start_ns(self) -> i64 {
        self.first.saturating_mul(WINDOW_NS)
    }

    /// Returns true if the store has windows after the present one.
    pub(super) fn are_followed(self, store: &Store) -> Result<bool> {
        let sql = "SELECT 1 FROM latency_window WHERE window > ?1 LIMIT 1";
        Ok(store.read_integer(sql, [self.last])?.is_some())
    }
}

/// Returns rows with the columns of the view `functions`.
pub(super) fn sum_functions(
    store: &Store,
    pattern: Option<&Pattern>,
    since_ns: i64,
) -> Result<Vec<Vec<Cell>>> {
    let Windows { first, last } = Windows::since(since_ns);
    let [whole, ending] = pattern::to_optional_globs(pattern);
    let version = store.read_integer("PRAGMA user_version", [])?.unwrap_or(0);
    if version < FIRST_VERSION_WITH_HISTOGRAMS {
        bail!(
            "{} has schema version {version}, whose windows have no histograms, so --since cannot give percentiles: \
             run a program with a newer version of monitored on this store, or leave --since out",
            store.path().display()
        );
    }
    let histograms = merge_histograms(store, first, last)?;
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
        "self_ns",
        "busy_ns",
        "cancelled_ns",
        "nested_ns",
        "roots",
    ];
    let newer = if version < FIRST_VERSION_WITH_SELF_TIMES { NO_SELF_TIMES } else { SELF_TIMES };
    let report = store.read_report(
        columns.into_iter().map(Column::data).collect(),
        &format!("{SUMS}{newer}{FROM_WINDOWS}"),
        (first, last, whole, ending),
    )?;
    Ok(report.rows.into_iter().map(|row| build_row(&row, &histograms)).collect())
}

const SUMS: &str = "
SELECT f.id, f.name, f.file, f.line, f.group_name, SUM(w.calls), SUM(w.errors), SUM(w.panics), SUM(w.cancelled),
  SUM(w.total_ns), MAX(w.max_ns), f.sample_rate, MAX(w.estimated)";

/// The sums that windows have since [`FIRST_VERSION_WITH_SELF_TIMES`].
const SELF_TIMES: &str =
    ", SUM(w.self_ns), SUM(w.busy_ns), SUM(w.cancelled_ns), SUM(w.nested_ns), SUM(w.roots)";

/// The same for older windows.
const NO_SELF_TIMES: &str = ", NULL, NULL, NULL, 0, NULL";

const FROM_WINDOWS: &str = "
FROM latency_window w JOIN function f ON f.id = w.function_id
WHERE w.window BETWEEN ?1 AND ?2 AND w.shown = 1 AND (?3 IS NULL OR f.name GLOB ?3 OR f.name GLOB ?4)
GROUP BY f.id";

/// Merges the histograms of each function over the windows from `first` to `last`.
fn merge_histograms(store: &Store, first: i64, last: i64) -> Result<HashMap<i64, Histogram>> {
    let mut histograms: HashMap<i64, Histogram> = HashMap::new();
    let sql =
        "SELECT function_id, histogram FROM latency_window WHERE window BETWEEN ?1 AND ?2 AND shown = 1";
    store.read_rows(sql, [first, last], |row| {
        let histogram = Histogram::from_bytes(row.get_ref(1)?.as_blob().unwrap_or_default());
        histograms.entry(row.get(0)?).or_default().merge(&histogram);
        Ok(())
    })?;
    Ok(histograms)
}

/// Builds a row of the view `functions` from a row of [`SUMS`] and the merged histograms.
fn build_row(row: &[Cell], histograms: &HashMap<i64, Histogram>) -> Vec<Cell> {
    let number = |at: usize| row[at].to_number().unwrap_or(0.0);
    let histogram = row[0].to_integer().and_then(|id| histograms.get(&id));
    let histogram = histogram.filter(|histogram| histogram.total() > 0);
    let max_ns = row[10].to_integer().and_then(|max_ns| u64::try_from(max_ns).ok()).unwrap_or(0);
    let (number_of_calls, total_ms) = (number(5), number(9) / 1e6);
    let duration_ms = total_ms + (number(15) + number(16)) / 1e6;
    let milliseconds = |at: usize| match row[at].to_number() {
        Some(ns) => (ns / 1e6).into(),
        None => Value::Null.into(),
    };
    let per_call = |sum: f64| if number_of_calls > 0.0 { sum / number_of_calls } else { 0.0 };
    let percentile = |share: f64| match histogram {
        Some(histogram) => to_milliseconds(histogram.percentile(share, max_ns)).into(),
        None => Value::Null.into(),
    };
    let mut cells = row[1..9].to_vec();
    cells.push((per_call(number(6) + number(7) + number(8)) * 100.0).into());
    cells.extend([Value::Null, Value::Null].map(Cell::from));
    cells.extend([Cell::from(total_ms), milliseconds(13), per_call(duration_ms).into()]);
    cells.extend([percentile(0.5), percentile(0.95), percentile(0.99)]);
    cells.extend([(number(10) / 1e6).into(), row[11].clone(), row[12].clone()]);
    cells.extend([milliseconds(14), milliseconds(15), row[17].clone()]);
    cells
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn to_milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}
