//! `monitor errors`: kinds of failure, the most frequent first. Counts are exact, because a failure is
//! counted even if it has no row of its own.
//!
//! A failure is reported once, under the function where it began. Kinds of which no failure began in their own function
//! are left out unless `--all` asks for them; they come after the others.
//!
//! With `--since` a kind that was seen before the span is counted from the rows of failed calls. That is exact too,
//! unless failures came too fast for rows of their own, or their rows are past retention: such a count is a lower
//! bound, and marked.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::Result;
use rusqlite::types::Value;

use super::{
    calls, describe_absence, open_stores, print_failures, print_heading_of, print_lines, print_note,
    require_known_in,
};
use crate::arguments::{Common, Errors, FormatName};
use crate::format;
use crate::model::period::Period;
use crate::model::{failures, last_lines};
use crate::pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::Stores;
use crate::terminal;
use crate::units::{self, format_quantity};

const GROUPS: &str = "
SELECT fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id, {error_type},
  {origin_count} AS origins, {root_count}, {path},
  count, {root_count}, NULL, outcome, function, last_ns, first_ns, example_call_id,
  message || COALESCE('  ⟨' || {path} || '⟩', '')
FROM error_groups
WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3 AND first_ns <= ?4
ORDER BY origins = 0, count DESC, last_ns DESC";

/// The positions of cells in a row of [`GROUPS`]; pairs are a cell of data and a cell of the table.
const FUNCTION: usize = 1;
const OUTCOME: usize = 2;
const MESSAGE: usize = 3;
const FIRST: usize = 5;
const LAST: [usize; 2] = [6, 17];
const ORIGINS: usize = 9;
const COUNTS: [usize; 2] = [4, 12];
const EXAMPLES: [usize; 2] = [7, 19];
const ROOTS: [usize; 2] = [10, 13];
const TREND: usize = 14;

/// The parts of the span that a trend shows.
const TREND_PARTS: usize = 12;

/// The number of kinds, from the first on, below which the last log lines of their latest call are printed.
const KINDS_WITH_LINES: usize = 10;

/// The kinds that a table shows without `--limit`: two screens full.
const KINDS_SHOWN: usize = 50;

pub(super) fn run(common: &Common, arguments: &Errors) -> Result<()> {
    let stores = open_stores(common)?;
    let period = Period::select(common.since, None, None);
    let (mut report, failures) = stores.join(|store| {
        let mut report = read_groups(period, store, arguments)?;
        if common.format == FormatName::Table {
            draw_trends(period, store, &mut report.rows)?;
        }
        Ok(report)
    })?;
    print_failures(&failures);
    sort(&mut report.rows);
    let passed_on = report.rows.iter().filter(|row| !is_origin(row)).count();
    if !arguments.all {
        report.rows.retain(|row| is_origin(row));
    }
    let kinds = report.rows.len();
    if kinds + passed_on == 0 {
        require_known_in(&stores, arguments.pattern.as_ref())?;
    }
    let title = match kinds {
        0 => format!("no failures{}", describe_absence(common, &stores.list())?),
        kinds => format_quantity(kinds, "kind of failure", "kinds of failure"),
    };
    print_heading_of(common, &stores, &title);
    let by_default = if common.format == FormatName::Table { KINDS_SHOWN } else { usize::MAX };
    let limit = arguments.limit.map_or(by_default, |limit| limit as usize);
    report.rows.truncate(limit);
    format::print(&report, common.style())?;
    if common.format == FormatName::Table {
        print_said(common, &stores, &report)?;
    }
    if kinds > limit && arguments.limit.is_none() {
        print_note(common, &format!("… {} more: --limit {kinds} shows them", kinds - limit));
    }
    if passed_on > 0 && !arguments.all {
        let kinds = format_quantity(passed_on, "kind was", "kinds were");
        print_note(common, &format!("{kinds} only passed on by callers: --all shows them"));
    }
    if report.rows.iter().any(|row| row[COUNTS[1]].is_estimate) {
        print_note(
            common,
            "~ at least so many: failures without a row of their own are not told apart by time",
        );
    }
    Ok(())
}

/// Prints, for each of the first kinds, the last log lines that its latest call wrote before it failed.
fn print_said(common: &Common, stores: &Stores, report: &Report) -> Result<()> {
    let mut text = String::new();
    for row in report.rows.iter().take(KINDS_WITH_LINES) {
        let label = row.last().and_then(Cell::as_text).unwrap_or_default();
        let (Some(store), Some(call_id)) = (stores.find(label), row[EXAMPLES[0]].to_integer()) else {
            continue;
        };
        let lines = last_lines::find(store, call_id, last_lines::SHOWN)?;
        if lines.is_empty() {
            continue;
        }
        let function = row[FUNCTION].as_text().unwrap_or_default();
        writeln!(text, "\ncall {call_id} of {} said last:", terminal::escape(function))?;
        for line in &lines {
            writeln!(text, "  {}", super::logs::describe(line))?;
        }
    }
    print_lines(common, &text)
}

/// Reads the kinds of failure of a span, at their origin.
pub(super) fn read_report(stores: &Stores, period: Period) -> Result<Report> {
    let arguments = Errors { pattern: None, limit: None, all: false };
    let (mut report, failures) = stores.join(|store| {
        let mut report = read_groups(period, store, &arguments)?;
        report.rows.retain(|row| is_origin(row));
        draw_trends(period, store, &mut report.rows)?;
        Ok(report)
    })?;
    print_failures(&failures);
    sort(&mut report.rows);
    Ok(report)
}

/// Prints all kinds of failure of a store without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let period = Period::select(common.since, None, None);
    let mut report = read_groups(period, store, &Errors { pattern: None, limit: None, all: false })?;
    report.rows.retain(|row| is_origin(row));
    draw_trends(period, store, &mut report.rows)?;
    format::print(&report, common.style())
}

fn read_groups(period: Period, store: &Store, arguments: &Errors) -> Result<Report> {
    let [whole, ending] = pattern::to_optional_globs(arguments.pattern.as_ref());
    let mut sql = GROUPS.to_owned();
    // An older store does not mark failures that were passed on, so each kind counts as an origin there.
    let is_new = store.has_span_blocks()?;
    for (column, in_older) in
        [("error_type", "NULL"), ("origin_count", "count"), ("root_count", "NULL"), ("path", "NULL")]
    {
        sql = sql.replace(&format!("{{{column}}}"), if is_new { column } else { in_older });
    }
    let bounds = (whole, ending, period.from_ns, period.until_ns);
    let mut report = store.read_report(list_columns(), &sql, bounds)?;
    if report.rows.iter().any(|row| !is_within(row, period)) {
        count_within(store, period, &mut report.rows)?;
    }
    Ok(report)
}

/// Returns true if some failure of the kind began in its own function, and was not only passed on.
fn is_origin(group: &[Cell]) -> bool {
    group[ORIGINS].to_integer() != Some(0)
}

/// Returns true if all failures of the kind lie within the span.
fn is_within(group: &[Cell], period: Period) -> bool {
    [FIRST, LAST[0]].iter().all(|at| group[*at].to_integer().is_none_or(|seen_ns| period.holds(seen_ns)))
}

/// Returns true if the first or the last failure of the kind lies within the span, so the span has at least one.
fn has_end_within(group: &[Cell], period: Period) -> bool {
    [FIRST, LAST[0]].iter().any(|at| group[*at].to_integer().is_none_or(|seen_ns| period.holds(seen_ns)))
}

/// The function, outcome and message that identify a kind of failure.
type Kind = [String; 3];

fn read_kind(group: &[Cell]) -> Kind {
    [FUNCTION, OUTCOME, MESSAGE].map(|at| group[at].as_text().unwrap_or_default().to_owned())
}

/// Replaces the counts of kinds that reach beyond the span by those within it, most frequent first, and removes the
/// kinds without a failure in it. The last failure and the example of a kind that goes on after the span are those of
/// the rows within it.
fn count_within(store: &Store, period: Period, groups: &mut Vec<Vec<Cell>>) -> Result<()> {
    let rows = count_rows(store, period)?;
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for group in groups.iter() {
        *kinds.entry(read_kind(group)).or_default() += 1;
    }
    // Past the bound on kinds, the store counts the other failures of a function and outcome under one kind.
    let count_others = |function: &str, outcome: &str| -> i64 {
        let is_other = |kind: &Kind| kind[0] == function && kind[1] == outcome && !kinds.contains_key(kind);
        rows.iter().filter(|(kind, _)| is_other(kind)).map(|(_, counted)| counted.failures).sum()
    };
    let is_partial = failures::lacks_rows(store, period.from_ns)?;
    let roots = count_roots(store, period)?;
    groups.retain_mut(|group| {
        if is_within(group, period) {
            return true;
        }
        let is_known = has_end_within(group, period);
        let kind = read_kind(group);
        let [function, outcome, message] = &kind;
        let counted = rows.get(&kind).copied().unwrap_or_default();
        let own = counted.failures;
        let others = if message == "other" { count_others(function, outcome) } else { 0 };
        let count = own + others;
        // Rows do not hold the type of their error, so kinds that differ in nothing else share their rows.
        let is_shared = kinds.get(&kind).is_some_and(|groups| *groups > 1);
        for at in COUNTS {
            let count = count.max(1);
            group[at] = if is_partial || is_shared { Cell::estimate(count) } else { count.into() };
        }
        let roots = roots.get(&kind).copied().unwrap_or(0);
        for at in ROOTS {
            group[at] = if is_partial { Cell::estimate(roots) } else { roots.into() };
        }
        if group[LAST[0]].to_integer().is_some_and(|last_ns| last_ns > period.until_ns) {
            let (last, example) = match counted.failures {
                0 => (Cell::from(Value::Null), Cell::from(Value::Null)),
                _ => (counted.last_ns.into(), counted.example.into()),
            };
            for at in LAST {
                group[at] = last.clone();
            }
            for at in EXAMPLES {
                group[at] = example.clone();
            }
        }
        count > 0 || (is_partial && is_known)
    });
    sort(groups);
    Ok(())
}

/// Sorts kinds: those that began in their own function first, and among these the most frequent first.
fn sort(groups: &mut [Vec<Cell>]) {
    groups.sort_by_key(|group| (!is_origin(group), std::cmp::Reverse(group[COUNTS[0]].to_integer())));
}

/// The failures of a kind that have rows within the span.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    failures: i64,
    /// The start and the id of the call that failed last.
    last_ns: i64,
    example: i64,
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.failures += other.failures;
        (self.last_ns, self.example) = (self.last_ns, self.example).max((other.last_ns, other.example));
    }
}

/// Counts the rows of calls that failed within the span, by kind.
fn count_rows(store: &Store, period: Period) -> Result<HashMap<Kind, Counted>> {
    let mut by_text: HashMap<Kind, Counted> = HashMap::new();
    read_failures(store, period, |failure| {
        let one = Counted { failures: 1, last_ns: failure.start_ns, example: failure.call_id };
        by_text.entry(failure.text).or_default().add(one);
    })?;
    let mut by_kind: HashMap<Kind, Counted> = HashMap::new();
    for (text, counted) in by_text {
        by_kind.entry(to_kind(text)).or_default().add(counted);
    }
    Ok(by_kind)
}

/// Counts the roots that failed within the span, by the kind of the failure that made them fail.
fn count_roots(store: &Store, period: Period) -> Result<HashMap<Kind, i64>> {
    let mut texts: Vec<Kind> = Vec::new();
    let mut by_text: HashMap<Kind, usize> = HashMap::new();
    // For each failed call, by process and span: the text of its failure, and the span of the callee that the failure
    // came from.
    let mut failures: HashMap<(i64, i64), (usize, Option<i64>)> = HashMap::new();
    let mut roots = Vec::new();
    read_failures(store, period, |failure| {
        let text = *by_text.entry(failure.text.clone()).or_insert_with(|| {
            texts.push(failure.text);
            texts.len() - 1
        });
        failures.insert((failure.process_id, failure.span_id), (text, failure.caused_by));
        if failure.is_root {
            roots.push((failure.process_id, failure.span_id));
        }
    })?;
    let mut counts: HashMap<Kind, i64> = HashMap::new();
    for (process, root) in roots {
        let mut origin = failures.get(&(process, root)).copied();
        // A tampered store may hold a cycle of causes, so their number is bounded.
        for _ in 0..CAUSES_FOLLOWED_MAX {
            let below = origin.and_then(|(_, cause)| failures.get(&(process, cause?)).copied());
            match below {
                Some(below) => origin = Some(below),
                None => break,
            }
        }
        if let Some((text, _)) = origin {
            *counts.entry(to_kind(texts[text].clone())).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The most causes that are followed from one failed call. In a deeper chain of calls the failure counts under the last
/// call that was reached.
const CAUSES_FOLLOWED_MAX: usize = 1000;

/// Fills in the trends: for each kind its failures in each part of the span, as bars.
fn draw_trends(period: Period, store: &Store, groups: &mut [Vec<Cell>]) -> Result<()> {
    let first = groups.iter().filter_map(|group| group[FIRST].to_integer()).min().unwrap_or(0);
    let since = period.from_ns.max(first);
    let until = period.until_ns.min(units::now_ns());
    let part_ns = (until.saturating_sub(since) / i64::try_from(TREND_PARTS).unwrap_or(1)).max(1);
    let mut by_text: HashMap<Kind, [i64; TREND_PARTS]> = HashMap::new();
    read_failures(store, period, |failure| {
        let part = usize::try_from(failure.start_ns.saturating_sub(since) / part_ns).unwrap_or(0);
        by_text.entry(failure.text).or_default()[part.min(TREND_PARTS - 1)] += 1;
    })?;
    let mut by_kind: HashMap<Kind, [i64; TREND_PARTS]> = HashMap::new();
    for (text, counts) in by_text {
        let sums = by_kind.entry(to_kind(text)).or_default();
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    for group in groups {
        let counts = by_kind.get(&read_kind(group)).copied().unwrap_or_default();
        group[TREND] = draw_trend(&counts).into();
    }
    Ok(())
}

/// Draws counts as bars, the highest of them for the largest count: `▁▁▃█▂`. A part without a failure is a dot.
fn draw_trend(counts: &[i64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: i64| match count {
        0 => '·',
        count => BARS[usize::try_from((count * 8 - 1) / most).unwrap_or(0).min(7)],
    };
    counts.iter().copied().map(bar).collect()
}

/// The row of a failed call.
struct Failure {
    /// Function, outcome and the text of the error.
    text: Kind,
    call_id: i64,
    start_ns: i64,
    span_id: i64,
    caused_by: Option<i64>,
    is_root: bool,
    process_id: i64,
}

/// Reads the rows of calls that failed within the span.
fn read_failures(store: &Store, period: Period, mut found: impl FnMut(Failure)) -> Result<()> {
    let sql = format!(
        "SELECT function, outcome, error, start_ns, span_id, {}, parent_id, process_id, call_id FROM errors
         WHERE call_id >= {} AND start_ns BETWEEN :since AND :until",
        if store.has_span_blocks()? { "caused_by" } else { "NULL" },
        calls::FIRST_SINCE
    );
    // Rows that lie later than the latest time of any span were written while a clock was wrong.
    let until = period.until_ns.min(units::end_of_span());
    store.read_rows(&sql, &[(":since", &period.from_ns), (":until", &until)], |row| {
        let cells = crate::report::read_cells(row, 9)?;
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        let number = |at: usize| cells[at].to_integer();
        let outcome = text(1).unwrap_or_default();
        let error = text(2).unwrap_or_else(|| outcome.clone());
        found(Failure {
            text: [text(0).unwrap_or_default(), outcome, error],
            start_ns: number(3).unwrap_or_default(),
            span_id: number(4).unwrap_or_default(),
            caused_by: number(5),
            is_root: cells[6].is_null(),
            process_id: number(7).unwrap_or_default(),
            call_id: number(8).unwrap_or_default(),
        });
        Ok(())
    })
}

/// Returns the kind of failures with this text.
fn to_kind([function, outcome, error]: Kind) -> Kind {
    let message = failures::message_kind(&outcome, Some(&error));
    [function, outcome, message]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_shows_where_failures_were_and_where_none() {
        assert_eq!(draw_trend(&[0, 1, 8, 4]), "·▁█▄");
        assert_eq!(draw_trend(&[0; 3]), "···");
        assert_eq!(draw_trend(&[1, 1]), "██");
    }
}
