//! The recorder of each process, as its latest report describes it.
//!
//! Takes a store; gives a row of cells for each process. Stores of different versions have different figures, so the
//! columns are known by their names alone. The file does not know what a figure means.

use anyhow::Result;

use super::period::Period;
use crate::report::{self, Cell};
use crate::store::Store;

/// The columns of a process, before those of its recorder.
const PROCESS_COLUMNS: [&str; 10] = [
    "process_id",
    "run_uuid",
    "service",
    "version",
    "host",
    "pid",
    "started_ns",
    "last_seen_ns",
    "ended_ns",
    "ending",
];

/// Processes and the reports of their recorders.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recorders {
    /// The names of the columns: those of a process, then the figures of its recorder.
    pub(crate) columns: Vec<String>,
    /// A row for each process. A process that has not reported yet has no figures.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// Reads the processes that ran within a span with their latest reports, the one seen last first.
pub(crate) fn read_within(store: &Store, period: Period) -> Result<Recorders> {
    let known = store.read_column_names("SELECT * FROM health LIMIT 0")?;
    let figures: Vec<_> = known.into_iter().filter(|name| name != "process_id").collect();
    let quoted: Vec<_> = figures.iter().map(|name| format!("h.\"{}\"", name.replace('"', "\"\""))).collect();
    let sql = format!(
        "SELECT p.{}, {} FROM processes p LEFT JOIN health h ON h.process_id = p.process_id
         WHERE p.last_seen_ns >= ?1 AND p.started_ns <= ?2 ORDER BY p.last_seen_ns DESC, p.process_id DESC",
        PROCESS_COLUMNS.join(", p."),
        quoted.join(", ")
    );
    let columns: Vec<_> = PROCESS_COLUMNS.into_iter().map(str::to_owned).chain(figures).collect();
    let mut rows = Vec::new();
    store.read_rows(&sql, [period.from_ns, period.until_ns], |row| {
        rows.push(report::read_cells(row, columns.len())?);
        Ok(())
    })?;
    Ok(Recorders { columns, rows })
}
