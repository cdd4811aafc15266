//! Asserts what becomes of the calls of programs that end at once: every one is counted and has its row, however many of
//! them run side by side, and whatever lies in their store.

use std::process::Child;

use rusqlite::Connection;

use crate::patience::now_ns;
use crate::victim::Stage;

/// The programs of a run.
const PROGRAMS: u64 = 100;

#[test]
fn a_hundred_programs_of_one_call_in_turn_leave_a_hundred_calls_and_no_ring_file() {
    let stage = Stage::new();
    let ended: Vec<u32> = (0..PROGRAMS).map(|_| end(stage.start("return", 1))).collect();
    check(&stage, &ended);
}

#[test]
fn a_hundred_programs_of_one_call_side_by_side_leave_a_hundred_calls_and_no_ring_file() {
    let stage = Stage::new();
    let mut ended = Vec::new();
    for _ in 0..PROGRAMS / 10 {
        let running: Vec<Child> = (0..10).map(|_| stage.start("return", 1)).collect();
        ended.extend(running.into_iter().map(end));
    }
    check(&stage, &ended);
}

#[test]
fn the_file_alone_is_a_store_after_the_shortest_program() {
    let stage = Stage::new();
    end(stage.start("return", 1));
    let alone = stage.folder().join("alone.db");
    std::fs::copy(stage.db(), &alone).unwrap();
    let copy = Connection::open(&alone).unwrap();
    let pragma =
        |name: &str| copy.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("application_id"), 0x4D4E_5452);
    copy.query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0)).unwrap();
}

#[test]
fn the_log_of_short_programs_is_copied_before_it_grows_long() {
    let stage = Stage::new();
    let log = stage.folder().join("store.db-wal");
    let mut longest = 0;
    for _ in 0..60 {
        end(stage.start("return", 1));
        longest = longest.max(std::fs::metadata(&log).map_or(0, |log| log.len()));
    }
    // A program writes some twenty pages.
    assert!(longest < monitor_runtime::limits::SHORT_LOG_BYTES + 256 * 1024, "{longest}");
    let copied = stage.folder().join("alone.db");
    std::fs::copy(stage.db(), &copied).unwrap();
    let copy = Connection::open(&copied).unwrap();
    let calls: i64 = copy.query_row("SELECT count(*) FROM calls", [], |row| row.get(0)).unwrap();
    assert!(calls >= 10, "{calls}");
}

/// Waits for the end of a program. Returns its process id.
fn end(program: Child) -> u32 {
    let id = program.id();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    id
}

/// Checks that each program has left its call, and nothing else.
fn check(stage: &Stage, ended: &[u32]) {
    // A busy machine may not let a recorder write in the time that the end of its program waits.
    let rings = stage.rings();
    monitor_runtime::recover::recover(&stage.db(), &rings, now_ns()).unwrap();
    let store = stage.store();
    let programs = i64::try_from(PROGRAMS).unwrap();
    assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions"), programs);
    assert_eq!(store.one::<i64>("SELECT count(*) FROM calls"), programs);
    assert_eq!(store.one::<i64>("SELECT count(*) FROM processes"), programs);
    let files = rings.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let left: Vec<String> = files
        .filter_map(|file| file.file_name().into_string().ok())
        .filter(|name| ended.iter().any(|id| name.contains(&format!("-{id}-"))))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
