//! The output of each command that reads.

use serde_json::{Value, json};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::monitor;

fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

fn shop() -> Fixture {
    let fixture = Fixture::new();
    fixture.figures(1, [12_345, 2, 1, 1, 24_690_000_000, 9_000_000]);
    fixture.figures(2, [50_000, 0, 0, 0, 1_000_000_000, 100_000]);
    fixture.figures(3, [10, 10, 0, 0, 30_000_000_000, 5_000_000_000]);
    fixture
}

#[test]
fn top_is_ordered_by_the_key_asked_for() {
    let fixture = shop();
    let (place, reserve, charge) =
        ("shop::orders::place", "shop::stock::reserve", "shop::bank::Card::charge");
    let table = [
        ("total", [charge, place, reserve]),
        ("calls", [reserve, place, charge]),
        ("mean", [charge, place, reserve]),
        ("max", [charge, place, reserve]),
        ("errors", [charge, place, reserve]),
    ];
    for (key, expected) in table {
        let rows = monitor(&fixture.path, &["top", "--sort", key, "--format", "json"]).json();
        assert_eq!(column(&rows, "function"), expected, "{key}");
    }
    let rows = monitor(&fixture.path, &["top", "--format", "json", "--limit", "1"]).json();
    assert_eq!(rows.len(), 1);
}

#[test]
fn top_writes_for_people_in_tables_and_raw_in_data() {
    let fixture = shop();
    let table = monitor(&fixture.path, &["top", "place"]).ok();
    let line = table.lines().find(|line| line.contains("shop::orders::place")).unwrap();
    for figure in ["12.3 k", "24.7 s", "2.00 ms", "9.00 ms", " 4 "] {
        assert!(line.contains(figure), "{figure} in {line}");
    }
    assert_eq!(table.lines().count(), 2, "the pattern leaves one function: {table}");
    let row = &monitor(&fixture.path, &["top", "place", "--format", "json"]).json()[0];
    assert_eq!(row["calls"], json!(12_345));
    assert_eq!(row["total_ms"], json!(24_690.0));
    assert_eq!((&row["errors"], &row["panics"], &row["cancelled"]), (&json!(2), &json!(1), &json!(1)));
    assert!(row.get("FAILED").is_none());
}

#[test]
fn columns_of_a_table_are_aligned() {
    let table = monitor(&shop().path, &["top"]).ok();
    let ends: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
}

#[test]
fn top_marks_durations_that_rest_on_the_calls_that_were_timed() {
    let fixture = Fixture::new();
    fixture.figures(1, [12_345, 2, 1, 1, 24_690_000_000, 9_000_000]);
    let exact = monitor(&fixture.path, &["top"]).ok();
    assert!(!exact.contains('~'), "{exact}");
    fixture.db.execute("UPDATE slice SET estimated = 1", []).unwrap();
    let table = monitor(&fixture.path, &["top"]).ok();
    assert_eq!(table.matches('~').count(), 6, "total, mean, percentiles and longest: {table}");
    let row = &monitor(&fixture.path, &["top", "--format", "json"]).json()[0];
    assert_eq!((&row["calls"], &row["estimated"]), (&json!(12_345), &json!(1)));
}

#[test]
fn top_since_sums_windows_and_takes_percentiles_from_merged_histograms() {
    let fixture = shop();
    fixture.window(1, 20 * SECOND, 10, 10_000_000);
    fixture.window(1, 60 * SECOND, 30, 90_000_000);
    fixture.window(1, 3000 * SECOND, 1000, 1_000_000_000);
    fixture.window(2, 20 * SECOND, 4, 4_000_000);
    // Of rows that several processes share, only the one with `shown = 1` counts.
    let share =
        "INSERT INTO latency_window SELECT window, function_id, 7, 0, calls, errors, panics, cancelled,
                   total_ns, max_ns, p50_ns, p95_ns, p99_ns, estimated, histogram FROM latency_window";
    fixture.db.execute(share, []).unwrap();
    let rows = monitor(&fixture.path, &["top", "--since", "15m", "--format", "json"]).json();
    assert_eq!(column(&rows, "calls"), [json!(40), json!(4)]);
    assert_eq!(rows[0]["total_ms"], json!(100.0));
    // Ten calls of 1 ms and thirty of 3 ms.
    for (row, column, expected) in [(0, "p50_ms", 3.0), (0, "p99_ms", 3.0), (1, "p50_ms", 1.0)] {
        let found = rows[row][column].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 0.045, "{column}: {found} for {expected}");
    }
    let table = monitor(&fixture.path, &["top", "--since", "15m"]).ok();
    assert!(!table.contains('~'), "{table}");
    fixture.db.execute("UPDATE latency_window SET estimated = 1 WHERE function_id = 1", []).unwrap();
    let table = monitor(&fixture.path, &["top", "--since", "15m"]).ok();
    assert!(table.lines().any(|line| line.contains("orders::place") && line.contains('~')), "{table}");
}

#[test]
fn calls_come_newest_first_with_every_column() {
    let fixture = Fixture::new();
    let call = |ago: i64| Call { ago_ns: ago * SECOND, span: PREFIX + 100 - ago, ..Call::default() };
    fixture.calls(&[call(30), call(20), call(10)]);
    let rows = monitor(&fixture.path, &["calls", "--format", "json"]).json();
    assert_eq!(column(&rows, "call_id"), [3, 2, 1]);
    assert_eq!(rows[0].as_object().unwrap().len(), 26);
    assert_eq!(rows[0]["duration_ns"], json!(1_500_000));
    let rows = monitor(&fixture.path, &["calls", "--limit", "1", "--format", "json"]).json();
    assert_eq!(column(&rows, "call_id"), [3]);
}

#[test]
fn calls_are_filtered_by_name_outcome_slowness_duration_and_time() {
    let fixture = Fixture::new();
    let ids = |arguments: &[&str]| {
        let rows = monitor(&fixture.path, &[&["calls", "--format", "json"], arguments].concat()).json();
        column(&rows, "call_id").iter().map(|id| id.as_i64().unwrap()).collect::<Vec<_>>()
    };
    fixture.calls(&[
        Call { ago_ns: 500 * SECOND, ..Call::default() },
        Call { function: 2, outcome: 1, kept: 2, ..Call::default() },
        Call { function: 3, kept: 1, duration_ns: 50_000_000, ..Call::default() },
        Call { function: 2, ..Call::default() },
        Call { outcome: 3, kept: 2, duration_ns: 7, ..Call::default() },
    ]);
    assert_eq!(ids(&["shop::stock::*"]), [4, 2]);
    assert_eq!(ids(&["reserve"]), [4, 2]);
    assert_eq!(ids(&["Card::charge"]), [3]);
    assert_eq!(ids(&["arge"]), [0_i64; 0]);
    assert_eq!(ids(&["--failed"]), [5, 2]);
    assert_eq!(ids(&["--slow"]), [3]);
    assert_eq!(ids(&["--failed", "--slow"]), [5, 3, 2]);
    assert_eq!(ids(&["--min", "10ms"]), [3]);
    assert_eq!(ids(&["--since", "2m"]), [5, 4, 3, 2]);
    assert_eq!(ids(&["--since", "1s"]), [0_i64; 0]);
    assert_eq!(ids(&["--sort", "duration", "--limit", "2"]), [3, 4]);
    assert_eq!(ids(&["shop::stock::*", "--failed", "--since", "2m", "--min", "1us"]), [2]);
}

#[test]
fn a_sampled_call_stands_for_about_so_many() {
    let fixture = Fixture::new();
    fixture.calls(&[Call { weight: 100.0, ..Call::default() }]);
    assert!(monitor(&fixture.path, &["calls"]).ok().contains("~100"));
}

#[test]
fn a_call_shows_its_values_and_a_failed_one_its_error() {
    let fixture = Fixture::new();
    let args = Some("{\"id\":\"A-1\"}");
    fixture.calls(&[
        Call { args, result: Some("{\"total\":3}"), ..Call::default() },
        Call { args, outcome: 1, kept: 2, error: Some("card declined"), ..Call::default() },
    ]);
    let table = monitor(&fixture.path, &["calls"]).ok();
    assert!(table.contains("{\"id\":\"A-1\"} → {\"total\":3}"), "{table}");
    assert!(table.contains("{\"id\":\"A-1\"} ✗ card declined"), "{table}");
}

#[test]
fn a_name_that_nothing_has_is_told_from_one_without_calls() {
    let fixture = Fixture::new();
    assert!(
        monitor(&fixture.path, &["calls", "nothing"]).err.contains("no function here is named `nothing`")
    );
    assert!(monitor(&fixture.path, &["errors", "nothing"]).err.contains("`monitor top` lists the names"));
    assert!(!monitor(&fixture.path, &["calls", "place"]).err.contains("no function"));
}

#[test]
fn a_pattern_that_misses_its_function_says_which_would_find_it() {
    let fixture = Fixture::new();
    let advice = |pattern: &str| monitor(&fixture.path, &["calls", pattern]).err;
    assert!(advice("orders::*").contains("try `*::orders::*`"), "{}", advice("orders::*"));
    assert!(advice("orders").contains("try `*orders::*`"), "{}", advice("orders"));
    assert!(!advice("*::orders::*").contains("no function") && !advice("*orders::*").contains("no function"));
}

#[test]
fn errors_are_grouped_with_an_example_that_trace_takes() {
    let fixture = Fixture::new();
    fixture.calls(&[Call { outcome: 1, kept: 2, error: Some("card declined"), ..Call::default() }]);
    fixture.error_group(3, "card declined", 12_345, 30 * SECOND);
    fixture.error_group(2, "out of stock", 4, 3600 * SECOND);
    let table = monitor(&fixture.path, &["errors"]).ok();
    let first = table.lines().nth(1).unwrap();
    assert!(
        first.contains("12.3 k") && first.contains("card declined") && first.contains(" s ago"),
        "{table}"
    );
    let rows = monitor(&fixture.path, &["errors", "--format", "json", "--since", "15m"]).json();
    assert_eq!(column(&rows, "message"), ["card declined"]);
    assert_eq!(rows[0]["count"], json!(12_345));
    let example = rows[0]["example_call_id"].to_string();
    assert!(monitor(&fixture.path, &["trace", &example]).ok().contains("card declined"));
    let rows = monitor(&fixture.path, &["errors", "reserve", "--format", "json"]).json();
    assert_eq!(column(&rows, "message"), ["out of stock"]);
}

/// Returns a store with the trace place → reserve → charge, charge on another thread, and a call whose caller
/// has no row.
fn trace() -> Fixture {
    let fixture = Fixture::new();
    let (root, child, grandchild) = (PREFIX + 10, PREFIX + 11, PREFIX + (1 << 32) + 5);
    let trace = Some(root);
    let base = Call { trace, ..Call::default() };
    fixture.calls(&[
        Call { span: PREFIX + 900, ..Call::default() },
        Call {
            function: 3,
            thread: 2,
            ago_ns: 40 * SECOND,
            duration_ns: SECOND,
            span: grandchild,
            parent: Some(child),
            outcome: 1,
            kept: 2,
            error: Some("card declined"),
            ..base.clone()
        },
        Call {
            function: 2,
            ago_ns: 50 * SECOND,
            duration_ns: 20 * SECOND,
            span: child,
            parent: trace,
            ..base.clone()
        },
        Call { ago_ns: 60 * SECOND, duration_ns: 40 * SECOND, span: root, ..base.clone() },
        Call { function: 2, ago_ns: 25 * SECOND, span: PREFIX + 40, parent: Some(PREFIX + 39), ..base },
    ]);
    fixture
}

#[test]
fn a_trace_is_found_by_any_of_its_ids_and_says_by_which() {
    let fixture = trace();
    let root = PREFIX + 10;
    for (id, by) in
        [(4, "call id"), (root, "trace id"), (root + 1, "span id"), (2, "call id"), (root + 30, "span id")]
    {
        let text = monitor(&fixture.path, &["trace", &id.to_string()]).ok();
        assert!(
            text.starts_with(&format!("trace {root} (found by {by} {id}) · 4 calls · 2 threads")),
            "{text}"
        );
    }
    let err = monitor(&fixture.path, &["trace", "777"]).failed(1);
    assert!(err.contains("777") && err.contains("calls 1 to 5"), "{err}");
}

#[test]
fn a_waterfall_shows_depth_offsets_bars_threads_and_errors() {
    let text = monitor(&trace().path, &["trace", "4"]).ok();
    let lines: Vec<_> = text.lines().skip(3).collect();
    assert!(
        lines[0].contains("████████████████████████  ok")
            && lines[0].contains("shop::orders::place  on main")
    );
    assert!(lines[1].contains("10.0 s") && lines[1].contains("  └─ shop::stock::reserve"), "{text}");
    assert!(lines[2].contains("   └─ shop::bank::Card::charge  ↷ on worker-2  ✗ card declined"), "{text}");
    assert!(lines[3].contains("shop::stock::reserve  (its caller 30064771111 has no row)"), "{text}");
}

#[test]
fn threads_of_one_name_are_told_apart() {
    let fixture = trace();
    fixture.db.execute("UPDATE thread SET name = 'worker'", []).unwrap();
    let text = monitor(&fixture.path, &["trace", "4"]).ok();
    assert!(text.contains("2 threads") && text.contains("shop::orders::place  on worker #1"), "{text}");
    assert!(text.contains("shop::bank::Card::charge  ↷ on worker #2"), "{text}");
}

#[test]
fn a_trace_as_data_is_in_the_order_of_the_tree() {
    let rows = monitor(&trace().path, &["trace", "4", "--format", "json"]).json();
    assert_eq!(column(&rows, "depth"), [0, 1, 2, 0]);
    assert_eq!(column(&rows, "offset_ns"), [0, 10 * SECOND, 20 * SECOND, 35 * SECOND]);
    assert_eq!(column(&rows, "call_id"), [4, 3, 2, 5]);
}

#[test]
fn health_shows_every_run_and_marks_the_dead() {
    let fixture = Fixture::new();
    fixture.health(1);
    let text = monitor(&fixture.path, &["health"]).ok();
    for expected in [
        "degraded",
        "9 failed · retried 11 times",
        "ring full 17 · backlog 5 · no ring 0 · store 3",
        "2 failures counted",
        "7.81 MiB + 64.0 KiB log",
        "0.70 % of the process's CPU, of 1.00 % allowed",
        "breaker: Circuit breaker OPEN - 25.3s until retry",
        "✗ crashed, last seen 11 min ago",
        "has not reported yet",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let rows = monitor(&fixture.path, &["health", "--format", "json"]).json();
    assert_eq!(column(&rows, "state"), ["running", "crash"]);
    assert_eq!(rows[0]["dropped_ring_full"], json!(17));
}

#[test]
fn a_process_of_this_host_that_is_no_more_was_killed() {
    let fixture = Fixture::new();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let update = "UPDATE process SET host = ?1, pid = 2147483646, ending = 'running' WHERE id = 2";
    fixture.db.execute(update, [host.trim()]).unwrap();
    assert!(monitor(&fixture.path, &["health"]).ok().contains("✗ killed"));
}

#[test]
fn sql_prints_rows_in_every_format() {
    let fixture = Fixture::new();
    let sql = "SELECT 1 AS n, 'a,b' AS t, NULL AS z, 0.5 AS r, x'00ff' AS b";
    let run = |format: &str| monitor(&fixture.path, &["sql", sql, "--format", format]).ok();
    assert_eq!(run("csv"), "n,t,z,r,b\n1,\"a,b\",,0.5,x'00ff'\n");
    assert_eq!(run("jsonl"), "{\"n\":1,\"t\":\"a,b\",\"z\":null,\"r\":0.5,\"b\":\"x'00ff'\"}\n");
    assert_eq!(run("json"), "[\n{\"n\":1,\"t\":\"a,b\",\"z\":null,\"r\":0.5,\"b\":\"x'00ff'\"}\n]\n");
    assert_eq!(run("table"), "n  t    z    r  b\n1  a,b     0.5  x'00ff'\n");
    let empty = monitor(&fixture.path, &["sql", "SELECT 1 AS n WHERE FALSE", "--format", "json"]).ok();
    assert_eq!(empty, "[]\n");
}
