//! `monitor breaker`: shows breakers, holds them, ends a hold.

use crate::fixture::Fixture;
use crate::run::{monitor, without_ages};

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
    let text = without_ages(&monitor(&fixture.path, &["health"]).ok());
    let breaker = "open, entered AGE, next try in ";
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
}

#[test]
fn a_word_that_names_no_guard_is_refused_with_the_guards_and_the_words_that_there_are() {
    let fixture = Fixture::new();
    let words = "the words that change breakers are open, close and auto";
    let none = monitor(&fixture.path, &["breaker", "opne"]).failed(1);
    assert!(none.contains(&format!("`opne` names no guard: no guard is known so far; {words}")), "{none}");
    add_guard(&fixture);
    let other = monitor(&fixture.path, &["breaker", "opne"]).failed(1);
    assert!(other.contains(&format!("no guard of this name is known so far, but rates; {words}")), "{other}");
    fixture.db.execute("UPDATE process SET ending = 'exit', ended_ns = started_ns", []).unwrap();
    let ended = monitor(&fixture.path, &["breaker", "rates"]);
    assert!(ended.err.contains("no running process has called a guard `rates` yet"), "{}", ended.err);
    ended.ok();
}

#[test]
fn a_hold_on_a_guard_that_nothing_has_called_is_stored_shown_and_called_unknown() {
    let fixture = Fixture::new();
    let held = monitor(&fixture.path, &["breaker", "norates", "open", "--reason", "a move"]);
    let effect = "held open: no call is made; no guard is known so far; 1 running process reads it";
    assert!(held.err.contains(effect) && held.err.contains("takes this hold"), "{}", held.err);
    let shown = monitor(&fixture.path, &["breaker", "norates", "--format", "json"]).json();
    assert_eq!(
        (
            shown.len(),
            shown[0]["process_id"].is_null(),
            shown[0]["hold"].as_str(),
            shown[0]["reason"].as_str()
        ),
        (1, true, Some("open"), Some("a move"))
    );
    assert!(monitor(&fixture.path, &["breaker"]).err.contains("`monitor breaker NAME`: norates"));
    monitor(&fixture.path, &["breaker", "norates", "auto"]).ok();
    monitor(&fixture.path, &["breaker", "norates"]).failed(1);
}

#[test]
fn without_a_process_the_hold_is_shown_that_the_next_one_takes() {
    let fixture = Fixture::new();
    fixture.db.execute("UPDATE process SET ending = 'exit', ended_ns = started_ns", []).unwrap();
    let held = monitor(&fixture.path, &["breaker", "open", "--reason", "disk swap"]);
    assert!(held.err.contains("no process is running, the next one takes this hold"), "{}", held.err);
    assert!(held.out.contains("disk swap") && held.out.contains("monitor:ada"), "{}", held.out);
    let shown = monitor(&fixture.path, &["breaker", "--format", "json"]).json();
    assert_eq!(
        (shown.len(), shown[0]["process_id"].is_null(), shown[0]["hold"].as_str()),
        (1, true, Some("open"))
    );
    let health = without_ages(&monitor(&fixture.path, &["health"]).ok());
    let line = "the next process: breaker held open by monitor:ada AGE: disk swap";
    assert!(health.contains(line), "{health}");
    let probe = monitor(&fixture.path, &["health", "--exit-code"]);
    assert_eq!(probe.code, Some(1), "{}", probe.out);
    assert!(probe.out.contains("the next process will be held open: disk swap"), "{}", probe.out);
    monitor(&fixture.path, &["breaker", "auto"]).ok();
    assert!(monitor(&fixture.path, &["breaker", "--format", "json"]).json().is_empty());
    assert!(!monitor(&fixture.path, &["health"]).ok().contains("the next process"));
}

#[test]
fn health_shows_a_hold_that_the_process_cannot_report_any_more() {
    let fixture = Fixture::new();
    fixture.health(1);
    fixture.db.execute("UPDATE self_report SET level = 'full', breaker = 'closed'", []).unwrap();
    monitor(&fixture.path, &["breaker", "open", "--reason", "disk swap"]).ok();
    let text = without_ages(&monitor(&fixture.path, &["health"]).ok());
    let line = "closed, entered AGE, held open by monitor:ada AGE: disk swap";
    assert!(text.contains(line), "{text}");
    let rows = monitor(&fixture.path, &["health", "--format", "json"]).json();
    let row = rows.iter().find(|row| row["process_id"] == 1).unwrap();
    assert_eq!(
        (row["breaker_hold"].as_str(), row["breaker_hold_reason"].as_str()),
        (Some("open"), Some("disk swap"))
    );
    let ended = rows.iter().find(|row| row["process_id"] == 2).unwrap();
    assert!(ended["breaker_hold"].is_null());
    fixture.db.execute("UPDATE self_report SET breaker = 'open', breaker_held = 'disk swap'", []).unwrap();
    let text = without_ages(&monitor(&fixture.path, &["health"]).ok());
    assert!(text.contains("open, entered AGE, held: disk swap"), "{text}");
}
