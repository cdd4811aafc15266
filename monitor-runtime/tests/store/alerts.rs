//! Alerts in the store: one row each, a new number for every change, and an end with their process.

use crate::rows::*;
use monitor_runtime::alert::{AlertLevel, Measure};
use monitor_runtime::batch::{AlertRow, Batch, CallRow, Ending, ProcessRow};
use monitor_runtime::store::{SqliteStore, Store as _, StoreOptions};

fn alert(rule: &str, state: &'static str) -> AlertRow {
    AlertRow {
        rule: rule.to_owned(),
        function: Some(1),
        level: "warning",
        state,
        since_ns: T0,
        until_ns: (state == "resolved").then_some(T0 + SECOND),
        value: 7.0,
        peak: 9.0,
        sentence: format!("shop::f1: {rule}"),
    }
}

fn write(store: &mut SqliteStore, sequence: u64, alerts: Vec<AlertRow>) {
    store.write(&Batch { alerts, ..batch(sequence, Vec::new()) }).unwrap();
}

const SHOWN: &str = "SELECT rule || ' ' || state || ' ' || change FROM alerts ORDER BY alert_id";

#[test]
fn an_alert_is_one_row_whose_changes_are_numbered_and_it_ends_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    write(&mut store, 1, vec![alert("a", "firing"), AlertRow { function: None, ..alert("b", "firing") }]);
    write(&mut store, 2, vec![alert("a", "recovering")]);
    let tool = tool(&path);
    assert_eq!(query_column::<String>(&tool, SHOWN), ["a recovering 3", "b firing 2"]);
    write(&mut store, 3, vec![alert("a", "resolved"), alert("c", "firing")]);
    // The same batch once more, as after an answer that was lost.
    write(&mut store, 3, vec![alert("a", "resolved"), alert("c", "firing")]);
    assert_eq!(query_column::<String>(&tool, SHOWN), ["a resolved 4", "b firing 2", "c firing 5"]);
    store.close(T0 + 9 * SECOND, Ending::Exit).unwrap();
    assert_eq!(query_column::<String>(&tool, SHOWN), ["a resolved 4", "b ended 6", "c ended 7"]);
    let functions = "SELECT coalesce(function, '-') FROM alerts ORDER BY alert_id";
    assert_eq!(query_column::<String>(&tool, functions), ["shop::f1", "-", "shop::f1"]);
    assert_eq!(query_value::<i64>(&tool, "SELECT max(until_ns) FROM alerts"), T0 + 9 * SECOND);
}

#[test]
fn the_processes_of_a_service_share_an_alert_which_ends_with_the_last_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut stores: Vec<_> = (1..=64).map(|run| open(&path, run)).collect();
    for store in &mut stores {
        write(store, 1, vec![alert("a", "firing")]);
    }
    let till = ProcessRow { service: "till".to_owned(), ..process(65) };
    let mut other = SqliteStore::open(&StoreOptions::file(&path), till, T0).unwrap();
    write(&mut other, 1, vec![alert("a", "firing")]);
    let tool = tool(&path);
    let shown =
        "SELECT service || ' ' || rule || ' ' || state || ' ' || level || ' ' || change || ' ' || processes
                 FROM alerts ORDER BY alert_id";
    let shown = || query_column::<String>(&tool, shown);
    assert_eq!(shown(), ["shop a firing warning 1 64", "till a firing warning 2 1"], "one for each service");
    // The worst of all counts, and a change is numbered if it is seen.
    write(&mut stores[6], 2, vec![AlertRow { level: "critical", ..alert("a", "firing") }]);
    write(&mut stores[7], 2, vec![alert("a", "recovering")]);
    assert_eq!(shown()[0], "shop a firing critical 3 64");
    write(&mut stores[6], 3, vec![AlertRow { level: "critical", ..alert("a", "resolved") }]);
    assert_eq!(shown()[0], "shop a firing warning 4 64");
    // The process that raised it goes; the alert stays, as that of another.
    stores[0].close(T0 + 5 * SECOND, Ending::Exit).unwrap();
    assert_eq!(query_value::<i64>(&tool, "SELECT process_id FROM alerts WHERE service = 'shop'"), 2);
    for (at, store) in stores.iter_mut().enumerate().skip(1).filter(|(at, _)| *at != 6) {
        assert_eq!(shown()[0].contains("firing"), at < 64, "{at}");
        match at % 2 {
            0 => store.close(T0 + 9 * SECOND, Ending::Exit).unwrap(),
            _ => write(store, 4, vec![alert("a", "resolved")]),
        }
    }
    assert_eq!(shown(), ["shop a resolved warning 5 64", "till a firing warning 2 1"]);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM alert_part"), 1);
    // A rule that fires again makes another alert.
    let again = AlertRow { since_ns: T0 + 20 * SECOND, ..alert("a", "firing") };
    write(&mut stores[3], 5, vec![again]);
    assert_eq!(shown().len(), 3);
}

#[test]
fn an_alert_of_a_process_that_was_taken_for_dead_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    write(&mut store, 1, vec![alert("a", "firing")]);
    let tool = tool(&path);
    tool.execute_batch(
        "UPDATE process SET ending = 'crash', ended_ns = 5;
         DELETE FROM alert_part;
         UPDATE alert SET state = 'ended', until_ns = 5, change = 2",
    )
    .unwrap();
    write(&mut store, 2, vec![alert("a", "recovering")]);
    assert_eq!(query_column::<String>(&tool, SHOWN), ["a recovering 3"]);
    write(&mut store, 3, vec![alert("a", "resolved")]);
    assert_eq!(query_column::<String>(&tool, SHOWN), ["a resolved 4"]);
}

#[test]
fn kinds_of_failure_are_new_to_a_store_that_has_been_in_use_for_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("shop.db"), 1);
    let late = |n: u32, error: &str| CallRow { start_ns: T0 + HOUR + i64::from(n), ..failure(n, error) };
    let mut write =
        |sequence: u64, calls: Vec<CallRow>| store.write(&batch(sequence, calls)).unwrap().new_failures;
    assert_eq!(write(1, vec![failure(1, "no stock")]), [0; 0], "everything is new to a new store");
    assert_eq!(write(2, vec![late(2, "no stock"), late(3, "no money"), late(4, "no money")]), [1]);
    assert_eq!(write(3, vec![late(5, "no money"), late(6, "no bread"), late(7, "no salt")]), [1, 1]);
    assert_eq!(write(3, vec![late(5, "no money")]), [0; 0], "the batch was there");
}

#[test]
fn retention_keeps_the_latest_change_because_its_number_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    write(&mut store, 1, vec![alert("a", "resolved"), alert("b", "resolved")]);
    store.close(T0, Ending::Exit).unwrap();
    let mut store = open(&path, 2);
    for _ in 0..10 {
        store.retain(T0 + 40 * HOUR).unwrap();
    }
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM processes"), 1);
    assert_eq!(query_column::<String>(&tool, SHOWN), ["b resolved 2"]);
}

#[test]
fn rules_are_read_when_they_change_and_those_that_make_no_sense_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let rules = store.alert_rules().unwrap().unwrap();
    assert_eq!(rules.len(), 6, "those that are built in");
    assert_eq!(store.alert_rules().unwrap(), None);
    let tool = tool(&path);
    tool.execute_batch(
        "DELETE FROM alert_rule;
         INSERT INTO alert_rule (name, level, pattern, measure, threshold, for_s) VALUES ('slow', 'critical', 'shop::*', 'p99_ms', 50, 61);
         INSERT INTO alert_rule (name, level, measure, threshold) VALUES ('unknown', 'info', 'moon_phase', 50);
         INSERT INTO alert_rule (name, level, pattern, measure, threshold) VALUES ('bad', 'info', 'a:b', 'p99_ms', 50);
         INSERT INTO alert_rule (name, level, measure, threshold, enabled) VALUES ('off', 'info', 'p99_ms', 50, 0)",
    )
    .unwrap();
    let rules = store.alert_rules().unwrap().unwrap();
    let [rule] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((rule.level, rule.measure, rule.for_windows), (AlertLevel::Critical, Measure::P99, 7));
    assert_eq!(rule.condition(), "p99_ms > 50 for 70s");
    let refused =
        "INSERT INTO alert_rule (name, level, measure, threshold) VALUES ('x', 'loud', 'p99_ms', 1)";
    assert!(tool.execute(refused, []).is_err());
}
