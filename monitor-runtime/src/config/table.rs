//! The table of settings. A row names the setting's key in the file, its variable, the allowed values, the default, the
//! parser, and how a running process applies a change.
//!
//! `resolve`, `file`, `builder` and `watch` read this table. A new setting is one row here and one field of
//! [`Settings`] with its default. If programs may set it, it is also a method of `Config` here and in the facade's
//! inert twin. If a running process applies its changes in a way that no other setting has, [`Change`] gets a variant,
//! for which the compiler demands an arm in `collect::maintenance`.

#![allow(
    clippy::float_cmp,
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "checks and parsers of all types have one signature, and a setting has changed if any bit has"
)]

use std::ffi::OsStr;

use super::location::{Location, parse_ring_folders};
use super::parse::{parse_bytes, parse_duration, parse_percent, parse_switch, parse_whole};
use super::settings::{CaptureMode, Settings};
use crate::limits;
use crate::sampling::Rules;

/// A setting: a row of the table.
pub(super) struct Setting {
    /// The name in the settings file.
    pub(super) key: &'static str,
    /// The name in the environment.
    pub(super) variable: &'static str,
    /// The allowed values, as a warning names them.
    pub(super) allowed: &'static str,
    /// The default, as a warning names it.
    pub(super) default: &'static str,
    /// The way in which a running process applies a change in the settings file.
    pub(super) change: Change,
    /// Parses a text, checks the value and stores it in its field. The error is the reason, to be put after
    /// "it".
    pub(super) read: fn(&mut Settings, &OsStr) -> Result<(), String>,
    /// Checks the value of the field. The error is the reason why no source may request it, to be put after "it".
    pub(super) check: fn(&Settings) -> Result<(), String>,
    /// Copies the field from the second argument to the first.
    pub(super) copy: fn(&mut Settings, &Settings),
    /// Returns whether the field differs.
    pub(super) differs: fn(&Settings, &Settings) -> bool,
    /// Writes the value as an error or an event shows it.
    pub(super) show: fn(&Settings) -> String,
}

/// The way in which a running process applies a change of a setting. Settings that change together have one way.
/// `collect::maintenance` has an arm for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The rates of functions change at once.
    Rates,
    /// The bounds within which the ladder keeps rows and costs change at once.
    Load,
    /// The number of like calls that have a row each changes at once.
    Folds,
    /// Drains and transactions change at once.
    Batches,
    /// The bounds of the store change at once.
    Store,
    /// The value holds from the next start on, because threads and memory are laid out by it, or because it
    /// names the process or the store.
    NextStart,
}

impl Change {
    /// All ways, in the order in which they are applied.
    pub(super) const ALL: [Self; 6] =
        [Self::Rates, Self::Load, Self::Folds, Self::Batches, Self::Store, Self::NextStart];
}

/// Builds a row over the field of [`Settings`] with this name.
macro_rules! row {
    ($field:ident, parse: $parse:expr, $($rest:tt)*) => {
        row!($field, read: |raw: &OsStr| $parse(raw.to_str().ok_or("is not UTF-8")?), $($rest)*)
    };
    (
        $field:ident, read: $read:expr, check: $check:expr, show: $show:expr, change: $change:ident,
        $($name:ident: $text:expr,)*
    ) => {
        Setting {
            change: Change::$change,
            read: |settings, raw| {
                let value = ($read)(raw)?;
                ($check)(&value)?;
                settings.$field = value;
                Ok(())
            },
            check: |settings| ($check)(&settings.$field),
            copy: |to, from| to.$field.clone_from(&from.$field),
            differs: |one, other| one.$field != other.$field,
            show: |settings| ($show)(&settings.$field),
            $($name: $text,)*
        }
    };
}

/// All settings that a file may hold, in the order in which they are read: `monitor` comes first, because
/// `db` is not read where recording is off.
pub(super) const TABLE: [Setting; 15] = [
    row! {
        enabled, parse: parse_switch, check: accept_any, show: debug, change: NextStart,
        key: "monitor", variable: "MONITOR", allowed: "`on` or `off`", default: "on",
    },
    row! {
        db, read: Location::parse, check: accept_any, show: Location::to_string, change: NextStart,
        key: "db", variable: "MONITOR_DB",
        allowed: "the path of a file, or `:memory:`",
        default: "the default store",
    },
    row! {
        sample, parse: parse_rules, check: accept_any, show: Rules::to_string, change: Rates,
        key: "sample", variable: "MONITOR_SAMPLE",
        allowed: "a rate from 0 to 1, or `pattern=rate` pairs by comma such as `1,shop::hot::*=0.001`",
        default: "1",
    },
    row! {
        retention, parse: parse_duration,
        check: |value| check_range(value, &limits::RETENTION_MIN, &limits::RETENTION_MAX),
        show: debug, change: Store,
        key: "retention", variable: "MONITOR_RETENTION",
        allowed: "a duration from `1s` to `36500d`, such as `30m`, `6h` or `2d`", default: "6h",
    },
    row! {
        max_disk_bytes, parse: parse_bytes,
        check: |value| check_range(value, &limits::MAX_DISK_BYTES_MIN, &u64::MAX),
        show: |bytes| format!("{bytes} bytes"), change: Store,
        key: "max_disk", variable: "MONITOR_MAX_DISK",
        allowed: "a size of at least `1MiB`, such as `512MiB` or `2GB`", default: "512MiB",
    },
    row! {
        max_memory_bytes, parse: parse_bytes,
        check: |value| check_range(value, &limits::MAX_MEMORY_BYTES_MIN, &u64::MAX),
        show: |bytes| format!("{bytes} bytes"), change: NextStart,
        key: "max_memory", variable: "MONITOR_MAX_MEMORY",
        allowed: "a size of at least `1MiB`, such as `64MiB`", default: "64MiB",
    },
    row! {
        max_rate, parse: parse_whole, check: accept_any, show: debug, change: Load,
        key: "max_rate", variable: "MONITOR_MAX_RATE",
        allowed: "a whole number of rows per second and function, 0 for no bound", default: "10000",
    },
    row! {
        max_overhead, parse: parse_percent, check: is_share, show: show_share, change: Load,
        key: "max_overhead", variable: "MONITOR_MAX_OVERHEAD",
        allowed: "a percentage above `0%` and up to `100%` (no bound), such as `1%`", default: "1%",
    },
    row! {
        fold_after, parse: parse_whole, check: accept_any, show: debug, change: Folds,
        key: "fold_after", variable: "MONITOR_FOLD_AFTER",
        allowed: "a whole number of calls of one function below one caller that have a row each, 0 for all of them",
        default: "64",
    },
    row! {
        capture, parse: CaptureMode::parse, check: accept_any, show: debug, change: NextStart,
        key: "capture", variable: "MONITOR_CAPTURE",
        allowed: "`all`, `args`, `errors` or `none`", default: "all",
    },
    row! {
        drain_interval, parse: parse_duration,
        check: |value| check_range(value, &limits::DRAIN_INTERVAL_MIN, &limits::DRAIN_INTERVAL_MAX),
        show: debug, change: Batches,
        key: "drain_interval", variable: "MONITOR_DRAIN_INTERVAL",
        allowed: "a duration from `1ms` to `60s`, such as `100ms`", default: "100ms",
    },
    row! {
        batch_rows, parse: parse_whole, check: |value| check_range(value, &1, &limits::BATCH_ROWS_MAX),
        show: debug, change: Batches,
        key: "batch", variable: "MONITOR_BATCH",
        allowed: "a whole number of rows from 1 to 1000000", default: "4096",
    },
    row! {
        service, parse: parse_service, check: is_service, show: debug, change: NextStart,
        key: "service", variable: "MONITOR_SERVICE",
        allowed: "a name of up to 200 bytes without control characters",
        default: "the executable's name",
    },
    row! {
        version, parse: parse_version, check: is_version, show: show_version, change: NextStart,
        key: "version", variable: "MONITOR_VERSION",
        allowed: "a text of up to 200 bytes without control characters",
        default: "none",
    },
    row! {
        ring_folders, parse: parse_ring_folders, check: accept_any, show: debug, change: NextStart,
        key: "rings", variable: "MONITOR_RINGS",
        allowed: RINGS_ALLOWED,
        default: RINGS_DEFAULT,
    },
];

/// The texts of the setting `rings`. Its folder is on a disk on Windows, which has no file system in memory.
const RINGS_ALLOWED: &str = if cfg!(windows) {
    "the absolute path of a folder on a disk of this machine, or `off` for the heap"
} else {
    "the absolute path of a folder in memory, or `off` for the heap"
};
const RINGS_DEFAULT: &str = if cfg!(windows) {
    r"%LOCALAPPDATA%\monitor\rings"
} else {
    "/dev/shm/monitored-<user>, else $XDG_RUNTIME_DIR"
};

/// Returns all keys that a settings file may hold.
pub(super) fn keys() -> [&'static str; TABLE.len()] {
    TABLE.each_ref().map(|setting| setting.key)
}

/// Returns the setting with this key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    const ROWS: &[Setting] = &TABLE;
    ROWS.iter().find(|setting| setting.key == key)
}

fn debug<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

fn accept_any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

fn check_range<T: PartialOrd>(value: &T, min: &T, max: &T) -> Result<(), String> {
    if value < min {
        Err("is too small".into())
    } else if value > max {
        Err("is too large".into())
    } else {
        Ok(())
    }
}

fn is_share(share: &f64) -> Result<(), String> {
    if *share > 0.0 && *share <= 1.0 { Ok(()) } else { Err("is out of range".into()) }
}

fn show_share(share: &f64) -> String {
    format!("{}%", share * 100.0)
}

fn parse_rules(text: &str) -> Result<Rules, String> {
    Rules::parse(text).map_err(|error| format!("is wrong: {error}"))
}

fn parse_service(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

#[expect(clippy::ptr_arg, reason = "checks the type of the field")]
fn is_service(name: &String) -> Result<(), String> {
    if name.is_empty() {
        Err("is blank".into())
    } else if name.len() > limits::SERVICE_BYTES_MAX {
        Err("is too long".into())
    } else if name.chars().any(char::is_control) {
        Err("holds a control character".into())
    } else {
        Ok(())
    }
}

fn parse_version(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.trim().to_owned()).filter(|version| !version.is_empty()))
}

#[expect(clippy::ref_option, reason = "checks the type of the field")]
fn is_version(version: &Option<String>) -> Result<(), String> {
    version.as_ref().map_or(Ok(()), is_service)
}

#[expect(clippy::ref_option, reason = "shows the type of the field")]
fn show_version(version: &Option<String>) -> String {
    version.clone().unwrap_or_else(|| "none".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::config::Surroundings;

    fn defaults() -> Settings {
        Settings::defaults(&Surroundings { variable: &|_| None, executable: None })
    }

    #[test]
    fn the_default_a_warning_names_is_the_default_in_force() {
        for setting in
            TABLE.iter().filter(|setting| !["db", "service", "version", "rings"].contains(&setting.key))
        {
            let mut settings = defaults();
            (setting.read)(&mut settings, setting.default.as_ref()).unwrap();
            let is_default = match setting.key {
                "sample" => settings.sample.rate("any") == Some(1.0),
                _ => settings == defaults(),
            };
            assert!(is_default, "{}", setting.key);
        }
    }

    #[test]
    fn each_way_to_apply_a_change_has_its_place_in_the_order() {
        for setting in &TABLE {
            assert!(Change::ALL.contains(&setting.change), "{}: {:?}", setting.key, setting.change);
        }
    }

    #[test]
    fn keys_and_variables_follow_one_pattern_and_stand_once() {
        for (at, setting) in TABLE.iter().enumerate() {
            let variable = match setting.key {
                "monitor" => "MONITOR".to_owned(),
                key => format!("MONITOR_{}", key.to_uppercase()),
            };
            assert_eq!(setting.variable, variable);
            assert!(!keys()[..at].contains(&setting.key), "{}", setting.key);
        }
    }

    /// Returns the pages of the repository with their names. There are none in the published package, which stands
    /// alone.
    fn pages() -> Vec<(String, String)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let Ok(docs) = std::fs::read_dir(format!("{root}/docs")) else { return Vec::new() };
        let docs = docs.map(|entry| entry.unwrap().path());
        let others =
            ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| format!("{root}/{name}").into());
        let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).chain(others);
        let read = |path: std::path::PathBuf| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        };
        pages.map(read).collect()
    }

    #[test]
    fn the_readme_names_each_setting_with_its_default() {
        for (_, readme) in pages().iter().filter(|(name, _)| name == "README.md") {
            for setting in &TABLE {
                let begin = format!("| `{}` | ", setting.variable);
                let line = readme.lines().find(|line| line.starts_with(&begin));
                let line = line.unwrap_or_else(|| panic!("{}", setting.variable));
                let default = line[begin.len()..].split(" | ").next().map(|text| text.replace('`', ""));
                let is_word = ["db", "service"].contains(&setting.key);
                let is_default = default.as_deref() == Some(setting.default);
                assert!(is_word || is_default, "{}: {default:?} but {}", setting.variable, setting.default);
            }
        }
    }

    #[test]
    fn pages_name_no_setting_that_is_not_in_the_table_and_no_value_that_is_refused() {
        for (page, text) in pages() {
            for (at, _) in text.match_indices("MONITOR_") {
                let end = |text: &str, stop: &str| {
                    text.find(|c: char| stop.contains(c) || c == '\n').unwrap_or(text.len())
                };
                let rest = &text[at..];
                let name =
                    &rest[..rest.find(|c: char| c != '_' && !c.is_ascii_uppercase()).unwrap_or(rest.len())];
                // Variables of the tests, the name of the settings file, and `MONITOR_…` for all of them.
                if name.starts_with("MONITOR_TEST_") || ["MONITOR_CONFIG", "MONITOR_"].contains(&name) {
                    continue;
                }
                let setting = TABLE.iter().find(|setting| setting.variable == name);
                let setting = setting.unwrap_or_else(|| panic!("{page} names {name}, which is no setting"));
                let Some(value) = rest[name.len()..].strip_prefix('=') else { continue };
                let value = match value.strip_prefix('"') {
                    Some(quoted) => &quoted[..end(quoted, "\"")],
                    None => &value[..end(value, " `,;)")],
                };
                let read = (setting.read)(&mut defaults(), value.as_ref());
                assert!(read.is_ok(), "{page}: {name}={value}: {read:?}");
            }
        }
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for (key, text, reason) in [
            ("retention", "10ms", "is too small"),
            ("retention", "40000d", "is too large"),
            ("max_disk", "5k", "is too small"),
            ("max_memory", "0", "is too small"),
            ("max_overhead", "0%", "is out of range"),
            ("max_overhead", "101%", "is out of range"),
            ("drain_interval", "0ms", "is too small"),
            ("batch", "0", "is too small"),
            ("service", "a\u{7}b", "holds a control character"),
            ("service", "  ", "is blank"),
            ("version", "1\u{7}", "holds a control character"),
        ] {
            let read = find(key).unwrap().read;
            assert_eq!(read(&mut defaults(), text.as_ref()).unwrap_err(), reason, "{key}: {text}");
        }
    }
}
