//! The parts that all answers share: a heading that states the basis of the answer (the rows and windows that it was
//! computed from, and the last write to the store), and the same facts as columns of data.

use std::io::Write as _;

use anyhow::Result;
use rusqlite::types::Value;

use super::print_heading_of;
use crate::arguments::Common;
use crate::format;
use crate::model::basis::Basis;
use crate::report::{Cell, Column, Report};
use crate::stores::Stores;

/// Prints a report below a heading that names the stores and the basis of the answer.
pub(super) fn print_of(
    common: &Common,
    stores: &Stores,
    title: &str,
    basis: &Basis,
    report: &Report,
) -> Result<()> {
    print_heading_of(common, stores, &format!("{title} · {}", basis.describe()));
    format::print(report, common.style())?;
    Ok(std::io::stdout().lock().flush()?)
}

/// Returns the columns that hold the basis of an answer in data formats.
pub(super) fn basis_columns() -> Vec<Column> {
    ["basis_rows", "basis_windows", "basis_since_ns", "last_write_ns"].into_iter().map(Column::data).collect()
}

/// Returns the cells of [`basis_columns`].
pub(super) fn basis_cells(basis: &Basis) -> Vec<Cell> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let optional = |ns: Option<i64>| ns.map_or(Value::Null, Value::from);
    vec![
        count(basis.rows).into(),
        count(basis.windows).into(),
        optional(basis.since_ns).into(),
        optional(basis.last_write_ns).into(),
    ]
}
