//! Runs programs whose store fails in some way, and asserts that the program's own result stays the same and that the
//! recorder's memory stays within its bound.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::victim::Stage;

#[test]
fn a_store_that_cannot_be_made_costs_one_line_and_nothing_else() {
    let stage = Stage::new().with_variable("MONITOR_DB", "/proc/nowhere/store.db");
    let output = stage.output("return", 100);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "5050\n");
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("/proc/nowhere") && line.contains("recording into"), "{line}");
}

#[test]
fn garbage_in_a_variable_is_named_once_and_the_default_used() {
    let stage = Stage::new().with_variable("MONITOR_RETENTION", "6 fortnights");
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
    let stage = stage.with_variable("MONITOR_DB", folder.join("store.db").to_str().unwrap());
    stage.run("return", 10);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("store.db")), 0o600);
}

/// Returns how many seconds the store cannot be written at least in the test below.
/// `MONITOR_TEST_OUTAGE_SECS=60 cargo test -p monitor-tests --test it outage` makes it a minute, in which the
/// breaker opens as well.
fn outage_secs() -> u64 {
    std::env::var("MONITOR_TEST_OUTAGE_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn memory_stays_within_its_bound_in_an_outage_of_the_store_and_failures_arrive_afterwards() {
    let stage = Stage::new().with_variable("MONITOR_MAX_MEMORY", "8MiB");
    stage.run("return", 1);
    let writer = rusqlite::Connection::open(stage.db()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let mut program = stage.start_until_stopped("outage");
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    // The outage lasts until the program has reached the last level and all its calls are drained into memory.
    assert_eq!(line(), "minimal");
    std::thread::sleep(Duration::from_secs(outage_secs()).saturating_sub(began.elapsed()));
    drop(program.stdin.take());
    assert_eq!(line(), "drained");
    writer.execute_batch("ROLLBACK").unwrap();
    let text = line();
    let numbers: Vec<&str> = text.split(' ').collect();
    let (made, failed): (i64, i64) = (numbers[0].parse().unwrap(), numbers[1].parse().unwrap());
    assert_eq!(numbers[2], "true", "{text}");
    let status: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(program.wait().unwrap().success());
    let peak: i64 = status
        .iter()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap();
    assert!(peak < 40_000, "{peak} kB");
    let store = stage.store();
    let calls = "SELECT calls FROM functions WHERE function = 'victim::orders::check'";
    assert_eq!(store.one::<i64>(calls), made);
    let rows: i64 = store.one("SELECT COUNT(*) FROM errors");
    let folded: i64 = numbers[4].parse().unwrap();
    assert_eq!(rows + folded, failed);
    assert_eq!(store.one::<i64>("SELECT SUM(count) FROM error_groups"), failed);
    // Each level was entered and left, in this order.
    let levels: Vec<String> =
        store.all("SELECT detail FROM events WHERE kind = 'level' AND process_id > 1 ORDER BY at_ns");
    let steps: Vec<&str> = levels.iter().map(|detail| detail.split(':').next().unwrap()).collect();
    assert!(steps.contains(&"degraded -> minimal") || steps.contains(&"full -> minimal"), "{levels:?}");
    let ends = |step: &str| step.split(" -> ").map(str::to_owned).collect::<Vec<_>>();
    assert!(steps.windows(2).all(|pair| ends(pair[0])[1] == ends(pair[1])[0]), "{levels:?}");
    assert!(steps[0].starts_with("full -> ") && steps.last().unwrap().ends_with(" -> full"), "{levels:?}");
    // The oldest ordinary calls lose their rows, never the newest: the last call of the outage has its row.
    let last = "SELECT outcome || ' ' || function FROM calls ORDER BY start_ns DESC LIMIT 1";
    assert_eq!(store.one::<String>(last), "ok victim::leaf");
}
