//! Sampling rates, breakers and guards: what is in force and why, and the forms that change it.

use std::collections::BTreeSet;

use anyhow::Result;
use maud::{Markup, html};
use serde_json::json;

use super::super::address::path_of;
use super::super::app::{Context, Page};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::{note_ignored_span, panel, write_form};
use crate::model::breakers::{self, Breaker};
use crate::model::guards::{self, GuardHold, GuardState};
use crate::model::rates::{self, Rate, Setting};
use crate::model::schema;
use crate::pattern::Pattern;
use crate::report::{Column, Report, Unit};
use crate::{terminal, units};

/// The functions that are shown.
const SHOWN: usize = 100;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut all = rates::read(&context.store, &context.scope, context.pattern.as_ref())?;
    let settings = rates::read_settings(&context.store)?;
    let breakers = breakers::read(&context.store)?;
    let guards = guards::read(&context.store, None)?;
    let waiting_holds = guards::read_waiting_holds(&context.store, None)?;
    let asked = context.parameters.read("pattern", str::parse::<Pattern>)?;
    let rate = context.parameters.read("rate", units::parse_rate)?;
    let preview = match (&asked, rate) {
        (Some(pattern), Some(rate)) => {
            let every = rates::read(&context.store, &context.scope, None)?;
            Some((pattern, rate, rates::preview(&every, pattern, rate)))
        }
        _ => None,
    };
    let mut page = Page {
        title: "Rates".to_owned(),
        sql: Some(schema::select("rates", None, &context.scope, &[], "ORDER BY calls_per_s DESC")),
        command: CommandLine::new(context, "sample")
            .only_if(context.pattern.is_none())
            .of_all_processes()
            .finish(),
        ..Page::default()
    };
    let number = all.len();
    all.truncate(context.limit(SHOWN)?);
    let report = build_report(&all);
    page.data.insert("rates".to_owned(), table::to_json(&report));
    let settings_report = report_settings(&settings);
    page.data.insert("settings".to_owned(), table::to_json(&settings_report));
    let guards_report = report_guards(&guards);
    page.data.insert("guards".to_owned(), table::to_json(&guards_report));
    if let Some((pattern, rate, preview)) = &preview {
        page.data.insert("preview".to_owned(), json!({ "pattern": pattern.as_str(), "rate": rate,
            "functions": preview.functions, "rows_per_s_now": preview.rows_now, "rows_per_s_then": preview.rows_then }));
    }
    let change = html! {
        (preview_form(context))
        @if let Some((pattern, rate, preview)) = &preview { (show_preview(context, pattern, *rate, *preview)) }
        @if !context.app.allows_writes() { p.note { "This server only reads. Started with `--allow-writes` it sets rates and holds breakers; until then a change is a command to copy." } }
    };
    let in_force = html! {
        (show(context, &all, &report))
        @if number > all.len() { p.note { (number - all.len()) " more" } }
    };
    let of_the_present = |content: &Markup| html! { (content) (note_ignored_span(context, "the present")) };
    page.main = html! {
        h1 { "Rates" }
        (panel("change", "Try a rate", &change))
        (panel("settings", "Rates that were set", &of_the_present(&show_settings(context, &settings, &settings_report))))
        (panel("rates", "Rates in force, and why", &of_the_present(&in_force)))
        (panel("breakers", "Circuit breakers around the store's writes", &of_the_present(&show_breakers(context, &breakers))))
        (panel("guards", "Guards around the programs' own parts", &of_the_present(&show_guards(context, &guards_report, &guards, &waiting_holds))))
    };
    Ok(page)
}

/// The form that asks what a rate would mean. It writes nothing.
fn preview_form(context: &Context<'_>) -> Markup {
    let value = |name: &str| context.parameters.text(name).unwrap_or_default().to_owned();
    let pattern = context.parameters.text("pattern").or(context.pattern.as_ref().map(Pattern::as_str));
    let pattern = pattern.filter(|pattern| !pattern.contains(terminal::is_unsafe)).unwrap_or_default();
    html! {
        form.box method="get" action=(path_of(&context.links.here(&[]))) {
            (context.links.fields_here(&["pattern", "rate", "q", "function"]))
            label { span.label { "pattern of whole names" } input name="pattern" size="28" required value=(pattern) placeholder="*::orders::*"; }
            label { span.label { "rate, 0 to 1" } input name="rate" size="6" required inputmode="decimal" value=(value("rate")) placeholder="0.1"; }
            button { "Preview" }
        }
    }
}

/// Says what a rate would mean, with the form that sets it, or the command.
fn show_preview(context: &Context<'_>, pattern: &Pattern, rate: f64, preview: rates::Preview) -> Markup {
    let count = |rows: f64| units::format_count((rows * 10.0).round() / 10.0);
    let command =
        CommandLine::new(context, "sample").operand(pattern.as_str()).operand(&units::format_rate(rate));
    let command = command.finish();
    html! {
        p.lead {
            "about " (count(preview.rows_then)) " rows/s instead of " (count(preview.rows_now)) " rows/s, of "
            (units::format_quantity(preview.functions, "function", "functions")) " known so far"
        }
        @if preview.functions == 0 { p.note { "No known function has such a name as a whole: " code { "*::" (pattern.as_str()) } " would match its last segments." } }
        p.note { "Counts stay exact, and failed calls keep their rows." }
        @if context.app.allows_writes() {
            (write_form(context, "/rates", &html! {
                input type="hidden" name="pattern" value=(pattern.as_str());
                input type="hidden" name="rate" value=(units::format_rate(rate));
                button.danger { "Set " (pattern.as_str()) " to " (units::format_rate(rate)) }
            }))
        } @else { p { code { (text::cell(&command)) } } }
    }
}

fn build_report(all: &[Rate]) -> Report {
    let columns = vec![
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::titled("asked", "ASKED", Unit::Rate),
        Column::titled("rate", "RATE", Unit::Rate),
        Column::titled("fidelity", "FIDELITY", Unit::Text),
        Column::titled("calls_per_s", "CALLS/S", Unit::Count),
        Column::titled("rows_per_s", "ROWS/S", Unit::Count),
        Column::titled("cpu_pct", "CORE", Unit::Percent),
        Column::titled("saved_pct", "SAVED", Unit::Percent),
        Column::titled("why", "WHY", Unit::Text),
        Column::titled("process_id", "RUN", Unit::Number),
    ];
    let build = |rate: &Rate| {
        vec![
            rate.function.clone().into(),
            rate.asked.into(),
            rate.rate.into(),
            rate.fidelity.clone().into(),
            rate.calls_per_s.into(),
            rate.rows_per_s.into(),
            rate.cpu_pct.into(),
            rate.saved_pct.into(),
            rate.why.clone().into(),
            rate.process_id.into(),
        ]
    };
    Report { columns, rows: all.iter().map(build).collect() }
}

fn show(context: &Context<'_>, all: &[Rate], report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let rate = all.get(row)?;
        match column {
            "function" => Some(
                html! { a href=(context.links.function(&rate.function)) { (text::function(&rate.function)) } },
            ),
            "rate" => {
                let shown = rate.rate.map_or_else(|| "-".to_owned(), units::format_rate);
                let address =
                    context.links.to("/rates", &[("pattern", &rate.function), ("rate", &shown), ("q", "")]);
                Some(
                    html! { (shown) " " a href=(address) aria-label={ "change the rate of " (text::flat(&rate.function, 100)) } { "✎" } },
                )
            }
            _ => None,
        }
    };
    table::show(
        report,
        &Frame { caption: "rates in force", cell: &cell, empty: "no functions yet", ..Frame::default() },
    )
}

fn report_settings(settings: &[Setting]) -> Report {
    let columns = vec![
        Column::titled("pattern", "PATTERN", Unit::Text),
        Column::titled("rate", "RATE", Unit::Rate),
        Column::titled("set_ns", "SET", Unit::Age),
        Column::titled("set_by", "BY", Unit::Text),
        Column::table("RESET", Unit::Text),
    ];
    let build = |setting: &Setting| {
        vec![
            setting.pattern.clone().into(),
            setting.rate.into(),
            setting.set_ns.into(),
            setting.set_by.clone().into(),
            String::new().into(),
        ]
    };
    Report { columns, rows: settings.iter().map(build).collect() }
}

fn show_settings(context: &Context<'_>, settings: &[Setting], report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let setting = settings.get(row)?;
        if column != "RESET" {
            return None;
        }
        Some(if context.app.allows_writes() {
            write_form(
                context,
                "/rates",
                &html! {
                    input type="hidden" name="pattern" value=(setting.pattern);
                    input type="hidden" name="reset" value="1";
                    button { "Reset" }
                },
            )
        } else {
            html! { code { (CommandLine::new(context, "sample").option("--reset", &setting.pattern).finish()) } }
        })
    };
    table::show(
        report,
        &Frame {
            caption: "rates that were set; the last one that matches a function wins",
            cell: &cell,
            empty: "none: functions have the rates of their programs",
            ..Frame::default()
        },
    )
}

fn show_breakers(context: &Context<'_>, breakers: &[Breaker]) -> Markup {
    let columns = vec![
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("service", "SERVICE", Unit::Text),
        Column::titled("breaker", "REPORTED", Unit::Text),
        Column::titled("breaker_openings", "OPENED", Unit::Count),
        Column::titled("hold", "HOLD", Unit::Text),
        Column::titled("reason", "REASON", Unit::Text),
        Column::titled("set_by", "BY", Unit::Text),
    ];
    let build = |breaker: &Breaker| {
        vec![
            breaker.process_id.into(),
            breaker.service.clone().into(),
            breaker.state.clone().into(),
            breaker.openings.into(),
            breaker.hold.clone().into(),
            breaker.reason.clone().into(),
            breaker.set_by.clone().into(),
        ]
    };
    let report = Report { columns, rows: breakers.iter().map(build).collect() };
    let caption = if breakers.iter().any(Breaker::is_of_next) {
        "no process is running, the next one takes this hold"
    } else {
        "breakers of running processes"
    };
    html! {
        (table::show(&report, &Frame { caption, empty: "no process is running", ..Frame::default() }))
        @if context.app.allows_writes() {
            (write_form(context, "/breaker", &html! {
                label { span.label { "reason" } input name="reason" size="30" maxlength="500" placeholder="the disk is being replaced"; }
                button.danger name="hold" value="open" { "Hold open" }
                button.danger name="hold" value="closed" { "Hold closed" }
                button name="hold" value="auto" { "Release" }
            }))
        } @else { p.note { code { "monitor breaker open --reason 'the disk is being replaced'" } " holds them open" } }
    }
}

fn report_guards(guards: &[GuardState]) -> Report {
    let columns = vec![
        Column::titled("name", "GUARD", Unit::Text),
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("state", "REPORTED", Unit::Text),
        Column::titled("since_ns", "SINCE", Unit::Age),
        Column::titled("calls", "CALLS", Unit::Count),
        Column::titled("failures", "FAILED", Unit::Count),
        Column::titled("rejected", "NOT MADE", Unit::Count),
        Column::titled("retries", "RETRIED", Unit::Count),
        Column::titled("answered", "ANSWERED IN ITS PLACE", Unit::Count),
        Column::titled("hold", "HOLD", Unit::Text),
        Column::titled("reason", "REASON", Unit::Text),
        Column::titled("set_by", "BY", Unit::Text),
        Column::titled("last_failure", "LAST FAILURE", Unit::Text),
        Column::titled("process_id", "RUN", Unit::Number),
    ];
    let build = |guard: &GuardState| {
        let figures = guard.figures;
        vec![
            guard.name.clone().into(),
            guard.level.clone().into(),
            guard.state.clone().into(),
            guard.since_ns.into(),
            figures.calls.into(),
            figures.failures.into(),
            figures.rejected.into(),
            figures.retries.into(),
            (figures.by_value + figures.by_cache + figures.by_function).into(),
            guard.hold.clone().into(),
            guard.reason.clone().into(),
            guard.set_by.clone().into(),
            guard.last_failure.clone().into(),
            guard.process_id.into(),
        ]
    };
    Report { columns, rows: guards.iter().map(build).collect() }
}

fn show_guards(
    context: &Context<'_>,
    report: &Report,
    guards: &[GuardState],
    waiting_holds: &[GuardHold],
) -> Markup {
    let running = guards.iter().map(|guard| guard.name.as_str());
    let names: BTreeSet<&str> = running.chain(waiting_holds.iter().map(|hold| hold.name.as_str())).collect();
    html! {
        (table::show(report, &Frame { caption: "guards of running processes, the worst level first", empty: "no running process has called a guard", ..Frame::default() }))
        @for hold in waiting_holds {
            p.note { "no running process has called the guard " (text::flat(&hold.name, 100)) ", the next one that does is held " (hold.hold) " by " (text::flat(&hold.set_by, 100)) ": " (text::flat(&hold.reason, 500)) }
        }
        @if !names.is_empty() {
            @if context.app.allows_writes() {
                (write_form(context, "/breaker", &html! {
                    label { span.label { "guard" } select name="guard" { @for name in &names { option value=(name) { (text::flat(name, 100)) } } } }
                    label { span.label { "reason" } input name="reason" size="30" maxlength="500" placeholder="maintenance until 15:00"; }
                    button.danger name="hold" value="open" { "Hold open" }
                    button.danger name="hold" value="closed" { "Hold closed" }
                    button name="hold" value="auto" { "Release" }
                }))
            } @else { p.note { code { "monitor breaker NAME open --reason 'maintenance until 15:00'" } " holds a guard open" } }
        }
    }
}
