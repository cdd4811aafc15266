//! The command `monitor`, for the benchmarks that run it as its users do.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Command;

/// Builds the command `monitor` in the release profile, and returns its path beside this benchmark's folder:
/// `target/<profile>/monitor`.
///
/// # Errors
/// Fails if Cargo does not build the command, or if this executable is in no target folder.
pub fn build_monitor() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", "monitor-console"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    if !status.success() {
        return Err(Error::other("cargo could not build the command `monitor`"));
    }
    let executable = std::env::current_exe()?;
    let folder = executable.ancestors().nth(2);
    Ok(folder.ok_or_else(|| Error::other("this benchmark is in no target folder"))?.join("monitor"))
}
