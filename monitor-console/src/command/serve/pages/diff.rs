//! The page of differences: it lists the functions that got slower, got faster or fail more often between two sides.

use anyhow::Result;
use maud::{Markup, html};

use super::super::address::path_of;
use super::super::app::{Context, PAGE_TIME, Page, Refusal};
use super::super::command::CommandLine;
use super::super::table::{self, Frame};
use super::super::text;
use super::{cut, panel};
use crate::command::diff;
use crate::model::compare::{self, Change, Side, SideName, Verdict};
use crate::model::edges;
use crate::model::period::Period;
use crate::model::processes;
use crate::model::schema;
use crate::report::Report;
use crate::store::Store;
use crate::{terminal, units};

/// The least change of a typical duration that matters.
const CHANGE_MIN: f64 = 0.1;
/// The ratio at the ends of the picture of an interval.
const RATIO_SHOWN: f64 = 4.0;
/// The most suggestions for a side.
const SUGGESTIONS_MAX: usize = 30;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let end = super::functions::end_of_courses(context);
    let named = [read_side_name(context, "before")?, read_side_name(context, "after")?];
    let unnamed = Period::earlier_and_recent(end);
    let [before, after] =
        SideName::complete(named.each_ref().map(Option::as_ref), unnamed, end).map_err(Refusal::wrong)?;
    let command = command_line(context, [&before, &after], end);
    let mut page = Page {
        title: "Diff".to_owned(),
        sql: Some(schema::select("latency", Some("start_ns"), &context.scope, &[], "ORDER BY start_ns DESC")),
        command,
        ..Page::default()
    };
    let form = show_form(context)?;
    let read = || Ok([read_side(context, &before)?, read_side(context, &after)?]);
    let Some([first, second]) = context.read_within(PAGE_TIME, read)? else {
        page.main = html! { h1 { "Diff" } (panel("sides", "Two sides", &html! { (form) (cut()) })) };
        return Ok(page);
    };
    let mut changes = compare::compare(&first, &second, CHANGE_MIN);
    compare::trace_causes(&mut changes, [&first, &second], &edges::read_pairs(&context.store)?);
    compare::add_intervals(&mut changes, [&first, &second]);
    changes.sort_by_key(|change| (change.verdict, change.is_passed_on));
    let sentence = diff::describe(&changes, [&first, &second]);
    let report = build_report(&changes, [&first, &second]);
    page.data.insert("sentence".to_owned(), sentence.clone().into());
    page.data.insert("changes".to_owned(), table::to_json(&report));
    let content = html! {
        p.lead { (text::shorten(&sentence, 1000)) }
        (show(context, &changes, &report))
    };
    page.main = html! {
        h1 { "Diff" }
        (panel("sides", "Two sides", &form))
        (panel("changes", "What changed", &content))
    };
    Ok(page)
}

/// Returns the command that compares the same sides. Without sides the command compares the last ten minutes, so sides
/// that end at an older last write are named. The span narrows sides that are no spans; the command has no option for
/// its end.
fn command_line(context: &Context<'_>, sides: [&SideName; 2], end_ns: i64) -> String {
    let mut line = CommandLine::new(context, "diff").pattern().flag("--all", true);
    let is_span = |side: &&SideName| matches!(side, SideName::Span(_));
    let chosen = ["before", "after"].map(|name| context.parameters.text(name));
    if chosen != [None, None] || end_ns != context.now_ns {
        for (option, (side, chosen)) in ["--before", "--after"].into_iter().zip(sides.iter().zip(chosen)) {
            line = match (side, chosen) {
                (SideName::Store(path), _) => line.option(option, &path.to_string_lossy()),
                (SideName::Span(span), None) => {
                    line.option(option, &[span.from_ns, span.until_ns].map(units::format_moment).join(".."))
                }
                (_, chosen) => line.option(option, chosen.unwrap_or_default()),
            };
        }
    }
    match sides.iter().filter(|side| is_span(side)).count() {
        2 => line.finish(),
        0 => line.since().finish(),
        _ => line.only_if(context.scope.period.is_whole()).finish(),
    }
}

/// Reads the name of a side. A store is named by the name under which it is served, because no address names a file.
fn read_side_name(context: &Context<'_>, name: &str) -> Result<Option<SideName>> {
    let Some(text) = context.parameters.text(name) else { return Ok(None) };
    if let Some(served) = context.app.stores().iter().find(|served| served.name == text) {
        return Ok(Some(SideName::Store(served.path_in_use())));
    }
    match context.parameters.read(name, str::parse::<SideName>)? {
        Some(SideName::Store(_)) => {
            let names: Vec<_> = context.app.stores().iter().map(|store| store.name.as_str()).collect();
            Err(Refusal::wrong(format!("`{name}` names no store that is served: {}", names.join(", "))))
        }
        side => Ok(side),
    }
}

fn read_side(context: &Context<'_>, name: &SideName) -> Result<Side> {
    let pattern = context.pattern.as_ref();
    let read = |store: &Store| Side::read(store, name, context.scope.period, pattern);
    match name {
        SideName::Store(path) if path != context.store.path() => {
            let store = Store::open(path)?;
            store.spare_process();
            read(&store)
        }
        _ => read(&context.store),
    }
    .map_err(|error| {
        // A build or a run that is not there is the reader's mistake; a store that cannot be read is not.
        if matches!(name, SideName::Build(_) | SideName::Version(_) | SideName::Process(_))
            && error.downcast_ref::<crate::store::Stopped>().is_none()
        {
            Refusal::wrong(format!("{error:#}"))
        } else {
            error
        }
    })
}

fn show_form(context: &Context<'_>) -> Result<Markup> {
    let mut suggestions: Vec<String> = vec!["1h10m..10m".to_owned(), "10m..".to_owned()];
    suggestions.extend(
        context
            .app
            .stores()
            .iter()
            .map(|store| store.name.clone())
            .filter(|_| context.app.stores().len() > 1),
    );
    for process in processes::read_identities(&context.store)? {
        suggestions.extend(process.build.map(|build| format!("build:{build}")));
        suggestions.extend(process.program_version.map(|version| format!("version:{version}")));
        suggestions.push(format!("process:{}", process.process_id));
    }
    let mut seen = std::collections::HashSet::new();
    // A form cannot send control or invisible characters unchanged, so names with them are left out.
    suggestions.retain(|text| !text.contains(terminal::is_unsafe) && seen.insert(text.clone()));
    suggestions.truncate(SUGGESTIONS_MAX);
    let value = |name: &str| context.parameters.text(name).unwrap_or_default().to_owned();
    Ok(html! {
        form.box method="get" action=(path_of(&context.links.here(&[]))) {
            (context.links.fields_here(&["before", "after"]))
            label { span.label { "before" } input name="before" list="suggestions" size="24" value=(value("before")) placeholder="1h10m..10m"; }
            label { span.label { "after" } input name="after" list="suggestions" size="24" value=(value("after")) placeholder="10m.."; }
            datalist #suggestions { @for text in &suggestions { option value=(text) {} } }
            button { "Compare" }
            span.hint { "a side is a span (1h..30m, 14:00..14:30), build:, version:, process:, or a store" }
        }
    })
}

fn build_report(changes: &[Change], sides: [&Side; 2]) -> Report {
    let mut columns = diff::list_columns();
    // The last four columns are the basis of the answer, which the page shows once.
    columns.truncate(columns.len().saturating_sub(4));
    Report { columns, rows: changes.iter().map(|change| diff::build_cells(change, sides)).collect() }
}

fn show(context: &Context<'_>, changes: &[Change], report: &Report) -> Markup {
    let cell = |row: usize, column: &str| {
        let change = changes.get(row)?;
        match column {
            "function" => Some(
                html! { a href=(context.links.function(&change.function)) { (text::function(&change.function)) } },
            ),
            "verdict" => {
                let class = match change.verdict {
                    Verdict::Slower | Verdict::FailsMore => "bad",
                    Verdict::Faster | Verdict::FailsLess => "good",
                    _ => "dim",
                };
                let verdict = report.rows[row][0].to_plain_text();
                Some(html! { span class=(class) { (verdict) } })
            }
            "CHANGE (95 %)" => {
                let at = report.columns.iter().position(|known| known.title.as_deref() == Some(column))?;
                Some(html! { (draw_interval(change)) " " (report.rows[row][at].to_plain_text()) })
            }
            _ => None,
        }
    };
    let empty = "no function has windows on either side";
    table::show(
        report,
        &Frame { caption: "functions and how they changed", cell: &cell, empty, ..Frame::default() },
    )
}

/// Draws the interval of a ratio around 1, on a logarithmic scale.
fn draw_interval(change: &Change) -> Markup {
    let place =
        |ratio: f64| ((ratio.max(1e-9).ln() / RATIO_SHOWN.ln()).clamp(-1.0, 1.0) * 40.0 + 45.0).round();
    let (low, high) = change.interval;
    if !(low.is_finite() && high.is_finite() && change.ratio.is_finite()) || change.ratio <= 0.0 {
        return html! {};
    }
    html! {
        svg.interval viewBox="0 0 90 12" width="90" height="12" aria-hidden="true" {
            line.grid x1="45" x2="45" y1="0" y2="12" {}
            line x1=(place(low)) x2=(place(high)) y1="6" y2="6" {}
            circle cx=(place(change.ratio)) cy="6" r="2.5" {}
        }
    }
}
