//! The functions with their figures, and with their last minutes as a line.

use std::collections::HashMap;

use anyhow::Result;
use maud::{Markup, html};
use monitor_runtime::store::schema::WINDOW_NS;

use super::super::app::{Context, PAGE_TIME, PANEL_TIME, Page};
use super::super::command::CommandLine;
use super::super::table::{self, Frame, SortLink};
use super::super::{chart, text};
use super::panel;
use crate::command::explain_unknown;
use crate::model::figures::{self, Figures, Key, Series};
use crate::model::names::Names;
use crate::model::period::Period;
use crate::model::schema;
use crate::model::scope::Scope;
use crate::model::windows::{self, Window};
use crate::report::{Cell, Column, Report, Unit};
use crate::units;

/// The windows of a line over time: ten minutes.
const SPARK_WINDOWS: i64 = 60;
/// The functions of a page.
const SHOWN: usize = 50;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let key = context.parameters.text("sort");
    let key = Key::ALL.iter().find(|(_, name)| Some(*name) == key).map_or(Key::Total, |(key, _)| *key);
    let limit = context.limit(SHOWN)?;
    let found = context
        .read_within(PAGE_TIME, || figures::read(&context.store, &context.scope, context.pattern.as_ref()))?;
    let is_cut = found.is_none();
    let mut figures = found.unwrap_or_default();
    figures::sort(&mut figures, key);
    let all = figures.len();
    let hint = match &context.pattern {
        Some(pattern) if all == 0 => explain_unknown(&context.store, pattern)?,
        _ => None,
    };
    figures.truncate(limit);
    let courses = read_courses(context, &figures)?;
    let report = build_report(&figures);
    let content = html! {
        @if is_cut { (super::cut()) }
        @if let Some(hint) = &hint { p.note { (text::cell(hint)) } }
        (show(context, &figures, &report, &courses, Some(key)))
        @if all > limit {
            p.note { (all - limit) " more; "
                @if limit < 500 { a href=(context.links.here(&[("limit", "500")])) { "show up to 500" } " or " }
                "narrow the filter" }
        }
    };
    let mut page = Page {
        title: "Functions".to_owned(),
        main: html! { h1 { "Functions" } (panel("functions", &units::format_quantity(all, "function", "functions"), &content)) },
        sql: Some(statement(context)),
        command: command_line(context)
            .only_if(key != Key::Name)
            .option("--sort", name_of_sort(key))
            .option("--limit", &limit.to_string())
            .finish(),
        ..Page::default()
    };
    page.data.insert("functions".to_owned(), table::to_json(&report));
    Ok(page)
}

/// Begins the command that shows the figures.
pub(super) fn command_line<'a>(context: &'a Context<'a>) -> CommandLine<'a> {
    CommandLine::new(context, "top").pattern().since().of_all_processes()
}

/// Returns the name of an order as `monitor top` takes it.
fn name_of_sort(key: Key) -> &'static str {
    match key {
        Key::Failed => "errors",
        key => Key::ALL.iter().find(|(known, _)| *known == key).map_or("total", |(_, name)| name),
    }
}

/// Returns the statement behind the figures.
pub(super) fn statement(context: &Context<'_>) -> String {
    if context.scope.is_whole() {
        return schema::select("functions", None, &context.scope, &[], "ORDER BY total_ms DESC");
    }
    schema::select("latency", Some("start_ns"), &context.scope, &[], "ORDER BY start_ns DESC, function")
}

/// Returns the time at which the lines end that draw each function's last minutes: the end of the span, but no later
/// than the last write. A last write within the last minute counts as now.
pub(super) fn end_of_courses(context: &Context<'_>) -> i64 {
    let last = context.last_write_ns.unwrap_or(context.now_ns);
    // Within a minute after the last write the lines end now, so that a program that has stopped calling is visible.
    let last = if context.now_ns.saturating_sub(last) < 60_000_000_000 { context.now_ns } else { last };
    context.scope.period.until_ns.min(last)
}

/// Returns the last ten minutes of the processes that count.
fn select_course(context: &Context<'_>) -> Scope {
    let until_ns = end_of_courses(context);
    let period = Period { from_ns: until_ns.saturating_sub((SPARK_WINDOWS - 1) * WINDOW_NS), until_ns };
    Scope { period, processes: context.scope.processes.clone() }
}

/// Counts the calls of all functions, and the failed ones, in each window of the last ten minutes; none if there is no window.
pub(super) fn count_calls(context: &Context<'_>) -> Result<[Vec<Option<f64>>; 2]> {
    let scope = select_course(context);
    let found = context.read_within(PANEL_TIME, || windows::count_calls(&context.store, &scope))?;
    let found = found.unwrap_or_default();
    let first = scope.period.from_ns.div_euclid(WINDOW_NS);
    let parts = if found.is_empty() { 0 } else { usize::try_from(SPARK_WINDOWS).unwrap_or(1) };
    let mut courses = [vec![Some(0.0); parts], vec![Some(0.0); parts]];
    for windows::Load { at, calls, failed } in found {
        let part = usize::try_from(at.saturating_sub(first)).unwrap_or(usize::MAX);
        for (course, count) in courses.iter_mut().zip([calls, failed]) {
            if let Some(part) = course.get_mut(part) {
                *part = Some(count);
            }
        }
    }
    Ok(courses)
}

/// Reads the last ten minutes of these functions.
pub(super) fn read_courses(context: &Context<'_>, shown: &[Figures]) -> Result<HashMap<String, Series>> {
    let scope = select_course(context);
    let period = scope.period;
    let mut names = Names::default();
    let shown: Vec<&str> = shown.iter().map(|figures| figures.name.as_str()).collect();
    let found = context
        .read_within(PANEL_TIME, || windows::read_of(&context.store, &scope, Some(&shown), &mut names))?;
    let mut by_function: HashMap<u32, Vec<Window>> = HashMap::new();
    for window in found.unwrap_or_default() {
        by_function.entry(window.function).or_default().push(window);
    }
    let parts = usize::try_from(SPARK_WINDOWS).unwrap_or(1);
    let gather = |(name, windows): (u32, Vec<Window>)| {
        (names.text(name).to_owned(), figures::gather(&windows, period, parts))
    };
    Ok(by_function.into_iter().map(gather).collect())
}

/// Builds the table; the data have the names and units of the view `functions`.
pub(super) fn build_report(figures: &[Figures]) -> Report {
    let columns = vec![
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::data("file"),
        Column::data("line"),
        Column::data("group_name"),
        Column::titled("calls", "CALLS", Unit::Count),
        Column::data("failed"),
        Column::titled("error_pct", "FAILED", Unit::Percent),
        Column::titled("total_ms", "TOTAL", Unit::Milliseconds),
        Column::titled("self_ms", "SELF", Unit::Milliseconds),
        Column::titled("p50_ms", "P50", Unit::Milliseconds),
        Column::titled("p95_ms", "P95", Unit::Milliseconds),
        Column::titled("p99_ms", "P99", Unit::Milliseconds),
        Column::titled("max_ms", "MAX", Unit::Milliseconds),
        Column::table("P95, LAST 10 MIN", Unit::Text),
        Column::titled("sample_rate", "RATE", Unit::Rate),
        Column::data("estimated"),
    ];
    let build = |figures: &Figures| {
        let ms = |ns: Option<f64>| {
            let cell = ns.map(|ns| ns / 1e6).into();
            Cell { is_estimate: figures.is_estimated, ..cell }
        };
        vec![
            figures.name.clone().into(),
            figures.file.clone().into(),
            figures.line.into(),
            figures.group.clone().into(),
            figures.calls.into(),
            figures.failed.into(),
            figures.failed_pct().into(),
            ms(Some(figures.total_ns)),
            ms(figures.self_ns),
            ms(figures.p50_ns),
            ms(figures.p95_ns),
            ms(figures.p99_ns),
            ms(Some(figures.max_ns)),
            String::new().into(),
            figures.rate.into(),
            i64::from(figures.is_estimated).into(),
        ]
    };
    Report { columns, rows: figures.iter().map(build).collect() }
}

/// Shows the table with links, bars and lines. Without a key the heads do not sort.
pub(super) fn show(
    context: &Context<'_>,
    figures: &[Figures],
    report: &Report,
    courses: &HashMap<String, Series>,
    key: Option<Key>,
) -> Markup {
    let most = figures.iter().map(|figures| figures.total_ns).fold(0.0, f64::max);
    let cell = |row: usize, column: &str| {
        let figures = figures.get(row)?;
        match column {
            "function" => Some(
                html! { a href=(context.links.function(&figures.name)) { (text::function(&figures.name)) } },
            ),
            "total_ms" => {
                let mark = if figures.is_estimated { "~" } else { "" };
                let share = if most > 0.0 { figures.total_ns / most } else { 0.0 };
                Some(
                    html! { (mark) (units::format_duration(figures.total_ns)) " " (chart::bar(share, "fill")) },
                )
            }
            "error_pct" if figures.failed > 0 => {
                let address = context.links.function_rows("/errors", &figures.name);
                Some(html! { a.bad href=(address) { (units::format_percent(figures.failed_pct())) } })
            }
            "P95, LAST 10 MIN" => {
                let course = courses.get(&figures.name)?;
                let label = format!("95th percentile of {} over the last ten minutes", figures.name);
                Some(chart::sparkline(&course.percentiles[1], &label))
            }
            _ => None,
        }
    };
    let sort = |column: &str| {
        let wanted = match column {
            "function" => "function",
            "calls" => "calls",
            "error_pct" => "failed",
            "total_ms" => "total",
            "self_ms" => "self",
            "p50_ms" => "p50",
            "p95_ms" => "p95",
            "p99_ms" => "p99",
            "max_ms" => "max",
            _ => return None,
        };
        let own = Key::ALL.iter().find(|(_, name)| *name == wanted).map(|(key, _)| *key);
        let address = context.links.here(&[("sort", wanted)]);
        Some(SortLink { address, is_current: own == Some(key?) })
    };
    let empty = "no calls in this span: choose a longer one";
    table::show(report, &Frame { caption: "functions and their figures", cell: &cell, sort: &sort, empty })
}
