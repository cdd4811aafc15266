//! Alerts of running programs: a program hears of its own, and many processes share one.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

use rusqlite::Connection;

use crate::patience::{PATIENCE, wait_for};
use crate::victim::Stage;

/// Makes a store that has been in use for two hours, with these rules and no others.
fn prepare(stage: &Stage, rules: &[(&str, &str)]) -> Connection {
    stage.run("leaves", 1);
    let outside = Connection::open(stage.db()).unwrap();
    outside.busy_timeout(PATIENCE).unwrap();
    outside
        .execute_batch("UPDATE process SET started_ns = started_ns - 7200000000000; DELETE FROM alert_rule")
        .unwrap();
    for (name, condition) in rules {
        stage.monitor(&["alert", "set", "*", condition, "--name", name, "--keep", "1h"]);
    }
    outside
}

#[test]
fn a_program_hears_of_its_alerts_whatever_its_other_closures_do() {
    let stage = Stage::new();
    let rules = [
        ("hangs", "stuck > 0"),
        ("news", "new_failure > 0"),
        ("memory", "rss_bytes > 1KiB"),
        ("cost", "cost_pct > 0"),
        ("quiet", "rss_bytes > 1024GiB"),
    ];
    let outside = prepare(&stage, &rules);
    let mut program = stage.start_until_stopped("alerts");
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let expected: BTreeSet<String> = [
        "hangs firing warning victim::control::wait",
        "news firing warning victim::control::work",
        "memory firing warning -",
        "cost firing warning -",
    ]
    .map(str::to_owned)
    .into();
    let mut heard = BTreeSet::new();
    while !heard.is_superset(&expected) {
        // The test is ended from outside if the program falls silent.
        heard.insert(lines.next().unwrap().unwrap());
    }
    let others: Vec<_> = heard.difference(&expected).filter(|line| line.contains(" firing ")).collect();
    assert_eq!(others, [""; 0]);
    let stored =
        "SELECT group_concat(rule, ' ') FROM (SELECT rule FROM alerts WHERE until_ns IS NULL ORDER BY rule)";
    let stored = || outside.query_row(stored, [], |row| row.get::<_, Option<String>>(0)).unwrap();
    wait_for("the rows", || stored().as_deref() == Some("cost hangs memory news"));
    let health = "SELECT count(*) FROM alert_part";
    assert_eq!(outside.query_row(health, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
    drop(program.stdin.take());
    let last = lines.map(Result::unwrap).find(|line| line.starts_with('{')).unwrap();
    assert!(last.contains(r#""alerts":{"critical":0,"#) && last.contains(r#""warning":4"#), "{last}");
    assert!(program.wait().unwrap().success());
    // A machine that is busy may end the program before its last batch, which the command recovers.
    stage.monitor(&["alerts"]);
    let ended = "SELECT count(*) FROM alerts WHERE state = 'ended' AND until_ns IS NOT NULL";
    assert_eq!(outside.query_row(ended, [], |row| row.get::<_, i64>(0)).unwrap(), 4);
}

#[test]
fn sixty_four_processes_raise_one_alert_which_ends_with_the_last() {
    let stage = Stage::new();
    let outside = prepare(&stage, &[("failing", "failed > 0")]);
    let mut programs: Vec<_> = (0..64).map(|_| stage.start_until_stopped("fail-slowly")).collect();
    let most = || -> i64 {
        let sql = "SELECT coalesce(max(processes), 0) FROM alerts";
        outside.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    for number in [1, 16, 32, 48, 64] {
        wait_for("the alert of all processes", || most() >= number);
    }
    let shown = || {
        stage.monitor(&["alerts", "--format", "csv"]).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let alerts = shown();
    assert!(alerts.len() == 1 && alerts[0].contains(",firing,"), "{alerts:?}");
    assert_eq!(
        outside.query_row("SELECT max(change) FROM alerts", [], |row| row.get::<_, i64>(0)).unwrap(),
        1
    );
    let mut last = programs.pop().unwrap();
    for program in &mut programs {
        program.kill().unwrap();
        program.wait().unwrap();
    }
    let left =
        || outside.query_row("SELECT count(*) FROM alert_part", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut before = 64;
    while before > 1 {
        wait_for("the recovery of another one that was killed", || left() < before);
        before = left();
        let alerts = shown();
        assert!(alerts.len() == 1 && alerts[0].contains(",firing,"), "{alerts:?}");
    }
    last.kill().unwrap();
    last.wait().unwrap();
    wait_for("the end of the alert", || {
        let alerts = shown();
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        alerts[0].contains(",ended,")
    });
    assert_eq!(left(), 0);
}
