//! `monitor errors`: kinds of failure, the most frequent first. Counts are exact, because a failure is
//! counted even if it has no row of its own.
//!
//! With `--since` a kind that was seen before the span is counted from the rows of failed calls. That is exact too,
//! unless failures came too fast for rows of their own, or their rows are past retention: such a count is a lower
//! bound, and marked.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::record::Outcome;
use monitor_runtime::store::fingerprint;

use super::{calls, open_store, print_heading, print_note, require_known};
use crate::arguments::{Common, Errors, FormatName};
use crate::format;
use crate::pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

const GROUPS: &str = "
SELECT fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id, {error_type},
  count, outcome, function, last_ns, first_ns, example_call_id, message
FROM error_groups
WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3 AND first_ns <= ?4
ORDER BY count DESC, last_ns DESC";

/// The positions of cells in a row of [`GROUPS`]; the count is a cell of data and one of the table.
const FUNCTION: usize = 1;
const OUTCOME: usize = 2;
const MESSAGE: usize = 3;
const FIRST: usize = 5;
const COUNTS: [usize; 2] = [4, 9];

/// The kinds that a table shows without `--limit`: two screens full.
const KINDS_SHOWN: usize = 50;

pub(super) fn run(common: &Common, arguments: &Errors) -> Result<()> {
    let store = open_store(common)?;
    let mut report = read_groups(common, &store, arguments)?;
    let kinds = report.rows.len();
    if kinds == 0 {
        require_known(&store, arguments.pattern.as_ref())?;
    }
    let title = match kinds {
        0 => "no failures".to_owned(),
        kinds => format_quantity(kinds, "kind of failure", "kinds of failure"),
    };
    print_heading(common, &store, &title);
    let by_default = if common.format == FormatName::Table { KINDS_SHOWN } else { usize::MAX };
    let limit = arguments.limit.map_or(by_default, |limit| limit as usize);
    report.rows.truncate(limit);
    format::print(&report, common.style())?;
    if kinds > limit && arguments.limit.is_none() {
        print_note(common, &format!("… {} more: --limit {kinds} shows them", kinds - limit));
    }
    if report.rows.iter().any(|row| row[COUNTS[1]].is_estimate) {
        print_note(
            common,
            "~ at least so many: failures without a row of their own are not told apart by time",
        );
    }
    Ok(())
}

/// Prints all kinds of failure of a store without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let report = read_groups(common, store, &Errors { pattern: None, limit: None })?;
    format::print(&report, common.style())
}

fn read_groups(common: &Common, store: &Store, arguments: &Errors) -> Result<Report> {
    let [whole, ending] = pattern::to_optional_globs(arguments.pattern.as_ref());
    let since = units::start_of_span(common.since);
    let until = if common.since.is_some() { units::end_of_span() } else { i64::MAX };
    let error_type = if store.has_span_blocks()? { "error_type" } else { "NULL" };
    let sql = GROUPS.replace("{error_type}", error_type);
    let mut report = store.read_report(list_columns(), &sql, (whole, ending, since, until))?;
    if common.since.is_some() && report.rows.iter().any(|row| is_older(row, since)) {
        count_within(store, since, &mut report.rows)?;
    }
    Ok(report)
}

/// Returns true if the kind was first seen before the span.
fn is_older(group: &[Cell], since: i64) -> bool {
    group[FIRST].to_integer().is_some_and(|first| first < since)
}

/// Function, outcome and message, which make a kind.
type Kind = [String; 3];

fn read_kind(group: &[Cell]) -> Kind {
    [FUNCTION, OUTCOME, MESSAGE].map(|at| group[at].as_text().unwrap_or_default().to_owned())
}

/// Replaces the counts of kinds that are older than the span by those within it, most frequent first, and removes
/// the kinds without a failure in it.
fn count_within(store: &Store, since: i64, groups: &mut Vec<Vec<Cell>>) -> Result<()> {
    let rows = count_rows(store, since)?;
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for group in groups.iter() {
        *kinds.entry(read_kind(group)).or_default() += 1;
    }
    // Past the bound on kinds, the store counts the others of a function and outcome under one.
    let count_others = |function: &str, outcome: &str| -> i64 {
        let is_other = |kind: &Kind| kind[0] == function && kind[1] == outcome && !kinds.contains_key(kind);
        rows.iter().filter(|(kind, _)| is_other(kind)).map(|(_, count)| count).sum()
    };
    let is_partial = lacks_rows(store, since)?;
    groups.retain_mut(|group| {
        if !is_older(group, since) {
            return true;
        }
        let kind = read_kind(group);
        let [function, outcome, message] = &kind;
        let own = rows.get(&kind).copied().unwrap_or(0);
        let others = if message == "other" { count_others(function, outcome) } else { 0 };
        let count = own + others;
        // Rows do not hold the type of their error, so kinds that differ in nothing else share their rows.
        let is_shared = kinds.get(&kind).is_some_and(|groups| *groups > 1);
        for at in COUNTS {
            let count = count.max(1);
            group[at] = if is_partial || is_shared { Cell::estimate(count) } else { count.into() };
        }
        count > 0 || is_partial
    });
    groups.sort_by_key(|group| std::cmp::Reverse(group[COUNTS[0]].to_integer()));
    Ok(())
}

/// Counts the rows of calls that failed within the span, by kind.
fn count_rows(store: &Store, since: i64) -> Result<HashMap<Kind, i64>> {
    let sql = format!(
        "SELECT function, outcome, error FROM errors
         WHERE call_id >= {} AND start_ns BETWEEN :since AND :until",
        calls::FIRST_SINCE
    );
    let mut by_text: HashMap<Kind, i64> = HashMap::new();
    let until = units::end_of_span();
    store.read_rows(&sql, &[(":since", &since), (":until", &until)], |row| {
        let cells = crate::report::read_cells(row, 3)?;
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        let outcome = text(1).unwrap_or_default();
        let error = text(2).unwrap_or_else(|| outcome.clone());
        *by_text.entry([text(0).unwrap_or_default(), outcome, error]).or_default() += 1;
        Ok(())
    })?;
    let mut by_kind: HashMap<Kind, i64> = HashMap::new();
    for ([function, outcome, error], count) in by_text {
        let is_panic = outcome == Outcome::Panic.as_str();
        let message = fingerprint::kind(if is_panic { Outcome::Panic } else { Outcome::Error }, &error);
        *by_kind.entry([function, outcome, message]).or_default() += count;
    }
    Ok(by_kind)
}

/// Returns true if failures within the span may lack a row: some were counted without one, or the rows reach back
/// less far than the span.
fn lacks_rows(store: &Store, since: i64) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM folded) OR COALESCE(MIN(min_start_ns) > ?1, TRUE) FROM call_range";
    Ok(store.read_integer(sql, [since])? != Some(0))
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
    ];
    let table = [
        Column::table("COUNT", Unit::Count),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("FUNCTION", Unit::Name),
        Column::table("LAST", Unit::Age),
        Column::table("FIRST", Unit::Age),
        Column::table("EXAMPLE", Unit::Number),
        Column::table("MESSAGE", Unit::Text),
    ];
    data.into_iter().map(Column::data).chain(table).collect()
}
