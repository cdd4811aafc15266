//! The first page: what is wrong, what goes on, and where the time goes.

use anyhow::Result;
use maud::{Markup, html};
use serde_json::json;

use super::super::app::{Context, PAGE_TIME, PANEL_TIME, Page};
use super::super::table::{self, Frame};
use super::super::{chart, text};
use super::{cut, findings, functions, note_ignored_span, panel};
use crate::command::live;
use crate::model::figures::{self, Key};
use crate::model::overview;
use crate::model::processes::State;
use crate::model::resources::{self, Figure};
use crate::units;

/// The findings, functions and calls under way that are shown.
const FINDINGS_SHOWN: usize = 3;
const FUNCTIONS_SHOWN: usize = 15;
const UNDER_WAY_SHOWN: u32 = 5;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut page = Page {
        title: "Now".to_owned(),
        sql: Some(functions::statement(context)),
        command: functions::command_line(context).option("--limit", &FUNCTIONS_SHOWN.to_string()).finish(),
        ..Page::default()
    };
    let found = context.read_within(PAGE_TIME, || context.app.findings(context))?;
    let read = context.read_within(PANEL_TIME, || {
        figures::read(&context.store, &context.scope, context.pattern.as_ref())
    })?;
    let mut all = read.unwrap_or_default();
    figures::sort(&mut all, Key::Total);
    let cards = show_cards(context, &mut page)?;
    let number = all.len();
    all.truncate(FUNCTIONS_SHOWN);
    let courses = functions::read_courses(context, &all)?;
    let report = functions::build_report(&all);
    page.data.insert("functions".to_owned(), table::to_json(&report));
    let findings = match &found {
        None => cut(),
        Some(found) if found.0.findings.is_empty() => {
            html! { p.empty { "nothing found that is worth knowing" } }
        }
        Some(found) => html! {
            @for finding in found.0.findings.iter().take(FINDINGS_SHOWN) { (findings::show_line(context, finding)) }
            @if found.0.findings.len() > FINDINGS_SHOWN {
                p.note { a href=(context.links.to("/findings", &[])) { (found.0.findings.len() - FINDINGS_SHOWN) " more findings" } }
            }
        },
    };
    let table = html! {
        (functions::show(context, &all, &report, &courses, None))
        @if number > FUNCTIONS_SHOWN {
            p.note { a href=(context.links.to("/functions", &[])) { (number - FUNCTIONS_SHOWN) " more functions" } }
        }
    };
    page.main = html! {
        h1 { "Now" }
        (panel("findings", "What is worth knowing", &html! { (findings) (note_ignored_span(context, "the whole store")) }))
        (cards)
        (panel("functions", "Where the time goes", &table))
        (panel("flight", "Calls under way", &show_under_way(context)))
    };
    Ok(page)
}

/// Shows the figures of all functions and of the processes, each with its course over ten minutes.
fn show_cards(context: &Context<'_>, page: &mut Page) -> Result<Markup> {
    let [calls, failed] = functions::count_calls(context)?;
    let all = |figures: &[Option<f64>]| figures.iter().flatten().sum::<f64>();
    let failed_pct = if all(&calls) > 0.0 { all(&failed) * 100.0 / all(&calls) } else { 0.0 };
    let mut overview = overview::read(&context.store, context.scope.period, false, context.now_ns)?;
    overview.recorders.retain(|one| context.scope.has_process(one.process.process_id));
    let cost = overview.cost();
    let all_runs = || overview.recorders.iter().map(|one| &one.process);
    let died = all_runs().filter(|process| process.state == State::Crash).count();
    let running: Vec<_> = all_runs().filter(|process| process.state == State::Running).collect();
    // The sum of no numbers is -0.
    let rate = running.iter().map(|process| process.calls_per_s).fold(0.0, |sum, rate| sum + rate);
    let usage = context
        .read_within(PANEL_TIME, || resources::read(&context.store, context.scope.period))?
        .unwrap_or_default();
    let of_running = |figure: Figure| {
        let is_shown = |usage: &&resources::Usage| {
            usage.figure == figure && running.iter().any(|process| process.process_id == usage.process_id)
        };
        usage.iter().filter(is_shown).map(|usage| usage.last).sum::<f64>()
    };
    let number = running.len();
    let (cpu, memory) = (of_running(Figure::Cpu), of_running(Figure::Memory));
    let data = json!({ "calls_per_s": rate, "failed_pct": failed_pct, "running": number, "died": died,
        "cpu_pct": cpu, "rss_bytes": memory, "cost_pct": cost.map(|(cost, _)| cost) });
    page.data.insert("now".to_owned(), data);
    let card = |title: &str, value: String, picture: Markup| {
        html! {
            div.card { span.label { (title) } strong { (value) } (picture) }
        }
    };
    let none = || html! {};
    Ok(html! {
        section.cards #cards data-panel="cards" aria-label="figures of now" {
            (card("calls/s, last minute", units::format_count((rate * 10.0).round() / 10.0), chart::sparkline(&calls, "calls over the last ten minutes")))
            (card("failed, last 10 min", units::format_percent(failed_pct), chart::sparkline(&failed, "failed calls over the last ten minutes")))
            (card("running", units::format_quantity(number, "process", "processes"), none()))
            @if number > 0 {
                (card("CPU", units::format_percent(cpu), none()))
                (card("memory", units::format_bytes(memory), none()))
            }
            @if let Some((cost, budget)) = cost {
                @let of = budget.map_or_else(String::new, |budget| format!(" of {}", units::format_percent(budget)));
                (card("recorder, of a core", format!("{}{of}", units::format_percent(cost)), none()))
            }
            @if died > 0 {
                div.card { span.label { "died" } strong.bad { a href=(context.links.to("/processes", &[])) { (units::format_quantity(died, "process", "processes")) } } }
            }
        }
    })
}

/// Shows the calls in flight, which are read from the ring files of running processes.
fn show_under_way(context: &Context<'_>) -> Markup {
    let report = match live::list(context.store.path(), UNDER_WAY_SHOWN, context.now_ns) {
        Ok(report) => report,
        Err(error) => return html! { p.note { (text::cell(&format!("{error:#}"))) } },
    };
    let frame = Frame {
        caption: "calls under way, stuck ones first",
        empty: "none: no process of this store runs a monitored call",
        ..Frame::default()
    };
    html! { (table::show(&report, &frame)) (note_ignored_span(context, "the present")) }
}
