//! Several processes that write to one store, and processes that are killed.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::platform::liveness;
use monitor_runtime::store::{SqliteStore, Store as _, StoreError, StoreOptions};
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
        retry_while_locked(|| store.write(&next));
    }
    retry_while_locked(|| store.close(T0, Ending::Exit));
}

/// Repeats this while other processes keep the store locked.
fn retry_while_locked<T>(mut write: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match write() {
            Ok(written) => return written,
            Err(StoreError::Busy(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
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
fn a_writer_that_is_killed_and_leaves_no_ring_file_is_marked_as_crashed_by_those_that_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let mut writer = child(&path, 9);
    let endings = "SELECT ending FROM processes ORDER BY process_id";
    while count(&path, "processes") < 2 {
        assert!(writer.try_wait().unwrap().is_none(), "the writer ended before it was killed");
        std::thread::yield_now();
    }
    let mut endings_after_a_look = |number| {
        retry_while_locked(|| store.recover(T0 + number * HOUR));
        query_column::<String>(&tool(&path), endings)
    };
    assert_eq!(endings_after_a_look(1), ["running", "running"]);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(endings_after_a_look(2), ["running", "crash"]);
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

/// Two copies of the recorder in one process, in a plug-in and its host, are told apart by their locks.
#[test]
fn two_stores_of_one_process_on_one_file_lose_nothing_and_damage_nothing() {
    const BATCHES: u64 = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    std::thread::scope(|scope| {
        for run in [1, 2] {
            let path = path.clone();
            scope.spawn(move || {
                // The store is closed and opened again and again, which must not drop the locks of the other.
                for part in 0..6 {
                    let mut store = loop {
                        match SqliteStore::open(&StoreOptions::file(&path), process(run), T0) {
                            Ok(store) => break store,
                            Err(_) => std::thread::yield_now(),
                        }
                    };
                    for sequence in part * BATCHES / 6 + 1..=(part + 1) * BATCHES / 6 {
                        let first = u32::try_from(sequence).unwrap() * 50 + run * 1_000_000;
                        let next = batch(sequence, (0..50).map(|n| call(first + n)).collect());
                        while let Err(error) = store.write(&next) {
                            assert!(matches!(error, StoreError::Busy(_)), "{error}");
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
    });
    let tool = tool(&path);
    assert_eq!(
        query_column::<i64>(&tool, "SELECT count(DISTINCT span_id) FROM calls GROUP BY process_id"),
        [3000; 2]
    );
    assert_eq!(query_column::<String>(&tool, "PRAGMA quick_check(1)"), ["ok"]);
}

#[test]
fn a_second_copy_in_one_process_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let for_this_process =
        |run| monitor_runtime::batch::ProcessRow { pid: std::process::id(), ..process(run) };
    let open = |run| SqliteStore::open(&StoreOptions::file(&path), for_this_process(run), T0).unwrap();
    let first = open(1);
    // Without a ring file that is mapped, the entry may be that of a program that this process was before.
    assert_eq!(open(2).notices().len(), 0);
    let ring_file = folder.path().join(format!("ring-{}", &process(1).run_uuid[..8]));
    std::fs::write(&ring_file, [0; 4096]).unwrap();
    let mapped = map(&ring_file);
    let told = open(3).notices();
    assert!(told.len() == 1 && told[0].detail.contains("another copy"), "{told:?}");
    drop((first, mapped));
}

/// Maps a file for the rest of the test.
#[allow(unsafe_code, reason = "mapping a file has no safe counterpart")]
fn map(path: &std::path::Path) -> *mut std::ffi::c_void {
    use std::os::fd::AsRawFd as _;
    let file = std::fs::File::open(path).unwrap();
    // SAFETY: the kernel chooses the address, and nobody reads or writes there.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) }
}
