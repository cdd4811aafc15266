//! The callers of the calls of a span that began before the span.
//!
//! Takes the rows of a span; adds the rows of calls that were under way when the span began, if a row of the span is
//! below them. Each added row is cut to the span: it starts with the span and ends no later. So trees of a span have
//! their callers, and no time from outside of the span. Calls that never ended have no row to be added.

use anyhow::Result;

use super::{Rows, Source, Wanted, find_ids};
use crate::model::cover::Stretch;
use crate::model::forest::Forest;
use crate::model::period::Period;
use crate::store::Store;

/// Adds the callers to the rows of a store, of at most `limit` rows that are considered.
pub(super) fn add(loaded: &mut Rows, store: &Store, period: Period, limit: usize) -> Result<()> {
    if period.from_ns == i64::MIN {
        return Ok(());
    }
    // If the bound left out the oldest rows, the span begins with the oldest row that was read.
    let (first, last) = find_ids(store, period)?;
    let oldest_id = loaded.rows.iter().map(|row| row.call_id).min();
    let oldest_ns = loaded.rows.iter().map(|row| row.start_ns).min();
    let (Some(oldest_id), Some(oldest_ns)) = (oldest_id, oldest_ns) else { return Ok(()) };
    let (first, from_ns) = if loaded.is_cut { (oldest_id, oldest_ns) } else { (first, period.from_ns) };
    // A caller's row is written after the rows of its callees, so its id is above `first`. The caller began before the
    // span ended, so its id is at most `last`.
    let before = Period { from_ns: i64::MIN, until_ns: from_ns.saturating_sub(1) };
    let mut earlier = Rows::default();
    let source = Source::find(store, &mut earlier.names)?;
    earlier.select(store, &source, &Wanted::Range(first, last), before, limit)?;
    earlier.rows.retain(|row| Stretch::new(row).end_ns > from_ns);
    let of_span = loaded.rows.len();
    loaded.append(earlier, 0);
    let forest = Forest::plant(&loaded.rows);
    let mut has_calls = vec![false; loaded.rows.len()];
    (0..of_span).for_each(|at| has_calls[forest.root(at)] = true);
    let mut is_kept = (0..loaded.rows.len()).map(|at| at < of_span || has_calls[forest.root(at)]);
    loaded.rows.retain(|_| is_kept.next().unwrap_or(true));
    loaded.callers = loaded.rows.len() - of_span;
    for row in &mut loaded.rows[of_span..] {
        let time = Stretch::new(row).clip((from_ns, period.until_ns.max(from_ns)));
        row.start_ns = time.start_ns;
        row.duration_ns = time.sum_ns / i64::from(row.shared.max(1));
        row.busy_ns = row.busy_ns.min(row.duration_ns);
        row.last_ns = row.last_ns.map(|_| time.end_ns);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::store::tests::store_of;

    /// A loop that runs from 0 to 900 and calls a step every hundred from 50 to 80; each step has a part from 60 to 70. The
    /// step from 250 is still under way at 300. Another tree ran from 210 to 290, and one runs from 220 to 700 without
    /// calls.
    const CALLS: &str = "
        INSERT INTO function VALUES (1, 'run', 'a.rs', 1, NULL, 1.0), (2, 'step', 'a.rs', 2, NULL, 1.0),
            (3, 'part', 'a.rs', 3, NULL, 1.0), (4, 'other', 'a.rs', 4, NULL, 1.0);
        INSERT INTO thread VALUES (1, 1, 'main', 0);
        INSERT INTO call VALUES
            (1, 3, 1, 60, 10, NULL, 102, 1, 0, 0, 1.0), (2, 2, 1, 50, 30, NULL, 101, 100, 0, 0, 1.0),
            (3, 4, 1, 210, 80, NULL, 900, 0, 0, 0, 1.0),
            (4, 3, 1, 310, 10, NULL, 202, 1, 0, 0, 1.0), (5, 2, 1, 250, 80, NULL, 201, 200, 0, 0, 1.0),
            (6, 2, 1, 450, 30, NULL, 301, 300, 0, 0, 1.0), (7, 4, 1, 220, 480, NULL, 901, 0, 0, 0, 1.0),
            (8, 1, 1, 0, 900, NULL, 1, 0, 0, 0, 1.0);
        INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns) VALUES
            (1, 2, 50, 60, 90), (3, 8, 0, 450, 900);";

    /// Returns span, start and duration of each row, by span.
    fn load(from_ns: i64, until_ns: i64, limit: usize) -> (Vec<(i64, i64, i64)>, usize) {
        let (_folder, store) = store_of(CALLS);
        let period = Period { from_ns, until_ns };
        let loaded = Rows::load_all_with_callers(&[&store], None, period, limit).unwrap();
        let mut rows: Vec<_> =
            loaded.rows.iter().map(|row| (row.span, row.start_ns, row.duration_ns)).collect();
        rows.sort_unstable();
        (rows, loaded.callers)
    }

    #[test]
    fn callers_that_began_before_the_span_are_cut_to_it() {
        let (rows, callers) = load(300, 500, 100);
        assert_eq!(rows, [(1, 300, 200), (201, 300, 30), (202, 310, 10), (301, 450, 30)]);
        assert_eq!(callers, 2);
        // The call of the span has no rows below it, and the loop goes on after it.
        assert_eq!(load(440, 460, 100).0, [(1, 440, 20), (301, 450, 30)]);
    }

    #[test]
    fn a_span_without_calls_and_one_without_a_start_have_no_callers() {
        assert_eq!(load(500, 600, 100), (Vec::new(), 0));
        let (rows, callers) = load(i64::MIN, 500, 100);
        assert_eq!((rows.len(), callers), (8, 0));
    }
}
