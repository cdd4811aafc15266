//! Runs the examples and asserts that they print what they promise and leave in the store what they did.

use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

/// Returns the path of an example's program. Cargo builds examples along with tests; a run of this test binary alone
/// may find none, and then builds it.
pub(crate) fn program(example: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let profile = deps.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION);
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--package", "monitored", "--example", example])
            .status();
        assert!(status.unwrap().success(), "{example} does not build");
    }
    program
}

/// Runs an example with this store and returns what it has printed.
fn run(example: &str, argument: Option<&str>, store: &Path) -> String {
    let output = Command::new(program(example))
        .args(argument)
        .env("MONITOR_DB", store)
        // These tests look at rows, so every call gets one.
        .env("MONITOR_MAX_RATE", "0")
        .env("MONITOR_MAX_OVERHEAD", "100%")
        .env_remove("MONITOR")
        .env_remove("MONITOR_SAMPLE")
        .env_remove("MONITOR_CONFIG")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} failed: {errors}");
    assert_eq!(errors, "", "{example} complained");
    String::from_utf8(output.stdout).unwrap()
}

fn query<T: rusqlite::types::FromSql>(store: &Path, sql: &str) -> T {
    let connection = Connection::open(store).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Returns the calls, errors, panics and cancellations of the function whose path ends with this name.
fn figures(store: &Path, function: &str) -> [i64; 4] {
    let connection = Connection::open(store).unwrap();
    let sql = "SELECT calls, errors, panics, cancelled FROM functions WHERE function LIKE '%::' || ?";
    connection
        .query_row(sql, [function], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        .unwrap_or_else(|error| panic!("{function}: {error}"))
}

#[test]
fn hello_leaves_its_one_call_with_argument_and_result() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    assert_eq!(run("hello", None, &store), "Hello, world!\n");
    assert_eq!(query::<String>(&store, "SELECT function FROM calls"), "hello::greet");
    assert_eq!(query::<String>(&store, "SELECT args FROM calls"), r#"{"name":"world"}"#);
    assert_eq!(query::<String>(&store, "SELECT result FROM calls"), r#""Hello, world!""#);
    let lines = include_str!("../../examples/hello.rs").lines().count();
    assert!(lines <= 10, "the smallest example has {lines} lines");
}

#[test]
fn async_service_knows_what_became_of_every_future() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    let printed = run("async_service", None, &store);
    assert_eq!(printed, "200 requests: Answers { ok: 170, denied: 10, timed_out: 10, hung_up: 10 }\n");
    assert_eq!(figures(&store, "serve"), [1, 0, 0, 0]);
    assert_eq!(figures(&store, "handle"), [200, 20, 0, 10]);
    assert_eq!(figures(&store, "authorize"), [200, 10, 0, 0]);
    assert_eq!(figures(&store, "load"), [190, 0, 0, 20]);
    assert_eq!(figures(&store, "render"), [170, 0, 0, 0]);
    let secrets = "SELECT count(*) FROM calls WHERE args LIKE '%sesame%' OR args LIKE '%expired%'";
    assert_eq!(query::<i64>(&store, secrets), 0, "a token was stored");
}

#[test]
fn async_service_keeps_tasks_and_blocking_threads_in_one_tree() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    run("async_service", None, &store);
    assert_eq!(query::<i64>(&store, "SELECT count(DISTINCT trace_id) FROM calls"), 1);
    for (child, parent) in
        [("handle", "serve"), ("authorize", "handle"), ("load", "handle"), ("render", "handle")]
    {
        let strays: i64 = query(
            &store,
            &format!(
                "SELECT count(*) FROM calls AS c LEFT JOIN calls AS p ON c.parent_id = p.span_id
                 WHERE c.function LIKE '%::{child}' AND COALESCE(p.function, '') NOT LIKE '%::{parent}'"
            ),
        );
        assert_eq!(strays, 0, "{child} outside of {parent}");
    }
}

#[test]
fn trading_pipeline_counts_every_stage_of_every_round() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    let printed = run("trading_pipeline", Some("60000"), &store);
    assert!(printed.contains("events/s") && printed.contains("the same in all 10 rounds"), "{printed}");
    let ticks = 5 * 60_000;
    assert_eq!(figures(&store, "next_tick"), [ticks, 0, 0, 0]);
    assert_eq!(figures(&store, "add"), [ticks, 0, 0, 0]);
    let [studied, thin, ..] = figures(&store, "study");
    assert!(studied > 0 && thin > 0 && thin < studied, "{thin} of {studied}");
    let synergies: i64 =
        query(&store, "SELECT count(*) FROM calls WHERE function LIKE '%weigh' AND result <> 'null'");
    assert!(synergies > 0);
    let groups: i64 = query(&store, "SELECT count(DISTINCT group_name) FROM functions");
    // The groups are those of the calm stages, the busy stages and the exchange.
    assert_eq!(groups, 3);
}

#[test]
fn read_back_finds_in_its_store_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    let printed = run("read_back", None, &store);
    assert_eq!(figures(&store, "invoice")[0], 100);
    let failed = figures(&store, "invoice")[1];
    assert!(failed > 0);
    assert!(printed.contains(&format!("invoices that failed for a price: {failed}")), "{printed}");
    assert!(printed.contains("has no price") && printed.contains("slowest send: {"), "{printed}");
}
