//! The chaos suite: one victim program, one oracle, and a row for each fault. Each row runs the victim with a store
//! under that fault, and once more without the recorder. The row says how many calls were made, stored, recovered and
//! lost, and whether the victim was the same in both runs.
//!
//! Without arguments the short rows run, as part of `cargo test`; `--all` runs every row, `--rest` those that are not short, and
//! words choose rows by name. With words, `--short` leaves out the long form of a row that has a short one; with `--rest`,
//! `--few-seeds` does.
//! Rows that need root or a compiler are left out where those are missing, and listed; with `--require-all`, or where
//! `CI` is set, a row left out is a failure.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the program prints its table")]
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
mod host;
mod random;
mod loaded;
mod memory;
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

/// The number of rows that run at once. They mostly wait.
const AT_ONCE: usize = 6;

/// The most runs of a row whose only objections are to times.
const TRIES_MAX: usize = 3;

/// The rows that run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Selection {
    /// Short rows, or those that are named.
    #[default]
    Usual,
    /// Short rows, or of those that are named the short form.
    Short,
    /// All rows.
    All,
    /// All rows but the short ones.
    Rest,
}

/// The arguments of the command line.
#[derive(Debug, Default)]
struct Arguments {
    selection: Selection,
    list: bool,
    require_all: bool,
    /// True if a row that takes many seeds is left to its short form.
    few_seeds: bool,
    words: Vec<String>,
}

fn parse_arguments() -> Arguments {
    let mut arguments = Arguments { require_all: std::env::var_os("CI").is_some(), ..Arguments::default() };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--all" => arguments.selection = Selection::All,
            "--rest" => arguments.selection = Selection::Rest,
            "--short" => arguments.selection = Selection::Short,
            "--list" => arguments.list = true,
            "--few-seeds" => arguments.few_seeds = true,
            "--require-all" => arguments.require_all = true,
            // Options of the test harness mean nothing here.
            option if option.starts_with('-') => {}
            word => arguments.words.push(word.to_owned()),
        }
    }
    arguments
}

fn main() -> ExitCode {
    let arguments = parse_arguments();
    // The rows that take longest come first, so that none of them runs alone at the end.
    let cases = [
        sweep::CASES,
        loaded::CASES,
        memory::CASES,
        disk::CASES,
        files::CASES,
        rings::CASES,
        several::CASES,
        program::CASES,
        host::CASES,
        random::CASES,
        moments::CASES,
        soak::CASES,
    ]
    .concat();
    let has_short =
        |case: &Case| cases.iter().any(|other| other.fault == case.fault && other.length == Length::Short);
    let chosen = |case: &&Case| {
        let named = arguments.words.iter().any(|word| case.fault.contains(word.as_str()));
        let is_brief = case.length == Length::Short || !has_short(case);
        match case.length {
            _ if !arguments.words.is_empty() => {
                named && (is_brief || arguments.selection != Selection::Short)
            }
            Length::Short => arguments.selection != Selection::Rest,
            Length::Long => {
                matches!(arguments.selection, Selection::All | Selection::Rest)
                    && (is_brief || !arguments.few_seeds)
            }
            Length::ByName => false,
        }
    };
    let cases: Vec<Case> = cases.iter().filter(chosen).copied().collect();
    if arguments.list {
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
    if failed > 0 || arguments.require_all && !left_out.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs the rows, several at once. Returns them and the cases that this machine cannot run.
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

/// Runs a row, and runs it again while its only objections are to times. The recorder delays its host each time;
/// another program on this machine does so once.
fn run(case: &Case) -> Row {
    let mut row = run_once(case);
    let mut before = Vec::new();
    while row.problems.is_empty() && !row.overtime.is_empty() && before.len() + 1 < TRIES_MAX {
        before.push(row.overtime.join(", "));
        row = run_once(case);
        let _ = write!(row.remark, " (ran again: {})", before.join("; "));
    }
    row.problems.append(&mut row.overtime);
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
