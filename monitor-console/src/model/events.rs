//! The events of recorders and of the command `monitor`: what a recorder did to keep within its bounds, and what a
//! person changed.
//!
//! Takes a store; gives events, the latest first, and writes those of the command `monitor`. The file does not know
//! what a kind of event means.

use anyhow::Result;
use rusqlite::Params;

use super::scope::Scope;
use crate::report;
use crate::store::Store;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// The time, ns since the Unix epoch.
    pub(crate) at_ns: i64,
    /// The run of the program; 0 for the command `monitor`.
    pub(crate) process_id: i64,
    /// The kind.
    pub(crate) kind: String,
    /// The description.
    pub(crate) detail: String,
}

/// Reads the latest events of the processes of a scope and of the command `monitor`, at most `limit`.
pub(crate) fn read(store: &Store, scope: &Scope, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT at_ns, process_id, kind, detail FROM events
               WHERE at_ns BETWEEN ?1 AND ?2
                 AND (?3 IS NULL OR process_id = 0 OR process_id IN (SELECT value FROM json_each(?3)))
               ORDER BY at_ns DESC LIMIT ?4";
    read_events(store, sql, (scope.period.from_ns, scope.period.until_ns, scope.processes_json(), limit))
}

/// Reads the latest events of a process until a moment, at most `limit`.
pub(crate) fn read_latest(store: &Store, process_id: i64, until_ns: i64, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT at_ns, process_id, kind, detail FROM events WHERE process_id = ?1 AND at_ns <= ?2
               ORDER BY at_ns DESC LIMIT ?3";
    read_events(store, sql, [process_id, until_ns, limit])
}

/// Reads the latest events of one kind of a process, at most `limit`.
pub(crate) fn read_latest_kind(store: &Store, process_id: i64, kind: &str, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT at_ns, process_id, kind, detail FROM events WHERE process_id = ?1 AND kind = ?2
               ORDER BY at_ns DESC LIMIT ?3";
    read_events(store, sql, (process_id, kind, limit))
}

fn read_events(store: &Store, sql: &str, parameters: impl Params) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    store.read_rows(sql, parameters, |row| {
        let cells = report::read_cells(row, 4)?;
        events.push(Event {
            at_ns: cells[0].to_integer().unwrap_or(0),
            process_id: cells[1].to_integer().unwrap_or(0),
            kind: cells[2].as_text().unwrap_or_default().to_owned(),
            detail: cells[3].to_plain_text(),
        });
        Ok(())
    })?;
    Ok(events)
}

/// Writes an event of the command `monitor`, whose number of a process is 0.
pub(super) fn write(store: &Store, kind: &str, detail: &str, now_ns: i64) -> Result<()> {
    let sql = "INSERT INTO event (at_ns, process_id, kind, detail) VALUES (?1, 0, ?2, ?3)";
    store.execute(sql, (now_ns, kind, detail))?;
    Ok(())
}
