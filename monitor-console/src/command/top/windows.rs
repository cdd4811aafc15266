//! Functions over a stretch of time, summed from windows of 10 s.
//!
//! Counts, total and maximum add up exactly. A percentile of several windows does not follow from
//! theirs, but is enclosed by them: each window's distribution is drawn through its known points
//! (0, p50, p95, p99, max), straight between them, and the percentile is where the sum of these
//! distributions, weighted by calls, reaches its share. With one window it is that window's own.

use std::collections::HashMap;

use anyhow::Result;
use rusqlite::types::Value;

use super::globs;
use crate::pattern::Pattern;
use crate::report::{Cell, Column};
use crate::store::Store;

/// Rows with the columns of the view `functions`.
pub(super) fn functions(store: &Store, pattern: Option<&Pattern>, since_ns: i64) -> Result<Vec<Vec<Cell>>> {
    let first = since_ns.div_euclid(monitor_runtime::store::schema::WINDOW_NS);
    let [whole, ending] = globs(pattern);
    let distributions = distributions(store, first)?;
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
    Ok(report.rows.into_iter().map(|row| function(&row, &distributions)).collect())
}

const SUMS: &str = "
SELECT f.id, f.name, f.file, f.line, f.group_name, SUM(w.calls), SUM(w.errors), SUM(w.panics), SUM(w.cancelled),
  SUM(w.total_ns), MAX(w.max_ns), f.sample_rate, MAX(w.estimated)
FROM latency_window w JOIN function f ON f.id = w.function_id
WHERE w.window >= ?1 AND (?2 IS NULL OR f.name GLOB ?2 OR f.name GLOB ?3)
GROUP BY f.id";

/// A window of a function: its calls, and the durations below which 50, 95, 99 and 100 % of them lie.
#[derive(Debug, Clone, Copy)]
struct Window {
    calls: f64,
    bounds_ns: [f64; 4],
}

const SHARES: [f64; 4] = [0.5, 0.95, 0.99, 1.0];

fn distributions(store: &Store, first: i64) -> Result<HashMap<i64, Vec<Window>>> {
    let mut windows: HashMap<i64, Vec<Window>> = HashMap::new();
    let sql =
        "SELECT function_id, calls, p50_ns, p95_ns, p99_ns, max_ns FROM latency_window WHERE window >= ?1";
    store.rows(sql, [first], |row| {
        let bounds_ns = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
        windows.entry(row.get(0)?).or_default().push(Window { calls: row.get(1)?, bounds_ns });
        Ok(())
    })?;
    Ok(windows)
}

fn function(row: &[Cell], distributions: &HashMap<i64, Vec<Window>>) -> Vec<Cell> {
    let number = |at: usize| row[at].number().unwrap_or(0.0);
    let windows = match row[0].value {
        Value::Integer(id) => distributions.get(&id).map_or(&[][..], Vec::as_slice),
        _ => &[],
    };
    let (number_of_calls, total_ms) = (number(5), number(9) / 1e6);
    let per_call = |sum: f64| if number_of_calls > 0.0 { sum / number_of_calls } else { 0.0 };
    let percentile = |share: f64| match windows {
        [] => Value::Null.into(),
        [only] => Cell::from(quantile(&[*only], share) / 1e6),
        several => Cell::estimate(quantile(several, share) / 1e6),
    };
    let mut cells = row[1..9].to_vec();
    cells.push((per_call(number(6) + number(7) + number(8)) * 100.0).into());
    cells.extend([Value::Null, Value::Null].map(Cell::from));
    cells.extend([Cell::from(total_ms), per_call(total_ms).into()]);
    cells.extend([percentile(0.5), percentile(0.95), percentile(0.99)]);
    cells.extend([(number(10) / 1e6).into(), row[11].clone(), row[12].clone()]);
    cells
}

/// The duration below which this share of the windows' calls lies.
fn quantile(windows: &[Window], share: f64) -> f64 {
    if let ([only], Some(at)) = (windows, SHARES.iter().position(|known| (known - share).abs() < 1e-9)) {
        return only.bounds_ns[at];
    }
    let wanted = share * windows.iter().map(|window| window.calls).sum::<f64>();
    let below = |ns: f64| windows.iter().map(|window| window.calls * share_below(window, ns)).sum::<f64>();
    let (mut low, mut high) = (0.0, windows.iter().map(|window| window.bounds_ns[3]).fold(0.0, f64::max));
    // Sixty halvings take any duration that fits 64 bits below a nanosecond.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) < wanted { low = middle } else { high = middle }
    }
    high
}

/// The share of a window's calls that took less than this.
fn share_below(window: &Window, ns: f64) -> f64 {
    let mut from = (0.0, 0.0);
    for (bound, share) in window.bounds_ns.into_iter().zip(SHARES) {
        if ns < bound {
            return from.1 + (share - from.1) * (ns - from.0) / (bound - from.0);
        }
        from = (bound, share);
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(calls: f64, bounds_ns: [f64; 4]) -> Window {
        Window { calls, bounds_ns }
    }

    #[test]
    fn one_window_keeps_its_own_percentiles() {
        let only = [window(10.0, [100.0, 200.0, 250.0, 900.0])];
        assert!((quantile(&only, 0.99) - 250.0).abs() < 1e-6);
    }

    #[test]
    fn windows_alike_have_the_percentiles_of_each() {
        let alike = [window(5.0, [100.0, 200.0, 250.0, 900.0]); 7];
        for (share, expected) in [(0.5, 100.0), (0.95, 200.0), (0.99, 250.0)] {
            assert!((quantile(&alike, share) - expected).abs() < 1e-3, "{share}");
        }
    }

    #[test]
    fn a_percentile_lies_where_the_calls_are() {
        let quick = window(98.0, [10.0, 20.0, 30.0, 40.0]);
        let slow = window(2.0, [1_000.0, 2_000.0, 3_000.0, 4_000.0]);
        assert!(quantile(&[quick, slow], 0.5) < 20.0);
        assert!((1_000.0..=4_000.0).contains(&quantile(&[quick, slow], 0.995)));
    }

    #[test]
    fn windows_without_a_duration_divide_nothing_by_zero() {
        let zero = window(3.0, [0.0; 4]);
        assert!(quantile(&[zero, zero], 0.95).abs() < 1e-9);
    }
}
