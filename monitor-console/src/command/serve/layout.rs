//! The frame around every page: the bar that chooses store, processes and time, the way to the other pages, and what the
//! numbers rest on.

use std::collections::BTreeSet;

use anyhow::Result;
use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::address::path_of;
use super::app::{App, Context, Page};
use super::{assets, text};
use crate::model::alerts;
use crate::model::processes::{self, Process};
use crate::pattern::Pattern;
use crate::{terminal, units};

/// The pages of the bar: address and name.
const BAR: [(&str, &str); 16] = [
    ("/", "Now"),
    ("/functions", "Functions"),
    ("/calls", "Calls"),
    ("/errors", "Errors"),
    ("/logs", "Logs"),
    ("/flame", "Flame"),
    ("/graph", "Graph"),
    ("/diff", "Diff"),
    ("/findings", "Findings"),
    ("/alerts", "Alerts"),
    ("/processes", "Processes"),
    ("/health", "Health"),
    ("/series", "Metrics"),
    ("/rates", "Rates"),
    ("/sql", "SQL"),
    ("/schema", "Schema"),
];
/// The parameters that the form of the bar has fields for, as far as there is something to choose.
const FIELDS: [&str; 7] = ["db", "process", "service", "build", "from", "to", "q"];
/// The spans of time that one click chooses.
const SPANS: [(&str, &str); 5] = [("-5m", "5m"), ("-15m", "15m"), ("-1h", "1h"), ("-6h", "6h"), ("", "all")];
/// The span by which keys move a page that shows all times, in ns.
const SHIFTED_NS: i64 = 900_000_000_000;
/// The most choices of processes, services and builds beside the chosen one.
const CHOICES_MAX: usize = 50;
/// The age from which the last write is shown as old.
const LIVE_NS: i64 = 15_000_000_000;

/// Puts a page into its frame. `here` is the path of the page without the path before all addresses.
pub(super) fn frame(context: &Context<'_>, page: &Page, here: &str) -> Result<Markup> {
    let query = context.parameters;
    let links = context.links;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            (head(context.app, &page.title, page.has_charts))
            body data-live=(format!("{}/live", context.app.base_path())) data-db=(context.store_name) {
                a.skip href="#main" { "Skip to the content" }
                header {
                    form.top method="get" action=(path_of(&links.here(&[]))) role="search" {
                        (links.fields_here(&FIELDS))
                        a.brand href=(links.to("/", &[])) { "monitor" }
                        (choose_store(context))
                        (clock(context))
                        (choose_processes(context)?)
                        span.spans role="group" aria-label="span of time" {
                            @for (from, name) in SPANS {
                                @let is_chosen = query.text("from").unwrap_or_default() == from && query.text("to").is_none();
                                a href=(links.here(&[("from", from), ("to", "")])) aria-current=[is_chosen.then_some("true")] { (name) }
                            }
                        }
                        (shift_links(context))
                        label { span.label { "from" } input name="from" size="8" value=[query.text("from")] placeholder="-15m"; }
                        label { span.label { "to" } input name="to" size="8" value=[query.text("to")] placeholder="now"; }
                        label { span.label { "filter" } input #filter type="search" name="q" size="18" value=[query.text("q")] placeholder="shop::*"; }
                        @if let Some(name) = context.pattern.as_ref().and_then(Pattern::exact_name) {
                            a.chip href=(links.here(&[("function", "")])) { "only " (text::shorten(name, 60)) " ×" }
                        }
                        button { "Show" }
                    }
                    nav aria-label="pages" {
                        @for (address, name) in BAR {
                            @let is_here = here == address;
                            a href=(links.to(address, &[])) aria-current=[is_here.then_some("page")] {
                                (name) @if address == "/alerts" { span data-panel="firing" { (count_alerts(context)?) } }
                            }
                        }
                    }
                }
                main #main {
                    @if context.is_cut.get() {
                        p.note role="status" {
                            "Some panels were cut because their time was up. "
                            a href=(links.patient()) { "Run them to their end" }
                        }
                    }
                    (page.main)
                }
                footer {
                    @if let Some(sql) = &page.sql { a href=(links.sql(sql)) { "SQL" } " · " }
                    a href=(links.data()) { "JSON" }
                    @if !page.command.is_empty() { " · " code #command { (page.command) } }
                    span #state role="status" {}
                    details.help {
                        summary { "keys" }
                        p { kbd { "/" } " filter · " kbd { "j" } " " kbd { "k" } " rows · " kbd { "Enter" } " open · " kbd { "u" } " up · "
                            kbd { "1" } "–" kbd { "9" } " pages · " kbd { "[" } " " kbd { "]" } " span of time · " kbd { "space" } " pause · "
                            kbd { "y" } " copy the command · times are UTC; ~ marks estimates" }
                    }
                }
            }
        }
    })
}

/// Links to the spans before and after the one that is shown, for clicks and for keys. They are a panel, because a span
/// that ends now moves on with every refresh.
fn shift_links(context: &Context<'_>) -> Markup {
    let period = context.scope.period;
    let is_ahead = period.from_ns >= context.now_ns;
    let until_ns = if is_ahead { period.until_ns } else { period.until_ns.min(context.now_ns) };
    let from_ns =
        if period.from_ns == i64::MIN { until_ns.saturating_sub(SHIFTED_NS) } else { period.from_ns };
    let length_ns = until_ns.saturating_sub(from_ns);
    let link = |from_ns: i64, until_ns: i64| {
        context.links.here(&[("from", &from_ns.to_string()), ("to", &until_ns.to_string())])
    };
    let earlier = link(from_ns.saturating_sub(length_ns), from_ns);
    let later = link(until_ns, until_ns.saturating_add(length_ns));
    html! {
        span.spans data-panel="shift" role="group" aria-label="neighbouring spans of time" {
            a #earlier href=(earlier) aria-label="the span before" { "‹" }
            a #later href=(later) aria-label="the span after" { "›" }
        }
    }
}

/// Shows how many alerts fire, if any does.
fn count_alerts(context: &Context<'_>) -> Result<Markup> {
    let (live, critical) = alerts::count_live(&context.store)?;
    let label = units::format_quantity(live, "alert fires", "alerts fire");
    Ok(html! { @if live > 0 { " " span.badge.critical[critical > 0] title=(label) { (live) } } })
}

fn head(app: &App, title: &str, has_charts: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (text::flat(title, text::CELL_CHARACTERS)) " · monitor" }
            link rel="stylesheet" href=(assets::STYLE.address(app.base_path()));
            link rel="icon" href=(assets::ICON.address(app.base_path()));
            script src=(assets::SCRIPT.address(app.base_path())) defer {}
            @if has_charts {
                link rel="stylesheet" href=(assets::UPLOT_STYLE.address(app.base_path()));
                script src=(assets::UPLOT.address(app.base_path())) defer {}
                script src=(assets::CHARTS.address(app.base_path())) defer {}
            }
        }
    }
}

fn choose_store(context: &Context<'_>) -> Markup {
    html! {
        @if context.app.stores().len() > 1 {
            label { span.label { "store" } select name="db" {
                @for store in context.app.stores() {
                    option value=(store.name) selected[store.name == context.store_name] { (text::flat(&store.name, 60)) }
                }
            } }
        } @else {
            span.store title=(text::flat(&context.store.path().to_string_lossy(), text::CELL_CHARACTERS)) { (text::cell(context.store_name)) }
        }
    }
}

/// Shows when the store was last written to: the clock of all figures.
fn clock(context: &Context<'_>) -> Markup {
    match context.last_write_ns {
        Some(ns) if context.now_ns.saturating_sub(ns) < LIVE_NS => html! {
            span.clock.good data-panel="clock" { "● live, " (units::format_age(ns, context.now_ns)) }
        },
        Some(ns) => html! {
            span.clock data-panel="clock" { "last write " (units::format_age(ns, context.now_ns)) }
        },
        None => html! { span.clock data-panel="clock" { "never written" } },
    }
}

/// Lets the reader choose a run, a service and a build.
fn choose_processes(context: &Context<'_>) -> Result<Markup> {
    let all = processes::read_identities(&context.store)?;
    let run = |process: &Process| {
        let number = process.process_id.to_string();
        let label = format!("{number}: {} (pid {})", text::flat(&process.service, 30), process.pid);
        (number, label)
    };
    let distinct = |texts: Vec<String>| {
        let texts: BTreeSet<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        texts.into_iter().map(|text| (text.clone(), text::flat(&text, 40))).collect::<Vec<_>>()
    };
    let services = distinct(all.iter().map(|process| process.service.clone()).collect());
    let builds = distinct(all.iter().filter_map(|process| process.build.clone()).collect());
    let chosen = |name: &str| context.parameters.text(name);
    Ok(html! {
        (choose("process", "run", "all runs", chosen("process"), &all.iter().map(run).collect::<Vec<_>>()))
        @if services.len() > 1 || chosen("service").is_some() { (choose("service", "service", "all services", chosen("service"), &services)) }
        @if builds.len() > 1 || chosen("build").is_some() { (choose("build", "build", "all builds", chosen("build"), &builds)) }
    })
}

/// Lets the reader choose one of these values, each with its label. The chosen one is always among those shown, because
/// the form would otherwise lose it. A form cannot send control or invisible characters unchanged, so values with them
/// are left out.
fn choose(name: &str, title: &str, all: &str, chosen: Option<&str>, values: &[(String, String)]) -> Markup {
    let can_be_sent = |(value, _): &&(String, String)| !value.contains(terminal::is_unsafe);
    let shown: Vec<_> = values.iter().filter(can_be_sent).take(CHOICES_MAX).collect();
    let is_shown = |wanted: &str| shown.iter().any(|(value, _)| value == wanted);
    let missing = chosen.filter(|chosen| !is_shown(chosen)).map(|chosen| {
        let known = values.iter().find(|(value, _)| value == chosen);
        (chosen, known.map_or_else(|| text::flat(chosen, 40), |(_, label)| label.clone()))
    });
    html! {
        label { span.label { (title) } select name=(name) {
            option value="" { (all) }
            @if let Some((value, label)) = &missing { option value=(value) selected { (label) } }
            @for (value, label) in shown { option value=(value) selected[chosen == Some(value)] { (label) } }
        } }
    }
}

/// Returns the page of a request that failed.
pub(super) fn explain(app: &App, status: StatusCode, explanation: &str) -> Markup {
    let title = match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::BAD_REQUEST => "The address is not understood",
        StatusCode::FORBIDDEN => "Not permitted",
        _ => "The store cannot be read now",
    };
    let base = app.base_path();
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(app, title, false))
            body data-waits[status == StatusCode::SERVICE_UNAVAILABLE] {
                header { nav aria-label="pages" {
                    @for (address, name) in BAR { a href={ (base) (address) } { (name) } }
                } }
                main #main {
                    h1 { (title) }
                    p.refusal { (text::shorten(explanation, text::DETAIL_CHARACTERS)) }
                }
            }
        }
    }
}
