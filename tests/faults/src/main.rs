//! Prints a table of the faults that the field brought to light: the number of each, its tests, and their results.
//!
//! ```text
//! cargo faults             # every line of tests/faults/lines.toml
//! cargo faults H1 S13      # these lines
//! cargo faults --short     # attacks that seeds draw with a few seeds each
//! cargo faults --list      # the lines and their tests, without a run
//! ```
//!
//! Takes the lines of `lines.toml`; runs their tests, those of one test binary together, and gives a row for each line. Ends
//! with 1 if a test fails, is left out or is not found, and if a line has no test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]
#![allow(clippy::disallowed_methods, reason = "it starts cargo and reads files")]

mod list;
mod run;

use std::collections::BTreeMap;
use std::process::ExitCode;

use list::Line;
use run::Outcome;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match table(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("faults: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table. Returns true if every line has tests, and all of them passed.
fn table(arguments: &[String]) -> Result<bool, String> {
    let list = list::read()?;
    let (options, wanted): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| word.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| !["--list", "--short"].contains(&option.as_str())) {
        return Err(format!("{unknown} is not an option: allowed are --list, --short and numbers of lines"));
    }
    if let Some(unknown) = wanted.iter().find(|word| list.find(word).is_none()) {
        return Err(format!("{unknown} is no line of tests/faults/lines.toml"));
    }
    let lines: Vec<&Line> =
        list.line.iter().filter(|line| wanted.is_empty() || wanted.contains(&&line.number)).collect();
    let has = |option: &str| options.iter().any(|word| word.as_str() == option);
    let outcomes = if has("--list") { BTreeMap::new() } else { run::run(&list, &lines, has("--short"))? };
    Ok(print(&lines, &outcomes))
}

/// Prints each line of the list, its number and the behavior that is right, and below it a row for each of its tests.
/// Returns true if all tests of all lines passed.
fn print(lines: &[&Line], outcomes: &BTreeMap<(String, String), Outcome>) -> bool {
    println!("{:<10} {:<9} {:<9} test", "line", "result", "in");
    let mut mended = 0;
    for line in lines {
        println!("{:<10} {}", line.number, line.right);
        if line.tests.is_empty() {
            println!("{:<10} {:<9}", "", "NO TEST");
        }
        let mut passed = !line.tests.is_empty();
        for test in &line.tests {
            let (target, name) = list::split(test);
            let outcome = outcomes.get(&(target.to_owned(), name.to_owned()));
            passed &= outcome == Some(&Outcome::Passed);
            println!(
                "{:<10} {:<9} {target:<9} {name}",
                "",
                outcome.map_or("not run", |outcome| outcome.name())
            );
        }
        mended += usize::from(passed);
    }
    println!("\n{} lines, {mended} shown to be mended", lines.len());
    mended == lines.len()
}
