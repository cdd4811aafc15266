//! Sets environment variables and the settings file, and asserts what each changes in the store.

use std::process::Command;

use crate::patience::wait_for;
use crate::victim::Stage;

/// Runs `outcomes` with this capture mode, and returns how many arguments, results and errors are stored.
fn captured(mode: &str) -> (i64, i64, i64) {
    let stage = Stage::new().with_variable("MONITOR_CAPTURE", mode);
    stage.run("outcomes", 3);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 3 * 4 + 3);
    let count = |column: &str| store.one(&format!("SELECT COUNT({column}) FROM calls"));
    (count("args"), count("result"), count("error"))
}

#[test]
fn what_is_captured_is_what_was_asked_for() {
    // The slow call has its arguments, although its function was sampled out when it began.
    assert_eq!(captured("all"), (14, 10, 3));
    assert_eq!(captured("args"), (14, 0, 3));
    assert_eq!(captured("errors"), (0, 0, 3));
    assert_eq!(captured("none"), (0, 0, 0));
}

#[test]
fn rows_older_than_the_retention_go_while_the_program_runs() {
    let stage = Stage::new().with_variable("MONITOR_RETENTION", "1s").with_variable("MONITOR_SAMPLE", "1");
    let mut program = stage.start("pace", 60_000);
    // The first rows are gone and others are there.
    let expired = "SELECT 1 FROM (SELECT MIN(call_id) AS first FROM calls) WHERE first > 500";
    wait_for("the first rows to be deleted", || stage.has_row(expired));
    program.kill().unwrap();
    program.wait().unwrap();
    let store = stage.store();
    assert_eq!(store.one::<String>("PRAGMA quick_check"), "ok");
}

#[test]
fn database_and_log_stay_within_the_disk_they_may_use() {
    let stage = Stage::new().with_variable("MONITOR_MAX_DISK", "1MiB");
    let mut program = stage.start("flood", 3000);
    let log = stage.folder().join("store.db-wal");
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut most = 0;
    while program.try_wait().unwrap().is_none() {
        most = most.max(size(&stage.db()) + size(&log));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(most <= 1024 * 1024, "{most} bytes");
    let output = program.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let made: i64 = text.split(' ').next().unwrap().parse().unwrap();
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT calls FROM functions"), made);
    assert!(store.one::<i64>("SELECT COUNT(*) FROM calls") > 1000);
    assert_eq!(store.one::<String>("PRAGMA quick_check"), "ok");
}

#[test]
fn a_store_in_memory_leaves_no_file() {
    let stage = Stage::new().with_variable("MONITOR_DB", ":memory:");
    assert_eq!(stage.run("flush", 10), "55\nOk(())\n");
    assert_eq!(std::fs::read_dir(stage.folder()).unwrap().count(), 0);
}

#[test]
fn a_settings_file_is_read_with_variables_filled_in_and_the_environment_wins() {
    let stage = Stage::new();
    let file = stage.folder().join("monitor.toml");
    let text = "sample = \"${SHOP_RATE:1},victim::root=0\"\nservice = \"${SHOP_NAME:the shop}\"\ncapture = \"none\"\n";
    std::fs::write(&file, text).unwrap();
    let stage =
        stage.with_variable("MONITOR_CONFIG", file.to_str().unwrap()).with_variable("MONITOR_CAPTURE", "all");
    stage.run("tree", 5);
    let store = stage.store();
    assert_eq!(store.all::<String>("SELECT service FROM processes"), ["the shop"]);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 0, "a tree goes with its root");
    let stage = stage.with_variable("SHOP_NAME", "another").with_variable("MONITOR_SAMPLE", "1");
    stage.run("tree", 5);
    let store = stage.store();
    let services: Vec<String> = store.all("SELECT service FROM processes ORDER BY process_id");
    assert_eq!(services, ["the shop", "another"]);
    assert_eq!(store.one::<i64>("SELECT COUNT(args) FROM calls"), 20);
}

#[test]
fn the_last_pattern_that_matches_gives_the_rate() {
    let stage = Stage::new().with_variable("MONITOR_SAMPLE", "0,victim::*=1,victim::b*=0");
    stage.run("tree", 10);
    let rates: Vec<String> =
        stage.store().all("SELECT function || ' ' || sample_rate FROM functions ORDER BY function");
    assert_eq!(rates, ["victim::branch 0.0", "victim::leaf 1.0", "victim::root 1.0"]);
}

#[test]
fn two_programs_with_one_store_write_every_row_once() {
    let stage = Stage::new();
    // These programs flush. The end of a program would wait for its rows for two seconds only.
    let programs = [stage.start("flush", 19_999), stage.start("flush", 19_999)];
    for program in programs {
        assert!(program.wait_with_output().unwrap().status.success());
    }
    let store = stage.store();
    let rows: Vec<i64> = store.all("SELECT COUNT(*) FROM calls GROUP BY process_id");
    let recorded: Vec<i64> = store.all("SELECT recorded FROM health ORDER BY process_id");
    let lost: i64 = store.one("SELECT SUM(dropped) FROM functions");
    assert_eq!(rows.iter().sum::<i64>() + lost, 40_000);
    assert_eq!(recorded, rows);
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT span_id) FROM calls"), rows.iter().sum::<i64>());
    let slices = "SELECT name || ' ' || process_id || ' ' || calls FROM slice JOIN function ON id = function_id ORDER BY process_id";
    assert_eq!(store.one::<i64>("SELECT calls FROM functions"), 40_000, "{:?}", store.all::<String>(slices));
}

/// Runs the victim under another name, with a variable as cargo sets it for build scripts. Returns whether it left a store.
fn records_as(name: &str, variables: &[(&str, &str)]) -> bool {
    let stage = Stage::new();
    let program = stage.folder().join(name);
    std::fs::copy(env!("CARGO_BIN_EXE_victim"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["outcomes", "3"]).env_clear().env("HOME", stage.folder()).env("MONITOR_DB", stage.db());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    stage.db().exists()
}

#[test]
fn a_build_records_only_if_it_is_told_to() {
    let out_dir = ("OUT_DIR", "/tmp/out");
    assert!(!records_as("build-script-build", &[out_dir]));
    assert!(!records_as("rustc", &[]));
    assert!(!records_as("clippy-driver", &[]));
    assert!(records_as("build-script-build", &[out_dir, ("MONITOR", "on")]));
    assert!(records_as("build-script-build", &[]));
    assert!(records_as("victim", &[out_dir]));
}
