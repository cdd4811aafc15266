//! The page for one SQL statement that only reads: its rows as a table, as charts and as a CSV file.

mod over_time;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::json;

use super::super::address::{parameter, path_of};
use super::super::app::{self, App, Context, Form, Page, Refusal};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::panel;
use crate::arguments::FormatName;
use crate::command::sql::{ADVICE, explain_statement_error, read_columns};
use crate::format::{self, Pace, Style};
use crate::model::schema;
use crate::report::{self, Column, Report};
use crate::store::{Stopped, Store};

/// The time limit of a statement.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The most rows and bytes of an answer.
const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 8 << 20;
/// The rows that the page shows; its data have more.
const ROWS_SHOWN: usize = 500;
/// The longest statement, which an address can carry.
const STATEMENT_BYTES_MAX: usize = 6_000;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let statement = context.parameters.text("sql").unwrap_or_default();
    let mut page = Page { title: "SQL".to_owned(), ..Page::default() };
    let objects = schema::read(&context.store)?;
    let result = if statement.is_empty() { None } else { Some(run(context.store.path(), statement)) };
    if !statement.is_empty() {
        // A form sends a line end as two characters, which SQL takes as one.
        page.command = CommandLine::new(context, "sql").operand(&statement.replace("\r\n", "\n")).finish();
        page.sql = Some(statement.to_owned());
    }
    let shown = match result {
        None => html! {},
        Some(Ok((report, is_cut))) => {
            page.data.insert("rows".to_owned(), table::to_json(&report));
            page.data.insert("rows_cut".to_owned(), json!(is_cut));
            let charts = over_time::draw(&report);
            page.has_charts = charts.is_some();
            let csv = context.links.to("/sql.csv", &[("sql", statement)]);
            panel(
                "rows",
                "Rows",
                &html! {
                    @if let Some(charts) = &charts { (charts) }
                    (show(report, is_cut))
                    p.note { "as a file: " a href=(csv) { "CSV" } " · " a href=(context.links.data()) { "JSON" } }
                },
            )
        }
        Some(Err(error)) => {
            if error.downcast_ref::<Refusal>().is_some() {
                return Err(error);
            }
            page.data.insert("error".to_owned(), json!(format!("{error:#}")));
            panel(
                "rows",
                "Not run",
                &html! { p.refusal role="alert" { (text::shorten(&format!("{error:#}"), 1000)) } },
            )
        }
    };
    let form = html! {
        form.sql method="get" action=(path_of(&context.links.here(&[]))) {
            (context.links.fields_here(&["sql", "q", "function"]))
            label { span.label { "One statement that reads" } textarea #sql name="sql" rows="5" spellcheck="false" maxlength=(STATEMENT_BYTES_MAX) { "\n" (statement) } }
            button { "Run" }
            span.hint { "at most 2 s, " (ROWS_MAX) " rows and 8 MB; times are ns since 1970, UTC" }
        }
        p.chips { @for (question, example) in schema::EXAMPLES { a.chip href=(context.links.sql(example)) { (question) } " " } }
        details { summary { "views and their columns" }
            @for object in &objects { p { strong { (text::cell(&object.name)) } ": "
                @for (name, _) in &object.columns { code { (text::cell(name)) } " " } } }
            p { a href=(context.links.to("/schema", &[("q", "")])) { "the meaning of each" } }
        }
    };
    page.main = html! { h1 { "SQL" } (panel("statement", "Statement", &form)) (shown) };
    Ok(page)
}

/// Answers with the rows of a statement as CSV.
pub(in super::super) async fn rows_as_csv(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let name = parameter(uri.query(), "db").filter(|name| !name.is_empty());
    let statement = parameter(uri.query(), "sql").unwrap_or_default();
    let written = app::run(&app, move |app, _| {
        let (report, _) =
            run(&app.choose_store(name.as_deref())?.path_in_use(), &statement).map_err(|error| {
                if error.is::<Refusal>() { error } else { Refusal::wrong(format!("{error:#}")) }
            })?;
        let style = Style { name: FormatName::Csv, is_wide: true, is_raw: false };
        let mut text = Vec::new();
        format::write(&report, &mut *format::create(style, Pace::Whole, &mut text))?;
        Ok(text)
    });
    match written.await {
        Ok(text) => {
            let kind = (header::CONTENT_TYPE, "text/csv; charset=utf-8");
            let file = (header::CONTENT_DISPOSITION, "attachment; filename=\"rows.csv\"");
            ([kind, file], Body::from(text)).into_response()
        }
        Err(error) => app::explain(&app, &error, Form::Html),
    }
}

/// Runs a statement that can do nothing but read; returns its rows, and true if some were left out.
fn run(path: &Path, statement: &str) -> Result<(Report, bool)> {
    if statement.len() > STATEMENT_BYTES_MAX {
        return Err(Refusal::wrong(format!(
            "a statement has at most {STATEMENT_BYTES_MAX} bytes here: use `monitor sql`"
        )));
    }
    let store = Store::open(path)?.restrict()?;
    store.spare_process();
    store.set_time_limit(TIME_LIMIT);
    store.advise(ADVICE);
    let columns = read_columns(&store, statement)?;
    let mut rows = Vec::new();
    let bytes = Cell::new(0_usize);
    let read = store.read_rows(statement, [], |row| {
        let cells = report::read_cells(row, columns.len())?;
        bytes.set(bytes.get() + cells.iter().map(measure).sum::<usize>());
        if rows.len() >= ROWS_MAX || bytes.get() > BYTES_MAX {
            return Err(anyhow!(RowLimitReached));
        }
        rows.push(cells);
        Ok(())
    });
    let is_cut = match read {
        Ok(()) => false,
        Err(error) if error.downcast_ref::<RowLimitReached>().is_some() => true,
        // The statement reached the time limit: the rows that were read until then are shown.
        Err(error) if error.downcast_ref::<Stopped>().is_some() && !rows.is_empty() => true,
        Err(error) => return Err(explain_statement_error(error)),
    };
    Ok((Report { columns: number(columns), rows }, is_cut))
}

/// Numbers columns that are named alike, because data have each name once.
fn number(mut columns: Vec<Column>) -> Vec<Column> {
    for at in 1..columns.len() {
        let is_taken = |name: &str| columns[..at].iter().any(|column| column.name.as_deref() == Some(name));
        let Some(name) = columns[at].name.clone() else { continue };
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|candidate| !is_taken(candidate));
        columns[at].name = free;
    }
    columns
}

/// Stops the reading of rows when there are enough.
#[derive(Debug)]
struct RowLimitReached;

impl std::fmt::Display for RowLimitReached {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("enough rows")
    }
}

impl std::error::Error for RowLimitReached {}

fn measure(cell: &report::Cell) -> usize {
    use rusqlite::types::Value;
    match &cell.value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 8,
    }
}

fn show(mut report: Report, is_cut: bool) -> Markup {
    let number = report.rows.len();
    report.rows.truncate(ROWS_SHOWN);
    html! {
        (table::show(&report, &Frame { caption: "rows of the statement", empty: "no rows", ..Frame::default() }))
        p.note {
            (number) " rows"
            @if number > ROWS_SHOWN { ", of which the page shows " (ROWS_SHOWN) " and JSON all" }
            @if is_cut { "; more were left out, because a limit was reached" }
        }
    }
}
