//! The settings. Takes `init`, the environment, the TOML file and the defaults; gives one [`Settings`], and a
//! [`Warning`] for every value that could not be used.
//!
//! No other module reads the environment. `table` lists every setting once. A bad value never fails the program: one
//! warning names it, and the default is used. Nothing here is global: the environment is read through
//! [`Surroundings`], which tests replace. The module does not know whether the store can be opened at the place that
//! is named here.

#![allow(clippy::disallowed_methods, reason = "the only reader of the environment and of the settings file")]

mod parse;
mod surroundings;
mod errors;
mod location;
mod settings;
mod table;
mod interpolate;
mod file;
mod builder;
mod resolve;
mod watch;

pub use builder::Config;
pub use errors::{InitError, Warning};
pub use file::read_toml;
pub use interpolate::expand;
pub use location::{Location, default_folder, default_location, process_default_location, ring_folders};
pub(crate) use parse::parse_bytes;
pub use parse::{duration, format_bytes, parse_duration};
pub use settings::{CaptureMode, Settings};
pub use surroundings::{Surroundings, process_executable, process_variable};
pub(crate) use table::Change;
pub(crate) use watch::{Changed, FileChange, Watch};
