//! Several processes that write to one store, and processes that are killed.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::platform::liveness;
use monitor_runtime::store::{Store as _, StoreError};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The environment variable of a child process. It holds the number of its run and the path of the store.
const CHILD_STORE: &str = "STORE_TEST_CHILD";

fn child(path: &std::path::Path, run: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["processes::as_a_child_this_test_writes_until_it_is_stopped", "--exact", "--nocapture"])
        .env(CHILD_STORE, format!("{run}:{}", path.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The body of a child process. In an ordinary test run it does nothing. Run 9 writes until it is killed; any other run
/// writes 40 batches.
#[test]
fn as_a_child_this_test_writes_until_it_is_stopped() {
    let Ok(task) = std::env::var(CHILD_STORE) else { return };
    let (run, path) = task.split_once(':').unwrap();
    let run: u32 = run.parse().unwrap();
    let mut store = open(&PathBuf::from(path), run);
    let batches = if run == 9 { u64::MAX } else { 40 };
    for sequence in 1..=batches {
        let calls = (0..50).map(|n| call(u32::try_from(sequence).unwrap() * 50 + n)).collect();
        let next = batch(sequence, calls);
        loop {
            match store.write(&next) {
                Ok(_) => break,
                Err(StoreError::Busy(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    store.close(T0, Ending::Exit).unwrap();
}

#[test]
fn several_processes_write_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let children: Vec<Child> = (1..=3).map(|run| child(&path, run)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let tool = tool(&path);
    assert_eq!(
        query_column::<i64>(&tool, "SELECT count(DISTINCT span_id) FROM calls GROUP BY process_id"),
        [2000, 2000, 2000]
    );
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM calls"), 6000);
    assert_eq!(query_column::<String>(&tool, "SELECT ending FROM processes"), ["exit"; 3]);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM function"), 3);
    assert_eq!(query_value::<i64>(&tool, "SELECT sum(last_call - first_call + 1) FROM call_range"), 6000);
    assert_eq!(query_value::<String>(&tool, "PRAGMA integrity_check"), "ok");
}

#[test]
fn a_writer_killed_at_any_moment_leaves_whole_batches_and_is_marked_as_crashed() {
    for kill in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let mut writer = child(&path, 9);
        let written = |path: &std::path::Path| {
            let reader = monitor_runtime::store::query::open_read_only(path).ok()?;
            reader.query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0)).ok()
        };
        while written(&path).unwrap_or(0) < 100 * (kill + 1) {
            assert!(writer.try_wait().unwrap().is_none(), "the writer ended before it was killed");
            std::thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();

        let reader = monitor_runtime::store::query::open_read_only(&path).unwrap();
        assert_eq!(query_value::<String>(&reader, "PRAGMA quick_check"), "ok");
        let (calls, sequence): (i64, i64) = reader
            .query_row("SELECT (SELECT count(*) FROM calls), (SELECT sequence FROM progress)", [], |row| {
                row.try_into()
            })
            .unwrap();
        assert_eq!(calls, sequence * 50, "the store holds part of a batch");
        drop(reader);
        let next = open(&path, 1);
        let endings = "SELECT ending FROM processes ORDER BY process_id";
        assert_eq!(query_column::<String>(&tool(&path), endings), ["crash", "running"]);
        drop(next);
    }
}

#[test]
fn this_process_is_not_taken_for_dead_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let _first = open(&path, 1);
    let _second = open(&path, 2);
    assert_eq!(query_column::<String>(&tool(&path), "SELECT ending FROM processes"), ["running"; 2]);
    if cfg!(target_os = "linux") {
        assert!(liveness::mark(std::process::id()).is_some());
    }
}
