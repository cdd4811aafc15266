//! What the program's surroundings ask for: `init`, the environment, the TOML file and the defaults go
//! in, one [`Settings`] comes out, with a [`Warning`] for every value that could not be used.
//!
//! This is the only reader of the environment, and the home of every limit (see [`limits`]). A bad
//! value never fails the program: it is named once and the default is used. Nothing here is global:
//! the environment is read through [`Surroundings`], so that tests bring their own. Whether the store
//! can be opened at the place named here, this module does not know.

#![allow(clippy::disallowed_methods, reason = "the only reader of the environment and of the settings file")]

mod parse;
mod setting;
mod interpolate;
mod file;
mod location;
mod builder;
mod settings;
mod watch;

pub use builder::{Config, InitError};
pub use location::{Location, default_folder, default_location, ring_folders};
pub use parse::{format_bytes, parse_duration};
pub use settings::{CaptureMode, Settings};
pub(crate) use watch::{Changed, Found, Watch};

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Where settings are read from.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Looks an environment variable up.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The path of the running executable, where it is known.
    pub executable: Option<&'a PathBuf>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("executable", &self.executable).finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    /// A variable that is set and not empty: an empty one counts as unset.
    fn filled(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// A value that could not be used. It is printed once, on one line, and the program runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What was set: the variable, or the file and its key.
    pub subject: String,
    /// What is wrong, what is allowed and what is used instead.
    pub detail: String,
}

impl Warning {
    pub(crate) fn new(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), detail: detail.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "monitored: {}: {}", self.subject, self.detail)
    }
}

/// Looks a variable of this process up: for programs that share the recorder's conventions.
#[must_use]
pub fn process_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The default place of this process's store.
#[must_use]
pub fn process_default_location(secure: bool) -> Option<PathBuf> {
    let variable = |name: &str| if secure { None } else { process_variable(name) };
    default_location(&Surroundings { variable: &variable, executable: process_executable().as_ref() })
}

/// The path of this process's executable.
#[must_use]
pub fn process_executable() -> Option<PathBuf> {
    std::env::current_exe().ok()
}
