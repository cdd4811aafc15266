//! Totals since the start of a process: they replace one another, survive retention, and never fall.

use crate::rows::*;
use monitor_runtime::batch::{Batch, Ending, HealthRow, TotalRow, Update};
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::Store as _;
use rusqlite::Connection;
use std::path::Path;

fn write(path: &Path, run: u32, rows: Vec<Vec<TotalRow>>) {
    let mut store = open(path, run);
    for (sequence, totals) in (1..).zip(rows) {
        let health = Some(HealthRow { at_ns: T0, dropped_ring_full: sequence * 3, ..HealthRow::default() });
        store.write(&Batch { totals, health, ..batch(sequence, Vec::new()) }).unwrap();
    }
    store.close(T0 + SECOND, Ending::Exit).unwrap();
}

/// Returns calls, failures and durations in the histogram, summed over all rows of a function.
fn sums(path: &Path, function: &str) -> (i64, i64, u64) {
    let tool = tool(path);
    let sql = format!("SELECT sum(calls) FROM totals WHERE function = '{function}'");
    let errors = format!("SELECT sum(errors) FROM totals WHERE function = '{function}'");
    let histograms = |tool: &Connection, sql: &str| {
        let blobs: Vec<Vec<u8>> = query_column(tool, sql);
        blobs.iter().map(|blob| Histogram::from_bytes(blob).total()).sum::<u64>()
    };
    let live = format!(
        "SELECT histogram FROM function_total WHERE function_id = (SELECT id FROM function WHERE name = '{function}')"
    );
    let past = format!("SELECT histogram FROM past_total WHERE function = '{function}'");
    (
        query_value(&tool, &sql),
        query_value(&tool, &errors),
        histograms(&tool, &live) + histograms(&tool, &past),
    )
}

#[test]
fn a_total_is_replaced_by_a_later_one_and_never_by_a_lower_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let added = TotalRow { update: Update::Add, ..total(1, 5) };
    write(&path, 1, vec![vec![total(1, 10), total(2, 4)], vec![total(1, 30)]]);
    assert_eq!(sums(&path, "shop::f1"), (30, 15, 30));
    assert_eq!(sums(&path, "shop::f2"), (4, 2, 4));
    write(&path, 2, vec![vec![total(1, 7)], vec![added], vec![total(1, 11)], vec![total(1, 13)]]);
    // 7 + 5 recovered calls; then the process turns out to be alive, and counts on from fewer.
    assert_eq!(sums(&path, "shop::f1"), (30 + 13, 15 + 6, 30 + 13));
}

#[test]
fn totals_of_processes_that_retention_deletes_are_kept_by_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    for run in 1..=3 {
        write(&path, run, vec![vec![total(1, 10), total(2, 4)]]);
    }
    let mut store = open(&path, 4);
    let mut last = 0;
    for _ in 0..10 {
        store.retain(T0 + 30 * HOUR).unwrap();
        let (calls, errors, durations) = sums(&path, "shop::f1");
        assert_eq!((calls, errors, durations), (30, 15, 30));
        assert!(calls >= std::mem::replace(&mut last, calls));
    }
    let tool = tool(&path);
    assert_eq!(count(&path, "processes"), 1, "the processes are gone");
    assert_eq!(count(&path, "function"), 0, "and so are the functions");
    let past =
        "SELECT service || ' ' || function || ' ' || calls || ' ' || since_ns FROM totals ORDER BY function";
    let expected = [format!("shop shop::f1 30 {T0}"), format!("shop shop::f2 12 {T0}")];
    assert_eq!(query_column::<String>(&tool, past), expected);
    let reports = "SELECT service || ' ' || counter || ' ' || value FROM past_report";
    assert_eq!(query_column::<String>(&tool, reports), ["shop dropped_ring_full 9"]);
}
