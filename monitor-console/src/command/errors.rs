//! `monitor errors`: kinds of failure, the most frequent first. Counts are exact, because a failure is
//! counted even if it has no row of its own.
//!
//! A failure is reported once, under the function where it began. Kinds of which no failure began in their own function
//! are left out unless `--all` asks for them; they come after the others.
//!
//! With `--since` a kind that was seen before the span is counted from the rows of failed calls. That is exact too,
//! unless failures came too fast for rows of their own, or their rows are past retention: such a count is a lower
//! bound, and marked.

use std::fmt::Write as _;

use anyhow::Result;

use super::{
    describe_absence, open_stores, print_failures, print_heading_of, print_lines, print_note,
    require_known_in,
};
use crate::arguments::{Common, Errors, FormatName};
use crate::format;
use crate::model::failures::{self, Bounds, Kind, Question};
use crate::model::last_lines;
use crate::model::period::Period;
use crate::model::scope::Scope;
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::sparkline;
use crate::store::Store;
use crate::stores::{Stores, store_column};
use crate::terminal;
use crate::units::{self, format_quantity};

/// The parts of the span that a trend shows.
const TREND_PARTS: usize = 12;

/// The number of kinds, from the first on, below which the last log lines of their latest call are printed.
const KINDS_WITH_LINES: usize = 10;

/// The kinds that a table shows without `--limit`: two screens full.
const KINDS_SHOWN: usize = 50;

pub(super) fn run(common: &Common, arguments: &Errors) -> Result<()> {
    let stores = open_stores(common)?;
    let period = Period::select(common.since, None, None);
    // Data have no trend, and without one most spans need no rows.
    let parts = if common.format == FormatName::Table { TREND_PARTS } else { 0 };
    let mut kinds = read(&stores, period, arguments.pattern.as_ref(), parts)?;
    let passed_on = kinds.iter().filter(|(kind, _)| kind.is_passed_on()).count();
    if !arguments.all {
        kinds.retain(|(kind, _)| !kind.is_passed_on());
    }
    let number = kinds.len();
    if number + passed_on == 0 {
        require_known_in(&stores, arguments.pattern.as_ref())?;
    }
    let title = match number {
        0 => format!("no failures{}", describe_absence(common, &stores.list())?),
        number => format_quantity(number, "kind of failure", "kinds of failure"),
    };
    print_heading_of(common, &stores, &title);
    let by_default = if common.format == FormatName::Table { KINDS_SHOWN } else { usize::MAX };
    let limit = arguments.limit.map_or(by_default, |limit| limit as usize);
    kinds.truncate(limit);
    format::print(&build_report(&stores, &kinds), common.style())?;
    if common.format == FormatName::Table {
        print_said(common, &stores, &kinds)?;
    }
    if number > limit && arguments.limit.is_none() {
        print_note(common, &format!("… {} more: --limit {number} shows them", number - limit));
    }
    if passed_on > 0 && !arguments.all {
        let kinds = format_quantity(passed_on, "kind was", "kinds were");
        print_note(common, &format!("{kinds} only passed on by callers: --all shows them"));
    }
    if kinds.iter().any(|(kind, _)| kind.is_lower_bound) {
        print_note(
            common,
            "~ at least so many: failures without a row of their own are not told apart by time",
        );
    }
    Ok(())
}

/// A kind, and the position of its store.
type Found = (Kind, usize);

/// Reads the kinds of failure of all stores. A note reports a store that cannot be read, unless none can.
fn read(stores: &Stores, period: Period, pattern: Option<&Pattern>, parts: usize) -> Result<Vec<Found>> {
    let (answers, failures) = stores.read_each(|store| read_store(store, period, pattern, parts))?;
    print_failures(&failures);
    let mut found: Vec<Found> = Vec::new();
    for (position, kinds) in answers {
        found.extend(kinds.into_iter().map(|kind| (kind, position)));
    }
    found.sort_by_key(|(kind, _)| kind.rank());
    Ok(found)
}

fn read_store(store: &Store, period: Period, pattern: Option<&Pattern>, parts: usize) -> Result<Vec<Kind>> {
    let scope = Scope { period, processes: None };
    let now_ns = units::now_ns();
    let question = Question { scope: &scope, pattern, parts, bounds: Bounds::NONE, now_ns };
    Ok(failures::read(store, question)?.kinds)
}

/// Prints, for each of the first kinds, the last log lines that its latest call wrote before it failed.
fn print_said(common: &Common, stores: &Stores, kinds: &[Found]) -> Result<()> {
    let mut text = String::new();
    for (kind, position) in kinds.iter().take(KINDS_WITH_LINES) {
        let Some(call_id) = kind.example else { continue };
        let lines = last_lines::find(stores.get_or_first(*position), call_id, last_lines::SHOWN)?;
        if lines.is_empty() {
            continue;
        }
        writeln!(text, "\ncall {call_id} of {} said last:", terminal::escape(&kind.function))?;
        for line in &lines {
            writeln!(text, "  {}", super::logs::describe(line))?;
        }
    }
    print_lines(common, &text)
}

/// Reads the kinds of failure of a span, at their origin.
pub(super) fn read_report(stores: &Stores, period: Period) -> Result<Report> {
    let mut kinds = read(stores, period, None, TREND_PARTS)?;
    kinds.retain(|(kind, _)| !kind.is_passed_on());
    Ok(build_report(stores, &kinds))
}

/// Prints all kinds of failure of a store without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let mut kinds = read_store(store, Period::select(common.since, None, None), None, TREND_PARTS)?;
    kinds.retain(|kind| !kind.is_passed_on());
    let report = Report { columns: list_columns(), rows: kinds.iter().map(build_row).collect() };
    format::print(&report, common.style())
}

fn build_report(stores: &Stores, kinds: &[Found]) -> Report {
    let mut columns = list_columns();
    let mut rows: Vec<_> = kinds.iter().map(|(kind, _)| build_row(kind)).collect();
    if stores.are_several() {
        columns.push(store_column());
        for (row, (_, position)) in rows.iter_mut().zip(kinds) {
            row.push(stores.label(*position).to_owned().into());
        }
    }
    Report { columns, rows }
}

/// Returns the cells of a kind: those of data, and those of the table.
fn build_row(kind: &Kind) -> Vec<Cell> {
    let count = Cell::estimate_if(kind.is_lower_bound, kind.count);
    let roots = Cell::estimate_if(kind.are_roots_lower_bound, kind.roots);
    let path = kind.path.as_ref().map(|path| format!("  ⟨{path}⟩")).unwrap_or_default();
    vec![
        kind.fingerprint.into(),
        kind.function.clone().into(),
        kind.outcome.clone().into(),
        kind.message.clone().into(),
        count.clone(),
        kind.first_ns.into(),
        kind.last_ns.into(),
        kind.example.into(),
        kind.error_type.clone().into(),
        kind.origins.into(),
        roots.clone(),
        kind.path.clone().into(),
        count,
        roots,
        sparkline::draw_counts(&kind.course).into(),
        kind.outcome.clone().into(),
        kind.function.clone().into(),
        kind.last_ns.into(),
        kind.first_ns.into(),
        kind.example.into(),
        format!("{}{path}", kind.message).into(),
    ]
}

fn list_columns() -> Vec<Column> {
    let data = [
        "fingerprint",
        "function",
        "outcome",
        "message",
        "count",
        "first_ns",
        "last_ns",
        "example_call_id",
        "error_type",
        "origin_count",
        "root_count",
        "path",
    ];
    let table = [
        Column::table("COUNT", Unit::Count),
        Column::table("REQUESTS", Unit::Count),
        Column::table("TREND", Unit::Text),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("FUNCTION", Unit::Name),
        Column::table("LAST", Unit::Age),
        Column::table("FIRST", Unit::Age),
        Column::table("EXAMPLE", Unit::Number),
        Column::table("MESSAGE", Unit::Text),
    ];
    data.into_iter().map(Column::data).chain(table).collect()
}
