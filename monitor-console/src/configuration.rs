//! The part of the settings file that the command reads itself: `[findings]` of the file that `MONITOR_CONFIG` names.
//!
//! Takes the text of the file; gives the findings that are not to be reported. The other settings are those of
//! recorders, which may hold references to variables that are no TOML, so only the lines of the section are parsed.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use monitor_runtime::config::process_variable;
use serde::Deserialize;

/// The header of the section.
const HEADER: &str = "[findings]";

/// The settings of the section.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
struct Section {
    /// Kinds of findings, each alone or with a pattern of functions.
    ignore: Vec<String>,
}

/// Returns the findings that the file of `MONITOR_CONFIG` leaves out; none without such a file or section.
pub(crate) fn read_ignored() -> Result<Vec<String>> {
    let Some(path) = process_variable("MONITOR_CONFIG").filter(|path| !path.is_empty()) else {
        return Ok(Vec::new());
    };
    let path = Path::new(&path);
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}, which MONITOR_CONFIG names", path.display()))?;
    Ok(parse(&text).with_context(|| format!("{} has a wrong section {HEADER}", path.display()))?.ignore)
}

fn parse(text: &str) -> Result<Section> {
    let is_header = |line: &&str| line.trim_start().starts_with('[');
    let is_start = |line: &&str| line.split('#').next().is_some_and(|line| line.trim() == HEADER);
    let mut lines = text.lines().skip_while(|line| !is_start(line));
    if lines.next().is_none() {
        return Ok(Section::default());
    }
    let section: Vec<&str> = lines.take_while(|line| !is_header(line)).collect();
    basic_toml::from_str(&section.join("\n"))
        .map_err(|error| anyhow!("{error}; allowed is ignore = [\"n_plus_one\", \"hot shop::orders::*\"]"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_section_is_read_whatever_stands_around_it() {
        let text = "max_rate = ${RATE:5}\n\n[findings] # of the command\nignore = [\n  \"hot\", # known\n  \"n_plus_one shop::*\",\n]\n[other]\nx = ${Y}\n";
        assert_eq!(parse(text).unwrap().ignore, ["hot", "n_plus_one shop::*"]);
        assert_eq!(parse("max_rate = 5\n").unwrap(), Section::default());
        assert_eq!(parse("[findings]\n").unwrap(), Section::default());
    }

    #[test]
    fn a_wrong_section_says_what_is_allowed() {
        for text in ["[findings]\nignored = []", "[findings]\nignore = \"hot\"", "[findings]\nignore = [1"] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains("allowed is ignore = ["), "{message}");
        }
    }
}
