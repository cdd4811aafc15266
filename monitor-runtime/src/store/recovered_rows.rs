//! What a dead process left, as transactions of whoever recovers it: its rows, what is added to its
//! figures, the calls it was in; and with them how far its rings are recovered, so that each is written
//! once whoever writes it.

pub(crate) use super::id_cache::Known;
use super::process::{enter, progress};
use super::rows::{self, signed};
use super::{error_groups, transaction, windows};
use crate::batch::{Batch, InFlightRow, ProcessRow, RecoveryProgress};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

/// A process that died.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death<'a> {
    pub(crate) process: &'a ProcessRow,
    pub(crate) mark: &'a str,
    /// When, as far as is known.
    pub(crate) at_ns: i64,
}

/// How far a ring is recovered by a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) ring: u32,
    /// How far it was before; none, where nothing of it was.
    pub(crate) from: Option<u64>,
    pub(crate) to: u64,
}

/// The entry in `progress` that says that a recovery has begun.
const BEGUN: i64 = -1;

/// The entry in `progress` for a ring; 0 is the process's own batches.
fn entry(ring: u32) -> i64 {
    i64::from(ring) + 1
}

/// How far the store is with a process.
pub(crate) fn done(connection: &Connection, run_uuid: &str) -> rusqlite::Result<RecoveryProgress> {
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

/// Writes one transaction of a recovery, its figures all on top of what is there. Where another recoverer was
/// faster it fails and changes nothing: the caller asks anew how far the store is.
pub(crate) fn write(
    connection: &Connection,
    known: &mut Known,
    death: Death<'_>,
    batch: &Batch,
    flights: &[InFlightRow],
    spans: &[Span],
) -> rusqlite::Result<()> {
    known.learn(&batch.functions, &batch.threads);
    let result = write_in(connection, known, death, batch, flights, spans);
    match result {
        Ok(()) => known.committed(),
        Err(_) => known.rolled_back(),
    }
    result
}

fn write_in(
    connection: &Connection,
    known: &mut Known,
    death: Death<'_>,
    batch: &Batch,
    flights: &[InFlightRow],
    spans: &[Span],
) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    transaction::check_version(&transaction)?;
    let process_id = match progress(&transaction, &death.process.run_uuid)? {
        Some(found) => found.process_id,
        None => enter(&transaction, death.process, Some(death.mark))?,
    };
    for span in spans {
        advance(&transaction, process_id, span, batch.at_ns)?;
    }
    known.keep_rates(&transaction)?;
    rows::functions(&transaction, known, process_id)?;
    let written = rows::calls(&transaction, known, process_id, batch)?;
    error_groups::write(&transaction, known, process_id, (&batch.calls, written.first_id), &[])?;
    windows::write(&transaction, known, process_id, &batch.windows)?;
    rows::slices(&transaction, known, process_id, &batch.slices)?;
    rows::events(&transaction, process_id, &batch.events)?;
    for flight in flights {
        let Some(function_id) = known.function_id(flight.function) else { continue };
        transaction.prepare("INSERT INTO flight VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            process_id,
            flight.thread,
            flight.depth,
            function_id,
            flight.start_ns,
            signed(flight.span_id)
        ])?;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO progress VALUES (?1, ?2, 1, ?3)",
        [process_id, BEGUN, batch.at_ns],
    )?;
    transaction.execute(
        "UPDATE process SET ending = 'crash', ended_ns = ?2 WHERE id = ?1 AND ending <> 'exit'",
        [process_id, death.at_ns],
    )?;
    transaction.commit()
}

/// Notes how far a ring is recovered, if it was as far as was thought.
fn advance(transaction: &Connection, process_id: i64, span: &Span, at_ns: i64) -> rusqlite::Result<()> {
    let found: Option<i64> = transaction
        .query_row(
            "SELECT sequence FROM progress WHERE process_id = ?1 AND ring = ?2",
            [process_id, entry(span.ring)],
            |row| row.get(0),
        )
        .optional()?;
    if found.map(i64::cast_unsigned) != span.from {
        return Err(rusqlite::Error::StatementChangedRows(0));
    }
    transaction.execute(
        "INSERT OR REPLACE INTO progress VALUES (?1, ?2, ?3, ?4)",
        [process_id, entry(span.ring), span.to.cast_signed(), at_ns],
    )?;
    Ok(())
}
