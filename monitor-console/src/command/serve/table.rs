//! Tables of pages, and the same rows as data.
//!
//! Takes a report and what replaces single cells (links, pictures); gives markup, or JSON with every column. A column
//! has its unit, as in the tables of the command line.

use maud::{Markup, html};
use rusqlite::types::Value as Stored;
use serde_json::{Map, Value, json};

use super::app;
use super::text;
use crate::format::{format_text, is_text};
use crate::report::{Cell, Column, Report, Unit};
use crate::units;

/// A link in the head of a column that sorts by it.
pub(super) struct SortLink {
    /// The address.
    pub(super) address: String,
    /// True if the rows are sorted by the column.
    pub(super) is_current: bool,
}

/// The parts that are shown around the cells of a report.
pub(super) struct Frame<'a> {
    /// The caption of the table, for screen readers.
    pub(super) caption: &'a str,
    /// The markup that replaces a cell, by row and name (or title) of the column.
    pub(super) cell: &'a dyn Fn(usize, &str) -> Option<Markup>,
    /// The link that sorts by a column, by its name (or title).
    pub(super) sort: &'a dyn Fn(&str) -> Option<SortLink>,
    /// The text in place of an empty table.
    pub(super) empty: &'a str,
}

impl Default for Frame<'_> {
    fn default() -> Self {
        Self { caption: "", cell: &|_, _| None, sort: &|_| None, empty: "nothing in this span" }
    }
}

/// Shows the titled columns of a report.
pub(super) fn show(report: &Report, frame: &Frame<'_>) -> Markup {
    if report.rows.is_empty() {
        return html! { p.empty { (frame.empty) } };
    }
    let now = units::now_ns();
    let shown: Vec<(usize, &Column, &str)> = report
        .columns
        .iter()
        .enumerate()
        .filter_map(|(at, column)| Some((at, column, column.title.as_deref()?)))
        .collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(frame.caption) {
            table {
                caption { (frame.caption) }
                thead { tr {
                    @for (_, column, title) in &shown {
                        @let sort = (frame.sort)(key(column));
                        @let is_current = sort.as_ref().is_some_and(|sort| sort.is_current);
                        th scope="col" .n[!is_left(column.unit)] aria-sort=[is_current.then_some("descending")] {
                            @if let Some(sort) = &sort { a href=(sort.address) { (text::cell(title)) } } @else { (text::cell(title)) }
                        }
                    }
                } }
                tbody {
                    @for (number, row) in report.rows.iter().enumerate() {
                        tr { @for (at, column, _) in &shown { (show_cell(&row[*at], column, number, frame, now)) } }
                    }
                }
            }
        }
    }
}

fn show_cell(cell: &Cell, column: &Column, row: usize, frame: &Frame<'_>, now: i64) -> Markup {
    let is_number = !is_left(column.unit) || (column.unit == Unit::Text && cell.to_number().is_some());
    html! {
        td .n[is_number] .long[column.unit == Unit::Text && !is_number] {
            @if let Some(own) = (frame.cell)(row, key(column)) { (own) } @else { (plain(cell, column.unit, now)) }
        }
    }
}

/// Shows a cell without a link.
pub(super) fn plain(cell: &Cell, unit: Unit, now: i64) -> Markup {
    let estimate = if cell.is_estimate && !cell.is_null() { "~" } else { "" };
    match (&cell.value, unit) {
        (Stored::Text(name), Unit::Name) => html! { (estimate) (text::function(name)) },
        (Stored::Text(outcome), Unit::Outcome) => show_outcome(outcome),
        (Stored::Text(stored), _) => html! { (estimate) (text::cell(stored)) },
        _ => html! { (format_text(cell, unit, now)) },
    }
}

/// Shows an outcome or a state by a sign and a word, so that colour is not needed.
pub(super) fn show_outcome(outcome: &str) -> Markup {
    let (sign, class) = match outcome {
        "ok" | "running" => ("✓", "good"),
        "error" => ("✗", "bad"),
        "panic" | "crash" => ("☠", "bad"),
        "cancelled" => ("⊘", "warn"),
        "stale" | "stuck" | "gone" => ("?", "warn"),
        _ => ("·", "dim"),
    };
    html! { span class=(class) { span aria-hidden="true" { (sign) } " " (text::cell(outcome)) } }
}

/// Returns the key that names a column in `Frame::cell` and `Frame::sort`: its name, or its title if it has no name.
fn key(column: &Column) -> &str {
    column.name.as_deref().or(column.title.as_deref()).unwrap_or_default()
}

fn is_left(unit: Unit) -> bool {
    is_text(unit) || unit == Unit::Time
}

/// Returns the rows of a report as objects with every column of data.
pub(super) fn to_json(report: &Report) -> Value {
    let rows = report.rows.iter().map(|row| {
        let named = report.columns.iter().zip(row).filter_map(|(column, cell)| {
            let name = column.name.clone()?;
            Some((name, cell_to_json(cell)))
        });
        Value::Object(named.collect::<Map<_, _>>())
    });
    Value::Array(rows.collect())
}

fn cell_to_json(cell: &Cell) -> Value {
    match &cell.value {
        Stored::Null => Value::Null,
        Stored::Integer(number) => app::integer(*number),
        Stored::Real(number) if number.is_finite() => json!(number),
        Stored::Real(number) => json!(number.to_string()),
        Stored::Text(stored) => json!(stored),
        Stored::Blob(_) => json!(format_text(cell, Unit::Text, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_escapes_titles_and_cells_and_has_data_of_every_column() {
        let columns = vec![
            Column::titled("function", "FUNCTION", Unit::Name),
            Column::titled("calls", "<b>", Unit::Count),
            Column::data("id"),
        ];
        let rows = vec![vec!["a::<i>".to_owned().into(), 12_345_i64.into(), i64::MAX.into()]];
        let report = Report { columns, rows };
        let shown = show(&report, &Frame::default()).into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<i>") && shown.contains("12.3 k"), "{shown}");
        assert_eq!(
            to_json(&report),
            json!([{ "function": "a::<i>", "calls": 12_345, "id": "9223372036854775807" }])
        );
        let empty = Report { rows: Vec::new(), ..report };
        assert!(show(&empty, &Frame::default()).into_string().contains("nothing in this span"));
    }
}
