//! `monitor tail` and `monitor top --watch`: output that follows a store while it is written.
//!
//! The tests read the child's output line by line, so each waits exactly until the expected line comes.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::command;

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        let mut child = command(fixture.folder.path(), arguments)
            .arg("--db")
            .arg(&fixture.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }
    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
    fn call_id(&mut self) -> i64 {
        let row: serde_json::Value = serde_json::from_str(&self.line()).unwrap();
        row["call_id"].as_i64().unwrap()
    }
    fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

fn call(number: i64) -> Call {
    Call { span: PREFIX + number, ..Call::default() }
}

#[test]
fn new_calls_are_followed_and_ctrl_c_is_success() {
    let fixture = Fixture::new();
    fixture.calls(&[call(1), call(2), call(3)]);
    let mut tail = Running::start(&fixture, &["tail", "-n", "2", "--format", "jsonl"]);
    assert_eq!([tail.call_id(), tail.call_id()], [2, 3]);
    fixture.calls(&[call(4)]);
    assert_eq!(tail.call_id(), 4);
    assert_eq!(tail.interrupt(), Some(0));
}

#[test]
fn only_what_was_asked_for_is_followed() {
    let fixture = Fixture::new();
    let mut tail =
        Running::start(&fixture, &["tail", "reserve", "--failed", "--since", "1h", "--format", "json"]);
    let failed = Call { function: 2, outcome: 1, kept: 2, ..call(7) };
    fixture.calls(&[
        call(1),
        Call { function: 2, ..call(2) },
        Call { function: 1, ..failed.clone() },
        failed,
    ]);
    assert_eq!(tail.call_id(), 4);
    tail.interrupt();
}

#[test]
fn the_last_calls_of_a_span_come_first() {
    let fixture = Fixture::new();
    let ago = |number, ago_ns| Call { ago_ns, ..call(number) };
    fixture.calls(&[ago(1, 500 * SECOND), ago(2, 500 * SECOND), call(3), call(4), call(5)]);
    for (number, options, first) in [
        (6, &["--since", "2m", "-n", "2"][..], &[4, 5][..]),
        (7, &["--since", "2m", "-n", "4"], &[3, 4, 5, 6]),
        (8, &["--since", "2m"], &[3, 4, 5, 6, 7]),
        (9, &["-n", "9"], &[1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let mut tail = Running::start(&fixture, &[&["tail", "--format", "json"], options].concat());
        for id in first {
            assert_eq!(tail.call_id(), *id, "{options:?}");
        }
        fixture.calls(&[call(number)]);
        assert_eq!(tail.call_id(), number, "{options:?}");
        tail.interrupt();
    }
    let mut tail = Running::start(&fixture, &["tail", "--since", "2m", "-n", "0", "--format", "csv"]);
    assert!(tail.line().starts_with("call_id,"));
    fixture.calls(&[call(10)]);
    assert!(tail.line().starts_with("10,"));
    tail.interrupt();
}

#[test]
fn a_store_that_is_replaced_is_followed_from_its_beginning() {
    let fixture = Fixture::new();
    fixture.calls(&[call(1), call(2), call(3)]);
    let mut tail = Running::start(&fixture, &["tail", "-n", "1", "--format", "jsonl"]);
    assert_eq!(tail.call_id(), 3);
    let other = Fixture::new();
    other.calls(&[call(1)]);
    let new = fixture.folder.path().join("new.db");
    other.copy_to(&new);
    std::fs::rename(&new, &fixture.path).unwrap();
    assert_eq!(tail.call_id(), 1);
    tail.interrupt();
}

#[test]
fn a_reader_that_leaves_ends_the_tail_even_where_nothing_comes() {
    let fixture = Fixture::new();
    let mut tail = Running::start(&fixture, &["tail"]);
    assert!(tail.line().starts_with("    CALL  STARTED (UTC)"));
    let Running { mut child, lines } = tail;
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn top_is_drawn_again_every_second_until_ctrl_c() {
    let fixture = Fixture::new();
    fixture.figures(1, [1, 0, 0, 0, 10, 10]);
    let mut top = Running::start(&fixture, &["--watch", "--format", "csv"]);
    assert!(top.line().starts_with("function,"));
    assert!(top.line().contains(",1,0,0,0,"));
    fixture.db.execute("UPDATE slice SET calls = 2", []).unwrap();
    // A second may have gone by before the figures changed: an older picture may come first.
    loop {
        assert!(top.line().starts_with("function,"));
        let line = top.line();
        if line.contains(",2,0,0,0,") {
            break;
        }
        assert!(line.contains(",1,0,0,0,"), "{line}");
    }
    assert_eq!(top.interrupt(), Some(0));
}

#[test]
fn the_file_beside_which_a_program_goes_on_is_followed() {
    let fixture = Fixture::new();
    fixture.calls(&[call(1)]);
    let mut tail = Running::start(&fixture, &["tail", "-n", "1", "--format", "jsonl"]);
    assert_eq!(tail.call_id(), 1);
    let beside = Fixture::new();
    beside.calls(&[Call { args: Some("beside"), ..call(2) }]);
    fixture.db.execute_batch("ALTER TABLE call ADD COLUMN extra INTEGER").unwrap();
    beside.copy_to(&fixture.folder.path().join("shop.monitor.db"));
    assert!(tail.line().contains("beside"));
    assert_eq!(tail.interrupt(), Some(0));
}

#[test]
fn the_first_of_many_calls_is_printed_long_before_the_last_is_read() {
    let fixture = Fixture::new();
    fixture.calls(&(1..=20_000).map(call).collect::<Vec<_>>());
    for sort in ["time", "duration"] {
        let arguments = ["calls", "--limit", "20000", "--sort", sort, "--format", "jsonl"];
        let mut running = Running::start(&fixture, &arguments);
        // The pipe holds a few hundred rows, so the command cannot have ended while only one is read.
        running.call_id();
        assert!(running.child.try_wait().unwrap().is_none());
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
        assert!(kib < 64 << 10, "{sort}: {kib} KiB");
        drop(running.lines);
        running.child.wait().unwrap();
    }
}
