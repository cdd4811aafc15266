//! The page of findings: sentences, each with its evidence and with links that lead on.

use anyhow::Result;
use maud::{Markup, html};
use serde_json::json;

use super::super::app::{Context, PAGE_TIME, Page};
use super::super::command::CommandLine;
use super::super::{table, text};
use super::{cut, note_ignored_span, panel};
use crate::command::findings as command;
use crate::model::findings::{Finding, Level};
use crate::report::Report;
use crate::units;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let mut page = Page {
        title: "Findings".to_owned(),
        command: CommandLine::new(context, "findings").pattern().flag("--all", true).finish(),
        ..Page::default()
    };
    let Some(found) = context.read_within(PAGE_TIME, || context.app.findings(context))? else {
        page.main = html! { h1 { "Findings" } (panel("findings", "What is worth knowing", &cut())) };
        return Ok(page);
    };
    let (findings, basis) = &*found;
    let is_wanted = |finding: &&Finding| {
        context.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&finding.subject))
    };
    let shown: Vec<&Finding> = findings.findings.iter().filter(is_wanted).collect();
    let mut columns = command::list_columns();
    // The last four columns are the basis of the answer, which the page shows once.
    columns.truncate(columns.len().saturating_sub(4));
    let report =
        Report { columns, rows: shown.iter().map(|finding| command::build_cells(finding)).collect() };
    page.data.insert("findings".to_owned(), table::to_json(&report));
    page.data.insert("cannot_tell".to_owned(), json!(findings.unknown));
    let content = html! {
        @for finding in &shown { (show(context, finding)) }
        @if shown.is_empty() { p.empty { "nothing found that is worth knowing" } }
        @if !findings.unknown.is_empty() {
            h3 { "Cannot tell" }
            ul { @for unknown in &findings.unknown { li { (text::cell(unknown)) } } }
        }
        p.note { (basis.describe()) }
        (note_ignored_span(context, "the whole store"))
    };
    let title = units::format_quantity(shown.len(), "finding", "findings");
    page.main = html! { h1 { "Findings" } (panel("findings", &title, &content)) };
    Ok(page)
}

/// Shows level, sentence and mark of a finding in a line.
pub(super) fn show_line(context: &Context<'_>, finding: &Finding) -> Markup {
    let (sign, class) = match finding.level {
        Level::Critical => ("▲", "bad"),
        Level::Warning => ("▲", "warn"),
        Level::Info => ("·", "dim"),
    };
    let mark = if finding.is_estimated { "~ " } else { "" };
    html! {
        p.finding {
            span.level.(class) { span aria-hidden="true" { (sign) } " " (finding.level.as_str()) } " "
            span { (mark) (text::shorten(&finding.sentence, 600)) } " "
            a href=(evidence_link(context, finding)) { "→ " (finding.kind) }
        }
    }
}

/// Returns the address of the page that shows the evidence: the page of the function, or the result of a statement.
fn evidence_link(context: &Context<'_>, finding: &Finding) -> String {
    match finding.kind {
        "died" | "stuck" | "growing" | "lost_rows" | "breaker_open" | "degraded" | "costly" => {
            context.links.to("/processes", &[("q", "")])
        }
        "exporter_behind" => context.links.to("/alerts", &[("q", "")]),
        _ if finding.subject.contains("::") => context.links.function(&finding.subject),
        _ => context.links.sql(&finding.evidence),
    }
}

fn show(context: &Context<'_>, finding: &Finding) -> Markup {
    let now = context.now_ns;
    html! {
        article.finding {
            (show_line(context, finding))
            p.note {
                "rests on " (text::cell(&finding.rests_on))
                @if let Some(since) = finding.since_ns { " · since " (units::format_time(since, now)) " UTC" }
                @if finding.saves_ns >= 1e6 { " · about " (units::format_duration(finding.saves_ns)) " within the span" }
                " · " a href=(context.links.sql(&finding.evidence)) { "rows" }
                " · next: " code { (text::cell(&finding.next.to_string())) }
            }
        }
    }
}
