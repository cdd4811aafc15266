//! A table for Markdown: the columns and units of the table for people, with what Markdown would interpret escaped.

use std::io::Write;

use anyhow::Result;

use super::{Format, table};
use crate::report::{Cell, Column, Unit};
use crate::{terminal, units};

/// The writer of the lines.
pub(super) struct Markdown<W> {
    out: W,
    now_ns: i64,
    /// The positions and units of the columns that are shown.
    shown: Vec<(usize, Unit)>,
}

impl<W: Write> Markdown<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, now_ns: units::now_ns(), shown: Vec::new() }
    }

    fn write_line(&mut self, cells: impl Iterator<Item = String>) -> Result<()> {
        let cells: Vec<_> = cells.collect();
        Ok(writeln!(self.out, "| {} |", cells.join(" | "))?)
    }
}

impl<W: Write> Format for Markdown<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        let titled = columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((at, column.unit, column.title.as_ref()?)));
        let titled: Vec<_> = titled.map(|(at, unit, title)| (at, unit, escape(title))).collect();
        self.shown = titled.iter().map(|(at, unit, _)| (*at, *unit)).collect();
        self.write_line(titled.iter().map(|(_, _, title)| title.clone()))?;
        let side = |unit: Unit| if table::is_text(unit) { "---" } else { "---:" };
        self.write_line(titled.iter().map(|(_, unit, _)| side(*unit).to_owned()))
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        let now_ns = self.now_ns;
        let texts: Vec<_> = self
            .shown
            .iter()
            .map(|(at, unit)| {
                let text = table::format_text(&cells[*at], *unit, now_ns);
                // Between backticks everything but the end of the cell is plain.
                let is_code = *unit == Unit::Name && !text.contains('`') && !text.is_empty();
                if is_code { format!("`{}`", text.replace('|', "\\|")) } else { escape(&text) }
            })
            .collect();
        self.write_line(texts.into_iter())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}

/// Escapes what would end a cell, begin a tag or a link, or mention a person.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in terminal::escape(text).chars() {
        match character {
            '|' => safe.push_str("\\|"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '[' | ']' | '*' => {
                safe.push('\\');
                safe.push(character);
            }
            '@' => safe.push_str("&#64;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_markdown_would_interpret_is_escaped() {
        let mut out = Vec::new();
        let mut markdown = Markdown::new(&mut out);
        markdown
            .write_columns(&[
                Column::titled("function", "FUNCTION", Unit::Name),
                Column::data("file"),
                Column::titled("mean", "MEAN", Unit::Nanoseconds),
                Column::titled("why", "WHY", Unit::Text),
            ])
            .unwrap();
        let cells =
            ["a::b".to_owned().into(), 1.into(), Cell::estimate(1500.0), "a|b<i>\n[x](y)".to_owned().into()];
        markdown.write_row(&cells).unwrap();
        markdown.finish().unwrap();
        drop(markdown);
        let expected = "\
| FUNCTION | MEAN | WHY |
| --- | ---: | --- |
| `a::b` | ~1.50 µs | a\\|b&lt;i&gt;\\n\\[x\\](y) |
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
