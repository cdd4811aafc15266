//! The page of one function: its course over time, its durations as a heat map, its neighbours, and what its slow, failed or chosen
//! calls have in common.
#![allow(clippy::similar_names, reason = "callers and callees are the words of the subject")]

use anyhow::Result;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::address::{FILTERS, path_of};
use super::super::app::{Context, PAGE_TIME, Page, Refusal, integer};
use super::super::chart::{self, Line, Series};
use super::super::command::CommandLine;
use super::super::{table, text};
use super::{calls as call_pages, cut, panel};
use crate::command::why as why_command;
use crate::model::calls::{self, Order, Query};
use crate::model::edges::{self, Caller, Edge};
use crate::model::figures::{self, Figures};
use crate::model::forest::Forest;
use crate::model::heat::Grid;
use crate::model::names::Names;
use crate::model::period::Period;
use crate::model::processes;
use crate::model::rows::{ROWS_MAX, Rows};
use crate::model::schema;
use crate::model::scope::Scope;
use crate::model::why::{self, Answer, Bounds, Group};
use crate::model::windows;
use crate::pattern::Pattern;
use crate::{terminal, units};

/// The points of a series.
const POINTS: usize = 240;
/// The calls of each list.
const CALLS_SHOWN: usize = 5;
/// The neighbours of each side.
const EDGES_SHOWN: usize = 8;
/// The span over which figures go if none is chosen and the store covers more: an hour.
const SPAN_NS: i64 = 3_600_000_000_000;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let name = context.subject;
    let known = figures::read(&context.store, &Scope::WHOLE, Some(&Pattern::exact(name)))?;
    let Some(known) = known.into_iter().find(|figures| figures.name == name) else {
        let text =
            format!("no function here is named `{}`: the page Functions lists the names", shorten(name));
        return Err(Refusal::missing(text));
    };
    let period = find_span(context)?;
    let scope = Scope { period, processes: context.scope.processes.clone() };
    let mut names = Names::default();
    let found = context
        .read_within(PAGE_TIME, || windows::read_of(&context.store, &scope, Some(&[name]), &mut names))?
        .unwrap_or_default();
    let series = figures::gather(&found, period, POINTS);
    let grid = Grid::build(&found, period, chart::HEAT_SIZE);
    let mut page = Page {
        title: name.to_owned(),
        sql: Some(schema::select(
            "latency",
            Some("start_ns"),
            &Scope { period, processes: None },
            &[format!("function = {}", schema::quote(name))],
            "ORDER BY start_ns DESC",
        )),
        command: command_line(context, name, period),
        has_charts: true,
        ..Page::default()
    };
    page.data.insert("function".to_owned(), describe_figures(&known));
    page.data.insert(
        "series".to_owned(),
        json!({
            "from_ns": series.from_ns.to_string(), "step_ns": integer(series.step_ns),
            "calls": series.calls, "failed": series.failed,
            "p50_ns": series.percentiles[0], "p95_ns": series.percentiles[1], "p99_ns": series.percentiles[2],
        }),
    );
    page.data.insert("heat".to_owned(), describe_grid(&grid));
    let span = (series.from_ns, series.until_ns());
    let failed = per_second(&series.failed, series.step_ns);
    let marks = processes::find_build_changes(&processes::read_identities(&context.store)?);
    let draw = |title: &str, lines: &[Line<'_>], format: fn(f64) -> String| {
        Series { title, lines, span_ns: span, format, threshold: None, marks: &marks }.draw()
    };
    let charts = html! {
        div.charts {
            (draw("calls/s", &[
                Line { name: "calls", class: "c1", figures: &series.calls_per_s() },
                Line { name: "failed", class: "c3", figures: &failed },
            ], units::format_count))
            (draw("duration", &[
                Line { name: "p50", class: "c1", figures: &series.percentiles[0] },
                Line { name: "p95", class: "c2", figures: &series.percentiles[1] },
                Line { name: "p99", class: "c3", figures: &series.percentiles[2] },
            ], units::format_duration))
            (chart::heat(&grid, &format!("durations of {name} over time")))
        }
        (box_form(context))
    };
    let (common, drawn) = show_common(context, name, &scope, &mut page)?;
    let neighbours = show_neighbours(context, name, &scope, &mut page)?;
    let lists = show_lists(context, name, &scope)?;
    page.main = html! {
        h1 { (text::function(name)) }
        (panel("figures", "Figures", &html! { (show_figures(context, &known)) (rate_form(context, &known)) }))
        (panel("time", "Over time", &charts))
        @if let Some(drawn) = &drawn { (panel("drawn", "What the calls in the box have in common", drawn)) }
        (panel("common", "What slow and failed calls have in common", &common))
        (panel("neighbours", "Callers and callees", &neighbours))
        (lists)
    };
    Ok(page)
}

/// Returns the command that tells what slow and failed calls have in common. A box of durations is the page's own.
fn command_line(context: &Context<'_>, name: &str, period: Period) -> String {
    let has_box = ["min", "max"].iter().any(|bound| context.parameters.text(bound).is_some());
    let line = CommandLine::new(context, "why").function(name).of_all_processes().only_if(!has_box).span();
    let line = match context.scope.period.from_ns {
        i64::MIN => line.option("--since", &units::format_moment(period.from_ns)),
        _ => line,
    };
    line.finish()
}

fn shorten(name: &str) -> String {
    name.chars().take(200).collect()
}

/// Returns the span of the figures: the chosen one, or the last hour of the store.
fn find_span(context: &Context<'_>) -> Result<Period> {
    let chosen = context.scope.period;
    let covered = figures::find_covered(&context.store, chosen)?
        .unwrap_or(Period { from_ns: context.now_ns - 600_000_000_000, until_ns: context.now_ns });
    Ok(Period {
        from_ns: match chosen.from_ns {
            i64::MIN => covered.from_ns.max(covered.until_ns.saturating_sub(SPAN_NS)),
            from => from,
        },
        until_ns: chosen.until_ns.min(covered.until_ns.max(chosen.from_ns.saturating_add(10_000_000_000))),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(counts: &[f64], step_ns: i64) -> Vec<Option<f64>> {
    let seconds = step_ns.max(1) as f64 / 1e9;
    counts.iter().map(|count| Some(count / seconds)).collect()
}

fn describe_figures(figures: &Figures) -> Value {
    json!({
        "function": figures.name, "file": figures.file, "line": figures.line, "group_name": figures.group,
        "calls": integer(figures.calls), "failed": integer(figures.failed), "total_ms": figures.total_ns / 1e6,
        "self_ms": figures.self_ns.map(|ns| ns / 1e6), "p50_ms": figures.p50_ns.map(|ns| ns / 1e6),
        "p95_ms": figures.p95_ns.map(|ns| ns / 1e6), "p99_ms": figures.p99_ns.map(|ns| ns / 1e6),
        "max_ms": figures.max_ns / 1e6, "sample_rate": figures.rate, "estimated": figures.is_estimated,
    })
}

fn describe_grid(grid: &Grid) -> Value {
    let bounds: Vec<f64> = if grid.is_empty() {
        Vec::new()
    } else {
        (0..=grid.rows).map(|row| grid.duration_ns(row).round()).collect()
    };
    let rows: Vec<Vec<u64>> =
        (0..grid.rows).map(|row| (0..grid.columns).map(|column| grid.count(row, column)).collect()).collect();
    json!({ "from_ns": grid.from_ns.to_string(), "step_ns": integer(grid.step_ns()), "duration_bounds_ns": bounds, "counts": rows })
}

fn show_figures(context: &Context<'_>, figures: &Figures) -> Markup {
    let mark = if figures.is_estimated { "~" } else { "" };
    let duration = |ns: Option<f64>| {
        ns.map_or_else(|| "-".to_owned(), |ns| format!("{mark}{}", units::format_duration(ns)))
    };
    let place = figures.file.as_ref().map(|file| format!("{file}:{}", figures.line.unwrap_or(0)));
    let calls = context.links.function_rows("/calls", &figures.name);
    let errors = context.links.function_rows("/errors", &figures.name);
    html! {
        dl.facts {
            div { dt { "calls" } dd { a href=(calls) { (units::format_exact(figures.calls)) } } }
            div { dt { "failed" } dd { a href=(errors) { (units::format_percent(figures.failed_pct())) } } }
            div { dt { "total" } dd { (duration(Some(figures.total_ns))) } }
            div { dt { "self" } dd { (duration(figures.self_ns)) } }
            div { dt { "p50" } dd { (duration(figures.p50_ns)) } }
            div { dt { "p95" } dd { (duration(figures.p95_ns)) } }
            div { dt { "p99" } dd { (duration(figures.p99_ns)) } }
            div { dt { "longest" } dd { (duration(Some(figures.max_ns))) } }
            div { dt { "rate" } dd { a href=(context.links.function_rows("/rates", &figures.name)) { (figures.rate.map_or_else(|| "-".to_owned(), units::format_rate)) } } }
            @if let Some(place) = &place { div.wide { dt { "source" } dd { (text::cell(place)) } } }
            @if let Some(group) = &figures.group { div { dt { "group" } dd { (text::cell(group)) } } }
        }
        p.note { "over all that the store holds; "
            a href=(context.links.function_rows("/graph", &figures.name)) { "graph" } " · "
            a href=(context.links.function_rows("/flame", &figures.name)) { "flame" } " · "
            a href=(calls) { "calls" } }
    }
}

/// The form that asks what another rate of the function would mean; the page Rates answers, and sets the rate.
fn rate_form(context: &Context<'_>, figures: &Figures) -> Markup {
    let address = context.links.to("/rates", &[]);
    let rate = figures.rate.map(units::format_rate).unwrap_or_default();
    html! {
        // A form cannot send control or invisible characters unchanged, so a name with them gets no form.
        @if !figures.name.contains(terminal::is_unsafe) {
            form.box method="get" action=(path_of(&address)) {
                @for (name, kept) in context.links.hidden_fields(&FILTERS) { input type="hidden" name=(name) value=(kept); }
                input type="hidden" name="pattern" value=(figures.name);
                label { span.label { "share of its calls to record, 0 to 1" } input name="rate" size="6" required inputmode="decimal" value=(rate); }
                button { "Preview" }
            }
        }
    }
}

/// The fields by which a box in the heat map is described without a script.
fn box_form(context: &Context<'_>) -> Markup {
    let value = |name: &str| context.parameters.text(name).unwrap_or_default().to_owned();
    html! {
        form.box method="get" action=(path_of(&context.links.here(&[]))) {
            (context.links.fields_here(&["from", "to", "min", "max", "q", "function"]))
            span.label { "Explain a box: calls between" }
            label { span.label { "from" } input name="from" size="10" value=(value("from")) placeholder="-15m"; }
            label { span.label { "to" } input name="to" size="10" value=(value("to")) placeholder="now"; }
            label { span.label { "of at least" } input name="min" size="6" value=(value("min")) placeholder="10ms"; }
            label { span.label { "at most" } input name="max" size="6" value=(value("max")) placeholder="1s"; }
            button { "Explain" }
            span.hint { "or draw a box in the map" }
        }
    }
}

/// Shows what slow and failed calls have in common, and, if a box is drawn, the calls in it.
fn show_common(
    context: &Context<'_>,
    name: &str,
    scope: &Scope,
    page: &mut Page,
) -> Result<(Markup, Option<Markup>)> {
    let duration = |name| context.parameters.read(name, units::parse_duration);
    let min = duration("min")?.map(units::to_nanoseconds);
    let max = duration("max")?.map(units::to_nanoseconds);
    let has_box = min.is_some() || max.is_some();
    // The calls in a box are compared with those outside of it, so those before and after are read too.
    let (around, bounds) = if has_box { (Period::WHOLE, Bounds::WIDE) } else { (scope.period, Bounds::PAGE) };
    let Some(facts) =
        context.read_within(PAGE_TIME, || why::read_all(&[(&context.store, "")], name, around, bounds))?
    else {
        return Ok((cut(), has_box.then(cut)));
    };
    let mut answers: Vec<Answer> =
        [Group::Slow, Group::Failed].into_iter().filter_map(|group| why::answer(&facts, group)).collect();
    let common = html! {
        @for answer in &answers { (show_answer(context, answer)) }
        @if answers.is_empty() {
            p.empty { "no call of this span has a row, or all last alike and none failed" }
        }
        p.note { (facts.basis.describe()) }
    };
    let chosen = has_box.then(|| {
        let period = scope.period;
        why::answer_chosen(&facts, |call| {
            (period.from_ns..=period.until_ns).contains(&call.start_ns)
                && call.duration_ns >= min.unwrap_or(0)
                && call.duration_ns <= max.unwrap_or(i64::MAX)
        })
    });
    let drawn = chosen.map(|chosen| {
        let mut more = call_pages::box_parameters(context.parameters);
        more.push(("function", name));
        let list = context.links.to("/calls", &more);
        let shown = html! {
            @match &chosen {
                Some(answer) => { (show_answer(context, answer)) p.note { a href=(list) { "these calls" } } }
                None => { p.empty { "no call in the box has a row" } }
            }
        };
        answers.extend(chosen);
        shown
    });
    let report = why_command::build_report(None, name, &facts, &answers);
    page.data.insert("common".to_owned(), table::to_json(&report));
    Ok((common, drawn))
}

fn show_answer(context: &Context<'_>, answer: &Answer) -> Markup {
    let percent = |share: f64| units::format_percent(share * 100.0);
    html! {
        h3 { (why_command::describe_group(answer)) }
        @match &answer.common {
            Err(reason) => { p.empty { "cannot tell: " (text::cell(reason)) } }
            Ok(lifts) if lifts.is_empty() => { p.empty { "nothing in common that the rows show" } }
            Ok(lifts) => {
                div.scroll tabindex="0" role="region" aria-label={ "what they have in common: " (why_command::describe_group(answer)) } { table.lifts {
                    caption { "values that these calls have more often than the others" }
                    thead { tr { th scope="col" { "VALUE" } th scope="col" { "OF THESE" } th scope="col" { "OF THE OTHERS" } } }
                    tbody { @for lift in lifts { tr {
                        td.long { (text::cell(&why_command::describe_condition(lift))) }
                        td { (chart::bar(lift.shares[0], "fill")) " " (percent(lift.shares[0])) }
                        td { (chart::bar(lift.shares[1], "dimfill")) " " (percent(lift.shares[1])) }
                    } } }
                } }
            }
        }
        @if !answer.parts.is_empty() {
            ul.parts { @for part in &answer.parts { li { (text::cell(why_command::describe_part(part).trim())) } } }
        }
        p.note { (why_command::describe_when(answer))
            @if let Some(id) = answer.example { " · " a href=(context.links.trace(id)) { "a typical one" } } }
    }
}

fn show_neighbours(context: &Context<'_>, name: &str, scope: &Scope, page: &mut Page) -> Result<Markup> {
    let load = || Rows::load_all_of(&[&context.store], &Pattern::exact(name), scope.period, ROWS_MAX);
    let rows = context.read_within(PAGE_TIME, load)?;
    let Some(rows) = rows else { return Ok(cut()) };
    let all = edges::collect(&rows, &Forest::plant(&rows.rows));
    let is_callee = |edge: &&Edge| rows.names.text(edge.callee) == name;
    let is_caller =
        |edge: &&Edge| matches!(edge.caller, Caller::Function(caller) if rows.names.text(caller) == name);
    let callers: Vec<&Edge> = all.iter().filter(is_callee).take(EDGES_SHOWN).collect();
    let callees: Vec<&Edge> = all.iter().filter(is_caller).take(EDGES_SHOWN).collect();
    let describe = |edge: &Edge| {
        json!({
            "caller": describe_caller(&rows, edge), "callee": rows.names.text(edge.callee), "calls": edge.calls,
            "failed": edge.failed, "total_ns": edge.total_ns, "calls_per_parent": edge.calls_per_parent(),
        })
    };
    page.data.insert("callers".to_owned(), callers.iter().map(|edge| describe(edge)).collect());
    page.data.insert("callees".to_owned(), callees.iter().map(|edge| describe(edge)).collect());
    let mark = |edge: &Edge| if edge.is_estimated { "~" } else { "" };
    let calls: f64 = all.iter().filter(is_callee).map(|edge| edge.calls).sum();
    let share = |edge: &Edge| units::format_percent(edge.calls * 100.0 / calls.max(1.0));
    Ok(html! {
        div.sides {
            div { h3 { "called by" }
                @if callers.is_empty() { p.empty { "no call with a row in this span" } }
                ul { @for edge in &callers { li {
                    (link_caller(context, &rows, edge)) " "
                    span.dim { (mark(edge)) (share(edge)) " of its calls: " (mark(edge)) (units::format_count(edge.calls.round())) ", " (units::format_duration(edge.total_ns)) }
                } } }
            }
            div { h3 { "calls" }
                @if callees.is_empty() { p.empty { "no monitored function, as far as rows show" } }
                ul { @for edge in &callees { @let callee = rows.names.text(edge.callee); li {
                    a href=(context.links.function(callee)) { (text::function(callee)) } " "
                    span.dim { (mark(edge)) (units::format_count(edge.calls_per_parent().unwrap_or(0.0))) " per call, " (units::format_duration(edge.total_ns)) }
                } } }
            }
        }
        p.note { (rows.basis().describe()) }
    })
}

/// Names the caller of an edge.
pub(super) fn describe_caller<'a>(rows: &'a Rows, edge: &Edge) -> &'a str {
    match edge.caller {
        Caller::Function(caller) => rows.names.text(caller),
        Caller::Root => "(root)",
        Caller::Unrecorded => "(not recorded)",
    }
}

fn link_caller(context: &Context<'_>, rows: &Rows, edge: &Edge) -> Markup {
    let name = describe_caller(rows, edge);
    match edge.caller {
        Caller::Function(_) => html! { a href=(context.links.function(name)) { (text::function(name)) } },
        Caller::Root | Caller::Unrecorded => html! { (name) },
    }
}

/// Shows the longest and the newest calls.
fn show_lists(context: &Context<'_>, name: &str, scope: &Scope) -> Result<Markup> {
    let pattern = Pattern::exact(name);
    let list = |order: Order, is_failed: bool| -> Result<Markup> {
        let query = Query {
            scope,
            pattern: Some(&pattern),
            is_failed,
            is_slow: false,
            min_ns: None,
            max_ns: None,
            before: None,
            order,
            limit: CALLS_SHOWN,
        };
        let found = context.read_within(PAGE_TIME, || calls::find(&context.store, &query))?;
        Ok(found.map_or_else(cut, |found| call_pages::show(context, &call_pages::build_report(&found))))
    };
    Ok(html! {
        (panel("longest", "Longest calls", &list(Order::Longest, false)?))
        (panel("newest", "Newest calls", &list(Order::Newest, false)?))
        (panel("failed", "Newest failed calls", &list(Order::Newest, true)?))
    })
}
