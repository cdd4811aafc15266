//! Zones: which functions and spans a range of calls has, so that a reader finds calls without reading all of them.

use crate::rows::*;
use monitor_runtime::batch::{Batch, CallRow};
use monitor_runtime::record::Outcome;
use monitor_runtime::store::{Store as _, StoreOptions};
use std::path::Path;

/// Calls of a batch, each of which begins a range of its own.
const CALLS: u32 = 500;

/// Returns calls of three functions on two threads, some of which failed and some of which have a caller. `from` numbers them.
fn calls(from: u32) -> Vec<CallRow> {
    let make = |n: u32| {
        let thread = 1 + n / 64 % 2;
        let span = u64::from(thread * 7) << 32 | u64::from(n);
        let has_caller = n % 3 == 1;
        CallRow {
            function: 1 + n % 7 % 3,
            thread,
            span_id: span,
            parent_id: if has_caller { span - 1 } else { 0 },
            trace_id: if has_caller { span - 1 } else { span },
            duration_ns: u64::from(n * 37 % 10_000),
            outcome: if n.is_multiple_of(50) { Outcome::Error } else { Outcome::Ok },
            ..call(n)
        }
    };
    (from..from + CALLS).map(make).collect()
}

fn write(store: &mut monitor_runtime::store::SqliteStore, sequence: u64, calls: Vec<CallRow>) {
    let at_ns = T0 + i64::try_from(sequence).unwrap() * 11 * SECOND;
    store.write(&Batch { at_ns, ..batch(sequence, calls) }).unwrap();
}

/// Asserts that zones say what the calls of their ranges say, and returns the numbers of calls that the ranges' zones cover.
fn assert_zones_are_true(path: &Path) -> Vec<i64> {
    let tool = tool(path);
    for (zones, calls) in [
        (
            "SELECT first_call, function_id, calls, failed, max_duration FROM call_zone_function",
            "SELECT r.first_call, c.function_id, count(*), sum(c.kind > 3), max(c.duration) FROM call_range r
             JOIN call c ON c.id BETWEEN r.first_call AND r.last_call WHERE r.zoned > 0 GROUP BY 1, 2",
        ),
        (
            "SELECT first_call, block, min_span, max_span FROM call_zone_span WHERE min_span IS NOT NULL",
            "SELECT r.first_call, c.span >> 20, min(c.span), max(c.span) FROM call_range r
             JOIN call c ON c.id BETWEEN r.first_call AND r.last_call WHERE r.zoned > 0 GROUP BY 1, 2",
        ),
        (
            "SELECT first_call, block, min_trace, max_trace FROM call_zone_span WHERE min_trace IS NOT NULL",
            "SELECT r.first_call, (c.span - c.parent - c.trace) >> 20, min(c.span - c.parent - c.trace),
               max(c.span - c.parent - c.trace) FROM call_range r
             JOIN call c ON c.id BETWEEN r.first_call AND r.last_call WHERE r.zoned > 0 GROUP BY 1, 2",
        ),
    ] {
        for (one, other) in [(zones, calls), (calls, zones)] {
            let differing = format!("SELECT count(*) FROM ({one} EXCEPT {other})");
            assert_eq!(query_value::<i64>(&tool, &differing), 0, "{one}");
        }
    }
    query_column(&tool, "SELECT zoned FROM call_range ORDER BY first_call")
}

#[test]
fn a_range_that_is_closed_has_the_zones_of_its_calls_and_the_newest_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for sequence in 1..=4 {
        write(&mut store, sequence, calls(u32::try_from(sequence).unwrap() * 1000));
    }
    assert_eq!(assert_zones_are_true(&path), [500, 500, 500, 0]);
    assert!(count(&path, "call_zone_function") == 9 && count(&path, "call_zone_span") == 6);
}

#[test]
fn processes_that_share_a_range_add_up_and_the_part_of_one_that_died_leaves_it_uncovered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let (mut one, mut other) = (open(&path, 1), open(&path, 2));
    write(&mut one, 1, calls(1000));
    write(&mut other, 1, calls(1000));
    write(&mut one, 2, calls(2000));
    let tool = tool(&path);
    let ranges = "SELECT last_call - first_call + 1 - zoned FROM call_range ORDER BY first_call";
    assert_eq!(query_column::<i64>(&tool, ranges), [500, 500], "a part is not written yet");
    write(&mut other, 2, calls(2000));
    assert_eq!(query_column::<i64>(&tool, ranges), [0, 1000]);
    assert_eq!(assert_zones_are_true(&path), [1000, 0]);
}

#[test]
fn a_range_of_few_calls_has_no_zones_because_they_would_take_a_part_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for sequence in 1..=3 {
        let few = calls(u32::try_from(sequence).unwrap() * 1000).into_iter().take(99).collect();
        write(&mut store, sequence, few);
    }
    assert_eq!(assert_zones_are_true(&path), [0, 0, 0]);
    assert_eq!(count(&path, "call_zone_function") + count(&path, "call_zone_span"), 0);
}

#[test]
fn a_range_of_many_functions_has_one_zone_for_all_of_them_and_those_of_its_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let many = |from: u32| {
        let row = |(number, row): (u32, CallRow)| CallRow { function: 1 + number % 100, ..row };
        (0..).zip(calls(from)).map(row).collect::<Vec<_>>()
    };
    for sequence in 1..=2 {
        write(&mut store, sequence, many(u32::try_from(sequence).unwrap() * 1000));
    }
    let tool = tool(&path);
    assert_eq!(query_column::<i64>(&tool, "SELECT zoned FROM call_range ORDER BY first_call"), [0, 0]);
    for (zones, calls) in [
        (
            "SELECT first_call || ' ' || function_id || ' ' || calls || ' ' || failed || ' ' || max_duration FROM call_zone_function",
            "SELECT r.first_call || ' 0 ' || count(*) || ' ' || sum(c.kind > 3) || ' ' || max(c.duration) FROM call_range r
             JOIN call c ON c.id BETWEEN r.first_call AND r.last_call WHERE r.first_call = 1",
        ),
        (
            "SELECT first_call || ' ' || block || ' ' || min_span || ' ' || max_span FROM call_zone_span ORDER BY block",
            "SELECT r.first_call || ' ' || (c.span >> 20) || ' ' || min(c.span) || ' ' || max(c.span) FROM call_range r
             JOIN call c ON c.id BETWEEN r.first_call AND r.last_call WHERE r.first_call = 1 GROUP BY c.span >> 20 ORDER BY c.span >> 20",
        ),
    ] {
        assert_eq!(query_column::<String>(&tool, zones), query_column::<String>(&tool, calls));
    }
}

#[test]
fn zones_go_with_the_calls_of_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for sequence in 1..=3 {
        write(&mut store, sequence, calls(u32::try_from(sequence).unwrap() * 1000));
    }
    // The first range goes by its age, of the second only failed calls stay for want of room.
    let options = StoreOptions::file(&path);
    let now_ns = T0 + 15 * SECOND + i64::try_from(options.retention.as_nanos()).unwrap();
    while store.retain(now_ns).unwrap().more {}
    assert_eq!(assert_zones_are_true(&path), [500, 0]);
    store.set_bounds(options.retention, 1).unwrap();
    for _ in 0..2 {
        store.retain(T0 + 40 * SECOND).unwrap();
    }
    assert_eq!(assert_zones_are_true(&path).iter().sum::<i64>(), 0);
    assert_eq!(count(&path, "call_zone_function") + count(&path, "call_zone_span"), 0);
    assert!(count(&path, "errors") > 0, "failed calls stay");
}
