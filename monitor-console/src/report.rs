//! What a command hands to a format: columns that know their unit, and rows of cells.
//!
//! A column is for data (json, jsonl, csv: raw, under the view's own name), for the table (under a
//! title, figures for people), or for both. The invariant: every row has a cell for every column.

use rusqlite::types::{Value, ValueRef};

/// What a number means, and so how the table writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Text, or whatever a query returned.
    Text,
    /// A function's name.
    Name,
    /// How a call ended.
    Outcome,
    /// A number as it stands: an id, a line.
    Number,
    /// A sampling rate, 0 to 1.
    Rate,
    /// How many.
    Count,
    /// A duration in ns.
    Nanoseconds,
    /// A duration in ms.
    Milliseconds,
    /// A share in per cent.
    Percent,
    /// A moment, told as time past.
    Ago,
    /// A moment, by the clock; with its date where that is not within a day.
    Moment,
}

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name in data; `None`: the table alone shows it.
    pub(crate) name: Option<String>,
    /// Its title in the table; `None`: data alone has it.
    pub(crate) title: Option<String>,
    /// What it holds.
    pub(crate) unit: Unit,
}

impl Column {
    /// A column of data that the table leaves out.
    pub(crate) fn data(name: &str) -> Self {
        Self { name: Some(name.to_owned()), title: None, unit: Unit::Text }
    }
    /// A column of data, in the table under a title.
    pub(crate) fn both(name: &str, title: &str, unit: Unit) -> Self {
        Self { name: Some(name.to_owned()), title: Some(title.to_owned()), unit }
    }
    /// A column of the table alone.
    pub(crate) fn table(title: &str, unit: Unit) -> Self {
        Self { name: None, title: Some(title.to_owned()), unit }
    }
}

/// A value, and whether it rests on a sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    /// As stored.
    pub(crate) value: Value,
    /// Shown with `~`.
    pub(crate) is_estimate: bool,
}

impl Cell {
    /// An estimate.
    pub(crate) fn estimate(value: impl Into<Value>) -> Self {
        Self { value: value.into(), is_estimate: true }
    }
    /// A number, where it is one.
    #[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value {
            Value::Integer(number) => Some(number as f64),
            Value::Real(number) => Some(number),
            _ => None,
        }
    }
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), is_estimate: false }
    }
}

/// A value out of a row; text that is not UTF-8 keeps what can be shown of it.
pub(crate) fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
    .into()
}

/// A whole report, for what is small enough to be put together first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// The columns.
    pub(crate) columns: Vec<Column>,
    /// The rows.
    pub(crate) rows: Vec<Vec<Cell>>,
}
