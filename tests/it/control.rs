//! Runs programs that control their recorder (streams, sampling rates, breaker, settings in code), and controls one
//! through its store.

use crate::patience::{PATIENCE, wait_for};
use crate::victim::{Stage, Steady};

#[test]
fn a_subscriber_hears_of_every_call_until_it_ends() {
    let stage = Stage::new();
    let failed = r#"victim::control::work main Some("{\"number\":3}") Some("3 is one too many") 1"#;
    assert_eq!(stage.run("subscribe", 500), format!("Ok(())\n500 0\n{failed}\n"));
    assert_eq!(stage.store().one::<i64>("SELECT COUNT(*) FROM calls"), 501);
}

#[test]
fn rates_set_in_code_hold_at_once_until_they_are_taken_back() {
    let stage = Stage::new();
    let lines = "Ok(())\nOk(())\nErr(\"the rate `1.5` is not a number from 0 to 1\")\nOk(())\n";
    assert_eq!(stage.run("rates", 100), lines);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 200);
    assert_eq!(store.one::<i64>("SELECT calls FROM functions"), 300);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM sampling"), 0);
}

#[test]
fn a_breaker_held_open_keeps_everything_for_later() {
    let stage = Stage::new();
    let output = stage.output("breaker", 0);
    let lines = String::from_utf8(output.stdout).unwrap();
    let expected = [
        "Ok(()) Closed",
        "Open Circuit breaker OPEN - held: the disk is swapped",
        "true",
        "degraded",
        "Closed",
        "Ok(()) Closed full",
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(printed.lines().count(), 2, "{printed}");
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 2);
    let events: Vec<String> = store.all("SELECT detail FROM events WHERE kind = 'breaker' ORDER BY at_ns");
    assert_eq!(
        events,
        [
            "CLOSED -> OPEN (manual, by program): held: the disk is swapped",
            "OPEN -> CLOSED (manual, by program): held: the disk is back",
            "CLOSED -> CLOSED (manual, by program): let go"
        ]
    );
    let levels: Vec<String> = store.all("SELECT detail FROM events WHERE kind = 'level' ORDER BY at_ns");
    assert_eq!(
        levels,
        ["full -> degraded: the store cannot be written", "degraded -> full: the store is written"]
    );
}

#[test]
fn a_breaker_is_held_and_let_go_of_from_outside() {
    // A batch of ten rows is full, and is written, at every drain.
    let stage = Stage::new().with_variable("MONITOR_BATCH", "10");
    let mut program = Steady::start(&stage);
    let rows = || -> i64 {
        let count = "SELECT count(*) FROM calls";
        if !stage.db().exists() {
            return 0;
        }
        stage.store().0.query_row(count, [], |row| row.get(0)).unwrap_or(0)
    };
    wait_for("rows", || rows() > 0);
    let outside = rusqlite::Connection::open(stage.db()).unwrap();
    outside.busy_timeout(PATIENCE).unwrap();
    let hold =
        "INSERT INTO breaker (process_id, hold, reason, set_by) VALUES (0, 'open', 'disk swap', 'ada')";
    outside.execute(hold, []).unwrap();
    let warning = program.next_error_line();
    assert!(warning.contains("the store is not written (held: disk swap)"), "{warning}");
    // The program keeps calling, and no more rows arrive.
    let reached = rows();
    program.wait_for_calls(300);
    assert_eq!(rows(), reached);
    let let_go = "UPDATE breaker SET hold = 'auto', reason = 'a new disk', set_by = 'bob'";
    outside.execute(let_go, []).unwrap();
    wait_for("rows again", || rows() > reached);
    let (made, _) = program.end(&stage);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), made);
    let events: Vec<String> = store.all("SELECT detail FROM events WHERE kind = 'breaker' ORDER BY at_ns");
    assert_eq!(
        events,
        [
            "CLOSED -> OPEN (manual, by ada): held: disk swap",
            "OPEN -> HALF_OPEN (manual, by bob): let go: a new disk",
            "HALF_OPEN -> CLOSED (automatic): a write was taken"
        ]
    );
    let health = "SELECT breaker || breaker_openings || (breaker_held IS NULL) || (writes_blocked_pct > 0) FROM health";
    assert_eq!(store.one::<String>(health), "closed111");
}

#[test]
fn settings_in_code_win_over_the_environment_and_come_once() {
    let stage =
        Stage::new().with_variable("MONITOR_SERVICE", "named outside").with_variable("MONITOR_SAMPLE", "1");
    let lines = stage.run("init", 0);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with("Err(") && lines[0].contains("victim=7"), "{}", lines[0]);
    assert_eq!(lines[1], "Ok(())");
    assert!(lines[2].contains("already started"), "{}", lines[2]);
    let store = stage.store();
    assert_eq!(store.all::<String>("SELECT service FROM processes"), ["named in code"]);
    assert_eq!(store.all::<String>("SELECT outcome FROM calls"), ["error"]);
}
