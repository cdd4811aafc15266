//! `monitor breaker`: shows breakers, holds them, ends a hold.

use crate::fixture::Fixture;
use crate::run::monitor;

fn rows(fixture: &Fixture) -> Vec<String> {
    let sql = "SELECT process_id || ' ' || hold || ' ' || reason FROM breaker ORDER BY process_id";
    let mut statement = fixture.db.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn breakers_are_held_for_a_reason_and_let_go_of() {
    let fixture = Fixture::new();
    fixture.health(1);
    let ran = monitor(&fixture.path, &["breaker", "open", "--reason", "the disk is swapped"]);
    assert!(ran.err.contains("1 running process reads it within two seconds"), "{}", ran.err);
    for part in ["shop", "open", "the disk is swapped"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    monitor(&fixture.path, &["breaker", "close", "--process", "1", "--reason", "known noise"]).ok();
    assert_eq!(rows(&fixture), ["0 open the disk is swapped", "1 closed known noise"]);
    monitor(&fixture.path, &["breaker", "auto", "--process", "1"]).ok();
    assert_eq!(rows(&fixture), ["0 open the disk is swapped", "1 auto no reason given"]);
    let shown = monitor(&fixture.path, &["breaker", "--format", "json"]).json();
    assert_eq!((shown.len(), shown[0]["hold"].as_str()), (1, Some("auto")));
    monitor(&fixture.path, &["breaker", "auto", "--reason", "the disk is back"]).ok();
    assert_eq!(rows(&fixture), ["0 auto the disk is back"]);
}

#[test]
fn holding_takes_a_reason_and_a_process_that_exists() {
    let fixture = Fixture::new();
    let without = monitor(&fixture.path, &["breaker", "open"]).failed(1);
    assert!(without.contains("--reason"), "{without}");
    monitor(&fixture.path, &["breaker", "open", "--reason", "  "]).failed(2);
    let unknown = monitor(&fixture.path, &["breaker", "open", "--process", "77", "--reason", "x"]).failed(1);
    assert!(unknown.contains("no run 77"), "{unknown}");
    assert!(rows(&fixture).is_empty());
    let ended = monitor(&fixture.path, &["breaker", "auto", "--process", "2"]);
    assert!(ended.err.contains("run 2 has ended, so nothing changes"), "{}", ended.err);
}

#[test]
fn health_says_how_the_breaker_stands_and_what_came_of_writes() {
    let fixture = Fixture::new();
    fixture.health(1);
    let text = monitor(&fixture.path, &["health"]).ok();
    let breaker = "open, entered 12 s ago, next try in 1";
    for part in
        [breaker, "opened 2 times · last failure: disk full", "92.5 % succeeded", "retried 11 times, 4 in"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}
