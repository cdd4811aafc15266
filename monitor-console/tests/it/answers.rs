//! The commands that answer a question: `callers`, `callees`, `processes`, `resources`, `why`.

use std::fs;

use rusqlite::params;
use serde_json::{Value, json};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{monitor, without_ages};

const MS: i64 = 1_000_000;

fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

/// Three calls of `place` that each call `reserve` 20 times and `charge` once.
fn repeated(args: Option<&'static str>) -> Fixture {
    let fixture = Fixture::new();
    let mut calls = Vec::new();
    for parent in 1..=3 {
        let span = PREFIX + parent * 1_000;
        let start = (130 - 10 * parent) * SECOND;
        let child = |n: i64| Call {
            function: 2,
            ago_ns: start - n * MS,
            duration_ns: MS,
            span: span + n + 1,
            parent: Some(span),
            trace: Some(span),
            ..Call::default()
        };
        calls.extend((0..20).map(child));
        calls.push(Call { function: 3, outcome: 1, kept: 2, ago_ns: start - 20 * MS, ..child(30) });
        calls.push(Call { ago_ns: start, duration_ns: 24 * MS, span, args, ..Call::default() });
    }
    fixture.calls(&calls);
    fixture
}

#[test]
fn callees_show_calls_per_parent_share_of_time_and_repetitions() {
    let fixture = repeated(None);
    let rows = monitor(&fixture.path, &["callees", "place", "--format", "json"]).json();
    assert_eq!(column(&rows, "callee"), ["shop::stock::reserve", "shop::bank::Card::charge"]);
    assert_eq!(column(&rows, "calls"), [json!(60.0), json!(3.0)]);
    assert_eq!(column(&rows, "failed"), [json!(0.0), json!(3.0)]);
    assert_eq!(column(&rows, "calls_per_parent"), [json!(20.0), json!(1.0)]);
    assert_eq!(column(&rows, "most_per_parent"), [20, 1]);
    assert_eq!(column(&rows, "n_plus_one"), [1, 0]);
    assert!((rows[0]["share_pct"].as_f64().unwrap() - 83.3).abs() < 0.1, "{rows:?}");
    assert_eq!((&rows[0]["basis_rows"], &rows[0]["most_call_id"]), (&json!(66), &json!(66)));
    let ran = monitor(&fixture.path, &["callees", "place", "--rows", "66"]);
    assert!(ran.err.contains("rests on 66 rows") && !ran.err.contains("left out"), "{}", ran.err);
    let ran = monitor(&fixture.path, &["callees", "place", "--rows", "50"]);
    assert!(
        ran.err.contains("rests on 44 rows") && ran.err.contains("older rows are left out"),
        "{}",
        ran.err
    );
    let refused = monitor(&fixture.path, &["callees", "place", "--rows", "0"]).failed(2);
    assert!(refused.contains("a number of rows is a whole number from 1 to"), "{refused}");
    let ran = monitor(&fixture.path, &["callees", "place"]);
    assert!(
        ran.err.contains("2 callees · rests on 66 rows") && without_ages(&ran.err).contains("last write AGE"),
        "{}",
        ran.err
    );
    let table = ran.ok();
    let line = table.lines().find(|line| line.contains("reserve")).unwrap();
    assert!(line.ends_with("N+1: 20 times below one call") && line.contains("83.3 %"), "{table}");
    assert!(!table.contains('~'), "{table}");
}

#[test]
fn a_caller_that_was_handed_the_list_is_no_repetition() {
    let fixture = repeated(Some(r#"{"skus":"[20 items, truncated]"}"#));
    let rows = monitor(&fixture.path, &["callees", "place", "--format", "json"]).json();
    assert_eq!(column(&rows, "n_plus_one"), [0, 0]);
}

#[test]
fn callers_tell_roots_lost_callers_and_samples() {
    let fixture = repeated(None);
    let lost = Call { function: 2, span: PREFIX + 9_000, parent: Some(PREFIX + 8_000), ..Call::default() };
    let root = Call { function: 2, span: PREFIX + 9_001, weight: 100.0, ..Call::default() };
    fixture.calls(&[lost, root]);
    let rows = monitor(&fixture.path, &["callers", "reserve", "--format", "json"]).json();
    let mut callers: Vec<_> =
        column(&rows, "caller").iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    callers.sort();
    assert_eq!(callers, ["(not recorded)", "(root)", "shop::orders::place"]);
    let table = monitor(&fixture.path, &["callers", "reserve"]).ok();
    let line = table.lines().find(|line| line.contains("(root)")).unwrap();
    assert!(line.contains("~100"), "{table}");
    assert_eq!(
        monitor(&fixture.path, &["callers", "reserve", "--limit", "1", "--format", "json"]).json().len(),
        1
    );
}

#[test]
fn a_span_without_calls_and_an_unknown_function_are_told() {
    let fixture = repeated(None);
    let ran = monitor(&fixture.path, &["callers", "reserve", "--until", "1h"]);
    assert!(
        ran.err.contains("no call of `reserve` has a row in this span · rests on no rows"),
        "{}",
        ran.err
    );
    assert_eq!(ran.ok().lines().count(), 1);
    for command in ["callers", "callees", "why"] {
        let message = monitor(&fixture.path, &[command, "nothing"]).failed(1);
        assert!(message.contains("no function here is named `nothing`"), "{message}");
    }
    let all = monitor(&fixture.path, &["callees", "*", "--since", "10m", "--format", "json"]).json();
    let part = monitor(&fixture.path, &["callees", "*", "--until", "115s", "--format", "json"]).json();
    assert_eq!(
        (column(&all, "calls")[0].clone(), column(&part, "calls")[0].clone()),
        (json!(60.0), json!(20.0))
    );
}

#[test]
fn processes_show_state_rates_losses_and_memory() {
    let fixture = Fixture::new();
    fixture.figures(1, [600, 30, 0, 0, 1_000_000, 1_000]);
    fixture.window(1, 20 * SECOND, 300, 3_000_000);
    fixture.window(1, 40 * SECOND, 290, 3_000_000);
    fixture.health(1);
    fixture
        .db
        .execute("UPDATE process SET program_version = '1.4', build = '0123456789abcdef' WHERE id = 1", [])
        .unwrap();
    resources(&fixture, 3, |_| 50 << 20);
    let rows = monitor(&fixture.path, &["processes", "--format", "json"]).json();
    assert_eq!(column(&rows, "process_id"), [1, 2]);
    assert_eq!(column(&rows, "state"), ["running", "crash"]);
    assert_eq!((&rows[0]["level"], &rows[0]["program_version"]), (&json!("degraded"), &json!("1.4")));
    assert_eq!((&rows[0]["calls"], &rows[0]["failed_pct"]), (&json!(600), &json!(5.0)));
    assert_eq!((&rows[0]["lost_rows"], &rows[0]["rss_bytes"]), (&json!(25), &json!(50 << 20)));
    let rate = rows[0]["calls_per_s"].as_f64().unwrap();
    assert!((8.0..=11.0).contains(&rate), "590 calls in the last minute: {rate}");
    let table = monitor(&fixture.path, &["processes"]).ok();
    assert!(
        table.contains("0123456789ab") && table.contains("50.0 MiB") && table.contains("5.00 %"),
        "{table}"
    );
    let idle = "UPDATE progress SET at_ns = at_ns - 120000000000 WHERE process_id = 1";
    fixture.db.execute(idle, []).unwrap();
    let rows = monitor(&fixture.path, &["processes", "--since", "10m", "--format", "json"]).json();
    assert_eq!((&rows[0]["state"], &rows[0]["calls_per_s"]), (&json!("running"), &json!(0.0)));
    let stale = "UPDATE progress SET at_ns = at_ns - 601000000000 WHERE process_id = 1";
    fixture.db.execute(stale, []).unwrap();
    let rows = monitor(&fixture.path, &["processes", "--since", "20m", "--format", "json"]).json();
    assert_eq!(column(&rows, "state"), ["crash", "stale"]);
}

/// Writes a sample of process 1 every 10 s up to now.
fn resources(fixture: &Fixture, samples: i64, rss_bytes: impl Fn(i64) -> i64) {
    let insert = "INSERT INTO resource (process_id, at_ns, cpu_pct, rss_bytes, threads, open_files)
                  VALUES (1, ?1, 12.5, ?2, 9, 30)";
    for n in 0..samples {
        let at = fixture.now - (samples - 1 - n) * 10 * SECOND;
        fixture.db.execute(insert, params![at, rss_bytes(n)]).unwrap();
    }
}

#[test]
fn resources_mark_what_grows() {
    let fixture = Fixture::new();
    resources(&fixture, 60, |n| (50 << 20) + n * (1 << 20));
    let rows = monitor(&fixture.path, &["resources", "--format", "json"]).json();
    assert_eq!(column(&rows, "figure"), ["cpu_pct", "rss_bytes", "threads", "open_files"]);
    assert_eq!(column(&rows, "growing"), [Value::Null, json!(1), json!(0), json!(0)]);
    let per_hour = rows[1]["growth_per_hour"].as_f64().unwrap() / f64::from(1 << 20);
    assert!((per_hour / 360.0 - 1.0).abs() < 0.01, "{per_hour}");
    let table = monitor(&fixture.path, &["resources"]).ok();
    let line = table.lines().find(|line| line.contains("memory")).unwrap();
    assert!(
        line.contains("growing: 360 MiB an hour") && line.contains("50.0 MiB") && line.contains('█'),
        "{table}"
    );
    assert_eq!(table.matches("growing").count(), 1, "{table}");
    let few = monitor(&fixture.path, &["resources", "--since", "1m"]).ok();
    assert_eq!(few.matches("too few samples").count(), 3, "{few}");
    assert!(monitor(&fixture.path, &["resources", "--process", "7"]).failed(1).contains("no run 7"));
    assert_eq!(
        monitor(&fixture.path, &["resources", "--process", "2", "--format", "json"]).json(),
        [] as [Value; 0]
    );
}

/// 200 calls of `place`: a quarter is slow and has another kind of number.
fn sometimes_slow() -> Fixture {
    let fixture = Fixture::new();
    let call = |n: i64| Call {
        ago_ns: (250 - n) * SECOND,
        duration_ns: if n % 4 == 0 { 30 * MS + n * 1_000 } else { MS + n * 100 },
        span: PREFIX + n + 1,
        outcome: i64::from(n % 40 == 1),
        kept: if n % 40 == 1 { 2 } else { 0 },
        args: Some(if n % 4 == 0 { r#"{"sku":"L-61","n":1}"# } else { r#"{"sku":"S-17","n":1}"# }),
        error: (n % 40 == 1).then_some("sold out"),
        ..Call::default()
    };
    fixture.calls(&(0..200).map(call).collect::<Vec<_>>());
    fixture.window(1, 60 * SECOND, 200, 1_700_000_000);
    fixture
}

#[test]
fn why_names_the_argument_that_slow_calls_share() {
    let fixture = sometimes_slow();
    let ran = monitor(&fixture.path, &["why", "place"]);
    assert!(ran.err.contains("rests on 200 rows and 1 window of 10 s"), "{}", ran.err);
    let page = ran.ok();
    let lines = [
        "shop::orders::place",
        "200 calls (0 failed)",
        "SLOW    50 of 200 calls with a row (25.0 %) took at least 30.0 ms; mean 30.1 ms against 1.01 ms of the others",
        "  in common  100 % of the slow calls have args.sku = \"L-61\", 0 % of the others",
        "  time        30.1 ms against  1.01 ms  itself",
        "  next       monitor trace 101   # {\"sku\":\"L-61\",\"n\":1}",
        "             monitor calls shop::orders::place --sort duration",
        "FAILED  5 of 200 calls with a row (2.50 %) failed",
        "  in common  cannot tell: 5 failed rows, and fewer than 20 show nothing",
        "             monitor errors shop::orders::place",
    ];
    let mut rest = page.as_str();
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line}\nis missing in\n{page}"));
        rest = &rest[at + line.len()..];
    }
    let slow = monitor(&fixture.path, &["why", "place", "--slow"]).ok();
    assert!(slow.contains("SLOW") && !slow.contains("FAILED"), "{slow}");
}

#[test]
fn why_is_data_too_and_says_when_it_cannot_tell() {
    let fixture = sometimes_slow();
    let rows = monitor(&fixture.path, &["why", "place", "--format", "json"]).json();
    let common: Vec<_> = rows.iter().filter(|row| row["about"] == "common").collect();
    assert_eq!(common.len(), 1);
    assert_eq!(
        (&common[0]["key"], &common[0]["condition"]),
        (&json!("args.sku"), &json!("args.sku = \"L-61\""))
    );
    assert_eq!(
        (&common[0]["share"], &common[0]["rows"], &common[0]["basis_rows"]),
        (&json!(1.0), &json!(50), &json!(200))
    );
    assert!(common[0]["p"].as_f64().unwrap() < 1e-6);
    let failed = rows.iter().find(|row| row["about"] == "group" && row["group"] == "failed").unwrap();
    assert!(failed["cannot_tell"].as_str().unwrap().contains("5 failed rows"));
    fixture.window(2, 60 * SECOND, 10, 1_000_000);
    let counted = monitor(&fixture.path, &["why", "reserve"]).ok();
    assert!(counted.contains("cannot tell: none of its calls has a row here"), "{counted}");
    let never = monitor(&fixture.path, &["why", "charge"]).ok();
    assert!(never.contains("It was not called."), "{never}");
    let earlier = monitor(&fixture.path, &["why", "place", "--until", "2h"]).ok();
    assert!(earlier.contains("It was not called in this span."), "{earlier}");
    let several = monitor(&fixture.path, &["why", "shop::*"]).failed(1);
    assert!(
        several.contains("selects 3 functions") && several.contains("shop::bank::Card::charge"),
        "{several}"
    );
}

#[test]
fn stores_of_every_version_are_answered_or_told_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["1", "2"] {
        let path = folder.path().join(format!("{version}.db"));
        let stored =
            format!("{}/../monitor-runtime/tests/data/versions/{version}.db", env!("CARGO_MANIFEST_DIR"));
        fs::copy(stored, &path).unwrap();
        for arguments in
            [&["callers", "*"][..], &["callees", "*"], &["processes"], &["resources"], &["findings"]]
        {
            let ran = monitor(&path, arguments);
            assert_eq!(ran.code, Some(0), "{version} {arguments:?}: {}", ran.err);
        }
        let name =
            monitor(&path, &["top", "--format", "json"]).json()[0]["function"].as_str().unwrap().to_owned();
        let ran = monitor(&path, &["why", &name]);
        match version {
            "1" => {
                assert!(
                    ran.err.contains("schema version 1, whose windows have no histograms"),
                    "{}",
                    ran.err
                );
            }
            _ => assert!(ran.out.contains(&name), "{}", ran.err),
        }
    }
}

/// An hour and ten minutes of `place` and `reserve`; in the last ten minutes `place` takes twice as long, and `charge` has
/// a few calls.
fn slower() -> Fixture {
    let fixture = Fixture::new();
    for n in 1..=400 {
        let is_recent = n <= 57;
        let noise = n * 37 % 11 * 1_000_000;
        let total = if is_recent { 240_000_000 } else { 120_000_000 } + noise;
        fixture.window(1, n * 10 * SECOND, 60, total);
        fixture.window(2, n * 10 * SECOND, 60, 6_000_000 + noise / 20);
    }
    fixture.window(3, 60 * SECOND, 3, 9_000_000);
    fixture
}

#[test]
fn diff_names_the_function_that_got_slower_and_nothing_else() {
    let fixture = slower();
    let rows = monitor(&fixture.path, &["diff", "--format", "json"]).json();
    let verdicts: Vec<_> = rows
        .iter()
        .map(|row| (row["function"].as_str().unwrap(), row["verdict"].as_str().unwrap()))
        .collect();
    let expected = [
        ("shop::orders::place", "slower"),
        ("shop::bank::Card::charge", "too few"),
        ("shop::stock::reserve", "same"),
    ];
    assert_eq!(verdicts, expected);
    let ratio = rows[0]["ratio"].as_f64().unwrap();
    assert!((1.7..2.3).contains(&ratio), "{ratio}");
    assert!(
        rows[0]["ratio_from"].as_f64().unwrap() <= ratio && rows[0]["ratio_to"].as_f64().unwrap() >= ratio
    );
    assert!(rows[0]["basis_windows"].as_i64().unwrap() > 800, "{rows:?}");
    let ran = monitor(&fixture.path, &["diff"]);
    assert!(ran.err.contains("of 3 functions got slower: shop::orders::place (× "), "{}", ran.err);
    assert!(ran.err.contains("1 the same, 1 with too few calls or windows: --all shows them"), "{}", ran.err);
    let table = ran.ok();
    assert_eq!(table.lines().count(), 2, "{table}");
    let of_one = monitor(&fixture.path, &["diff", "reserve", "--all"]).ok();
    assert!(of_one.contains("same") && !of_one.contains("place"), "{of_one}");
}

#[test]
fn since_is_the_second_side_of_diff_or_narrows_sides_that_are_no_spans() {
    let fixture = slower();
    let run =
        |arguments: &[&str]| monitor(&fixture.path, &[&["diff", "--format", "json"], arguments].concat());
    let windows = |arguments: &[&str]| {
        let rows = run(arguments).json();
        let place = rows.iter().find(|row| row["function"] == "shop::orders::place").unwrap().clone();
        (place["windows_before"].as_i64().unwrap(), place["windows_after"].as_i64().unwrap())
    };
    let (before, after) = windows(&["--since", "5m"]);
    assert!((359..=361).contains(&before) && (29..=31).contains(&after), "{before} {after}");
    let (before, after) = windows(&[]);
    assert!((339..=341).contains(&before) && (59..=61).contains(&after), "{before} {after}");
    let runs = ["--before", "process:1", "--after", "process:1"];
    assert_eq!(windows(&runs), (400, 400));
    let (before, after) = windows(&[&runs[..], &["--since", "5m"]].concat());
    assert!(before == after && (29..=31).contains(&before), "{before} {after}");
    for sides in [["1h..10m", "10m.."], ["1h..10m", "process:1"], ["process:1", "10m.."]] {
        let refused = run(&["--since", "5m", "--before", sides[0], "--after", sides[1]]).failed(2);
        assert!(refused.contains("a span has a start of its own"), "{refused}");
        assert!(run(&["--before", sides[0], "--after", sides[1]]).code == Some(0));
    }
}

#[test]
fn a_side_that_is_not_named_follows_from_the_other() {
    let fixture = slower();
    let windows = |arguments: &[&str]| {
        let arguments = [&["diff", "place", "--format", "json"], arguments].concat();
        let row = monitor(&fixture.path, &arguments).json().remove(0);
        ["windows_before", "windows_after"].map(|name| row[name].as_i64().unwrap())
    };
    let is_about = |found: [i64; 2], expected: [i64; 2]| {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1)
    };
    for (arguments, expected) in [
        (["--after", "5m.."], [30, 29]),
        (["--after", "20m..10m"], [60, 60]),
        (["--before", "30m..10m"], [121, 59]),
        (["--before", "process:1"], [400, 59]),
        (["--after", "process:1"], [340, 400]),
    ] {
        let found = windows(&arguments);
        assert!(is_about(found, expected), "{arguments:?}: {found:?}");
    }
    let refused = monitor(&fixture.path, &["diff", "--before", "1h..", "--format", "json"]).failed(2);
    assert!(refused.contains("no time is left after the first side"), "{refused}");
    let refused = monitor(&fixture.path, &["diff", "--since", "5m", "--after", "10m.."]).failed(2);
    assert!(refused.contains("a span has a start of its own"), "{refused}");
}

#[test]
fn diff_fails_on_a_verdict_and_writes_markdown() {
    let fixture = slower();
    let arguments = ["diff", "--fail-on", "slower", "--format", "markdown"];
    let ran = monitor(&fixture.path, &arguments);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("1 function: shop::orders::place"), "{}", ran.err);
    assert!(ran.out.starts_with("of 3 functions got slower: shop::orders::place"), "{}", ran.out);
    assert!(
        ran.out.contains("\n| VERDICT | FUNCTION |")
            && ran.out.contains("\n| slower | `shop::orders::place` |"),
        "{}",
        ran.out
    );
    let hidden = "1 the same, 1 with too few calls or windows: --all shows them\n";
    assert!(ran.out.ends_with(&format!(" |\n\n{hidden}")), "{}", ran.out);
    let same = monitor(&fixture.path, &["diff", "reserve", "--format", "markdown"]).ok();
    let sentence = "no change found in 1 function, 0 of them with too few calls or windows";
    let hidden = "1 the same, 0 with too few calls or windows: --all shows them";
    assert_eq!(same, format!("{sentence}\n\n{hidden}\n"));
    let all = monitor(&fixture.path, &["diff", "reserve", "--format", "markdown", "--all"]).ok();
    assert!(all.contains("\n| same | `shop::stock::reserve` |") && !all.contains("--all"), "{all}");
    let other = monitor(&fixture.path, &["diff", "--fail-on", "faster", "--fail-on", "fails-more"]);
    assert_eq!(other.code, Some(0), "{}", other.err);
    let small = monitor(&fixture.path, &["diff", "--min-change", "500%", "--format", "json"]).json();
    assert_eq!(small.iter().filter(|row| row["measure"] == "body").count(), 0);
}

#[test]
fn diff_compares_stores_builds_versions_and_runs() {
    let (first, second) = (Fixture::new(), Fixture::new());
    for n in 1..=60 {
        let noise = n * 37 % 11 * 1_000_000;
        first.window(1, n * 10 * SECOND, 60, 120_000_000 + noise);
        second.window(1, n * 10 * SECOND, 60, 60_000_000 + noise / 2);
    }
    let [before, after] = [&first, &second].map(|fixture| fixture.path.to_str().unwrap());
    let rows =
        monitor(&first.path, &["diff", "--before", before, "--after", after, "--format", "json"]).json();
    assert_eq!((&rows[0]["verdict"], &rows[0]["windows_before"]), (&json!("faster"), &json!(60)));
    // In one store, a second run has the windows of the second store.
    first
        .db
        .execute_batch(
            "UPDATE process SET build = 'aa11', program_version = '1.0' WHERE id = 1;
             UPDATE process SET build = 'stamp-bb22', program_version = '1.1' WHERE id = 2;
             INSERT INTO latency_window
               SELECT window + 100, function_id, 2, shown, calls, errors, panics, cancelled, roots, total_ns, self_ns, busy_ns,
                 nested_ns, cancelled_ns, max_ns, p50_ns, p95_ns, p99_ns, estimated, histogram FROM latency_window",
        )
        .unwrap();
    for (before, after) in
        [("build:aa", "build:bb22"), ("version:1.0", "version:1.1"), ("process:1", "process:2")]
    {
        let rows =
            monitor(&first.path, &["diff", "--before", before, "--after", after, "--format", "json"]).json();
        assert_eq!(
            (&rows[0]["verdict"], &rows[0]["windows_after"]),
            (&json!("same"), &json!(60)),
            "{before}"
        );
    }
    let unknown = monitor(&first.path, &["diff", "--before", "build:zz", "--after", "build:aa"]).failed(1);
    assert!(
        unknown.contains("no process of the build zz") && unknown.contains("aa11, stamp-bb22"),
        "{unknown}"
    );
    let unknown = monitor(&first.path, &["diff", "--before", "version:9", "--after", "build:aa"]).failed(1);
    assert!(unknown.contains("its versions: 1.0, 1.1"), "{unknown}");
    let missing = monitor(&first.path, &["diff", "--before", "/nowhere/a.db", "--after", after]).failed(1);
    assert!(missing.contains("/nowhere/a.db"), "{missing}");
    let empty = monitor(&first.path, &["diff", "--before", "48h..47h", "--after", "10m.."]);
    assert!(empty.err.contains("cannot tell: the side before has no windows with calls"), "{}", empty.err);
    assert_eq!(empty.code, Some(0));
}

#[test]
fn findings_are_sentences_with_evidence_and_what_to_type_next() {
    let fixture = repeated(None);
    let ran = monitor(&fixture.path, &["findings"]);
    assert!(ran.err.contains("rests on 66 rows"), "{}", ran.err);
    assert!(ran.err.contains("cannot tell functions that got slower"), "{}", ran.err);
    let text = ran.ok();
    let lines = [
        "critical  died: The process shop (run 2, pid 4242)",
        "          next: monitor crash",
        "warning   n_plus_one: orders::place calls stock::reserve 20 times in a row (83.3 % of its time, 20.0 ms in one call): \
         one call for all would save about 57.0 ms over 3 calls",
        "          rests on 3 calls of the caller",
        "          next: monitor trace 66",
        "          rows: monitor sql 'SELECT call_id",
    ];
    let mut rest = text.as_str();
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line}\nis missing in\n{text}"));
        rest = &rest[at + line.len()..];
    }
    let rows = monitor(&fixture.path, &["findings", "--format", "json"]).json();
    assert_eq!(column(&rows, "kind"), ["died", "n_plus_one", "cannot_tell"]);
    // The statement behind a finding runs.
    let evidence = rows[1]["evidence"].as_str().unwrap();
    assert_eq!(monitor(&fixture.path, &["sql", evidence, "--format", "json"]).json().len(), 21);
}

#[test]
fn findings_fail_by_level_and_leave_out_what_is_ignored() {
    let fixture = repeated(None);
    fixture.db.execute_batch("DELETE FROM process WHERE id = 2").unwrap();
    let ran = monitor(&fixture.path, &["findings", "--fail-on", "warning"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("1 finding of the level warning or higher"), "{}", ran.err);
    let none = [
        &["--fail-on", "critical"][..],
        &["--fail-on", "info", "--ignore", "n_plus_one"],
        &["--fail-on", "info", "--ignore", "n_plus_one shop::orders::*"],
        &["charge", "--fail-on", "info"],
        &["--until", "2h", "--fail-on", "info"],
    ];
    for arguments in none {
        let ran = monitor(&fixture.path, &[&["findings"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
    }
    let other =
        monitor(&fixture.path, &["findings", "--fail-on", "info", "--ignore", "n_plus_one shop::stock::*"]);
    assert_eq!(other.code, Some(1));
    assert!(monitor(&fixture.path, &["findings", "nothing"]).failed(1).contains("no function here is named"));
}

/// Runs the command with an output whose reader has gone before the first byte. Returns its exit code and its errors.
fn run_without_reader(store: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = crate::run::command(store.parent().unwrap(), arguments);
    let ran = command.arg("--db").arg(store).stdout(writer).stderr(std::process::Stdio::piped()).output();
    let ran = ran.unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn a_reader_that_is_gone_changes_no_verdict_and_is_no_failure_by_itself() {
    let (slower, repeated) = (slower(), repeated(None));
    repeated.health(1);
    let missing = repeated.folder.path().join("missing.db");
    for format in ["table", "json", "jsonl", "csv", "markdown"] {
        let run = |store, arguments: &[&str]| {
            run_without_reader(store, &[arguments, &["--format", format]].concat())
        };
        let (code, errors) = run(&repeated.path, &["findings", "--fail-on", "warning"]);
        assert!(code == Some(1) && errors.contains("of the level warning or higher"), "{format}: {errors}");
        let (code, errors) = run(&slower.path, &["diff", "--fail-on", "slower"]);
        assert!(code == Some(1) && errors.contains("1 function: shop::orders::place"), "{format}: {errors}");
        assert_eq!(run(&repeated.path, &["health", "--exit-code"]).0, Some(2), "{format}");
        assert_eq!(run(&missing, &["health", "--exit-code"]).0, Some(2), "{format}");
        for arguments in [
            &["findings"][..],
            &["findings", "nothing::*", "--fail-on", "info"],
            &["diff", "--fail-on", "faster"],
            &["top"],
        ] {
            let (code, errors) = run(&slower.path, arguments);
            let expected = i32::from(arguments.contains(&"nothing::*"));
            assert!(code == Some(expected) && !errors.contains("pipe"), "{format} {arguments:?}: {errors}");
        }
    }
    let degraded = "UPDATE self_report SET breaker = 'closed'";
    repeated.db.execute(degraded, []).unwrap();
    assert_eq!(run_without_reader(&repeated.path, &["health", "--exit-code"]).0, Some(1));
}

#[test]
fn findings_of_a_span_are_not_about_what_lies_outside_of_it() {
    let fixture = Fixture::new();
    // Two hours ago half of the calls of `place` were given up, and a value held a key; now all calls end.
    fixture.figures(1, [400, 0, 0, 50, 900 * MS, 3 * MS]);
    fixture.window(1, 7_200 * SECOND, 100, 100 * MS);
    fixture.db.execute("UPDATE latency_window SET cancelled = 50", []).unwrap();
    fixture.window(1, 20 * SECOND, 300, 300 * MS);
    let secret = Some(r#"{"key":"AKIAIOSFODNN7EXAMPLE"}"#);
    fixture.calls(&[
        Call { ago_ns: 7_200 * SECOND, span: PREFIX + 1, args: secret, ..Call::default() },
        Call { ago_ns: 20 * SECOND, span: PREFIX + 2, ..Call::default() },
    ]);
    // The recorder has lost rows since its start ten minutes ago, and is degraded now.
    fixture.health(1);
    fixture.db.execute("UPDATE self_report SET cost_pct = 0.9, budget_pct = 1.0", []).unwrap();
    let kinds = |span: &[&str]| -> Vec<String> {
        let rows =
            monitor(&fixture.path, &[&["findings", "--all", "--format", "json"], span].concat()).json();
        let mut kinds: Vec<_> =
            column(&rows, "kind").iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        kinds.retain(|kind| kind != "cannot_tell");
        kinds
    };
    let present = ["breaker_open", "costly", "degraded"];
    let of_process = ["folded", "lost_rows"];
    let whole = kinds(&[]);
    for kind in present.iter().chain(&of_process).chain(&["cancelled_often", "died", "leaks_secret"]) {
        assert!(whole.iter().any(|found| found == kind), "{kind}: {whole:?}");
    }
    assert_eq!(kinds(&["--since", "5m"]), present);
    assert_eq!(kinds(&["--since", "11m"]), [&present[..], &of_process].concat());
    assert_eq!(kinds(&["--until", "1h"]), ["cancelled_often", "leaks_secret"]);
    // The process ran then, and died later.
    assert_eq!(kinds(&["--at", "800s"]), [""; 0]);
    assert_eq!(kinds(&["--at", "700s"]), ["died"]);
    for span in ["--until", "--at"] {
        let ran = monitor(&fixture.path, &["findings", span, "800s"]);
        assert!(ran.err.contains("cannot tell the state of recorders and receivers"), "{}", ran.err);
    }
    let ran = monitor(&fixture.path, &["findings", "--since", "5m"]);
    assert!(ran.err.contains("cannot tell lost rows and failures that were only counted"), "{}", ran.err);
    let passes = ["findings", "--at", "800s", "--fail-on", "info"];
    assert_eq!(monitor(&fixture.path, &passes).code, Some(0));
    let fails = ["findings", "--until", "1h", "--fail-on", "warning"];
    assert_eq!(monitor(&fixture.path, &fails).code, Some(1));
}

#[test]
fn the_settings_file_names_findings_that_are_not_told() {
    let fixture = repeated(None);
    let config = fixture.folder.path().join("monitor.toml");
    let run = |text: &str| {
        fs::write(&config, text).unwrap();
        let mut command =
            crate::run::command(fixture.folder.path(), &["findings", "--all", "--format", "json"]);
        command.arg("--db").arg(&fixture.path).env("MONITOR_CONFIG", &config);
        crate::run::Ran::from(command.output().unwrap())
    };
    let kinds = |rows: Vec<Value>| -> Vec<Value> { column(&rows, "kind") };
    assert!(kinds(run("max_rate = ${X:5}\n").json()).contains(&json!("n_plus_one")));
    let text = "max_rate = ${X:5}\n[findings]\nignore = [\"n_plus_one shop::orders::*\"]\n";
    assert!(!kinds(run(text).json()).contains(&json!("n_plus_one")));
    let message = run("[findings]\nignore = [\"n_plus_two\"]\n").failed(1);
    assert!(message.contains("n_plus_two") && message.contains("a kind is one of"), "{message}");
    let message = run("[findings]\nignored = 5\n").failed(1);
    assert!(message.contains("monitor.toml has a wrong section [findings]"), "{message}");
    let message = run("max_rate = ${X:5}\nretention = = 5m\n").failed(1);
    assert!(message.contains("monitor.toml is not valid TOML") && message.contains("line 2"), "{message}");
    fs::remove_file(&config).unwrap();
    for (path, reason) in
        [(config.as_path(), "cannot be read"), (fixture.folder.path(), "is not a regular file")]
    {
        let mut command = crate::run::command(fixture.folder.path(), &["findings"]);
        command.arg("--db").arg(&fixture.path).env("MONITOR_CONFIG", path);
        let message = crate::run::Ran::from(command.output().unwrap()).failed(1);
        assert!(message.contains("which MONITOR_CONFIG names") && message.contains(reason), "{message}");
    }
}

#[test]
fn edges_and_histograms_are_views() {
    let fixture = repeated(None);
    fixture.figures(1, [7, 0, 0, 0, 20 * MS, 10 * MS]);
    let sql =
        "SELECT caller, callee, weight, failed_weight, total_ms, parents, calls_per_parent, most_per_parent
               FROM edges ORDER BY weight DESC";
    let rows = monitor(&fixture.path, &["sql", sql, "--format", "json"]).json();
    assert_eq!(column(&rows, "callee"), ["shop::stock::reserve", "shop::bank::Card::charge"]);
    assert_eq!(
        (column(&rows, "weight"), column(&rows, "failed_weight")),
        (vec![json!(60.0), json!(3.0)], vec![json!(0.0), json!(3.0)])
    );
    assert_eq!(
        (column(&rows, "parents"), column(&rows, "calls_per_parent")),
        (vec![json!(3.0); 2], vec![json!(20.0), json!(1.0)])
    );
    assert_eq!(
        (column(&rows, "most_per_parent"), column(&rows, "total_ms")),
        (vec![json!(20), json!(1)], vec![json!(60.0), json!(3.0)])
    );
    let sql = "SELECT function, count, lower_ms < upper_ms AS is_range FROM histogram";
    let rows = monitor(&fixture.path, &["sql", sql, "--format", "json"]).json();
    assert_eq!((column(&rows, "count"), column(&rows, "is_range")), (vec![json!(7)], vec![json!(1)]));
}

#[test]
fn top_tells_the_last_ten_minutes_and_their_change_against_the_hour_before() {
    let fixture = Fixture::new();
    fixture.figures(1, [400, 0, 0, 0, 900 * MS, 3 * MS]);
    fixture.window(1, 1800 * SECOND, 300, 300 * MS);
    fixture.window(1, 20 * SECOND, 100, 180 * MS);
    let rows = monitor(&fixture.path, &["top", "--format", "json"]).json();
    assert_eq!((&rows[0]["calls_10min"], &rows[0]["calls_hour_before"]), (&json!(100.0), &json!(300.0)));
    assert!((rows[0]["change_pct"].as_f64().unwrap() - 80.0).abs() < 1e-6, "{rows:?}");
    let table = monitor(&fixture.path, &["top"]).ok();
    let [titles, line] = [0, 1].map(|at| table.lines().nth(at).unwrap().to_owned());
    assert!(
        titles.ends_with("LAST 10 MIN   CHANGE") && line.ends_with("+80.0 %") && line.contains('█'),
        "{table}"
    );
}
