//! The settings in force, with their defaults. `resolve` fills them from the sources.

use std::path::PathBuf;
use std::time::Duration;

use super::location::{Location, default_location, usual_ring_folders};
use super::surroundings::Surroundings;
use crate::limits;
use crate::sampling::Rules;

/// All settings, with the values in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// True if calls are recorded.
    pub enabled: bool,
    /// The place of the store.
    pub db: Location,
    /// Sampling rates by pattern.
    pub sample: Rules,
    /// The age at which rows are deleted.
    pub retention: Duration,
    /// The bound on database and write-ahead log together, in bytes.
    pub max_disk_bytes: u64,
    /// The bound on all memory whose size depends on load, in bytes.
    pub max_memory_bytes: u64,
    /// Detail rows per second and function to aim for; 0 for no bound.
    pub max_rate: u32,
    /// The share of one core, or of the process's CPU time if that is more, that recording may cost, 0 to 1.
    pub max_overhead: f64,
    /// The number of calls of one function below one caller that have a row each; 0 if all have.
    pub fold_after: u32,
    /// The values of a call that are captured.
    pub capture: CaptureMode,
    /// The pause between drains.
    pub drain_interval: Duration,
    /// The most rows in a transaction.
    pub batch_rows: usize,
    /// The service name in the store.
    pub service: String,
    /// The version that the program gives itself.
    pub version: Option<String>,
    /// Folders in memory for ring files, best first; none where rings are on the heap.
    pub ring_folders: Vec<PathBuf>,
    /// The path of the settings file, if the program or the environment names one.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Returns the defaults in these surroundings. A build records nothing. The store is in memory in a doctest, and
    /// where no folder for it is known.
    pub(super) fn defaults(surroundings: &Surroundings<'_>) -> Self {
        let default_file = || default_location(surroundings).map_or(Location::Memory, Location::File);
        Self {
            enabled: !surroundings.is_build(),
            db: if surroundings.is_doctest() { Location::Memory } else { default_file() },
            sample: Rules::default(),
            retention: limits::RETENTION,
            max_disk_bytes: limits::MAX_DISK_BYTES,
            max_memory_bytes: limits::MAX_MEMORY_BYTES,
            max_rate: limits::MAX_RATE,
            max_overhead: limits::MAX_OVERHEAD,
            fold_after: limits::FOLD_AFTER,
            capture: CaptureMode::default(),
            drain_interval: limits::DRAIN_INTERVAL,
            batch_rows: limits::BATCH_ROWS,
            service: surroundings.executable_name().to_string_lossy().into_owned(),
            version: None,
            ring_folders: usual_ring_folders(surroundings),
            config_file: None,
        }
    }
}

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
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "all" => Ok(Self::All),
            "args" => Ok(Self::Args),
            "errors" => Ok(Self::Errors),
            "none" => Ok(Self::None),
            _ => Err("is no such mode".into()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_modes_say_what_they_take() {
        let taken = |mode: CaptureMode| (mode.args(), mode.results(), mode.errors());
        assert_eq!(taken(CaptureMode::All), (true, true, true));
        assert_eq!(taken(CaptureMode::Args), (true, false, true));
        assert_eq!(taken(CaptureMode::Errors), (false, false, true));
        assert_eq!(taken(CaptureMode::None), (false, false, false));
    }
}
