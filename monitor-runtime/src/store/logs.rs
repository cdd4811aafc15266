//! Writes log lines, links them to the calls that wrote them, and deletes the oldest.
//!
//! Takes the lines and the calls of a batch; writes the lines in the order in which they came, with the store's ids. A
//! line gets the id of its call as soon as that call has a row, which may be some batches later. Each row holds the
//! bytes that all rows up to it have taken since the store was made, so that the size of the log is the difference of
//! two rows. The newest row stays, because its id must not be given again. The caller opens and commits the
//! transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::calls::CallsWritten;
use super::error::no_memory;
use super::id_cache::IdCache;
use super::rows::signed;
use crate::batch::{Batch, CallRow, LogRow, LogTarget};
use crate::growth::MakeRoom as _;

/// Bytes of a row beside its texts, with its entries in indexes.
const ROW_BYTES: usize = 64;
/// Rows that a batch deletes at most, in addition to twice as many as it brings.
const DELETED_MIN: usize = 64;
/// Rows that a step of retention deletes, or looks at together.
const STEP_LINES: i64 = 2048;
/// The number of times that a step of retention looks for expired rows behind rows that are dated ahead.
const LOOKS: usize = 16;

/// Writes the log lines of a batch whose calls are written, and links lines of earlier batches to these calls.
/// `bytes_max` bounds the log. Returns the bytes of the lines.
pub(crate) fn write(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    (batch, written): (&Batch, CallsWritten),
    bytes_max: u64,
) -> rusqlite::Result<u64> {
    name_awaited(transaction, ids, process_id, (&batch.calls, written))?;
    if batch.logs.is_empty() {
        return Ok(0);
    }
    let known = calls_of_lines(batch, written)?;
    let mut targets = Targets { transaction, known: HashMap::new() };
    let mut insert = transaction
        .prepare("INSERT INTO log VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    let before = last_bytes(transaction)?;
    let mut bytes = 0;
    for line in &batch.logs {
        let mut map = |span| ids.spans.map(transaction, process_id, span, written.last_id());
        let (span, trace) = (map(line.span_id)?, map(line.trace_id)?);
        let call_id = known.get(&line.span_id).copied();
        if call_id.is_none() && line.span_id != 0 {
            ids.awaited.add(line.span_id);
        }
        bytes += ROW_BYTES + line.text_bytes();
        insert.execute(params![
            line.at_ns,
            process_id,
            span,
            trace,
            line.level as i64,
            targets.id(&line.target)?,
            line.function.and_then(|function| ids.function_id(function)),
            call_id,
            signed(line.lines),
            before.saturating_add_unsigned(bytes as u64),
            line.body,
            line.fields
        ])?;
    }
    ids.spans.end_batch();
    delete_beyond(transaction, signed(bytes_max), 2 * batch.logs.len() + DELETED_MIN)?;
    Ok(bytes as u64)
}

/// Links lines of earlier batches to those calls of this batch that wrote them.
fn name_awaited(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    (calls, written): (&[CallRow], CallsWritten),
) -> rusqlite::Result<()> {
    if ids.awaited.is_empty() {
        return Ok(());
    }
    for (call, id) in calls.iter().zip(written.first_id..) {
        if ids.awaited.take(call.span_id) {
            let span = ids.spans.map(transaction, process_id, call.span_id, written.last_id())?;
            transaction
                .prepare("UPDATE log SET call_id = ?1 WHERE span = ?2 AND call_id IS NULL AND span <> 0")?
                .execute([id, span])?;
        }
    }
    Ok(())
}

/// Links stored lines to the calls that a recovery has written, because the process may have stored the lines of these
/// calls before it died.
pub(crate) fn name_recovered(
    transaction: &Connection,
    process_id: i64,
    written: CallsWritten,
) -> rusqlite::Result<()> {
    let is_awaiting = "SELECT 1 FROM log WHERE call_id IS NULL AND span <> 0 AND process_id = ?1 LIMIT 1";
    if transaction.query_row(is_awaiting, [process_id], |_| Ok(())).optional()?.is_none() {
        return Ok(());
    }
    transaction.execute(
        "UPDATE log SET call_id = c.id FROM (SELECT id, span FROM call WHERE id BETWEEN ?1 AND ?2) c
         WHERE log.span = c.span AND log.call_id IS NULL AND log.span <> 0",
        [written.first_id, written.last_id()],
    )?;
    Ok(())
}

/// Returns the ids of the calls that wrote lines of the same batch, by their spans. Calls that share a row are not
/// among them, because that row stands for all of them.
fn calls_of_lines(batch: &Batch, written: CallsWritten) -> rusqlite::Result<HashMap<u64, i64>> {
    let (mut said, mut ids) = (HashSet::new(), HashMap::new());
    if !(said.make_room(batch.logs.len()) && ids.make_room(batch.calls.len().min(batch.logs.len()))) {
        return Err(no_memory());
    }
    said.extend(batch.logs.iter().map(|line| line.span_id));
    let calls = batch.calls.iter().zip(written.first_id..);
    let said = calls.filter(|(call, _)| call.shared.is_none() && said.contains(&call.span_id));
    ids.extend(said.map(|(call, id)| (call.span_id, id)));
    Ok(ids)
}

/// The store's ids of the places in the source that wrote the lines of a batch. They are looked up for each batch,
/// because retention deletes places that no line refers to.
struct Targets<'a> {
    transaction: &'a Connection,
    known: HashMap<LogTarget, i64>,
}

impl Targets<'_> {
    fn id(&mut self, target: &LogTarget) -> rusqlite::Result<i64> {
        if let Some(id) = self.known.get(target) {
            return Ok(*id);
        }
        let found: Option<i64> = self
            .transaction
            .prepare("SELECT id FROM log_target WHERE target = ?1 AND file = ?2 AND line = ?3")?
            .query_row(params![target.target, target.file, target.line], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => self
                .transaction
                .prepare("INSERT INTO log_target VALUES (NULL, ?1, ?2, ?3) RETURNING id")?
                .query_row(params![target.target, target.file, target.line], |row| row.get(0))?,
        };
        // A place for which there is no memory is looked up again.
        if self.known.make_room(1) {
            self.known.insert(target.clone(), id);
        }
        Ok(id)
    }
}

/// Returns the bytes that all rows have taken since the store was made.
fn last_bytes(transaction: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT bytes_upto FROM log ORDER BY id DESC LIMIT 1";
    Ok(transaction.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Deletes the oldest rows while the log takes more than `bytes_max` bytes, but no more than `rows_max` rows.
fn delete_beyond(transaction: &Connection, bytes_max: i64, rows_max: usize) -> rusqlite::Result<()> {
    let first = "SELECT id, bytes_upto FROM log ORDER BY id LIMIT 1";
    let first: Option<(i64, i64)> =
        transaction.query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((first, bytes_upto)) = first else { return Ok(()) };
    let until = last_bytes(transaction)?.saturating_sub(bytes_max);
    if bytes_upto < until {
        let rows = i64::try_from(rows_max).unwrap_or(i64::MAX);
        transaction.execute(
            "DELETE FROM log WHERE id < ?1 AND bytes_upto < ?2",
            [first.saturating_add(rows), until],
        )?;
    }
    Ok(())
}

/// Deletes the oldest lines up to the last expired one before the first line that was written between the cutoff and
/// now, some [`STEP_LINES`] at a time. A line that is dated ahead, because the clock was ahead, goes with the expired
/// lines behind it and does not keep them. Returns the number of deleted rows.
pub(super) fn delete_expired(transaction: &Connection, cutoff: i64, now_ns: i64) -> rusqlite::Result<usize> {
    let bounds = |row: &Row<'_>| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?));
    let Some((first, last)): Option<(i64, i64)> =
        transaction.query_row("SELECT min(id), max(id) FROM log", [], bounds)?
    else {
        return Ok(0);
    };
    let mut from = first;
    for _ in 0..LOOKS {
        let end = last.min(from.saturating_add(STEP_LINES));
        let young = "SELECT min(id) FROM log WHERE id >= ?1 AND id < ?2 AND at_ns BETWEEN ?3 AND ?4";
        let young: Option<i64> =
            transaction.query_row(young, [from, end, cutoff, now_ns], |row| row.get(0))?;
        let expired = "SELECT max(id) FROM log WHERE id >= ?1 AND id < ?2 AND at_ns < ?3";
        let expired: Option<i64> =
            transaction.query_row(expired, [from, young.unwrap_or(end), cutoff], |row| row.get(0))?;
        if let Some(expired) = expired {
            return transaction.execute("DELETE FROM log WHERE id <= ?1", [expired]);
        }
        if young.is_some() || end == last {
            break;
        }
        from = end;
    }
    Ok(0)
}

/// Deletes the oldest lines to make room, because no call is left that could be deleted. Returns the number of deleted
/// rows.
pub(super) fn evict(connection: &Connection) -> rusqlite::Result<u64> {
    let rows = connection.execute(
        "DELETE FROM log WHERE id < (SELECT min(id) FROM log) + ?1 AND id < (SELECT max(id) FROM log)",
        [STEP_LINES],
    )?;
    Ok(rows as u64)
}

/// Deletes the lines of a process that is deleted, and the places that no line refers to. Returns the number of deleted
/// rows.
pub(super) fn delete_process_lines(transaction: &Connection, process_id: i64) -> rusqlite::Result<usize> {
    let lines = transaction
        .execute("DELETE FROM log WHERE process_id = ?1 AND id < (SELECT max(id) FROM log)", [process_id])?;
    let places =
        transaction.execute("DELETE FROM log_target WHERE id NOT IN (SELECT target_id FROM log)", [])?;
    Ok(lines + places)
}

/// Returns the bytes that lines may add to the database: their texts, and twice [`ROW_BYTES`] for each.
pub(super) fn estimate_bytes(lines: &[LogRow]) -> usize {
    lines.iter().map(|line| 2 * ROW_BYTES + line.text_bytes()).sum()
}
