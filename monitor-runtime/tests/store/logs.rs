//! Log lines in the store: their order, the calls that said them, and the bound on them.

use std::sync::Arc;

use crate::rows::*;
use monitor_runtime::batch::{Batch, Ending, LogLevel, LogRow, LogTarget};
use monitor_runtime::store::{SqliteStore, Store as _, StoreOptions};

fn line(span: u64, body: &str) -> LogRow {
    LogRow {
        at_ns: T0,
        target: Arc::new(LogTarget {
            target: "shop::pay".to_owned(),
            file: "src/pay.rs".to_owned(),
            line: 7,
        }),
        span_id: span,
        trace_id: span,
        body: Some(body.to_owned()),
        ..LogRow::default()
    }
}

fn write(store: &mut SqliteStore, sequence: u64, calls: &[u32], logs: Vec<LogRow>) {
    let calls = calls.iter().map(|n| call(*n)).collect();
    store.write(&Batch { logs, ..batch(sequence, calls) }).unwrap();
}

const SHOWN: &str =
    "SELECT body || ' ' || coalesce(function, '-') || ' ' || coalesce(call_id, 0) FROM logs ORDER BY log_id";

#[test]
fn a_line_names_its_call_once_the_call_has_a_row_whichever_batch_brings_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let span = |n| call(n).span_id;
    let known = LogRow { function: Some(2), fields: Some("{\"a\":1}".to_owned()), ..line(span(2), "early") };
    let outside = LogRow { level: LogLevel::Error, lines: 5, ..line(0, "outside") };
    write(&mut store, 1, &[1], vec![line(span(1), "same"), known, outside, line(span(3), "no row")]);
    let tool = tool(&path);
    let before = ["same shop::f1 1", "early shop::f2 0", "outside - 0", "no row - 0"];
    assert_eq!(query_column::<String>(&tool, SHOWN), before);
    write(&mut store, 2, &[4, 2], vec![line(span(2), "late")]);
    let after = ["same shop::f1 1", "early shop::f2 3", "outside - 0", "no row - 0", "late shop::f1 3"];
    assert_eq!(query_column::<String>(&tool, SHOWN), after);
    let whole =
        "SELECT level || lines || target || file || line || service || coalesce(fields, '-') FROM logs
                 WHERE log_id IN (2, 3) ORDER BY log_id";
    assert_eq!(
        query_column::<String>(&tool, whole),
        ["warn1shop::paysrc/pay.rs7shop{\"a\":1}", "error5shop::paysrc/pay.rs7shop-"]
    );
    let joined =
        "SELECT count(*) FROM logs l JOIN calls c ON c.span_id = l.span_id AND c.call_id = l.call_id";
    assert_eq!(query_value::<i64>(&tool, joined), 3);
    // The same batch once more, as after an answer that was lost.
    write(&mut store, 2, &[4, 2], vec![line(span(2), "late")]);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM logs"), 5);
}

#[test]
fn the_log_takes_a_tenth_of_the_bound_and_the_oldest_lines_go_first() {
    const BOUND: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: BOUND, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let mut said = 0_u64;
    for sequence in 1..=60 {
        let lines = (0..40).map(|_| {
            said += 1;
            line(call(1).span_id, &format!("{said} {}", "x".repeat(900)))
        });
        write(&mut store, sequence, &[u32::try_from(sequence).unwrap()], lines.collect());
    }
    let tool = tool(&path);
    let bytes: u64 = query_value::<i64>(&tool, "SELECT sum(length(body) + 64) FROM logs").cast_unsigned();
    assert!((BOUND / 10 - 2000..=BOUND / 10 + 2000).contains(&bytes), "{bytes} of {}", BOUND / 10);
    let numbers = query_column::<i64>(&tool, "SELECT CAST(body AS INTEGER) FROM logs ORDER BY log_id");
    assert_eq!(numbers.last(), Some(&said.cast_signed()));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM calls"), 60, "calls make no room for lines");
}

#[test]
fn a_line_that_is_dated_ahead_does_not_keep_expired_lines_behind_it() {
    let line_at = |at_ns| move |_| LogRow { at_ns, ..line(0, "") };
    let ahead = |count| (0..count).map(line_at(T0 + 9000 * HOUR));
    let expired = |count| (0..count).map(line_at(T0));
    let young = || (0..1).map(line_at(T0 + 5 * HOUR));
    let at_hours = "SELECT (at_ns - ?1) / 3600000000000 FROM log ORDER BY id";
    let left = |lines: Vec<LogRow>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let mut store = open(&path, 1);
        for (sequence, lines) in (1..).zip(lines.chunks(1000)) {
            write(&mut store, sequence, &[], lines.to_vec());
        }
        while store.retain(T0 + 7 * HOUR).unwrap().more {}
        let tool = tool(&path);
        let mut select = tool.prepare(at_hours).unwrap();
        select.query_map([T0], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<i64>>()
    };
    // The first line is dated ahead; more lines are dated ahead than a step looks at together; a young line comes first.
    assert_eq!(left(ahead(1).chain(expired(3000)).chain(young()).collect()), [5]);
    assert_eq!(left(ahead(5000).chain(expired(10)).chain(young()).collect()), [5]);
    assert_eq!(left(young().chain(ahead(1)).chain(expired(2)).chain(young()).collect()), [5, 9000, 0, 0, 5]);
    // The clock was set back: lines that seem to be dated ahead are the newest ones.
    assert_eq!(left(ahead(3).chain(young()).chain(ahead(1)).collect()), [9000, 9000, 9000, 5, 9000]);
}

#[test]
fn lines_expire_with_age_and_with_their_process_and_ids_are_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let old = |body| LogRow { target: Arc::default(), ..line(0, body) };
    write(&mut store, 1, &[1], (0..50).map(|_| old("old")).collect());
    let young = LogRow { at_ns: T0 + 5 * HOUR, ..line(0, "young") };
    write(&mut store, 2, &[], vec![young]);
    let tool = tool(&path);
    let bodies = "SELECT DISTINCT body FROM logs";
    while store.retain(T0 + 7 * HOUR).unwrap().more {}
    assert_eq!(query_column::<String>(&tool, bodies), ["young"]);
    store.close(T0 + 7 * HOUR, Ending::Exit).unwrap();
    let mut store = open(&path, 2);
    while store.retain(T0 + 40 * HOUR).unwrap().more {}
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM processes"), 1);
    assert_eq!(query_column::<String>(&tool, bodies), ["young"], "the newest row stays");
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM log_target"), 1);
    write(&mut store, 1, &[1], vec![old("next")]);
    assert_eq!(query_value::<i64>(&tool, "SELECT max(log_id) FROM logs"), 52);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM log_target"), 2);
}
