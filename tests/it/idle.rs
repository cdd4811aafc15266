//! Asserts that a program in which nothing happens is left alone, and that its next call is noticed all the same.
//! Wake-ups and written bytes are counted by the system, in the real process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Child;
use std::time::Instant;

use monitor_runtime::limits::REST_PAUSE;

use crate::patience::wait_for;
use crate::victim::Stage;

/// The wake-ups and the bytes of a program so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// The number of times that the recorder's thread has waited.
    waits: u64,
    /// Bytes handed to the system for writing.
    written: u64,
}

impl Usage {
    /// Returns what a program has done; `None` before it has a recorder.
    fn read(program: &Child) -> Option<Self> {
        let process = format!("/proc/{}", program.id());
        let number = |path: &str, name: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
        };
        let written = number(&format!("{process}/io"), "wchar:")?;
        let recorder = std::fs::read_dir(format!("{process}/task")).ok()?.flatten().find(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "monitored")
        })?;
        let status = recorder.path().join("status");
        Some(Self { waits: number(status.to_str()?, "voluntary_ctxt_switches:")?, written })
    }

    /// Waits until the recorder has gone to rest: it has written the program's calls, and nothing more for some rests. Its
    /// waits for the disk are waits too.
    fn read_at_rest(stage: &Stage, program: &Child) -> Self {
        wait_for("the calls", || stage.has_row("SELECT 1 FROM calls"));
        let (mut last, mut since) = (Self::read(program).unwrap(), Instant::now());
        wait_for("the recorder to rest", || {
            let usage = Self::read(program).unwrap();
            if usage.written != last.written {
                (last, since) = (usage, Instant::now());
            }
            usage.waits >= last.waits + 3 && since.elapsed() > 3 * REST_PAUSE
        });
        Self::read(program).unwrap()
    }
}

#[test]
fn a_program_in_which_nothing_happens_writes_nothing_and_is_woken_every_five_seconds_at_most() {
    let stage = Stage::new();
    let program = stage.start_until_stopped("idle");
    let (before, began) = (Usage::read_at_rest(&stage, &program), Instant::now());
    wait_for("three rests", || Usage::read(&program).unwrap().waits >= before.waits + 3);
    let after = Usage::read(&program).unwrap();
    let rests = began.elapsed().as_secs() / REST_PAUSE.as_secs() + 1;
    assert_eq!(after.written, before.written);
    // A wait for something else than the end of a rest is rare.
    assert!(after.waits - before.waits <= 2 * rests, "{before:?} {after:?} in {rests} rests");
    stage.finish(program);
}

#[test]
fn the_first_call_after_a_rest_is_seen_while_the_program_runs() {
    let stage = Stage::new();
    let mut program = stage.start_until_stopped("on-call");
    let mut input = program.stdin.take().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    for number in 1..=2 {
        Usage::read_at_rest(&stage, &program);
        writeln!(input, "go").unwrap();
        lines.next().unwrap().unwrap();
        wait_for("the row of the call", || {
            stage.has_row(&format!("SELECT 1 FROM calls WHERE args = '{{\"number\":{number}}}'"))
        });
        wait_for("its count", || {
            stage.has_row(&format!("SELECT 1 FROM functions WHERE calls = {}", number + 1))
        });
    }
    drop((input, lines));
    stage.finish(program);
}
