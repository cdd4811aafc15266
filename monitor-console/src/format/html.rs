//! A table of a page: the columns and units of the table for people, with what HTML would interpret escaped.

use std::io::Write;

use anyhow::Result;

use super::{Format, table};
use crate::report::{Cell, Column, Unit};
use crate::{terminal, units};

/// The writer of the table.
pub(crate) struct Html<W> {
    out: W,
    now_ns: i64,
    /// The positions and units of the columns that are shown.
    shown: Vec<(usize, Unit)>,
}

impl<W: Write> Html<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, now_ns: units::now_ns(), shown: Vec::new() }
    }

    fn write_line(&mut self, tag: &str, cells: &[(String, Unit)]) -> Result<()> {
        write!(self.out, "<tr>")?;
        for (text, unit) in cells {
            let class = if table::is_text(*unit) { "" } else { " class=\"n\"" };
            write!(self.out, "<{tag}{class}>{}</{tag}>", escape(text))?;
        }
        Ok(writeln!(self.out, "</tr>")?)
    }
}

impl<W: Write> Format for Html<W> {
    fn write_columns(&mut self, columns: &[Column]) -> Result<()> {
        let positions = columns.iter().enumerate();
        let titled: Vec<_> =
            positions.filter_map(|(at, column)| Some((at, column.unit, column.title.clone()?))).collect();
        self.shown = titled.iter().map(|(at, unit, _)| (*at, *unit)).collect();
        let heads: Vec<_> = titled.into_iter().map(|(_, unit, title)| (title, unit)).collect();
        writeln!(self.out, "<table>")?;
        self.write_line("th", &heads)
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        let texts: Vec<_> = self
            .shown
            .iter()
            .map(|(at, unit)| (table::format_text(&cells[*at], *unit, self.now_ns), *unit))
            .collect();
        self.write_line("td", &texts)
    }
    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
    fn finish(&mut self) -> Result<()> {
        writeln!(self.out, "</table>")?;
        self.flush()
    }
}

/// Escapes a text for HTML. Control characters and those that reverse the direction of text are shown as escapes, and
/// `&`, `<`, `>` and quotes become references.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in terminal::escape(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn nothing_of_a_value_is_markup() {
        let columns = [
            Column::titled("x", "<X>", Unit::Text),
            Column::titled("n", "N", Unit::Count),
            Column::data("y"),
        ];
        let mut out = Vec::new();
        let mut html = Html::new(&mut out);
        html.write_columns(&columns).unwrap();
        html.write_row(&[
            "</td><script>'\"&\u{202e}".to_owned().into(),
            5.into(),
            "hidden".to_owned().into(),
        ])
        .unwrap();
        html.finish().unwrap();
        drop(html);
        let expected = "<table>\n<tr><th>&lt;X&gt;</th><th class=\"n\">N</th></tr>\n\
                        <tr><td>&lt;/td&gt;&lt;script&gt;&#39;&quot;&amp;\\u202e</td><td class=\"n\">5</td></tr>\n</table>\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
