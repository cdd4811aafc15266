//! Alerts: those that fire, each with the course of its measure; those that have ended; the rules, and the forms that
//! change them; and the receivers.

use anyhow::Result;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::address::path_of;
use super::super::app::{Context, PANEL_TIME, Page, integer};
use super::super::chart::{Line, Series};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::{cut, panel, write_form};
use crate::command::alert::report_rules;
use crate::model::alerts::{self, Alert, Course, Receiver, Rule};
use crate::model::metrics;
use crate::model::schema;
use crate::report::{Column, Report, Unit};
use crate::{find, terminal, units};

/// The alerts that fire, and those that have ended, that are shown.
const LIVE_SHOWN: usize = 100;
const ENDED_SHOWN: usize = 50;
/// The courses that are drawn.
const COURSES_SHOWN: usize = 6;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut page = Page {
        title: "Alerts".to_owned(),
        sql: Some(schema::select(
            "alerts",
            Some("since_ns"),
            &context.scope,
            &[],
            "ORDER BY change DESC LIMIT 100",
        )),
        command: CommandLine::new(context, "alerts")
            .since()
            .of_all_processes()
            .only_if(context.pattern.is_none())
            .option("--limit", &(LIVE_SHOWN + context.limit(ENDED_SHOWN)?).to_string())
            .finish(),
        has_charts: true,
        ..Page::default()
    };
    if !alerts::are_known(&context.store)? {
        page.sql = None;
        page.main = html! {
            h1 { "Alerts" }
            p.empty { "This store has no alerts, because an older version wrote it. A program with this version of monitored migrates it." }
        };
        return Ok(page);
    }
    let is_chosen = |alert: &Alert| match (&context.pattern, &alert.function) {
        (None, _) => true,
        (Some(pattern), Some(function)) => pattern.is_match(function),
        (Some(_), None) => false,
    };
    let mut live = alerts::read(&context.store, &context.scope, true, LIVE_SHOWN)?;
    live.retain(is_chosen);
    let mut ended = alerts::read(&context.store, &context.scope, false, context.limit(ENDED_SHOWN)?)?;
    ended.retain(is_chosen);
    let rules = alerts::read_rules(&context.store)?;
    let receivers = alerts::read_receivers(&context.store)?;
    let courses =
        context.read_within(PANEL_TIME, || read_courses(context, live.iter().chain(&ended), &rules))?;
    let reports =
        (report_alerts(&live), report_alerts(&ended), report_rules(&rules), report_receivers(&receivers));
    for (name, report) in
        [("firing", &reports.0), ("ended", &reports.1), ("rules", &reports.2), ("receivers", &reports.3)]
    {
        page.data.insert(name.to_owned(), table::to_json(report));
    }
    page.data.insert("courses".to_owned(), courses.iter().flatten().map(describe_course).collect());
    let firing = html! {
        (show_alerts(context, &live, &reports.0, "alerts that fire", "none fires"))
        @match &courses {
            None => (cut()),
            Some(courses) if courses.is_empty() => {}
            Some(courses) => div.charts { @for course in courses { (draw_course(course)) } }
        }
    };
    let receivers = html! {
        (table::show(&reports.3, &Frame { caption: "receivers of alerts", empty: "nobody: `monitor watch` tells a command or a webhook", ..Frame::default() }))
    };
    page.main = html! {
        h1 { "Alerts" }
        (panel("alerts", "Alerts that fire", &firing))
        (panel("ended", "Alerts that have ended", &show_alerts(context, &ended, &reports.1, "alerts that have ended", "none in this span")))
        (panel("rules", "Rules", &show_rules(context, &rules, &reports.2)))
        (panel("rule", "Set a rule", &set_form(context, &rules)))
        (panel("receivers", "Who is told", &receivers))
    };
    Ok(page)
}

fn report_alerts(all: &[Alert]) -> Report {
    let columns = vec![
        // The cells of levels and states are replaced. The unit keeps the words whole on a narrow screen.
        Column::titled("level", "LEVEL", Unit::Outcome),
        Column::titled("state", "STATE", Unit::Outcome),
        Column::titled("since_ns", "SINCE", Unit::Age),
        Column::titled("until_ns", "UNTIL", Unit::Age),
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::titled("service", "SERVICE", Unit::Name),
        Column::titled("processes", "RUNS", Unit::Number),
        Column::titled("sentence", "ALERT", Unit::Text),
        Column::data("rule"),
        Column::data("value"),
        Column::data("peak"),
        Column::data("process_id"),
        Column::data("alert_id"),
        Column::data("change"),
    ];
    let build = |alert: &Alert| {
        vec![
            alert.level.clone().into(),
            alert.state.clone().into(),
            alert.since_ns.into(),
            alert.until_ns.into(),
            alert.function.clone().into(),
            alert.service.clone().into(),
            alert.processes.into(),
            alert.sentence.clone().into(),
            alert.rule.clone().into(),
            alert.value.into(),
            alert.peak.into(),
            alert.process_id.into(),
            alert.id.into(),
            alert.change.into(),
        ]
    };
    Report { columns, rows: all.iter().map(build).collect() }
}

/// Shows a level by a sign and a word, so that colour is not needed.
fn show_level(level: &str) -> Markup {
    let (sign, class) = match level {
        "critical" => ("▲", "bad"),
        "warning" => ("▲", "warn"),
        _ => ("·", "dim"),
    };
    html! { span class=(class) { span aria-hidden="true" { (sign) } " " (text::cell(level)) } }
}

fn show_alerts(context: &Context<'_>, all: &[Alert], report: &Report, caption: &str, empty: &str) -> Markup {
    let cell = |row: usize, column: &str| {
        let alert = all.get(row)?;
        match (column, &alert.function) {
            ("level", _) => Some(show_level(&alert.level)),
            ("state", _) => Some(text::cell(&alert.state)),
            ("function", Some(function)) => {
                Some(html! { a href=(context.links.function(function)) { (text::function(function)) } })
            }
            ("sentence", _) => Some(text::shorten(&alert.sentence, 600)),
            _ => None,
        }
    };
    table::show(report, &Frame { caption, cell: &cell, empty, ..Frame::default() })
}

fn report_receivers(receivers: &[Receiver]) -> Report {
    let columns = vec![
        Column::titled("receiver", "RECEIVER", Unit::Text),
        Column::titled("told_ns", "TOLD", Unit::Age),
        Column::titled("failures", "FAILED SINCE", Unit::Count),
        Column::titled("last_failure", "WHY", Unit::Text),
        Column::data("change"),
        Column::data("first_change"),
    ];
    let build = |receiver: &Receiver| {
        vec![
            receiver.name.clone().into(),
            receiver.told_ns.into(),
            receiver.failures.into(),
            receiver.last_failure.clone().into(),
            receiver.change.into(),
            receiver.first_change.into(),
        ]
    };
    Report { columns, rows: receivers.iter().map(build).collect() }
}

// --- Courses ---

/// An alert, and the course of its measure.
struct Drawn {
    alert: Alert,
    course: Course,
}

/// Reads the courses of the first alerts for which the store has a history of the measure, at most [`COURSES_SHOWN`].
fn read_courses<'a>(
    context: &Context<'_>,
    all: impl Iterator<Item = &'a Alert>,
    rules: &[Rule],
) -> Result<Vec<Drawn>> {
    let folders = find::list_ring_folders();
    let mut drawn = Vec::new();
    for alert in all {
        if drawn.len() == COURSES_SHOWN {
            break;
        }
        if let Some(course) = alerts::read_course(&context.store, alert, rules, &folders, context.now_ns)? {
            drawn.push(Drawn { alert: alert.clone(), course });
        }
    }
    Ok(drawn)
}

/// Draws the course of a measure with its threshold.
fn draw_course(drawn: &Drawn) -> Markup {
    let Drawn { alert, course } = drawn;
    let format: fn(f64) -> String = match course.measure {
        measure if measure.is_duration() => |ms| units::format_duration(ms * 1e6),
        measure if measure.is_size() => units::format_bytes,
        measure if measure.as_str().ends_with("_pct") => units::format_percent,
        _ => metrics::formatter(course.unit.as_deref()),
    };
    let measure = course.measure.as_str();
    let subject = if course.subject.is_empty() { "the process" } else { &course.subject };
    let ends = [(alert.since_ns, "fires"), (alert.until_ns.unwrap_or(i64::MIN), alert.state.as_str())];
    Series {
        title: &format!("{measure} of {}", text::flat(subject, 80)),
        lines: &[Line { name: measure, class: "c1", figures: &course.values }],
        span_ns: (course.period.from_ns, course.period.until_ns),
        format,
        threshold: Some(course.threshold),
        marks: &ends.map(|(at, state)| (at, state.to_owned())),
    }
    .draw()
}

fn describe_course(drawn: &Drawn) -> Value {
    let Drawn { alert, course } = drawn;
    json!({
        "alert_id": integer(alert.id), "measure": course.measure.as_str(), "threshold": course.threshold,
        "from_ns": course.period.from_ns.to_string(), "step_ns": integer(10_000_000_000), "values": course.values,
    })
}

// --- Rules ---

fn show_rules(context: &Context<'_>, rules: &[Rule], report: &Report) -> Markup {
    let mut report = Report { columns: Vec::new(), rows: report.rows.clone() };
    report.columns = vec![
        Column::titled("name", "RULE", Unit::Text),
        Column::titled("level", "LEVEL", Unit::Outcome),
        Column::titled("pattern", "FUNCTIONS", Unit::Text),
        Column::titled("condition", "CONDITION", Unit::Text),
        Column::titled("keep_s", "KEEP S", Unit::Number),
        Column::titled("min_calls", "CALLS", Unit::Number),
        Column::titled("enabled", "ON", Unit::Text),
        Column::titled("set_by", "BY", Unit::Text),
        Column::table("CHANGE", Unit::Text),
    ];
    let build = |rule: &Rule| {
        vec![
            rule.name.clone().into(),
            rule.level.clone().into(),
            rule.pattern.clone().into(),
            condition(rule).into(),
            rule.keep_s.into(),
            rule.min_calls.into(),
            (if rule.is_enabled { "on" } else { "off" }).to_owned().into(),
            rule.set_by.clone().into(),
            String::new().into(),
        ]
    };
    report.rows = rules.iter().map(build).collect();
    let cell = |row: usize, column: &str| {
        let rule = rules.get(row)?;
        match column {
            "level" => Some(show_level(&rule.level)),
            "CHANGE" => Some(change_rule(context, rule)),
            _ => None,
        }
    };
    table::show(
        &report,
        &Frame { caption: "rules on alerts", cell: &cell, empty: "no rules", ..Frame::default() },
    )
}

/// Returns the condition of a rule as a person writes it. A rule that makes no sense is shown as it stands in the table.
fn condition(rule: &Rule) -> String {
    let shown = rule.to_evaluated().map(|rule| rule.condition());
    shown.unwrap_or_else(|| format!("{} {} {} (not understood)", rule.measure, rule.op, rule.threshold))
}

/// Returns the condition of a rule as the form takes it.
fn condition_to_edit(rule: &Rule) -> String {
    let Some(evaluated) = rule.to_evaluated() else { return String::new() };
    let unit = if evaluated.measure.is_duration() { "ms" } else { "" };
    let time = if rule.for_s > 0 { format!(" for {}s", rule.for_s) } else { String::new() };
    format!("{} {} {}{unit}{time}", rule.measure, rule.op, rule.threshold)
}

/// Returns true if a form can send the texts of a rule unchanged, because they hold no control or invisible
/// characters.
fn can_be_sent(rule: &Rule) -> bool {
    ![&rule.name, &rule.pattern, &rule.level].iter().any(|text| text.contains(terminal::is_unsafe))
}

/// Shows the buttons that change a rule, or the link that fills the form with it.
fn change_rule(context: &Context<'_>, rule: &Rule) -> Markup {
    let edit = context.links.to("/alerts", &[("rule", &rule.name), ("level", &rule.level), ("q", "")]);
    let (word, label) = if rule.is_enabled { ("disable", "Switch off") } else { ("enable", "Switch on") };
    html! {
        a href={ (edit) "#rule" } aria-label={ "change the rule " (text::flat(&rule.name, 100)) } { "✎" } " "
        @if context.app.allows_writes() && can_be_sent(rule) {
            (write_form(context, "/alerts", &html! {
                input type="hidden" name="rule" value=(rule.name);
                input type="hidden" name="level" value=(rule.level);
                button name="do" value=(word) { (label) }
                button.danger name="do" value="remove" { "Remove" }
            }))
        } @else {
            code { (CommandLine::new(context, &format!("alert {word}")).option("--level", &rule.level).operand(&rule.name).finish()) }
        }
    }
}

/// The form that sets a rule, filled with the rule that the address names. Without permission to write, the command is
/// shown.
fn set_form(context: &Context<'_>, rules: &[Rule]) -> Markup {
    let named = |name: &str| context.parameters.text(name).unwrap_or_default().to_owned();
    let (name, level) = (named("rule"), named("level"));
    let chosen = rules.iter().find(|rule| rule.name == name && rule.level == level && can_be_sent(rule));
    let pattern = chosen.map_or_else(String::new, |rule| rule.pattern.clone());
    let condition = chosen.map_or_else(|| named("condition"), condition_to_edit);
    let keep = chosen.map_or_else(|| "1m".to_owned(), |rule| format!("{}s", rule.keep_s));
    let min_calls = chosen.map_or(0, |rule| rule.min_calls);
    let level = if level.is_empty() { "warning".to_owned() } else { level };
    let name = if name.contains(terminal::is_unsafe) { String::new() } else { name };
    let fields = html! {
        label { span.label { "pattern of whole names" } input name="pattern" size="24" required value=(pattern) placeholder="shop::*"; }
        label { span.label { "condition" } input name="condition" size="28" required value=(condition) placeholder="p99 > 50ms for 1m"; }
        label { span.label { "level" } select name="level" {
            @for word in ["info", "warning", "critical"] { option value=(word) selected[word == level] { (word) } }
        } }
        label { span.label { "resolved after" } input name="keep" size="6" value=(keep); }
        label { span.label { "calls at least" } input name="min_calls" size="5" inputmode="numeric" value=(min_calls); }
        label { span.label { "name" } input name="rule" size="20" maxlength="200" value=(name) placeholder="pattern and measure"; }
    };
    let measures = html! {
        details {
            summary { "measures" }
            dl.lines {
                @for (name, meaning) in monitor_runtime::alert::Measure::list() { div { dt { code { (name) } } dd { (meaning) } } }
            }
        }
    };
    let address = context.links.to("/alerts", &[]);
    html! {
        @if context.app.allows_writes() {
            (write_form(context, "/alerts", &html! { (fields) button name="do" value="set" { "Set" } }))
        } @else {
            p.note { "This server only reads. Started with `--allow-writes` it sets rules; until then a change is a command: "
                code { "monitor alert set 'shop::*' 'p99 > 50ms for 1m' --level critical" } }
            @if let Some(rule) = chosen {
                p { code { (CommandLine::new(context, "alert set").option("--level", &rule.level).option("--name", &rule.name)
                    .option("--keep", &keep).option("--min-calls", &min_calls.to_string())
                    .operand(&rule.pattern).operand(&condition).finish()) }
                    " · " a href=(path_of(&address)) { "close" } }
            }
        }
        (measures)
    }
}
