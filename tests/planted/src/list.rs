//! Reads the list of bugs, `bugs.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A bug, and the test that catches it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bug {
    /// The bug in a few words.
    pub(crate) name: String,
    /// The file that the bug is planted in.
    pub(crate) file: String,
    /// A text behind which the search begins: the first place after it is meant. Without it `find` is unique.
    pub(crate) within: Option<String>,
    /// The code that is replaced; white space does not count.
    pub(crate) find: String,
    /// The code that takes its place.
    pub(crate) replace: String,
    /// The package of the test.
    pub(crate) package: String,
    /// The target of the package: `--lib` or `--test=NAME`.
    pub(crate) target: String,
    /// The test's path within the target.
    pub(crate) test: String,
    /// True for a bug of the short run.
    #[serde(default)]
    pub(crate) short: bool,
}

#[derive(Debug, Deserialize)]
struct List {
    bug: Vec<Bug>,
}

/// Returns the folder of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

pub(crate) fn read() -> Result<Vec<Bug>, String> {
    let path = root().join("tests/planted/bugs.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let list: List = basic_toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(list.bug)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a list that cannot be read should say so")]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_bug_can_be_planted_in_the_code_as_it_is() {
        let planted = |bug: &Bug| {
            let text = std::fs::read_to_string(root().join(&bug.file)).map_err(|error| error.to_string())?;
            crate::edit::apply(bug, &text)
        };
        let faults: Vec<String> = read().unwrap().iter().filter_map(|bug| planted(bug).err()).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn there_are_many_of_them_and_each_has_a_name_of_its_own() {
        let bugs = read().unwrap();
        let names: HashSet<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        assert!(names.len() == bugs.len() && bugs.len() >= 12);
        assert!(bugs.iter().any(|bug| bug.short));
    }
}
