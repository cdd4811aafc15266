//! `monitor sql STATEMENT`: runs one statement that reads, and prints its rows as they come.

use std::io::{self, Read};

use anyhow::{Context, Error, Result, anyhow, bail};

use super::open_stores;
use crate::arguments::{Common, Sql, refuse};
use crate::format::{self, Pace};
use crate::report::{self, Column, Unit};
use crate::store::{Store, find_input_error};

pub(super) fn run(common: &Common, arguments: &Sql) -> Result<()> {
    let statement = match arguments.statement.as_str() {
        "-" => io::read_to_string(io::stdin().lock().take(STATEMENT_BYTES_MAX))
            .context("cannot read the statement from standard input")?,
        statement => statement.to_owned(),
    };
    let stores = open_stores(common)?;
    let store = stores.get_or_first(0);
    if stores.are_several() {
        store.unite(stores.label(0), &stores.iter().skip(1).collect::<Vec<_>>())?;
    }
    store.set_time_limit(arguments.timeout);
    store.advise(ADVICE);
    let columns = match read_columns(store, &statement) {
        Err(error) if error.is::<EmptyStatement>() => refuse(&error.to_string()),
        columns => columns?,
    };
    let mut format = format::create_for_stdout(common.style(), Pace::Whole);
    format.write_columns(&columns)?;
    store.stream_rows(&statement, [], |row| format.write_row(&report::read_cells(row, columns.len())?))?;
    format.finish()
}

/// Returns the columns of a statement; fails with [`EmptyStatement`] if the text holds no statement.
pub(super) fn read_columns(store: &Store, statement: &str) -> Result<Vec<Column>> {
    let names = store.read_column_names(statement).map_err(explain_statement_error)?;
    if names.is_empty() && store.is_empty_statement(statement)? {
        bail!(EmptyStatement);
    }
    if names.is_empty() {
        bail!("the statement returns no rows: only statements that read are run, such as SELECT");
    }
    Ok(names.iter().map(|name| Column::titled(name, name, Unit::Text)).collect())
}

/// The error of a text that holds no statement.
#[derive(Debug)]
pub(super) struct EmptyStatement;

impl std::fmt::Display for EmptyStatement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(
            "the statement is empty: give one statement that reads, such as 'SELECT * FROM functions'",
        )
    }
}

impl std::error::Error for EmptyStatement {}

/// Says what is wrong with the statement and where, without the names and codes of SQLite's interface.
pub(super) fn explain_statement_error(error: Error) -> Error {
    if let Some(rusqlite::Error::MultipleStatement) = error.downcast_ref() {
        return anyhow!("the text holds more than one statement: exactly one is run");
    }
    match find_input_error(&error) {
        Some((text, Some(offset))) => anyhow!("{text} (at byte {offset} of the statement)"),
        Some((text, None)) => anyhow!("{text}"),
        None => error,
    }
}

/// The advice in the error of a statement that was stopped at its time limit. No option narrows a statement that a person
/// typed.
pub(super) const ADVICE: &str =
    "bound `call_id` or `start_ns` in the statement, or run it with `monitor sql` and a longer --timeout";

/// SQLite's own bound on the length of a statement.
const STATEMENT_BYTES_MAX: u64 = 1_000_000;
