//! Writing batches: the rows that they become, what is added up, and what is written once.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::batch::{
    Batch, CallRow, Cause, EventRow, FoldedRow, HealthRow, ResourcesRow, SharedRow, Update, WindowRow,
};
use monitor_runtime::record::{Kept, Outcome};
use monitor_runtime::store::{SetRate, SqliteStore, Store as _};

#[test]
fn every_figure_of_a_call_comes_back_from_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let root = CallRow {
        outcome: Outcome::Panic,
        kept: Kept::Failed,
        busy_ns: 900,
        weight: 2.5,
        args: Some(r#"{"id":1}"#.to_owned()),
        result: Some("null".to_owned()),
        error: Some("boom".to_owned()),
        fields: Some(r#"{"k":"v"}"#.to_owned()),
        ..call(5)
    };
    let child = CallRow { parent_id: root.span_id, trace_id: root.trace_id, function: 2, ..call(6) };
    // A task that started on one thread, was called from a second and ended on a third.
    let far = CallRow {
        span_id: (3 << 32) | 9,
        parent_id: child.span_id,
        trace_id: root.trace_id,
        thread: 2,
        start_ns: T0 - 50 * HOUR,
        kept: Kept::Slow,
        outcome: Outcome::Cancelled,
        ..call(7)
    };
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![root.clone(), child.clone(), far.clone()])).unwrap();

    let tool = tool(&path);
    let mut select = tool
        .prepare(
            "SELECT start_ns, duration_ns, busy_ns, span_id, coalesce(parent_id, 0), trace_id, outcome, kept, weight,
                args, result, error, fields, function, thread, failed FROM calls ORDER BY call_id",
        )
        .unwrap();
    let mut rows = select.query([]).unwrap();
    for expected in [&root, &child, &far] {
        let row = rows.next().unwrap().unwrap();
        let number = |at: usize| row.get::<_, i64>(at).unwrap();
        let text = |at: usize| row.get::<_, Option<String>>(at).unwrap();
        assert_eq!(number(0), expected.start_ns);
        assert_eq!(
            [1, 2, 3, 4, 5].map(|at| u64::try_from(number(at)).unwrap()),
            [
                expected.duration_ns,
                expected.busy_ns,
                stored_span(&tool, expected.span_id),
                stored_span(&tool, expected.parent_id),
                stored_span(&tool, expected.trace_id)
            ]
        );
        assert_eq!(text(6).unwrap(), format!("{:?}", expected.outcome).to_lowercase());
        assert_eq!(text(7).unwrap(), format!("{:?}", expected.kept).to_lowercase());
        assert!((row.get::<_, f64>(8).unwrap() - expected.weight).abs() < 1e-12);
        assert_eq!(
            [9, 10, 11, 12].map(text),
            [expected.args.clone(), expected.result.clone(), expected.error.clone(), expected.fields.clone()]
        );
        assert_eq!(text(13).unwrap(), function(expected.function).name);
        assert_eq!(text(14).unwrap(), thread(expected.thread).name);
        assert_eq!(number(15), i64::from(expected.outcome != Outcome::Ok));
    }
    assert_eq!(query_value::<Option<i64>>(&tool, "SELECT parent_id FROM calls WHERE call_id = 1"), None);
}

#[test]
fn a_batch_sent_twice_is_written_once_by_this_store_and_by_one_that_was_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let first = batch(1, vec![call(1), failure(2, "no")]);
    let mut store = open(&path, 1);
    assert_eq!(store.write(&first).unwrap().rows, 2);
    assert_eq!(store.write(&first).unwrap().rows, 2, "a repeated batch must be acknowledged");
    drop(store);
    let mut again = open(&path, 1);
    again.write(&first).unwrap();
    again.write(&batch(2, vec![call(3)])).unwrap();
    assert_eq!(count(&path, "calls"), 3);
    assert_eq!(query_value::<i64>(&tool(&path), "SELECT count FROM error_groups"), 1);
    assert_eq!(count(&path, "processes"), 1);
}

#[test]
fn call_ids_rise_without_reuse_across_batches_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let mut total = 0;
    for (sequence, size) in [1_u32, 31, 32, 33, 100, 0, 64].into_iter().enumerate() {
        let calls = (0..size).map(|n| call(total + n + 1)).collect();
        total += size;
        store.write(&batch(sequence as u64 + 1, calls)).unwrap();
    }
    let tool = tool(&path);
    assert_eq!(
        query_column::<i64>(&tool, "SELECT call_id FROM calls ORDER BY call_id"),
        (1..=i64::from(total)).collect::<Vec<_>>()
    );
    assert_eq!(
        query_column::<i64>(&tool, "SELECT span_id & 1048575 FROM calls ORDER BY call_id"),
        (1..=i64::from(total)).collect::<Vec<_>>()
    );
    let covered = "SELECT sum(last_call - first_call + 1) FROM call_range";
    assert_eq!(query_value::<i64>(&tool, covered), i64::from(total));
}

#[test]
fn a_range_of_ids_is_extended_in_advance_and_ends_where_its_calls_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let tool = tool(&path);
    let ranges = || {
        query_column::<String>(
            &tool,
            "SELECT first_call || '-' || last_call FROM call_range ORDER BY first_call",
        )
    };
    let mut total = 0;
    let mut write = |store: &mut SqliteStore, sequence: u64, at_ns: i64, is_one_of_many: bool| {
        let calls = (0..10).map(|n| CallRow { start_ns: at_ns - 1000 + i64::from(n), ..call(total + n + 1) });
        let batch = Batch { at_ns, is_one_of_many, ..batch(sequence, calls.collect()) };
        total += 10;
        store.write(&batch).unwrap();
    };
    let begun = T0 - T0 % 10_000_000_000;
    let changes = || query_value::<i64>(&tool, "PRAGMA data_version");
    for batch in 0..4_u64 {
        let before = (ranges(), changes());
        write(&mut store, 1 + batch, begun + 2_000_000_000 * batch.cast_signed() + 1_000_000_000, true);
        assert_ne!(changes(), before.1);
        assert_eq!(ranges(), ["1-90"], "{batch}");
    }
    // The next range, and the last batch of the process.
    write(&mut store, 5, begun + 11_000_000_000, true);
    assert_eq!(ranges(), ["1-40", "41-130"]);
    write(&mut store, 6, begun + 12_000_000_000, false);
    assert_eq!(ranges(), ["1-40", "41-60"]);
    let ids = query_column::<i64>(&tool, "SELECT call_id FROM calls ORDER BY call_id");
    assert_eq!(ids, (1..=60).collect::<Vec<_>>());
}

#[test]
fn each_of_many_calls_keeps_its_own_figures_however_alike_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    // The periods divide no number of rows of a statement.
    let calls: Vec<_> = (1..=500)
        .map(|n| CallRow {
            function: 1 + n / 37 % 3,
            duration_ns: 1500 + u64::from(n % 7),
            busy_ns: 1500 + u64::from(n / 11 % 2),
            weight: if n / 41 % 2 == 0 { 1.0 } else { f64::from(n % 5) },
            kept: if n % 13 == 0 { Kept::Slow } else { Kept::Sampled },
            ..call(n)
        })
        .collect();
    open(&path, 1).write(&batch(1, calls.clone())).unwrap();
    let tool = tool(&path);
    let sql = "SELECT function, duration_ns, busy_ns, weight, kept FROM calls ORDER BY call_id";
    let mut select = tool.prepare(sql).unwrap();
    let found = select.query_map([], |row| row.try_into()).unwrap();
    let found: Vec<(String, i64, i64, f64, String)> = found.map(Result::unwrap).collect();
    let expected: Vec<_> = calls
        .iter()
        .map(|call| {
            let kept = if call.kept == Kept::Slow { "slow" } else { "sampled" };
            let [duration, busy] = [call.duration_ns, call.busy_ns].map(|ns| i64::try_from(ns).unwrap());
            (format!("shop::f{}", call.function), duration, busy, call.weight, kept.to_owned())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn functions_of_two_processes_share_a_row_and_their_figures_are_summed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    for run in 1..=2 {
        let mut store = open(&path, run);
        let slices = vec![slice(1, 100, vec![(80, 50), (160, 50)])];
        // The second batch has later statistics of the same slice, which replace the first.
        store.write(&Batch { slices: vec![slice(1, 10, vec![(80, 5)])], ..batch(1, vec![]) }).unwrap();
        store.write(&Batch { slices, ..batch(2, vec![]) }).unwrap();
    }
    let tool = tool(&path);
    let row = tool
        .query_row(
            "SELECT function, calls, total_ms, p50_ms, p99_ms, max_ms, group_name FROM functions",
            [],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    [2, 3, 4, 5].map(|at| row.get::<_, f64>(at).unwrap()),
                    row.get::<_, String>(6)?,
                ))
            },
        )
        .unwrap();
    assert_eq!((row.0.as_str(), row.1, row.3.as_str()), ("shop::f1", 200, "orders"));
    let [total, p50, p99, max] = row.2;
    assert!((total - 0.2).abs() < 1e-12);
    assert!((p50 / 0.001_024 - 1.0).abs() < 0.1, "bucket 80 begins at 1024 ns: {p50}");
    assert!(
        (p99 - max).abs() < 1e-12,
        "the longest call bounds the percentile, because bucket 160 lies above it"
    );
}

#[test]
fn a_window_that_processes_share_has_the_percentiles_of_their_merged_histograms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let start = T0 - T0 % (10 * SECOND);
    // Bucket 80 begins at 1024 ns. One process has 95 short calls. The other has 60 calls, of which 5 are 1024 times as
    // long. Of all 155 calls the median and the 95th percentile are short. The mean of the two processes' 95th
    // percentiles is not.
    let histograms = [vec![(80, 95)], vec![(80, 55), (160, 5)]];
    let mut stores: Vec<_> = (1..=3).map(|run| open(&path, run)).collect();
    for (store, buckets) in stores.iter_mut().zip(&histograms) {
        // The second batch replaces the first state of the same window.
        for (sequence, buckets) in [(1, vec![(90, 3)]), (2, buckets.clone())] {
            store
                .write(&Batch { windows: vec![window(1, start, buckets)], ..batch(sequence, vec![]) })
                .unwrap();
        }
    }
    let elsewhere = vec![window(1, start + 10 * SECOND, vec![(160, 1)]), window(2, start, vec![(160, 1)])];
    stores[2].write(&Batch { windows: elsewhere, ..batch(1, vec![]) }).unwrap();
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM latency"), 3);
    let shared = format!("FROM latency WHERE function = 'shop::f1' AND start_ns = {start}");
    assert_eq!(query_value::<i64>(&tool, &format!("SELECT calls {shared}")), 155);
    assert_eq!(query_value::<i64>(&tool, &format!("SELECT errors {shared}")), 12);
    let short = 2_f64.powf(80.5 / 8.0).round() / 1e6;
    for (column, expected) in
        [("p50_ms", short), ("p95_ms", short), ("p99_ms", 1024.0 * short), ("max_ms", 9.0)]
    {
        let found: f64 = query_value(&tool, &format!("SELECT {column} {shared}"));
        assert!((found / expected - 1.0).abs() < 0.001, "{column}: {found} for {expected}");
    }
}

#[test]
fn what_came_late_is_added_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let start = T0 - T0 % (10 * SECOND);
    let write = |store: &mut monitor_runtime::store::SqliteStore, sequence, update, calls, lost| {
        let mut slice = slice(1, calls, vec![(80, calls)]);
        slice.update = update;
        slice.stats.recorded -= lost;
        slice.stats.dropped += lost;
        let window = WindowRow { update, ..window(1, start, vec![(80, calls)]) };
        store
            .write(&Batch { windows: vec![window], slices: vec![slice], ..batch(sequence, vec![]) })
            .unwrap();
    };
    write(&mut store, 1, Update::Replace, 10, 0);
    write(&mut store, 2, Update::Add, 2, 1);
    // One row of the ten was lost. The batch reports only that.
    let mut lost = slice(1, 0, Vec::new());
    (lost.update, lost.stats.dropped) = (Update::Add, 1);
    store.write(&Batch { slices: vec![lost], ..batch(3, vec![]) }).unwrap();
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT calls FROM latency"), 12);
    for (column, expected) in [("calls", 12), ("recorded", 10), ("dropped", 2)] {
        assert_eq!(
            query_value::<i64>(&tool, &format!("SELECT {column} FROM functions")),
            expected,
            "{column}"
        );
    }
}

#[test]
fn failures_of_one_kind_are_counted_together_with_those_that_were_folded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let so_far = |count| {
        vec![FoldedRow {
            function: 1,
            outcome: Outcome::Error,
            message: "order # not found".to_owned(),
            error_type: String::new(),
            fingerprint: 77,
            count,
            first_ns: T0 - 5,
            last_ns: T0 + HOUR,
        }]
    };
    let mut store = open(&path, 1);
    let calls =
        vec![failure(1, "order 17 not found"), failure(2, "order 4711 not found"), failure(3, "disk gone")];
    store.write(&Batch { folded: so_far(10), ..batch(1, calls) }).unwrap();
    // Counts of folded failures are absolute: 15 in total, which is 5 more than before.
    store.write(&Batch { folded: so_far(15), ..batch(2, vec![failure(4, "order 9 not found")]) }).unwrap();
    let groups: Vec<(String, String, i64, i64, i64, i64)> = tool(&path)
        .prepare("SELECT message, function, count, first_ns, last_ns, example_call_id FROM error_groups ORDER BY count")
        .unwrap()
        .query_map([], |row| row.try_into())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let f1 = "shop::f1".to_owned();
    assert_eq!(
        groups,
        [
            ("disk gone".to_owned(), f1.clone(), 1, T0 + 3000, T0 + 3000, 3),
            ("order # not found".to_owned(), f1, 18, T0 - 5, T0 + HOUR, 4),
        ]
    );
}

#[test]
fn the_number_of_error_groups_is_bounded_and_the_rest_counted_as_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let letters = |n: u32| (0..4).map(|at| char::from(b'a' + (n >> (4 * at) & 15) as u8)).collect::<String>();
    let number = |tool: &rusqlite::Connection, sql: &str| query_value::<i64>(tool, sql);
    // A noisy function leaves room for the kinds of the others.
    let mut noisy: Vec<CallRow> = (0..10_050).map(|n| failure(n + 1, &letters(n))).collect();
    noisy.push(CallRow { function: 2, ..failure(10_051, "disk gone") });
    open(&path, 1).write(&batch(1, noisy)).unwrap();
    let tool = tool(&path);
    assert_eq!(number(&tool, "SELECT sum(count) FROM error_groups"), 10_051);
    assert_eq!(number(&tool, "SELECT count FROM error_groups WHERE message = 'other'"), 9_550);
    assert_eq!(number(&tool, "SELECT count(*) FROM error_groups WHERE function = 'shop::f1'"), 501);
    assert_eq!(number(&tool, "SELECT count FROM error_groups WHERE message = 'disk gone'"), 1);
    // Many noisy functions reach the bound on all kinds. Beyond it, the first kinds of a function are still told apart.
    let many =
        (0..20_050).map(|n| CallRow { function: 3 + n / 500, ..failure(20_000 + n, &letters(n)) }).collect();
    let functions = (3..44).map(function).collect();
    open(&path, 1).write(&Batch { functions, ..batch(2, many) }).unwrap();
    assert_eq!(number(&tool, "SELECT sum(count) FROM error_groups"), 30_101);
    let last = "FROM error_groups WHERE function = 'shop::f42'";
    assert_eq!(number(&tool, &format!("SELECT count(*) {last} AND message <> 'other'")), 16);
    assert_eq!(number(&tool, &format!("SELECT count {last} AND message = 'other'")), 484);
}

#[test]
fn health_is_the_latest_report_and_events_and_resources_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for sequence in 1..=3 {
        let at_ns = T0 + i64::try_from(sequence).unwrap();
        let health = HealthRow {
            at_ns,
            level: "full".to_owned(),
            recorded: sequence,
            breaker: "closed".to_owned(),
            own_cpu_pct: f64::NAN,
            ..HealthRow::default()
        };
        let event = EventRow { at_ns, kind: "level", detail: format!("step {sequence}") };
        let resources = ResourcesRow { at_ns, cpu_pct: 12.5, rss_bytes: u64::MAX, threads: 4, open_files: 9 };
        store
            .write(&Batch {
                health: Some(health),
                events: vec![event],
                resources: Some(resources),
                ..batch(sequence, vec![])
            })
            .unwrap();
    }
    let tool = tool(&path);
    assert_eq!(query_column::<i64>(&tool, "SELECT recorded FROM health"), [3]);
    assert_eq!(query_column::<String>(&tool, "SELECT detail FROM events"), ["step 1", "step 2", "step 3"]);
    assert_eq!(query_column::<i64>(&tool, "SELECT rss_bytes FROM resources"), [i64::MAX; 3]);
    assert_eq!(query_value::<i64>(&tool, "SELECT last_seen_ns FROM processes"), T0 + 3 * SECOND / 10);
}

#[test]
fn rows_of_functions_and_threads_that_were_never_given_are_kept_under_made_up_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let stray = CallRow { function: 90, thread: 80, span_id: (5 << 32) | 1, ..call(1) };
    let orphan = FoldedRow {
        function: 91,
        outcome: Outcome::Panic,
        message: String::new(),
        error_type: String::new(),
        fingerprint: 1,
        count: 1,
        first_ns: T0,
        last_ns: T0,
    };
    open(&path, 1).write(&Batch { folded: vec![orphan], ..batch(1, vec![stray]) }).unwrap();
    let tool = tool(&path);
    assert_eq!(query_value::<String>(&tool, "SELECT function || thread FROM calls"), "function-90thread-80");
    assert_eq!(
        query_value::<i64>(&tool, "SELECT span_id FROM calls"),
        stored_span(&tool, (5 << 32) | 1).cast_signed()
    );
    assert_eq!(query_value::<String>(&tool, "SELECT function FROM error_groups"), "function-91");
}

#[test]
fn a_rate_inserted_by_any_tool_is_seen_once_and_so_is_its_removal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    assert_eq!(store.rates().unwrap(), None);
    let tool = tool(&path);
    tool.execute_batch("INSERT INTO sampling (pattern, rate) VALUES ('shop::*', 0.1)").unwrap();
    let rate = |pattern: &str, rate, set_by: &str| SetRate {
        pattern: pattern.to_owned(),
        rate,
        set_by: set_by.to_owned(),
    };
    assert_eq!(store.rates().unwrap(), Some(vec![rate("shop::*", 0.1, "sql")]));
    store.write(&batch(1, vec![call(1)])).unwrap();
    assert_eq!(store.rates().unwrap(), None, "a rate was reported again");
    store.set_rate("a", Some(0.5), "code", i64::MAX).unwrap();
    assert_eq!(store.rates().unwrap(), Some(vec![rate("shop::*", 0.1, "sql"), rate("a", 0.5, "code")]));
    store.set_rate("a", None, "code", T0).unwrap();
    tool.execute_batch("DELETE FROM sampling").unwrap();
    assert_eq!(store.rates().unwrap(), Some(vec![]));
    assert!(tool.execute_batch("INSERT INTO sampling (pattern, rate) VALUES ('x', 1.5)").is_err());
}

#[test]
fn a_store_in_memory_takes_batches_and_keeps_its_bounds() {
    use monitor_runtime::store::{SqliteStore, StoreOptions};
    let mut store = SqliteStore::open(&StoreOptions::memory(), process(1), T0).unwrap();
    assert_eq!(store.path(), None);
    let written = store.write(&batch(1, (1..=1000).map(call).collect())).unwrap();
    assert_eq!(written.rows, 1000);
    assert!(written.db_bytes > 30_000 && written.wal_bytes == 0);
    assert!(store.retain(T0 + 7 * HOUR).unwrap().rows >= 1000);
    store.close(T0, Ending::Exit).unwrap();
}

#[test]
fn ids_of_two_processes_that_number_their_spans_alike_are_unique_in_the_store_and_fit_a_double() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let high = (0x7fff_ffff_u64 << 32) | 0xffff_f000;
    let root = |n: u32| CallRow { span_id: high + u64::from(n), trace_id: high + u64::from(n), ..call(n) };
    // A child on another thread, whose spans have another prefix.
    let child = |n: u32| CallRow {
        thread: 2,
        span_id: (9 << 32) | u64::from(n),
        parent_id: high + u64::from(n),
        trace_id: high + u64::from(n),
        ..call(n)
    };
    for run in [1, 2] {
        let mut store = open(&path, run);
        for sequence in 0..3 {
            let numbers = || sequence * 10 + 1..sequence * 10 + 11;
            let calls = numbers().map(child).chain(numbers().map(root)).collect();
            store.write(&batch(u64::from(sequence) + 1, calls)).unwrap();
        }
    }
    let tool = tool(&path);
    let number = |sql: &str| query_value::<i64>(&tool, sql);
    assert_eq!(number("SELECT count(DISTINCT span_id) FROM calls"), 120);
    assert_eq!(number("SELECT count(*) FROM calls WHERE span_id >= 1 << 53 OR trace_id >= 1 << 53"), 0);
    let joined = "SELECT count(*) FROM calls c JOIN calls p ON p.span_id = c.parent_id
                  WHERE p.process_id = c.process_id AND c.trace_id = p.trace_id AND p.trace_id = p.span_id";
    assert_eq!(number(joined), 60);
    // A reader that holds each number as a double sees these ids.
    let ids = query_column::<i64>(&tool, "SELECT span_id FROM calls UNION SELECT trace_id FROM calls");
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "that is the question")]
    let through_doubles = |id: &i64| (*id as f64) as i64 == *id;
    assert!(ids.iter().all(through_doubles));
}

#[test]
fn a_span_keeps_its_id_after_a_transaction_that_failed_and_in_a_store_that_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    open(&path, 1).write(&batch(1, vec![call(1)])).unwrap();
    let child = CallRow { span_id: (7 << 32) | 2, parent_id: (7 << 32) | 1, ..call(2) };
    open(&path, 1).write(&batch(2, vec![child])).unwrap();
    let tool = tool(&path);
    let joined = "SELECT count(*) FROM calls c JOIN calls p ON p.span_id = c.parent_id";
    assert_eq!(query_value::<i64>(&tool, joined), 1);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM span_block"), 1);
}

#[test]
fn failures_with_the_same_text_and_different_types_are_different_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let typed =
        |n: u32, name: &str| CallRow { error_type: Some(name.to_owned()), ..failure(n, "refused 17") };
    let calls = vec![
        typed(1, "shop::BankError"),
        typed(2, "shop::StockError"),
        typed(3, "shop::BankError"),
        failure(4, "refused 5"),
    ];
    open(&path, 1).write(&batch(1, calls)).unwrap();
    let tool = tool(&path);
    let kinds =
        "SELECT coalesce(error_type, 'none') || ' ' || count || ' ' || message FROM error_groups ORDER BY 1";
    assert_eq!(
        query_column::<String>(&tool, kinds),
        ["none 1 refused #", "shop::BankError 2 refused #", "shop::StockError 1 refused #"]
    );
    assert_eq!(query_value::<i64>(&tool, "SELECT max(fingerprint) < 1 << 53 FROM error_groups"), 1);
}

#[test]
fn an_event_that_tells_of_a_panic_tells_no_secret_of_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let detail = "died after a panic: cannot reach postgres://ada:hunter2@db/shop, src/db.rs:7:5".to_owned();
    let events = vec![EventRow { at_ns: T0, kind: "crash", detail }];
    open(&path, 1).write(&Batch { events, ..batch(1, Vec::new()) }).unwrap();
    assert_eq!(
        query_value::<String>(&tool(&path), "SELECT detail FROM events WHERE kind = 'crash'"),
        "died after a panic: cannot reach postgres://ada:[redacted]@db/shop, src/db.rs:7:5"
    );
}

#[test]
fn texts_of_any_length_and_any_number_of_rates_in_the_control_tables_are_read_by_their_bounds() {
    use monitor_runtime::limits::SET_RATES_MAX;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    let tool = tool(&path);
    tool.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         INSERT INTO sampling SELECT printf('%s', printf('%.*c', 5000000, 'x')), 0.5, 1, 'sql';
         INSERT INTO sampling VALUES ('by', 0.5, 4000000000000000000, printf('%.*c', 5000000, 'y'));
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
         INSERT INTO sampling SELECT 'p' || n, 0.25, n, 'sql' FROM n;
         INSERT INTO breaker VALUES (0, 'open', printf('%.*c', 5000000, 'z'), 7, 'sql');",
    )
    .unwrap();
    let rates = store.rates().unwrap().unwrap();
    assert_eq!(i64::try_from(rates.len()).unwrap(), SET_RATES_MAX);
    assert!(rates.iter().all(|rate| rate.pattern.len() < 10 && rate.set_by.len() < 100));
    assert_eq!(rates.last().map(|rate| rate.pattern.as_str()), Some("by"));
    let hold = store.hold().unwrap().unwrap();
    assert!(hold.reason.len() < 100 && hold.set_ns == 7, "{hold:?}");
}

#[test]
fn calls_that_share_a_row_and_causes_of_failures_come_back_from_the_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let sums =
        SharedRow { calls: 20_000, total_ns: 6_200_000_000, max_ns: 41_000_000, last_ns: T0 + 7 * SECOND };
    let shared = CallRow { shared: Some(sums), weight: 20_000.0, ..call(1) };
    store.write(&Batch { edges: vec![(1, 2), (2, 3), (1, 2)], ..batch(1, vec![call(2), shared]) }).unwrap();
    let tool = tool(&path);
    let fold: (i64, i64, i64, i64, i64) = tool
        .query_row(
            "SELECT c.folded, f.calls, CAST(f.total_ms AS INTEGER), CAST(f.max_ms AS INTEGER), f.last_ns
             FROM calls c JOIN folds f ON f.call_id = c.call_id",
            [],
            |row| row.try_into(),
        )
        .unwrap();
    assert_eq!(fold, (20_000, 20_000, 6200, 41, T0 + 7 * SECOND));
    assert_eq!(query_value::<i64>(&tool, "SELECT CAST(sum(weight) AS INTEGER) FROM calls"), 20_001);
    let edges = "SELECT caller || ' > ' || callee FROM call_edges ORDER BY 1";
    assert_eq!(query_column::<String>(&tool, edges), ["shop::f1 > shop::f2", "shop::f2 > shop::f3"]);
}

#[test]
fn the_most_calls_below_one_caller_are_a_mean_where_callers_share_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let row = |n: u32, function: u32, calls: u64, parent: Option<u32>| CallRow {
        function,
        span_id: call(n).span_id,
        parent_id: parent.map_or(0, |parent| call(parent).span_id),
        shared: Some(SharedRow { calls, ..SharedRow::default() }),
        ..call(1)
    };
    let calls = vec![row(1, 1, 836, None), row(2, 2, 836, Some(1)), row(3, 3, 837, Some(1))];
    store.write(&batch(1, calls)).unwrap();
    let most = "SELECT most_per_parent FROM edges ORDER BY callee";
    assert_eq!(query_column::<i64>(&tool(&path), most), [1, 2]);
}

#[test]
fn what_becomes_of_a_failure_is_added_to_its_kind_in_this_batch_or_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let origin = |n: u32| failure(n, &format!("card {n} declined"));
    let passed_on = |n: u32, below: &CallRow, is_tree: bool| CallRow {
        function: 2,
        cause: Some(Box::new(Cause {
            caused_by: below.span_id,
            origin: below.span_id,
            path: format!("f2 ← f1 × {n}"),
        })),
        is_tree,
        args: Some(n.to_string()),
        ..failure(n, &format!("order failed: card {n} declined"))
    };
    // The caller comes before its callee, as it may where they ran on two threads.
    let (first, second) = (origin(1), origin(2));
    store.write(&batch(1, vec![passed_on(10, &first, true), first.clone(), second.clone()])).unwrap();
    store.write(&batch(2, vec![passed_on(11, &second, true), passed_on(12, &second, false)])).unwrap();
    // Nobody knows the failure of this cause.
    let unknown = CallRow { span_id: 999, ..origin(3) };
    store.write(&batch(3, vec![passed_on(13, &unknown, true)])).unwrap();
    let tool = tool(&path);
    let groups: Vec<String> = query_column(
        &tool,
        "SELECT function || ' ' || count || ' ' || origin_count || ' ' || root_count || ' ' || coalesce(path, '-')
         FROM error_groups ORDER BY 1",
    );
    assert_eq!(groups, ["shop::f1 2 2 2 f2 ← f1 × 12", "shop::f2 4 0 0 -"]);
    let (from, last): (i64, i64) = tool
        .query_row("SELECT first_ns, last_ns FROM error_groups WHERE origin_count > 0", [], |row| {
            row.try_into()
        })
        .unwrap();
    assert_eq!((from, last), (first.start_ns, second.start_ns), "times are those of the failures themselves");
    let causes =
        "SELECT p.args || ' < ' || c.error FROM errors p JOIN errors c ON c.span_id = p.caused_by ORDER BY 1";
    let expected = [10, 11, 12].map(|n| format!("{n} < card {} declined", if n == 10 { 1 } else { 2 }));
    assert_eq!(query_column::<String>(&tool, causes), expected);
    assert_eq!(query_value::<i64>(&tool, "SELECT sum(origin) FROM calls"), 2);
}
