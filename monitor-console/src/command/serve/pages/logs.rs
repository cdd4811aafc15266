//! The log lines of programs, the newest first, with links to the calls that wrote them.

use anyhow::Result;
use maud::{Markup, html};
use monitor_runtime::record::LogLevel;

use super::super::app::{Context, PAGE_TIME, Page};
use super::super::command::CommandLine;
use super::super::table;
use super::{cut, panel, show_with_links};
use crate::command::logs::build_report;
use crate::model::logs::{self, Line, Query};
use crate::model::schema;

/// The lines of a page.
const SHOWN: usize = 100;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let named = context.parameters.text("level");
    let level =
        LogLevel::ALL.into_iter().find(|level| Some(level.as_str()) == named).unwrap_or(LogLevel::Trace);
    let period = context.scope.period;
    let query = Query {
        pattern: context.pattern.as_ref(),
        level,
        span_ns: (period.from_ns, period.until_ns),
        processes: context.scope.processes_json(),
        ..Query::newest(context.limit(SHOWN)?)
    };
    let mut page = Page {
        title: "Logs".to_owned(),
        sql: Some(schema::select(
            "logs",
            Some("at_ns"),
            &context.scope,
            &[],
            &format!("ORDER BY log_id DESC LIMIT {}", query.limit),
        )),
        command: CommandLine::new(context, "logs")
            .pattern()
            .since()
            .of_all_processes()
            .option("--level", level.as_str())
            .option("--limit", &query.limit.to_string())
            .finish(),
        ..Page::default()
    };
    let Some(mut lines) = context.read_within(PAGE_TIME, || logs::find(&context.store, &query))? else {
        page.main = html! { h1 { "Logs" } (panel("logs", "Log lines", &cut())) };
        return Ok(page);
    };
    lines.reverse();
    page.data.insert("logs".to_owned(), table::to_json(&build_report(&lines)));
    let chip = |name: &str| {
        let is_on = level.as_str() == name;
        let address = context.links.here(&[("level", if is_on { "" } else { name })]);
        html! { a.chip href=(address) aria-pressed=(is_on.to_string()) role="button" { (name) } " " }
    };
    let content = html! {
        p.chips { (chip("error")) (chip("warn")) (chip("info")) (chip("debug")) }
        (show(context, &lines))
    };
    page.main = html! { h1 { "Logs" } (panel("logs", "Log lines", &content)) };
    Ok(page)
}

/// Shows lines in a table with links to calls and functions.
pub(super) fn show(context: &Context<'_>, lines: &[Line]) -> Markup {
    let report = build_report(lines);
    let texts = ("log lines", "no log lines in this span");
    show_with_links(context, &report, |row, _| lines.get(row)?.function.as_deref(), texts)
}
