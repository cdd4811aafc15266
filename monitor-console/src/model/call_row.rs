//! A row of the view `calls`, as every command that shows calls reads it.
//!
//! Takes a store; gives the columns as its version has them, and cells by the names of the columns. The file does not
//! know which columns a table shows.

use anyhow::Result;
use rusqlite::Row;

use crate::report::{self, Cell};
use crate::store::Store;

/// The columns of the view `calls`, in its order.
pub(crate) const COLUMNS: [&str; 30] = [
    "call_id",
    "start_ns",
    "start_s",
    "duration_ns",
    "duration_ms",
    "busy_ns",
    "function",
    "outcome",
    "failed",
    "error",
    "args",
    "result",
    "fields",
    "weight",
    "kept",
    "trace_id",
    "span_id",
    "parent_id",
    "thread",
    "service",
    "file",
    "line",
    "group_name",
    "host",
    "pid",
    "process_id",
    "folded",
    "origin",
    "caused_by",
    "thread_id",
];

/// Returns [`COLUMNS`] as they are selected. An older store has no shared rows, no failure that was passed on,
/// and no numbers of threads.
pub(crate) fn select_columns(store: &Store) -> Result<String> {
    let is_new = store.has_span_blocks()?;
    let select = |column: &&'static str| match *column {
        "folded" | "caused_by" | "thread_id" if !is_new => "NULL",
        "origin" if !is_new => "failed",
        column => column,
    };
    Ok(COLUMNS.iter().map(select).collect::<Vec<_>>().join(", "))
}

/// Reads the cells of a row that was selected as [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>) -> Result<Vec<Cell>> {
    report::read_cells(row, COLUMNS.len())
}

/// Returns the cell of the column with this name, or the first cell if no column has it.
pub(crate) fn find_cell<'a>(cells: &'a [Cell], name: &str) -> &'a Cell {
    &cells[COLUMNS.iter().position(|column| *column == name).unwrap_or(0)]
}
