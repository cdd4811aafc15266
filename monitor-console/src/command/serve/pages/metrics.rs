//! The program's own metrics: all series, and one series over time.

use anyhow::Result;
use maud::{Markup, html};
use monitor_runtime::store::schema::WINDOW_NS;
use serde_json::json;

use super::super::app::{Context, PAGE_TIME, PANEL_TIME, Page, Refusal};
use super::super::chart::{self, Line, Series};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::{cut, panel};
use crate::command::metrics as command;
use crate::model::metrics::{self, History, Kind, Metric, Selection};
use crate::model::period::Period;
use crate::model::schema;
use crate::model::scope::Scope;
use crate::report::Report;
use crate::units;

/// The series that are shown.
const SHOWN: usize = 100;
/// The windows of one series that are listed.
const WINDOWS_SHOWN: usize = 60;
/// The span of the small pictures if no time is chosen, in ns.
const SPAN_NS: i64 = 600_000_000_000;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let selection = Selection { pattern: context.pattern.clone(), tags: Vec::new() };
    let limit = context.limit(SHOWN)?;
    let scope = recent(context);
    let read = || {
        let mut found = metrics::read(&context.store, &selection, context.scope.period)?;
        let number = found.len();
        found.truncate(limit);
        let histories = found.iter().map(|metric| metrics::read_history(&context.store, metric, &scope));
        let histories = histories.collect::<Result<Vec<_>>>()?;
        Ok((number, found, histories))
    };
    let found = context.read_within(PAGE_TIME, read)?;
    let is_cut = found.is_none();
    let (number, found, histories) = found.unwrap_or_default();
    let rows = found.iter().zip(&histories).map(|(metric, history)| command::build_cells(metric, history));
    let report = Report { columns: command::list_columns(), rows: rows.collect() };
    let content = html! {
        @if is_cut { (cut()) } @else { (show(context, &found, &histories, &report)) }
        @if number > found.len() { p.note { (number - found.len()) " more" } }
    };
    let mut page = Page {
        title: "Metrics".to_owned(),
        main: html! {
            h1 { "Metrics" }
            (panel("metrics", &units::format_quantity(number, "series", "series"), &content))
        },
        sql: Some(metrics::statement(&selection)),
        command: CommandLine::new(context, "metrics")
            .pattern()
            .span()
            .option("--limit", &limit.to_string())
            .finish(),
        ..Page::default()
    };
    page.data.insert("metrics".to_owned(), table::to_json(&report));
    Ok(page)
}

/// Returns the scope of pictures: what is chosen, or the last minutes.
fn recent(context: &Context<'_>) -> Scope {
    let scope = context.scope.clone();
    if scope.period.is_whole() {
        let period = Period { from_ns: context.now_ns.saturating_sub(SPAN_NS), until_ns: i64::MAX };
        return Scope { period, ..scope };
    }
    scope
}

fn show(context: &Context<'_>, found: &[Metric], histories: &[History], report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let metric = found.get(row)?;
        match column {
            "name" => {
                let address = context.links.to(&format!("/series/{}", metric.metric_id), &[("q", "")]);
                let title = metric.description.as_deref().map(|text| text::flat(text, text::CELL_CHARACTERS));
                Some(html! { a href=(address) title=[title] { (text::cell(&metric.name)) } })
            }
            "OVER TIME" => {
                let figures = histories.get(row)?.series(metric.kind, |window| window.value(metric.kind));
                Some(chart::sparkline(&figures, &format!("{} over time", metric.name)))
            }
            _ => None,
        }
    };
    let empty = "none: a program records metrics with the crate monitored-metrics";
    table::show(report, &Frame { caption: "series of metrics", cell: &cell, empty, ..Frame::default() })
}

pub(super) fn page_of_one(context: &Context<'_>) -> Result<Page> {
    let id = context.subject_id()?;
    let has_metrics = metrics::has(&context.store)?;
    let found = if has_metrics { metrics::read_one(&context.store, id)? } else { None };
    let Some(metric) = found else {
        return Err(Refusal::missing(format!("there is no series {id} here: the page Metrics lists them")));
    };
    let read = || metrics::read_history(&context.store, &metric, &context.scope);
    let history = context.read_within(PANEL_TIME, read)?;
    let is_cut = history.is_none();
    let history = history.unwrap_or_default();
    let report =
        Report { columns: command::list_columns(), rows: vec![command::build_cells(&metric, &history)] };
    let mut windows = command::history_cells(&metric, &history);
    windows.truncate(context.limit(WINDOWS_SHOWN)?);
    let windows = Report { columns: command::history_columns(), rows: windows };
    let mut line = CommandLine::new(context, "metrics").name(&metric.name).flag("--history", true).span();
    for (name, value) in &metric.tags {
        line = line.option("--tag", &format!("{name}={value}"));
    }
    if context.scope.period.from_ns == i64::MIN {
        // Without a start the command shows the last ten minutes, and the page the whole time of the series.
        line = line.option("--since", &units::format_moment(metric.first_ns.saturating_sub(WINDOW_NS)));
    }
    let mut page = Page {
        title: metric.name.clone(),
        has_charts: true,
        sql: Some(schema::select(
            "metric_history",
            Some("start_ns"),
            &context.scope,
            &[format!("metric_id = {id}")],
            "ORDER BY start_ns DESC",
        )),
        command: line.finish(),
        main: html! {
            h1 { (text::cell(&metric.name)) }
            (panel("metric", "The series", &show_facts(context, &metric)))
            (panel("history", "Over time", &html! {
                @if is_cut { (cut()) } @else { (show_history(&metric, &history)) }
            }))
            (panel("windows", "Windows of 10 s", &table::show(&windows, &Frame { caption: "windows, the newest first", ..Frame::default() })))
        },
        ..Page::default()
    };
    page.data.insert("metrics".to_owned(), table::to_json(&report));
    page.data.insert("windows".to_owned(), table::to_json(&windows));
    let series = history.series(metric.kind, |window| window.value(metric.kind));
    let span = history.span_ns();
    page.data.insert(
        "series".to_owned(),
        json!({ "since_ns": span.0.to_string(), "until_ns": span.1.to_string(), "figures": series }),
    );
    Ok(page)
}

fn show_facts(context: &Context<'_>, metric: &Metric) -> Markup {
    html! {
        @if let Some(description) = &metric.description { p.lead { (text::shorten(description, text::DETAIL_CHARACTERS)) } }
        dl.facts {
            div { dt { "kind" } dd { (metric.kind.as_str()) } }
            @if let Some(unit) = &metric.unit { div { dt { "unit" } dd { (text::cell(unit)) } } }
            @for (name, value) in &metric.tags { div { dt { (text::cell(name)) } dd { (text::cell(value)) } } }
            @if let Some(latest) = metric.latest { div { dt { "latest" } dd { (text::cell(&metric.format_value(latest))) } } }
            @if let Some(rate) = metric.rate { div { dt { "a second" } dd { (units::format_count(rate)) } } }
            div { dt { @if metric.kind == Kind::Gauge { "changes" } @else { "count" } } dd { (units::format_exact(metric.count)) } }
            div { dt { "first" } dd { (units::format_age(metric.first_ns, context.now_ns)) } }
            div { dt { "last change" } dd { (units::format_age(metric.last_ns, context.now_ns)) } }
        }
    }
}

fn show_history(metric: &Metric, history: &History) -> Markup {
    let span = history.span_ns();
    let format = metrics::formatter(metric.unit.as_deref());
    let rates = history.series(Kind::Counter, |window| Some(window.rate()));
    let values = history.series(Kind::Gauge, |window| window.last);
    let shares = [("median", "c1", 0.5), ("p95", "c2", 0.95), ("p99", "c3", 0.99)];
    let quantiles =
        shares.map(|(_, _, share)| history.series(Kind::Histogram, |window| window.quantile(share)));
    let draw = |title: &str, lines: &[Line<'_>], format: fn(f64) -> String| {
        Series { title, lines, span_ns: span, format, threshold: None, marks: &[] }.draw()
    };
    html! {
        div.charts {
            @match metric.kind {
                Kind::Counter => { (draw("a second", &[Line { name: "", class: "c1", figures: &rates }], units::format_count)) }
                Kind::Gauge => { (draw("value", &[Line { name: "", class: "c1", figures: &values }], format)) }
                Kind::Histogram => {
                    @let lines: Vec<Line<'_>> = shares.iter().zip(&quantiles).map(|((name, class, _), figures)| Line { name, class, figures }).collect();
                    (draw("values", &lines, format))
                    (draw("a second", &[Line { name: "", class: "c1", figures: &rates }], units::format_count))
                }
            }
        }
    }
}
