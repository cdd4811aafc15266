//! A crate made up for the purpose, in a folder of its own and with a target folder of its own: nothing
//! but a `main`, or a thousand functions with an attribute. Built with the versions that this workspace
//! is locked to, so that it needs no network where the workspace itself has been built before.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use monitor_benches::seconds;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a made-up crate depends on, and how it marks a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Lines below `[dependencies]`; `{root}` is where `monitored` lies.
    pub(crate) dependencies: &'static str,
    pub(crate) attribute: &'static str,
}

/// How a crate is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// A made-up crate on disk.
#[derive(Debug)]
pub(crate) struct Made {
    folder: PathBuf,
}

impl Made {
    /// Makes a crate with so many functions.
    pub(crate) fn new(below: &Path, kind: Kind, functions: usize) -> Result<Self> {
        let folder = below.join(kind.name.replace(' ', "-"));
        fs::create_dir_all(folder.join("src"))?;
        let root = root();
        let dependencies = kind.dependencies.replace("{root}", &root.display().to_string());
        let manifest = format!(
            "[package]\nname = \"made\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\n{dependencies}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        fs::write(folder.join("src/main.rs"), source(kind.attribute, functions))?;
        Ok(Self { folder })
    }

    /// Seconds of a build that finds nothing built.
    pub(crate) fn clean_build(&self, profile: Profile) -> Result<f64> {
        let target = self.folder.join("target");
        if target.exists() {
            fs::remove_dir_all(target)?;
        }
        self.build(profile)
    }

    /// Seconds of a build of this crate alone, its dependencies being built.
    pub(crate) fn build_again(&self, profile: Profile) -> Result<f64> {
        let source = self.folder.join("src/main.rs");
        let text = fs::read_to_string(&source)?;
        fs::write(source, text)?;
        self.build(profile)
    }

    /// Seconds of a build of whatever is missing.
    pub(crate) fn build(&self, profile: Profile) -> Result<f64> {
        let mut command = self.cargo(&["build", "--quiet"]);
        if profile == Profile::Release {
            command.arg("--release");
        }
        let mut status = None;
        let spent = seconds(|| status = Some(command.status()));
        match status.transpose()? {
            Some(status) if status.success() => Ok(spent),
            _ => Err(format!("{} cannot be built", self.folder.display()).into()),
        }
    }

    /// The crates that are compiled for it, itself left out, as `name version`.
    pub(crate) fn crates(&self) -> Result<Vec<String>> {
        let output = self
            .cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
            .stdout(Stdio::piped())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let mut crates: Vec<_> =
            text.lines().skip(1).map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect();
        crates.sort();
        crates.dedup();
        Ok(crates)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.folder).stdout(Stdio::null());
        // Those of the cargo that runs this benchmark would be this crate's.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "RUSTFLAGS" {
                command.env_remove(variable);
            }
        }
        command.env("CARGO_INCREMENTAL", "0").env("CARGO_TARGET_DIR", self.folder.join("target"));
        command
    }
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// Functions of the kind that people annotate: some arguments, a result, an error.
fn source(attribute: &str, functions: usize) -> String {
    let mut text = String::new();
    let mut calls = String::new();
    for at in 0..functions {
        let _ = write!(
            text,
            "{attribute}\npub fn step_{at}(id: u64, name: &str) -> Result<u64, String> {{\n    \
             if name.len() as u64 > id {{\n        return Err(format!(\"{{name}} is longer than {{id}}\"));\n    }}\n    \
             Ok(id.wrapping_mul({at}) ^ name.len() as u64)\n}}\n\n"
        );
        let _ = writeln!(calls, "    let sum = sum.wrapping_add(step_{at}(sum, \"name\").unwrap_or(1));");
    }
    let _ = write!(text, "fn main() {{\n    let sum = 0_u64;\n{calls}    println!(\"{{sum}}\");\n}}\n");
    text
}
