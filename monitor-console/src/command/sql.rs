//! `monitor sql STATEMENT`: one reading statement, its rows as they come.

use std::io::{self, Read};

use anyhow::{Context, Result, bail};

use super::open;
use crate::arguments::{Common, Sql};
use crate::format::{self, Pace};
use crate::report::{self, Column, Unit};

pub(super) fn run(common: &Common, arguments: &Sql) -> Result<()> {
    let statement = match arguments.statement.as_str() {
        "-" => io::read_to_string(io::stdin().lock().take(STATEMENT_BYTES_MAX))
            .context("cannot read the statement from standard input")?,
        statement => statement.to_owned(),
    };
    let store = open(common)?;
    store.set_deadline(arguments.timeout);
    let names = store.columns(&statement)?;
    if names.is_empty() {
        bail!("the statement gives no rows: only statements that read are run");
    }
    let columns: Vec<_> = names.iter().map(|name| Column::both(name, name, Unit::Text)).collect();
    let mut format = format::stdout(common.format, Pace::Whole);
    format.columns(&columns)?;
    store.rows(&statement, [], |row| {
        let cells = (0..columns.len()).map(|at| Ok(report::cell(row.get_ref(at)?)));
        format.row(&cells.collect::<Result<Vec<_>>>()?)
    })?;
    format.finish()
}

/// SQLite's own bound on a statement.
const STATEMENT_BYTES_MAX: u64 = 1_000_000;
