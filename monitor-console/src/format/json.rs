//! One JSON array, an object on each line. Numbers are raw, text is as stored.
//!
//! What JSON lets pass but a terminal does not (DEL, C1, bidirectional controls) is written as
//! `\uXXXX`: the same text to a parser, harmless to a terminal.

use std::io::{self, Write};

use anyhow::Result;
use rusqlite::types::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Format;
use crate::report::{Cell, Column};
use crate::terminal;

/// The array.
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
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.names = Names::of(columns);
        Ok(())
    }
    fn row(&mut self, cells: &[Cell]) -> Result<()> {
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

/// Names of the data columns, each once, and where their cells are.
#[derive(Default)]
pub(super) struct Names(Vec<(usize, String)>);

impl Names {
    /// A statement may name two columns alike; an object may not.
    pub(super) fn of(columns: &[Column]) -> Self {
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

    /// Writes a row as an object, on one line.
    pub(super) fn write_object(&self, out: &mut impl Write, cells: &[Cell]) -> Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(out, Harmless);
        Object { names: self, cells }.serialize(&mut serializer).map_err(io::Error::from)?;
        Ok(())
    }
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
                Value::Blob(bytes) => map.serialize_entry(name, &hexadecimal(bytes))?,
            }
        }
        map.end()
    }
}

/// Bytes as SQL writes them: `x'00ff'`.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    format!("x'{}'", digits.collect::<String>())
}

/// Writes strings without anything that acts on a terminal.
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
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
        Names::of(columns).write_object(&mut out, cells).unwrap();
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
