//! A generated crate, in a folder and with a target folder of its own. The crate has only a `main`, or a thousand
//! functions with an attribute. The crate uses the lock file of this workspace, so that the build needs no network
//! if the workspace was built before.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use monitor_benches::seconds;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The dependencies of a generated crate, and the attribute of its functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The lines below `[dependencies]`. `{root}` stands for the folder of `monitored`.
    pub(crate) dependencies: &'static str,
    pub(crate) attribute: &'static str,
}

/// The profile of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// A generated crate on disk.
#[derive(Debug)]
pub(crate) struct MadeCrate {
    folder: PathBuf,
}

impl MadeCrate {
    /// Generates a crate with this number of functions, in a new folder below `parent`.
    pub(crate) fn new(parent: &Path, kind: Kind, functions: usize) -> Result<Self> {
        let folder = parent.join(kind.name.replace(' ', "-"));
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

    /// Builds the crate and its dependencies from nothing. Returns the seconds.
    pub(crate) fn clean_build(&self, profile: Profile) -> Result<f64> {
        let target = self.folder.join("target");
        if target.exists() {
            fs::remove_dir_all(target)?;
        }
        self.build(profile)
    }

    /// Builds the crate alone, while its dependencies are built already. Returns the seconds.
    pub(crate) fn build_again(&self, profile: Profile) -> Result<f64> {
        let source = self.folder.join("src/main.rs");
        let text = fs::read_to_string(&source)?;
        fs::write(source, text)?;
        self.build(profile)
    }

    /// Builds the parts that are not built yet. Returns the seconds.
    pub(crate) fn build(&self, profile: Profile) -> Result<f64> {
        let mut command = self.cargo(&["build", "--quiet"]);
        if profile == Profile::Release {
            command.arg("--release");
        }
        let mut status = None;
        let spent = seconds(|| status = Some(command.status()));
        match status.transpose()? {
            Some(status) if status.success() => Ok(spent),
            _ => Err(format!("cargo could not build {}", self.folder.display()).into()),
        }
    }

    /// Returns the crates that are compiled for this one, without itself, as `name version`.
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
        // Removes the variables of the cargo that runs this benchmark, because they would apply to this build too.
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

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// Returns a program with functions as users annotate them: with arguments, a result and an error.
fn source(attribute: &str, functions: usize) -> String {
    let mut text = String::new();
    let mut calls = String::new();
    for index in 0..functions {
        let _ = write!(
            text,
            "{attribute}\npub fn step_{index}(id: u64, name: &str) -> Result<u64, String> {{\n    \
             if name.len() as u64 > id {{\n        return Err(format!(\"{{name}} is longer than {{id}}\"));\n    }}\n    \
             Ok(id.wrapping_mul({index}) ^ name.len() as u64)\n}}\n\n"
        );
        let _ = writeln!(calls, "    let sum = sum.wrapping_add(step_{index}(sum, \"name\").unwrap_or(1));");
    }
    let _ = write!(text, "fn main() {{\n    let sum = 0_u64;\n{calls}    println!(\"{{sum}}\");\n}}\n");
    text
}
