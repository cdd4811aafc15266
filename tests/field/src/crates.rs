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
    /// Tests that may differ, each with its reason.
    #[serde(default)]
    pub(crate) differs: BTreeMap<String, String>,
}

/// Reads the list.
pub(crate) fn read(root: &Path) -> Result<Vec<Crate>> {
    let path = root.join("tests/field/crates.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let all: BTreeMap<String, Crate> = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(all.into_iter().map(|(name, subject)| Crate { name, ..subject }).collect())
}

impl Crate {
    /// Returns the folder of the crate's source, as crates.io has it. Cargo fetches it if necessary.
    pub(crate) fn fetch(&self, work: &Path) -> Result<PathBuf> {
        let folder = work.join("fetch").join(&self.name);
        std::fs::create_dir_all(folder.join("src"))?;
        std::fs::write(folder.join("src/lib.rs"), "")?;
        let manifest = format!(
            "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[dependencies]\n{} = \"={}\"\n\n[workspace]\n",
            self.name, self.version
        );
        std::fs::write(folder.join("Cargo.toml"), manifest)?;
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1"])
            .current_dir(&folder)
            .output()
            .context("cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        let is_it = |package: &&serde_json::Value| {
            let version = package["version"].as_str().unwrap_or_default();
            package["name"] == self.name.as_str() && version.split('+').next() == Some(&self.version)
        };
        let package = packages.iter().find(is_it).context("cargo metadata does not name the crate")?;
        let path = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        path.parent().map(Path::to_owned).context("the crate has no folder")
    }
}
