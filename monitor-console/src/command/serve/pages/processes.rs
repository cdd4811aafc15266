//! The runs of programs, and one run: what it uses over time, its events, and what was in flight when it died.

use anyhow::Result;
use maud::{Markup, html};
use serde_json::json;

use super::super::app::{Context, PAGE_TIME, Page, Refusal};
use super::super::chart::{Line, Series};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::{cut, note_ignored_span, panel};
use crate::command::{live, processes as command, resources as resources_command};
use crate::model::crashes::{self, Flight};
use crate::model::events::{self, Event};
use crate::model::period::Period;
use crate::model::processes::{self, Process};
use crate::model::resources::{self, Growth, Usage};
use crate::model::schema;
use crate::model::scope::Scope;
use crate::report::{Column, Report, Unit};
use crate::store::Store;
use crate::units;

/// The runs and events that are shown.
const SHOWN: usize = 50;
const EVENTS_SHOWN: i64 = 30;
const UNDER_WAY_SHOWN: u32 = 50;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let read = || processes::read(&context.store, context.scope.period, context.now_ns);
    let found = context.read_within(PAGE_TIME, read)?;
    let is_cut = found.is_none();
    let mut found = found.unwrap_or_default();
    found.retain(|process| context.scope.has_process(process.process_id));
    let number = found.len();
    let limit = context.limit(SHOWN)?;
    found.truncate(limit);
    let report = build_report(&found);
    let events = events::read(&context.store, &context.scope, EVENTS_SHOWN)?;
    let content = html! { @if is_cut { (cut()) } @else { (show(context, &report)) } };
    let mut page = Page {
        title: "Processes".to_owned(),
        main: html! {
            h1 { "Processes" }
            (panel("processes", &units::format_quantity(number, "run", "runs"), &content))
            (panel("flight", "Calls under way", &show_under_way(context)))
            (panel("events", "Events", &show_events(context, &events)))
        },
        sql: Some(schema::select(
            "processes",
            Some("last_seen_ns"),
            &context.scope,
            &[],
            "ORDER BY last_seen_ns DESC",
        )),
        command: CommandLine::new(context, "processes")
            .span()
            .of_all_processes()
            .option("--limit", &limit.to_string())
            .finish(),
        ..Page::default()
    };
    page.data.insert("processes".to_owned(), table::to_json(&report));
    page.data.insert("events".to_owned(), table::to_json(&report_events(&events)));
    Ok(page)
}

fn build_report(found: &[Process]) -> Report {
    Report { columns: command::list_columns(), rows: found.iter().map(command::build_cells).collect() }
}

fn show(context: &Context<'_>, report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let run = report.rows.get(row)?.first()?.to_integer()?;
        (column == "process_id").then(|| {
            let address = context.links.to(&format!("/process/{run}"), &[("q", "")]);
            html! { a href=(address) { (run) } }
        })
    };
    table::show(
        report,
        &Frame { caption: "runs of programs, the one seen last first", cell: &cell, ..Frame::default() },
    )
}

fn show_under_way(context: &Context<'_>) -> Markup {
    match live::list(context.store.path(), UNDER_WAY_SHOWN, context.now_ns) {
        Ok(report) => html! {
            (table::show(&report, &Frame { caption: "calls under way", empty: "none", ..Frame::default() }))
            (note_ignored_span(context, "the present"))
        },
        Err(error) => html! { p.note { (text::cell(&format!("{error:#}"))) } },
    }
}

fn report_events(events: &[Event]) -> Report {
    let columns = vec![
        Column::titled("at_ns", "WHEN (UTC)", Unit::Time),
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("kind", "KIND", Unit::Text),
        Column::titled("detail", "EVENT", Unit::Text),
    ];
    let build = |event: &Event| {
        vec![
            event.at_ns.into(),
            event.process_id.into(),
            event.kind.clone().into(),
            event.detail.clone().into(),
        ]
    };
    Report { columns, rows: events.iter().map(build).collect() }
}

fn show_events(_: &Context<'_>, events: &[Event]) -> Markup {
    table::show(
        &report_events(events),
        &Frame {
            caption: "events of recorders, the newest first",
            empty: "no events in this span",
            ..Frame::default()
        },
    )
}

pub(super) fn page_of_one(context: &Context<'_>) -> Result<Page> {
    let run = context.subject_id()?;
    let scope = Scope { period: context.scope.period, processes: Some(vec![run]) };
    let all = processes::read(&context.store, Period::WHOLE, context.now_ns)?;
    let Some(process) = all.into_iter().find(|process| process.process_id == run) else {
        return Err(Refusal::missing(format!(
            "there is no run {run} here: the page Processes lists the runs"
        )));
    };
    let usage =
        context.read_within(PAGE_TIME, || resources::read(&context.store, scope.period))?.unwrap_or_default();
    let usage: Vec<Usage> = usage.into_iter().filter(|usage| usage.process_id == run).collect();
    let events = events::read(&context.store, &scope, EVENTS_SHOWN)?;
    let flights = read_oldest_flights(&context.store, run)?;
    let report = build_report(std::slice::from_ref(&process));
    let in_flight = report_flights(&flights);
    let mut page = Page {
        title: format!("Run {run}"),
        sql: Some(schema::select(
            "resources",
            Some("at_ns"),
            &scope,
            &[format!("process_id = {run}")],
            "ORDER BY at_ns",
        )),
        command: CommandLine::new(context, "resources").option("--process", &run.to_string()).span().finish(),
        has_charts: true,
        main: html! {
            h1 { "Run " (run) " of " (text::cell(&process.service)) }
            (panel("process", "The run", &show_facts(context, &process)))
            (panel("resources", "Use of the machine", &show_usage(&usage, &events)))
            (panel("events", "Events", &show_events(context, &events)))
            @if !flights.is_empty() {
                (panel("flight", "Calls in flight when it died", &table::show(&in_flight, &Frame { caption: "calls in flight at the death", ..Frame::default() })))
            }
        },
        ..Page::default()
    };
    page.data.insert("processes".to_owned(), table::to_json(&report));
    page.data.insert("events".to_owned(), table::to_json(&report_events(&events)));
    page.data.insert("in_flight".to_owned(), table::to_json(&in_flight));
    let describe = |usage: &Usage| {
        json!({ "figure": usage.figure.column(), "since_ns": usage.since_ns.to_string(),
        "until_ns": usage.until_ns.to_string(), "series": usage.series })
    };
    page.data.insert("resources".to_owned(), usage.iter().map(describe).collect());
    Ok(page)
}

fn show_facts(context: &Context<'_>, process: &Process) -> Markup {
    let now = context.now_ns;
    let run = process.process_id.to_string();
    html! {
        dl.facts {
            div { dt { "state" } dd { (table::show_outcome(process.state.as_str())) } }
            div { dt { "pid" } dd { (process.pid) " on " (text::cell(&process.host)) } }
            div { dt { "started" } dd { (units::format_age(process.started_ns, now)) } }
            div { dt { "last seen" } dd { (units::format_age(process.last_seen_ns, now)) } }
            @if let Some(version) = &process.program_version { div { dt { "version" } dd { (text::cell(version)) } } }
            @if let Some(build) = &process.build { div.wide { dt { "build" } dd { (text::shorten(build, 80)) } } }
            @if let Some(executable) = &process.executable { div.wide { dt { "program" } dd { (text::cell(executable)) } } }
            @if let Some(level) = &process.level { div { dt { "level" } dd { (text::cell(level)) } } }
            div { dt { "calls" } dd { (units::format_exact(process.calls)) } }
            div { dt { "failed" } dd { (process.failed_pct().map_or_else(|| "-".to_owned(), units::format_percent)) } }
            div { dt { "rows lost" } dd { (process.lost.map_or_else(|| "-".to_owned(), units::format_exact)) } }
        }
        p.note {
            a href=(context.links.to("/functions", &[("process", &run), ("q", "")])) { "its functions" } " · "
            a href=(context.links.to("/calls", &[("process", &run), ("q", "")])) { "its calls" } " · "
            a href=(context.links.to("/errors", &[("process", &run), ("q", "")])) { "its errors" } " · "
            a href=(context.links.to("/health", &[("q", "")])) { "its recorder" }
        }
    }
}

/// The kinds of events that are marked in the charts: what the recorder did to keep within its bounds, and what a person did.
const MARKED: [&str; 2] = ["breaker", "level"];

fn show_usage(usage: &[Usage], events: &[Event]) -> Markup {
    let marked = events.iter().filter(|event| MARKED.contains(&event.kind.as_str()));
    let marks: Vec<_> = marked.map(|event| (event.at_ns, event.detail.clone())).collect();
    if usage.is_empty() {
        return html! { p.empty { "no samples in this span" } };
    }
    html! {
        div.charts {
            @for usage in usage {
                @let figures: Vec<Option<f64>> = usage.series.iter().copied().map(Some).collect();
                @let format = resources_command::format_of(usage.figure);
                div {
                    (Series {
                        title: resources_command::name(usage.figure),
                        lines: &[Line { name: "", class: "c1", figures: &figures }],
                        span_ns: (usage.since_ns, usage.until_ns),
                        format,
                        threshold: None,
                        marks: &marks,
                    }.draw())
                    p.note {
                        "last " (format(usage.last)) ", from " (format(usage.range.0)) " to " (format(usage.range.1))
                        @match usage.growth {
                            Growth::Growing(per_hour) => { " · " span.warn { "growing: " (format(per_hour)) " an hour" } }
                            Growth::TooFew => { " · too few samples to judge growth" }
                            Growth::Steady | Growth::NotJudged => {}
                        }
                    }
                }
            }
        }
    }
}

/// The most calls in flight that are shown.
const FLIGHTS_MAX: usize = 200;

/// Reads the calls that were in flight when a process died, the oldest first.
fn read_oldest_flights(store: &Store, run: i64) -> Result<Vec<Flight>> {
    let mut flights = crashes::read_flights(store, run)?;
    flights.sort_by_key(|flight| flight.start_ns);
    flights.truncate(FLIGHTS_MAX);
    Ok(flights)
}

fn report_flights(flights: &[Flight]) -> Report {
    let columns = vec![
        Column::titled("elapsed_ms", "FOR", Unit::Milliseconds),
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::titled("thread", "THREAD", Unit::Text),
        Column::titled("args", "ARGUMENTS", Unit::Text),
    ];
    let build = |flight: &Flight| {
        vec![
            flight.elapsed_ms.unwrap_or(0.0).into(),
            flight.function.clone().unwrap_or_default().into(),
            flight.thread.clone().into(),
            flight.args.clone().into(),
        ]
    };
    Report { columns, rows: flights.iter().map(build).collect() }
}
