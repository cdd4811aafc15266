//! The four ways a report is printed, one file each. A command tells columns once, then rows, then
//! the end; it does not know which format listens.

mod table;
mod json;
mod jsonl;
mod csv;

use std::io::{self, BufWriter, Write};

use anyhow::Result;

use crate::arguments::FormatName;
use crate::report::{Cell, Column, Report};

/// Something that prints rows.
pub(crate) trait Format {
    /// Takes the columns, before any row.
    fn columns(&mut self, columns: &[Column]) -> Result<()>;
    /// Takes a row with a cell for every column.
    fn row(&mut self, cells: &[Cell]) -> Result<()>;
    /// Hands what was taken on to the reader.
    fn flush(&mut self) -> Result<()>;
    /// Ends the report.
    fn finish(&mut self) -> Result<()>;
}

/// Whether rows are all there or still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The report has an end.
    Whole,
    /// Rows come as they happen, and each is shown at once.
    Following,
}

/// A format over some output.
pub(crate) fn over<'a>(name: FormatName, pace: Pace, out: impl Write + 'a) -> Box<dyn Format + 'a> {
    match (name, pace) {
        (FormatName::Table, _) => Box::new(table::Table::new(out, pace)),
        (FormatName::Json, Pace::Whole) => Box::new(json::Json::new(out)),
        (FormatName::Json, Pace::Following) | (FormatName::Jsonl, _) => Box::new(jsonl::Jsonl::new(out)),
        (FormatName::Csv, _) => Box::new(csv::Csv::new(out)),
    }
}

/// A format over standard output.
pub(crate) fn stdout(name: FormatName, pace: Pace) -> Box<dyn Format> {
    over(name, pace, BufWriter::new(io::stdout()))
}

/// Prints a whole report.
pub(crate) fn print(report: &Report, format: &mut dyn Format) -> Result<()> {
    format.columns(&report.columns)?;
    report.rows.iter().try_for_each(|row| format.row(row))?;
    format.finish()
}
