//! Reads the list of lines, `lines.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A fault, and the tests that show what is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// The number of the fault: H for harm to the host, M for the attribute and calls, S for store and console.
    pub(crate) number: String,
    /// The behavior that is right, in a few words.
    pub(crate) right: String,
    /// Tests, each as the name of its target, a colon, and its own name.
    pub(crate) tests: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// The arguments of `cargo test` for each target.
    pub(crate) targets: BTreeMap<String, Vec<String>>,
    pub(crate) line: Vec<Line>,
}

impl List {
    pub(crate) fn find(&self, number: &str) -> Option<&Line> {
        self.line.iter().find(|line| line.number == number)
    }
}

/// Returns the target and the name of a test.
pub(crate) fn split(test: &str) -> (&str, &str) {
    test.split_once(": ").unwrap_or(("", test))
}

/// Returns the folder of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

pub(crate) fn read() -> Result<List, String> {
    let path = root().join("tests/faults/lines.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    basic_toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a list that cannot be read should say so")]
    use super::*;

    #[test]
    fn every_fault_of_the_field_has_its_line_once() {
        let numbers = |letter: char, most: usize| (1..=most).map(move |number| format!("{letter}{number}"));
        let expected: Vec<String> = numbers('H', 23)
            .chain(numbers('M', 21))
            .chain(numbers('S', 21))
            .chain(["Grouping", "Redaction", "Identity", "Clock", "Off"].map(str::to_owned))
            .collect();
        let found: Vec<String> = read().unwrap().line.into_iter().map(|line| line.number).collect();
        assert_eq!(found, expected);
    }

    /// Adds the texts of all source files below a folder.
    fn add_sources(folder: &Path, texts: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                add_sources(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_test_of_the_list_is_in_the_sources() {
        let list = read().unwrap();
        let mut texts = String::new();
        for folder in ["monitor-console", "monitor-macro", "monitor-rules", "monitor-runtime", "tests"] {
            add_sources(&root().join(folder), &mut texts);
        }
        for test in list.line.iter().flat_map(|line| &line.tests) {
            let (target, name) = split(test);
            let sought = match target {
                "docs" => continue,
                "chaos" => format!("\"{name}\""),
                _ => format!("fn {name}("),
            };
            assert!(target == "docs" || list.targets.contains_key(target), "{test}: unknown target");
            assert!(texts.contains(&sought), "{test} is not in the sources");
        }
    }
}
