//! JSON lines: one object per line, written like the objects of the JSON array.

use std::io::Write;

use anyhow::Result;

use super::Format;
use super::json::Names;
use crate::report::{Cell, Column};

/// The writer of JSON lines.
pub(super) struct Jsonl<W> {
    out: W,
    names: Names,
}

impl<W: Write> Jsonl<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, names: Names::default() }
    }
}

impl<W: Write> Format for Jsonl<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        self.names = Names::from_columns(columns);
        Ok(())
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        self.names.write_object(&mut self.out, cells)?;
        Ok(self.out.write_all(b"\n")?)
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}
