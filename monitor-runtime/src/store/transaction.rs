//! Writes a batch as one transaction.
//!
//! Takes a batch and the ids of its process; gives the bytes that were written, and the kinds of failure that were new.
//! The batch's rows and its number are committed together or not at all, so a batch that is sent again after its answer
//! was lost is written once. Nothing here opens files, or decides what becomes of an error.

use super::error_groups::Failures;
use super::id_cache::IdCache;
use super::options::PAGE_BYTES;
use super::process::{enter, progress, revive};
use super::retention::{Bounds, Retention};
use super::schema::VERSION;
use super::{alerts, calls, error_groups, logs, metrics, rows, slices, totals, windows};
use crate::batch::{Batch, CallRow, ProcessRow, Update};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::HashSet;

/// The result of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// The bytes of the batch's content.
    pub(crate) bytes: u64,
    /// The functions of which a kind of failure was new, once for each kind.
    pub(crate) new_failures: Vec<u32>,
}

/// Writes a batch. Returns `None` if it was committed before.
pub(crate) fn write(
    connection: &Connection,
    ids: &mut IdCache,
    (process, pid_mark): (&ProcessRow, Option<&str>),
    (retention, bounds): (&mut Retention, Bounds),
    batch: &Batch,
) -> rusqlite::Result<Option<Committed>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    check_version(&transaction)?;
    let process_id = match progress(&transaction, &process.run_uuid)? {
        Some(found) if found.sequence >= rows::signed(batch.sequence) => return Ok(None),
        Some(found) => {
            if found.ending != "running" {
                // Another process took this one for dead.
                revive(&transaction, found.process_id)?;
            }
            found.process_id
        }
        None => {
            // The retention of another process deleted this process with all its rows.
            ids.forget_ids();
            enter(&transaction, process, pid_mark)?
        }
    };
    retention.delete_for_batch(&transaction, bounds, batch.at_ns, batch.calls.len())?;
    rows::functions(&transaction, ids, process_id)?;
    rows::edges(&transaction, ids, &batch.edges)?;
    let written = calls::write(&transaction, ids, process_id, batch)?;
    let log_bytes = logs::write(&transaction, ids, process_id, (batch, written), bounds.log_bytes_max)?;
    let failures = Failures {
        calls: &batch.calls,
        first_id: written.first_id,
        counted: &HashSet::new(),
        folded: &batch.folded,
        update: Update::Replace,
    };
    let new_failures = error_groups::write(&transaction, ids, process_id, failures)?;
    windows::write(&transaction, ids, process_id, &batch.windows)?;
    slices::write(&transaction, ids, process_id, &batch.slices)?;
    totals::write(&transaction, ids, process_id, &batch.totals)?;
    rows::rates(&transaction, ids, process_id, &batch.rates)?;
    rows::events(&transaction, process_id, &batch.events)?;
    alerts::write(&transaction, ids, process_id, &batch.alerts)?;
    if let Some(row) = &batch.health {
        rows::health(&transaction, process_id, row)?;
    }
    if let Some(row) = &batch.resources {
        rows::resources(&transaction, process_id, row)?;
    }
    rows::guards(&transaction, process_id, batch.at_ns, &batch.guards)?;
    metrics::write(&transaction, &mut ids.metrics, process_id, &batch.metrics)?;
    transaction.prepare("INSERT OR REPLACE INTO progress VALUES (?1, 0, ?2, ?3)")?.execute([
        process_id,
        rows::signed(batch.sequence),
        batch.at_ns,
    ])?;
    transaction.commit()?;
    Ok(Some(Committed { bytes: written.bytes + log_bytes, new_failures }))
}

/// Fails if the store has another schema version than ours: a newer program may have migrated it since it was opened,
/// and its tables may look the same and mean something else. The error says nothing about the file, so the caller opens
/// the file again and finds out.
pub(crate) fn check_version(transaction: &Connection) -> rusqlite::Result<()> {
    let version: i32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}

/// Returns the bytes that a batch may add to the log: its content and a page for each table that it touches, and twice
/// as much for the rows that may have to be deleted for it, which are up to twice as many.
pub(crate) fn estimate_bytes(batch: &Batch) -> u64 {
    let values: usize = batch.calls.iter().map(CallRow::value_bytes).sum();
    let buckets: usize = batch.slices.iter().map(|slice| slice.buckets.len()).sum();
    let small = [
        batch.windows.len(),
        batch.slices.len(),
        buckets,
        batch.events.len(),
        batch.functions.len(),
        batch.totals.len(),
        4 * batch.guards.len(),
        4 * batch.alerts.len(),
        // Each change writes a row of the window, and one of the series.
        3 * batch.metrics.len(),
    ];
    let small = small.iter().sum::<usize>() + 2 * batch.rates.len();
    let window_buckets: usize = batch.windows.iter().map(|window| window.buckets.len()).sum();
    let total_buckets: usize = batch.totals.iter().map(|total| total.histogram.iter().count()).sum();
    let metric_buckets: usize = batch.metrics.iter().map(|row| 2 * row.stats.buckets.len()).sum();
    let rows = (batch.calls.len() * 48
        + values
        + logs::estimate_bytes(&batch.logs)
        + small * 96
        + (window_buckets + total_buckets + metric_buckets) * 4) as u64;
    3 * (rows + rows / 8 + 16 * PAGE_BYTES)
}
