//! `monitor crash` and `monitor live`: calls in flight in dead and in running processes.

use crate::fixture::{Call, Fixture, SECOND};
use crate::run::{Ran, command, monitor};

fn crashed() -> Fixture {
    let fixture = Fixture::new();
    fixture.calls(&[Call { duration_ns: 2_000_000, ..Call::default() }]);
    fixture.db.execute("UPDATE thread SET process_id = 2", []).unwrap();
    let died = fixture.now - 30 * SECOND;
    fixture.db.execute("UPDATE process SET ended_ns = ?1 WHERE id = 2", [died]).unwrap();
    let event = "INSERT INTO event (at_ns, process_id, kind, detail) VALUES (?1, 2, ?2, ?3)";
    fixture.db.execute(event, rusqlite::params![died, "crash", "ended by its own panic: boom"]).unwrap();
    let (at, panic) = (died - 700_000_000, "a caught panic on thread main: bang");
    fixture.db.execute(event, rusqlite::params![at, "panic", panic]).unwrap();
    let flight = "INSERT INTO flight VALUES (NULL, 2, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let worker = Some("wor\u{1b}[31mker");
    let (order, since) = (Some("{\"order\":7,\"note\":\"\u{1b}[31m\"}"), died - 3 * SECOND);
    for (thread, thread_id, depth, function, span, parent, waits, args) in [
        (worker, Some(4), 0, 1, 77, None, None, order),
        (worker, Some(4), 1, 2, 78, Some(77), None, None),
        (worker, Some(5), 0, 1, 87, None, None, Some(r#"{"order":8}"#)),
        (None, None, 0, 3, 97, None, Some(since), None),
        (None, None, 1, 2, 98, Some(97), Some(since), Some(r#"{"item":"nut"}"#)),
        // Its clock was ahead of the one that told of the death.
        (None, None, 0, 1, 107, None, Some(died + 9 * SECOND), None),
    ] {
        let start = if span == 107 { died + 8 * SECOND } else { died - 4 * SECOND };
        let row = rusqlite::params![thread, depth, function, start, span, thread_id, parent, waits, args];
        fixture.db.execute(flight, row).unwrap();
    }
    fixture
}

#[test]
fn a_process_that_died_is_shown_with_what_it_was_doing_and_the_calls_before() {
    let fixture = crashed();
    let out = monitor(&fixture.path, &["crash"]).ok();
    for part in [
        "pid 4242",
        "ended by its own panic: boom",
        "700 ms before: a caught panic on thread main: bang",
        "ker #4\n             shop::orders::place for 4.00 s  {\"order\":7,\"note\":\"\\u001b[31m\"}\n",
        "\n               shop::stock::reserve for 4.00 s\n",
        "ker #5\n             shop::orders::place for 4.00 s  {\"order\":8}\n",
        "waiting to be polled\n",
        "shop::bank::Card::charge for 4.00 s, last polled 3.00 s before\n               shop::stock::reserve for 4.00 s",
        "shop::orders::place for 0 ns, last polled 0 ns before",
    ] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
    assert!(out.contains("took 2.00 ms"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn data_has_a_row_for_each_call_that_was_under_way() {
    let fixture = crashed();
    let rows = monitor(&fixture.path, &["crash", "--format", "json"]).json();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[1]["function"], "shop::stock::reserve");
    assert_eq!(rows[1]["depth"], 1);
    assert_eq!(rows[2]["thread_id"], 5);
    assert_eq!(rows[2]["args"], r#"{"order":8}"#);
    assert_eq!(rows[3]["thread"], serde_json::Value::Null);
    assert!(rows.iter().all(|row| row["elapsed_ms"].as_f64().unwrap() >= 0.0));
    assert!((rows[0]["elapsed_ms"].as_f64().unwrap() - 4000.0).abs() < 1.0);
    assert!(monitor(&fixture.path, &["crash", "--since", "1s", "--format", "json"]).json().is_empty());
}

#[test]
fn the_last_minute_of_a_process_that_died_is_told_in_figures() {
    let fixture = crashed();
    let died: i64 =
        fixture.db.query_row("SELECT ended_ns FROM process WHERE id = 2", [], |row| row.get(0)).unwrap();
    for (ago, calls) in [(25 * SECOND, 500), (15 * SECOND, 1200), (100 * SECOND, 7)] {
        fixture.window(1, fixture.now - died + ago, calls, calls * 1000);
    }
    fixture.db.execute("UPDATE latency_window SET process_id = 2, shown = 0, errors = 3", []).unwrap();
    let resource = "INSERT INTO resource VALUES (NULL, 2, ?1, 12.5, ?2, 4, 9)";
    fixture.db.execute(resource, [died - 15 * SECOND, 84 << 20]).unwrap();
    let out = monitor(&fixture.path, &["crash"]).ok();
    let figures: Vec<&str> = out.lines().filter(|line| line.contains("calls/s")).collect();
    // The figures are of windows of 10 s, up to the death.
    assert!((3..=4).contains(&figures.len()), "{out}");
    assert!(figures[2..].iter().all(|line| line.contains(": 0 calls/s, 0 failed")), "{out}");
    assert!(
        figures[0].starts_with("  minute     from ") && figures[0].contains(": 50 calls/s, 3 failed"),
        "{out}"
    );
    assert!(figures[1].contains(": 120 calls/s, 3 failed, memory 84.0 MiB, CPU 12.5 %"), "{out}");
}

#[test]
fn nothing_is_under_way_where_no_process_runs() {
    let fixture = crashed();
    assert!(monitor(&fixture.path, &["live", "--format", "json"]).json().is_empty());
}

#[test]
fn every_spelling_of_a_path_finds_the_processes_that_record_there() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    std::fs::create_dir(folder.join("sub")).unwrap();
    let run = |arguments: &[&str]| {
        let ran = command(folder, arguments).current_dir(folder).output().unwrap();
        Ran::from(ran)
    };
    let mut demo = command(folder, &["demo", "--seconds", "60", "--db", "m.db"]);
    demo.current_dir(folder).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while run(&["--db", "./m.db", "calls", "--format", "json"]).out.len() < 10 {
        assert!(std::time::Instant::now() < deadline, "the demo records nothing");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::os::unix::fs::symlink(folder.join("m.db"), folder.join("link.db")).unwrap();
    for spelling in ["m.db", "./m.db", "sub/../m.db", "link.db", folder.join("m.db").to_str().unwrap()] {
        let live = run(&["live", "--db", spelling]);
        assert!(live.err.contains("in 1 running process\n"), "{spelling}: {}", live.err);
    }
    demo.kill().unwrap();
    demo.wait().unwrap();
    let crash = run(&["--db", "m.db", "crash"]);
    assert!(
        crash.err.contains("1 process that died") && crash.err.contains("1 process died"),
        "{}",
        crash.err
    );
    assert!(crash.ok().contains("✗ died"));
}
