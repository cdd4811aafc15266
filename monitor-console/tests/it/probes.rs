//! `monitor health --exit-code` and `monitor export prometheus`: what machines ask.

use crate::fixture::{Fixture, SECOND};
use crate::run::{Ran, command, monitor};
use monitor_runtime::histogram::Histogram;
use rusqlite::params;

/// A store of one running process that has reported, and nothing wrong with it.
fn healthy() -> Fixture {
    let fixture = Fixture::new();
    fixture.health(1);
    let fine = "UPDATE self_report SET level = 'full', breaker = 'closed', dropped_ring_full = 1, dropped_backlog = 0,
                dropped_store = 0";
    fixture.db.execute(fine, []).unwrap();
    fixture
}

fn total(fixture: &Fixture, process: i64, function: i64, calls: i64, errors: i64) {
    let insert =
        "INSERT INTO function_total VALUES (?1, ?2, ?3, ?4, 1, 0, 0, ?3, ?5, ?5, ?5, 0, 0, 9000000, 0, ?6)";
    let histogram = Histogram::from_buckets(&[(100, calls.unsigned_abs() - 1), (160, 1)]).to_bytes();
    fixture
        .db
        .execute(insert, params![process, function, calls, errors, calls * 1_000_000, histogram])
        .unwrap();
}

#[test]
fn a_probe_ends_with_the_code_of_the_part_that_does_worst() {
    let fixture = healthy();
    let text = monitor(&fixture.path, &["health", "--exit-code"]).ok();
    for part in ["store", "rings", "breaker", "recorder", "alerts", "process"] {
        assert!(text.lines().any(|line| line.starts_with("ok") && line.contains(part)), "{part}: {text}");
    }
    fixture.db.execute("UPDATE self_report SET level = 'minimal'", []).unwrap();
    let degraded = monitor(&fixture.path, &["health", "--exit-code", "--format", "json"]);
    assert_eq!(degraded.code, Some(1));
    let answer: serde_json::Value = serde_json::from_str(&degraded.out).unwrap();
    assert_eq!((&answer["status"], &answer["level"]), (&"degraded".into(), &"minimal".into()));
    monitor(&fixture.path, &["breaker", "open", "--reason", "disk swap"]).ok();
    let failing = monitor(&fixture.path, &["health", "--exit-code"]);
    assert_eq!(failing.code, Some(2));
    assert!(failing.out.contains("held open: disk swap"), "{}", failing.out);
}

#[test]
fn a_store_that_is_not_there_or_is_none_is_failing() {
    let fixture = healthy();
    for name in ["missing.db", "text.db"] {
        let path = fixture.folder.path().join(name);
        if name == "text.db" {
            std::fs::write(&path, "this is no store, and longer than a header of one would be ".repeat(20))
                .unwrap();
        }
        let ran = monitor(&path, &["health", "--exit-code"]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.err);
        assert!(ran.out.contains("failing") && ran.out.contains("store"), "{name}: {}", ran.out);
    }
    let wrong = monitor(&fixture.path, &["health", "--exit-code", "--limit", "3"]);
    assert_eq!(wrong.code, Some(2));
}

#[test]
fn a_probe_of_a_store_that_cannot_be_named_is_failing() {
    let fixture = healthy();
    let other = fixture.folder.path().join("other.db");
    fixture.copy_to(&other);
    let [store, other] = [&fixture.path, &other].map(|path| path.to_str().unwrap());
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("*.db");
    let table: [(&[&str], &str); 6] = [
        (&["--db", missing.to_str().unwrap()], "no file is named like"),
        (&["--db", "a[.db"], "is no pattern of file names"),
        (&["--all-stores"], "there is no store in"),
        (&[], "there is no store in"),
        (&["--db", store, "--db", other], "this command works on one store, and 2 are named"),
        (&["--db", ":memory:"], "a store in memory"),
    ];
    for (named, reason) in table {
        for format in ["table", "json", "csv"] {
            let arguments = [&["health", "--exit-code", "--format", format], named].concat();
            let ran = Ran::from(command(home.path(), &arguments).output().unwrap());
            assert_eq!(ran.code, Some(2), "{arguments:?}: {}{}", ran.out, ran.err);
            assert!(ran.out.contains("failing") && ran.out.contains(reason), "{arguments:?}: {}", ran.out);
        }
        // Without the option it is a failure like any other.
        let ran = Ran::from(command(home.path(), &[&["health"], named].concat()).output().unwrap());
        assert!(ran.failed(1).contains(reason), "{named:?}");
    }
}

#[test]
fn metrics_sum_all_processes_and_those_that_retention_has_deleted() {
    let fixture = healthy();
    total(&fixture, 1, 1, 100, 7);
    total(&fixture, 2, 1, 50, 0);
    let past = "INSERT INTO past_total VALUES ('shop', 'shop::orders::place', ?1, ?1, 1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, x'')";
    fixture.db.execute(past, [fixture.now - 9000 * SECOND]).unwrap();
    fixture.db.execute("INSERT INTO past_report VALUES ('shop', 'dropped_ring_full', 41)", []).unwrap();
    let guard = "INSERT INTO guard VALUES (1, 'rates', ?1, 'half_open', ?1, 'minimal', 1200, 4, 9, 7, 30, 2, 1, 3, 5, 3, NULL, NULL)";
    fixture.db.execute(guard, [fixture.now]).unwrap();
    let text = monitor(&fixture.path, &["export", "prometheus"]).ok();
    let place = "service=\"shop\",function=\"shop::orders::place\"";
    for line in [
        format!("monitored_calls_total{{{place},outcome=\"error\"}} 7"),
        format!("monitored_calls_total{{{place},outcome=\"panic\"}} 2"),
        format!("monitored_calls_total{{{place},outcome=\"ok\"}} 1141"),
        format!("monitored_call_duration_seconds_bucket{{{place},le=\"+Inf\"}} 150"),
        format!("monitored_call_duration_seconds_count{{{place}}} 150"),
        format!("monitored_call_duration_seconds_sum{{{place}}} 0.15"),
        "monitored_rows_dropped_total{service=\"shop\",reason=\"ring_full\"} 42".to_owned(),
        "monitored_level{service=\"shop\"} 3".to_owned(),
        "monitored_breaker_state{service=\"shop\"} 0".to_owned(),
        "monitored_guard_state{service=\"shop\",guard=\"rates\",run=\"1\"} 1".to_owned(),
        "monitored_guard_level{service=\"shop\",guard=\"rates\",run=\"1\"} 1".to_owned(),
        "monitored_guard_calls_total{service=\"shop\",guard=\"rates\",run=\"1\"} 1200".to_owned(),
        "monitored_guard_openings_total{service=\"shop\",guard=\"rates\",run=\"1\"} 3".to_owned(),
        "monitored_guard_fallbacks_total{service=\"shop\",guard=\"rates\",run=\"1\",kind=\"cached\"} 30"
            .to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("monitored_process_"), "processes have no series unless asked for");
    let edges = |arguments: &[&str]| {
        let text = monitor(&fixture.path, arguments).ok();
        text.lines().filter(|line| line.starts_with("monitored_call_duration_seconds_bucket{")).count()
    };
    assert_eq!(edges(&["export", "prometheus"]), 54);
    assert_eq!(edges(&["export", "prometheus", "--bucket-step", "2"]), 15);
}

#[test]
fn openmetrics_shows_a_call_for_a_bucket_and_protocol_buffers_are_bytes() {
    let fixture = healthy();
    total(&fixture, 1, 1, 100, 7);
    fixture.calls(&[crate::fixture::Call { outcome: 1, kept: 2, ..Default::default() }]);
    let text = monitor(&fixture.path, &["export", "prometheus", "--form", "openmetrics"]).ok();
    assert!(text.ends_with("# EOF\n"));
    let example =
        text.lines().find(|line| line.contains(" # {trace_id=")).unwrap_or_else(|| panic!("{text}"));
    assert!(example.contains("call_id=\"1\"} 0.0015 "), "{example}");
    let started = format!("{}.", (fixture.now - 600 * SECOND) / SECOND);
    let created = text.lines().find(|line| line.starts_with("monitored_calls_created")).unwrap();
    assert!(created.contains(&started), "{created}");
    let home = fixture.path.parent().unwrap();
    let bytes =
        command(home, &["export", "prometheus", "--form", "protobuf", "--db"]).arg(&fixture.path).output();
    let bytes = bytes.unwrap().stdout;
    assert!(bytes.windows(21).any(|part| part == b"monitored_calls_total"));
    assert_ne!(bytes[0], b'#');
}

#[test]
fn stores_of_older_versions_have_the_metrics_that_they_know() {
    let fixture = healthy();
    fixture
        .db
        .execute_batch(
            "DROP VIEW totals; DROP TABLE function_total; DROP TABLE past_total; DROP TABLE past_report",
        )
        .unwrap();
    let text = monitor(&fixture.path, &["export", "prometheus"]).ok();
    assert!(text.contains("monitored_level{service=\"shop\"} 3"), "{text}");
    assert!(!text.contains("monitored_calls_total{"), "{text}");
}
