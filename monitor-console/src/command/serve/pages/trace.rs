//! The tree of one call, as a waterfall.

use std::collections::HashSet;

use anyhow::Result;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::app::{Context, PAGE_TIME, Page, Refusal, integer};
use super::super::command::CommandLine;
use super::super::{table, text};
use super::{cut, panel};
use crate::command::logs::build_report as build_logs;
use crate::command::trace::{self, Loaded};
use crate::model::call_row::find_cell;
use crate::model::schema;
use crate::model::waterfall::{self, Line};
use crate::report::Cell;
use crate::units;

/// The most calls of a trace that are read.
const CALLS_MAX: usize = 10_000;
/// The most lines that are shown.
const LINES_MAX: usize = 300;
/// The deepest level that is indented further than its caller.
const DEPTH_MAX: usize = 24;
/// The width of the picture in units of its view box.
const WIDTH: f64 = 1000.0;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let id = context.subject_id()?;
    let loaded = context.read_within(PAGE_TIME, || trace::load(&context.store, id, CALLS_MAX))?;
    let Some(loaded) = loaded else {
        return Ok(Page { title: format!("Trace {id}"), main: cut(), ..Page::default() });
    };
    let Some(loaded) = loaded else {
        return Err(Refusal::missing(trace::explain_unknown_id(&context.store, id)?));
    };
    let opened: HashSet<usize> =
        context.parameters.texts("open").filter_map(|number| number.parse().ok()).collect();
    let lines = waterfall::arrange(&loaded.tree, &opened);
    let mut page = Page {
        title: format!("Trace {}", loaded.trace_id),
        sql: Some(schema::select(
            "calls",
            None,
            &context.scope,
            &[format!("trace_id = {} AND process_id = {}", loaded.trace_id, loaded.process_id)],
            "ORDER BY start_ns",
        )),
        command: CommandLine::new(context, "trace").operand(&id.to_string()).finish(),
        ..Page::default()
    };
    page.data.insert("trace_id".to_owned(), integer(loaded.trace_id));
    page.data.insert("calls".to_owned(), describe(&loaded, &lines));
    page.data.insert("lacks".to_owned(), json!(loaded.lacks));
    page.data.insert("said".to_owned(), table::to_json(&build_logs(&loaded.said)));
    page.main = html! {
        h1 { "Trace " (loaded.trace_id) }
        (panel("trace", &summarize(&loaded), &show(context, &loaded, &lines, &opened)))
        @if !loaded.lacks.is_empty() {
            (panel("lacks", "What this trace lacks", &html! { ul { @for line in &loaded.lacks { li { (text::cell(line)) } } } }))
        }
    };
    Ok(page)
}

fn extent(loaded: &Loaded) -> (i64, i64) {
    let start = loaded.tree.iter().map(|call| call.start_ns).min().unwrap_or(0);
    let end =
        loaded.tree.iter().map(|call| call.start_ns.saturating_add(call.duration_ns)).max().unwrap_or(0);
    (start, end.max(start))
}

fn summarize(loaded: &Loaded) -> String {
    let (start, end) = extent(loaded);
    let number = loaded.tree.iter().map(|call| call.shared).fold(0, i64::saturating_add);
    let failed = loaded.tree.iter().filter(|call| call.is_failed).count();
    let mut parts = vec![
        units::format_nanoseconds(end.saturating_sub(start)),
        units::format_quantity(units::format_exact(number), "call", "calls"),
        format!("{failed} failed"),
        format!("{} UTC", units::format_date_and_time(start)),
    ];
    if loaded.is_truncated {
        parts.push(format!("only the first {CALLS_MAX} rows"));
    }
    parts.join(" · ")
}

/// Returns the calls with their place, as data.
fn describe(loaded: &Loaded, lines: &[Line]) -> Value {
    let (start, _) = extent(loaded);
    let mut critical = HashSet::new();
    for line in lines {
        match line {
            Line::Call { at, is_critical: true, .. } => {
                critical.insert(*at);
            }
            Line::Folded { calls, is_critical: true, .. } => critical.extend(calls.iter().copied()),
            _ => {}
        }
    }
    let describe = |(at, (cells, call)): (usize, (&Vec<Cell>, &waterfall::Call))| {
        let id = |name: &str| find_cell(cells, name).to_integer().map(integer);
        let text = |name: &str| find_cell(cells, name).as_text().map(str::to_owned);
        json!({
            "call_id": id("call_id"), "span_id": id("span_id"), "parent_id": id("parent_id"), "function": call.function,
            "offset_ns": integer(call.start_ns.saturating_sub(start)), "duration_ns": integer(call.duration_ns),
            "busy_ns": id("busy_ns"), "outcome": text("outcome"), "error": text("error"), "thread": text("thread"),
            "calls": integer(call.shared), "critical": critical.contains(&at),
        })
    };
    loaded.calls.iter().zip(&loaded.tree).enumerate().map(describe).collect()
}

fn show(context: &Context<'_>, loaded: &Loaded, lines: &[Line], opened: &HashSet<usize>) -> Markup {
    let span = extent(loaded);
    html! {
        p.note { span.key.critical { "critical path" } " · " span.key.busy { "busy" } " · " span.key.idle { "idle: waiting to be polled" } " · " span.key.failed { "failed" } }
        div.scroll tabindex="0" role="region" aria-label="waterfall" {
            table.waterfall {
                caption { "calls by caller and start" }
                thead { tr { th scope="col" { "FUNCTION" } th.n scope="col" { "OFFSET" } th.n scope="col" { "DURATION" } th scope="col" { "WHEN" } th scope="col" { "REMARKS" } } }
                tbody { @for line in lines.iter().take(LINES_MAX) {
                    @match line {
                        Line::Call { at, depth, is_critical } => (show_call(context, loaded, *at, *depth, *is_critical, span))
                        Line::Folded { .. } => (show_folded(context, loaded, line, span, opened))
                    }
                } }
            }
        }
        @if lines.len() > LINES_MAX { p.note { "… " (lines.len() - LINES_MAX) " more lines: " a href=(context.links.data()) { "all as JSON" } } }
    }
}

fn indent(depth: usize) -> Markup {
    let shown = depth.min(DEPTH_MAX);
    html! {
        @if shown > 0 { svg.indent width=(shown * 14) height="14" aria-hidden="true" { path d={ "M" (shown * 14 - 8) " 0v7h6" } {} } }
        @if depth > DEPTH_MAX { span.dim { (depth) " " } }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn place(ns: i64, span: (i64, i64)) -> f64 {
    let whole = span.1.saturating_sub(span.0).max(1) as f64;
    (ns.saturating_sub(span.0) as f64 / whole * WIDTH).clamp(0.0, WIDTH).round()
}

/// Draws a bar from one moment to another, with the part in front that was busy.
fn bar(from: i64, until: i64, busy: f64, class: &str, span: (i64, i64)) -> Markup {
    let start = place(from, span).min(WIDTH - 3.0);
    let width = (place(until, span) - start).max(3.0);
    html! {
        svg.when viewBox={ "0 0 " (WIDTH) " 12" } preserveAspectRatio="none" aria-hidden="true" {
            @if busy < 0.995 { rect class={ "idle " (class) } x=(start) y="1" width=(width) height="10" {} }
            rect class={ "busy " (class) } x=(start) y="1" width=((width * busy).max(2.0).round()) height="10" {}
        }
    }
}

fn show_call(
    context: &Context<'_>,
    loaded: &Loaded,
    at: usize,
    depth: usize,
    is_critical: bool,
    span: (i64, i64),
) -> Markup {
    let (cells, call) = (&loaded.calls[at], &loaded.tree[at]);
    let get = |name: &str| find_cell(cells, name);
    let id = get("call_id").to_integer().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let busy = match get("busy_ns").to_integer() {
        Some(busy) if call.duration_ns > 0 && call.shared == 1 => {
            (busy as f64 / call.duration_ns as f64).clamp(0.0, 1.0)
        }
        _ => 1.0,
    };
    let class = if call.is_failed {
        "failed"
    } else if is_critical {
        "critical"
    } else {
        ""
    };
    let parent = get("parent_id").to_integer();
    let is_orphan = parent.is_some() && call.parent.is_none();
    let thread = |at: usize| find_cell(&loaded.calls[at], "thread").as_text().unwrap_or_default().to_owned();
    let is_elsewhere = call.parent.is_none_or(|parent| thread(parent) != thread(at));
    html! {
        tr .critical[is_critical] {
            td { (indent(depth)) a href=(context.links.call(id)) { (text::function(&call.function)) }
                @if call.shared > 1 { " × " (units::format_exact(call.shared)) } }
            td.n { (units::format_nanoseconds(call.start_ns.saturating_sub(span.0))) }
            td.n { (units::format_nanoseconds(call.duration_ns)) }
            td { (bar(call.start_ns, call.start_ns.saturating_add(call.duration_ns), busy, class, span)) }
            td.long {
                @if is_orphan && loaded.is_root_sampled_out { span.dim { "tree not kept: its root was sampled out " } }
                @else if is_orphan { span.dim { "its caller " (parent.unwrap_or(0)) " has no row " } }
                @if let Some(error) = get("error").as_text() { span.bad { "✗ " (text::cell(error)) } " " }
                @else if call.is_failed { span.bad { "✗ " (text::cell(&get("outcome").to_plain_text())) } " " }
                @if busy < 0.995 { span.dim { "busy " (units::format_percent(busy * 100.0)) " " } }
                @if is_elsewhere { span.dim { "on " (text::cell(&thread(at))) } }
            }
        }
        (show_said(loaded, get("span_id").to_integer(), depth + 1, span))
    }
}

/// The most log lines of a call that are shown below it, the latest ones; the page of the call shows all of them.
const SAID_SHOWN: usize = 20;

/// Shows the log lines that a call wrote, as rows below it.
fn show_said(loaded: &Loaded, of_span: Option<i64>, depth: usize, span: (i64, i64)) -> Markup {
    let said: Vec<_> = loaded.said.iter().filter(|line| line.span == of_span && of_span.is_some()).collect();
    html! {
        @for line in said.iter().skip(said.len().saturating_sub(SAID_SHOWN)) {
            tr.said {
                td { (indent(depth)) span.dim { "✎ " (line.level) } }
                td.n { (units::format_nanoseconds(line.at_ns.saturating_sub(span.0))) }
                td.n {}
                td { (bar(line.at_ns, line.at_ns, 1.0, if line.level == "error" { "failed" } else { "" }, span)) }
                td.long { (text::cell(&line.text())) }
            }
        }
    }
}

fn show_folded(
    context: &Context<'_>,
    loaded: &Loaded,
    line: &Line,
    span: (i64, i64),
    opened: &HashSet<usize>,
) -> Markup {
    let Line::Folded { calls, depth, is_critical, span_ns, total_ns, median_ns, longest_ns } = line else {
        return html! {};
    };
    let Some(first) = calls.first().map(|at| &loaded.tree[*at]) else { return html! {} };
    let number = calls.iter().map(|at| loaded.tree[*at].shared).fold(0, i64::saturating_add);
    let numbers: Vec<String> = opened.iter().copied().chain(first.parent).map(|at| at.to_string()).collect();
    let more: Vec<(&str, &str)> = numbers.iter().map(|number| ("open", number.as_str())).collect();
    let class = if *is_critical { "critical" } else { "" };
    html! {
        tr.folded .critical[*is_critical] {
            td { (indent(*depth)) (text::function(&first.function)) " × " (units::format_exact(number)) " "
                a href=(context.links.here(&more)) { "unfold" } }
            td.n { (units::format_nanoseconds(span_ns.0.saturating_sub(span.0))) }
            td.n { (units::format_nanoseconds(*total_ns)) }
            td { (bar(span_ns.0, span_ns.1, 1.0, class, span)) }
            td.long { span.dim { "each: median " (units::format_nanoseconds(*median_ns)) ", longest " (units::format_nanoseconds(*longest_ns)) } }
        }
    }
}
