//! What a program asks for in code: [`Config`], handed to `init`. It wins over environment and file.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::location::Location;
use super::parse::shown;
use super::setting::{self, Setting};
use super::settings::CaptureMode;

/// Settings made in code. What is not set here comes from the environment, then from the settings
/// file, then from the defaults.
///
/// ```
/// use std::time::Duration;
/// use monitor_runtime::config::{CaptureMode, Config};
///
/// let config = Config::new()
///     .db("/var/lib/shop/calls.db")
///     .sample("1,shop::hot::*=0.001")
///     .retention(Duration::from_secs(3600))
///     .capture(CaptureMode::Errors);
/// assert!(config.check().is_ok());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "a configuration does nothing until it is handed to `init`"]
pub struct Config {
    pub(super) enabled: Option<bool>,
    pub(super) db: Option<PathBuf>,
    pub(super) sample: Option<String>,
    pub(super) retention: Option<Duration>,
    pub(super) max_disk: Option<u64>,
    pub(super) max_memory: Option<u64>,
    pub(super) max_rate: Option<u32>,
    pub(super) max_overhead: Option<f64>,
    pub(super) capture: Option<CaptureMode>,
    pub(super) drain_interval: Option<Duration>,
    pub(super) batch: Option<usize>,
    pub(super) service: Option<String>,
    pub(super) file: Option<PathBuf>,
}

impl Config {
    /// Nothing asked for.
    pub fn new() -> Self {
        Self::default()
    }
    /// Whether anything is recorded (`MONITOR`); `false`: no file, no thread.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }
    /// Path of the store (`MONITOR_DB`); `:memory:` keeps it in memory.
    pub fn db(mut self, path: impl Into<PathBuf>) -> Self {
        self.db = Some(path.into());
        self
    }
    /// Sampling rate, or `pattern=rate` pairs by comma, the last match winning (`MONITOR_SAMPLE`).
    pub fn sample(mut self, rules: impl Into<String>) -> Self {
        self.sample = Some(rules.into());
        self
    }
    /// Age at which rows go (`MONITOR_RETENTION`).
    pub fn retention(mut self, age: Duration) -> Self {
        self.retention = Some(age);
        self
    }
    /// Bound on database and write-ahead log together, in bytes (`MONITOR_MAX_DISK`).
    pub fn max_disk(mut self, bytes: u64) -> Self {
        self.max_disk = Some(bytes);
        self
    }
    /// Bound on rings and backlog together, in bytes (`MONITOR_MAX_MEMORY`).
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }
    /// Detail rows per second and function to aim for, 0 for no bound (`MONITOR_MAX_RATE`).
    pub fn max_rate(mut self, rows_per_second: u32) -> Self {
        self.max_rate = Some(rows_per_second);
        self
    }
    /// Share of the process's CPU time that the recorder may cost, 0.01 for 1 % (`MONITOR_MAX_OVERHEAD`).
    pub fn max_overhead(mut self, share: f64) -> Self {
        self.max_overhead = Some(share);
        self
    }
    /// Which values are captured (`MONITOR_CAPTURE`).
    pub fn capture(mut self, mode: CaptureMode) -> Self {
        self.capture = Some(mode);
        self
    }
    /// Pause between drains (`MONITOR_DRAIN_INTERVAL`).
    pub fn drain_interval(mut self, pause: Duration) -> Self {
        self.drain_interval = Some(pause);
        self
    }
    /// Most rows in a transaction (`MONITOR_BATCH`).
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = Some(rows);
        self
    }
    /// Service name in the store (`MONITOR_SERVICE`).
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }
    /// A TOML file with further settings (`MONITOR_CONFIG`).
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Whether every value is allowed. `init` asks this before anything starts.
    ///
    /// # Errors
    /// [`InitError::Invalid`] for the first value that is not.
    pub fn check(&self) -> Result<(), InitError> {
        if let Some(path) = &self.db
            && let Err(reason) = Location::parse(path.as_os_str())
        {
            let allowed = "the path of a file, or `:memory:`";
            return Err(InitError::invalid(setting::DB.0, &path.display().to_string(), reason, allowed));
        }
        if let Some(text) = &self.sample
            && let Err(reason) = setting::SAMPLE.read(text)
        {
            return Err(InitError::invalid("sample", text, reason, setting::SAMPLE.allowed));
        }
        check(&setting::RETENTION, self.retention.as_ref())?;
        check(&setting::MAX_DISK, self.max_disk.as_ref())?;
        check(&setting::MAX_MEMORY, self.max_memory.as_ref())?;
        check(&setting::MAX_RATE, self.max_rate.as_ref())?;
        check(&setting::MAX_OVERHEAD, self.max_overhead.as_ref())?;
        check(&setting::DRAIN_INTERVAL, self.drain_interval.as_ref())?;
        check(&setting::BATCH, self.batch.as_ref())?;
        check(&setting::SERVICE, self.service.as_ref())
    }
}

fn check<T: std::fmt::Debug>(setting: &Setting<T>, value: Option<&T>) -> Result<(), InitError> {
    let Some(value) = value else { return Ok(()) };
    (setting.check)(value)
        .map_err(|reason| InitError::invalid(setting.key, &format!("{value:?}"), reason, setting.allowed))
}

/// Why `init` was refused. The program runs on with what the environment and the file say.
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
        /// What is wrong with it.
        reason: String,
        /// What is allowed.
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

impl InitError {
    fn invalid(setting: &'static str, value: &str, reason: String, allowed: &'static str) -> Self {
        Self::Invalid { setting, value: shown(value), reason, allowed }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_bad_value_is_named() {
        let cases = [
            ("db", Config::new().db("folder/")),
            ("sample", Config::new().sample("shop::*=2")),
            ("retention", Config::new().retention(Duration::ZERO)),
            ("max_disk", Config::new().max_disk(1)),
            ("max_memory", Config::new().max_memory(1)),
            ("max_overhead", Config::new().max_overhead(f64::NAN)),
            ("drain_interval", Config::new().drain_interval(Duration::from_secs(3600))),
            ("batch", Config::new().batch(0)),
            ("service", Config::new().service("")),
        ];
        for (expected, config) in cases {
            let InitError::Invalid { setting, .. } = config.check().unwrap_err() else {
                panic!("{expected}: not refused for its value")
            };
            assert_eq!(setting, expected);
        }
    }
}
