//! Runs `hello` in environments of all kinds, and asserts that the program's own result stays the same and that a
//! value that cannot be used costs one line on stderr.

use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;

use crate::examples::program;

/// Runs `hello` in an environment that holds these variables and nothing else.
fn hello(variables: &[(&str, &str)]) -> Output {
    let output = Command::new(program("hello")).env_clear().envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, world!\n");
    output
}

fn stderr_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn calls(store: &Path) -> i64 {
    Connection::open(store).unwrap().query_row("SELECT count(*) FROM calls", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_bad_value_costs_one_line_and_recording_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("calls.db");
    let db = store.to_str().unwrap();
    for (variable, value) in [
        ("MONITOR", "perhaps"),
        ("MONITOR_SAMPLE", "everything"),
        ("MONITOR_RETENTION", "6 fortnights"),
        ("MONITOR_MAX_DISK", "-1"),
        ("MONITOR_CAPTURE", "\u{1b}[2J"),
        ("MONITOR_CONFIG", "/nowhere/at/all.toml"),
    ] {
        let before = if store.exists() { calls(&store) } else { 0 };
        let line = stderr_line(&hello(&[("MONITOR_DB", db), (variable, value)]));
        assert_eq!(line.lines().count(), 1, "{variable}: {line}");
        assert!(line.starts_with("monitored: ") && line.contains(variable), "{line}");
        assert!(line.contains("allowed") && !line.contains('\u{1b}'), "{line}");
        assert_eq!(calls(&store), before + 1, "{variable} stopped the recording");
    }
}

#[cfg(unix)]
#[test]
fn bytes_that_are_no_text_cost_one_line() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let output = Command::new(program("hello"))
        .env_clear()
        .env("MONITOR_DB", ":memory:")
        .env("MONITOR_BATCH", OsStr::from_bytes(&[0xff, 0xfe, b'7']))
        .output()
        .unwrap();
    assert!(output.status.success());
    let line = stderr_line(&output);
    assert!(line.lines().count() == 1 && line.contains("MONITOR_BATCH"), "{line}");
}

#[test]
fn a_store_that_cannot_be_made_costs_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let db = file.join("calls.db");
    let line = stderr_line(&hello(&[("MONITOR_DB", db.to_str().unwrap())]));
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("monitored: ") && line.contains("calls.db"), "{line}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no folder");
}

#[test]
fn switched_off_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let output = hello(&[("MONITOR", "off"), ("HOME", home), ("MONITOR_SAMPLE", "0.5")]);
    assert_eq!(stderr_line(&output), "");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn kept_in_memory_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    assert_eq!(stderr_line(&hello(&[("MONITOR_DB", ":memory:"), ("HOME", home)])), "");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_home_one_line_says_that_the_store_is_in_memory() {
    let line = stderr_line(&hello(&[]));
    assert!(line.lines().count() == 1 && line.contains("in memory"), "{line}");
}

#[cfg(unix)]
#[test]
fn the_default_store_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(stderr_line(&hello(&[("HOME", folder.path().to_str().unwrap())])), "");
    let store = folder.path().join(".local/state/monitor/hello.db");
    assert_eq!(calls(&store), 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store), 0o600);
    assert_eq!(mode(store.parent().unwrap()), 0o700);
}

#[test]
fn a_settings_file_sets_what_the_environment_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("monitor.toml");
    let text = "db = \"${STATE:/nowhere}/calls.db\"\nservice = \"${WHO:greeter}\"\ncapture = 'none'\n";
    std::fs::write(&file, text).unwrap();
    let state = folder.path().to_str().unwrap();
    let variables =
        [("MONITOR_CONFIG", file.to_str().unwrap()), ("STATE", state), ("MONITOR_CAPTURE", "args")];
    assert_eq!(stderr_line(&hello(&variables)), "");
    let row: (String, Option<String>, Option<String>) = Connection::open(folder.path().join("calls.db"))
        .unwrap()
        .query_row("SELECT service, args, result FROM calls", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(row, ("greeter".into(), Some(r#"{"name":"world"}"#.into()), None));
}
