//! Kinds of failure as the store counts them.
//!
//! Takes a scope and a pattern; gives the kinds that were seen within the scope, each with all its failures. The file
//! does not read rows of calls.

use anyhow::Result;
use rusqlite::Params;

use super::Kind;
use crate::model::scope::Scope;
use crate::pattern::{self, Pattern};
use crate::report;
use crate::store::Store;

/// The columns that are read, in the order of [`read`], each with what stands for it in an older store that lacks it.
/// An older store does not mark failures that were passed on, so each failure counts as one that began in its function.
const COLUMNS: [(&str, &str); 12] = [
    ("fingerprint", "NULL"),
    ("function", "NULL"),
    ("outcome", "NULL"),
    ("message", "NULL"),
    ("count", "NULL"),
    ("first_ns", "NULL"),
    ("last_ns", "NULL"),
    ("example_call_id", "NULL"),
    ("error_type", "NULL"),
    ("origin_count", "count"),
    ("root_count", "NULL"),
    ("path", "NULL"),
];

/// Lists the kinds that were seen within a scope, at most `limit`: those that began in their function first, and among
/// these the most frequent first. Times of processes are not known, so kinds of all processes are listed.
pub(super) fn list(
    store: &Store,
    scope: &Scope,
    pattern: Option<&Pattern>,
    limit: usize,
) -> Result<Vec<Kind>> {
    let [whole, ending] = pattern::to_optional_globs(pattern);
    let condition =
        "WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3 AND first_ns <= ?4
                     ORDER BY origin_count = 0, count DESC, last_ns DESC LIMIT ?5";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read(store, condition, (whole, ending, scope.period.from_ns, scope.period.until_ns, limit))
}

/// Returns the kind with this id.
pub(crate) fn find(store: &Store, fingerprint: i64) -> Result<Option<Kind>> {
    Ok(read(store, "WHERE fingerprint = ?1", [fingerprint])?.into_iter().next())
}

fn read(store: &Store, condition: &str, parameters: impl Params) -> Result<Vec<Kind>> {
    let stored = store.read_column_names("SELECT * FROM error_groups")?;
    let is_stored = |name: &str| stored.iter().any(|stored| stored == name);
    let columns =
        COLUMNS.map(|(name, other)| format!("{} AS {name}", if is_stored(name) { name } else { other }));
    let sql = format!("SELECT * FROM (SELECT {} FROM error_groups) {condition}", columns.join(", "));
    let mut kinds = Vec::new();
    store.read_rows(&sql, parameters, |row| {
        let cells = report::read_cells(row, COLUMNS.len())?;
        let integer = |at: usize| cells[at].to_integer();
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        kinds.push(Kind {
            fingerprint: integer(0).unwrap_or(0),
            function: text(1).unwrap_or_default(),
            outcome: text(2).unwrap_or_default(),
            message: text(3).unwrap_or_default(),
            count: integer(4).unwrap_or(0),
            first_ns: integer(5).unwrap_or(0),
            last_ns: integer(6),
            example: integer(7),
            error_type: text(8),
            origins: integer(9).unwrap_or(0),
            roots: integer(10),
            path: text(11),
            ..Kind::default()
        });
        Ok(())
    })?;
    Ok(kinds)
}
