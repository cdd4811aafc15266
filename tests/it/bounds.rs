//! Whatever happens to the store, the program's own result stays, and memory stays within its bound.

use std::os::unix::fs::PermissionsExt;

use crate::victim::Stage;

#[test]
fn a_store_that_cannot_be_made_costs_one_line_and_nothing_else() {
    let stage = Stage::new().with("MONITOR_DB", "/proc/nowhere/store.db");
    let output = stage.output("return", 100);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5050\n");
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("/proc/nowhere") && line.contains("recording into"), "{line}");
}

#[test]
fn garbage_in_a_variable_is_named_once_and_the_default_used() {
    let stage = Stage::new().with("MONITOR_RETENTION", "6 fortnights");
    let output = stage.output("return", 100);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5050\n");
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in ["MONITOR_RETENTION", "6 fortnights", "6h"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(stage.store().one::<i64>("SELECT COUNT(*) FROM calls"), 100);
}

#[test]
fn a_file_size_limit_does_not_kill_the_program() {
    let stage = Stage::new();
    let mut command = std::process::Command::new("sh");
    let limited = format!("ulimit -f 64; exec {} return 200000", env!("CARGO_BIN_EXE_victim"));
    command.args(["-c", &limited]).env("MONITOR_DB", stage.db());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "20000100000\n");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.lines().count() <= 2, "{text}");
}

#[test]
fn files_are_for_their_owner_alone() {
    let stage = Stage::new();
    let folder = stage.folder().join("made/here");
    let stage = stage.with("MONITOR_DB", folder.join("store.db").to_str().unwrap());
    stage.run("return", 10);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("store.db")), 0o600);
}

/// For how long the store cannot be written in the test below. `MONITOR_TEST_OUTAGE_SECS=60 cargo test
/// -p monitor-tests --test it outage` makes it a minute, in which the breaker opens as well.
fn outage_secs() -> u64 {
    std::env::var("MONITOR_TEST_OUTAGE_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn memory_stays_within_its_bound_in_an_outage_of_the_store_and_failures_arrive_afterwards() {
    let stage = Stage::new().with("MONITOR_MAX_MEMORY", "8MiB");
    stage.run("return", 1);
    let writer = rusqlite::Connection::open(stage.db()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let program = stage.start("flood", outage_secs() * 1000 - 1000);
    std::thread::sleep(std::time::Duration::from_secs(outage_secs()));
    writer.execute_batch("ROLLBACK").unwrap();
    let output = program.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
    let (made, failed): (i64, i64) = (numbers[0].parse().unwrap(), numbers[1].parse().unwrap());
    assert_eq!(numbers[2], "true", "{text}");
    let peak: i64 = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap();
    assert!(peak < 40_000, "{peak} kB");
    let store = stage.store();
    let function = "function = 'victim::orders::check'";
    assert_eq!(store.one::<i64>(&format!("SELECT calls FROM functions WHERE {function}")), made);
    let rows: i64 = store.one("SELECT COUNT(*) FROM errors");
    let folded: i64 = numbers[4].parse().unwrap();
    assert_eq!(rows + folded, failed);
    assert_eq!(store.one::<i64>("SELECT SUM(count) FROM error_groups"), failed);
    let newest = |outcome: &str| -> i64 {
        store.one(&format!("SELECT MAX(start_ns) FROM calls WHERE outcome = '{outcome}' AND {function}"))
    };
    // Each level was entered and left, and none came out of turn.
    let levels: Vec<String> =
        store.all("SELECT detail FROM events WHERE kind = 'level' AND process_id > 1 ORDER BY at_ns");
    let steps: Vec<&str> = levels.iter().map(|detail| detail.split(':').next().unwrap()).collect();
    assert!(steps.contains(&"degraded -> minimal") || steps.contains(&"full -> minimal"), "{levels:?}");
    let ends = |step: &str| step.split(" -> ").map(str::to_owned).collect::<Vec<_>>();
    assert!(steps.windows(2).all(|pair| ends(pair[0])[1] == ends(pair[1])[0]), "{levels:?}");
    assert!(steps[0].starts_with("full -> ") && steps.last().unwrap().ends_with(" -> full"), "{levels:?}");
    // Rings overrun while the writer waits for the lock, a tenth of a second at a time.
    let behind_ms = (newest("error") - newest("ok")) / 1_000_000;
    assert!(behind_ms < 1000, "the newest ordinary row is {behind_ms} ms older than the newest failure");
}
