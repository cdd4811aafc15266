//! Asserts that counts of calls are exact, also where calls lose their rows.

use crate::victim::{Stage, ended_in_time};

/// Returns the number of calls, and the sum of rows and of calls counted as dropped. On a busy machine the writer may
/// not run in time, and calls overrun their rings.
fn calls_and_rows(stage: &Stage) -> (i64, i64) {
    let store = stage.store();
    let rows: i64 = store.one("SELECT COUNT(*) FROM calls");
    (
        store.one("SELECT SUM(calls) FROM functions"),
        rows + store.one::<i64>("SELECT SUM(dropped) FROM functions"),
    )
}

#[test]
fn two_hundred_threads_lose_no_call_and_no_row_uncounted() {
    let stage = Stage::new();
    stage.run("threads", 200);
    assert_eq!(calls_and_rows(&stage), (20_000, 20_000));
    let store = stage.store();
    let twice = "SELECT COUNT(*) - COUNT(DISTINCT span_id) FROM calls";
    assert_eq!(store.one::<i64>(twice), 0);
}

#[test]
fn twenty_thousand_tasks_lose_no_call_and_no_row_uncounted() {
    let stage = Stage::new();
    stage.run("tasks", 20_000);
    assert_eq!(calls_and_rows(&stage), (60_000, 60_000));
}

#[test]
fn ten_thousand_short_threads_reuse_rings_and_lose_nothing_uncounted() {
    let stage = Stage::new();
    stage.run("short-threads", 10_000);
    assert_eq!(calls_and_rows(&stage), (30_000, 30_000));
    let threads: i64 = stage.store().one("SELECT COUNT(DISTINCT thread) FROM calls");
    assert_eq!(threads, 10_000);
}

#[test]
fn under_a_flood_what_has_no_row_is_counted_and_every_failure_kept() {
    let stage = Stage::new();
    let output = stage.run("flood", 1500);
    let numbers: Vec<&str> = output.lines().next().unwrap().split(' ').collect();
    let (made, failed): (i64, i64) = (numbers[0].parse().unwrap(), numbers[1].parse().unwrap());
    assert_eq!(numbers[2], "true");
    let store = stage.store();
    let (calls, recorded, dropped): (i64, i64, i64) = store
        .0
        .query_row("SELECT calls, recorded, dropped FROM functions", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(calls, made);
    assert_eq!(recorded + dropped, made);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), recorded);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM errors"), failed);
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM latency"), made);
}

#[test]
fn functions_of_one_name_and_line_are_one_and_those_of_other_names_are_not() {
    let stage = Stage::new();
    let output = stage.run("twins", 100);
    assert_eq!(output.trim(), "160 3");
    let store = stage.store();
    let functions = "SELECT function || ' ' || calls FROM functions ORDER BY function";
    let expected =
        ["_::Shelf::price 160", "first 1", "second 2"].map(|shown| format!("victim::twins::{shown}"));
    assert_eq!(store.all::<String>(functions), expected);
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM latency"), 163);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 163);
}

#[test]
fn two_processes_on_one_store_have_each_row_once() {
    let stage = Stage::new();
    let began = std::time::Instant::now();
    let programs = [3000, 5000].map(|number| stage.start("return", number));
    for mut program in programs {
        assert!(program.wait().unwrap().success());
    }
    let is_in_time = ended_in_time(began);
    stage.settle(began);
    assert_eq!(calls_and_rows(&stage), (8000, 8000));
    let store = stage.store();
    let by_process: Vec<i64> = store.all("SELECT COUNT(*) FROM calls GROUP BY process_id ORDER BY COUNT(*)");
    assert_eq!(by_process, [3000, 5000]);
    // On a busy machine an end may have had no time to write: the rows are recovered then, as after a crash.
    let endings: Vec<String> = store.all("SELECT ending FROM processes");
    assert!(endings == ["exit", "exit"] || !is_in_time, "{endings:?}");
}

#[test]
fn percentiles_lie_where_the_calls_do() {
    let stage = Stage::new();
    stage.run("return", 1000);
    let store = stage.store();
    let wrong: i64 = store.one(
        "SELECT COUNT(*) FROM functions
         WHERE NOT (p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms AND mean_ms <= max_ms)",
    );
    assert_eq!(wrong, 0);
    // An even number of calls has two in the middle, and there may be a gap between them.
    let middle: Vec<f64> = store.all("SELECT duration_ms FROM calls ORDER BY duration_ms LIMIT 2 OFFSET 499");
    let p50: f64 = store.one("SELECT p50_ms FROM functions");
    assert!(p50 > 0.9 * middle[0] && p50 < 1.1 * middle[1], "{p50} {middle:?}");
}
