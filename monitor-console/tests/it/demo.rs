//! `monitor demo`: the whole path of a call, from the attribute to the table.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Ran, command, monitor};

const PASSWORD: &str = "correct horse battery staple";

fn demo(home: &Path, arguments: &[&str]) -> Ran {
    let arguments = [&["demo", "--seconds", "1"], arguments].concat();
    Ran::from(command(home, &arguments).output().unwrap())
}

fn default_store(home: &Path) -> PathBuf {
    home.join(".local/state/monitor/demo.db")
}

fn rows(store: &Path, sql: &str) -> Vec<Value> {
    monitor(store, &["sql", sql, "--format", "json"]).json()
}

fn texts(store: &Path, sql: &str) -> Vec<String> {
    let text = |row: &Value| row.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    rows(store, sql).iter().map(text).collect()
}

#[test]
fn the_demo_records_everything_it_says_it_made() {
    let home = tempfile::tempdir().unwrap();
    let ran = demo(home.path(), &[]);
    assert_eq!(ran.err, "", "panics that are part of the workload are silent");
    let out = ran.ok();
    for expected in [
        "the store has exactly these",
        "[0,1,2,\"[10000000 items, truncated]\"]",
        "\"password\":\"[redacted]\"",
        "monitor::shop::orders::place",
        // A failure is told where it began, with its way through the calls that it ended.
        "place ← Shelf::reserve",
        "is too heavy for its box",
        "monitor trace ",
    ] {
        assert!(out.contains(expected), "{expected} in {out}");
    }
    assert!(!out.contains(PASSWORD));
    let store = default_store(home.path());
    assert!(out.contains(store.to_str().unwrap()));
    let outcomes = texts(&store, "SELECT DISTINCT outcome FROM calls ORDER BY outcome");
    assert_eq!(outcomes, ["cancelled", "error", "ok", "panic"]);
    // One second has 1000 orders, and each is one call.
    let placed = rows(&store, "SELECT calls FROM functions WHERE function GLOB '*::orders::place'");
    assert_eq!(placed[0]["calls"], 1000);
}

#[test]
fn the_demo_s_trees_are_whole_across_tasks_and_threads() {
    let home = tempfile::tempdir().unwrap();
    demo(home.path(), &[]).ok();
    let store = default_store(home.path());
    let depth = |function: &str| {
        let sql = format!(
            "SELECT MAX(call_id) AS id FROM calls WHERE outcome = 'ok' AND function GLOB '*::{function}'"
        );
        let id = rows(&store, &sql)[0]["id"].as_i64().unwrap();
        let tree = monitor(&store, &["trace", &id.to_string(), "--format", "json"]).json();
        let row = tree.iter().find(|row| row["call_id"] == id).unwrap();
        (tree[0]["function"].as_str().unwrap().to_owned(), row["depth"].as_i64().unwrap())
    };
    let place = "monitor::shop::orders::place".to_owned();
    assert_eq!(depth("place"), (place.clone(), 0));
    assert_eq!(depth("charge"), (place.clone(), 1));
    assert_eq!(depth("authorize"), (place.clone(), 2));
    assert_eq!(depth("Shelf::pick"), (place.clone(), 2));
    assert_eq!(depth("tell"), (place, 1));
    assert_eq!(depth("pack"), ("monitor::shop::shipping::dispatch".to_owned(), 1));
}

#[test]
fn the_demo_is_the_same_whatever_the_environment_says() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path(), &["demo", "--seconds", "1"]);
    command.env("MONITOR", "off").env("MONITOR_SAMPLE", "0").env("MONITOR_CAPTURE", "none");
    Ran::from(command.output().unwrap()).ok();
    let figures = |store: &Path| {
        rows(store, "SELECT function, calls, errors, panics, cancelled FROM functions ORDER BY 1")
    };
    let first = figures(&default_store(home.path()));
    demo(home.path(), &[]).ok();
    assert_eq!(
        figures(&default_store(home.path())),
        first,
        "the second demo begins afresh and makes the same calls"
    );
}

#[test]
fn a_store_that_is_there_is_added_to_and_data_formats_stay_data() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("mine.db");
    let path = store.to_str().unwrap();
    demo(home.path(), &["--db", path]).ok();
    let out = demo(home.path(), &["--db", path, "--format", "jsonl"]).ok();
    assert!(out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{out}");
    assert!(out.lines().any(|line| line.contains("\"function\":\"monitor::shop::orders::place\",")
        && line.contains("\"calls\":2000")));
}

/// Waits until the process that writes to this store says that it is running, a minute at most.
fn wait_until_running(store: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !monitor(store, &["health", "--format", "json"]).out.contains("\"state\":\"running\"") {
        assert!(Instant::now() < deadline, "no process writes to {}", store.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn demos_at_once_have_a_file_each() {
    let home = tempfile::tempdir().unwrap();
    // The first runs until the second has ended, however long a busy machine needs for that.
    let mut command = command(home.path(), &["demo", "--seconds", "3600"]);
    let mut first = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let store = default_store(home.path());
    wait_until_running(&store);
    let second = demo(home.path(), &[]).ok();
    assert!(second.contains("the store has exactly these"), "{second}");
    assert!(second.contains("demo-2.db"), "{second}");
    wait_until_running(&store);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn no_secret_reaches_the_disk() {
    let home = tempfile::tempdir().unwrap();
    demo(home.path(), &[]).ok();
    let folder = default_store(home.path()).parent().unwrap().to_owned();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [PASSWORD, "4000 0000 0000"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}
