//! Traces: the one that an id names, its calls, and the sums of rows that several calls share.
//!
//! Takes a call id, a span id or a trace id; gives the process and the trace, and the calls by start. Span ids are
//! unique only within their process, so a trace always belongs to one process. The file does not know how calls are
//! arranged as a tree.

use std::collections::BTreeMap;

use anyhow::Result;

use super::call_row;
use super::ranges::{self, IdKind};
use super::span_ids;
use crate::report::Cell;
use crate::store::Store;

/// A trace, the id by which it was found, and one of its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundTrace {
    /// The kind of the id: `call id`, `span id` or `trace id`.
    pub(crate) by: &'static str,
    /// The id.
    pub(crate) id: i64,
    /// The run of the program.
    pub(crate) process_id: i64,
    /// The id of the trace.
    pub(crate) trace_id: i64,
    /// The id of the call.
    pub(crate) call_id: i64,
    /// Calls of other processes that have the same id.
    pub(crate) others: usize,
}

/// The sums of calls that share a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shared {
    /// The number of calls.
    pub(crate) calls: i64,
    /// The sum of their durations, in ms.
    pub(crate) total_ms: f64,
    /// The longest duration, in ms.
    pub(crate) max_ms: f64,
    /// The end of the last call, ns since the Unix epoch.
    pub(crate) last_ns: i64,
}

/// A join that starts from the calls: a plan that starts from the threads would read the calls once per
/// thread.
const CALLS_WITH_THREADS: &str = "FROM call c CROSS JOIN thread t ON t.id = c.thread_id";

/// Returns the expression of a call's span id. An older store has it relative to its thread's base.
fn select_span(store: &Store) -> Result<&'static str> {
    Ok(if store.has_span_blocks()? { "c.span" } else { "(t.span_base + c.span)" })
}

/// Returns a condition on `call c` that holds for the calls with this span (or trace) id. Only ranges whose zones can
/// hold the id, or are incomplete, are searched. For an older store, which has no zones, the condition holds for all
/// calls.
fn select_zoned(store: &Store, kind: IdKind, id: &str) -> Result<String> {
    if !store.has_span_blocks()? {
        return Ok("1".to_owned());
    }
    Ok(format!("c.id IN ({})", ranges::select_calls_with(kind, id)))
}

/// Looks an id up as call id, then as span id, then as trace id. The lookup of a call id costs nothing, and few stores
/// have so many calls that their ids reach those of spans. An id that no call of the store has may be the span id that
/// a subscriber saw in the process, which is then mapped to the store's id.
pub(crate) fn find(store: &Store, id: i64) -> Result<Option<FoundTrace>> {
    if let Some(found) = find_stored_id(store, id)? {
        return Ok(Some(found));
    }
    if !store.has_span_blocks()? {
        return Ok(None);
    }
    match span_ids::find_newest(store, id)? {
        Some(stored) => Ok(find_stored_id(store, stored)?.map(|found| FoundTrace { id, ..found })),
        None => Ok(None),
    }
}

fn find_stored_id(store: &Store, id: i64) -> Result<Option<FoundTrace>> {
    let span = select_span(store)?;
    let trace = format!("{span} - c.parent - c.trace");
    let searches = [
        ("call id", "c.id = :id".to_owned()),
        ("span id", format!("{span} = :id AND {}", select_zoned(store, IdKind::Span, ":id")?)),
        ("trace id", format!("{trace} = :id AND {}", select_zoned(store, IdKind::Trace, ":id")?)),
    ];
    for (by, condition) in searches {
        let sql = format!("SELECT t.process_id, {trace}, c.id {CALLS_WITH_THREADS} WHERE {condition}");
        let mut found = Vec::new();
        store.read_rows(&sql, &[(":id", &id)], |row| {
            found.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            Ok(())
        })?;
        // If several runs have the id, the latest is shown.
        if let Some((process_id, trace_id, call_id)) = found.iter().copied().max_by_key(|(_, _, call)| *call)
        {
            let by = if by == "span id" && trace_id == id { "trace id" } else { by };
            let others = found.iter().filter(|(process, ..)| *process != process_id).count();
            return Ok(Some(FoundTrace { by, id, process_id, trace_id, call_id, others }));
        }
    }
    Ok(None)
}

/// Returns the statement that selects the ids of the calls `c` of the trace `:trace` of the process `:process`; a
/// further condition may follow.
pub(super) fn select_calls(store: &Store) -> Result<String> {
    Ok(format!(
        "SELECT c.id {CALLS_WITH_THREADS}
         WHERE {} - c.parent - c.trace = :trace AND {} AND t.process_id = :process",
        select_span(store)?,
        select_zoned(store, IdKind::Trace, ":trace")?
    ))
}

/// Reads the calls of a trace by start, at most `limit`, each as cells with [`call_row::COLUMNS`]. The search has a
/// lower bound, because no call starts before the root; it has no upper bound, because a spawned task may outlive the
/// root.
pub(crate) fn read_calls(store: &Store, found: &FoundTrace, limit: i64) -> Result<Vec<Vec<Cell>>> {
    let sql = format!(
        "SELECT {} FROM calls
         WHERE call_id IN ({} AND c.id >= :first)
         ORDER BY start_ns, duration_ns DESC, call_id
         LIMIT :limit",
        call_row::select_columns(store)?,
        select_calls(store)?
    );
    let first = find_first_call(store, found)?;
    let bound: [(&str, &dyn rusqlite::ToSql); 4] = [
        (":first", &first),
        (":process", &found.process_id),
        (":trace", &found.trace_id),
        (":limit", &limit),
    ];
    let mut calls = Vec::new();
    store.read_rows(&sql, &bound, |row| {
        calls.push(call_row::read(row)?);
        Ok(())
    })?;
    Ok(calls)
}

/// Returns an id below which no call of the trace lies: the lowest id of a call that can have started after
/// the root. The root usually ends last, so it is searched from the found call upwards first, then downwards.
fn find_first_call(store: &Store, found: &FoundTrace) -> Result<i64> {
    let span = format!("{} = :id AND {}", select_span(store)?, select_zoned(store, IdKind::Span, ":id")?);
    for reach in ["c.id >= :near ORDER BY c.id", "c.id < :near ORDER BY c.id DESC"] {
        let sql = format!(
            "SELECT COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= t.base_ns + c.start), 0)
             {CALLS_WITH_THREADS}
             WHERE {span} AND t.process_id = :process AND {reach}
             LIMIT 1"
        );
        let bound = [(":id", &found.trace_id), (":process", &found.process_id), (":near", &found.call_id)];
        if let Some(first) = store.read_integer(&sql, &bound)? {
            return Ok(first);
        }
    }
    Ok(0)
}

/// Reads the sums of those calls that several calls share, by call id.
pub(crate) fn read_shared(store: &Store, ids: &[i64]) -> Result<BTreeMap<i64, Shared>> {
    let mut shared = BTreeMap::new();
    // A store of an older version has no such rows, and no view of them.
    if ids.is_empty() {
        return Ok(shared);
    }
    let sql = "SELECT call_id, calls, total_ms, max_ms, last_ns FROM folds
               WHERE call_id IN (SELECT value FROM json_each(?1))";
    store.read_rows(sql, [serde_json::to_string(ids)?], |row| {
        let sums =
            Shared { calls: row.get(1)?, total_ms: row.get(2)?, max_ms: row.get(3)?, last_ns: row.get(4)? };
        shared.insert(row.get(0)?, sums);
        Ok(())
    })?;
    Ok(shared)
}
