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
    let without = monitor(&fixture.path, &["breaker", "open"]).failed(2);
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

/// Adds a guard of the first process, which is open.
fn add_guard(fixture: &Fixture) {
    let insert = "INSERT INTO guard VALUES (1, 'rates', ?1, 'open', ?1, 'degraded', 1200, 4, 9, 7, 30, 2, 1, 1, 5, 3, NULL, 'refused')";
    fixture.db.execute(insert, [fixture.now]).unwrap();
}

#[test]
fn a_guard_is_shown_held_for_a_reason_and_released() {
    let fixture = Fixture::new();
    add_guard(&fixture);
    let shown = monitor(&fixture.path, &["breaker", "rates"]);
    for part in ["shop", "open", "degraded", "1200", "refused"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    assert!(monitor(&fixture.path, &["breaker"]).err.contains("rates"));
    let without = monitor(&fixture.path, &["breaker", "rates", "open"]).failed(2);
    assert!(without.contains("--reason"), "{without}");
    let held = monitor(&fixture.path, &["breaker", "rates", "open", "--reason", "a move"]);
    assert!(held.err.contains("held open: no call is made; 1 running process reads it"), "{}", held.err);
    monitor(&fixture.path, &["breaker", "rates", "close", "--process", "1", "--reason", "known noise"]).ok();
    let json = monitor(&fixture.path, &["breaker", "rates", "--format", "json"]).json();
    assert_eq!(
        (json.len(), json[0]["hold"].as_str(), json[0]["calls"].as_i64()),
        (1, Some("closed"), Some(1200))
    );
    monitor(&fixture.path, &["breaker", "rates", "auto"]).ok();
    let holds =
        "SELECT group_concat(process_id || ' ' || name || ' ' || hold || ' ' || reason) FROM guard_hold";
    let holds: String = fixture.db.query_row(holds, [], |row| row.get(0)).unwrap();
    assert_eq!(holds, "0 rates auto no reason given");
    assert!(rows(&fixture).is_empty(), "the store's breaker is not held");
    let events = "SELECT count(*) FROM events WHERE kind = 'guard' AND detail LIKE 'rates: hold %'";
    assert_eq!(fixture.db.query_row(events, [], |row| row.get(0)), Ok(3));
    let unknown = monitor(&fixture.path, &["breaker", "mail"]);
    assert!(unknown.out.is_empty() || !unknown.out.contains("rates"), "{}", unknown.out);
}
