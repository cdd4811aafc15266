//! Writes the small rows of a batch: functions, events, the self-report, rates, resources and guards.
//!
//! Takes rows with the process's own ids; gives rows with the store's ids, within a transaction that the caller opens
//! and commits. A number that SQLite cannot hold is stored as the nearest one that it can.

use monitor_rules::text::without_secrets;
use rusqlite::types::Null;
use rusqlite::{Connection, params};

use super::id_cache::IdCache;
use super::schema_doc::EVENT_KINDS;
use crate::batch::{EventRow, GuardRow, HEALTH_COLUMNS, HealthRow, HealthValue, RateRow, ResourcesRow};

/// Returns the number as SQLite's signed integer. A larger number becomes the largest one that fits.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes the functions that the open file does not have, and links them with the process.
pub(crate) fn functions(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
) -> rusqlite::Result<()> {
    let missing = ids.take_missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut upsert = transaction.prepare(
        "INSERT INTO function (name, file, line, group_name, sample_rate) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name, file, line)
         DO UPDATE SET group_name = excluded.group_name, sample_rate = excluded.sample_rate
         RETURNING id",
    )?;
    let mut link = transaction.prepare("INSERT OR IGNORE INTO process_function VALUES (?1, ?2)")?;
    for id in missing {
        let row = ids.function(id)?;
        let stored: i64 = upsert
            .query_row(params![row.name, row.file, row.line, row.group, finite(row.sample_rate)], |row| {
                row.get(0)
            })?;
        link.execute([process_id, stored])?;
        ids.set_function_id(id, stored);
    }
    Ok(())
}

/// Writes pairs of a calling function and a called one.
pub(crate) fn edges(transaction: &Connection, ids: &IdCache, edges: &[(u32, u32)]) -> rusqlite::Result<()> {
    if edges.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO call_edge VALUES (?1, ?2)")?;
    for (caller, callee) in edges {
        if let (Some(caller), Some(callee)) = (ids.function_id(*caller), ids.function_id(*callee)) {
            insert.execute([caller, callee])?;
        }
    }
    Ok(())
}

/// Writes events of the recorder. Events may contain the text of a panic, so secrets are taken out of them.
pub(crate) fn events(transaction: &Connection, process_id: i64, rows: &[EventRow]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare("INSERT INTO event VALUES (NULL, ?1, ?2, ?3, ?4)")?;
    for row in rows {
        debug_assert!(EVENT_KINDS.contains(&row.kind), "{} is no documented kind of event", row.kind);
        insert.execute(params![row.at_ns, process_id, row.kind, without_secrets(&row.detail)])?;
    }
    Ok(())
}

/// Replaces the process's self-report.
pub(crate) fn health(transaction: &Connection, process_id: i64, row: &HealthRow) -> rusqlite::Result<()> {
    let places = ", ?".repeat(HEALTH_COLUMNS.len());
    let mut insert =
        transaction.prepare(&format!("INSERT OR REPLACE INTO self_report VALUES (?{places})"))?;
    insert.raw_bind_parameter(1, process_id)?;
    for (at, column) in (2..).zip(&HEALTH_COLUMNS) {
        match column.value(row) {
            HealthValue::Missing => insert.raw_bind_parameter(at, Null)?,
            HealthValue::Integer(number) => insert.raw_bind_parameter(at, number)?,
            HealthValue::Real(number) if column.is_optional => insert.raw_bind_parameter(at, number)?,
            HealthValue::Real(number) => insert.raw_bind_parameter(at, finite(number))?,
            HealthValue::Text(text) => insert.raw_bind_parameter(at, text)?,
        }
    }
    insert.raw_execute()?;
    Ok(())
}

/// Replaces the rates of functions in this process.
pub(crate) fn rates(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: &[RateRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut replace = transaction.prepare(
        "INSERT OR REPLACE INTO function_rate VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for row in rows {
        let Some(function_id) = ids.function_id(row.function) else { continue };
        replace.execute(params![
            process_id,
            function_id,
            row.at_ns,
            finite(row.asked),
            finite(row.rate),
            row.fidelity,
            finite(row.calls_per_s),
            finite(row.rows_per_s),
            finite(row.ns_per_call),
            finite(row.cpu_pct),
            finite(row.saved_pct),
            row.budget_pct,
            row.why,
        ])?;
    }
    Ok(())
}

/// Writes a sample of the process's use of the machine.
pub(crate) fn resources(
    transaction: &Connection,
    process_id: i64,
    row: &ResourcesRow,
) -> rusqlite::Result<()> {
    transaction.prepare("INSERT INTO resource VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        process_id,
        row.at_ns,
        finite(row.cpu_pct),
        signed(row.rss_bytes),
        row.threads,
        row.open_files
    ])?;
    Ok(())
}

/// Replaces the rows of guards in this process. Reasons are texts of the program, so secrets are taken out of them.
pub(crate) fn guards(
    transaction: &Connection,
    process_id: i64,
    at_ns: i64,
    rows: &[GuardRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut replace = transaction.prepare(
        "INSERT OR REPLACE INTO guard VALUES
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    let text = |text: &Option<String>| text.as_deref().map(|text| without_secrets(text).to_string());
    for row in rows {
        replace.execute(params![
            process_id,
            row.name,
            at_ns,
            row.state,
            at_ns.saturating_sub(signed(row.lasted_ns)),
            row.level,
            signed(row.calls),
            signed(row.failures),
            signed(row.rejected),
            signed(row.fallbacks_value),
            signed(row.fallbacks_cached),
            signed(row.fallbacks_function),
            signed(row.probes),
            signed(row.openings),
            signed(row.retries),
            signed(row.retried_ok),
            text(&row.held),
            text(&row.last_failure),
        ])?;
    }
    Ok(())
}

/// Returns the number, or 0 if it is not finite, because SQLite stores NaN as NULL and a NOT NULL column refuses that.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
