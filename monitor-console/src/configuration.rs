//! The part of the settings file that the command reads itself: `[findings]` of the file that `MONITOR_CONFIG` names.
//!
//! Takes the text of the file; gives the findings that are not to be reported. The other settings are those of
//! recorders, which warn about them, so only their syntax is checked. A fault in the syntax can hide the section.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use monitor_runtime::config::{process_variable, read_toml};
use serde::Deserialize;
use serde_json::Value;

use crate::arguments::Ignored;

/// The settings file. Keys that the command does not know belong to recorders.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    findings: Section,
}

/// The settings of the section.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
struct Section {
    /// Kinds of findings, each alone or with a pattern of functions.
    ignore: Vec<Ignored>,
}

/// Returns the findings that the file of `MONITOR_CONFIG` leaves out; none without such a file or section.
pub(crate) fn read_ignored() -> Result<Vec<Ignored>> {
    let Some(path) = process_variable("MONITOR_CONFIG").filter(|path| !path.is_empty()) else {
        return Ok(Vec::new());
    };
    let path = Path::new(&path);
    let name = path.display();
    let text = read_toml(path)
        .map_err(|reason| anyhow!("cannot read {name}, which MONITOR_CONFIG names: the file {reason}"))?;
    parse(&text).map_err(|reason| anyhow!("{name} {reason}"))
}

/// Returns the findings that a text leaves out. An error is the rest of a sentence that begins with the file.
fn parse(text: &str) -> Result<Vec<Ignored>, String> {
    basic_toml::from_str::<BTreeMap<String, Value>>(text)
        .map_err(|error| format!("is not valid TOML: {error}"))?;
    let file: File = basic_toml::from_str(text).map_err(|error| {
        format!(
            "has a wrong section [findings]: {error}; allowed is ignore = [\"n_plus_one\", \"hot shop::orders::*\"]"
        )
    })?;
    Ok(file.findings.ignore)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_section_is_read_whatever_stands_around_it() {
        let section = "ignore = [\n  \"hot\", # known\n  \"n_plus_one shop::*\",\n]\n[other]\nx = 5\n";
        for header in ["[findings] # of the command\n", "  [ findings ]\n", "[\"findings\"]\n"] {
            let ignored = parse(&format!("max_rate = \"${{RATE:5}}\"\n\n{header}{section}")).unwrap();
            assert!(
                ignored.iter().map(|ignored| ignored.kind.as_str()).eq(["hot", "n_plus_one"]),
                "{header}"
            );
            assert!(ignored[0].pattern.is_none());
            assert_eq!(ignored[1].pattern.as_ref().unwrap().as_str(), "shop::*");
        }
        assert_eq!(parse("findings.ignore = [\"hot\"]\n").unwrap().len(), 1);
        assert_eq!(parse("max_rate = 5\n").unwrap(), []);
        assert_eq!(parse("[findings]\n").unwrap(), []);
    }

    #[test]
    fn a_wrong_section_is_named_with_its_line_and_says_what_is_allowed() {
        for wrong in ["ignored = []", "ignore = \"hot\"", "ignore = [1]", "ignore = [\"hot a:b\"]"] {
            let message = parse(&format!("max_rate = 5\n[findings]\n{wrong}")).unwrap_err();
            assert!(
                message.contains("allowed is ignore = [")
                    && [2, 3].iter().any(|line| message.contains(&format!("line {line} "))),
                "{message}"
            );
        }
        let message = parse("findings = 5").unwrap_err();
        assert!(message.contains("allowed is ignore = [") && message.contains("line 1"), "{message}");
    }

    #[test]
    fn broken_syntax_names_its_line() {
        for broken in ["max_rate = = 5", "[findings", "[findings]\nignore = [\"hot\"\nx = 5", "x = 1\nx = 2"]
        {
            let message = parse(&format!("# settings\n{broken}")).unwrap_err();
            assert!(message.starts_with("is not valid TOML: ") && message.contains(" line "), "{message}");
        }
    }
}
