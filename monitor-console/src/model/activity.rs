//! The activity of functions within a span: calls, failures, durations, and the course of the durations.
//!
//! Takes a store, a span and a number of parts; gives one struct for each function that was called. Windows are summed
//! while they are read, so the memory depends on the number of functions and not on the length of the span. The file
//! does not know which functions a view shows, nor in which order.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::WINDOW_NS;

use super::period::Period;
use crate::report::{self, Cell};
use crate::store::Store;

/// A function that was called within a span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Activity {
    /// The name.
    pub(crate) function: String,
    /// The file and the line of its attribute.
    pub(crate) place: String,
    /// Calls.
    pub(crate) calls: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// The time of all calls, in ns.
    pub(crate) total_ns: u64,
    /// The time of all calls outside of the monitored calls that they made, in ns; 0 in stores of older versions.
    pub(crate) self_ns: u64,
    /// The longest call, in ns.
    pub(crate) max_ns: u64,
    /// The median and the 95th and 99th percentile, in ns; `None` if no call was timed.
    pub(crate) percentiles: Option<[u64; 3]>,
    /// The 95th percentile in each part of the span, in ns; `None` for a part without timed calls.
    pub(crate) p95_parts: Vec<Option<f64>>,
    /// The failed calls in each part of the span.
    pub(crate) failed_parts: Vec<u64>,
    /// True if some calls were counted but not timed.
    pub(crate) is_estimated: bool,
}

/// The present rate of a function in one process, as the process reported it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RateReport {
    /// The function.
    pub(crate) function: String,
    /// The share of calls that get a row, 0 to 1.
    pub(crate) rate: Option<f64>,
    /// The detail in which calls are recorded: `recorded`, `timed` or `counted`.
    pub(crate) fidelity: String,
    /// Calls a second.
    pub(crate) calls_per_s: f64,
    /// Rows a second.
    pub(crate) rows_per_s: f64,
    /// The reason for the rate.
    pub(crate) why: String,
}

/// The sums of one function while windows are read.
#[derive(Default)]
struct Sums {
    calls: u64,
    failed: u64,
    total_ns: u64,
    self_ns: u64,
    max_ns: u64,
    is_estimated: bool,
    whole: Histogram,
    part: Histogram,
    part_at: usize,
    p95_parts: Vec<Option<f64>>,
    failed_parts: Vec<u64>,
}

impl Sums {
    fn new(parts: usize) -> Self {
        Self { p95_parts: vec![None; parts], failed_parts: vec![0; parts], ..Self::default() }
    }

    /// Ends the part whose histogram is being summed.
    fn end_part(&mut self, next: usize) {
        if self.part.total() > 0 {
            self.p95_parts[self.part_at] = Some(to_f64(self.part.percentile(0.95, self.max_ns)));
            self.whole.merge(&self.part);
            self.part = Histogram::default();
        }
        self.part_at = next;
    }
}

/// Reads the functions that were called within a span, in alphabetical order, with their course in this many parts.
pub(crate) fn read(store: &Store, period: Period, parts: usize) -> Result<Vec<Activity>> {
    let parts = parts.max(1);
    let [first, last] = [period.from_ns, period.until_ns].map(|ns| ns.div_euclid(WINDOW_NS));
    let span = last.saturating_sub(first).saturating_add(1).max(1);
    let find_part = |window: i64| {
        let part = i128::from(window.saturating_sub(first)) * parts as i128 / i128::from(span);
        usize::try_from(part).unwrap_or(0).min(parts - 1)
    };
    let self_ns = if store.has_span_blocks()? { "self_ns" } else { "0" };
    let sql = format!(
        "SELECT window, function_id, calls, errors + panics + cancelled, total_ns, {self_ns}, max_ns, estimated, histogram
         FROM latency_window WHERE window BETWEEN ?1 AND ?2 AND shown = 1 ORDER BY window"
    );
    let mut sums: HashMap<i64, Sums> = HashMap::new();
    store.read_rows(&sql, [first, last], |row| {
        let number = |at: usize| {
            row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0).max(0).cast_unsigned()
        };
        let part = find_part(row.get(0)?);
        let sum = sums.entry(row.get(1)?).or_insert_with(|| Sums::new(parts));
        if part != sum.part_at {
            sum.end_part(part);
        }
        sum.calls = sum.calls.saturating_add(number(2));
        sum.failed = sum.failed.saturating_add(number(3));
        sum.failed_parts[part] = sum.failed_parts[part].saturating_add(number(3));
        sum.total_ns = sum.total_ns.saturating_add(number(4));
        sum.self_ns = sum.self_ns.saturating_add(number(5));
        sum.max_ns = sum.max_ns.max(number(6));
        sum.is_estimated |= number(7) != 0;
        sum.part.merge_bytes(row.get_ref(8)?.as_blob().unwrap_or_default());
        Ok(())
    })?;
    name_sums(store, sums)
}

/// Gives each sum the name and the place of its function. Functions of one name stay apart, because they are different
/// places in the source.
fn name_sums(store: &Store, mut sums: HashMap<i64, Sums>) -> Result<Vec<Activity>> {
    let mut found = Vec::with_capacity(sums.len());
    if sums.is_empty() {
        return Ok(found);
    }
    store.read_rows("SELECT id, name, file, line FROM function ORDER BY name, id", [], |row| {
        let Some(mut sum) = sums.remove(&row.get(0)?) else { return Ok(()) };
        sum.end_part(0);
        let cells = report::read_cells(row, 4)?;
        let share = |share: f64| sum.whole.percentile(share, sum.max_ns);
        let percentiles = (sum.whole.total() > 0).then(|| [0.5, 0.95, 0.99].map(share));
        found.push(Activity {
            function: cells[1].to_plain_text(),
            place: format!("{}:{}", cells[2].to_plain_text(), cells[3].to_plain_text()),
            calls: sum.calls,
            failed: sum.failed,
            total_ns: sum.total_ns,
            self_ns: sum.self_ns,
            max_ns: sum.max_ns,
            percentiles,
            p95_parts: sum.p95_parts,
            failed_parts: sum.failed_parts,
            is_estimated: sum.is_estimated,
        });
        Ok(())
    })?;
    Ok(found)
}

/// Reads the rates of functions as running processes reported them last.
pub(crate) fn read_rates(store: &Store) -> Result<Vec<RateReport>> {
    let mut rates = Vec::new();
    let sql = "SELECT function, rate, fidelity, calls_per_s, rows_per_s, why FROM rates WHERE process_id IN
                 (SELECT process_id FROM processes WHERE ending = 'running') ORDER BY function";
    store.read_rows(sql, [], |row| {
        let cells = report::read_cells(row, 6)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let number = |at: usize| Cell::to_number(&cells[at]);
        rates.push(RateReport {
            function: text(0),
            rate: number(1),
            fidelity: text(2),
            calls_per_s: number(3).unwrap_or(0.0),
            rows_per_s: number(4).unwrap_or(0.0),
            why: text(5),
        });
        Ok(())
    })?;
    Ok(rates)
}

#[expect(clippy::cast_precision_loss, reason = "durations are shown with three digits")]
fn to_f64(ns: u64) -> f64 {
    ns as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use monitor_runtime::histogram;
    use monitor_runtime::store::schema;

    #[test]
    fn windows_are_summed_for_the_span_and_for_each_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let db = rusqlite::Connection::open(&path).unwrap();
        schema::create(&db).unwrap();
        db.execute_batch("INSERT INTO function VALUES (1, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0)").unwrap();
        for (window, calls, ns) in
            [(100, 10, 1_000_000), (105, 10, 1_000_000), (109, 20, 9_000_000), (200, 5, 1)]
        {
            let bytes = Histogram::from_buckets(&[(histogram::bucket(ns), calls)]).to_bytes();
            let (ns, calls) = (i64::try_from(ns).unwrap(), i64::try_from(calls).unwrap());
            db.execute(
                "INSERT INTO latency_window VALUES (?1, 1, 1, 1, ?2, 2, 0, 0, ?2, ?3, ?3, ?3, 0, 0, ?4, ?4, ?4, ?4, 0, ?5)",
                rusqlite::params![window, calls, calls * ns, ns, bytes],
            )
            .unwrap();
        }
        drop(db);
        let store = Store::open(&path).unwrap();
        let period = Period { from_ns: 100 * WINDOW_NS, until_ns: 109 * WINDOW_NS };
        let found = read(&store, period, 10).unwrap();
        let [pay] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((pay.calls, pay.failed, pay.max_ns), (40, 6, 9_000_000));
        assert_eq!((pay.function.as_str(), pay.place.as_str()), ("shop::pay", "src/pay.rs:7"));
        let known: Vec<_> = pay.p95_parts.iter().map(Option::is_some).collect();
        assert_eq!(known, [true, false, false, false, false, true, false, false, false, true]);
        assert!(pay.p95_parts[9] > pay.p95_parts[0]);
        assert_eq!(pay.failed_parts.iter().sum::<u64>(), 6);
        let [p50, p95, _] = pay.percentiles.unwrap();
        assert!(p50 < p95 || p50 > 1_000_000, "{p50} {p95}");
        assert_eq!(read(&store, Period { from_ns: 0, until_ns: WINDOW_NS }, 10).unwrap(), []);
    }
}
