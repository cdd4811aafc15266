//! Writes the program's metrics: a row for each series, process and window of 10 s, and the totals of each series.
//!
//! Takes changes of series; adds them to what the store has of the window and of the series. The series of a store belong to
//! all its processes, so another process may have deleted one that was idle for long: it is then entered anew. The caller
//! opens and commits the transaction, which also holds the number of the batch, so changes are added once.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::metric_ids::MetricIds;
use super::rows::signed;
use super::schema::WINDOW_NS;
use crate::batch::{MetricKind, MetricRow, MetricStats, MetricWindowRow};
use crate::histogram::Histogram;

/// Adds the changes of series.
pub(crate) fn write(
    transaction: &Connection,
    ids: &mut MetricIds,
    process_id: i64,
    rows: &[MetricWindowRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut tables = Tables::new(transaction)?;
    for row in rows {
        let window = row.start_ns.div_euclid(WINDOW_NS);
        if row.is_without_value() {
            ids.set(&row.metric, tables.enter(window, row)?);
            continue;
        }
        let known = ids.find(&row.metric);
        let id = match known {
            Some(id) if tables.add_to_series(id, window, row)? => id,
            _ => {
                let id = tables.enter(window, row)?;
                ids.set(&row.metric, id);
                tables.add_to_series(id, window, row)?;
                id
            }
        };
        tables.add_to_window((window, id, process_id), row)?;
    }
    Ok(())
}

/// The number of a window, and the store's ids of a series and of a process.
type WindowKey = (i64, i64, i64);

/// The statements over the two tables.
struct Tables<'a> {
    enter: Statement<'a>,
    totals: Statement<'a>,
    set_totals: Statement<'a>,
    window: Statement<'a>,
    set_window: Statement<'a>,
}

impl<'a> Tables<'a> {
    fn new(transaction: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            enter: transaction.prepare(
                "INSERT INTO metric (kind, name, unit, description, tags, first_ns, last_window, count, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0.0)
                 ON CONFLICT (name, kind, tags) DO UPDATE SET unit = coalesce(excluded.unit, unit),
                   description = coalesce(excluded.description, description)
                 RETURNING id",
            )?,
            totals: transaction.prepare("SELECT count, sum, histogram FROM metric WHERE id = ?1 AND name = ?2")?,
            set_totals: transaction.prepare(
                "UPDATE metric SET last_window = max(last_window, ?2), count = ?3, sum = ?4, histogram = ?5 WHERE id = ?1",
            )?,
            window: transaction.prepare(
                "SELECT count, sum, histogram, last, min, max FROM metric_window
                 WHERE window = ?1 AND metric_id = ?2 AND process_id = ?3",
            )?,
            set_window: transaction.prepare(
                "INSERT OR REPLACE INTO metric_window VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
        })
    }

    /// Enters a series, or finds it. Returns its id.
    fn enter(&mut self, window: i64, row: &MetricWindowRow) -> rusqlite::Result<i64> {
        let MetricRow { kind, name, unit, description, tags, .. } = &*row.metric;
        let first_ns = row.start_ns;
        self.enter
            .query_row(params![kind.as_str(), name, unit, description, tags, first_ns, window], |found| {
                found.get(0)
            })
    }

    /// Adds the changes to the totals of a series. Returns false if the store does not have the series.
    fn add_to_series(&mut self, id: i64, window: i64, row: &MetricWindowRow) -> rusqlite::Result<bool> {
        let found = self.totals.query_row((id, &row.metric.name), Sums::read).optional()?;
        let Some(mut sums) = found else { return Ok(false) };
        sums.add(&row.stats);
        let histogram = sums.bytes(row.metric.kind);
        self.set_totals.execute(params![id, window, signed(sums.count), finite(sums.sum), histogram])?;
        Ok(true)
    }

    /// Adds the changes to a window.
    fn add_to_window(&mut self, key: WindowKey, row: &MetricWindowRow) -> rusqlite::Result<()> {
        let stats = &row.stats;
        let found = self
            .window
            .query_row(key, |found| {
                let number = |at: usize| found.get::<_, Option<f64>>(at);
                Ok((Sums::read(found)?, number(3)?, number(4)?, number(5)?))
            })
            .optional()?;
        let (mut sums, last, min, max) = found.unwrap_or_default();
        sums.add(stats);
        let last = stats.last.or(last);
        let min = [min, stats.min].into_iter().flatten().reduce(f64::min);
        let max = [max, stats.max].into_iter().flatten().reduce(f64::max);
        let range = (min.unwrap_or(0.0), max.unwrap_or(f64::MAX));
        let quantile = |share: f64| {
            (row.metric.kind == MetricKind::Histogram)
                .then(|| sums.histogram.quantile(share, range))
                .flatten()
        };
        let (window, metric_id, process_id) = key;
        self.set_window.execute(params![
            window,
            metric_id,
            process_id,
            signed(sums.count),
            finite(sums.sum),
            last.map(finite),
            min.map(finite),
            max.map(finite),
            quantile(0.5),
            quantile(0.95),
            quantile(0.99),
            sums.bytes(row.metric.kind),
        ])?;
        Ok(())
    }
}

/// The sums of a window, or of a series.
#[derive(Debug, Default)]
struct Sums {
    count: u64,
    sum: f64,
    histogram: Histogram,
}

impl Sums {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let histogram = Histogram::from_bytes(row.get_ref(2)?.as_blob().unwrap_or_default());
        Ok(Self { count: row.get::<_, i64>(0)?.max(0).cast_unsigned(), sum: row.get(1)?, histogram })
    }

    fn add(&mut self, stats: &MetricStats) {
        self.count = self.count.saturating_add(stats.count);
        self.sum += stats.sum;
        self.histogram.merge(&Histogram::from_buckets(&stats.buckets));
    }

    /// Returns the encoded histogram; `None` for kinds that have none.
    fn bytes(&self, kind: MetricKind) -> Option<Vec<u8>> {
        (kind == MetricKind::Histogram).then(|| self.histogram.to_bytes())
    }
}

/// Returns the number, limited to the finite numbers; 0 for NaN, which SQLite would store as NULL.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
