//! The recorder of each process: level, losses by reason, breaker, sizes, cost.

use anyhow::Result;
use maud::html;

use super::super::app::{Context, Page};
use super::super::command::CommandLine;
use super::super::{table, text};
use super::{note_ignored_span, panel};
use crate::command::health as command;
use crate::model::schema;
use crate::report::Cell;
use crate::units;

/// The runs that are shown.
const SHOWN: usize = 20;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut report = command::build_report(&context.store, context.scope.period)?;
    let find = |row: &[Cell], name: &str| {
        let at = report.columns.iter().position(|column| column.name.as_deref() == Some(name));
        at.and_then(|at| row.get(at).cloned()).unwrap_or_else(|| String::new().into())
    };
    let mut rows = std::mem::take(&mut report.rows);
    rows.retain(|row| find(row, "process_id").to_integer().is_some_and(|run| context.scope.has_process(run)));
    rows.sort_by_key(|row| find(row, "state").as_text() != Some("running"));
    let number = rows.len();
    let limit = context.limit(SHOWN)?;
    rows.truncate(limit);
    let content = html! {
        @for row in &rows {
            @let run = find(row, "process_id").to_plain_text();
            article {
                h3 {
                    a href=(context.links.to(&format!("/process/{run}"), &[("q", "")])) { (text::shorten(&find(row, "service").to_plain_text(), 60)) }
                    " · pid " (find(row, "pid").to_plain_text()) " · run " (run) " " (table::show_outcome(&find(row, "state").to_plain_text()))
                }
                @let lines = command::describe_row(&report.columns, row);
                @if lines.is_empty() { p.empty { "has not reported yet" } }
                dl.lines { @for (name, value) in &lines { div { dt { (name) } dd { (text::shorten(value, 1000)) } } } }
            }
        }
        @if rows.is_empty() { p.empty { "no runs in this span" } }
        @if number > rows.len() { p.note { (number - rows.len()) " more runs" } }
        (note_ignored_span(context, "the latest report of each run"))
    };
    report.rows = rows;
    let mut page = Page {
        title: "Health".to_owned(),
        main: html! { h1 { "Health" } (panel("health", &units::format_quantity(number, "run", "runs"), &content)) },
        sql: Some(schema::select("health", Some("at_ns"), &context.scope, &[], "ORDER BY at_ns DESC")),
        command: CommandLine::new(context, "health")
            .since()
            .of_all_processes()
            .option("--limit", &limit.to_string())
            .finish(),
        ..Page::default()
    };
    page.data.insert("health".to_owned(), table::to_json(&report));
    Ok(page)
}
