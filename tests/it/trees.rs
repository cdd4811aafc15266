//! Asserts that trees of calls are whole however many calls they have, and that a failure is told once.

use std::path::PathBuf;
use std::process::Child;

use tempfile::TempDir;

use crate::patience::{now_ns, wait_for};
use crate::victim::{Stage, Store};

fn number(store: &Store, sql: &str) -> i64 {
    store.one(&format!("SELECT CAST({sql} AS INTEGER)"))
}

/// Asserts that the rows of each function stand for exactly its calls, except those that found no room in a ring.
fn rows_stand_for_all_calls(store: &Store) {
    let sql = "SELECT f.function || ' ' || f.calls || ' ' || f.recorded || ' ' || f.dropped FROM functions f
      WHERE f.calls <> f.recorded + f.dropped
        OR f.recorded <> (SELECT SUM(c.weight) FROM calls c WHERE c.function = f.function)";
    let odd: Vec<String> = store.all(sql);
    assert!(odd.is_empty(), "calls that no row stands for, or several: {odd:?}");
}

#[test]
fn calls_beyond_the_64th_share_a_row_with_their_exact_number() {
    let stage = Stage::new();
    // Rings have room for all of these, should the recorder get no processor.
    stage.run("list-items", 5_000);
    let store = stage.store();
    rows_stand_for_all_calls(&store);
    let shared = |function: &str| {
        let of_function = format!("FROM calls WHERE function LIKE '%::{function}'");
        assert_eq!(number(&store, &format!("(SELECT COUNT(folded) {of_function})")), 1, "{function}");
        let shared = number(&store, &format!("(SELECT SUM(folded) {of_function})"));
        let own = number(&store, &format!("(SELECT COUNT(*) - 1 {of_function})"));
        // A call that was under way during a drain may have a row of its own, because its callee has.
        assert!((64..80).contains(&(own - number(&store, &format!("(SELECT SUM(failed) {of_function})")))));
        (shared, own + shared)
    };
    let (queries, all_queries) = shared("query");
    let (decoded, all_decoded) = shared("decode");
    assert_eq!((all_queries, all_decoded, decoded), (5000, 4995, queries));
    assert_eq!(number(&store, "(SELECT SUM(failed) FROM calls)"), 5);
    // The decoded rows of queries that share a row lie below it.
    let nested: i64 = store.one(
        "SELECT COUNT(*) FROM calls d JOIN calls q ON q.span_id = d.parent_id
         WHERE d.folded > 0 AND q.folded = d.folded AND d.function LIKE '%decode' AND q.function LIKE '%query'",
    );
    assert_eq!(nested, 1);
    let all = number(&store, "(SELECT total_ms * 1e3 FROM functions WHERE function LIKE '%decode')");
    let of_rows = "(SELECT SUM(duration_ns * weight) / 1e3 FROM calls WHERE function LIKE '%decode')";
    // The mean of a shared row is a whole number of ns.
    assert!((number(&store, of_rows) - all).abs() <= 5_000 / 1000 + 1, "the durations stay right");
    let root = number(&store, "(SELECT call_id FROM calls WHERE parent_id IS NULL)").to_string();
    let trace = stage.monitor(&["trace", &root]);
    assert!(trace.contains("· 9 996 calls ·"), "{trace}");
    let exact = format!("victim::trees::query × {} {:03}, ", queries / 1000, queries % 1000);
    assert!(trace.contains(&exact), "{exact} in {trace}");
    assert!(trace.contains(" in all, longest "), "{trace}");
}

#[test]
fn every_call_has_a_row_if_folding_is_off_and_few_if_it_begins_early() {
    // A call that was under way during a drain may have a row of its own, because its callee has.
    for (after, least, most) in [("0", 500, 500), ("3", 4, 19)] {
        let stage = Stage::new().with_variable("MONITOR_FOLD_AFTER", after);
        stage.run("list-items", 500);
        let store = stage.store();
        rows_stand_for_all_calls(&store);
        let rows = number(&store, "(SELECT COUNT(*) FROM calls WHERE function LIKE '%decode')");
        assert!((least..=most).contains(&rows), "{after}: {rows}");
    }
}

/// A program that makes queries below one call until it is killed, and the file in which it counts those that have
/// ended.
struct Polling {
    stage: Stage,
    program: Child,
    rings: TempDir,
}

impl Polling {
    fn start(stage: Stage) -> Self {
        let rings = tempfile::tempdir_in("/dev/shm").unwrap();
        let stage = stage.with_variable("MONITOR_RINGS", rings.path().to_str().unwrap());
        let program = stage.command("poll-for-ever", 0).arg(rings.path().join("ended")).spawn().unwrap();
        Self { stage, program, rings }
    }

    /// Returns the number of queries that have ended.
    fn ended(&self) -> u64 {
        let counter = std::fs::read(self.rings.path().join("ended")).unwrap_or_default();
        counter.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// Kills the program once this many queries have ended, recovers its calls, and asserts that the store counts
    /// exactly the calls that have ended.
    fn kill_after(mut self, queries: u64) -> (Stage, Store) {
        wait_for("the queries", || self.ended() >= queries);
        self.program.kill().unwrap();
        self.program.wait().unwrap();
        let folders: [PathBuf; 1] = [self.rings.path().to_owned()];
        let recovered = monitor_runtime::recover::recover(&self.stage.db(), &folders, now_ns()).unwrap();
        assert_eq!(recovered.processes, 1);
        let store = self.stage.store();
        let ended = i64::try_from(self.ended()).unwrap();
        for function in ["query", "decode"] {
            let calls =
                number(&store, &format!("(SELECT calls FROM functions WHERE function LIKE '%::{function}')"));
            // Each thousandth query fails and decodes nothing. The kill may come between the end of a call and its count.
            let made = if function == "query" { ended } else { ended - ended / 1000 };
            assert!((made..=made + 1).contains(&calls), "{calls} calls of {function}, and {ended} queries");
        }
        (self.stage, store)
    }
}

#[test]
fn calls_that_share_a_row_when_the_program_is_killed_are_neither_lost_nor_counted_twice() {
    for round in 0..8 {
        let (_stage, store) = Polling::start(Stage::new()).kill_after(5_000 + 8_000 * round);
        rows_stand_for_all_calls(&store);
    }
}

#[test]
fn a_thread_that_fills_its_ring_again_and_again_is_counted_to_the_call_when_the_program_is_killed() {
    Polling::start(Stage::bounded()).kill_after(400_000);
    // In the smallest memory, the journal has no room for what is drained.
    Polling::start(Stage::new().with_variable("MONITOR_MAX_MEMORY", "4MiB")).kill_after(100_000);
}

#[test]
fn calls_that_share_a_row_below_a_call_that_exits_the_process_are_all_in_it() {
    let stage = Stage::new();
    stage.run("poll-and-exit", 60_000);
    let store = stage.store();
    rows_stand_for_all_calls(&store);
    assert_eq!(number(&store, "(SELECT calls FROM functions WHERE function LIKE '%::query')"), 60_000);
}

#[test]
fn a_failure_is_told_at_its_origin_and_its_way_is_known() {
    let stage = Stage::new();
    stage.run("fail", 7);
    let store = stage.store();
    let kinds: Vec<String> = store.all(
        "SELECT replace(function, 'victim::trees::', '') || ' ' || outcome || ' ' || count || ' ' || origin_count
           || ' ' || root_count || ' ' || COALESCE(path, '-')
         FROM error_groups ORDER BY 1",
    );
    let mut expected = [
        "charge error 35 0 0 -",
        "checkout error 7 0 0 -",
        "create_order error 7 0 0 -",
        "post_charge error 35 35 7 create_order ← checkout ← charge × 5 ← post_charge",
        "render panic 3 1 1 render ← render ← render",
        "download cancelled 3 1 1 download ← download ← download",
        "on_another_thread error 1 0 0 -",
        "worker error 2 2 1 on_another_thread ← worker",
        "refuse error 1 1 1 -",
    ];
    expected.sort_unstable();
    assert_eq!(kinds, expected);
    // Each failed call names the call that it has its failure from, and that is one that it made.
    let odd: i64 = store.one(
        "SELECT COUNT(*) FROM errors e LEFT JOIN errors c ON c.span_id = e.caused_by
         WHERE e.origin <> (e.caused_by IS NULL) OR e.caused_by IS NOT NULL AND c.parent_id IS NOT e.span_id",
    );
    assert_eq!(odd, 0);
    let origins: i64 = store.one("SELECT SUM(origin) FROM calls");
    assert_eq!(origins, 35 + 1 + 1 + 2 + 1);
    let told = stage.monitor(&["errors"]);
    assert_eq!(told.lines().count(), 1 + 5, "{told}");
    assert!(told.contains("⟨create_order ← checkout ← charge × 5 ← post_charge⟩"), "{told}");
    let told = stage.monitor(&["errors", "--all", "--format", "csv"]);
    assert_eq!(told.lines().count(), 1 + 9, "{told}");
    let within = stage.monitor(&["errors", "--since", "1h"]);
    assert_eq!(within.lines().count(), 1 + 5, "{within}");
}
