//! The surroundings that settings are read from: environment variables and the path of the executable.
//!
//! Takes names of variables; gives their texts, and what the executable says about the process: its name, and whether
//! it is a doctest or a part of a build. The file does not know the settings.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The sources of settings outside of the program's code.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Looks an environment variable up.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The path of the running executable, if it is known.
    pub executable: Option<&'a PathBuf>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("executable", &self.executable).finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    /// Returns a variable that is set and not empty, because an empty variable counts as unset.
    pub(super) fn filled(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Returns the executable's name without `.exe`, or `unknown` if the system does not report its path.
    pub(super) fn executable_name(&self) -> OsString {
        let Some(name) = self.executable.and_then(|path| path.file_name()) else { return "unknown".into() };
        let Some(text) = name.to_str() else { return name.to_os_string() };
        // Linux appends this suffix if the file was replaced while the program runs.
        let text = text.strip_suffix(" (deleted)").unwrap_or(text);
        text.strip_suffix(std::env::consts::EXE_SUFFIX).unwrap_or(text).into()
    }

    /// Returns true if the executable is a doctest. Rustdoc gives all doctests the same name, in a folder that it
    /// deletes afterwards, from which the target folder cannot be found; a store of all doctests that ever ran would be
    /// of no use.
    pub(super) fn is_doctest(&self) -> bool {
        let folder = self.executable.and_then(|path| path.parent()?.file_name()?.to_str());
        self.executable_name() == "rust_out" && folder.is_some_and(|folder| folder.starts_with("rustdoctest"))
    }

    /// Returns true if this process is a part of a build: a build script, or a compiler that runs procedural macros. A
    /// build records nothing unless `MONITOR` says so, because nobody looks for stores of builds.
    pub(super) fn is_build(&self) -> bool {
        let name = self.executable_name();
        // Cargo gives build scripts names with this prefix, and sets `OUT_DIR` when it runs them.
        let is_script = name.to_str().is_some_and(|name| name.starts_with("build-script-"));
        is_script && self.filled("OUT_DIR").is_some() || COMPILERS.iter().any(|compiler| name == *compiler)
    }
}

/// Programs that load procedural macros.
const COMPILERS: [&str; 5] =
    ["rustc", "rustdoc", "clippy-driver", "rust-analyzer", "rust-analyzer-proc-macro-srv"];

/// Returns the look-up of variables of this process. A `secure` process ignores the environment, because it runs with
/// more rights than the user who started it, as a setuid program does.
pub(super) fn variables(secure: bool) -> impl Fn(&str) -> Option<OsString> {
    move |name| if secure { None } else { process_variable(name) }
}

/// Looks up a variable of this process, for programs that share the recorder's conventions.
#[must_use]
pub fn process_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Returns the path of this process's executable.
#[must_use]
pub fn process_executable() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_scripts_and_compilers_are_parts_of_a_build() {
        let is_build_with = |path: &str, out_dir: Option<&str>| {
            let variable = |name: &str| out_dir.filter(|_| name == "OUT_DIR").map(OsString::from);
            Surroundings { variable: &variable, executable: Some(&PathBuf::from(path)) }.is_build()
        };
        let script = "/shop/target/debug/build/shop-0123/build-script-build";
        assert!(is_build_with(script, Some("/shop/target/debug/build/shop-4567/out")));
        assert!(is_build_with("/shop/target/debug/build/shop-0123/build-script-main", Some("/out")));
        assert!(!is_build_with(script, None) && !is_build_with(script, Some("")));
        assert!(!is_build_with("/shop/target/debug/shop", Some("/out")));
        for compiler in ["rustc", "rustdoc", "clippy-driver", "rust-analyzer-proc-macro-srv"] {
            assert!(is_build_with(&format!("/usr/bin/{compiler}"), None), "{compiler}");
        }
        assert!(!is_build_with("/usr/bin/rustc-watch", None));
        assert!(!Surroundings { variable: &|_| None, executable: None }.is_build());
    }

    #[test]
    fn a_doctest_is_told_by_its_name_and_its_folder() {
        for (path, is_one) in [
            ("/tmp/rustdoctestZDsB0W/rust_out", true),
            ("/tmp/rustdoctestZDsB0W/rust_out (deleted)", true),
            ("/tmp/rustdoctestZDsB0W/shop", false),
            ("/home/ada/shop/rust_out", false),
            ("rust_out", false),
        ] {
            let surroundings = Surroundings { variable: &|_| None, executable: Some(&PathBuf::from(path)) };
            assert_eq!(surroundings.is_doctest(), is_one, "{path}");
        }
    }

    #[test]
    fn an_executable_replaced_while_running_keeps_its_name() {
        for (path, name) in
            [(Some("/usr/bin/shop (deleted)"), "shop"), (None, "unknown"), (Some("/opt/my.app"), "my.app")]
        {
            let executable = path.map(PathBuf::from);
            let surroundings = Surroundings { variable: &|_| None, executable: executable.as_ref() };
            assert_eq!(surroundings.executable_name(), name);
        }
    }
}
