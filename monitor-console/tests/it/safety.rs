//! Hostile content, hostile files, hostile statements, and readers that leave early.

use std::io::Read;
use std::process::Stdio;

use crate::fixture::{Call, Fixture, SECOND};
use crate::run::{command, monitor};

pub(crate) const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj\r\u{7f}\u{2066}";

pub(crate) fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\n' | '\t') || !(c.is_control() || "\u{202e}\u{2066}".contains(c)))
}

#[test]
fn no_format_lets_stored_text_act_on_a_terminal() {
    let fixture = Fixture::new();
    fixture.calls(&[Call {
        args: Some(HOSTILE),
        result: Some(HOSTILE),
        error: Some(HOSTILE),
        outcome: 1,
        kept: 2,
        ..Call::default()
    }]);
    fixture.error_group(1, HOSTILE, 1, SECOND);
    fixture.figures(1, [1, 0, 0, 0, 1, 1]);
    fixture.health(1);
    for (table, column) in
        [("function", "name"), ("thread", "name"), ("process", "service"), ("event", "detail")]
    {
        let update = format!("UPDATE {table} SET {column} = ?1 WHERE id = 1");
        fixture.db.execute(&update, [HOSTILE]).unwrap();
    }
    let sql = format!("SELECT error AS \"{HOSTILE}\" FROM errors");
    let commands: [&[&str]; 7] =
        [&["top"], &["calls"], &["errors"], &["trace", "1"], &["health"], &["sample"], &["sql", &sql]];
    for arguments in commands {
        for format in ["table", "json", "jsonl", "csv"] {
            let ran = monitor(&fixture.path, &[arguments, &["--format", format]].concat());
            assert!(is_harmless(&ran.out), "{arguments:?} {format}: {:?}", ran.out);
            assert!(is_harmless(&ran.err), "{arguments:?} {format}: {:?}", ran.err);
            assert!(ran.ok().contains("owned"), "{arguments:?} {format}");
        }
    }
    let err = monitor(&fixture.path, &["sql", HOSTILE]).failed(1);
    assert!(is_harmless(&err), "{err:?}");
}

#[test]
fn json_gives_back_the_very_text() {
    let fixture = Fixture::new();
    fixture.calls(&[Call { error: Some(HOSTILE), outcome: 1, kept: 2, ..Call::default() }]);
    let rows = monitor(&fixture.path, &["calls", "--format", "json"]).json();
    assert_eq!(rows[0]["error"], HOSTILE);
}

#[test]
fn sql_reads_and_nothing_else() {
    let fixture = Fixture::new();
    let elsewhere = fixture.folder.path().join("elsewhere.db");
    let attach = format!("ATTACH '{}' AS other", elsewhere.display());
    for statement in [
        "DELETE FROM sampling",
        "INSERT INTO sampling VALUES ('*', 0, 0, 'x') RETURNING rate",
        "PRAGMA journal_mode = DELETE",
        "SELECT 1; SELECT 2",
        "VACUUM",
        "CREATE TEMP TABLE t AS SELECT 1",
        attach.as_str(),
    ] {
        let err = monitor(&fixture.path, &["sql", statement]).failed(1);
        assert!(err.starts_with("error: "), "{statement}: {err}");
    }
    assert!(!elsewhere.exists());
    let mode: String = fixture.db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_wrong_statement_says_what_is_wrong_and_where() {
    let fixture = Fixture::new();
    let table = [
        ("SELECT (", "error: incomplete input\n"),
        ("SELEC 1", "near \"SELEC\": syntax error (at byte 0 of the statement)"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("DELETE FROM call", "returns no rows"),
    ];
    for (statement, expected) in table {
        let err = monitor(&fixture.path, &["sql", statement]).failed(1);
        assert!(err.contains(expected) && !err.contains("Error code"), "{statement}: {err}");
    }
}

#[test]
fn a_text_without_a_statement_is_wrong_usage() {
    let fixture = Fixture::new();
    for empty in ["", " \n\t", " -- only a remark", "/* a remark */ ;", ";"] {
        let err = monitor(&fixture.path, &["sql", empty]).failed(2);
        assert!(err.contains("the statement is empty"), "{empty:?}: {err}");
    }
}

#[test]
fn a_statement_that_computes_too_long_is_stopped() {
    let fixture = Fixture::new();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) FROM n";
    let err = monitor(&fixture.path, &["sql", endless, "--timeout", "50ms"]).failed(1);
    assert!(err.contains("stopped after computing for 50.0 ms: bound `call_id` or `start_ns`"), "{err}");
    assert!(err.contains("--timeout") && !err.contains("--since"), "{err}");
    for command in [&["sql", "SELECT 1"][..], &["watch", "--exec", "true"]] {
        let err = monitor(&fixture.path, &[command, &["--timeout", "0s"]].concat()).failed(2);
        assert!(err.contains("a time limit is longer than 0"), "{err}");
    }
}

#[test]
fn a_statement_is_taken_from_standard_input() {
    let fixture = Fixture::new();
    let query = fixture.folder.path().join("query.sql");
    std::fs::write(&query, "SELECT count(*) AS n\nFROM processes\n").unwrap();
    let mut command = command(fixture.folder.path(), &["sql", "-", "--format", "csv", "--db"]);
    let output = command.arg(&fixture.path).stdin(std::fs::File::open(query).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "n\n2\n");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let fixture = Fixture::new();
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000) SELECT x FROM n";
    for format in ["table", "json", "jsonl", "csv"] {
        let mut child = command(fixture.folder.path(), &["sql", many, "--format", format, "--db"])
            .arg(&fixture.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut start = [0; 64];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut start).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{format}");
    }
}

#[test]
fn a_planted_trigger_does_not_run_when_a_rate_is_set() {
    let fixture = Fixture::new();
    let trigger = "CREATE TRIGGER planted AFTER INSERT ON sampling BEGIN DELETE FROM function; END";
    fixture.db.execute_batch(trigger).unwrap();
    monitor(&fixture.path, &["sample", "shop::*", "0.5"]).ok();
    let functions: i64 = fixture.db.query_row("SELECT count(*) FROM function", [], |row| row.get(0)).unwrap();
    assert_eq!(functions, 3);
}

#[test]
fn a_statement_that_takes_too_long_or_too_much_is_stopped_whatever_it_computes() {
    const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    let fixture = Fixture::new();
    let table = [
        // Long values, few instructions.
        format!("{NUMBERS} SELECT length(group_concat(hex(randomblob(100000)))) FROM n"),
        format!("{NUMBERS} SELECT length(hex(randomblob(20000000))) FROM n"),
        // A sort, which is one instruction once its rows are there.
        format!(
            "{NUMBERS} SELECT i FROM (SELECT i, hex(randomblob(500)) AS t FROM n LIMIT 3000000) ORDER BY t"
        ),
        // One search that takes longer than anybody waits.
        "SELECT instr(hex(zeroblob(10000000)), hex(zeroblob(5000000)) || '1')".to_owned(),
        format!("{NUMBERS} SELECT count(*) FROM n"),
    ];
    for statement in table {
        let start = std::time::Instant::now();
        let mut child = command(fixture.folder.path(), &["sql", &statement, "--timeout", "1s"])
            .arg("--db")
            .arg(&fixture.path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let memory_kib = measure_peak_memory(&mut child);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{statement}: {err}");
        assert!(err.contains("stopped") || err.contains("too big"), "{statement}: {err}");
        assert_eq!(err.matches("error:").count(), 1, "{statement}: {err}");
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{statement}: {:?}", start.elapsed());
        assert!(memory_kib < 400 << 10, "{statement}: {memory_kib} KiB");
    }
}

/// Waits until the process ends, and returns the most memory it had, in KiB.
fn measure_peak_memory(child: &mut std::process::Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    peak
}
