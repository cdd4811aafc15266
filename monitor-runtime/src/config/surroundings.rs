//! The surroundings that settings are read from: environment variables and the path of the executable.

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
}

/// Returns the look-up of variables of this process. A `secure` process ignores the environment, because it runs with more
/// rights than the user who started it, as a setuid program does.
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
