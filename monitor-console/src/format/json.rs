//! One JSON array with one object per line. Numbers are raw, text is as stored.
//!
//! Characters that JSON allows but that act on a terminal (DEL, C1, bidirectional controls) are written as
//! `\uXXXX`: a parser reads the same text, and a terminal shows it harmlessly.

use std::io::{self, Write};

use anyhow::Result;
use rusqlite::types::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Format, format_blob};
use crate::report::{Cell, Column};
use crate::terminal;

/// The writer of the array.
pub(super) struct Json<W> {
    out: W,
    names: Names,
    is_empty: bool,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, names: Names::default(), is_empty: true }
    }
}

impl<W: Write> Format for Json<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        self.names = Names::from_columns(columns);
        Ok(())
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        self.is_empty = false;
        self.names.write_object(&mut self.out, cells)
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        self.flush()
    }
}

/// The position and the name of each data column; no name occurs twice.
#[derive(Default)]
pub(super) struct Names(Vec<(usize, String)>);

impl Names {
    /// Numbers repeated names (`a`, `a_2`), because a statement may give two columns one name and an object
    /// may not.
    pub(super) fn from_columns(columns: &[Column]) -> Self {
        let mut names: Vec<(usize, String)> = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let Some(name) = &column.name else { continue };
            let is_taken = |candidate: &str| names.iter().any(|(_, taken)| taken == candidate);
            let numbered = (2..).map(|number| format!("{name}_{number}"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|candidate| !is_taken(candidate));
            names.extend(free.map(|free| (at, free)));
        }
        Self(names)
    }

    /// Writes a row as an object on one line.
    pub(super) fn write_object(&self, out: &mut impl Write, cells: &[Cell]) -> Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(out, TerminalSafe);
        Object { names: self, cells }.serialize(&mut serializer).map_err(io::Error::from)?;
        Ok(())
    }
}

/// Writes a value as JSON on one line, with escapes for characters that could act on a terminal.
pub(crate) fn write_json(out: impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, TerminalSafe);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

struct Object<'a> {
    names: &'a Names,
    cells: &'a [Cell],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.0.len()))?;
        for (at, name) in &self.names.0 {
            match &self.cells[*at].value {
                Value::Null => map.serialize_entry(name, &())?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Real(number) if number.is_finite() => map.serialize_entry(name, number)?,
                Value::Real(number) => map.serialize_entry(name, &number.to_string())?,
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Blob(bytes) => map.serialize_entry(name, &format_blob(bytes))?,
            }
        }
        map.end()
    }
}

/// Escapes the characters of a string that could act on a terminal.
struct TerminalSafe;

impl serde_json::ser::Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(terminal::is_unsafe) {
            let (clean, from) = rest.split_at(at);
            out.write_all(clean.as_bytes())?;
            let mut characters = from.chars();
            let mut units = [0; 2];
            for unit in characters.next().into_iter().flat_map(|c| c.encode_utf16(&mut units).to_vec()) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn object(columns: &[Column], cells: &[Cell]) -> String {
        let mut out = Vec::new();
        Names::from_columns(columns).write_object(&mut out, cells).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_survives_a_parser_and_cannot_act_on_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\u{9b}\u{7f}\u{202e}\u{e0041}\"\\ü";
        let line = object(&[Column::data("t")], &[hostile.to_owned().into()]);
        assert!(!line.contains(terminal::is_unsafe), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["t"], hostile);
    }

    #[test]
    fn columns_named_alike_are_numbered() {
        let columns = [Column::data("a"), Column::data("a"), Column::data("a_2")];
        assert_eq!(object(&columns, &[1.into(), 2.into(), 3.into()]), r#"{"a":1,"a_2":2,"a_2_2":3}"#);
    }

    #[test]
    fn every_kind_of_value_has_a_form() {
        let columns: Vec<_> = ["n", "r", "i", "b"].into_iter().map(Column::data).collect();
        let cells = [Value::Null.into(), 0.5.into(), f64::INFINITY.into(), vec![0, 255].into()];
        assert_eq!(object(&columns, &cells), r#"{"n":null,"r":0.5,"i":"inf","b":"x'00ff'"}"#);
    }
}
