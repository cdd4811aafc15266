//! Retention: which rows expire by age and size, and which rows stay.

use crate::rows::*;
use monitor_runtime::batch::{
    Batch, CallRow, Cause, Ending, EventRow, ProcessRow, ResourcesRow, SharedRow, SliceRow, ThreadRow,
    TotalRow,
};
use monitor_runtime::histogram::Histogram;
use monitor_runtime::limits::{MAX_MEMORY_BYTES, SPAN_BLOCKS_KNOWN_MAX};
use monitor_runtime::store::{SqliteStore, Store as _, StoreError, StoreOptions};
use std::path::Path;
use std::time::Duration;

/// Runs retention until there is no more to do. Returns the number of deleted rows.
fn retain_all(store: &mut SqliteStore, now_ns: i64) -> u64 {
    let mut rows = 0;
    for _ in 0..10_000 {
        let step = store.retain(now_ns).unwrap();
        rows += step.rows;
        if !step.more {
            return rows;
        }
    }
    panic!("retention did not end within 10 000 steps");
}

/// Writes a batch with a row for each table, at this moment.
fn fill(store: &mut SqliteStore, sequence: u64, at_ns: i64) {
    let start_ns = at_ns - at_ns % (10 * SECOND);
    let mut slice = slice(1, 10, vec![(80, 10)]);
    slice.start_ns = at_ns - at_ns % (HOUR / 2);
    let mut failed = failure(2, &format!("gone at {}", "x".repeat(usize::try_from(sequence).unwrap())));
    failed.start_ns = at_ns;
    failed.cause = Some(Box::new(Cause { caused_by: 7, origin: 7, path: "a ← b".to_owned() }));
    let shared = CallRow { shared: Some(SharedRow { calls: 9, ..SharedRow::default() }), ..call(1) };
    let batch = Batch {
        at_ns,
        windows: vec![window(1, start_ns, vec![(80, 10)])],
        slices: vec![slice],
        events: vec![EventRow { at_ns, kind: "level", detail: "x".to_owned() }],
        resources: Some(ResourcesRow { at_ns, ..ResourcesRow::default() }),
        ..batch(sequence, vec![shared, failed])
    };
    store.write(&batch).unwrap();
}

#[test]
fn what_is_older_than_the_age_bound_goes_from_every_table_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    fill(&mut store, 1, T0);
    fill(&mut store, 2, T0 + 3 * HOUR);
    assert_eq!(retain_all(&mut store, T0 + 5 * HOUR), 0, "a row expired too early");
    retain_all(&mut store, T0 + 7 * HOUR);
    for (object, left) in [
        ("calls", 2),
        ("call_fold", 1),
        ("call_cause", 1),
        ("call_value", 1),
        ("latency", 1),
        ("slice", 1),
        ("slice_bucket", 1),
        ("events", 1),
        ("resources", 1),
        ("error_groups", 1),
        ("processes", 1),
    ] {
        assert_eq!(count(&path, object), left, "{object}");
    }
    assert_eq!(query_value::<i64>(&tool(&path), "SELECT calls FROM functions"), 10);
}

#[test]
fn totals_less_what_has_expired_are_the_half_hours_that_are_left() {
    const FUNCTIONS: u32 = 250;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for (sequence, hours) in [(1, 0), (2, 1), (3, 2), (4, 5)] {
        let buckets = |function: u32| vec![(40 + sequence, u64::from(function)), (100, 1)];
        let calls = |function: u32| u64::from(function) + 1;
        let half_hour = |function| SliceRow {
            start_ns: T0 - T0 % (HOUR / 2) + hours * HOUR,
            ..slice(function, calls(function), buckets(function))
        };
        let so_far = |function| {
            let all: Vec<_> = (1..=sequence).map(|at| (40 + at, u64::from(function))).collect();
            let mut histogram = Histogram::from_buckets(&all);
            histogram.add_to(100, u64::try_from(sequence).unwrap());
            TotalRow { histogram, ..total(function, calls(function) * u64::try_from(sequence).unwrap()) }
        };
        let functions = if sequence == 1 { (1..=FUNCTIONS).map(function).collect() } else { Vec::new() };
        let batch = Batch {
            functions,
            slices: (1..=FUNCTIONS).map(half_hour).collect(),
            totals: (1..=FUNCTIONS).map(so_far).collect(),
            ..batch(u64::try_from(sequence).unwrap(), Vec::new())
        };
        store.write(&batch).unwrap();
    }
    let differences = "SELECT count(*) FROM function_total t
        LEFT JOIN function_expired x USING (process_id, function_id)
        JOIN (SELECT function_id, process_id, SUM(calls) AS calls, SUM(total_ns) AS total_ns FROM slice GROUP BY 1, 2) s
        USING (process_id, function_id)
        WHERE t.calls - coalesce(x.calls, 0) <> s.calls OR t.total_ns - coalesce(x.total_ns, 0) <> s.total_ns";
    for (hours, slices) in [(5, 4), (7, 3), (8, 2), (10, 1)] {
        retain_all(&mut store, T0 + hours * HOUR);
        let of_all: i64 = query_value(&tool(&path), "SELECT count(*) FROM slice");
        assert_eq!(of_all, slices * i64::from(FUNCTIONS), "{hours} h");
        assert_eq!(query_value::<i64>(&tool(&path), differences), 0, "{hours} h");
        for function in [1, 100, 101, 250] {
            let read = |table: &str| -> Histogram {
                let sql = format!(
                    "SELECT histogram FROM {table} WHERE function_id = (SELECT id FROM function WHERE name = 'shop::f{function}')"
                );
                let blobs: Vec<Vec<u8>> = query_column(&tool(&path), &sql);
                blobs.first().map(|blob| Histogram::from_bytes(blob)).unwrap_or_default()
            };
            let left = read("function_total").without(&read("function_expired"));
            let expected: Vec<_> =
                (5 - i32::try_from(slices).unwrap()..=4).map(|at| (40 + at, function)).collect();
            let mut expected = Histogram::from_buckets(&expected);
            expected.add_to(100, u64::try_from(slices).unwrap());
            assert_eq!(left, expected, "{hours} h, function {function}");
        }
    }
    store.close(T0 + 10 * HOUR, Ending::Exit).unwrap();
    let mut store = open(&path, 2);
    retain_all(&mut store, T0 + 30 * HOUR);
    assert_eq!(
        (count(&path, "function_expired"), count(&path, "slice_bucket")),
        (0, 0),
        "its run was deleted"
    );
}

#[test]
fn other_bounds_hold_from_the_moment_on_at_which_they_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    for sequence in 1..=100 {
        let calls = (0..1000).map(|at| call(at + u32::try_from(sequence).unwrap() * 1000)).collect();
        store.write(&batch(sequence, calls)).unwrap();
    }
    assert_eq!(retain_all(&mut store, T0 + HOUR), 0);
    store.set_bounds(6 * Duration::from_secs(3600), 2 << 20).unwrap();
    retain_all(&mut store, T0 + HOUR);
    let left = count(&path, "calls");
    assert!((10_000..80_000).contains(&left), "{left} in 2 MiB");
    store.set_bounds(Duration::from_secs(600), 2 << 20).unwrap();
    retain_all(&mut store, T0 + HOUR);
    assert_eq!(count(&path, "calls"), 0);
}

#[test]
fn ids_go_on_where_they_were_after_everything_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    fill(&mut store, 1, T0);
    retain_all(&mut store, T0 + 8 * HOUR);
    assert_eq!(count(&path, "calls") + count(&path, "thread"), 0);
    fill(&mut store, 2, T0 + 8 * HOUR);
    fill(&mut store, 3, T0 + 8 * HOUR + SECOND);
    let tool = tool(&path);
    assert_eq!(query_column::<i64>(&tool, "SELECT call_id FROM calls"), [3, 4, 5, 6]);
    assert_eq!(query_value::<String>(&tool, "SELECT DISTINCT thread FROM calls"), "worker-1");
    assert_eq!(query_value::<i64>(&tool, "SELECT sum(last_call - first_call + 1) FROM call_range"), 4);
}

#[test]
fn a_process_goes_when_it_has_ended_and_its_last_row_has_gone_and_its_functions_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut first = open(&path, 1);
    fill(&mut first, 1, T0);
    first.close(T0 + SECOND, Ending::Exit).unwrap();
    let mut second = open(&path, 2);
    let mut only = batch(1, vec![call(1)]);
    only.functions.truncate(1);
    only.at_ns = T0 + 8 * HOUR;
    second.write(&only).unwrap();
    let tool = tool(&path);
    for process_id in 0..=2 {
        tool.execute(
            "INSERT INTO breaker (process_id, hold, reason) VALUES (?1, 'open', 'test')",
            [process_id],
        )
        .unwrap();
        tool.execute(
            "INSERT INTO guard_hold (process_id, name, hold, reason) VALUES (?1, 'bank', 'open', 'test')",
            [process_id],
        )
        .unwrap();
    }
    retain_all(&mut second, T0 + 8 * HOUR);
    for table in ["breaker", "guard_hold"] {
        let held = query_column::<i64>(&tool, &format!("SELECT process_id FROM {table} ORDER BY process_id"));
        assert_eq!(
            held,
            [0, 2],
            "a later process with the number of the one that has gone would find {table} held"
        );
    }
    assert_eq!(query_column::<String>(&tool, "SELECT run_uuid FROM processes"), [process(2).run_uuid]);
    assert_eq!(query_column::<String>(&tool, "SELECT name FROM function"), ["shop::f1"]);
    assert_eq!(query_value::<String>(&tool, "SELECT function || thread FROM calls"), "shop::f1worker-1");
}

#[test]
fn a_process_whose_records_were_recovered_late_stays_as_long_as_these() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut first = open(&path, 1);
    first.close(T0, Ending::Exit).unwrap();
    let now = T0 + 8 * HOUR;
    tool(&path).execute("INSERT INTO progress VALUES (1, 3, 8, ?1)", [now]).unwrap();
    let mut second = open(&path, 2);
    fill(&mut second, 1, now);
    retain_all(&mut second, now + SECOND);
    let processes = || query_column::<i64>(&tool(&path), "SELECT process_id FROM processes");
    assert_eq!(processes(), [1, 2]);
    retain_all(&mut second, now + 8 * HOUR);
    assert_eq!(processes(), [2]);
}

#[test]
fn while_batches_come_they_alone_take_as_many_expired_calls_along_as_they_bring() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let write = |store: &mut SqliteStore, sequence: u64, at_ns: i64| {
        let calls = (1..=1000).map(call).collect();
        store.write(&Batch { at_ns, ..batch(sequence, calls) }).unwrap();
    };
    for sequence in 1..=5 {
        write(&mut store, sequence, T0);
    }
    let expired = T0 + 6 * HOUR + SECOND;
    for (sequence, left) in [(6, 5000), (7, 5000), (8, 5000)] {
        write(&mut store, sequence, expired);
        retain_all(&mut store, expired);
        assert_eq!(count(&path, "calls"), left, "batch {sequence}");
    }
    assert_eq!(
        query_value::<i64>(&tool(&path), "SELECT min(call_id) FROM calls"),
        3001,
        "the oldest calls must go first"
    );
    retain_all(&mut store, expired + 120 * SECOND);
    assert_eq!(count(&path, "calls"), 3000, "without batches, retention must delete the rest by itself");
}

#[test]
fn calls_expire_behind_those_of_a_process_whose_clock_was_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let write = |store: &mut SqliteStore, sequence: u64, at_ns: i64| {
        store.write(&Batch { at_ns, ..batch(sequence, vec![call(1)]) }).unwrap();
    };
    write(&mut store, 1, T0 + 24 * HOUR);
    for sequence in 2..=9 {
        write(&mut store, sequence, T0 + i64::try_from(sequence).unwrap() * 20 * SECOND);
    }
    retain_all(&mut store, T0 + 7 * HOUR);
    assert_eq!(query_value::<i64>(&tool(&path), "SELECT group_concat(call_id) = '1' FROM calls"), 1);
    retain_all(&mut store, T0 + 31 * HOUR);
    assert_eq!(count(&path, "calls"), 0);
}

#[test]
fn short_processes_alone_keep_no_more_than_the_age_bound_asks_for() {
    const MINUTE: i64 = 60 * SECOND;
    const RUNS: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let end = T0 + i64::try_from(RUNS).unwrap() * 5 * MINUTE;
    for run in 0..RUNS {
        let now_ns = T0 + i64::try_from(run).unwrap() * 5 * MINUTE;
        let started = ProcessRow { started_ns: now_ns, ..process(u32::try_from(run).unwrap()) };
        let mut store = SqliteStore::open(&StoreOptions::file(&path), started, now_ns).unwrap();
        let calls = (1..=200).map(call).collect();
        store.write(&Batch { at_ns: now_ns, ..batch(1, calls) }).unwrap();
        store.close(now_ns + 1, Ending::Exit).unwrap();
    }
    let oldest: i64 =
        query_value(&tool(&path), "SELECT min(at_ns) FROM call_range WHERE first_call <= last_call");
    // Rows expire with every run whose log is long enough to be copied, which is one run in a few dozen.
    assert!(end - oldest < 12 * HOUR, "the oldest call is {} minutes old", (end - oldest) / MINUTE);
    let slices = "SELECT count(*) FROM slice WHERE slice * 1800 * 1000000000 < (SELECT max(at_ns) FROM call_range) - 43200000000000";
    assert_eq!(query_value::<i64>(&tool(&path), slices), 0);
}

#[test]
fn the_size_bound_takes_the_oldest_calls_first_and_failed_ones_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: 4 << 20, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let mut n = 0;
    for sequence in 1..=100 {
        let calls = (0..2000)
            .map(|at| {
                n += 1;
                let cause = Some(Box::new(Cause { caused_by: 7, origin: 7, path: "a ← b".to_owned() }));
                if at % 100 == 0 { CallRow { cause, ..failure(n, "order 5 failed") } } else { call(n) }
            })
            .collect();
        store.write(&batch(sequence, calls)).unwrap();
        while store.retain(T0).unwrap().more {}
    }
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM errors"), 2000, "a failed call was evicted");
    assert_eq!(query_value::<i64>(&tool, "SELECT count(caused_by) FROM errors"), 2000, "a cause was evicted");
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM errors WHERE error IS NOT NULL"), 2000);
    let ordinary: i64 = query_value(&tool, "SELECT count(*) FROM calls WHERE failed = 0");
    assert!((20_000..150_000).contains(&ordinary), "{ordinary}");
    let oldest: i64 = query_value(&tool, "SELECT min(call_id) FROM calls WHERE failed = 0");
    assert_eq!(query_value::<i64>(&tool, "SELECT max(call_id) FROM calls"), i64::from(n));
    let since = format!("SELECT count(*) FROM calls WHERE call_id >= {oldest}");
    assert_eq!(
        query_value::<i64>(&tool, &since),
        i64::from(n) - oldest + 1,
        "the remaining calls must be the newest"
    );
    assert!(std::fs::metadata(&path).unwrap().len() <= (4 << 20) / 8 * 7);
    assert_eq!(query_value::<String>(&tool, "PRAGMA integrity_check"), "ok");
}

#[test]
fn where_failed_calls_alone_fill_the_store_the_oldest_of_them_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: 2 << 20, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    for sequence in 1..=60 {
        let calls = (1..=1000).map(|n| failure(n, "no")).collect();
        let written = store.write(&batch(sequence, calls)).unwrap();
        assert!(written.db_bytes <= 2 << 20);
        while store.retain(T0).unwrap().more {}
    }
    let left = count(&path, "errors");
    assert!((5_000..60_000).contains(&left), "{left}");
    assert_eq!(
        query_value::<i64>(&tool(&path), "SELECT count FROM error_groups"),
        60_000,
        "the count of failures must be exact"
    );
}

/// Eviction leaves hardly any call but the failed ones, which are scattered over many ids. A full batch of failures must
/// find room at the first attempt all the same.
#[test]
fn failures_scattered_over_many_ids_make_way_for_a_full_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut options = StoreOptions::file(&path);
    // The empty tables take a sixth of a mebibyte, and the log more than a third.
    options.max_disk_bytes = (1 << 20) + (128 << 10);
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let (mut sequence, mut number) = (0, 0);
    let mut write = |calls: u32, one_failed_in: u32| {
        let calls = (number..number + calls)
            .map(|n| if n % one_failed_in == 0 { failure(n, &"x".repeat(100)) } else { call(n) });
        let calls: Vec<_> = calls.collect();
        number += u32::try_from(calls.len()).unwrap();
        sequence += 1;
        store.write(&batch(sequence, calls)).map(drop)
    };
    // Fills the store with failures, until no other call has a row any more.
    while count(&path, "errors") < 2000 {
        write(1000, 200).unwrap();
    }
    for at in 0..8 {
        let written = write(300, 1);
        assert!(written.is_ok(), "batch {at}: {written:?}");
    }
}

#[test]
fn freed_pages_are_used_again_so_that_the_file_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let mut sizes = Vec::new();
    for sequence in 1..=60_u64 {
        let at_ns = T0 + i64::try_from(sequence).unwrap() * HOUR;
        let calls = (1..=5000).map(call).collect();
        store.write(&Batch { at_ns, ..batch(sequence, calls) }).unwrap();
        retain_all(&mut store, at_ns);
        tool(&path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        sizes.push(size(&path));
    }
    assert!(sizes[59] <= sizes[20] + 65_536, "{sizes:?}");
}

#[test]
fn one_step_takes_no_more_than_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("shop.db"), 1);
    for sequence in 1..=4 {
        store.write(&batch(sequence, (0..5000).map(call).collect())).unwrap();
    }
    let (mut rows, mut steps) = (0, 0);
    while rows < 20_000 {
        let step = store.retain(T0 + 100 * HOUR).unwrap();
        assert!(step.rows <= 10_000, "the write lock is held for {} rows at once", step.rows);
        rows += step.rows;
        steps += 1;
    }
    assert!(steps >= 4, "{steps}");
}

#[test]
fn threads_beyond_those_that_are_remembered_go_with_their_calls_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let mut other = open(&path, 2);
    other.write(&batch(1, vec![call(1)])).unwrap();
    let (batches, each) = (10_u32, 2000_u32);
    for at in 0..batches {
        let ids = at * each + 1..=(at + 1) * each;
        let at_ns = T0 + i64::from(at) * HOUR;
        let threads = ids.clone().map(|id| ThreadRow { id, name: format!("thread-{id}"), prefix: id });
        // Thread 1 makes a call in each batch.
        let calls = [1].into_iter().chain(ids.clone()).map(|id| CallRow {
            thread: id,
            start_ns: at_ns,
            span_id: u64::from(id) << 32 | u64::from(at + 1),
            ..call(1)
        });
        let (calls, threads) = (calls.collect(), threads.collect());
        store.write(&Batch { at_ns, threads, ..batch(u64::from(at) + 1, calls) }).unwrap();
        retain_all(&mut store, at_ns);
        let tool = tool(&path);
        let (shown, kept): (i64, i64) = (
            query_value(&tool, "SELECT count(*) FROM calls"),
            query_value(&tool, "SELECT count(*) FROM call"),
        );
        assert_eq!(shown, kept, "a call has lost the base of its thread");
    }
    let end = T0 + i64::from(batches) * HOUR + 7 * HOUR;
    for step in 0..20 {
        retain_all(&mut store, end + step * 120 * SECOND);
    }
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM calls"), 0);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM thread WHERE process_id = 1"), 0);
    assert_eq!(
        query_value::<i64>(&tool, "SELECT count(*) FROM thread"),
        1,
        "the thread of the other process must stay"
    );
}

/// Writes calls of this many threads, one each, while another process may hold the lock once, and lets all rows expire
/// in one go. Returns the rows that are left of `span_block` and of `thread`.
fn rows_left_of_threads(threads: usize, max_memory_bytes: u64, is_busy_once: bool) -> (i64, i64) {
    let threads = u32::try_from(threads).unwrap();
    let each = 4096.min(threads / 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_memory_bytes, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let batches = threads.div_ceil(each);
    for at in 0..batches {
        let ids = at * each + 1..=(at + 1) * each;
        let threads = ids.clone().map(|id| ThreadRow { id, name: format!("thread-{id}"), prefix: id });
        let calls = ids.clone().map(|id| CallRow { thread: id, span_id: u64::from(id) << 32 | 1, ..call(1) });
        let (calls, threads) = (calls.collect(), threads.collect());
        let batch = Batch { threads, ..batch(u64::from(at) + 1, calls) };
        if is_busy_once && at == batches - 1 {
            let other = tool(&path);
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            assert!(matches!(store.write(&batch), Err(StoreError::Busy(_))));
            other.execute_batch("COMMIT").unwrap();
        }
        store.write(&batch).unwrap();
    }
    let tool = tool(&path);
    let count = |table: &str| query_value::<i64>(&tool, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("span_block"), i64::from(batches * each));
    retain_all(&mut store, T0 + 7 * HOUR);
    assert_eq!(count("call"), 0);
    (count("span_block"), count("thread"))
}

#[test]
fn all_rows_of_more_threads_than_are_remembered_expire_in_one_go() {
    // The newest block stays, because its id must not be given again.
    assert_eq!(rows_left_of_threads(3 * SPAN_BLOCKS_KNOWN_MAX, MAX_MEMORY_BYTES, false), (1, 0));
    // With the least memory, 128 threads and blocks are remembered, so few rows wait in each of many entries.
    assert_eq!(rows_left_of_threads(1500, 1, false), (1, 0));
}

#[test]
fn the_rows_of_threads_expire_although_another_process_held_the_lock_once() {
    for threads in [SPAN_BLOCKS_KNOWN_MAX / 2, 3 * SPAN_BLOCKS_KNOWN_MAX] {
        assert_eq!(rows_left_of_threads(threads, MAX_MEMORY_BYTES, true), (1, 0));
    }
}

#[test]
fn the_rows_of_threads_expire_although_the_file_was_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let thread = |id: u32| {
        let calls = vec![CallRow { thread: id, span_id: u64::from(id) << 32 | 1, ..call(1) }];
        let threads = vec![ThreadRow { id, name: format!("thread-{id}"), prefix: id }];
        Batch { threads, ..batch(u64::from(id), calls) }
    };
    let mut store = open(&path, 1);
    (1..=20).for_each(|id| _ = store.write(&thread(id)).unwrap());
    drop(store);
    let mut store = open(&path, 1);
    (21..=40).for_each(|id| _ = store.write(&thread(id)).unwrap());
    retain_all(&mut store, T0 + 5 * HOUR);
    assert_eq!((count(&path, "span_block"), count(&path, "thread")), (40, 40), "a row went before its calls");
    retain_all(&mut store, T0 + 7 * HOUR);
    assert_eq!((count(&path, "span_block"), count(&path, "thread")), (1, 0));
}
