//! The settings that a program makes in code, which have no effect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The reason why `init` was refused. The program runs on with the settings of the environment and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// Recording has begun: settings can no longer change.
    Started,
    /// A value is not allowed.
    Invalid {
        /// The setting.
        setting: &'static str,
        /// The value.
        value: String,
        /// The reason why the value is not allowed.
        reason: String,
        /// The allowed values.
        allowed: &'static str,
    },
}

impl fmt::Display for InitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(
                formatter,
                "recording has already started; call `init` before the first monitored call, and once"
            ),
            Self::Invalid { setting, value, reason, allowed } => {
                write!(formatter, "`{setting}`: {value} {reason}; allowed is {allowed}")
            }
        }
    }
}

impl std::error::Error for InitError {}

/// The values of a call that are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureMode {
    /// Arguments, results and error texts.
    #[default]
    All,
    /// Arguments and error texts.
    Args,
    /// Error texts.
    Errors,
    /// Nothing: a row holds the outcome and the times alone.
    None,
}

impl CaptureMode {
    /// Returns whether arguments and extra fields are captured.
    #[must_use]
    pub const fn args(self) -> bool {
        matches!(self, Self::All | Self::Args)
    }
    /// Returns whether results are captured.
    #[must_use]
    pub const fn results(self) -> bool {
        matches!(self, Self::All)
    }
    /// Returns whether error texts and panic messages are captured.
    #[must_use]
    pub const fn errors(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Settings made in code, which have no effect without a recorder. They are neither kept nor checked.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "a configuration does nothing until it is handed to `init`"]
pub struct Config(());

impl Config {
    /// Returns a configuration that requests nothing.
    pub fn new() -> Self {
        Self::default()
    }
    /// Switches recording on or off (`MONITOR`); `false`: no file, no thread.
    pub fn enabled(self, enabled: bool) -> Self {
        let _ = enabled;
        self
    }
    /// Sets the path of the store (`MONITOR_DB`); `:memory:` keeps it in memory.
    pub fn db(self, path: impl Into<PathBuf>) -> Self {
        let _ = path;
        self
    }
    /// Sets the sampling rate, or `pattern=rate` pairs by comma, the last match winning (`MONITOR_SAMPLE`).
    pub fn sample(self, rules: impl Into<String>) -> Self {
        let _ = rules;
        self
    }
    /// Sets the age at which rows are deleted (`MONITOR_RETENTION`).
    pub fn retention(self, age: Duration) -> Self {
        let _ = age;
        self
    }
    /// Bounds database and write-ahead log together, in bytes (`MONITOR_MAX_DISK`).
    pub fn max_disk(self, bytes: u64) -> Self {
        let _ = bytes;
        self
    }
    /// Bounds all memory whose size depends on load, in bytes (`MONITOR_MAX_MEMORY`).
    pub fn max_memory(self, bytes: u64) -> Self {
        let _ = bytes;
        self
    }
    /// Sets the detail rows per second and function to aim for, 0 for no bound (`MONITOR_MAX_RATE`).
    pub fn max_rate(self, rows_per_second: u32) -> Self {
        let _ = rows_per_second;
        self
    }
    /// Sets the share of one core, or of the process's CPU time if that is more, that recording may cost, 0.01 for 1 %
    /// (`MONITOR_MAX_OVERHEAD`).
    pub fn max_overhead(self, share: f64) -> Self {
        let _ = share;
        self
    }
    /// Sets how many calls of one function below one caller have a row each, 0 for all of them (`MONITOR_FOLD_AFTER`). The
    /// calls after them share a row, with their exact number.
    pub fn fold_after(self, calls: u32) -> Self {
        let _ = calls;
        self
    }
    /// Sets which values are captured (`MONITOR_CAPTURE`).
    pub fn capture(self, mode: CaptureMode) -> Self {
        let _ = mode;
        self
    }
    /// Sets the pause between drains (`MONITOR_DRAIN_INTERVAL`).
    pub fn drain_interval(self, pause: Duration) -> Self {
        let _ = pause;
        self
    }
    /// Sets the most rows in a transaction (`MONITOR_BATCH`).
    pub fn batch(self, rows: usize) -> Self {
        let _ = rows;
        self
    }
    /// Sets the service name in the store (`MONITOR_SERVICE`).
    pub fn service(self, name: impl Into<String>) -> Self {
        let _ = name;
        self
    }
    /// Sets the version of the program in the store (`MONITOR_VERSION`), so that runs of two versions can be compared.
    pub fn version(self, version: impl Into<String>) -> Self {
        let _ = version;
        self
    }
    /// Names a TOML file with further settings (`MONITOR_CONFIG`).
    pub fn config(self, path: impl Into<PathBuf>) -> Self {
        let _ = path;
        self
    }

    /// Checks nothing, because nothing is configured.
    ///
    /// # Errors
    /// None.
    pub fn check(&self) -> Result<(), InitError> {
        Ok(())
    }
}
