//! Where the calls of some functions can lie. There is no index by function, which would cost every
//! insert more than all the rest of it; but the windows of `latency` say when a function was called, and
//! `call_range` which ids belong to that time. A function called five times among ten million calls is
//! found by looking at two ranges.
//!
//! Nothing is missed: the newest ranges, whose windows may still be on their way, and those that reach
//! back before the oldest window are always among the candidates.

use anyhow::Result;

use crate::pattern::Pattern;
use crate::store::Store;

/// Ids of the functions that a pattern means.
pub(super) const FUNCTIONS: &str = "SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending";

/// Width of a window of `latency`.
const WINDOW_NS: i64 = 10_000_000_000;

/// Calls with ids from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// A row of `call_range`: ids, when the first of these calls started, when the last was written.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    ids: Range,
    from_ns: i64,
    until_ns: i64,
}

/// The ranges, newest first.
pub(super) fn of(store: &Store, pattern: &Pattern) -> Result<Vec<Range>> {
    let [whole, ending] = pattern.globs();
    let mut windows = Vec::new();
    let sql = format!(
        "SELECT DISTINCT window FROM latency_window WHERE function_id IN ({FUNCTIONS}) ORDER BY window"
    );
    store.rows(&sql, &[(":whole", &whole), (":ending", &ending)], |row| {
        windows.push(row.get(0)?);
        Ok(())
    })?;
    let mut oldest = None;
    store.rows("SELECT MIN(window) FROM latency_window", [], |row| {
        oldest = row.get(0)?;
        Ok(())
    })?;
    let mut stretches = Vec::new();
    let sql = "SELECT first_call, last_call, min_start_ns, at_ns FROM call_range
               WHERE first_call <= last_call ORDER BY first_call DESC";
    store.rows(sql, [], |row| {
        let ids = Range { first: row.get(0)?, last: row.get(1)? };
        stretches.push(Stretch { ids, from_ns: row.get(2)?, until_ns: row.get(3)? });
        Ok(())
    })?;
    Ok(candidates(&stretches, &windows, oldest))
}

/// Those of the stretches, newest first, in which a call can lie that ended in one of the windows; in
/// a row they become one. Windows ascend; a call may belong to the one beside, by its last nanosecond.
fn candidates(stretches: &[Stretch], windows: &[i64], oldest: Option<i64>) -> Vec<Range> {
    let newest_ns = stretches.iter().map(|stretch| stretch.until_ns).max().unwrap_or(0);
    let unknown_before_ns = oldest.map_or(i64::MAX, |window| window.saturating_mul(WINDOW_NS));
    let can_hold = |stretch: &Stretch| {
        let (from, until) = (stretch.from_ns / WINDOW_NS - 1, stretch.until_ns / WINDOW_NS + 1);
        let next = windows.partition_point(|window| *window < from);
        windows.get(next).is_some_and(|window| *window <= until)
            || stretch.until_ns > newest_ns.saturating_sub(2 * WINDOW_NS)
            || stretch.from_ns < unknown_before_ns
    };
    let mut ranges: Vec<Range> = Vec::new();
    let mut beside = false;
    for stretch in stretches {
        let held = can_hold(stretch);
        match ranges.last_mut() {
            Some(range) if held && beside => range.first = stretch.ids.first,
            _ if held => ranges.push(stretch.ids),
            _ => {}
        }
        beside = held;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred calls in each window, written as it ends.
    fn stretches(windows: std::ops::Range<i64>) -> Vec<Stretch> {
        let stretch = |window: i64| Stretch {
            ids: Range { first: window * 100, last: window * 100 + 99 },
            from_ns: window * WINDOW_NS,
            until_ns: (window + 1) * WINDOW_NS - 1,
        };
        windows.rev().map(stretch).collect()
    }

    fn range(first: i64, last: i64) -> Range {
        Range { first, last }
    }

    #[test]
    fn a_seldom_called_function_is_looked_for_where_it_was_called_and_in_the_newest_calls() {
        let found = candidates(&stretches(10..100), &[30], Some(10));
        assert_eq!(found, [range(9800, 9999), range(2900, 3199)]);
    }

    #[test]
    fn a_function_that_is_always_called_is_looked_for_everywhere_at_once() {
        let windows: Vec<i64> = (10..100).collect();
        assert_eq!(candidates(&stretches(10..100), &windows, Some(10)), [range(1000, 9999)]);
    }

    #[test]
    fn calls_older_than_any_window_are_looked_at() {
        assert_eq!(candidates(&stretches(10..100), &[], Some(12)), [range(9800, 9999), range(1000, 1199)]);
        assert_eq!(candidates(&stretches(10..100), &[], None), [range(1000, 9999)]);
        assert_eq!(candidates(&[], &[5], Some(5)), []);
    }

    #[test]
    fn a_call_written_long_after_it_ended_is_found() {
        let mut late = stretches(10..100);
        let last = late.len() - 1;
        late[10].from_ns = late[last].from_ns;
        let ids = late[10].ids;
        assert!(candidates(&late, &[50], Some(10)).contains(&ids));
    }
}
