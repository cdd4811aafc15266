//! Plants one bug after the other into a copy of this repository and prints which test catches it:
//!
//! ```sh
//! cargo run -p monitor-planted               # all of them
//! cargo run -p monitor-planted -- --short    # those whose tests need no store to be built
//! cargo run -p monitor-planted -- ring       # those whose name or file contains this
//! ```
//!
//! Fails if a test passes in spite of a bug, or if an edit no longer applies to the code.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people to look at")]
#![allow(clippy::disallowed_methods, reason = "it starts cargo, edits files and waits")]

mod list;
mod edit;
mod tree;
mod trial;

use std::process::ExitCode;

use list::Bug;
use tree::Tree;
use trial::{Ended, Trial};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match run(&wanted) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("\n{missed} not caught");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("planted: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many bugs were not caught.
fn run(wanted: &[String]) -> Result<usize, String> {
    let bugs: Vec<Bug> = list::read()?.into_iter().filter(|bug| is_wanted(bug, wanted)).collect();
    if bugs.is_empty() {
        return Err("no such bug".to_owned());
    }
    let tree = Tree::copy()?;
    check_without_bugs(&tree, &bugs)?;
    let mut missed = 0;
    println!("\n{:<66} {:<7} caught by", "bug", "caught");
    for bug in &bugs {
        let path = tree.path(&bug.file);
        let ended =
            tree::with_edit(&path, |text| edit::apply(bug, text), || Trial::from_bug(bug).run(&tree))?;
        missed += usize::from(ended != Ended::Failed);
        let caught = match ended {
            Ended::Failed => "yes",
            Ended::Passed => "NO",
            Ended::TimedOut => "HANGS",
            Ended::NotBuilt => "NO BUILD",
        };
        println!("{:<66} {caught:<7} {} {}", bug.name, bug.package, bug.test);
    }
    println!("\n{} bugs, {} caught", bugs.len(), bugs.len() - missed);
    Ok(missed)
}

fn is_wanted(bug: &Bug, wanted: &[String]) -> bool {
    wanted.iter().all(|word| match word.as_str() {
        "--short" => bug.short,
        word => bug.name.contains(word) || bug.file.contains(word),
    })
}

/// Asserts that all tests pass without a bug. A test that fails in any case, or that no longer exists, would seem to
/// catch everything.
fn check_without_bugs(tree: &Tree, bugs: &[Bug]) -> Result<(), String> {
    let mut trials: Vec<Trial> = bugs.iter().map(Trial::from_bug).collect();
    trials.sort();
    trials.dedup();
    for trial in trials {
        eprintln!("without a bug: {trial}");
        match trial.run(tree) {
            Ended::Passed => {}
            ended => return Err(format!("{trial} should pass where no bug is planted: {ended:?}")),
        }
    }
    Ok(())
}
