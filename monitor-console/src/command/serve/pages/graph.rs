//! The page of callers and callees: callers to the left of a function, callees to the right, or the heaviest pairs of all.
#![allow(clippy::similar_names, reason = "callers and callees are the words of the subject")]

use anyhow::Result;
use maud::{Markup, html};
use rusqlite::types::Value;

use super::super::app::{Context, PAGE_TIME, Page};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::{chart, text};
use super::function::describe_caller;
use super::{cut, panel};
use crate::model::edges::{self, Caller, Edge};
use crate::model::forest::Forest;
use crate::model::rows::{ROWS_MAX, Rows};
use crate::model::schema;
use crate::report::{Cell, Column, Report, Unit};
use crate::units;

/// The pairs of the table, and the functions of a side.
const PAIRS_SHOWN: usize = 100;
const SIDE_SHOWN: usize = 12;

/// Returns the commands that show the pairs: of all functions, or of a chosen one on both sides.
fn command_line(context: &Context<'_>) -> String {
    let limit = PAIRS_SHOWN.to_string();
    let line = |command: &str| CommandLine::new(context, command).span().option("--limit", &limit);
    if context.pattern.is_none() {
        return line("callers").operand("*").finish();
    }
    let sides = ["callers", "callees"].map(|command| line(command).pattern().finish());
    // Both are empty, or none is.
    sides.join("; ").trim_matches([';', ' ']).to_owned()
}

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut page = Page {
        title: "Graph".to_owned(),
        sql: Some(schema::select("call_edges", None, &context.scope, &[], "ORDER BY caller, callee")),
        command: command_line(context),
        ..Page::default()
    };
    let Some(rows) =
        context.read_within(PAGE_TIME, || Rows::load(&context.store, context.scope.period, ROWS_MAX))?
    else {
        page.main = html! { h1 { "Graph" } (panel("graph", "Who calls whom", &cut())) };
        return Ok(page);
    };
    let mut all = edges::collect(&rows, &Forest::plant(&rows.rows));
    let is_chosen = |name: &str| context.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
    let picture = context.pattern.as_ref().map(|_| show_sides(context, &rows, &all, &is_chosen));
    if context.pattern.is_some() {
        all.retain(|edge| is_chosen(describe_caller(&rows, edge)) || is_chosen(rows.names.text(edge.callee)));
    }
    all.truncate(PAIRS_SHOWN);
    let report = build_report(&rows, &all);
    page.data.insert("edges".to_owned(), table::to_json(&report));
    let link =
        |name: &str| html! { a href=(context.links.here(&[("function", name)])) { (text::function(name)) } };
    let cell = |row: usize, column: &str| {
        let edge = all.get(row)?;
        match (column, edge.caller) {
            ("caller", Caller::Function(caller)) => Some(link(rows.names.text(caller))),
            ("callee", _) => Some(link(rows.names.text(edge.callee))),
            ("most_call_id", _) => {
                edge.most_call_id.map(|id| html! { a href=(context.links.trace(id)) { (id) } })
            }
            _ => None,
        }
    };
    let empty = "no call with a row in this span";
    let table = table::show(
        &report,
        &Frame { caption: "pairs of caller and callee", cell: &cell, empty, ..Frame::default() },
    );
    page.main = html! {
        h1 { "Graph" }
        @if let Some(picture) = &picture { (panel("sides", "Callers and callees", picture)) }
        (panel("pairs", "Pairs by time", &html! { (table) p.note { (rows.basis().describe()) } }))
    };
    Ok(page)
}

fn build_report(rows: &Rows, edges: &[Edge]) -> Report {
    let columns = vec![
        Column::titled("caller", "CALLER", Unit::Name),
        Column::titled("callee", "CALLEE", Unit::Name),
        Column::titled("calls", "CALLS", Unit::Count),
        Column::titled("failed", "FAILED", Unit::Count),
        Column::titled("calls_per_parent", "PER PARENT", Unit::Count),
        Column::titled("most_per_parent", "MOST", Unit::Count),
        Column::titled("total_ns", "TIME", Unit::Nanoseconds),
        Column::titled("most_call_id", "EXAMPLE", Unit::Number),
    ];
    let build = |edge: &Edge| {
        let number = |number: f64| Cell::estimate_if(edge.is_estimated, number);
        let most = |most: i64| Cell::estimate_if(edge.is_estimated, most);
        vec![
            describe_caller(rows, edge).to_owned().into(),
            rows.names.text(edge.callee).to_owned().into(),
            number(edge.calls),
            edge.failed.into(),
            edge.calls_per_parent().map_or(Value::Null.into(), number),
            edge.most_per_parent().map_or(Value::Null.into(), most),
            number(edge.total_ns),
            edge.most_call_id.into(),
        ]
    };
    Report { columns, rows: edges.iter().map(build).collect() }
}

/// Shows three columns: callers, the chosen functions, callees.
fn show_sides(context: &Context<'_>, rows: &Rows, all: &[Edge], is_chosen: &dyn Fn(&str) -> bool) -> Markup {
    let callers: Vec<&Edge> = all.iter().filter(|edge| is_chosen(rows.names.text(edge.callee))).collect();
    let callees: Vec<&Edge> = all.iter().filter(|edge| is_chosen(describe_caller(rows, edge))).collect();
    let mut chosen: Vec<&str> = callers.iter().map(|edge| rows.names.text(edge.callee)).collect();
    chosen.extend(callees.iter().map(|edge| describe_caller(rows, edge)));
    chosen.sort_unstable();
    chosen.dedup();
    let side = |edges: &[&Edge], name: &dyn Fn(&Edge) -> String| {
        let most = edges.iter().map(|edge| edge.total_ns).fold(0.0, f64::max);
        html! {
            ul { @for edge in edges.iter().take(SIDE_SHOWN) {
                @let name = name(edge);
                @let is_function = !name.starts_with('(');
                li {
                    @if is_function { a href=(context.links.here(&[("function", &name)])) { (text::function(&name)) } } @else { (name) }
                    br; (chart::bar(if most > 0.0 { edge.total_ns / most } else { 0.0 }, "fill"))
                    " " span.dim { (units::format_count(edge.calls.round())) " calls, " (units::format_duration(edge.total_ns)) }
                }
            } }
            @if edges.is_empty() { p.empty { "none with a row" } }
            @if edges.len() > SIDE_SHOWN { p.note { (edges.len() - SIDE_SHOWN) " more" } }
        }
    };
    html! {
        div.graph {
            div { h3 { "callers" } (side(&callers, &|edge| describe_caller(rows, edge).to_owned())) }
            div.center { h3 { "function" } ul { @for name in chosen.iter().take(SIDE_SHOWN) { li { a href=(context.links.function(name)) { (text::function(name)) } } } }
                @if chosen.is_empty() { p.empty { "no call of such a function has a row" } } }
            div { h3 { "callees" } (side(&callees, &|edge| rows.names.text(edge.callee).to_owned())) }
        }
    }
}
