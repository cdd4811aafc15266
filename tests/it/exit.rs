//! Asserts what becomes of calls that never end, because the process exits within them.

use crate::victim::{Stage, Store};

fn end(way: &str, number: u64) -> (Stage, Store) {
    let stage = Stage::new();
    let began = std::time::Instant::now();
    let output = stage.command("exits", number).arg(way).output().unwrap();
    stage.settle(began);
    assert_eq!(output.status.code(), Some(if way == "threads" { 0 } else { 7 }), "{output:?}");
    let store = stage.store();
    (stage, store)
}

#[test]
fn the_calls_of_a_thread_that_exits_the_process_have_rows_with_their_arguments_and_are_counted() {
    for way in ["process", "library", "quick"] {
        let (_stage, store) = end(way, 5);
        let rows = "SELECT substr(function, 16) || ' ' || outcome || ' ' || failed || ' ' || args FROM calls";
        let rows: Vec<String> =
            store.all(&format!("{rows} WHERE function NOT LIKE '%called' ORDER BY start_ns"));
        let leaves = r#"leaves exit 0 {"way":"WAY","code":7}"#.replace("WAY", way);
        let runs = r#"runs exit 0 {"way":"WAY","number":5}"#.replace("WAY", way);
        assert_eq!(rows, [runs, leaves], "{way}");
        let parents =
            "SELECT count(*) FROM calls c JOIN calls p ON p.span_id = c.parent_id AND p.outcome = 'exit'
                       AND p.trace_id = c.trace_id AND p.function LIKE '%runs'";
        assert_eq!(store.one::<i64>(parents), 6, "{way}: all callees name it");
        let counted = "SELECT sum(calls) || ' ' || sum(errors) || ' ' || sum(panics) FROM functions";
        assert_eq!(store.one::<String>(counted), "7 0 0", "{way}");
        assert_eq!(store.one::<i64>("SELECT count(*) FROM errors"), 0, "{way}");
        assert_eq!(store.one::<i64>("SELECT count(*) FROM error_groups"), 0, "{way}");
        assert_eq!(store.all::<String>("SELECT ending FROM processes"), ["exit"], "{way}");
        assert_eq!(store.one::<i64>("SELECT count(*) FROM in_flight"), 0, "{way}");
        let kept = "SELECT DISTINCT kept FROM calls WHERE outcome = 'exit'";
        assert_eq!(store.all::<String>(kept), ["exit"], "{way}");
    }
}

#[test]
fn calls_of_other_threads_and_of_tasks_at_the_exit_have_rows_and_are_counted_once() {
    for (way, function) in [("threads", "waits"), ("tasks", "awaits")] {
        let (_stage, store) = end(way, 6);
        let calls = format!("FROM calls WHERE function LIKE '%::{function}'");
        assert_eq!(store.all::<String>(&format!("SELECT DISTINCT outcome {calls}")), ["exit"], "{way}");
        assert_eq!(store.one::<i64>(&format!("SELECT count(*) {calls}")), 6, "{way}");
        assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions"), 12, "{way}");
        let parents =
            "SELECT count(*) FROM calls c JOIN calls p ON p.span_id = c.parent_id AND p.outcome = 'exit'";
        assert_eq!(store.one::<i64>(parents), 6, "{way}");
        assert_eq!(store.all::<String>("SELECT ending FROM processes"), ["exit"], "{way}");
    }
}

#[test]
fn an_exit_without_handlers_leaves_its_calls_in_flight() {
    let stage = Stage::new();
    assert_eq!(stage.command("exits", 5).arg("at once").output().unwrap().status.code(), Some(7));
    monitor_runtime::recover::recover(&stage.db(), &stage.rings(), crate::patience::now_ns()).unwrap();
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT count(*) FROM in_flight"), 2);
    assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions"), 5);
}
