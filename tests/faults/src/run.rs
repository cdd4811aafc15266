//! Runs tests, those of one target by one command, and reads their results from its output.
//!
//! A test of the target `docs` is a page and words that it must contain: some faults are limits, and the page says the way
//! round.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use crate::list::{Line, List, root, split};

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// The test needs something that this machine does not have.
    LeftOut,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::LeftOut => "left out",
        }
    }
}

/// Runs the tests of these lines. A test that its target does not have has no outcome.
pub(crate) fn run(
    list: &List,
    lines: &[&Line],
    is_short: bool,
) -> Result<BTreeMap<(String, String), Outcome>, String> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for test in lines.iter().flat_map(|line| &line.tests) {
        let (target, name) = split(test);
        groups.entry(target).or_default().insert(name);
    }
    let mut outcomes = BTreeMap::new();
    for (target, names) in groups {
        let found = if target == "docs" {
            names.iter().map(|name| ((*name).to_owned(), find_words(name))).collect()
        } else {
            let arguments =
                list.targets.get(target).ok_or_else(|| format!("{target} is an unknown target"))?;
            eprintln!("{target}: {} tests", names.len());
            // Only the target `chaos` knows `--short`, because its table has short and long forms of some rows. The
            // standard test harness refuses this option.
            let option = (is_short && target == "chaos").then_some("--short");
            run_target(arguments, option, &names)?
        };
        outcomes.extend(found.into_iter().map(|(name, outcome)| ((target.to_owned(), name), outcome)));
    }
    Ok(outcomes)
}

fn run_target(
    arguments: &[String],
    option: Option<&str>,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Outcome>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).arg("test").args(arguments).arg("--").args(option).args(names);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cargo: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let outcomes = read_outcomes(&text, names);
    if outcomes.is_empty() {
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    }
    Ok(outcomes)
}

/// Reads the results of tests from the output of the test harness, or of the table of faults. One result of several with
/// the same name counts as failed if any did.
fn read_outcomes(text: &str, names: &BTreeSet<&str>) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for (name, outcome) in text.lines().filter_map(read_line) {
        if names.contains(name) {
            let known = outcomes.entry(name.to_owned()).or_insert(outcome);
            if outcome == Outcome::Failed {
                *known = outcome;
            }
        }
    }
    outcomes
}

fn read_line(line: &str) -> Option<(&str, Outcome)> {
    if let Some(result) = line.strip_prefix("test ") {
        let (path, result) = result.split_once(" ... ")?;
        let name = path.rsplit("::").next()?.split(" - ").next()?;
        let outcome = match result {
            "ok" => Outcome::Passed,
            result if result.starts_with("ignored") => Outcome::LeftOut,
            _ => Outcome::Failed,
        };
        return Some((name, outcome));
    }
    if let Some(row) = line.strip_prefix("left out: ") {
        return Some((row.split_once(" (needs ")?.0, Outcome::LeftOut));
    }
    // A row of the table of faults: the verdict, the seconds, the fault.
    let (outcome, rest) = [("ok ", Outcome::Passed), ("FAILED ", Outcome::Failed)]
        .into_iter()
        .find_map(|(verdict, outcome)| Some((outcome, line.strip_prefix(verdict)?)))?;
    let (_, fault) = rest.split_once(" s  ")?;
    Some((fault, outcome))
}

/// Looks for words on a page: `docs/page.md, words`.
fn find_words(test: &str) -> Outcome {
    let found = test.split_once(", ").is_some_and(|(page, words)| {
        std::fs::read_to_string(root().join(page)).is_ok_and(|text| text.contains(words))
    });
    if found { Outcome::Passed } else { Outcome::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_both_kinds_of_output() {
        let text = "running 3 tests\ntest a::tests::one ... ok\ntest two ... FAILED\ntest b::three ... ignored, slow\n\
                    ok        12.5 s  disk full\nFAILED     3.0 s  disk full\nok         0.1 s  no fault\n\
                    left out: needs a mount (needs root)\ntest result: FAILED. 1 passed";
        let names = BTreeSet::from(["one", "two", "three", "disk full", "no fault", "needs a mount", "gone"]);
        let found = read_outcomes(text, &names);
        let expected = [
            ("disk full", Outcome::Failed),
            ("needs a mount", Outcome::LeftOut),
            ("no fault", Outcome::Passed),
            ("one", Outcome::Passed),
            ("three", Outcome::LeftOut),
            ("two", Outcome::Failed),
        ];
        assert_eq!(found, expected.map(|(name, outcome)| (name.to_owned(), outcome)).into());
    }

    #[test]
    fn words_of_a_page_are_found_or_not() {
        assert_eq!(find_words("docs/failure-modes.md, monitor health"), Outcome::Passed);
        assert_eq!(find_words("docs/failure-modes.md, no such words are there"), Outcome::Failed);
        assert_eq!(find_words("docs/no_page.md, monitor"), Outcome::Failed);
    }
}
