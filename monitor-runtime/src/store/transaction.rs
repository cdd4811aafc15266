//! A batch as one transaction: what it brings and how far its process has got are committed together or
//! not at all, so that a batch sent twice, after an answer that was lost, is written once.

use super::id_cache::Known;
use super::options::PAGE_BYTES;
use super::process::{enter, progress, revive};
use super::retention::{Bounds, Retention};
use super::schema::VERSION;
use super::{error_groups, rows, windows};
use crate::batch::{Batch, CallRow, ProcessRow};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// One batch, one transaction. Returns the bytes of its content; `None` where it was committed before.
pub(crate) fn write(
    connection: &Connection,
    known: &mut Known,
    (process, pid_mark): (&ProcessRow, Option<&str>),
    (retention, bounds): (&mut Retention, Bounds),
    batch: &Batch,
) -> rusqlite::Result<Option<u64>> {
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
            // Another process's retention took this one for long gone, with all its rows.
            known.forget_ids();
            enter(&transaction, process, pid_mark)?
        }
    };
    retention.make_way(&transaction, bounds, batch.at_ns, batch.calls.len())?;
    rows::functions(&transaction, known, process_id)?;
    let written = rows::calls(&transaction, known, process_id, batch)?;
    error_groups::write(&transaction, known, process_id, (&batch.calls, written.first_id), &batch.folded)?;
    windows::write(&transaction, known, process_id, &batch.windows)?;
    rows::slices(&transaction, known, process_id, &batch.slices)?;
    rows::rates(&transaction, known, process_id, &batch.rates)?;
    rows::events(&transaction, process_id, &batch.events)?;
    if let Some(row) = &batch.health {
        rows::health(&transaction, process_id, row)?;
    }
    if let Some(row) = &batch.resources {
        rows::resources(&transaction, process_id, row)?;
    }
    transaction.prepare("INSERT OR REPLACE INTO progress VALUES (?1, 0, ?2, ?3)")?.execute([
        process_id,
        rows::signed(batch.sequence),
        batch.at_ns,
    ])?;
    transaction.commit()?;
    Ok(Some(written.bytes))
}

/// A newer program may have migrated the store since it was opened: its tables may look alike and mean
/// something else. Any error that says nothing of the file makes the caller open it again, and see.
pub(crate) fn check_version(transaction: &Connection) -> rusqlite::Result<()> {
    let version: i32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}

/// Bytes that a batch may add to the log: its content and a page for each table it touches, and twice as
/// much for the rows that may have to go for it: twice as many as come.
pub(crate) fn estimate(batch: &Batch) -> u64 {
    let texts = |call: &CallRow| {
        [&call.args, &call.result, &call.error, &call.fields]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>()
    };
    let values: usize = batch.calls.iter().map(texts).sum();
    let buckets: usize = batch.slices.iter().map(|slice| slice.buckets.len()).sum();
    let small = [batch.windows.len(), batch.slices.len(), buckets, batch.events.len(), batch.functions.len()];
    let small = small.iter().sum::<usize>() + 2 * batch.rates.len();
    let of_windows: usize = batch.windows.iter().map(|window| window.buckets.len()).sum();
    let rows = (batch.calls.len() * 48 + values + small * 96 + of_windows * 4) as u64;
    3 * (rows + rows / 8 + 16 * PAGE_BYTES)
}
