//! The chaos suite: one victim program, one oracle, and a row for each fault. Each row runs the victim
//! with a store under that fault, and beside it a run without the recorder; then it says how many calls
//! were made, stored, brought in late and lost, and whether the victim was the same in both runs.
//!
//! Without arguments the short rows run, as part of `cargo test`; `--all` runs every row, words choose
//! rows by name. Rows that need root or a compiler are left out where those are missing, and said so;
//! with `--require-all`, or where `CI` is set, that is a failure.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]
#![allow(clippy::disallowed_methods, reason = "it harms files, starts programs and waits for them")]

mod row;
mod place;
mod play;
mod oracle;
mod shim;
mod disk;
mod files;
mod rings;
mod several;
mod program;
mod moments;
mod vfs;
mod sweep;
mod soak;
#[path = "../../monitor-runtime/tests/store/rows.rs"]
#[allow(dead_code, reason = "the store's own tests use all of it")]
mod rows;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use row::{Case, Length, Need, Row};

/// Rows that run at once: most of their time they wait.
const AT_ONCE: usize = 6;

/// How often a row runs at most, as long as nothing but a time is objected to.
const TRIES_MAX: usize = 3;

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    all: bool,
    list: bool,
    require_all: bool,
    words: Vec<String>,
}

fn asked() -> Asked {
    let mut asked = Asked { require_all: std::env::var_os("CI").is_some(), ..Asked::default() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--all" => asked.all = true,
            "--short" => asked.all = false,
            "--list" => asked.list = true,
            "--require-all" => asked.require_all = true,
            // The test harness's own options mean nothing here.
            option if option.starts_with('-') => {}
            word => asked.words.push(word.to_owned()),
        }
    }
    asked
}

fn main() -> ExitCode {
    let asked = asked();
    let chosen = |case: &Case| {
        let named = asked.words.iter().any(|word| case.fault.contains(word.as_str()));
        match case.length {
            _ if !asked.words.is_empty() => named,
            Length::Short => true,
            Length::Long => asked.all,
            Length::ByName => false,
        }
    };
    let cases = [
        disk::CASES,
        files::CASES,
        rings::CASES,
        several::CASES,
        program::CASES,
        moments::CASES,
        sweep::CASES,
        soak::CASES,
    ]
    .concat();
    let cases: Vec<Case> = cases.into_iter().filter(chosen).collect();
    if asked.list {
        for case in &cases {
            println!("{}: test", case.fault);
        }
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let (ran, left_out) = run_all(&cases);
    row::print(&ran);
    for (case, need) in &left_out {
        println!("left out: {} (needs {need})", case.fault);
    }
    row::print_starts(&ran);
    let failed = row::print_problems(&ran);
    let (passed, left) = (ran.len() - failed, left_out.len());
    println!("{passed} passed, {failed} failed, {left} left out, in {:.0?}", began.elapsed());
    if failed > 0 || asked.require_all && !left_out.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs the rows, several at once; the rest are those that cannot be run here.
fn run_all(cases: &[Case]) -> (Vec<Row>, Vec<(Case, Need)>) {
    let (can, cannot): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.missing().is_none());
    let waiting: Mutex<VecDeque<(usize, &Case)>> = Mutex::new(can.into_iter().enumerate().collect());
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((place, case)) = waiting.lock().unwrap().pop_front() else { break };
                    let began = Instant::now();
                    let row = run(case);
                    let took = began.elapsed().as_secs_f64();
                    let _ = writeln!(std::io::stderr(), "{} {took:6.1} s  {}", row.verdict(), case.fault);
                    ran.lock().unwrap().push((place, row));
                }
            });
        }
    });
    let mut ran = ran.into_inner().unwrap();
    ran.sort_by_key(|(place, _)| *place);
    let left_out = cannot.into_iter().filter_map(|case| Some((*case, case.missing()?))).collect();
    (ran.into_iter().map(|(_, row)| row).collect(), left_out)
}

/// A row whose only fault is that something took too long runs again: what the recorder does to its host it
/// does each time, and what another program did to both of them is over.
fn run(case: &Case) -> Row {
    let mut row = run_once(case);
    let mut before = Vec::new();
    while row.problems.is_empty() && !row.late.is_empty() && before.len() + 1 < TRIES_MAX {
        before.push(row.late.join(", "));
        row = run_once(case);
        let _ = write!(row.remark, " (ran again: {})", before.join("; "));
    }
    row.problems.append(&mut row.late);
    row
}

fn run_once(case: &Case) -> Row {
    let row = catch_unwind(AssertUnwindSafe(|| (case.run)())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Row { problems: vec![text.unwrap_or_else(|| "it panicked".to_owned())], ..Row::default() }
    });
    Row { fault: case.fault, how: case.how, ..row }
}
