//! The settings that a program gives in code: [`Config`], handed to `init`. They take precedence over the environment
//! and the settings file.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use super::errors::InitError;
use super::parse::quote_value;
use super::settings::{CaptureMode, Settings};
use super::surroundings::Surroundings;
use super::table::{self, Setting, TABLE};

/// Settings given in code. A setting that is not given here comes from the environment, then from the settings file,
/// then from the defaults.
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
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a configuration does nothing until it is handed to `init`"]
pub struct Config {
    /// The values of the settings in `given`, and defaults for the others.
    values: Settings,
    /// The keys of the settings that the program gave.
    given: Vec<&'static str>,
    /// The settings whose text could not be parsed, by key, with the error. None of them is in `given`.
    refused: Vec<(&'static str, InitError)>,
    file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let nothing = Surroundings { variable: &|_| None, executable: None };
        Self { values: Settings::defaults(&nothing), given: Vec::new(), refused: Vec::new(), file: None }
    }
}

impl Config {
    /// Returns a configuration that requests nothing.
    pub fn new() -> Self {
        Self::default()
    }
    /// Switches recording on or off (`MONITOR`); `false`: no file, no thread.
    pub fn enabled(self, enabled: bool) -> Self {
        self.give("monitor", |values| values.enabled = enabled)
    }
    /// Sets the path of the store (`MONITOR_DB`); `:memory:` keeps it in memory.
    pub fn db(self, path: impl Into<PathBuf>) -> Self {
        self.parse("db", path.into().as_os_str())
    }
    /// Sets the sampling rate, or `pattern=rate` pairs by comma, the last match winning (`MONITOR_SAMPLE`).
    pub fn sample(self, rules: impl Into<String>) -> Self {
        self.parse("sample", rules.into().as_ref())
    }
    /// Sets the age at which rows are deleted (`MONITOR_RETENTION`).
    pub fn retention(self, age: Duration) -> Self {
        self.give("retention", |values| values.retention = age)
    }
    /// Bounds database and write-ahead log together, in bytes (`MONITOR_MAX_DISK`).
    pub fn max_disk(self, bytes: u64) -> Self {
        self.give("max_disk", |values| values.max_disk_bytes = bytes)
    }
    /// Bounds all memory whose size depends on load, in bytes (`MONITOR_MAX_MEMORY`).
    pub fn max_memory(self, bytes: u64) -> Self {
        self.give("max_memory", |values| values.max_memory_bytes = bytes)
    }
    /// Sets the detail rows per second and function to aim for, 0 for no bound (`MONITOR_MAX_RATE`).
    pub fn max_rate(self, rows_per_second: u32) -> Self {
        self.give("max_rate", |values| values.max_rate = rows_per_second)
    }
    /// Sets the share of one core, or of the process's CPU time if that is more, that recording may cost, 0.01 for 1 %
    /// (`MONITOR_MAX_OVERHEAD`).
    pub fn max_overhead(self, share: f64) -> Self {
        self.give("max_overhead", |values| values.max_overhead = share)
    }
    /// Sets how many calls of one function below one caller have a row each, 0 for all of them (`MONITOR_FOLD_AFTER`).
    /// The calls after them share a row, with their exact number.
    pub fn fold_after(self, calls: u32) -> Self {
        self.give("fold_after", |values| values.fold_after = calls)
    }
    /// Sets which values are captured (`MONITOR_CAPTURE`).
    pub fn capture(self, mode: CaptureMode) -> Self {
        self.give("capture", |values| values.capture = mode)
    }
    /// Sets the pause between drains (`MONITOR_DRAIN_INTERVAL`).
    pub fn drain_interval(self, pause: Duration) -> Self {
        self.give("drain_interval", |values| values.drain_interval = pause)
    }
    /// Sets the most rows in a transaction (`MONITOR_BATCH`).
    pub fn batch(self, rows: usize) -> Self {
        self.give("batch", |values| values.batch_rows = rows)
    }
    /// Sets the service name in the store (`MONITOR_SERVICE`).
    pub fn service(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.give("service", |values| values.service = name)
    }
    /// Sets the version of the program in the store (`MONITOR_VERSION`), so that runs of two versions can be compared.
    pub fn version(self, version: impl Into<String>) -> Self {
        let version = version.into();
        self.give("version", |values| values.version = Some(version).filter(|text| !text.is_empty()))
    }
    /// Names a TOML file with further settings (`MONITOR_CONFIG`).
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Checks that every value is allowed. `init` calls this before anything starts.
    ///
    /// # Errors
    /// [`InitError::Invalid`] for the first value that is not allowed.
    pub fn check(&self) -> Result<(), InitError> {
        for setting in &TABLE {
            if let Some((_, error)) = self.refused.iter().find(|(key, _)| *key == setting.key) {
                return Err(error.clone());
            }
            if self.given.contains(&setting.key) {
                let value = (setting.show)(&self.values);
                (setting.check)(&self.values).map_err(|reason| refuse(setting, &value, reason))?;
            }
        }
        Ok(())
    }

    /// Copies a setting and returns true, if the program gave it and its value is allowed. Returns false otherwise.
    pub(super) fn apply(&self, setting: &Setting, settings: &mut Settings) -> bool {
        let is_given = self.given.contains(&setting.key) && (setting.check)(&self.values).is_ok();
        if is_given {
            (setting.copy)(settings, &self.values);
        }
        is_given
    }

    /// Returns true if the program switches the recorder on, false if it switches it off, and `None` if it does
    /// neither.
    pub(super) fn is_enabled(&self) -> Option<bool> {
        self.given.contains(&"monitor").then_some(self.values.enabled)
    }

    /// Returns the path of the settings file.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    fn give(mut self, key: &'static str, set: impl FnOnce(&mut Settings)) -> Self {
        self.refused.retain(|(refused, _)| *refused != key);
        set(&mut self.values);
        if !self.given.contains(&key) {
            self.given.push(key);
        }
        self
    }

    /// Sets a value that is given as a text. If the text cannot be parsed, `check` reports it.
    fn parse(mut self, key: &'static str, text: &OsStr) -> Self {
        let Some(setting) = table::find(key) else { return self };
        match (setting.read)(&mut self.values, text) {
            Ok(()) => self.give(key, |_| ()),
            Err(reason) => {
                self.given.retain(|given| *given != key);
                self.refused.retain(|(refused, _)| *refused != key);
                self.refused.push((key, refuse(setting, &text.to_string_lossy(), reason)));
                self
            }
        }
    }
}

fn refuse(setting: &Setting, value: &str, reason: String) -> InitError {
    InitError::Invalid { setting: setting.key, value: quote_value(value), reason, allowed: setting.allowed }
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
            ("version", Config::new().version("a\nb")),
        ];
        for (expected, config) in cases {
            let InitError::Invalid { setting, .. } = config.check().unwrap_err() else {
                panic!("{expected}: not refused for its value")
            };
            assert_eq!(setting, expected);
        }
    }

    #[test]
    fn a_refused_share_is_shown_in_the_unit_of_the_allowed_ones() {
        let error = Config::new().max_overhead(1.5).check().unwrap_err().to_string();
        assert!(
            error.starts_with("`max_overhead`: 150% is out of range; allowed is a percentage"),
            "{error}"
        );
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert!(Config::new().sample("often").sample("0.5").check().is_ok());
        assert!(Config::new().sample("0.5").sample("often").check().is_err());
    }

    #[test]
    fn each_key_that_a_method_names_is_in_the_table() {
        let all = Config::new()
            .enabled(true)
            .db("x.db")
            .sample("1")
            .retention(Duration::from_secs(60))
            .max_disk(1 << 30)
            .max_memory(1 << 30)
            .max_rate(5)
            .max_overhead(0.5)
            .fold_after(7)
            .capture(CaptureMode::Args)
            .drain_interval(Duration::from_millis(5))
            .batch(5)
            .service("shop")
            .version("1.2");
        assert_eq!(all.given, table::keys()[..14]);
    }
}
