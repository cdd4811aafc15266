//! `monitor findings`: what is worth knowing about a store, in sentences.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{answer, conclude, open_stores, print_heading_of, print_lines, print_note, require_known_in};
use crate::arguments::{Common, Findings, FormatName, Ignored, LevelName};
use crate::configuration;
use crate::format;
use crate::model::basis::Basis;
use crate::model::findings::{self, Finding, Level};
use crate::model::period::Period;
use crate::model::rows::ROWS_MAX;
use crate::pattern::Pattern;
use crate::report::{Column, Report};
use crate::store::Store;
use crate::stores::{Stores, store_column};
use crate::units::{self, format_duration, format_quantity};
use crate::{find, terminal};

/// The findings that are shown without `--all`.
const SHOWN: usize = 7;

pub(super) fn run(common: &Common, arguments: &Findings) -> Result<()> {
    let stores = open_stores(common)?;
    require_known_in(&stores, arguments.pattern.as_ref())?;
    let mut ignored = arguments.ignore.clone();
    ignored.extend(configuration::read_ignored()?);
    let is_wanted = |finding: &Finding| is_wanted(finding, arguments.pattern.as_ref(), &ignored);
    let gathered = gather(&stores, arguments.span.period(common), arguments.rows.or(ROWS_MAX), is_wanted)?;
    let verdict = judge(gathered.found.iter().map(|(finding, _)| finding), arguments.fail_on);
    conclude(print(common, arguments, &stores, &gathered), verdict)
}

/// Prints the findings, and what could not be looked for.
fn print(common: &Common, arguments: &Findings, stores: &Stores, gathered: &Gathered) -> Result<()> {
    let Gathered { found, unknown, basis } = gathered;
    let all = found.len();
    let shown = if arguments.all { all } else { SHOWN.min(all) };
    if common.format == FormatName::Table {
        print_heading_of(common, stores, &basis.describe());
        let mut text = String::new();
        for (finding, store) in &found[..shown] {
            write_finding(&mut text, finding, stores.are_several().then(|| stores.get_or_first(*store)))?;
        }
        if all == 0 {
            writeln!(text, "no findings")?;
        }
        print_lines(common, &text)?;
        for (unknown, store) in unknown {
            let of = if stores.are_several() { format!("{}: ", stores.label(*store)) } else { String::new() };
            print_note(common, &format!("{of}cannot tell {unknown}"));
        }
        if all > shown {
            print_note(common, &format!("… {} more: --all shows them", all - shown));
        }
        Ok(())
    } else {
        format::print(&build_report(stores, gathered, shown), common.style())
    }
}

/// The findings of all stores and what could not be looked for, each with the position of its store.
struct Gathered {
    found: Vec<(Finding, usize)>,
    unknown: Vec<(String, usize)>,
    basis: Basis,
}

/// Gathers the findings of each store, the most important of all stores first.
fn gather(
    stores: &Stores,
    period: Period,
    rows: usize,
    is_wanted: impl Fn(&Finding) -> bool,
) -> Result<Gathered> {
    let mut gathered = Gathered { found: Vec::new(), unknown: Vec::new(), basis: Basis::default() };
    for (at, store) in stores.list().into_iter().enumerate() {
        let facts = findings::gather(store, &find::list_ring_folders(), period, units::now_ns(), rows)?;
        let mut found = findings::find(&facts);
        found.findings.retain(|finding| is_wanted(finding));
        gathered.basis = if at == 0 { facts.basis } else { gathered.basis.joined(&facts.basis) };
        gathered.found.extend(found.findings.into_iter().map(|finding| (finding, at)));
        gathered.unknown.extend(found.unknown.into_iter().map(|unknown| (unknown, at)));
    }
    gathered.found.sort_by(|(a, _), (b, _)| findings::by_importance(a, b));
    Ok(gathered)
}

fn build_report(stores: &Stores, gathered: &Gathered, shown: usize) -> Report {
    let mut columns = list_columns();
    if stores.are_several() {
        columns.push(store_column());
    }
    let unknown =
        gathered.unknown.iter().map(|(unknown, store)| (build_cells(&cannot_tell(unknown)), *store));
    let found = gathered.found[..shown].iter().map(|(finding, store)| (build_cells(finding), *store));
    let rows = found.chain(unknown).map(|(mut cells, store)| {
        cells.extend(answer::basis_cells(&gathered.basis));
        if stores.are_several() {
            cells.push(stores.label(store).to_owned().into());
        }
        cells
    });
    let rows = rows.collect();
    Report { columns, rows }
}

/// Returns the findings of all stores within a span, the most important first, and what could not be looked for.
pub(super) fn list(stores: &Stores, period: Period) -> Result<(Vec<Finding>, Vec<String>)> {
    let ignored = configuration::read_ignored()?;
    let gathered = gather(stores, period, ROWS_MAX, |finding| is_wanted(finding, None, &ignored))?;
    let found = gathered.found.into_iter().map(|(finding, _)| finding);
    Ok((found.collect(), gathered.unknown.into_iter().map(|(unknown, _)| unknown).collect()))
}

fn is_wanted(finding: &Finding, pattern: Option<&Pattern>, ignored: &[Ignored]) -> bool {
    let is_of_pattern = pattern.is_none_or(|pattern| pattern.is_match(&finding.subject));
    let is_ignored = ignored.iter().any(|ignored| {
        ignored.kind == finding.kind
            && ignored.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&finding.subject))
    });
    is_of_pattern && !is_ignored
}

fn write_finding(text: &mut String, finding: &Finding, store: Option<&Store>) -> Result<()> {
    let escape = terminal::escape;
    let mark = if finding.is_estimated { "~ " } else { "" };
    writeln!(text, "{:<8}  {}: {mark}{}", finding.level.as_str(), finding.kind, escape(&finding.sentence))?;
    let now = units::now_ns();
    let mut basis = vec![format!("rests on {}", finding.rests_on)];
    if let Some(since) = finding.since_ns {
        basis.push(format!("since {} UTC", units::format_time(since, now)));
    }
    if finding.saves_ns >= 1e6 {
        basis.push(format!("about {} within the span", format_duration(finding.saves_ns)));
    }
    writeln!(text, "{:<10}{}", "", escape(&basis.join(" · ")))?;
    // Ids of calls are unique only within one store.
    let of_store =
        store.map(|store| format!(" --db {}", findings::quote_shell(&store.path().display().to_string())));
    let of_store = escape(of_store.as_deref().unwrap_or_default()).into_owned();
    writeln!(text, "{:<10}next: {}", "", escape(&finding.next.with_options(&of_store)))?;
    let evidence = findings::quote_shell(&finding.evidence);
    writeln!(text, "{:<10}rows: monitor sql {}{of_store}\n", "", escape(&evidence))?;
    Ok(())
}

/// Returns a row of data about kinds of findings that could not be looked for.
fn cannot_tell(unknown: &str) -> Finding {
    Finding {
        kind: "cannot_tell",
        level: Level::Info,
        subject: String::new(),
        sentence: format!("cannot tell {unknown}"),
        evidence: String::new(),
        since_ns: None,
        saves_ns: 0.0,
        rests_on: String::new(),
        is_estimated: false,
        next: "monitor sample".into(),
    }
}

pub(super) fn build_cells(finding: &Finding) -> Vec<crate::report::Cell> {
    vec![
        finding.level.as_str().to_owned().into(),
        finding.kind.to_owned().into(),
        finding.subject.clone().into(),
        finding.sentence.clone().into(),
        finding.saves_ns.into(),
        finding.since_ns.map_or(Value::Null, Value::from).into(),
        finding.rests_on.clone().into(),
        i64::from(finding.is_estimated).into(),
        finding.evidence.clone().into(),
        finding.next.to_string().into(),
    ]
}

pub(super) fn list_columns() -> Vec<Column> {
    use crate::report::Unit;
    let mut columns = vec![
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("kind", "KIND", Unit::Text),
        Column::data("subject"),
        Column::titled("sentence", "FINDING", Unit::Text),
        Column::titled("saves_ns", "SAVES", Unit::Nanoseconds),
        Column::data("since_ns"),
        Column::titled("rests_on", "RESTS ON", Unit::Text),
        Column::data("is_estimated"),
        Column::data("evidence"),
        Column::titled("next", "NEXT", Unit::Text),
    ];
    columns.extend(answer::basis_columns());
    columns
}

/// Fails if there is a finding of a level that is a failure.
fn judge<'a>(findings: impl Iterator<Item = &'a Finding>, fail_on: Option<LevelName>) -> Result<()> {
    let Some(level) = fail_on else { return Ok(()) };
    let level = match level {
        LevelName::Info => Level::Info,
        LevelName::Warning => Level::Warning,
        LevelName::Critical => Level::Critical,
    };
    let count = findings.filter(|finding| finding.level >= level).count();
    if count == 0 {
        return Ok(());
    }
    bail!("{} of the level {} or higher", format_quantity(count, "finding", "findings"), level.as_str())
}
