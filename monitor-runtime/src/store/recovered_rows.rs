//! Writes what a dead process left, in the transactions of the process that recovers it.
//!
//! Takes rows, statistics that are added to the stored ones, and the calls that were in flight; gives one transaction for
//! each part. Each transaction also notes how far every ring is recovered, so that a record is written once, however many
//! processes try to recover it. It does not read ring files.

use super::error_groups::Failures;
pub(crate) use super::id_cache::IdCache;
use super::process::{enter, progress};
use super::rows;
use super::{alerts, calls, error_groups, logs, slices, totals, transaction, windows};
use crate::batch::{Batch, Ending, EventRow, InFlightRow, ProcessRow, RecoveryProgress, Update};
use crate::limits;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::collections::HashSet;

/// A process that died.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death<'a> {
    pub(crate) process: &'a ProcessRow,
    pub(crate) mark: &'a str,
    /// Time of death as far as is known, ns since the Unix epoch.
    pub(crate) at_ns: i64,
    /// The ending that the entry of the process gets.
    pub(crate) ending: Ending,
}

/// The part of a ring that a transaction recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecoveredRange {
    pub(crate) ring: u32,
    /// Position up to which the ring was recovered before; `None` if nothing of it was.
    pub(crate) from: Option<u64>,
    /// Position up to which the ring is recovered by this transaction.
    pub(crate) to: u64,
}

/// The value of `progress.ring` in the row that marks a process whose recovery has begun.
const BEGUN: i64 = -1;

/// Returns the value of `progress.ring` for a ring. The value 0 stands for the process's own batches.
fn progress_key(ring: u32) -> i64 {
    i64::from(ring) + 1
}

/// Reads the progress that the store has of a process.
pub(crate) fn read_progress(connection: &Connection, run_uuid: &str) -> rusqlite::Result<RecoveryProgress> {
    let Some(found) = progress(connection, run_uuid)? else { return Ok(RecoveryProgress::default()) };
    let mut done = RecoveryProgress { batch: found.sequence.cast_unsigned(), ..RecoveryProgress::default() };
    let mut select =
        connection.prepare("SELECT ring, sequence FROM progress WHERE process_id = ?1 AND ring <> 0")?;
    let mut rows = select.query([found.process_id])?;
    while let Some(row) = rows.next()? {
        let (ring, sequence): (i64, i64) = (row.get(0)?, row.get(1)?);
        match u32::try_from(ring - 1) {
            Ok(ring) => _ = done.rings.insert(ring, sequence.cast_unsigned()),
            Err(_) => done.begun = true,
        }
    }
    Ok(done)
}

/// Writes an event that ring files of other stores were removed, because they took too much memory: their number and
/// their bytes.
pub(crate) fn note_trimmed(
    connection: &Connection,
    (files, bytes): (u64, u64),
    now_ns: i64,
) -> rusqlite::Result<()> {
    if files == 0 {
        return Ok(());
    }
    let detail = format!(
        "{files} ring files of dead processes with other stores were removed ({} KiB), the oldest first: \
         together they took more than {} MiB of memory",
        bytes / 1024,
        limits::DEAD_RINGS_BYTES_MAX >> 20
    );
    rows::events(connection, 0, &[EventRow { at_ns: now_ns, kind: "rings", detail }])
}

/// Writes an event that a ring file was set aside, because each attempt to recover it ended a process.
pub(crate) fn note_set_aside(
    connection: &Connection,
    path: &std::path::Path,
    now_ns: i64,
) -> rusqlite::Result<()> {
    let detail = format!(
        "a ring file was set aside as {}, because two processes ended while they recovered it: the command `monitor` \
         brings what it holds into the store",
        path.display()
    );
    rows::events(connection, 0, &[EventRow { at_ns: now_ns, kind: "recovery", detail }])
}

/// The rows of one transaction of a recovery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoveredPart<'a> {
    /// The rows to write. Each of its numbers, those of folded failures included, is added to the stored one.
    pub(crate) batch: &'a Batch,
    /// The positions of the failed calls that are counted in their kind already.
    pub(crate) counted: &'a HashSet<usize>,
    pub(crate) flights: &'a [InFlightRow],
    pub(crate) spans: &'a [RecoveredRange],
}

/// Writes one transaction of a recovery. If another recoverer was faster, the function fails and changes nothing; the
/// caller then reads the progress again.
pub(crate) fn write(
    connection: &Connection,
    ids: &mut IdCache,
    death: Death<'_>,
    part: RecoveredPart<'_>,
) -> rusqlite::Result<()> {
    ids.remember(&part.batch.functions, &part.batch.threads)?;
    let result = write_in(connection, ids, death, part);
    match result {
        Ok(()) => ids.commit(),
        Err(_) => ids.roll_back(),
    }
    result
}

fn write_in(
    connection: &Connection,
    ids: &mut IdCache,
    death: Death<'_>,
    part: RecoveredPart<'_>,
) -> rusqlite::Result<()> {
    let RecoveredPart { batch, counted, flights, spans } = part;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    transaction::check_version(&transaction)?;
    let process_id = match progress(&transaction, &death.process.run_uuid)? {
        Some(found) => found.process_id,
        None => enter(&transaction, death.process, Some(death.mark))?,
    };
    for span in spans {
        advance(&transaction, process_id, span, batch.at_ns)?;
    }
    ids.keep_stored_rates(&transaction)?;
    rows::functions(&transaction, ids, process_id)?;
    let written = calls::write(&transaction, ids, process_id, batch)?;
    if written.bytes > 0 {
        logs::name_recovered(&transaction, process_id, written)?;
    }
    // The bound on the log is kept by the processes that write to the store.
    logs::write(&transaction, ids, process_id, (batch, written), u64::MAX)?;
    let failures = Failures {
        calls: &batch.calls,
        first_id: written.first_id,
        counted,
        folded: &batch.folded,
        update: Update::Add,
    };
    error_groups::write(&transaction, ids, process_id, failures)?;
    windows::write(&transaction, ids, process_id, &batch.windows)?;
    slices::write(&transaction, ids, process_id, &batch.slices)?;
    totals::write(&transaction, ids, process_id, &batch.totals)?;
    rows::events(&transaction, process_id, &batch.events)?;
    for flight in flights {
        let Some(function_id) = ids.function_id(flight.function) else { continue };
        let mut map = |span| ids.spans.map(&transaction, process_id, span, written.last_id());
        let span = map(flight.span_id)?;
        let parent = flight.parent_id.map(&mut map).transpose()?;
        // A call in flight may have begun after the last sign of life, which counts as the time of death. Its start is
        // then set to that time, so that no call begins after the death.
        let started_ns = flight.start_ns.min(death.at_ns);
        transaction
            .prepare("INSERT INTO flight VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                process_id,
                flight.thread,
                flight.depth,
                function_id,
                started_ns,
                span,
                flight.thread_id,
                parent,
                flight.waiting_since_ns.map(|since| since.clamp(started_ns, death.at_ns)),
                flight.args
            ])?;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO progress VALUES (?1, ?2, 1, ?3)",
        [process_id, BEGUN, batch.at_ns],
    )?;
    transaction.execute(
        "UPDATE process SET ending = ?3, ended_ns = ?2 WHERE id = ?1 AND ending <> 'exit'",
        params![process_id, death.at_ns, death.ending.name()],
    )?;
    alerts::end(&transaction, process_id, death.at_ns)?;
    transaction.commit()
}

/// Stores the position up to which a ring is recovered. Fails if the store has another position than `span.from`,
/// because another recoverer was faster.
fn advance(
    transaction: &Connection,
    process_id: i64,
    span: &RecoveredRange,
    at_ns: i64,
) -> rusqlite::Result<()> {
    let found: Option<i64> = transaction
        .query_row(
            "SELECT sequence FROM progress WHERE process_id = ?1 AND ring = ?2",
            [process_id, progress_key(span.ring)],
            |row| row.get(0),
        )
        .optional()?;
    if found.map(i64::cast_unsigned) != span.from {
        return Err(rusqlite::Error::StatementChangedRows(0));
    }
    transaction.execute(
        "INSERT OR REPLACE INTO progress VALUES (?1, ?2, ?3, ?4)",
        [process_id, progress_key(span.ring), span.to.cast_signed(), at_ns],
    )?;
    Ok(())
}
