//! `monitor crash` and `monitor live`: calls in flight in dead and in running processes.

use crate::fixture::{Call, Fixture, SECOND};
use crate::run::{Ran, command, monitor};

fn crashed() -> Fixture {
    let fixture = Fixture::new();
    fixture.calls(&[Call { duration_ns: 2_000_000, ..Call::default() }]);
    fixture.db.execute("UPDATE thread SET process_id = 2", []).unwrap();
    let died = fixture.now - 30 * SECOND;
    fixture.db.execute("UPDATE process SET ended_ns = ?1 WHERE id = 2", [died]).unwrap();
    let event = "INSERT INTO event (at_ns, process_id, kind, detail) VALUES (?1, 2, 'crash', 'died after a panic: boom')";
    fixture.db.execute(event, [died]).unwrap();
    let flight = "INSERT INTO flight VALUES (NULL, 2, ?1, ?2, ?3, ?4, 77)";
    for (thread, depth, function) in
        [(Some("wor\u{1b}[31mker"), 0, 1), (Some("wor\u{1b}[31mker"), 1, 2), (None, 0, 3)]
    {
        fixture.db.execute(flight, rusqlite::params![thread, depth, function, died - 4 * SECOND]).unwrap();
    }
    fixture
}

#[test]
fn a_process_that_died_is_shown_with_what_it_was_doing_and_the_calls_before() {
    let fixture = crashed();
    let out = monitor(&fixture.path, &["crash"]).ok();
    for part in [
        "pid 4242",
        "boom",
        "shop::orders::place for 4.00 s",
        "  shop::stock::reserve",
        "waiting to be polled",
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
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1]["function"], "shop::stock::reserve");
    assert_eq!(rows[1]["depth"], 1);
    assert_eq!(rows[2]["thread"], serde_json::Value::Null);
    assert!((rows[0]["elapsed_ms"].as_f64().unwrap() - 4000.0).abs() < 1.0);
    assert!(monitor(&fixture.path, &["crash", "--since", "1s", "--format", "json"]).json().is_empty());
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
