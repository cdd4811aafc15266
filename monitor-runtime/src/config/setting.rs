//! The table of settings: for each its key in the file, its variable, what is allowed, its default and
//! how its text is read. One table, so that variable, key, documentation and default cannot drift apart.

use std::time::Duration;

use super::location::RingPlace;
use super::parse::{parse_bytes, parse_duration, parse_percent, parse_switch, parse_whole};
use super::settings::CaptureMode;
use crate::limits;
use crate::sampling::Rules;

/// A setting that is read from text.
pub(super) struct Setting<T> {
    /// Its name in the file.
    pub key: &'static str,
    /// Its name in the environment.
    pub variable: &'static str,
    /// What is allowed, as a warning says it.
    pub allowed: &'static str,
    /// The default, as a warning says it.
    pub default: &'static str,
    /// Reads the text; the error is the reason, to be put after "it".
    pub parse: fn(&str) -> Result<T, String>,
    /// Refuses values that no source may ask for.
    pub check: fn(&T) -> Result<(), String>,
}

impl<T> Setting<T> {
    /// The value that this text asks for.
    pub(super) fn read(&self, text: &str) -> Result<T, String> {
        let value = (self.parse)(text)?;
        (self.check)(&value).map(|()| value)
    }
}

/// The settings that are no text values of this table: places.
pub(super) const DB: (&str, &str) = ("db", "MONITOR_DB");
pub(super) const CONFIG: &str = "MONITOR_CONFIG";

pub(super) const ENABLED: Setting<bool> = Setting {
    key: "monitor",
    variable: "MONITOR",
    allowed: "`on` or `off`",
    default: "on",
    parse: parse_switch,
    check: |_| Ok(()),
};

pub(super) const SAMPLE: Setting<Rules> = Setting {
    key: "sample",
    variable: "MONITOR_SAMPLE",
    allowed: "a rate from 0 to 1, or `pattern=rate` pairs by comma such as `1,shop::hot::*=0.001`",
    default: "1",
    parse: |text| Rules::parse(text).map_err(|error| format!("is wrong: {error}")),
    check: |_| Ok(()),
};

pub(super) const RETENTION: Setting<Duration> = Setting {
    key: "retention",
    variable: "MONITOR_RETENTION",
    allowed: "a duration from `1s` to `36500d`, such as `30m`, `6h` or `2d`",
    default: "6h",
    parse: parse_duration,
    check: |value| between(value, &limits::RETENTION_MIN, &limits::RETENTION_MAX),
};

pub(super) const MAX_DISK: Setting<u64> = Setting {
    key: "max_disk",
    variable: "MONITOR_MAX_DISK",
    allowed: "a size of at least `1MiB`, such as `512MiB` or `2GB`",
    default: "512MiB",
    parse: parse_bytes,
    check: |value| between(value, &limits::MAX_DISK_BYTES_MIN, &u64::MAX),
};

pub(super) const MAX_MEMORY: Setting<u64> = Setting {
    key: "max_memory",
    variable: "MONITOR_MAX_MEMORY",
    allowed: "a size of at least `1MiB`, such as `64MiB`",
    default: "64MiB",
    parse: parse_bytes,
    check: |value| between(value, &limits::MAX_MEMORY_BYTES_MIN, &u64::MAX),
};

pub(super) const MAX_RATE: Setting<u32> = Setting {
    key: "max_rate",
    variable: "MONITOR_MAX_RATE",
    allowed: "a whole number of rows per second and function, 0 for no bound",
    default: "1000",
    parse: parse_whole,
    check: |_| Ok(()),
};

pub(super) const MAX_OVERHEAD: Setting<f64> = Setting {
    key: "max_overhead",
    variable: "MONITOR_MAX_OVERHEAD",
    allowed: "a percentage above `0%` and up to `100%` (no bound), such as `1%`",
    default: "1%",
    parse: parse_percent,
    check: |&share| {
        if share > 0.0 && share <= 1.0 { Ok(()) } else { Err("is out of range".into()) }
    },
};

pub(super) const CAPTURE: Setting<CaptureMode> = Setting {
    key: "capture",
    variable: "MONITOR_CAPTURE",
    allowed: "`all`, `args`, `errors` or `none`",
    default: "all",
    parse: CaptureMode::parse,
    check: |_| Ok(()),
};

pub(super) const DRAIN_INTERVAL: Setting<Duration> = Setting {
    key: "drain_interval",
    variable: "MONITOR_DRAIN_INTERVAL",
    allowed: "a duration from `1ms` to `60s`, such as `100ms`",
    default: "100ms",
    parse: parse_duration,
    check: |value| between(value, &limits::DRAIN_INTERVAL_MIN, &limits::DRAIN_INTERVAL_MAX),
};

pub(super) const BATCH: Setting<usize> = Setting {
    key: "batch",
    variable: "MONITOR_BATCH",
    allowed: "a whole number of rows from 1 to 1000000",
    default: "4096",
    parse: parse_whole,
    check: |value| between(value, &1, &limits::BATCH_ROWS_MAX),
};

pub(super) const SERVICE: Setting<String> = Setting {
    key: "service",
    variable: "MONITOR_SERVICE",
    allowed: "a name of up to 200 bytes without control characters",
    default: "the executable's name",
    parse: |text| Ok(text.trim().to_string()),
    check: |name| {
        if name.is_empty() {
            Err("is blank".into())
        } else if name.len() > limits::SERVICE_BYTES_MAX {
            Err("is too long".into())
        } else if name.chars().any(char::is_control) {
            Err("holds a control character".into())
        } else {
            Ok(())
        }
    },
};

pub(super) const RINGS: Setting<RingPlace> = Setting {
    key: "rings",
    variable: "MONITOR_RINGS",
    allowed: "the absolute path of a folder in memory, or `off` for the heap",
    default: "/dev/shm, else $XDG_RUNTIME_DIR",
    parse: RingPlace::parse,
    check: |_| Ok(()),
};

/// Every key that a settings file may hold.
pub(super) const KEYS: [&str; 13] = [
    ENABLED.key,
    DB.0,
    SAMPLE.key,
    RETENTION.key,
    MAX_DISK.key,
    MAX_MEMORY.key,
    MAX_RATE.key,
    MAX_OVERHEAD.key,
    CAPTURE.key,
    DRAIN_INTERVAL.key,
    BATCH.key,
    SERVICE.key,
    RINGS.key,
];

fn between<T: PartialOrd>(value: &T, least: &T, most: &T) -> Result<(), String> {
    if value < least {
        Err("is too small".into())
    } else if value > most {
        Err("is too large".into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;

    #[test]
    fn the_default_a_warning_names_is_the_default_in_force() {
        assert!(ENABLED.read(ENABLED.default).unwrap());
        assert_eq!(SAMPLE.read(SAMPLE.default).unwrap().rate("any"), Some(1.0));
        assert_eq!(RETENTION.read(RETENTION.default).unwrap(), limits::RETENTION);
        assert_eq!(MAX_DISK.read(MAX_DISK.default).unwrap(), limits::MAX_DISK_BYTES);
        assert_eq!(MAX_MEMORY.read(MAX_MEMORY.default).unwrap(), limits::MAX_MEMORY_BYTES);
        assert_eq!(MAX_RATE.read(MAX_RATE.default).unwrap(), limits::MAX_RATE);
        assert_eq!(MAX_OVERHEAD.read(MAX_OVERHEAD.default).unwrap(), limits::MAX_OVERHEAD);
        assert_eq!(CAPTURE.read(CAPTURE.default).unwrap(), CaptureMode::All);
        assert_eq!(DRAIN_INTERVAL.read(DRAIN_INTERVAL.default).unwrap(), limits::DRAIN_INTERVAL);
        assert_eq!(BATCH.read(BATCH.default).unwrap(), limits::BATCH_ROWS);
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        assert_eq!(RETENTION.read("10ms").unwrap_err(), "is too small");
        assert_eq!(RETENTION.read("40000d").unwrap_err(), "is too large");
        assert_eq!(MAX_DISK.read("5k").unwrap_err(), "is too small");
        assert_eq!(MAX_MEMORY.read("0").unwrap_err(), "is too small");
        assert_eq!(MAX_OVERHEAD.read("0%").unwrap_err(), "is out of range");
        assert_eq!(MAX_OVERHEAD.read("101%").unwrap_err(), "is out of range");
        assert_eq!(DRAIN_INTERVAL.read("0ms").unwrap_err(), "is too small");
        assert_eq!(BATCH.read("0").unwrap_err(), "is too small");
        assert_eq!(SERVICE.read("a\u{7}b").unwrap_err(), "holds a control character");
        assert_eq!(SERVICE.read("  ").unwrap_err(), "is blank");
    }
}
