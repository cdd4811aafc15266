//! Log lines: `monitor logs`, and where they stand beside the calls that said them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rusqlite::params;
use serde_json::{Value, json};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{command, monitor};
use crate::safety::is_harmless;

/// A line to be written.
#[derive(Clone, Copy)]
struct Said {
    ago_ns: i64,
    span: i64,
    trace: i64,
    level: i64,
    target: i64,
    call_id: Option<i64>,
    lines: i64,
    body: Option<&'static str>,
    fields: Option<&'static str>,
}

const SAID: Said = Said {
    ago_ns: 60 * SECOND,
    span: PREFIX + 2,
    trace: PREFIX + 1,
    level: 2,
    target: 1,
    call_id: Some(2),
    lines: 1,
    body: Some("attempt 3 of order 71 failed"),
    fields: None,
};

fn say(fixture: &Fixture, lines: &[Said]) {
    let transaction = fixture.db.unchecked_transaction().unwrap();
    for line in lines {
        let at_ns = fixture.now - line.ago_ns;
        let row = params![
            at_ns,
            line.span,
            line.trace,
            line.level,
            line.target,
            line.call_id,
            line.lines,
            line.body,
            line.fields
        ];
        let insert = "INSERT INTO log VALUES (NULL, ?1, 1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, 100, ?8, ?9)";
        fixture.db.execute(insert, row).unwrap();
    }
    transaction.commit().unwrap();
}

/// A trace of three calls, the second of which failed after it had said lines, as did the first before and the third beside it.
fn shop() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .db
        .execute_batch(
            "INSERT INTO log_target VALUES (1, 'shop::bank', 'src/bank.rs', 7), (2, 'payments', '', 0)",
        )
        .unwrap();
    let root = Call { ago_ns: 61 * SECOND, duration_ns: 4 * SECOND, ..Call::default() };
    let child = |number: i64, function| Call {
        function,
        span: PREFIX + number,
        parent: Some(PREFIX + 1),
        trace: Some(PREFIX + 1),
        ago_ns: 60 * SECOND,
        duration_ns: 2 * SECOND,
        ..Call::default()
    };
    let failed = Call { outcome: 1, kept: 2, error: Some("card declined"), ..child(2, 3) };
    fixture.calls(&[root, failed, child(3, 2)]);
    fixture
        .db
        .execute(
            "INSERT INTO error_group VALUES (1, 3, 1, 'card declined', 1, ?1, ?1, 2, NULL, 1, 1, NULL)",
            [fixture.now - 58 * SECOND],
        )
        .unwrap();
    let before =
        Said { ago_ns: 61 * SECOND, span: PREFIX + 1, call_id: Some(1), body: Some("begins"), ..SAID };
    let beside =
        Said { ago_ns: 59 * SECOND, span: PREFIX + 3, call_id: Some(3), body: Some("beside"), ..SAID };
    let outside =
        Said { span: 0, trace: 0, call_id: None, target: 2, level: 1, body: Some("outside"), ..SAID };
    let more = Said { ago_ns: 59 * SECOND, lines: 1201, fields: Some("{\"attempt\":3}"), ..SAID };
    let rest = Said { ago_ns: 58 * SECOND, span: 0, trace: 0, call_id: None, lines: 7, body: None, ..SAID };
    say(
        &fixture,
        &[before, SAID, beside, more, Said { level: 4, body: Some("detail"), ..outside }, outside, rest],
    );
    fixture
}

fn bodies(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["body"].as_str().unwrap_or("-")).collect()
}

#[test]
fn lines_are_found_by_function_target_level_and_time_and_the_newest_are_shown() {
    let fixture = shop();
    let logs = |arguments: &[&str]| {
        monitor(&fixture.path, &[&["logs", "--format", "json"], arguments].concat()).json()
    };
    let attempt = "attempt 3 of order 71 failed";
    assert_eq!(bodies(&logs(&[])), ["begins", attempt, "detail", "outside", "beside", attempt, "-"]);
    assert_eq!(bodies(&logs(&["charge"])), [attempt, attempt]);
    assert_eq!(bodies(&logs(&["payments"])), ["detail", "outside"]);
    assert_eq!(bodies(&logs(&["payments", "--level", "error"])), ["outside"]);
    // Those that came last, by time.
    assert_eq!(bodies(&logs(&["--limit", "2"])), ["outside", "-"]);
    assert!(logs(&["place", "--level", "error"]).is_empty(), "the function said none of this level");
    assert!(logs(&["payments", "--since", "1s"]).is_empty(), "the target said none in this time");
    for (unknown, advice) in [("plce", "`monitor top` lists the names"), ("orders", "try `*orders::*`")] {
        let err = monitor(&fixture.path, &["logs", unknown]).failed(1);
        assert!(err.contains(&format!("no log line has the target `{unknown}`")), "{err}");
        assert!(
            err.contains(&format!("no function here is named `{unknown}`")) && err.contains(advice),
            "{err}"
        );
    }
    let row = &logs(&["charge"])[1];
    assert_eq!((&row["level"], &row["lines"], &row["call_id"]), (&json!("warn"), &json!(1201), &json!(2)));
    assert_eq!((&row["function"], &row["file"]), (&json!("shop::bank::Card::charge"), &json!("src/bank.rs")));
    let table = monitor(&fixture.path, &["logs", "--wide"]).ok();
    assert!(table.contains("{\"attempt\":3}  + 1 200 more") && table.contains("+ 7 more"), "{table}");
    monitor(&fixture.path, &["logs", "--level", "loud"]).failed(2);
    let earlier = "UPDATE log SET at_ns = at_ns - 7200000000000 WHERE body <> 'outside'";
    fixture.db.execute(earlier, []).unwrap();
    let since = logs(&["--since", "1h"]);
    assert_eq!(bodies(&since), ["outside", "-"]);
}

#[test]
fn a_trace_shows_lines_among_the_calls_that_said_them() {
    let fixture = shop();
    let table = monitor(&fixture.path, &["trace", "2", "--wide"]).ok();
    let place = |text: &str| table.find(text).unwrap_or_else(|| panic!("{text} in {table}"));
    assert!(place("orders::place") < place("✎ warn begins"), "{table}");
    assert!(place("✎ warn begins") < place("Card::charge"), "{table}");
    assert!(place("Card::charge") < place("✎ warn attempt 3 of order 71 failed"), "{table}");
    assert!(place("stock::reserve") < place("✎ warn beside"), "{table}");
    assert!(!table.contains("outside"), "{table}");
    let rows = monitor(&fixture.path, &["trace", "2", "--format", "json"]).json();
    assert_eq!(rows.len(), 3, "data has calls alone");
}

#[test]
fn a_failure_shows_the_last_lines_that_were_said_within_it() {
    let fixture = shop();
    let said: Vec<Said> =
        (0..9).map(|at| Said { ago_ns: 58 * SECOND - 1 - at, body: Some("again"), ..SAID }).collect();
    for arguments in [&["errors"][..], &["why", "charge", "--failed"]] {
        let table = monitor(&fixture.path, arguments).ok();
        assert_eq!(table.matches("warn attempt 3 of order 71 failed").count(), 2, "{table}");
        assert!(!table.contains("beside") && !table.contains("begins"), "{table}");
    }
    // The lines after its end are not its own, and of many the last ones are shown.
    say(&fixture, &said);
    let table = monitor(&fixture.path, &["errors"]).ok();
    assert_eq!(table.matches("again").count(), 0, "{table}");
    let late: Vec<Said> =
        said.iter().map(|line| Said { ago_ns: line.ago_ns + SECOND / 2, ..*line }).collect();
    say(&fixture, &late);
    let table = monitor(&fixture.path, &["errors"]).ok();
    assert_eq!(table.matches("again").count(), 5, "{table}");
}

#[test]
fn new_lines_are_followed() {
    let fixture = shop();
    let arguments = ["logs", "--follow", "--limit", "1", "--level", "warn", "--format", "jsonl"];
    let mut child = command(fixture.folder.path(), &arguments)
        .arg("--db")
        .arg(&fixture.path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["lines"], json!(7));
    say(&fixture, &[Said { level: 3, ..SAID }, Said { body: Some("new"), ago_ns: 0, ..SAID }]);
    assert_eq!(next()["body"], json!("new"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn hostile_lines_reach_no_terminal_as_they_are() {
    let fixture = shop();
    let body = "\u{1b}[31mred\r\nsecond\u{202e}\u{7}";
    fixture.db.execute("UPDATE log SET body = ?1, fields = ?1 WHERE body IS NOT NULL", [body]).unwrap();
    for arguments in [
        &["logs"][..],
        &["logs", "--wide"],
        &["logs", "--format", "csv"],
        &["trace", "2"],
        &["errors"],
        &["why", "charge", "--failed"],
    ] {
        let ran = monitor(&fixture.path, arguments);
        assert!(is_harmless(&ran.out) && is_harmless(&ran.err), "{arguments:?}: {:?}", ran.out);
        assert!(ran.ok().contains("\\u001b[31mred") || arguments.contains(&"csv"), "{arguments:?}");
    }
}

#[test]
fn a_store_without_lines_says_where_they_come_from() {
    let fixture = Fixture::new();
    let ran = monitor(&fixture.path, &["logs"]);
    assert!(ran.err.contains("monitored-log"), "{}", ran.err);
    fixture.db.execute_batch("DROP VIEW logs; DROP TABLE log").unwrap();
    assert_eq!(monitor(&fixture.path, &["logs", "--format", "json"]).json(), Vec::<Value>::new());
}
