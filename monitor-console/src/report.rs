//! The report that a command hands to a format: columns that know their unit, and rows of cells.
//!
//! A column belongs to data (json, jsonl, csv: raw, under the view's own name), to the table (under a title, formatted
//! for people), or to both. Every row has a cell for every column. A report does not depend on formats.

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};

/// The meaning of a column's values, which decides how the table formats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Text, or any value that a query returned.
    Text,
    /// A short text that a narrow table shows as a whole or leaves out.
    Short,
    /// The name of a function.
    Name,
    /// The outcome of a call.
    Outcome,
    /// A number shown unchanged, such as an id or a line.
    Number,
    /// A sampling rate, 0 to 1.
    Rate,
    /// A count without a unit.
    Count,
    /// A duration in ns.
    Nanoseconds,
    /// A duration in ms.
    Milliseconds,
    /// A percentage.
    Percent,
    /// A number of bytes.
    Bytes,
    /// A point in time in ns since the Unix epoch, shown as its age.
    Age,
    /// A point in time in ns since the Unix epoch, shown as time of day, with the date unless it is within a
    /// day.
    Time,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// The name in data; `None` if only the table has the column.
    pub(crate) name: Option<String>,
    /// The title in the table; `None` if only data has the column.
    pub(crate) title: Option<String>,
    /// The unit of the values.
    pub(crate) unit: Unit,
}

impl Column {
    /// Returns a column of data that the table leaves out.
    pub(crate) fn data(name: &str) -> Self {
        Self { name: Some(name.to_owned()), title: None, unit: Unit::Text }
    }
    /// Returns a column of data that the table shows under a title.
    pub(crate) fn titled(name: &str, title: &str, unit: Unit) -> Self {
        Self { name: Some(name.to_owned()), title: Some(title.to_owned()), unit }
    }
    /// Returns a column that only the table has.
    pub(crate) fn table(title: &str, unit: Unit) -> Self {
        Self { name: None, title: Some(title.to_owned()), unit }
    }
}

/// A value, and whether it is an estimate from a sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    /// The value as stored.
    pub(crate) value: Value,
    /// True if the table marks the value with `~`.
    pub(crate) is_estimate: bool,
}

impl Cell {
    /// Returns a cell that is marked as an estimate.
    pub(crate) fn estimate(value: impl Into<Value>) -> Self {
        Self { value: value.into(), is_estimate: true }
    }
    /// Returns a cell that is marked as an estimate if it is one.
    pub(crate) fn estimate_if(is_estimate: bool, value: impl Into<Value>) -> Self {
        Self { value: value.into(), is_estimate }
    }
    /// Returns true if the value is NULL.
    pub(crate) fn is_null(&self) -> bool {
        self.value == Value::Null
    }
    /// Returns the value if it is a number.
    #[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
    pub(crate) fn to_number(&self) -> Option<f64> {
        match self.value {
            Value::Integer(number) => Some(number as f64),
            Value::Real(number) => Some(number),
            _ => None,
        }
    }
    /// Returns the value if it is an integer.
    pub(crate) fn to_integer(&self) -> Option<i64> {
        match self.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
    /// Returns the value if it is text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
    /// Formats text and numbers unchanged, and anything else as `-`.
    pub(crate) fn to_plain_text(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Null | Value::Blob(_) => "-".to_owned(),
        }
    }
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), is_estimate: false }
    }
}

/// Reads the first `columns` cells of a row.
pub(crate) fn read_cells(row: &Row<'_>, columns: usize) -> anyhow::Result<Vec<Cell>> {
    (0..columns).map(|at| Ok(read_cell(row.get_ref(at)?))).collect()
}

/// Converts a value of SQLite. Bytes of text that are not UTF-8 are replaced, because a stored text may be
/// anything.
fn read_cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
    .into()
}

/// A whole report, for results small enough to be collected before they are printed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// The columns.
    pub(crate) columns: Vec<Column>,
    /// The rows, each with a cell for every column.
    pub(crate) rows: Vec<Vec<Cell>>,
}
