//! Writes windows of 10 s into `latency_window`.
//!
//! Takes windows of one process; gives a row for each process that called the function in the window, with its
//! histogram. If several processes did, one more row, of process 0, holds their sum and the percentiles of the merged
//! histogram. Exactly one row of a window is shown: the row of process 0 if there is one. The caller opens and commits
//! the transaction.
//!
//! Most windows belong to one process. Such a window costs one row and one query for rows of other processes.

use std::collections::BTreeSet;

use super::chunks;
use super::id_cache::IdCache;
use super::rows::signed;
use super::schema::WINDOW_NS;
use super::window_stats::{COLUMNS, WindowStats};
use crate::batch::{CallStats, Update, WindowRow};
use crate::histogram::Histogram;
use rusqlite::{Connection, Statement};

/// The id of the row that holds the sum of all processes that share a window.
const ALL: i64 = 0;

/// Writes windows of a process.
pub(crate) fn write(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: &[WindowRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(transaction)?;
    let mut written = BTreeSet::new();
    for row in rows {
        let Some(function_id) = ids.function_id(row.function) else { continue };
        let key = (row.start_ns.div_euclid(WINDOW_NS), function_id);
        written.insert(key.0);
        let own = WindowStats { stats: row.stats, histogram: Histogram::from_buckets(&row.buckets) };
        table.write_row(key, process_id, own, row.update)?;
    }
    drop(table);
    note_windows(transaction, &written)
}

/// Notes the starts of the windows that were written, and that their chunks have changed.
fn note_windows(transaction: &Connection, windows: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let mut start = transaction.prepare("INSERT OR IGNORE INTO latency_start VALUES (?1, ?2)")?;
    let mut changed = None;
    for window in windows {
        start.execute([window.saturating_mul(WINDOW_NS), *window])?;
        let chunk = chunks::find(*window);
        if changed.replace(chunk) != Some(chunk) {
            chunks::mark_changed(transaction, chunk)?;
        }
    }
    Ok(())
}

/// The statements over `latency_window`.
struct Table<'a> {
    rows_of_processes: Statement<'a>,
    replace: Statement<'a>,
    hide: Statement<'a>,
}

/// The number of a window, and the store's id of a function.
type WindowKey = (i64, i64);

impl<'a> Table<'a> {
    fn new(transaction: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            rows_of_processes: transaction.prepare(&format!(
                "SELECT process_id, {COLUMNS}
                 FROM latency_window WHERE window = ?1 AND function_id = ?2 AND process_id <> 0"
            ))?,
            replace: transaction.prepare(
                "INSERT OR REPLACE INTO latency_window
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
            )?,
            hide: transaction.prepare(
                "UPDATE latency_window SET shown = 0
                 WHERE window = ?1 AND function_id = ?2 AND process_id <> 0 AND shown = 1",
            )?,
        })
    }

    /// Writes the window of a process, and the sum of the window if other processes have it too.
    fn write_row(
        &mut self,
        key: WindowKey,
        process_id: i64,
        mut own: WindowStats,
        update: Update,
    ) -> rusqlite::Result<()> {
        let mut others: Option<WindowStats> = None;
        let mut found = self.rows_of_processes.query(key)?;
        while let Some(row) = found.next()? {
            if row.get::<_, i64>(0)? != process_id {
                others.get_or_insert_default().merge(&WindowStats::read(row)?);
            } else if update == Update::Add {
                own.merge(&WindowStats::read(row)?);
            }
        }
        drop(found);
        self.replace(key, process_id, &own, others.is_none())?;
        if let Some(mut all) = others {
            all.merge(&own);
            self.hide.execute(key)?;
            self.replace(key, ALL, &all, true)?;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        (window, function_id): WindowKey,
        process_id: i64,
        stats: &WindowStats,
        is_shown: bool,
    ) -> rusqlite::Result<()> {
        let WindowStats { stats, histogram } = stats;
        let CallStats { calls, errors, panics, cancelled, roots, max_ns, .. } = *stats;
        let percentile = |share| signed(histogram.percentile(share, max_ns));
        self.replace.execute(rusqlite::params![
            window,
            function_id,
            process_id,
            is_shown,
            signed(calls),
            signed(errors),
            signed(panics),
            signed(cancelled),
            signed(roots),
            signed(stats.total_ns),
            signed(stats.self_ns),
            signed(stats.busy_ns),
            signed(stats.nested_ns),
            signed(stats.cancelled_ns),
            signed(max_ns),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            stats.is_estimated,
            histogram.to_bytes(),
        ])?;
        Ok(())
    }
}
