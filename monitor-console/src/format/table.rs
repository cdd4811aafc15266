//! A table with aligned columns: numbers to the right with units, text to the left, `~` before estimates.
//!
//! A terminal and a pipe get the same table, with two exceptions: on a terminal the titles are bold, and every
//! line fits. Long texts are truncated there; if that is not enough, columns are left out, empty ones and numbers
//! first, and `…` behind the titles says so. Widths are those of the first rows, or, if rows come
//! as calls happen, a fixed width per unit; a column grows when a later row needs more.
//!
//! The table is written by hand because crates for tables hold all rows before they print the first; `monitor
//! sql` prints millions of rows, and `monitor tail` never has the last.

use std::borrow::Cow;
use std::io::Write;

use anyhow::Result;
use rusqlite::types::Value;

use super::{Format, Pace, format_blob};
use crate::report::{Cell, Column, Unit};
use crate::{terminal, units};

/// Rows that decide the widths: many screens full, and little memory.
const ROWS_MEASURED: usize = 2_000;
/// Bytes of rows that wait for the widths, because a cell may be megabytes long.
const BYTES_MEASURED: usize = 8 << 20;
/// The width below which a text column is not truncated.
const TEXT_WIDTH_MIN: usize = 12;
/// Bytes of a BLOB that are shown.
const BLOB_BYTES_SHOWN: usize = 32;

/// The writer of the table.
pub(super) struct Table<W> {
    out: W,
    pace: Pace,
    now_ns: i64,
    columns: Vec<TableColumn>,
    /// Rows that wait until the widths are decided.
    waiting: Vec<Vec<TableCell>>,
    waiting_bytes: usize,
    has_widths: bool,
    terminal_width: Option<usize>,
    /// True if columns were left out.
    is_narrowed: bool,
}

struct TableColumn {
    /// The position of the column's cells in a row.
    at: usize,
    title: String,
    unit: Unit,
    width: usize,
    is_right: bool,
}

/// A formatted cell.
struct TableCell {
    text: String,
    is_number: bool,
    is_null: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W, pace: Pace, is_wide: bool) -> Self {
        Self {
            out,
            pace,
            now_ns: units::now_ns(),
            columns: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            has_widths: false,
            terminal_width: terminal::read_size().map(|(columns, _)| columns).filter(|_| !is_wide),
            is_narrowed: false,
        }
    }

    /// Decides the widths from the waiting rows, then writes the titles and these rows.
    fn decide_widths(&mut self) -> Result<()> {
        self.has_widths = true;
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cells = || self.waiting.iter().map(|row| &row[at]);
            if column.unit == Unit::Text {
                column.is_right =
                    cells().any(|cell| cell.is_number) && cells().all(|c| c.is_number || c.is_null);
            }
            let widest = cells().map(|cell| terminal::measure_width(&cell.text)).max().unwrap_or(0);
            column.width = column.width.max(widest);
        }
        self.fit_to_terminal();
        self.write_titles()?;
        for row in std::mem::take(&mut self.waiting) {
            self.write_line(&row)?;
        }
        Ok(())
    }

    /// Narrows text columns and, if that is not enough, leaves columns out until a line fits the terminal.
    fn fit_to_terminal(&mut self) {
        let Some(room) = self.terminal_width else { return };
        loop {
            self.narrow_texts(room);
            // The mark behind the titles needs room too.
            let mark = if self.is_narrowed { 3 } else { 0 };
            if self.measure_line() + mark <= room || self.columns.len() == 1 {
                return;
            }
            let at = self.find_column_to_hide();
            self.columns.remove(at);
            for row in &mut self.waiting {
                row.remove(at);
            }
            self.is_narrowed = true;
        }
    }

    fn narrow_texts(&mut self, room: usize) {
        while self.measure_line() > room {
            let texts = self.columns.iter_mut().filter(|column| is_text(column.unit));
            match texts.max_by_key(|column| column.width) {
                Some(widest) if widest.width > TEXT_WIDTH_MIN => widest.width -= 1,
                _ => return,
            }
        }
    }

    fn measure_line(&self) -> usize {
        let gaps = 2 * self.columns.len().saturating_sub(1);
        self.columns.iter().map(|column| column.width).sum::<usize>() + gaps
    }

    /// Returns the column to leave out first: the last one without a value, else the last number, else the last.
    fn find_column_to_hide(&self) -> usize {
        let is_empty =
            |at: &usize| !self.waiting.is_empty() && self.waiting.iter().all(|row| row[*at].is_null);
        let is_number = |at: &usize| !is_text(self.columns[*at].unit);
        let last = self.columns.len() - 1;
        let columns = || (1..=last).rev();
        columns().find(is_empty).or_else(|| columns().find(is_number)).unwrap_or(last)
    }

    fn write_titles(&mut self) -> Result<()> {
        let titles: Vec<_> = self
            .columns
            .iter()
            .map(|column| TableCell { text: column.title.clone(), is_number: false, is_null: false })
            .collect();
        let (bold, plain) = if terminal::is_styled() { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        let mut line = self.align(&titles);
        if self.is_narrowed {
            line.push_str("  …");
        }
        let line = self.cut(line);
        Ok(writeln!(self.out, "{bold}{line}{plain}")?)
    }

    fn write_line(&mut self, row: &[TableCell]) -> Result<()> {
        let line = self.align(row);
        Ok(writeln!(self.out, "{}", self.cut(line))?)
    }

    fn align(&mut self, row: &[TableCell]) -> String {
        let mut line = String::with_capacity(128);
        for (column, cell) in self.columns.iter_mut().zip(row) {
            let text = match self.terminal_width {
                Some(_) if is_text(column.unit) => fit(column, &cell.text),
                _ => Cow::Borrowed(cell.text.as_str()),
            };
            let width = terminal::measure_width(&text);
            column.width = column.width.max(width);
            let padding = " ".repeat(column.width - width);
            if column.is_right {
                line.push_str(&padding);
                line.push_str(&text);
            } else {
                line.push_str(&text);
                line.push_str(&padding);
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }

    /// Cuts a line to the terminal: the only column left, or a column that grew, may be too wide.
    fn cut(&self, line: String) -> String {
        match self.terminal_width {
            Some(room) if terminal::measure_width(&line) > room => {
                terminal::truncate_end(&line, room).into_owned()
            }
            _ => line,
        }
    }
}

impl<W: Write> Format for Table<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        let titled =
            columns.iter().enumerate().filter_map(|(at, column)| Some((at, column, column.title.as_ref()?)));
        self.columns = titled
            .map(|(at, column, title)| {
                let title = terminal::escape(title).into_owned();
                let expected = if self.pace == Pace::Following { estimate_width(column.unit) } else { 0 };
                let width = terminal::measure_width(&title).max(expected);
                TableColumn {
                    at,
                    title,
                    unit: column.unit,
                    width,
                    is_right: !is_text(column.unit) && column.unit != Unit::Time,
                }
            })
            .collect();
        if self.pace == Pace::Following { self.decide_widths() } else { Ok(()) }
    }

    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        let row: Vec<_> = self
            .columns
            .iter()
            .map(|column| format_cell(&cells[column.at], column.unit, self.now_ns))
            .collect();
        if self.has_widths {
            return self.write_line(&row);
        }
        self.waiting_bytes += row.iter().map(|cell| cell.text.len()).sum::<usize>();
        self.waiting.push(row);
        let is_enough = self.waiting.len() >= ROWS_MEASURED || self.waiting_bytes >= BYTES_MEASURED;
        if is_enough { self.decide_widths() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn finish(&mut self) -> Result<()> {
        if !self.has_widths {
            self.decide_widths()?;
        }
        self.flush()
    }
}

pub(crate) fn is_text(unit: Unit) -> bool {
    matches!(unit, Unit::Text | Unit::Name | Unit::Outcome)
}

/// Truncates a text to its column. A function's name loses its start, because its end identifies the function better.
fn fit<'a>(column: &TableColumn, text: &'a str) -> Cow<'a, str> {
    match column.unit {
        Unit::Name => terminal::truncate_start(text, column.width),
        _ => terminal::truncate_end(text, column.width),
    }
}

/// Returns the width that values of this unit usually need, for columns whose rows are not known yet.
fn estimate_width(unit: Unit) -> usize {
    match unit {
        Unit::Time => 13,
        Unit::Name => 32,
        Unit::Outcome => 9,
        Unit::Age => 10,
        _ => 8,
    }
}

/// Formats a cell as text with its unit, as a table shows it.
pub(crate) fn format_text(cell: &Cell, unit: Unit, now_ns: i64) -> String {
    format_cell(cell, unit, now_ns).text
}

fn format_cell(cell: &Cell, unit: Unit, now_ns: i64) -> TableCell {
    let text = match (&cell.value, cell.to_number()) {
        (Value::Null, _) if is_text(unit) => String::new(),
        (Value::Null, _) => "-".to_owned(),
        (Value::Text(text), _) => terminal::escape(text).into_owned(),
        (Value::Blob(bytes), _) if bytes.len() > BLOB_BYTES_SHOWN => {
            format!("{}… ({} bytes)", format_blob(&bytes[..BLOB_BYTES_SHOWN]), bytes.len())
        }
        (Value::Blob(bytes), _) => format_blob(bytes),
        (value, Some(number)) => format_number(value, number, unit, now_ns),
        (Value::Integer(_) | Value::Real(_), None) => String::new(),
    };
    let estimate = if cell.is_estimate && !cell.is_null() { "~" } else { "" };
    TableCell {
        text: format!("{estimate}{text}"),
        is_number: cell.to_number().is_some(),
        is_null: cell.is_null(),
    }
}

fn format_number(value: &Value, number: f64, unit: Unit, now_ns: i64) -> String {
    match (unit, value) {
        (Unit::Rate, _) => units::format_rate(number),
        (Unit::Count, _) => units::format_count(number),
        (Unit::Nanoseconds, _) => units::format_duration(number),
        (Unit::Milliseconds, _) => units::format_duration(number * 1e6),
        (Unit::Percent, _) => units::format_percent(number),
        (Unit::Bytes, _) => units::format_bytes(number),
        (Unit::Age, Value::Integer(ns)) => units::format_age(*ns, now_ns),
        (Unit::Time, Value::Integer(ns)) => units::format_time(*ns, now_ns),
        (_, Value::Integer(number)) => number.to_string(),
        (Unit::Number, _) => number.to_string(),
        (_, _) => format!("{number:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn table(columns: &[Column], rows: &[Vec<Cell>]) -> String {
        table_of_width(columns, rows, None)
    }

    fn table_of_width(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, Pace::Whole, true);
        table.terminal_width = width;
        table.write_columns(columns).unwrap();
        for row in rows {
            table.write_row(row).unwrap();
        }
        table.finish().unwrap();
        drop(table);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_with_units_and_text_left() {
        let columns = [
            Column::titled("function", "FUNCTION", Unit::Name),
            Column::titled("calls", "CALLS", Unit::Count),
            Column::titled("max_ms", "MAX", Unit::Milliseconds),
            Column::data("file"),
        ];
        let rows = [
            vec!["a".to_owned().into(), 12_345.into(), 1.5.into(), Value::Null.into()],
            vec!["漢字 long name".to_owned().into(), 7.into(), Cell::estimate(0.25), Value::Null.into()],
        ];
        let expected = "\
FUNCTION         CALLS      MAX
a               12.3 k  1.50 ms
漢字 long name       7  ~250 µs
";
        assert_eq!(table(&columns, &rows), expected);
    }

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        let text = table(
            &[Column::titled("x", "\u{1b}X", Unit::Text)],
            &[vec!["\u{1b}[2J\u{202e}".to_owned().into()]],
        );
        assert_eq!(text, "\\u001bX\n\\u001b[2J\\u202e\n");
    }

    #[test]
    fn a_query_s_numbers_are_aligned_by_what_the_column_holds() {
        let columns = [Column::titled("n", "n", Unit::Text), Column::titled("m", "m", Unit::Text)];
        let rows = [vec![1.into(), "x".to_owned().into()], vec![100.into(), 2.into()]];
        assert_eq!(table(&columns, &rows), "  n  m\n  1  x\n100  2\n");
    }

    #[test]
    fn every_line_fits_a_terminal_of_any_width_and_a_mark_tells_of_columns_left_out() {
        let columns = [
            Column::titled("name", "NAME", Unit::Name),
            Column::titled("calls", "CALLS", Unit::Count),
            Column::titled("none", "NEVER SET", Unit::Text),
            Column::titled("why", "WHY", Unit::Text),
            Column::titled("rate", "RATE", Unit::Number),
        ];
        let row: Vec<Cell> = vec![
            "shop::orders::place_and_pay".to_owned().into(),
            12_345.into(),
            Value::Null.into(),
            "its rows took too much of the budget".to_owned().into(),
            7.into(),
        ];
        let whole = table(&columns, std::slice::from_ref(&row));
        for width in 1..120 {
            let text = table_of_width(&columns, std::slice::from_ref(&row), Some(width));
            assert!(text.lines().all(|line| terminal::measure_width(line) <= width), "{width}: {text}");
        }
        assert_eq!(table_of_width(&columns, std::slice::from_ref(&row), Some(100)), whole);
        let narrow = table_of_width(&columns, std::slice::from_ref(&row), Some(42));
        assert!(narrow.lines().next().unwrap().ends_with("  …"), "{narrow}");
        assert!(
            !narrow.contains("NEVER") && narrow.contains("CALLS") && narrow.contains("and_pay"),
            "{narrow}"
        );
    }
}
