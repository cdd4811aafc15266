//! Puts `#[monitor]` on every function of published crates, runs their own tests with and without it, and prints a table.
//!
//! ```text
//! cargo field                  # every crate of tests/field/crates.toml
//! cargo field --short          # the three crates that CI tries: csv, hexyl and sd
//! cargo field itertools csv    # these crates
//! ```
//!
//! Takes the crates of `crates.toml`; gives a line for each: functions annotated, errors, new warnings, tests that passed
//! before and after, ratios of compile time, size and run time, and the number of functions whose counts agree with a count
//! that knows nothing of the recorder. Ends with 1 if a crate does not compile, a test differs without a stated reason, or
//! a count is wrong.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

mod annotate;
mod counts;
mod crates;
mod recover;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crates::Crate;
use trial::Outcome;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == recover::ARGUMENT) {
        recover::record_until_end_of_input();
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the crates that the arguments select. Returns true if all is as it should be.
fn run() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize()?;
    let work = root.join("target/field");
    let selected = select(crates::read(&root)?, &arguments)?;
    println!("{}", Outcome::TITLES);
    let mut is_well = true;
    for subject in &selected {
        let outcome = trial::run(subject, &root, &work).with_context(|| subject.name.clone())?;
        println!("{outcome}");
        for line in outcome.faults(subject) {
            println!("    {line}");
            is_well = false;
        }
        for line in outcome.remarks(subject) {
            println!("    {line}");
        }
    }
    Ok(is_well)
}

fn select(all: Vec<Crate>, arguments: &[String]) -> Result<Vec<Crate>> {
    let (options, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| option.as_str() != "--short") {
        bail!("{unknown} is not an option: allowed are --short and names of crates");
    }
    let known: Vec<String> = all.iter().map(|subject| subject.name.clone()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("{unknown} is not in crates.toml: allowed are {}", known.join(", "));
    }
    let is_short = !options.is_empty();
    Ok(all
        .into_iter()
        .filter(
            |subject| {
                if names.is_empty() { subject.short || !is_short } else { names.contains(&&subject.name) }
            },
        )
        .collect())
}
