//! `monitor errors`: kinds of failure, the most frequent first. Counts are exact, because a failure is
//! counted even if it has no row of its own.

use anyhow::Result;

use super::{open_store, print_heading, warn_if_unknown};
use crate::arguments::{Common, Errors};
use crate::format;
use crate::pattern;
use crate::report::{Column, Report, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

const GROUPS: &str = "
SELECT fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id,
  count, outcome, function, last_ns, first_ns, example_call_id, message
FROM error_groups
WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3
ORDER BY count DESC, last_ns DESC
LIMIT ?4";

pub(super) fn run(common: &Common, arguments: &Errors) -> Result<()> {
    let store = open_store(common)?;
    let report = read_groups(common, &store, arguments)?;
    let title = match report.rows.len() {
        0 => "no failures".to_owned(),
        kinds => format_quantity(kinds, "kind of failure", "kinds of failure"),
    };
    print_heading(common, &store, &title);
    if report.rows.is_empty() {
        warn_if_unknown(common, &store, arguments.pattern.as_ref())?;
    }
    format::print(&report, common.style())
}

/// Prints all kinds of failure of a store without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let report = read_groups(common, store, &Errors { pattern: None, limit: None })?;
    format::print(&report, common.style())
}

fn read_groups(common: &Common, store: &Store, arguments: &Errors) -> Result<Report> {
    let [whole, ending] = pattern::to_optional_globs(arguments.pattern.as_ref());
    let since = units::start_of_span(common.since);
    let limit = arguments.limit.map_or(-1, i64::from);
    store.read_report(list_columns(), GROUPS, (whole, ending, since, limit))
}

fn list_columns() -> Vec<Column> {
    let data =
        ["fingerprint", "function", "outcome", "message", "count", "first_ns", "last_ns", "example_call_id"];
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
