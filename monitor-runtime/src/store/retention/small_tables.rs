//! Deletes expired rows of the tables that are small beside the calls: windows, metrics, slices, events, log lines, segments
//! of threads, processes.
//!
//! Takes a cutoff; deletes a bounded number of rows, and gives their number. A process is deleted only with all rows that
//! refer to it. The file does not look at the size bound.

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::growth::MakeRoom as _;
use crate::store::calendar;
use crate::store::error::{collect_rows, no_memory};
use crate::store::id_cache::IdCache;
use crate::store::schema::{SLICE_NS, WINDOW_NS};
use crate::store::{alerts, chunks, logs, totals};

/// Windows of 10 s that are deleted in one transaction. Each is a row for each function and process.
const STEP_WINDOWS: i64 = 30;

/// Numbers of functions whose slices and histogram buckets are deleted in one transaction.
const STEP_SLICES: i64 = 100;

/// Segments of threads, and blocks of span ids, that are deleted in one transaction.
const STEP_SEGMENTS: usize = 2000;

/// Events that are kept at most, however young they are.
const EVENTS_MAX: i64 = 10_000;

/// Days that the calendar keeps beyond the age bound, for calls that ran that long.
const CALENDAR_DAYS: i64 = 400;

/// Deletes rows that are older than the cutoff. Returns the rows that were deleted, and true if there are more.
pub(super) fn delete_expired(
    transaction: Transaction<'_>,
    ids: &mut IdCache,
    (cutoff, now_ns): (i64, i64),
) -> rusqlite::Result<(u64, bool)> {
    let execute = |sql: &str, bound: i64| transaction.execute(sql, [bound]);
    let oldest_window: Option<i64> =
        transaction.query_row("SELECT min(window) FROM latency_window", [], |row| row.get(0))?;
    let expired = cutoff.div_euclid(WINDOW_NS);
    let until = oldest_window.map_or(expired, |oldest| expired.min(oldest + STEP_WINDOWS));
    let windows =
        execute("DELETE FROM latency_window WHERE window < ?1", until)? + delete_before(&transaction, until)?;
    let (metrics, more_metrics) = delete_metrics(&transaction, expired)?;
    let small = execute("DELETE FROM error_group WHERE last_ns < ?1", cutoff)?
        + execute("DELETE FROM event WHERE at_ns < ?1", cutoff)?
        + execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?1", EVENTS_MAX)?
        + execute("DELETE FROM resource WHERE at_ns < ?1", cutoff)?
        + alerts::delete_ended(&transaction, cutoff)?
        + execute(
            "DELETE FROM calendar WHERE day < ?1",
            calendar::day(cutoff).saturating_sub(CALENDAR_DAYS),
        )?;
    let lines = logs::delete_expired(&transaction, cutoff, now_ns)?;
    let first = first_call(&transaction)?;
    let (segments, forgotten_segments) = delete_segments(&transaction, ids, first)?;
    let blocks = delete_span_blocks(&transaction, ids, first)?;
    let (processes, more_processes) = delete_process(&transaction, cutoff)?;
    transaction.commit()?;
    ids.drop_segments(&segments);
    ids.spans.drop_blocks(&blocks.known);
    let mut more_forgotten = false;
    if forgotten_segments == Forgotten::AllDeleted {
        ids.forgotten.drop_oldest();
        more_forgotten |= ids.forgotten.unused(first).is_some();
    }
    if blocks.forgotten == Forgotten::AllDeleted {
        ids.spans.drop_forgotten();
        more_forgotten |= ids.spans.unused_forgotten(first).is_some();
    }
    let more_windows = windows > 0 && until < expired || more_metrics;
    let more = more_processes
        || more_windows
        || lines > 0
        || more_forgotten
        || segments.len() == STEP_SEGMENTS
        || blocks.rows == STEP_SEGMENTS;
    let counts = [windows, metrics, lines, small, segments.len(), blocks.rows, processes];
    Ok((counts.iter().sum::<usize>() as u64, more))
}

/// Deletes windows of metrics before this one, and series that did not change since. The newest series stays, because its
/// id must not be given again: processes remember the ids. Returns the rows that were deleted, and true if there are more.
fn delete_metrics(transaction: &Connection, expired: i64) -> rusqlite::Result<(usize, bool)> {
    let sql = "SELECT min(window) FROM metric_window";
    let oldest: Option<i64> = transaction.query_row(sql, [], |row| row.get(0))?;
    let until = oldest.map_or(expired, |oldest| expired.min(oldest.saturating_add(STEP_WINDOWS)));
    let windows = transaction.execute("DELETE FROM metric_window WHERE window < ?1", [until])?;
    let series = transaction.execute(
        "DELETE FROM metric WHERE last_window < ?1 AND id < (SELECT max(id) FROM metric)",
        [expired],
    )?;
    Ok((windows + series, windows > 0 && until < expired))
}

/// Deletes slices before this one and their histogram buckets, those of some functions at a time, and adds their figures to
/// those of the slices that were deleted before. A slice expires when its end does. Returns the rows that were deleted.
pub(super) fn expire_slices(transaction: Transaction<'_>, before: i64) -> rusqlite::Result<u64> {
    let tables = ["slice", "slice_bucket"];
    let mut oldest: Option<(i64, i64)> = None;
    // A damaged store may have buckets without their slice, which are deleted last.
    for table in tables {
        let sql = format!(
            "SELECT slice, function_id FROM {table} WHERE slice < ?1 ORDER BY slice, function_id LIMIT 1"
        );
        if oldest.is_none() {
            oldest = transaction.query_row(&sql, [before], |row| row.try_into()).optional()?;
        }
    }
    let Some((slice, first)) = oldest else { return Ok(0) };
    let last = first.saturating_add(STEP_SLICES - 1);
    totals::expire(&transaction, slice, (first, last))?;
    let mut rows = 0;
    for table in tables {
        let sql = format!("DELETE FROM {table} WHERE slice = ?1 AND function_id BETWEEN ?2 AND ?3");
        rows += transaction.execute(&sql, [slice, first, last])?;
    }
    transaction.commit()?;
    Ok(rows as u64)
}

/// Deletes the oldest windows to make room, because no call is left that could be deleted. Returns the rows that were
/// deleted.
pub(super) fn evict_windows(connection: &Connection) -> rusqlite::Result<u64> {
    let mut rows = 0;
    for table in ["latency_window", "metric_window"] {
        rows += connection.execute(
            &format!("DELETE FROM {table} WHERE window < (SELECT min(window) FROM {table}) + ?1"),
            [STEP_WINDOWS],
        )?;
    }
    let oldest: Option<i64> =
        connection.query_row("SELECT min(window) FROM latency_window", [], |row| row.get(0))?;
    rows += delete_before(connection, oldest.unwrap_or(i64::MAX))?;
    Ok(rows as u64)
}

/// Deletes the starts and the chunks of the windows before this one. Returns the rows that were deleted.
fn delete_before(connection: &Connection, window: i64) -> rusqlite::Result<usize> {
    let start_ns = window.saturating_mul(WINDOW_NS);
    let starts = connection.execute("DELETE FROM latency_start WHERE start_ns < ?1", [start_ns])?;
    Ok(starts + chunks::delete_before(connection, window)?)
}

/// Deletes segments of this process's own threads of which no call is left. Other processes delete their own segments,
/// because they remember the ids.
fn delete_segments(
    transaction: &Connection,
    ids: &IdCache,
    first: i64,
) -> rusqlite::Result<(Vec<i64>, Forgotten)> {
    let mut unused = ids.unused_segments(first);
    let mut forgotten = Forgotten::MayRemain;
    if let Some(last_id) = ids.forgotten.unused(first) {
        let (kept, wanted) = (ids.segment_ids()?, STEP_SEGMENTS.saturating_sub(unused.len()));
        let found = rows_up_to(
            transaction,
            "SELECT id FROM thread
             WHERE process_id = (SELECT process_id FROM thread WHERE id = ?1) AND id <= ?1 ORDER BY id",
            [last_id],
            (&kept, wanted),
        )?;
        if found.len() < wanted {
            forgotten = Forgotten::AllDeleted;
        }
        if !unused.make_room(found.len()) {
            return Err(no_memory());
        }
        unused.extend(found);
    }
    unused.truncate(STEP_SEGMENTS);
    unused.sort_unstable();
    let mut delete = transaction.prepare("DELETE FROM thread WHERE id = ?1")?;
    for id in &unused {
        delete.execute([id])?;
    }
    Ok((unused, forgotten))
}

/// Returns the id below which no call is left.
fn first_call(transaction: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT min(first_call) FROM call_range WHERE first_call <= last_call";
    let first: Option<i64> = transaction.query_row(sql, [], |row| row.get(0))?;
    Ok(first.unwrap_or(i64::MAX))
}

/// The blocks of span ids that a step has deleted.
#[derive(Debug)]
struct DeletedBlocks {
    /// The number of all rows.
    rows: usize,
    /// The deleted blocks that were remembered.
    known: Vec<(u64, i64)>,
    forgotten: Forgotten,
}

/// Deletes blocks of span ids of this process of which no call is left, except the newest of the store, because its id
/// must not be given again. Other processes delete their own blocks, because they remember the ids.
fn delete_span_blocks(
    transaction: &Connection,
    ids: &IdCache,
    first: i64,
) -> rusqlite::Result<DeletedBlocks> {
    let newest: Option<i64> =
        transaction.query_row("SELECT max(id) FROM span_block", [], |row| row.get(0))?;
    let newest = newest.unwrap_or(0);
    let mut known = ids.spans.unused(first, STEP_SEGMENTS);
    known.retain(|(_, id)| *id < newest);
    let (mut found, mut forgotten) = (Vec::new(), Forgotten::MayRemain);
    if let Some((process_id, last_id)) = ids.spans.unused_forgotten(first) {
        let (kept, wanted) = (ids.spans.known_ids()?, STEP_SEGMENTS.saturating_sub(known.len()));
        // The sign keeps SQLite from the index, by which it would sort all blocks of the process.
        found = rows_up_to(
            transaction,
            "SELECT id FROM span_block WHERE +process_id = ?1 AND id <= ?2 AND id < ?3 ORDER BY id",
            [process_id, last_id, newest],
            (&kept, wanted),
        )?;
        // An entry with the newest block stays until that block is deleted too.
        if found.len() < wanted && last_id < newest {
            forgotten = Forgotten::AllDeleted;
        }
    }
    let mut delete = transaction.prepare("DELETE FROM span_block WHERE id = ?1")?;
    for id in known.iter().map(|(_, id)| id).chain(&found) {
        delete.execute([id])?;
    }
    Ok(DeletedBlocks { rows: known.len() + found.len(), known, forgotten })
}

/// The state of the oldest entry of forgotten rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    /// There is no such entry, or more of its rows may be in the store.
    MayRemain,
    /// All of its rows are deleted.
    AllDeleted,
}

/// Returns the ids that the statement selects, except the kept ones, which are in ascending order: at most as many as
/// wanted.
fn rows_up_to(
    transaction: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    (kept, wanted): (&[i64], usize),
) -> rusqlite::Result<Vec<i64>> {
    let mut select = transaction.prepare(sql)?;
    let ids = select.query_map(params, |row| row.get(0))?;
    collect_rows(ids.filter(|id| !id.as_ref().is_ok_and(|id| kept.binary_search(id).is_ok())).take(wanted))
}

/// Deletes one process that has ended and of which no call and no slice is left, with all rows of its own and the
/// functions that no other process uses. Returns the rows that were deleted, and true if there may be another such
/// process.
fn delete_process(transaction: &Connection, cutoff: i64) -> rusqlite::Result<(usize, bool)> {
    let gone: Option<i64> = transaction
        .query_row(
            // Recovered rows were written after the process had ended, so its progress counts.
            "SELECT id FROM (
               SELECT id, coalesce(
                 (SELECT max(at_ns) FROM progress WHERE process_id = process.id), started_ns) AS at_ns
               FROM process WHERE ending <> 'running')
             WHERE at_ns < ?1
               AND at_ns < coalesce((SELECT min(at_ns) FROM call_range WHERE first_call <= last_call), ?1)
             ORDER BY id LIMIT 1",
            [cutoff.saturating_sub(SLICE_NS)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = gone else { return Ok((0, false)) };
    totals::keep(transaction, id)?;
    let mut rows = 0;
    for table in [
        "progress",
        "process_function",
        "function_total",
        "function_expired",
        "function_rate",
        "thread",
        "folded",
        "self_report",
        "resource",
        "guard",
        "alert_part",
        "flight",
        "event",
        // A later process may get the number of this one, and must not find its breakers held.
        "breaker",
        "guard_hold",
    ] {
        rows += transaction.execute(&format!("DELETE FROM {table} WHERE process_id = ?1"), [id])?;
    }
    rows += transaction.execute(
        "DELETE FROM span_block WHERE process_id = ?1 AND id < (SELECT max(id) FROM span_block)",
        [id],
    )?;
    // The latest change stays, because its number must not be given again.
    rows += transaction.execute(
        "DELETE FROM alert WHERE process_id = ?1 AND change < (SELECT max(change) FROM alert)",
        [id],
    )?;
    rows += logs::delete_process_lines(transaction, id)?;
    rows += transaction.execute("DELETE FROM process WHERE id = ?1", [id])?;
    rows += transaction.execute(
        "DELETE FROM function WHERE id NOT IN (SELECT function_id FROM process_function)
         AND id NOT IN (SELECT function_id FROM slice) AND id NOT IN (SELECT function_id FROM error_group)",
        [],
    )?;
    rows += transaction.execute(
        "DELETE FROM call_edge WHERE caller_id NOT IN (SELECT id FROM function)
           OR callee_id NOT IN (SELECT id FROM function)",
        [],
    )?;
    Ok((rows, true))
}
