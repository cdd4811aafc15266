//! Comma-separated values with a header; numbers raw, NULL empty, bytes as `x'00ff'`.
//!
//! Line feeds and tabs stay inside their quotes, because readers of CSV expect them there. Every other character that a
//! terminal acts on or hides is written as an escape, because a CSV is looked at in a terminal as often as it is
//! parsed. A text that a spreadsheet would run as a formula gets `'` before it, which makes the spreadsheet show the
//! text, unless the raw text is asked for.

use std::borrow::Cow;
use std::io::Write;

use anyhow::{Result, anyhow};
use rusqlite::types::Value;

use super::{Format, format_blob};
use crate::report::{Cell, Column};
use crate::terminal;

/// The writer of the lines.
pub(super) struct Csv<W: Write> {
    out: csv::Writer<W>,
    shown: Vec<usize>,
    is_raw: bool,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(out: W, is_raw: bool) -> Self {
        Self { out: csv::WriterBuilder::new().flexible(false).from_writer(out), shown: Vec::new(), is_raw }
    }
}

impl<W: Write> Csv<W> {
    /// Writes one line. An I/O error is unwrapped from the CSV error, so that a closed pipe is recognized.
    fn write_record<'a>(&mut self, fields: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        self.out.write_record(fields).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => anyhow!("a row cannot be written as CSV: {other:?}"),
        })
    }
}

impl<W: Write> Format for Csv<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        let with_names =
            columns.iter().enumerate().filter_map(|(at, column)| Some((at, column.name.as_ref()?)));
        let (shown, names): (Vec<_>, Vec<_>) =
            with_names.map(|(at, name)| (at, format_text(name, self.is_raw))).unzip();
        self.shown = shown;
        self.write_record(names.iter().map(|name| name.as_bytes()))
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        let texts: Vec<_> =
            self.shown.iter().map(|at| format_value(&cells[*at].value, self.is_raw)).collect();
        self.write_record(texts.iter().map(|text| text.as_bytes()))
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}

fn format_value(value: &Value, is_raw: bool) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Real(number) => format!("{number:?}").into(),
        Value::Text(text) => format_text(text, is_raw),
        Value::Blob(bytes) => format_blob(bytes).into(),
    }
}

/// Escapes control characters, and makes a formula a text unless `is_raw`.
fn format_text(text: &str, is_raw: bool) -> Cow<'_, str> {
    let safe = escape_controls(text);
    if is_raw || !text.starts_with(FORMULA_STARTS) { safe } else { format!("'{safe}").into() }
}

/// The characters with which spreadsheets let a formula begin. The full-width forms are among them because Excel
/// takes them for the plain ones in some languages; white space, because some programs skip it.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\n', '\r', '＝', '＋', '－', '＠'];

/// Escapes the characters that [`terminal::is_unsafe`] finds, except line feeds and tabs.
fn escape_controls(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| matches!(c, '\n' | '\t');
    if !text.contains(|c| terminal::is_unsafe(c) && !is_kept(c)) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for piece in text.split_inclusive(is_kept) {
        let content = piece.trim_end_matches(is_kept);
        safe.push_str(&terminal::escape(content));
        safe.push_str(&piece[content.len()..]);
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn controls_are_escaped_and_line_breaks_quoted() {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, false);
        csv.write_columns(&[
            Column::data("a"),
            Column::table("T", crate::report::Unit::Text),
            Column::data("b"),
        ])
        .unwrap();
        csv.write_row(&["x\n\u{1b}[2Jy\r".to_owned().into(), 1.into(), "a,\"b\"".to_owned().into()]).unwrap();
        csv.finish().unwrap();
        drop(csv);
        assert_eq!(String::from_utf8(out).unwrap(), "a,b\n\"x\n\\u001b[2Jy\\r\",\"a,\"\"b\"\"\"\n");
    }
}
