//! Recorded calls, a page at a time, and one call with all that was captured of it.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::super::address::{OLDER_THAN, Parameters, parameter};
use super::super::app::{self, App, Context, Form, PAGE_TIME, Page, Refusal};
use super::super::command::CommandLine;
use super::super::table;
use super::super::text;
use super::{panel, show_with_links};
use crate::command::calls::table_columns;
use crate::command::logs::build_report as build_logs;
use crate::model::calls::{self, Order, Query};
use crate::model::last_lines;
use crate::model::schema;
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units;

/// The calls of a page.
const SHOWN: usize = 50;
/// The captured values of a call.
const FIELDS: [&str; 4] = ["args", "result", "error", "fields"];

/// Reads the conditions on calls that an address names.
fn read_query<'a>(context: &'a Context<'_>) -> Result<Query<'a>> {
    let duration = |name| context.parameters.read(name, units::parse_duration);
    let order = match context.parameters.text("sort") {
        Some("duration") => Order::Longest,
        _ => Order::Newest,
    };
    Ok(Query {
        scope: &context.scope,
        pattern: context.pattern.as_ref(),
        is_failed: context.parameters.has("failed"),
        is_slow: context.parameters.has("slow"),
        min_ns: duration("min")?.map(units::to_nanoseconds),
        max_ns: duration("max")?.map(units::to_nanoseconds),
        before: context.parameters.number(OLDER_THAN, 1..=i64::MAX)?.filter(|_| order == Order::Newest),
        order,
        limit: context.limit(SHOWN)?,
    })
}

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let query = read_query(context)?;
    let found = context.read_within(PAGE_TIME, || calls::find(&context.store, &query))?;
    let is_cut = found.is_none();
    let found = found.unwrap_or_default();
    let report = build_report(&found);
    let last = found.calls.last().and_then(|call| found.cell(call, "call_id").to_integer());
    let next = last.filter(|_| found.has_more && query.order == Order::Newest);
    let link = |more: &[(&str, &str)]| context.links.here(more);
    let chip = |name: &str, title: &str, is_on: bool| {
        let address = link(&[(name, if is_on { "" } else { "1" })]);
        html! { a.chip href=(address) aria-pressed=(is_on.to_string()) role="button" { (title) } }
    };
    let before = next.map(|id| id.to_string());
    let content = html! {
        p.chips {
            (chip("failed", "failed", query.is_failed)) " " (chip("slow", "slow", query.is_slow)) " "
            @let is_longest = query.order == Order::Longest;
            a.chip href=(link(&[("sort", if is_longest { "" } else { "duration" })])) aria-pressed=(is_longest.to_string()) role="button" { "longest first" }
            @if let Some(min) = context.parameters.text("min") { " " a.chip href=(link(&[("min", "")])) { "at least " (text::cell(min)) " ×" } }
            @if let Some(max) = context.parameters.text("max") { " " a.chip href=(link(&[("max", "")])) { "at most " (text::cell(max)) " ×" } }
        }
        @if is_cut { (super::cut()) } @else { (show(context, &report)) }
        p.note {
            @if query.before.is_some() { a href=(link(&[])) { "newest" } " " }
            @if let Some(before) = &before { a rel="next" href=(link(&[(OLDER_THAN, before)])) { "older calls" } }
        }
    };
    let mut page = Page {
        title: "Calls".to_owned(),
        main: html! { h1 { "Calls" } (panel("calls", "Recorded calls", &content)) },
        command: command_line(context, &query).finish_or_run(&statement(context, &query)),
        sql: Some(statement(context, &query)),
        ..Page::default()
    };
    page.data.insert("calls".to_owned(), table::to_json(&report));
    page.data.insert("next_before".to_owned(), before.into());
    Ok(page)
}

/// Returns the command that finds the same calls. `monitor calls` knows neither a longest duration nor older pages.
fn command_line<'a>(context: &'a Context<'a>, query: &Query<'_>) -> CommandLine<'a> {
    let line = CommandLine::new(context, "calls").pattern().since().of_all_processes();
    let line = line
        .only_if(query.max_ns.is_none() && query.before.is_none())
        .flag("--failed", query.is_failed)
        .flag("--slow", query.is_slow);
    let line = match query.min_ns {
        Some(min_ns) => line.option("--min", &format!("{min_ns}ns")),
        None => line,
    };
    let line = if query.order == Order::Longest { line.option("--sort", "duration") } else { line };
    line.option("--limit", &query.limit.to_string())
}

fn statement(context: &Context<'_>, query: &Query<'_>) -> String {
    let mut conditions = Vec::new();
    if let Some(name) = context.pattern.as_ref().and_then(Pattern::exact_name) {
        conditions.push(format!("function = {}", schema::quote(name)));
    } else if let Some(pattern) = &context.pattern {
        let [whole, ending] = pattern.to_globs().map(|glob| schema::quote(&glob));
        conditions.push(format!("(function GLOB {whole} OR function GLOB {ending})"));
    }
    match (query.is_failed, query.is_slow) {
        (true, true) => conditions.push("(failed = 1 OR kept = 'slow')".to_owned()),
        (true, false) => conditions.push("failed = 1".to_owned()),
        (false, true) => conditions.push("kept = 'slow'".to_owned()),
        (false, false) => {}
    }
    conditions.extend(query.min_ns.map(|min_ns| format!("duration_ns >= {min_ns}")));
    conditions.extend(query.max_ns.map(|max_ns| format!("duration_ns <= {max_ns}")));
    conditions.extend(query.before.map(|before| format!("call_id < {before}")));
    if let Some(processes) = &query.scope.processes {
        let numbers: Vec<String> = processes.iter().map(i64::to_string).collect();
        conditions.push(format!("process_id IN ({})", numbers.join(", ")));
    }
    let order = if query.order == Order::Newest { "call_id" } else { "duration_ns" };
    let rest = format!("ORDER BY {order} DESC LIMIT {}", query.limit);
    schema::select("calls", Some("start_ns"), &context.scope, &conditions, &rest)
}

/// Builds the table of calls; the data are the columns of the view.
pub(super) fn build_report(found: &calls::Page) -> Report {
    let mut columns: Vec<Column> = found.columns.iter().map(|name| Column::data(name)).collect();
    columns.extend(table_columns());
    let rows = found.calls.iter().map(|call| {
        let mut row = call.clone();
        let same = ["call_id", "start_ns", "duration_ns", "outcome"].map(|name| found.cell(call, name));
        row.extend(same);
        row.push(weigh(found, call));
        row.push(found.cell(call, "function"));
        row.push(describe_values(found, call).into());
        row
    });
    Report { rows: rows.collect(), columns }
}

/// Returns the number of calls that a row stands for.
fn weigh(found: &calls::Page, call: &[Cell]) -> Cell {
    let (weight, folded) = (found.cell(call, "weight"), found.cell(call, "folded"));
    match weight.to_number() {
        weight if weight.is_some() && weight == folded.to_number() => folded,
        Some(weight) if weight > 1.0 => Cell::estimate(weight.round()),
        _ => 1_i64.into(),
    }
}

/// Describes arguments, fields and result or error in a line.
fn describe_values(found: &calls::Page, call: &[Cell]) -> String {
    let text = |name: &str| found.cell(call, name).as_text().map(str::to_owned);
    let end = text("error")
        .map(|error| format!("✗ {error}"))
        .or_else(|| text("result").map(|result| format!("→ {result}")));
    let fields = text("fields").map(|fields| format!("+ {fields}"));
    text("args").into_iter().chain(fields).chain(end).collect::<Vec<_>>().join(" ")
}

/// Shows the table with links to calls and functions.
pub(super) fn show(context: &Context<'_>, report: &Report) -> Markup {
    let texts = ("recorded calls", "no such calls with a row in this span");
    show_with_links(context, report, |_, cell| cell.as_text(), texts)
}

/// The page of one call.
pub(super) fn page_of_one(context: &Context<'_>) -> Result<Page> {
    let id = context.subject_id()?;
    let found = calls::read(&context.store, &[id], Order::Newest)?;
    let Some(call) = found.calls.first() else {
        return Err(Refusal::missing(crate::command::trace::explain_unknown_id(&context.store, id)?));
    };
    let report = build_report(&found);
    let get = |name: &str| found.cell(call, name);
    let function = get("function").to_plain_text();
    let now = context.now_ns;
    let facts: Vec<(&str, Markup)> = vec![
        ("function", html! { a href=(context.links.function(&function)) { (text::function(&function)) } }),
        ("outcome", table::plain(&get("outcome"), Unit::Outcome, now)),
        ("started", html! { (table::plain(&get("start_ns"), Unit::Time, now)) " UTC" }),
        ("duration", table::plain(&get("duration_ns"), Unit::Nanoseconds, now)),
        ("busy", table::plain(&get("busy_ns"), Unit::Nanoseconds, now)),
        ("row because", table::plain(&get("kept"), Unit::Text, now)),
        ("stands for", {
            let weight = weigh(&found, call);
            let calls = if weight.to_number() == Some(1.0) { "call" } else { "calls" };
            html! { (table::plain(&weight, Unit::Count, now)) " " (calls) }
        }),
        ("thread", table::plain(&get("thread"), Unit::Text, now)),
        ("process", show_process(context, &get("process_id"), &get("service"))),
        ("tree", html! { a href=(context.links.trace(id)) { "the trace with this call" } }),
    ];
    let values = FIELDS.iter().filter_map(|name| Some((*name, get(name).as_text()?.to_owned())));
    let content = html! {
        dl.facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
        @for (name, value) in values {
            h3 { (name) }
            pre.value { (text::shorten(&value, text::DETAIL_CHARACTERS)) }
            p.note { a href=(context.links.to(&format!("/call/{id}/{name}"), &[("q", "")])) { "as plain text" } }
        }
    };
    let said = last_lines::find(&context.store, id, last_lines::SHOWN)?;
    let mut page = Page {
        title: format!("Call {id}"),
        main: html! {
            h1 { "Call " (id) }
            (panel("call", "What was recorded", &content))
            @if !said.is_empty() { (panel("said", "What it said last", &super::logs::show(context, &said))) }
        },
        sql: Some(schema::select("calls", None, &context.scope, &[format!("call_id = {id}")], "")),
        command: CommandLine::new(context, "trace").operand(&id.to_string()).finish(),
        ..Page::default()
    };
    page.data.insert("calls".to_owned(), table::to_json(&report));
    page.data.insert("said".to_owned(), table::to_json(&build_logs(&said)));
    Ok(page)
}

fn show_process(context: &Context<'_>, run: &Cell, service: &Cell) -> Markup {
    let number = run.to_plain_text();
    let address = context.links.to(&format!("/process/{number}"), &[("q", "")]);
    html! { a href=(address) { "run " (text::cell(&number)) } " of " (text::cell(&service.to_plain_text())) }
}

/// Answers with a captured value as it is stored, as plain text.
pub(in super::super) async fn value_as_text(
    State(app): State<Arc<App>>,
    Path((id, field)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let name = parameter(uri.query(), "db").filter(|name| !name.is_empty());
    let value = app::run(&app, move |app, opened| {
        let known = FIELDS.into_iter().find(|known| *known == field);
        let (Some(field), Ok(id)) = (known, id.parse::<i64>()) else {
            return Err(Refusal::missing("a call has no such value".to_owned()));
        };
        let store = Store::open(&app.choose_store(name.as_deref())?.path_in_use())?;
        store.spare_process();
        opened(&store);
        let found = calls::read(&store, &[id], Order::Newest)?;
        let value = found.calls.first().and_then(|call| found.cell(call, field).as_text().map(str::to_owned));
        value.ok_or_else(|| Refusal::missing("the call has no such value, or is gone".to_owned()))
    })
    .await;
    match value {
        Ok(value) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], value).into_response(),
        Err(error) => app::explain(&app, &error, Form::Html),
    }
}

/// Returns the parameters that describe a box in a heat map. The page of calls takes them too, so a link from a box
/// to its calls carries them.
pub(super) fn box_parameters(parameters: &Parameters) -> Vec<(&str, &str)> {
    ["from", "to", "min", "max"].into_iter().filter_map(|name| Some((name, parameters.text(name)?))).collect()
}
