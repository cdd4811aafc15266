//! Asserts that sampling follows the requested rates, whole trees at a time and with the right weights, also where a
//! rate is set while the program runs.

use std::path::Path;

use crate::patience::{PATIENCE, now_ns, wait_for};
use crate::victim::{Stage, Steady};

#[test]
fn rows_follow_the_rate_and_counts_do_not() {
    let stage = Stage::new().with_variable("MONITOR_SAMPLE", "0.1");
    stage.run("return", 100_000);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT calls FROM functions"), 100_000);
    let rows: i64 = store.one("SELECT COUNT(*) FROM calls");
    // Five standard deviations of a binomial distribution, 95 each.
    assert!((9_500..10_500).contains(&rows), "{rows}");
    let weight: f64 = store.one("SELECT SUM(weight) FROM calls");
    assert!((95_000.0..105_000.0).contains(&weight), "{weight}");
    let (recorded, sampled_out): (i64, i64) = (
        store.one("SELECT recorded FROM functions"),
        store.one("SELECT calls - recorded - dropped FROM functions"),
    );
    assert_eq!((recorded, sampled_out), (rows, 100_000 - rows));
}

#[test]
fn a_tree_is_kept_whole_or_not_at_all() {
    let stage = Stage::new().with_variable("MONITOR_SAMPLE", "victim::root=0.2");
    stage.run("tree", 2000);
    let store = stage.store();
    let roots: i64 = store.one("SELECT COUNT(*) FROM calls WHERE function = 'victim::root'");
    assert!((300..500).contains(&roots), "{roots}");
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), roots * 4);
    // The first five trees are kept as first calls, all others by chance.
    assert_eq!(store.all::<f64>("SELECT DISTINCT weight FROM calls ORDER BY 1"), [1.0, 5.0]);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE kept = 'first'"), 5);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE weight = 1"), 20);
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 8000);
}

#[test]
fn a_callee_with_a_lower_rate_of_its_own_is_thinned_further() {
    let stage = Stage::new().with_variable("MONITOR_SAMPLE", "victim::root=0.5,victim::leaf=0.1");
    stage.run("tree", 5000);
    let store = stage.store();
    let rows = |function: &str| -> i64 {
        store.one(&format!("SELECT COUNT(*) FROM calls WHERE function = 'victim::{function}'"))
    };
    assert_eq!(rows("root"), rows("branch"));
    assert!((2_300..2_700).contains(&rows("root")), "{}", rows("root"));
    assert!((800..1_200).contains(&rows("leaf")), "{}", rows("leaf"));
    assert_eq!(store.all::<f64>("SELECT DISTINCT weight FROM calls WHERE function = 'victim::leaf'"), [10.0]);
}

#[test]
fn failures_are_kept_at_rate_zero() {
    let stage = Stage::new().with_variable("MONITOR_SAMPLE", "0");
    stage.run("outcomes", 110);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM errors"), 120);
    assert_eq!(store.all::<String>("SELECT DISTINCT kept FROM errors"), ["failed"]);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE outcome = 'ok' AND kept = 'sampled'"), 0);
}

/// Waits until the store has a call.
fn wait_for_rows(stage: &Stage) {
    wait_for("rows of calls", || stage.has_row("SELECT 1 FROM calls"));
}

/// Waits until this many programs say in their store that they follow a rate.
fn wait_for_rate(stage: &Stage, programs: usize, rate: u32) {
    let follow = format!(
        "SELECT 1 FROM (SELECT COUNT(*) AS programs FROM rates WHERE function = 'victim::leaf' AND asked = {rate})
         WHERE programs = {programs}"
    );
    wait_for("the rate to hold", || stage.has_row(&follow));
}

/// Asserts that no call that began after this moment has a row by chance, and that all are counted.
fn check_rate_zero(stage: &Stage, since_ns: i64, made: i64) {
    let store = stage.store();
    let last_ns: i64 = store.one(
        "SELECT coalesce(MAX(start_ns), 0) FROM calls WHERE function = 'victim::leaf' AND kept = 'sampled'",
    );
    assert!(last_ns < since_ns, "{} ms later", (last_ns - since_ns) / 1_000_000);
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions WHERE function = 'victim::leaf'"), made);
}

#[test]
fn a_rate_written_by_another_program_holds_in_one_that_runs() {
    let stage = Stage::new();
    let program = Steady::start(&stage);
    wait_for_rows(&stage);
    let other = rusqlite::Connection::open(stage.db()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute("INSERT INTO sampling (pattern, rate) VALUES ('victim::*', 0)", []).unwrap();
    assert!(other.execute("INSERT INTO sampling (pattern, rate) VALUES ('x', 2)", []).is_err());
    wait_for_rate(&stage, 1, 0);
    let holds_ns = now_ns();
    program.wait_for_calls(300);
    let (made, _) = program.end(&stage);
    check_rate_zero(&stage, holds_ns, made);
    let store = stage.store();
    assert!(store.one::<bool>("SELECT sample_rate = 0 FROM functions"));
    let events: Vec<String> = store.all("SELECT detail FROM events WHERE kind = 'rate'");
    assert_eq!(events, ["victim::* = 0 by sql"]);
}

#[test]
fn a_rate_set_by_the_command_holds_in_every_process_on_the_store() {
    let stage = Stage::new();
    let programs = [(); 3].map(|()| Steady::start(&stage));
    let has_rows =
        "SELECT 1 FROM (SELECT COUNT(DISTINCT process_id) AS programs FROM calls) WHERE programs = 3";
    wait_for("rows of three processes", || stage.has_row(has_rows));
    stage.monitor(&["sample", "victim::*", "0"]);
    wait_for_rate(&stage, programs.len(), 0);
    let holds_ns = now_ns();
    for program in &programs {
        program.wait_for_calls(300);
    }
    let made: i64 = programs.into_iter().map(|program| program.end(&stage).0).sum();
    check_rate_zero(&stage, holds_ns, made);
    let store = stage.store();
    let events: Vec<String> = store.all("SELECT detail FROM events WHERE detail LIKE 'victim::* = 0 by %'");
    assert_eq!(events, ["victim::* = 0 by monitor:ada"; 3]);
    assert_eq!(store.all::<i64>("SELECT rate = 0 FROM rates"), [1; 3]);
}

#[test]
fn a_hot_function_that_is_left_out_is_counted_exactly_and_its_failures_kept() {
    let stage = Stage::bounded().with_variable("MONITOR_SAMPLE", "0");
    let program = stage.start_until_stopped("flood-until-stopped");
    let change = "SELECT 1 FROM events WHERE detail LIKE 'victim::orders::check: %timed -> counted%'";
    wait_for("the function to be only counted", || stage.has_row(change));
    let output = stage.finish(program);
    let numbers: Vec<i64> =
        output.lines().next().unwrap().split(' ').take(2).map(|number| number.parse().unwrap()).collect();
    let store = stage.store();
    let figures = "SELECT calls || ' ' || errors || ' ' || recorded || ' ' || dropped FROM functions";
    assert_eq!(store.one::<String>(figures), format!("{} {1} {1} 0", numbers[0], numbers[1]));
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM errors"), numbers[1]);
    // The histogram covers every call, whether it was timed or only counted.
    let buckets: i64 = store.one("SELECT SUM(count) FROM slice_bucket");
    assert!((numbers[0] - buckets).abs() <= numbers[0] / 1000, "{buckets} of {}", numbers[0]);
}

/// Puts a file with this text in the place of another, in one step.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[test]
fn a_change_of_the_settings_file_holds_at_once_and_a_bad_one_not_at_all() {
    let stage = Stage::bounded();
    let file = stage.folder().join("monitor.toml");
    let write = |text: &str| replace(&file, text);
    write("sample = 1\nmax_rate = 0\nmax_overhead = '100%'");
    let stage = stage.with_variable("MONITOR_CONFIG", file.to_str().unwrap());
    let mut program = Steady::start(&stage);
    wait_for_rows(&stage);
    write("sample = 'victim::*=0'\nmax_rate = 0\nmax_overhead = '100%'");
    wait_for_rate(&stage, 1, 0);
    let holds_ns = now_ns();
    write("sample = 'victim::*=2'");
    let warning = program.next_error_line();
    assert!(warning.contains("victim::*=2") && warning.contains("stay as they were"), "{warning}");
    program.wait_for_calls(300);
    let (made, more) = program.end(&stage);
    assert_eq!(more, "");
    check_rate_zero(&stage, holds_ns, made);
    let store = stage.store();
    let event: String = store.one("SELECT detail FROM events WHERE kind = 'rate'");
    assert!(event.starts_with("sample = victim::*=0 by settings file "), "{event}");
    let why: String = store.one("SELECT why FROM rates");
    assert!(why.starts_with("rate 0, by a pattern of MONITOR_SAMPLE; costs "), "{why}");
}

#[test]
fn bounds_and_batches_of_the_settings_file_hold_at_once_and_what_waits_for_a_start_is_said() {
    let stage = Stage::bounded();
    let file = stage.folder().join("monitor.toml");
    let write = |text: &str| replace(&file, text);
    write("max_rate = 0\nmax_overhead = '100%'");
    let stage = stage.with_variable("MONITOR_CONFIG", file.to_str().unwrap());
    let program = Steady::start(&stage);
    wait_for_rows(&stage);
    write(
        "max_rate = 0\nmax_overhead = '100%'\nretention = '2h'\nmax_disk = '8MiB'\ndrain_interval = '20ms'
         batch = 100\ncapture = 'none'\nmax_memory = '32MiB'",
    );
    let has_event = |like: &str| {
        stage.has_row(&format!("SELECT 1 FROM events WHERE kind = 'config' AND detail LIKE '{like}'"))
    };
    wait_for("the new bounds", || has_event("retention = 7200s, max_disk = 8388608 bytes by %"));
    let (made, warning) = program.end(&stage);
    assert_eq!(warning.lines().count(), 1, "{warning}");
    assert!(warning.contains("max_memory, capture changed by settings file"), "{warning}");
    assert!(has_event("drain_interval = 20ms, batch = 100 by %"));
    assert!(has_event("max_memory, capture changed by % holds from the next start of the program on"));
    let figures: String = stage.store().one("SELECT calls || ' ' || dropped FROM functions");
    assert_eq!(figures, format!("{made} 0"));
}

#[test]
fn a_rate_set_in_the_store_holds_for_the_next_run_until_it_is_reset() {
    let stage = Stage::new();
    stage.run("return", 10);
    let other = rusqlite::Connection::open(stage.db()).unwrap();
    other.execute("INSERT INTO sampling (pattern, rate, set_by) VALUES ('victim::*', 0, 'ada')", []).unwrap();
    let program = Steady::start(&stage);
    wait_for_rate(&stage, 1, 0);
    let holds_ns = now_ns();
    program.wait_for_calls(300);
    let (made, _) = program.end(&stage);
    check_rate_zero(&stage, holds_ns, made);
    let store = stage.store();
    let sampled = "SELECT COUNT(*) FROM calls WHERE function = 'victim::leaf'";
    assert_eq!(
        store.all::<String>("SELECT detail FROM events WHERE kind = 'rate'"),
        ["victim::* = 0 by ada"]
    );
    assert!(store.one::<bool>("SELECT rate = 0 FROM rates WHERE function = 'victim::leaf'"));
    other.execute("DELETE FROM sampling", []).unwrap();
    let before: i64 = store.one(sampled);
    stage.run("tree", 5);
    assert_eq!(store.one::<i64>(sampled) - before, 10);
}

#[test]
fn a_pattern_or_rate_without_sense_is_refused_by_the_store() {
    let stage = Stage::new();
    stage.run("return", 1);
    let other = rusqlite::Connection::open(stage.db()).unwrap();
    let insert = |pattern: &str, rate: f64| {
        other.execute("INSERT INTO sampling (pattern, rate) VALUES (?1, ?2)", (pattern, rate))
    };
    for (pattern, rate) in [
        ("victim::*", 1.5),
        ("victim::*", -0.1),
        ("", 1.0),
        ("   ", 1.0),
        ("victim:*", 1.0),
        ("victim::*?", 1.0),
        ("vic\ntim", 1.0),
        ("a=b", 1.0),
        ("{}", 1.0),
        ("victim\\*", 1.0),
    ] {
        assert!(insert(pattern, rate).is_err(), "{pattern:?} {rate}");
        let refused = is_refused(pattern) || !(0.0..=1.0).contains(&rate);
        assert!(refused, "the store and the recorder agree on {pattern:?}");
    }
    for pattern in ["*", "victim::*", "<shop::Cart<u8> as Drop>::drop", "GET /orders", "größe::*", "a.b-c"]
    {
        insert(pattern, 0.5).unwrap();
        assert!(!is_refused(pattern), "{pattern:?}");
    }
}

/// Returns true if the recorder refuses a pattern.
fn is_refused(pattern: &str) -> bool {
    monitor_runtime::sampling::Pattern::new(pattern.trim_matches(' ')).is_err()
}
