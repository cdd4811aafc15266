//! Builds the shim that makes system calls fail, once, from `shim.c` with the machine's C compiler.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of the shim; `None` without a compiler, and on systems other than Linux.
pub(crate) fn path() -> Option<&'static Path> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    PATH.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let into = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&into);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/chaos/shim.c")).arg("-ldl");
    command.status().is_ok_and(|status| status.success()).then_some(into)
}
