//! The output of each command that reads.

use rusqlite::params;
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
fn top_sorts_by_self_time_and_shows_entry_points_alone() {
    let fixture = shop();
    // `charge` spends its time in a function that it calls; `reserve` is only called by monitored functions.
    fixture.db.execute_batch("UPDATE slice SET self_ns = 5 WHERE function_id = 3; UPDATE slice SET roots = 0 WHERE function_id = 2").unwrap();
    fixture.window(2, 20 * SECOND, 10, 10_000_000);
    fixture.window(3, 20 * SECOND, 10, 90_000_000);
    fixture
        .db
        .execute_batch("UPDATE latency_window SET self_ns = 7000, roots = 0 WHERE function_id = 3")
        .unwrap();
    let functions = |options: &[&str]| {
        let rows = monitor(&fixture.path, &[&["top", "--format", "json"], options].concat()).json();
        (column(&rows, "function"), column(&rows, "self_ms"))
    };
    let [place, reserve, charge] =
        ["shop::orders::place", "shop::stock::reserve", "shop::bank::Card::charge"];
    let (names, self_ms) = functions(&["--sort", "self"]);
    assert_eq!(names, [place, reserve, charge]);
    assert_eq!(self_ms, [json!(24_690.0), json!(1000.0), json!(0.000_005)]);
    assert_eq!(functions(&["--roots"]).0, [charge, place]);
    assert_eq!(
        functions(&["--since", "15m", "--sort", "self"]),
        (vec![json!(reserve), json!(charge)], vec![json!(10.0), json!(0.007)])
    );
    assert_eq!(functions(&["--since", "15m", "--roots"]).0, [reserve]);
}

#[test]
fn top_reads_a_store_without_self_times_and_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("2.db");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../monitor-runtime/tests/data/versions/2.db"), &path)
        .unwrap();
    let rows = monitor(&path, &["top", "--format", "json"]).json();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["self_ms"].is_null() && row["calls"].is_number()));
    for option in [&["--sort", "self"][..], &["--roots"]] {
        let message = monitor(&path, &[&["top"], option].concat()).failed(1);
        assert!(
            message.contains("has schema version 2, which has neither self times nor entry points"),
            "{message}"
        );
    }
}

#[test]
fn top_marks_durations_that_rest_on_the_calls_that_were_timed() {
    let fixture = Fixture::new();
    fixture.figures(1, [12_345, 2, 1, 1, 24_690_000_000, 9_000_000]);
    let exact = monitor(&fixture.path, &["top"]).ok();
    assert!(!exact.contains('~'), "{exact}");
    fixture.db.execute("UPDATE slice SET estimated = 1", []).unwrap();
    let table = monitor(&fixture.path, &["top"]).ok();
    assert_eq!(table.matches('~').count(), 7, "total, self, mean, percentiles and longest: {table}");
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
                   roots, total_ns, self_ns, busy_ns, nested_ns, cancelled_ns, max_ns, p50_ns, p95_ns, p99_ns, estimated, histogram FROM latency_window";
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
    assert_eq!(rows[0].as_object().unwrap().len(), 30);
    assert_eq!(rows[0]["duration_ns"], json!(1_500_000));
    let rows = monitor(&fixture.path, &["calls", "--limit", "1", "--format", "json"]).json();
    assert_eq!(column(&rows, "call_id"), [3]);
}

#[test]
fn calls_and_trees_are_looked_for_where_zones_say_that_they_are() {
    let fixture = Fixture::new();
    let call = |n: i64, function: i64| Call {
        function,
        span: PREFIX + n,
        parent: (n > 1).then_some(PREFIX + 1),
        trace: Some(PREFIX + 1),
        duration_ns: n * 1000,
        ..Call::default()
    };
    fixture.calls(&[call(4, 1), call(3, 2), call(2, 1), call(1, 1)]);
    let ids = |arguments: &[&str]| {
        let rows = monitor(&fixture.path, &[arguments, &["--format", "json"]].concat()).json();
        column(&rows, "call_id").iter().map(|id| id.as_i64().unwrap()).collect::<Vec<_>>()
    };
    let trace = |id: i64| {
        let mut found = ids(&["trace", &(PREFIX + id).to_string()]);
        found.sort_unstable();
        found
    };
    let answers = || {
        let newest = ids(&["calls", "shop::orders::place"]);
        let longest = ids(&["calls", "--sort", "duration", "--limit", "2"]);
        (newest, longest, ids(&["calls", "place", "--sort", "duration", "--limit", "1"]), trace(1), trace(3))
    };
    let all = (vec![4, 3, 1], vec![1, 2], vec![1], vec![1, 2, 3, 4], vec![1, 2, 3, 4]);
    assert_eq!(answers(), all, "without zones every range is read");
    fixture
        .db
        .execute_batch(
            "UPDATE call_range SET zoned = 1;
             INSERT INTO call_zone_function SELECT id, function_id, 1, 0, duration FROM call;
             INSERT INTO call_zone_span SELECT id, span >> 20, span, span, span - parent - trace, span - parent - trace
             FROM call",
        )
        .unwrap();
    assert_eq!(answers(), all);
    // A range whose zones say that it has nothing of the kind is not read.
    fixture
        .db
        .execute_batch(
            "DELETE FROM call_zone_function WHERE first_call = 1; DELETE FROM call_zone_span WHERE first_call = 1",
        )
        .unwrap();
    let without = (vec![4, 3], vec![2, 3], vec![3], vec![2, 3, 4], vec![2, 3, 4]);
    assert_eq!(answers(), without);
    // A range of many functions has one zone for all of them, and still tells its spans and its longest call.
    fixture
        .db
        .execute_batch(
            "UPDATE call_range SET zoned = 0; DELETE FROM call_zone_function;
             INSERT INTO call_zone_function SELECT id, 0, 1, 0, CASE id WHEN 1 THEN 0 ELSE duration END FROM call",
        )
        .unwrap();
    let by_windows = (vec![4, 3, 1], vec![2, 3], vec![3], vec![2, 3, 4], vec![2, 3, 4]);
    assert_eq!(answers(), by_windows);
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
    assert!(monitor(&fixture.path, &["calls", "arge"]).failed(1).contains("no function"));
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
fn calls_that_share_a_row_are_one_line_with_their_sums_and_their_extent() {
    let fixture = trace();
    // The second call of the tree stands for 20 000 that took until 5 s before the end of the root.
    let last = fixture.now - 25 * SECOND;
    fixture.db.execute("INSERT INTO call_fold VALUES (3, 20000, 6200000000, 41000000, ?1)", [last]).unwrap();
    fixture.db.execute("UPDATE call SET weight = 20000, duration = 310000 WHERE id = 3", []).unwrap();
    let text = monitor(&fixture.path, &["trace", "4"]).ok();
    assert!(text.contains("└─ shop::stock::reserve × 20 000, 6.2 s in all, longest 41 ms"), "{text}");
    assert!(text.contains("· 20 003 calls ·"), "{text}");
    let line = text.lines().find(|line| line.contains("× 20 000")).unwrap();
    assert!(line.contains("25.0 s"), "from the first start to the last end: {line}");
    let rows = monitor(&fixture.path, &["trace", "4", "--format", "json"]).json();
    assert_eq!((&rows[1]["folded"], &rows[1]["duration_ns"]), (&json!(20_000), &json!(310_000)));
    assert!(rows[0]["folded"].is_null());
    let calls = monitor(&fixture.path, &["calls"]).ok();
    assert!(
        calls.lines().any(|line| line.contains("20.0 k") && !line.contains('~')),
        "an exact number: {calls}"
    );
}

#[test]
fn a_trace_says_what_it_lacks_and_why() {
    let fixture = trace();
    let lacks = |fixture: &Fixture| {
        let text = monitor(&fixture.path, &["trace", "4"]).ok();
        text.lines().filter(|line| line.starts_with("below ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(lacks(&fixture).is_empty());
    for (id, name) in [(4, "hot::tick"), (5, "hot::timed"), (6, "hot::whole")] {
        let function = "INSERT INTO function VALUES (?1, ?2, 'src/hot.rs', ?1, NULL, 1.0)";
        fixture.db.execute(function, rusqlite::params![id, name]).unwrap();
        fixture.db.execute("INSERT INTO call_edge VALUES (2, ?1), (?1, 1)", [id]).unwrap();
    }
    let columns = "process_id, function_id, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, cpu_pct, why";
    for (process, function, rate, fidelity, speed) in [
        (1, 4, 0.0, "counted", 24e6),
        (2, 4, 1.0, "recorded", 5.0),
        (1, 5, 0.0, "timed", 5000.0),
        (1, 6, 1.0, "recorded", 100.0),
    ] {
        let insert = format!(
            "INSERT INTO function_rate ({columns}) VALUES (?1, ?2, 1, 1.0, ?3, ?4, ?5, 0, 0, 0, 'why')"
        );
        let row = rusqlite::params![process, function, rate, fidelity, speed];
        fixture.db.execute(&insert, row).unwrap();
    }
    assert_eq!(
        lacks(&fixture),
        [
            "below shop::stock::reserve · hot::tick: called here, only counted (24.0 M/s)",
            "below shop::stock::reserve · hot::timed: called here, only timed (5000/s)",
        ]
    );
    let data = monitor(&fixture.path, &["trace", "4", "--format", "csv"]).ok();
    assert!(!data.contains("below "), "{data}");
}

#[test]
fn a_failure_whose_tree_was_not_kept_says_so_and_a_slow_call_that_it_has_no_values() {
    let fixture = Fixture::new();
    let lone = Call {
        parent: Some(PREFIX + 50),
        trace: Some(PREFIX + 49),
        outcome: 1,
        kept: 2,
        error: Some("card declined"),
        span: PREFIX + 51,
        ..Call::default()
    };
    let slow = Call { outcome: 0, kept: 1, error: None, span: PREFIX + 52, ..lone.clone() };
    fixture.calls(&[lone, slow]);
    let shown = || monitor(&fixture.path, &["trace", "1"]).ok();
    assert!(shown().contains("(its caller 30064771122 has no row)"), "nothing is sampled: {}", shown());
    let columns = "process_id, function_id, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, cpu_pct, why";
    let insert = format!(
        "INSERT INTO function_rate ({columns}) VALUES (1, 1, 1, 1.0, 0.1, 'timed', 9, 0, 0, 0, 'why')"
    );
    fixture.db.execute(&insert, []).unwrap();
    assert_eq!(shown().matches("(tree not kept: its root was sampled out)").count(), 2, "{}", shown());
    assert!(shown().contains("(no values: it was not sampled when it began)"), "{}", shown());
    let calls = monitor(&fixture.path, &["calls", "--slow"]).ok();
    assert!(calls.contains("(no values: it was not sampled when it began)"), "{calls}");
}

#[test]
fn failures_are_told_at_their_origin_with_what_they_failed_and_the_rest_under_all() {
    let fixture = Fixture::new();
    let call = |function, span: i64, parent: Option<i64>, error| Call {
        function,
        span: PREFIX + span,
        parent: parent.map(|parent| PREFIX + parent),
        trace: Some(PREFIX + 10),
        outcome: 1,
        kept: 2,
        error: Some(error),
        ..Call::default()
    };
    let declined = |span, parent| call(3, span, Some(parent), "card 7 declined");
    fixture.calls(&[
        declined(12, 11),
        declined(13, 11),
        call(2, 11, Some(10), "no luck"),
        call(1, 10, None, "order: no luck"),
    ]);
    fixture.db.execute_batch("INSERT INTO call_cause VALUES (3, 2), (4, 1)").unwrap();
    let group = "INSERT INTO error_group VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, 1, NULL, ?7, ?8, ?9)";
    let ago = |seconds: i64| fixture.now - seconds * SECOND;
    for (at, function, message, count, origins, roots, path) in [
        (1, 3, "card # declined", 9, 9, 4, Some("place ← reserve ← charge × 2")),
        (2, 2, "no luck", 20, 0, 0, None),
        (3, 1, "order: no luck", 30, 0, 0, None),
    ] {
        let row = rusqlite::params![at, function, message, count, ago(500), ago(60), origins, roots, path];
        fixture.db.execute(group, row).unwrap();
    }
    let ran = monitor(&fixture.path, &["errors"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert!(lines[0].contains("COUNT  REQUESTS  TREND"), "{}", ran.out);
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!((cells[0], cells[1], cells[2].chars().count()), ("9", "4", 12), "{}", ran.out);
    assert!(cells[2].contains('█') && cells[2].starts_with('·'), "{}", ran.out);
    assert!(lines[1].ends_with("card # declined  ⟨place ← reserve ← charge × 2⟩"), "{}", ran.out);
    assert!(ran.err.contains("2 kinds were only passed on by callers: --all shows them"), "{}", ran.err);
    let all = monitor(&fixture.path, &["errors", "--all"]).ok();
    let first = all.lines().nth(1).unwrap();
    assert!(all.lines().count() == 4 && first.contains("card # declined"), "origins come first: {all}");
    // Within a span the failures and the requests are counted by rows.
    let rows = monitor(&fixture.path, &["errors", "--since", "100s", "--all", "--format", "json"]).json();
    let counts: Vec<_> =
        rows.iter().map(|row| (&row["message"], &row["count"], &row["root_count"])).collect();
    assert_eq!(
        counts,
        [
            (&json!("card # declined"), &json!(2), &json!(1)),
            (&json!("order: no luck"), &json!(1), &json!(0)),
            (&json!("no luck"), &json!(1), &json!(0)),
        ]
    );
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
        "0.70 % of a core, of 1.00 % allowed: calls and rows ",
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

#[test]
fn a_name_that_no_function_has_is_an_error_of_every_command_that_takes_one() {
    let fixture = Fixture::new();
    for command in ["top", "calls", "errors", "live"] {
        for format in ["table", "json"] {
            let ran = monitor(&fixture.path, &[command, "NOPE", "--format", format]);
            assert!(ran.out.is_empty(), "{command}: {}", ran.out);
            let err = ran.failed(1);
            assert!(err.contains("no function here is named `NOPE`"), "{command}: {err}");
        }
        // A function that is known and has nothing to show is no error.
        monitor(&fixture.path, &[command, "reserve"]).ok();
    }
}

#[test]
fn errors_since_counts_the_failures_of_that_time_alone() {
    let fixture = Fixture::new();
    let declined = |ago: i64| Call {
        function: 3,
        outcome: 1,
        kept: 2,
        ago_ns: ago * SECOND,
        error: Some("card 4711 declined"),
        ..Call::default()
    };
    let timed_out = Call { function: 2, outcome: 3, kept: 2, ago_ns: 20 * SECOND, ..Call::default() };
    fixture.calls(&[declined(550), declined(500), declined(40), declined(30), timed_out.clone(), timed_out]);
    let group = "INSERT INTO error_group VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, NULL, ?5, 0, NULL)";
    let ago = |seconds: i64| fixture.now - seconds * SECOND;
    for (at, function, outcome, message, count, first, last) in [
        (1, 3, 1, "card # declined", 4, 550, 30),
        (2, 2, 3, "cancelled", 90, 580, 20),
        (3, 1, 1, "before the span", 7, 590, 300),
        (4, 1, 1, "within the span", 3, 50, 10),
    ] {
        let row = rusqlite::params![at, function, outcome, message, count, ago(first), ago(last)];
        fixture.db.execute(group, row).unwrap();
    }
    let read = |arguments: &[&str]| {
        let rows = monitor(&fixture.path, &[&["errors", "--format", "json"], arguments].concat()).json();
        rows.iter()
            .map(|row| (row["message"].to_string(), row["count"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    let text = |message: &str| format!("{message:?}");
    let within = vec![(text("within the span"), 3), (text("cancelled"), 2), (text("card # declined"), 2)];
    let mut found = read(&["--since", "100s"]);
    found.sort_by_key(|(message, count)| (-count, message.clone()));
    let mut expected = within;
    expected.sort_by_key(|(message, count)| (-count, message.clone()));
    assert_eq!(found, expected);
    assert_eq!(read(&["charge", "--since", "100s"]), [(text("card # declined"), 2)]);
    assert_eq!(read(&[]).iter().map(|(_, count)| count).sum::<i64>(), 104);
    let table = monitor(&fixture.path, &["errors", "--since", "100s"]);
    assert!(!table.out.contains('~'), "{}", table.out);
    // Failures without a row cannot be told apart by time, so the count is marked as a lower bound.
    fixture.db.execute("INSERT INTO folded VALUES (1, 1, 5)", []).unwrap();
    let table = monitor(&fixture.path, &["errors", "--since", "100s"]);
    assert!(table.out.contains("~2") && table.err.contains("at least"), "{} {}", table.out, table.err);
}

#[test]
fn long_lists_are_bounded_in_a_table_and_whole_in_data() {
    let fixture = Fixture::new();
    for count in 1..=60 {
        fixture.error_group(1, &format!("kind {count}"), count, SECOND);
    }
    let run = "INSERT INTO process (id, run_uuid, service, version, host, pid, started_ns, ending)
               VALUES (?1, 'u' || ?1, 'shop', '0.1.0', 'elsewhere', 7, ?2, 'exit')";
    for id in 10..30 {
        fixture.db.execute(run, [id, fixture.now]).unwrap();
    }
    let errors = monitor(&fixture.path, &["errors"]);
    assert_eq!(errors.out.lines().count(), 51, "the titles and 50 kinds: {}", errors.out);
    assert!(
        errors.err.contains("60 kinds") && errors.err.contains("… 10 more: --limit 60"),
        "{}",
        errors.err
    );
    assert_eq!(monitor(&fixture.path, &["errors", "--limit", "60"]).ok().lines().count(), 61);
    assert_eq!(monitor(&fixture.path, &["errors", "--format", "json"]).json().len(), 60);
    let health = monitor(&fixture.path, &["health"]);
    assert_eq!(health.out.matches(" · pid ").count(), 10, "{}", health.out);
    assert!(health.out.lines().next().unwrap().contains("running"), "running ones first: {}", health.out);
    assert!(
        health.err.contains("22 runs") && health.err.contains("… 12 more runs: --limit 22"),
        "{}",
        health.err
    );
    assert_eq!(monitor(&fixture.path, &["health", "--limit", "22"]).ok().matches(" · pid ").count(), 22);
    assert_eq!(monitor(&fixture.path, &["health", "--format", "json"]).json().len(), 22);
}

#[test]
fn many_calls_come_in_one_order_whatever_they_are_sorted_by() {
    let fixture = Fixture::new();
    let call = |n: i64| Call {
        function: 1 + n % 3,
        span: PREFIX + n,
        duration_ns: (n * 7919) % 5_003,
        ..Call::default()
    };
    fixture.calls(&(1..=2_500).map(call).collect::<Vec<_>>());
    let ids = |arguments: &[&str]| -> Vec<i64> {
        let rows = monitor(&fixture.path, &[&["calls", "--format", "json"], arguments].concat()).json();
        column(&rows, "call_id").iter().map(|id| id.as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&["--limit", "9999"]), (1..=2_500).rev().collect::<Vec<_>>());
    assert_eq!(ids(&["--limit", "1000"]), (1_501..=2_500).rev().collect::<Vec<_>>());
    assert_eq!(ids(&["--limit", "2001"]), (500..=2_500).rev().collect::<Vec<_>>());
    assert_eq!(ids(&["--limit", "0"]), [0; 0]);
    let of_one: Vec<i64> = (1..=2_500).rev().filter(|n| n % 3 == 2).collect();
    assert_eq!(ids(&["charge", "--limit", "9999"]), of_one);
    let mut longest: Vec<i64> = (1..=2_500).collect();
    longest.sort_by_key(|n| std::cmp::Reverse(((n * 7919) % 5_003, *n)));
    assert_eq!(ids(&["--sort", "duration", "--limit", "9999"]), longest);
    assert_eq!(ids(&["--sort", "duration", "--limit", "1200"]), longest[..1_200]);
    let few = monitor(&fixture.path, &["calls", "--limit", "3"]);
    assert!(few.err.contains("3 calls"), "{}", few.err);
}

#[test]
fn the_heading_of_top_says_the_span_that_is_shown() {
    let fixture = shop();
    fixture.window(1, 5 * SECOND, 10, 10_000_000);
    let err = monitor(&fixture.path, &["top", "--since", "1s"]).err;
    let span = err.split("last ").nth(1).unwrap();
    let seconds: f64 = span.split(' ').next().unwrap().parse().unwrap();
    assert!(span.contains(" s, in whole windows of 10 s"), "{err}");
    assert!((1.0..=12.0).contains(&seconds), "from the start of the window that is shown first: {err}");
    // Without --since it is the time since the first process started, if no retention has cut it yet.
    let err = monitor(&fixture.path, &["top"]).err;
    assert!(!err.contains("6 h"), "{err}");
    // A slice of half an hour may have begun just now, so the span is told in seconds or in minutes.
    let mut span = err.split("last ").nth(1).unwrap().split_whitespace();
    let number: f64 = span.next().unwrap().parse().unwrap();
    let minutes = match span.next() {
        Some("s") => number / 60.0,
        Some("min") => number,
        _ => panic!("{err}"),
    };
    assert!(minutes <= 30.1, "{err}");
    let err = monitor(&Fixture::new().path, &["top"]).err;
    assert!(err.contains("no calls yet"), "{err}");
}

#[test]
fn what_a_wrong_clock_dated_ahead_is_in_no_span_before_now() {
    let fixture = Fixture::new();
    let year = 365 * 86_400 * SECOND;
    fixture.window(1, -year, 500, 1_000_000);
    fixture.window(1, 20 * SECOND, 5, 1_000_000);
    fixture.calls(&[
        Call { ago_ns: -year, outcome: 1, kept: 2, error: Some("early"), ..Call::default() },
        Call { ago_ns: 20 * SECOND, ..Call::default() },
    ]);
    fixture.error_group(1, "early", 1, -year);
    let rows = monitor(&fixture.path, &["top", "--since", "15m", "--format", "json"]).json();
    assert_eq!(column(&rows, "calls"), [json!(5)]);
    let err = monitor(&fixture.path, &["top", "--since", "15m"]).err;
    assert!(err.contains("windows ahead of this clock are left out"), "{err}");
    let rows = monitor(&fixture.path, &["calls", "--since", "15m", "--format", "json"]).json();
    assert_eq!(column(&rows, "call_id"), [2]);
    assert_eq!(monitor(&fixture.path, &["errors", "--since", "15m", "--format", "json"]).json().len(), 0);
}

#[test]
fn health_shows_the_guards_of_each_process_and_the_worst_first() {
    let fixture = Fixture::new();
    fixture.health(1);
    let insert =
        "INSERT INTO guard VALUES (1, ?1, ?2, ?3, ?4, ?5, 1200, 4, ?6, 7, 30, 2, 1, 1, 5, 3, ?7, ?8)";
    let (now, none) = (fixture.now, None::<&str>);
    let since = now - 12 * SECOND;
    fixture.db.execute(insert, params!["mail", now, "closed", since, "full", 0, none, none]).unwrap();
    let last = "refused\u{1b}[2J";
    fixture.db.execute(insert, params!["rates", now, "half_open", since, "degraded", 9, none, last]).unwrap();
    fixture.db.execute(insert, params!["bank", now, "open", since, "unavailable", 1, "audit", none]).unwrap();
    let text = monitor(&fixture.path, &["health"]).ok();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  guard      ")).collect();
    let answers = "5 retried, 30 answered from the cache, 2 by another function, 7 by a fixed value";
    assert!(lines[0].starts_with("bank: unavailable, open, entered 1"), "{text}");
    assert!(
        lines[0].contains(&format!(", held: audit · 1200 calls, 4 failed, 1 not made, {answers}")),
        "{text}"
    );
    assert!(lines[1].starts_with("rates: degraded, half open, entered 1"), "{text}");
    assert!(lines[1].ends_with(r" · last failure: refused\u001b[2J"), "{text}");
    assert_eq!(lines[2], format!("mail: full, closed · 1200 calls, 4 failed, 0 not made, {answers}"));
    assert_eq!(lines.len(), 3);
}

#[test]
fn one_thing_is_named_in_the_singular() {
    let fixture = Fixture::new();
    fixture.health(1);
    let one =
        "UPDATE self_report SET recorded = 1, rows_written = 1, folded_errors = 1, duplicates_avoided = 1";
    fixture.db.execute(one, []).unwrap();
    let text = monitor(&fixture.path, &["health"]).ok();
    for expected in ["recorded   1 call\n", "written    1 row, ", "1 failure counted", "1 duplicate avoided"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn the_cost_is_told_in_percent_of_one_core_with_what_lowering_saves() {
    let fixture = Fixture::new();
    fixture.health(1);
    let told = |costs: [Option<f64>; 4]| {
        let update = "UPDATE self_report SET cost_pct = ?1, budget_pct = ?2, fixed_pct = ?3, saved_pct = ?4";
        fixture.db.execute(update, costs).unwrap();
        let text = monitor(&fixture.path, &["health"]).ok();
        text.lines().find(|line| line.contains("own cost")).unwrap().to_owned()
    };
    let text = told([Some(1.5), Some(4.0), Some(0.25), Some(12.5)]);
    let expected = "1.50 % of a core, of 4.00 % allowed: calls and rows 1.25 %, wake-ups and transactions 0.25 %; \
                    lowering functions saves 12.5 %, see `monitor sample`; ";
    assert!(text.contains(expected), "{text}");
    let text = told([Some(61.25), None, Some(0.25), Some(0.0)]);
    let expected = "61.2 % of a core, no limit set: calls and rows 61.0 %, wake-ups and transactions 0.25 %; no function \
                    is lowered for it; ";
    assert!(text.contains(expected), "{text}");
    let text = told([None; 4]);
    assert!(text.contains("measured against the process's CPU time by an older version"), "{text}");
}

#[test]
fn csv_makes_formulas_inert_unless_they_are_asked_for_raw() {
    let fixture = Fixture::new();
    for formula in ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "＝1"] {
        let sql = format!("SELECT '{formula}' AS \"{formula}\", -5 AS number, 'a{formula}' AS inner");
        let inert = monitor(&fixture.path, &["sql", &sql, "--format", "csv"]).ok();
        assert_eq!(inert, format!("'{formula},number,inner\n'{formula},-5,a{formula}\n"));
        let raw = monitor(&fixture.path, &["sql", &sql, "--format", "csv", "--raw"]).ok();
        assert_eq!(raw, format!("{formula},number,inner\n{formula},-5,a{formula}\n"));
        let json = monitor(&fixture.path, &["sql", &sql, "--format", "json"]).json();
        assert_eq!(json[0][formula], json!(formula));
    }
}

#[test]
fn every_format_shows_a_control_as_one_escape() {
    let fixture = Fixture::new();
    let sql = "SELECT 'x' || char(0, 27, 8, 0x2060, 0xad, 0xe0041) || 'y' AS t";
    let escaped = r"x\u0000\u001b\b\u2060\u00ad\udb40\udc41y".replace("\\\\", "\\");
    for format in ["table", "csv", "json", "jsonl"] {
        let text = monitor(&fixture.path, &["sql", sql, "--format", format]).ok();
        assert!(text.contains(&escaped), "{format}: {text}");
    }
}
