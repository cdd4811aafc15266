//! The ranges of ids in which the calls of some functions can lie.
//!
//! The store has no index by function, because it would cost every insert more than the rest of the insert does. Zones
//! record which functions a range has calls of, and how long the longest one took. Where a range has no zones, the
//! windows of `latency` show when a function was called, and `call_range` shows which ids belong to that time: to find
//! a function called five times among ten million calls, two ranges are read.
//!
//! No call is missed: the newest ranges, whose windows may not be written yet, and the ranges that reach back
//! before the oldest window are always included.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use super::period::Period;
use crate::pattern::{self, Pattern};
use crate::report::Cell;
use crate::store::Store;

/// Selects the ids of the functions that a pattern matches.
pub(crate) const FUNCTIONS: &str = "SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending";

/// The lowest id that a call which started at `:since` or later can have.
pub(crate) const FIRST_SINCE: &str = "
COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= :since),
         (SELECT MAX(last_call) + 1 FROM call_range), 0)";

/// A condition on a row `r` of `call_range`: it holds if the zones do not cover all calls of the range, so that its
/// spans and its longest duration are unknown. The row of function 0 counts calls of so many functions that they have
/// no rows of their own.
const UNKNOWN: &str = "r.zoned + COALESCE((SELECT w.calls FROM call_zone_function w
    WHERE w.first_call = r.first_call AND w.function_id = 0), 0) < r.last_call - r.first_call + 1";

/// The kind of ids that calls are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdKind {
    /// The span ids of calls, by which their callees name them as callers.
    Span,
    /// The ids of whole trees.
    Trace,
}

/// Returns a statement that selects the ids of the calls with this span or trace; `id` is an SQL expression. The
/// statement reads only the ranges whose zones can hold such a call, or are incomplete. The store must have blocks of
/// span ids.
pub(crate) fn select_calls_with(kind: IdKind, id: &str) -> String {
    let (column, value) = match kind {
        // With the plus, SQLite builds no automatic index over the spans of all calls, which it would take for cheaper.
        IdKind::Span => ("span", "+k.span"),
        IdKind::Trace => ("trace", "k.span - k.parent - k.trace"),
    };
    format!(
        "SELECT k.id FROM call_range r CROSS JOIN call k ON k.id BETWEEN r.first_call AND r.last_call
         WHERE ({UNKNOWN} OR EXISTS (SELECT 1 FROM call_zone_span z WHERE z.first_call = r.first_call AND z.block = {id} >> 20
             AND {id} BETWEEN z.min_{column} AND z.max_{column}))
           AND {value} = {id}"
    )
}

/// Calls with ids from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A row of `call_range`: ids, the start of the earliest of these calls, and the time at which the last was
/// written.
#[derive(Debug, Clone, Copy)]
struct WrittenRange {
    ids: Range,
    from_ns: i64,
    until_ns: i64,
}

/// Calls, and the duration that none of them exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounded {
    pub(crate) ids: Range,
    pub(crate) longest_ns: i64,
}

/// Returns the ids of the functions that a pattern matches.
pub(crate) fn find_functions(store: &Store, pattern: &Pattern) -> Result<Vec<i64>> {
    let [whole, ending] = pattern.to_globs();
    let mut ids = Vec::new();
    store.read_rows(FUNCTIONS, &[(":whole", &whole), (":ending", &ending)], |row| {
        ids.push(row.get(0)?);
        Ok(())
    })?;
    Ok(ids)
}

/// Returns all ranges in which calls of a span that match the pattern can lie, with the longest call that each can have, the
/// longest first. A range without zones can have calls of any duration.
pub(crate) fn find_longest(store: &Store, pattern: Option<&Pattern>, period: Period) -> Result<Vec<Bounded>> {
    let whole = Range { first: i64::MIN, last: i64::MAX };
    if !store.has_span_blocks()? {
        let ranges =
            pattern.map_or_else(|| Ok(vec![whole]), |pattern| find_ranges(store, &pattern.to_globs()))?;
        return Ok(ranges.into_iter().map(|ids| Bounded { ids, longest_ns: i64::MAX }).collect());
    }
    let [whole_name, ending] = pattern::to_optional_globs(pattern);
    let functions = if pattern.is_some() {
        format!("WHERE function_id = 0 OR function_id IN ({FUNCTIONS})")
    } else {
        String::new()
    };
    let sql = format!(
        "WITH longest AS (SELECT first_call, MAX(max_duration) AS ns FROM call_zone_function {functions} GROUP BY first_call)
         SELECT r.first_call, r.last_call, CASE WHEN {UNKNOWN} THEN {} ELSE l.ns END
         FROM call_range r LEFT JOIN longest l ON l.first_call = r.first_call
         WHERE r.first_call <= r.last_call AND r.max_start_ns >= {} AND r.min_start_ns <= {} ORDER BY 3 DESC",
        i64::MAX, period.from_ns, period.until_ns
    );
    let mut ranges = Vec::new();
    let mut add = |row: &rusqlite::Row<'_>| {
        let longest: Option<i64> = row.get(2)?;
        let ids = Range { first: row.get(0)?, last: row.get(1)? };
        ranges.extend(longest.map(|longest_ns| Bounded { ids, longest_ns }));
        Ok(())
    };
    let Some(pattern) = pattern.map(Pattern::to_globs) else {
        store.read_rows(&sql, [], &mut add)?;
        return Ok(ranges);
    };
    store.read_rows(&sql, &[(":whole", &whole_name), (":ending", &ending)], &mut add)?;
    // The zones of a range with many functions do not list them, so the windows decide.
    let possible = find_ranges(store, &pattern)?;
    ranges.retain(|Bounded { ids, .. }| {
        possible.iter().any(|range| range.first <= ids.first && ids.last <= range.last)
    });
    Ok(ranges)
}

/// Returns the ids of the oldest and the newest call with a row; `None` without calls.
pub(crate) fn find_bounds(store: &Store) -> Result<Option<Range>> {
    let bounds = store.read_first_row("SELECT MIN(id), MAX(id) FROM call", [])?.unwrap_or_default();
    let bounds: Vec<_> = bounds.iter().filter_map(Cell::to_integer).collect();
    Ok(if let [first, last] = bounds[..] { Some(Range { first, last }) } else { None })
}

/// Returns the id of the newest call with a row; 0 without calls.
pub(crate) fn find_newest_id(store: &Store) -> Result<i64> {
    Ok(store.read_integer("SELECT MAX(id) FROM call", [])?.unwrap_or(0))
}

/// Returns the start of the newest call with a row, ns since the Unix epoch; `None` without calls.
pub(crate) fn find_latest_start(store: &Store) -> Result<Option<i64>> {
    store.read_integer("SELECT start_ns FROM calls ORDER BY call_id DESC LIMIT 1", [])
}

/// Returns the ranges in which calls of functions that either GLOB selects can lie, newest first.
pub(crate) fn find_ranges(store: &Store, globs: &[String; 2]) -> Result<Vec<Range>> {
    let zoned = find_zoned(store, globs)?;
    let [whole, ending] = globs;
    let mut windows = Vec::new();
    // Since version 4 a table lists the windows of a store. In an older store each is looked up behind the one before.
    let all = if store.has_chunks()? {
        "SELECT window FROM latency_start"
    } else {
        "WITH RECURSIVE at(window) AS (SELECT MIN(window) FROM latency_window UNION ALL
           SELECT (SELECT MIN(l.window) FROM latency_window l WHERE l.window > at.window) FROM at WHERE at.window IS NOT NULL)
         SELECT window FROM at"
    };
    // The statement looks a function up in each window by the key: a scan of the table would read the histograms too.
    let sql = format!(
        "SELECT a.window FROM ({all}) a WHERE EXISTS (SELECT 1 FROM latency_window l
           WHERE l.window = a.window AND l.function_id IN ({FUNCTIONS})) ORDER BY a.window"
    );
    store.read_rows(&sql, &[(":whole", whole), (":ending", ending)], |row| {
        windows.push(row.get(0)?);
        Ok(())
    })?;
    let mut oldest = None;
    store.read_rows("SELECT MIN(window) FROM latency_window", [], |row| {
        oldest = row.get(0)?;
        Ok(())
    })?;
    let mut written = Vec::new();
    let sql = "SELECT first_call, last_call, min_start_ns, at_ns FROM call_range
               WHERE first_call <= last_call ORDER BY first_call DESC";
    store.read_rows(sql, [], |row| {
        let ids = Range { first: row.get(0)?, last: row.get(1)? };
        written.push(WrittenRange { ids, from_ns: row.get(2)?, until_ns: row.get(3)? });
        Ok(())
    })?;
    Ok(select_ranges(&written, &windows, oldest, &zoned))
}

/// Returns the ids of the newest calls with ids from `first` to `last` of the functions that either GLOB selects, at most `limit`.
/// Only the ranges that can hold such calls are searched.
pub(crate) fn find_newest_calls(
    store: &Store,
    globs: &[String; 2],
    (first, last): (i64, i64),
    limit: usize,
) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM call WHERE id BETWEEN ?1 AND ?2
                 AND function_id IN (SELECT id FROM function WHERE name GLOB ?3 OR name GLOB ?4)
               ORDER BY id DESC LIMIT ?5";
    let [whole, ending] = globs;
    let mut ids = Vec::new();
    for range in find_ranges(store, globs)? {
        let wanted = limit - ids.len();
        let (first, last) = (range.first.max(first), range.last.min(last));
        if wanted == 0 || first > last {
            continue;
        }
        store.read_rows(sql, (first, last, whole, ending, i64::try_from(wanted)?), |row| {
            ids.push(row.get(0)?);
            Ok(())
        })?;
    }
    Ok(ids)
}

/// Returns the ranges whose zones are complete, by their first id, each with true if it has calls of these functions.
fn find_zoned(store: &Store, [whole, ending]: &[String; 2]) -> Result<HashMap<i64, bool>> {
    let mut zoned = HashMap::new();
    if !store.has_span_blocks()? {
        return Ok(zoned);
    }
    let sql = format!(
        "SELECT r.first_call, EXISTS (SELECT 1 FROM call_zone_function z
           WHERE z.first_call = r.first_call AND z.function_id IN ({FUNCTIONS}))
         FROM call_range r WHERE r.zoned >= r.last_call - r.first_call + 1 AND r.first_call <= r.last_call"
    );
    store.read_rows(&sql, &[(":whole", whole), (":ending", ending)], |row| {
        zoned.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    Ok(zoned)
}

/// Selects the ranges in which a call can lie that ended in one of the windows, and joins adjacent ones.
/// Ranges come newest first, windows ascend. The windows before and after a range count too, because a call
/// at the last nanosecond of a window may be counted in the next.
fn select_ranges(
    written: &[WrittenRange],
    windows: &[i64],
    oldest: Option<i64>,
    zoned: &HashMap<i64, bool>,
) -> Vec<Range> {
    let newest_ns = written.iter().map(|range| range.until_ns).max().unwrap_or(0);
    let unknown_before_ns = oldest.map_or(i64::MAX, |window| window.saturating_mul(WINDOW_NS));
    let can_hold = |range: &WrittenRange| {
        let (from, until) = (range.from_ns / WINDOW_NS - 1, range.until_ns / WINDOW_NS + 1);
        let next = windows.partition_point(|window| *window < from);
        windows.get(next).is_some_and(|window| *window <= until)
            || range.until_ns > newest_ns.saturating_sub(2 * WINDOW_NS)
            || range.from_ns < unknown_before_ns
    };
    let mut ranges: Vec<Range> = Vec::new();
    let mut is_adjacent = false;
    for range in written {
        let is_selected = zoned.get(&range.ids.first).copied().unwrap_or_else(|| can_hold(range));
        match ranges.last_mut() {
            Some(last) if is_selected && is_adjacent => last.first = range.ids.first,
            _ if is_selected => ranges.push(range.ids),
            _ => {}
        }
        is_adjacent = is_selected;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred calls in each window, written as it ends.
    fn written(windows: std::ops::Range<i64>) -> Vec<WrittenRange> {
        let range = |window: i64| WrittenRange {
            ids: Range { first: window * 100, last: window * 100 + 99 },
            from_ns: window * WINDOW_NS,
            until_ns: (window + 1) * WINDOW_NS - 1,
        };
        windows.rev().map(range).collect()
    }

    fn range(first: i64, last: i64) -> Range {
        Range { first, last }
    }

    #[test]
    fn a_seldom_called_function_is_looked_for_where_it_was_called_and_in_the_newest_calls() {
        let found = select_ranges(&written(10..100), &[30], Some(10), &HashMap::new());
        assert_eq!(found, [range(9800, 9999), range(2900, 3199)]);
    }

    #[test]
    fn zones_overrule_windows_in_either_direction() {
        let zoned = HashMap::from([(2900, false), (3000, true), (5000, true), (9900, false)]);
        let found = select_ranges(&written(10..100), &[30], Some(10), &zoned);
        assert_eq!(found, [range(9800, 9899), range(5000, 5099), range(3000, 3199)]);
    }

    #[test]
    fn a_function_that_is_always_called_is_looked_for_everywhere_at_once() {
        let windows: Vec<i64> = (10..100).collect();
        assert_eq!(
            select_ranges(&written(10..100), &windows, Some(10), &HashMap::new()),
            [range(1000, 9999)]
        );
    }

    #[test]
    fn calls_older_than_any_window_are_looked_at() {
        assert_eq!(
            select_ranges(&written(10..100), &[], Some(12), &HashMap::new()),
            [range(9800, 9999), range(1000, 1199)]
        );
        assert_eq!(select_ranges(&written(10..100), &[], None, &HashMap::new()), [range(1000, 9999)]);
        assert_eq!(select_ranges(&[], &[5], Some(5), &HashMap::new()), []);
    }

    #[test]
    fn a_call_written_long_after_it_ended_is_found() {
        let mut late = written(10..100);
        let last = late.len() - 1;
        late[10].from_ns = late[last].from_ns;
        let ids = late[10].ids;
        assert!(select_ranges(&late, &[50], Some(10), &HashMap::new()).contains(&ids));
    }
}
