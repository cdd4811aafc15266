//! Columns aligned for people: numbers to the right with units, text to the left, `~` on estimates.
//!
//! The same on a terminal and in a pipe, but for two things: a terminal gets its headings in bold, and
//! its long texts cut so that a row stays on one line. Widths come from the first rows (or, where
//! rows follow one another in time, from what each unit needs) and grow where a later row needs more.

use std::borrow::Cow;
use std::io::Write;

use anyhow::Result;
use rusqlite::types::Value;

use super::json::hexadecimal;
use super::{Format, Pace};
use crate::report::{Cell, Column, Unit};
use crate::{terminal, units};

/// Rows looked at before widths are settled: a screenful many times over, and bounded memory.
const ROWS_MEASURED: usize = 2_000;
/// A text column is not cut below this.
const TEXT_WIDTH_MIN: usize = 12;
/// Bytes shown of a BLOB.
const BLOB_BYTES_SHOWN: usize = 32;

/// The table.
pub(super) struct Table<W> {
    out: W,
    pace: Pace,
    now_ns: i64,
    columns: Vec<Shown>,
    waiting: Vec<Vec<Drawn>>,
    is_settled: bool,
    terminal_width: Option<usize>,
}

struct Shown {
    at: usize,
    title: String,
    unit: Unit,
    width: usize,
    is_right: bool,
}

struct Drawn {
    text: String,
    is_number: bool,
    is_null: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W, pace: Pace) -> Self {
        Self {
            out,
            pace,
            now_ns: units::now_ns(),
            columns: Vec::new(),
            waiting: Vec::new(),
            is_settled: false,
            terminal_width: terminal::size().map(|(columns, _)| columns),
        }
    }

    fn settle(&mut self) -> Result<()> {
        self.is_settled = true;
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cells = || self.waiting.iter().map(|row| &row[at]);
            if column.unit == Unit::Text {
                column.is_right =
                    cells().any(|cell| cell.is_number) && cells().all(|c| c.is_number || c.is_null);
            }
            let widest = cells().map(|cell| terminal::width(&cell.text)).max().unwrap_or(0);
            column.width = column.width.max(widest);
        }
        self.shrink();
        self.heading()?;
        for row in std::mem::take(&mut self.waiting) {
            self.line(&row)?;
        }
        Ok(())
    }

    /// Takes from the widest text columns what the terminal has not.
    fn shrink(&mut self) {
        let Some(room) = self.terminal_width else { return };
        let gaps = 2 * self.columns.len().saturating_sub(1);
        while self.columns.iter().map(|column| column.width).sum::<usize>() + gaps > room {
            let texts = self.columns.iter_mut().filter(|column| is_text(column.unit));
            match texts.max_by_key(|column| column.width) {
                Some(widest) if widest.width > TEXT_WIDTH_MIN => widest.width -= 1,
                _ => return,
            }
        }
    }

    fn heading(&mut self) -> Result<()> {
        let titles: Vec<_> = self
            .columns
            .iter()
            .map(|column| Drawn { text: column.title.clone(), is_number: false, is_null: false })
            .collect();
        let (bold, plain) = if terminal::is_styled() { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        let line = self.aligned(&titles);
        Ok(writeln!(self.out, "{bold}{line}{plain}")?)
    }

    fn line(&mut self, row: &[Drawn]) -> Result<()> {
        let line = self.aligned(row);
        Ok(writeln!(self.out, "{line}")?)
    }

    fn aligned(&mut self, row: &[Drawn]) -> String {
        let mut line = String::with_capacity(128);
        for (column, cell) in self.columns.iter_mut().zip(row) {
            let text = match self.terminal_width {
                Some(_) if is_text(column.unit) => fitted(column, &cell.text),
                _ => Cow::Borrowed(cell.text.as_str()),
            };
            let width = terminal::width(&text);
            column.width = column.width.max(width);
            let space = " ".repeat(column.width - width);
            if column.is_right {
                line.push_str(&space);
                line.push_str(&text);
            } else {
                line.push_str(&text);
                line.push_str(&space);
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

impl<W: Write> Format for Table<W> {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        let titled =
            columns.iter().enumerate().filter_map(|(at, column)| Some((at, column, column.title.as_ref()?)));
        self.columns = titled
            .map(|(at, column, title)| {
                let title = terminal::escape(title).into_owned();
                let expected = if self.pace == Pace::Following { expected_width(column.unit) } else { 0 };
                let width = terminal::width(&title).max(expected);
                Shown {
                    at,
                    title,
                    unit: column.unit,
                    width,
                    is_right: !is_text(column.unit) && column.unit != Unit::Moment,
                }
            })
            .collect();
        if self.pace == Pace::Following { self.settle() } else { Ok(()) }
    }

    fn row(&mut self, cells: &[Cell]) -> Result<()> {
        let row: Vec<_> =
            self.columns.iter().map(|column| drawn(&cells[column.at], column.unit, self.now_ns)).collect();
        if self.is_settled {
            return self.line(&row);
        }
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_MEASURED { self.settle() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn finish(&mut self) -> Result<()> {
        if !self.is_settled {
            self.settle()?;
        }
        self.flush()
    }
}

fn is_text(unit: Unit) -> bool {
    matches!(unit, Unit::Text | Unit::Name | Unit::Outcome)
}

/// The end of a function's name tells more than its start.
fn fitted<'a>(column: &Shown, text: &'a str) -> Cow<'a, str> {
    match column.unit {
        Unit::Name => terminal::cut_start(text, column.width),
        _ => terminal::cut(text, column.width),
    }
}

/// What a column of this unit will need, where its rows are not known yet.
fn expected_width(unit: Unit) -> usize {
    match unit {
        Unit::Moment => 13,
        Unit::Name => 32,
        Unit::Outcome => 9,
        Unit::Ago => 10,
        _ => 8,
    }
}

fn drawn(cell: &Cell, unit: Unit, now_ns: i64) -> Drawn {
    let text = match (&cell.value, cell.number()) {
        (Value::Null, _) if is_text(unit) => String::new(),
        (Value::Null, _) => "-".to_owned(),
        (Value::Text(text), _) => terminal::escape(text).into_owned(),
        (Value::Blob(bytes), _) if bytes.len() > BLOB_BYTES_SHOWN => {
            format!("{}… ({} bytes)", hexadecimal(&bytes[..BLOB_BYTES_SHOWN]), bytes.len())
        }
        (Value::Blob(bytes), _) => hexadecimal(bytes),
        (value, Some(number)) => figure(value, number, unit, now_ns),
        (Value::Integer(_) | Value::Real(_), None) => String::new(),
    };
    let estimate = if cell.is_estimate && cell.value != Value::Null { "~" } else { "" };
    Drawn {
        text: format!("{estimate}{text}"),
        is_number: cell.number().is_some(),
        is_null: cell.value == Value::Null,
    }
}

fn figure(value: &Value, number: f64, unit: Unit, now_ns: i64) -> String {
    match (unit, value) {
        (Unit::Rate, _) => units::rate(number),
        (Unit::Count, _) => units::count(number),
        (Unit::Nanoseconds, _) => units::duration(number),
        (Unit::Milliseconds, _) => units::duration(number * 1e6),
        (Unit::Percent, _) => units::percent(number),
        (Unit::Ago, Value::Integer(ns)) => units::ago(*ns, now_ns),
        (Unit::Moment, Value::Integer(ns)) => units::clock(*ns, now_ns),
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
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, Pace::Whole);
        table.terminal_width = None;
        table.columns(columns).unwrap();
        for row in rows {
            table.row(row).unwrap();
        }
        table.finish().unwrap();
        drop(table);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_with_units_and_text_left() {
        let columns = [
            Column::both("function", "FUNCTION", Unit::Name),
            Column::both("calls", "CALLS", Unit::Count),
            Column::both("max_ms", "MAX", Unit::Milliseconds),
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
            &[Column::both("x", "\u{1b}X", Unit::Text)],
            &[vec!["\u{1b}[2J\u{202e}".to_owned().into()]],
        );
        assert_eq!(text, "\\u{1b}X\n\\u{1b}[2J\\u{202e}\n");
    }

    #[test]
    fn a_query_s_numbers_are_aligned_by_what_the_column_holds() {
        let columns = [Column::both("n", "n", Unit::Text), Column::both("m", "m", Unit::Text)];
        let rows = [vec![1.into(), "x".to_owned().into()], vec![100.into(), 2.into()]];
        assert_eq!(table(&columns, &rows), "  n  m\n  1  x\n100  2\n");
    }
}
