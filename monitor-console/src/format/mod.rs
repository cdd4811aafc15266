//! The output formats, one file each.
//!
//! A command writes the columns once, then rows, then the end, through the trait [`Format`]; it does not know
//! which format it writes to. Every format escapes what could act on a terminal.

mod table;
mod json;
mod jsonl;
mod csv;
mod markdown;
pub(crate) mod html;

pub(crate) use json::write_json;
pub(crate) use table::{format_text, is_text};

use std::io::{self, BufWriter, Write};

use anyhow::Result;

use crate::arguments::FormatName;
use crate::report::{Cell, Column, Report};

/// A writer of rows.
pub(crate) trait Format {
    /// Takes the columns, before any row.
    fn write_columns(&mut self, columns: &[Column]) -> Result<()>;
    /// Takes a row with a cell for every column.
    fn write_row(&mut self, cells: &[Cell]) -> Result<()>;
    /// Writes everything taken so far to the output.
    fn flush(&mut self) -> Result<()>;
    /// Ends the report.
    fn finish(&mut self) -> Result<()>;
}

/// The pace at which rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The report has an end.
    Whole,
    /// Rows come as calls happen, and each is shown at once.
    Following,
}

/// A format and its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The format.
    pub(crate) name: FormatName,
    /// True if a table is not fitted to the terminal.
    pub(crate) is_wide: bool,
    /// True if CSV keeps texts that a spreadsheet would run as formulas.
    pub(crate) is_raw: bool,
}

/// Creates a format that writes to `out`.
pub(crate) fn create<'a>(style: Style, pace: Pace, out: impl Write + 'a) -> Box<dyn Format + 'a> {
    match (style.name, pace) {
        (FormatName::Table, _) => Box::new(table::Table::new(out, pace, style.is_wide)),
        (FormatName::Json, Pace::Whole) => Box::new(json::Json::new(out)),
        // An array has an end; rows that follow one another have none.
        (FormatName::Json, Pace::Following) | (FormatName::Jsonl, _) => Box::new(jsonl::Jsonl::new(out)),
        (FormatName::Csv, _) => Box::new(csv::Csv::new(out, style.is_raw)),
        (FormatName::Markdown, _) => Box::new(markdown::Markdown::new(out)),
    }
}

/// Creates a format that writes to standard output.
pub(crate) fn create_for_stdout(style: Style, pace: Pace) -> Box<dyn Format> {
    create(style, pace, BufWriter::new(io::stdout()))
}

/// Writes a whole report to standard output.
pub(crate) fn print(report: &Report, style: Style) -> Result<()> {
    write(report, create_for_stdout(style, Pace::Whole).as_mut())
}

/// Writes a whole report to a format.
pub(crate) fn write(report: &Report, format: &mut dyn Format) -> Result<()> {
    format.write_columns(&report.columns)?;
    report.rows.iter().try_for_each(|row| format.write_row(row))?;
    format.finish()
}

/// Formats bytes as SQL writes them: `x'00ff'`.
fn format_blob(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    format!("x'{}'", digits.collect::<String>())
}
