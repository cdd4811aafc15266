//! Kinds of failure, and one kind with its course, its way through the calls, and its latest failures.

use anyhow::Result;
use maud::{Markup, html};

use super::super::app::{Context, PAGE_TIME, Page, Refusal};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::{chart, text};
use super::{calls as call_pages, cut, panel};
use crate::command::explain_unknown;
use crate::model::calls;
use crate::model::failures::{self, Bounds, Kind, Question};
use crate::model::schema;
use crate::report::{Cell, Column, Report, Unit};
use crate::units;

/// The kinds of a page, and the failures of the page of one kind.
const SHOWN: usize = 50;
const CALLS_SHOWN: usize = 20;
/// The parts of the span that the course of a kind shows.
const COURSE_PARTS: usize = 24;
/// The time since its first failure within which a kind counts as new.
const NEW_NS: i64 = 15 * 60 * 1_000_000_000;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let question = Question {
        scope: &context.scope,
        pattern: context.pattern.as_ref(),
        parts: COURSE_PARTS,
        bounds: Bounds::PAGE,
        now_ns: context.now_ns,
    };
    let found = context.read_within(PAGE_TIME, || failures::read(&context.store, question))?;
    let is_cut = found.is_none();
    let mut found = found.unwrap_or_default();
    let all = context.parameters.has("all");
    let passed_on = found.kinds.iter().filter(|kind| kind.is_passed_on()).count();
    if !all {
        found.kinds.retain(|kind| !kind.is_passed_on());
    }
    let number = found.kinds.len();
    let limit = context.limit(SHOWN)?;
    found.kinds.truncate(limit);
    let report = build_report(&found.kinds);
    let hint = match &context.pattern {
        Some(pattern) if number + passed_on == 0 => explain_unknown(&context.store, pattern)?,
        _ => None,
    };
    let content = html! {
        @if is_cut { (cut()) }
        @if let Some(hint) = &hint { p.note { (text::cell(hint)) } }
        (show(context, &found.kinds, &report))
        p.note {
            @if number > limit { (number - limit) " more kinds; " }
            @if passed_on > 0 && !all { a href=(context.links.here(&[("all", "1")])) { (passed_on) " kinds were only passed on by callers" } }
            @if found.is_cut { " The courses rest on the newest rows." }
        }
    };
    let mut page = Page {
        title: "Errors".to_owned(),
        main: html! { h1 { "Errors" } (panel("errors", &units::format_quantity(number, "kind of failure", "kinds of failure"), &content)) },
        sql: Some(schema::select(
            "error_groups",
            Some("last_ns"),
            &context.scope,
            &[],
            "ORDER BY count DESC",
        )),
        command: CommandLine::new(context, "errors")
            .pattern()
            .since()
            .of_all_processes()
            .flag("--all", all)
            .option("--limit", &limit.to_string())
            .finish(),
        ..Page::default()
    };
    page.data.insert("errors".to_owned(), table::to_json(&report));
    Ok(page)
}

fn build_report(kinds: &[Kind]) -> Report {
    let columns = vec![
        Column::data("fingerprint"),
        Column::titled("count", "COUNT", Unit::Count),
        Column::titled("root_count", "REQUESTS", Unit::Count),
        Column::table("TREND", Unit::Text),
        Column::titled("outcome", "OUTCOME", Unit::Outcome),
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::titled("message", "MESSAGE", Unit::Text),
        Column::titled("last_ns", "LAST", Unit::Age),
        Column::titled("first_ns", "FIRST", Unit::Age),
        Column::titled("example_call_id", "EXAMPLE", Unit::Number),
        Column::data("error_type"),
        Column::data("origin_count"),
        Column::data("path"),
    ];
    let build = |kind: &Kind| {
        let count = Cell::estimate_if(kind.is_lower_bound, kind.count);
        vec![
            kind.fingerprint.into(),
            count,
            Cell::estimate_if(kind.are_roots_lower_bound, kind.roots),
            String::new().into(),
            kind.outcome.clone().into(),
            kind.function.clone().into(),
            kind.message.clone().into(),
            kind.last_ns.into(),
            kind.first_ns.into(),
            kind.example.into(),
            kind.error_type.clone().into(),
            kind.origins.into(),
            kind.path.clone().into(),
        ]
    };
    Report { columns, rows: kinds.iter().map(build).collect() }
}

fn draw_course(kind: &Kind) -> Markup {
    let figures: Vec<Option<f64>> = kind.course.iter().copied().map(Some).collect();
    chart::sparkline(&figures, "failures over the span")
}

fn show(context: &Context<'_>, kinds: &[Kind], report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let kind = kinds.get(row)?;
        match column {
            "TREND" => Some(draw_course(kind)),
            "message" => {
                let is_new = context.now_ns.saturating_sub(kind.first_ns) < NEW_NS;
                let address = context.links.to(&format!("/error/{}", kind.fingerprint), &[("q", "")]);
                Some(html! {
                    @if is_new { span.badge { "new" } " " }
                    a href=(address) { (text::cell(&kind.message)) }
                    @if let Some(path) = &kind.path { " " span.dim { "⟨" (text::cell(path)) "⟩" } }
                })
            }
            "function" => Some(
                html! { a href=(context.links.function(&kind.function)) { (text::function(&kind.function)) } },
            ),
            "example_call_id" => kind.example.map(|id| html! { a href=(context.links.trace(id)) { (id) } }),
            _ => None,
        }
    };
    table::show(
        report,
        &Frame {
            caption: "kinds of failure",
            cell: &cell,
            empty: "no failures in this span",
            ..Frame::default()
        },
    )
}

pub(super) fn page_of_one(context: &Context<'_>) -> Result<Page> {
    let id = context.subject_id()?;
    let Some(kind) = failures::find(&context.store, id)? else {
        return Err(Refusal::missing("no kind of failure has this id here".to_owned()));
    };
    let latest = context.read_within(PAGE_TIME, || {
        let ids = failures::find_calls(&context.store, &kind, &context.scope, CALLS_SHOWN, context.now_ns)?;
        calls::read(&context.store, &ids, calls::Order::Newest)
    })?;
    let report = build_report(std::slice::from_ref(&kind));
    let calls = latest.as_ref().map(call_pages::build_report);
    let now = context.now_ns;
    let facts = html! {
        dl.facts {
            div.wide { dt { "function" } dd { a href=(context.links.function(&kind.function)) { (text::function(&kind.function)) } } }
            div { dt { "outcome" } dd { (table::show_outcome(&kind.outcome)) } }
            div { dt { "count" } dd { (units::format_exact(kind.count)) } }
            @if let Some(roots) = kind.roots { div { dt { "failed requests" } dd { (units::format_exact(roots)) } } }
            div { dt { "began here" } dd { (units::format_exact(kind.origins)) } }
            div { dt { "first" } dd { (units::format_age(kind.first_ns, now)) } }
            @if let Some(last) = kind.last_ns { div { dt { "last" } dd { (units::format_age(last, now)) } } }
            @if let Some(error_type) = &kind.error_type { div.wide { dt { "type" } dd { (text::cell(error_type)) } } }
            @if let Some(path) = &kind.path { div.wide { dt { "way" } dd { (text::cell(path)) } } }
            @if let Some(example) = kind.example { div { dt { "example" } dd { a href=(context.links.trace(example)) { (example) } } } }
        }
        pre.value { (text::shorten(&kind.message, text::DETAIL_CHARACTERS)) }
        p.note { "What failed calls of this function have in common: " a href=(context.links.function(&kind.function)) { "its page" } }
    };
    let mut page = Page {
        title: format!("Failure of {}", kind.function),
        sql: Some(schema::select(
            "errors",
            Some("start_ns"),
            &context.scope,
            &[format!(
                "function = {} AND outcome = {}",
                schema::quote(&kind.function),
                schema::quote(&kind.outcome)
            )],
            "ORDER BY call_id DESC LIMIT 20",
        )),
        command: CommandLine::new(context, "errors").flag("--all", true).function(&kind.function).finish(),
        main: html! {
            h1 { "A kind of failure" }
            (panel("kind", "What fails", &facts))
            (panel("latest", "Latest failures", &calls.as_ref().map_or_else(cut, |calls| call_pages::show(context, calls))))
        },
        ..Page::default()
    };
    page.data.insert("errors".to_owned(), table::to_json(&report));
    page.data.insert("calls".to_owned(), calls.as_ref().map(table::to_json).unwrap_or_default());
    Ok(page)
}
