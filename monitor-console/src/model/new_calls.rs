//! The calls that a store gets while it is followed.
//!
//! Takes ids and a filter; gives the calls between two ids, in the order of their ids, which is that of commits. The
//! file does not know when a follower looks, nor how a call is shown.

use anyhow::Result;
use rusqlite::ToSql;

use super::call_row;
use super::ranges::FIRST_SINCE;
use crate::pattern::{self, Pattern};
use crate::report::Cell;
use crate::store::Store;

/// The calls that are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter<'a> {
    /// Functions by a pattern; `None` for all.
    pub(crate) pattern: Option<&'a Pattern>,
    /// True for failed calls only.
    pub(crate) is_failed: bool,
}

impl Filter<'_> {
    /// Returns the condition on `call c`. It always names `:whole` and `:ending`, so both can always be bound.
    fn to_condition(self) -> String {
        let failed = if self.is_failed { "c.kind > 3" } else { "TRUE" };
        format!(
            "{failed} AND (:whole IS NULL OR c.function_id IN
               (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending))"
        )
    }
}

/// Hands the wanted calls with ids above the first of `ids`, up to the second, to a closure, each as cells with
/// [`call_row::COLUMNS`].
pub(crate) fn visit(
    store: &Store,
    filter: Filter<'_>,
    (last, newest): (i64, i64),
    mut found: impl FnMut(Vec<Cell>) -> Result<()>,
) -> Result<()> {
    let sql = format!(
        "SELECT {} FROM calls WHERE call_id IN
           (SELECT c.id FROM call c WHERE c.id > :last AND c.id <= :newest AND {})
         ORDER BY call_id",
        call_row::select_columns(store)?,
        filter.to_condition()
    );
    let [whole, ending] = pattern::to_optional_globs(filter.pattern);
    let bound: [(&str, &dyn ToSql); 4] =
        [(":last", &last), (":newest", &newest), (":whole", &whole), (":ending", &ending)];
    store.stream_rows(&sql, &bound, |row| found(call_row::read(row)?))
}

/// Returns the id before the last `count` wanted calls; 0 if there are no such calls.
pub(crate) fn find_id_before_last(store: &Store, filter: Filter<'_>, count: u32) -> Result<i64> {
    let sql = format!(
        "SELECT COALESCE(MIN(id) - 1, 0) FROM (SELECT c.id FROM call c WHERE {} ORDER BY c.id DESC LIMIT :count)",
        filter.to_condition()
    );
    let [whole, ending] = pattern::to_optional_globs(filter.pattern);
    let bound: [(&str, &dyn ToSql); 3] = [(":whole", &whole), (":ending", &ending), (":count", &count)];
    Ok(store.read_integer(&sql, &bound)?.unwrap_or(0))
}

/// Returns the id before the first call that started at this time or later.
pub(crate) fn find_id_before_time(store: &Store, since_ns: i64) -> Result<i64> {
    Ok(store.read_integer(&format!("SELECT {FIRST_SINCE} - 1"), &[(":since", &since_ns)])?.unwrap_or(0))
}
