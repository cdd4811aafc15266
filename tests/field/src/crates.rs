//! The list of crates to try, and their sources from crates.io.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A crate to try.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crate {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) short: bool,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    #[serde(default)]
    pub(crate) tests: Vec<String>,
    /// Ends of files that stay as they are, each with its reason.
    #[serde(default)]
    pub(crate) leave: BTreeMap<String, String>,
    /// Test files that are taken out, each with its reason.
    #[serde(default)]
    pub(crate) absent: BTreeMap<String, String>,
    /// Changes of files, by file.
    #[serde(default)]
    pub(crate) edit: BTreeMap<String, Edit>,
    /// Tests that may differ, each with its reason.
    #[serde(default)]
    pub(crate) differs: BTreeMap<String, String>,
}

/// Changes of a file, made in both forms of the crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Texts, and what all their occurrences become.
    pub(crate) changes: Vec<(String, String)>,
    pub(crate) reason: String,
}

/// Reads the list.
pub(crate) fn read(root: &Path) -> Result<Vec<Crate>> {
    let path = root.join("tests/field/crates.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let all: BTreeMap<String, Crate> = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(all.into_iter().map(|(name, subject)| Crate { name, ..subject }).collect())
}

impl Crate {
    /// Returns the folder of the crate's source, as crates.io has it. It is downloaded if it is not there.
    pub(crate) fn fetch(&self, work: &Path) -> Result<PathBuf> {
        let Self { name, version, .. } = self;
        let folder = work.join("fetch");
        let source = folder.join(format!("{name}-{version}"));
        if source.is_dir() {
            return Ok(source);
        }
        std::fs::create_dir_all(&folder)?;
        let archive = folder.join(format!("{name}.crate"));
        let url = format!("https://static.crates.io/crates/{name}/{name}-{version}.crate");
        run(Command::new("curl").args(["-sSfL", &url, "-o"]).arg(&archive))?;
        run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder))?;
        Ok(source)
    }
}

/// Runs a command, and fails with what it says if it fails.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
