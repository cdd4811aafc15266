//! `monitor errors`: kinds of failure, the most frequent first. Counts are exact, since failures are
//! counted even where they got no row.

use anyhow::Result;

use super::{heading, open};
use crate::arguments::{Common, Errors};
use crate::format::{self, Pace};
use crate::report::{Column, Report, Unit};
use crate::store::Store;
use crate::units;

const GROUPS: &str = "
SELECT fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id,
  count, outcome, function, last_ns, first_ns, example_call_id, message
FROM error_groups
WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3
ORDER BY count DESC, last_ns DESC
LIMIT ?4";

pub(super) fn run(common: &Common, arguments: &Errors) -> Result<()> {
    let store = open(common)?;
    let report = groups(common, &store, arguments)?;
    let seen = match report.rows.len() {
        0 => "no failures".to_owned(),
        kinds => super::counted(kinds, "kind") + " of failure",
    };
    heading(common, &store, &seen);
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

/// All kinds of failure of a store, without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let report = groups(common, store, &Errors { pattern: None, limit: None })?;
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

fn groups(common: &Common, store: &Store, arguments: &Errors) -> Result<Report> {
    let [whole, ending] =
        arguments.pattern.as_ref().map(|pattern| pattern.globs().map(Some)).unwrap_or_default();
    let since = common.since.map_or(i64::MIN, |span| units::before(units::now_ns(), span));
    let limit = arguments.limit.map_or(-1, i64::from);
    store.report(columns(), GROUPS, (whole, ending, since, limit))
}

fn columns() -> Vec<Column> {
    let data =
        ["fingerprint", "function", "outcome", "message", "count", "first_ns", "last_ns", "example_call_id"];
    let table = [
        Column::table("COUNT", Unit::Count),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("FUNCTION", Unit::Name),
        Column::table("LAST", Unit::Ago),
        Column::table("FIRST", Unit::Ago),
        Column::table("EXAMPLE", Unit::Number),
        Column::table("MESSAGE", Unit::Text),
    ];
    data.into_iter().map(Column::data).chain(table).collect()
}
