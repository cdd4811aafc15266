//! Resolves each setting from the first source that has it: `init`, the environment, the settings file, the default.
//!
//! Takes a [`Config`] and the surroundings; gives [`Settings`] and a [`Warning`] for every value that could not be
//! used, whose default is used instead. The order of the sources stands in [`Sources`] alone. The file does not know
//! the individual settings: `table` does.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::builder::Config;
use super::errors::Warning;
use super::file::{self, Texts};
use super::location::Location;
use super::parse::{parse_switch, quote_value};
use super::settings::Settings;
use super::surroundings::{Surroundings, process_executable, variables};
use super::table::{self, Setting, TABLE};

/// The variable that switches the recorder on and off.
const SWITCH_VARIABLE: &str = "MONITOR";

/// The sources of settings, the strongest first. A setting that none of them has keeps its default.
struct Sources<'a> {
    /// The values that the program gives in code.
    init: Option<&'a Config>,
    /// The environment.
    surroundings: &'a Surroundings<'a>,
    /// The settings file; empty before it is read.
    file: Texts,
}

impl Sources<'_> {
    /// Reads a setting from the first source that has it. Returns false if none of them does.
    ///
    /// # Errors
    /// The warning about a value that cannot be used: the setting then keeps its default.
    fn read(&self, setting: &Setting, settings: &mut Settings) -> Result<bool, Warning> {
        if self.init.is_some_and(|init| init.apply(setting, settings)) {
            return Ok(true);
        }
        let (subject, text) = match self.surroundings.filled(setting.variable) {
            Some(text) => (setting.variable.to_owned(), text),
            None => match self.file.get(setting.key) {
                Some(text) => (format!("settings file: {}", setting.key), text.into()),
                None => return Ok(false),
            },
        };
        (setting.read)(settings, &text).map_err(|reason| refuse(setting, subject, &text, &reason))?;
        Ok(true)
    }

    /// Reads the switch alone: returns true if the program or the environment says that nothing is recorded.
    fn are_off(&self) -> bool {
        if let Some(enabled) = self.init.and_then(Config::is_enabled) {
            return !enabled;
        }
        // A text that is neither on nor off is not reported here, but later, when all settings are read.
        let text = self.surroundings.filled(SWITCH_VARIABLE);
        text.as_deref().and_then(OsStr::to_str).is_some_and(|text| parse_switch(text) == Ok(false))
    }

    /// Returns the path of the settings file, if the program or the environment names one.
    fn find_file(&self) -> Option<PathBuf> {
        let named = self.init.and_then(Config::file).cloned();
        named.or_else(|| self.surroundings.filled(file::VARIABLE).map(PathBuf::from))
    }
}

impl Settings {
    /// Reads this process's settings. A `secure` process ignores the environment.
    #[must_use]
    pub fn load(init: Option<&Config>, secure: bool) -> (Self, Vec<Warning>) {
        let executable = process_executable();
        Self::resolve(init, &Surroundings { variable: &variables(secure), executable: executable.as_ref() })
    }

    /// Returns true if the program or the environment says that nothing is recorded. Reads no file and needs little
    /// stack, so that callers can ask before they start a thread. The settings file may still switch recording off.
    pub(crate) fn is_off(init: Option<&Config>, secure: bool) -> bool {
        let surroundings = Surroundings { variable: &variables(secure), executable: None };
        Sources { init, surroundings: &surroundings, file: Texts::new() }.are_off()
    }

    /// Reads the place of the store alone, whether recording is on or off. `once` keeps its keys beside that place.
    ///
    /// # Errors
    /// The warning about a value of `db` or a settings file that cannot be used: the place that was meant is not known
    /// then, and the default would be another one.
    pub(crate) fn load_place(init: Option<&Config>, secure: bool) -> Result<Location, Warning> {
        let executable = process_executable();
        Self::resolve_place(
            init,
            &Surroundings { variable: &variables(secure), executable: executable.as_ref() },
        )
    }

    fn resolve_place(init: Option<&Config>, surroundings: &Surroundings<'_>) -> Result<Location, Warning> {
        let mut settings = Self::defaults(surroundings);
        let Some(setting) = table::find("db") else { return Ok(settings.db) };
        let mut sources = Sources { init, surroundings, file: Texts::new() };
        // The settings file is not needed if the program or the environment names the place.
        if !sources.read(setting, &mut settings)?
            && let Some(path) = sources.find_file()
        {
            let mut warnings = Vec::new();
            sources.file = file::read(&path, surroundings, &mut warnings);
            if let Some(warning) = warnings.into_iter().find(|warning| warning.concerns(&path, setting.key)) {
                return Err(warning);
            }
            sources.read(setting, &mut settings)?;
        }
        Ok(settings.db)
    }

    /// Reads settings from these surroundings.
    #[must_use]
    pub fn resolve(init: Option<&Config>, surroundings: &Surroundings<'_>) -> (Self, Vec<Warning>) {
        let mut warnings = Vec::new();
        let mut sources = Sources { init, surroundings, file: Texts::new() };
        let config_file = sources.find_file();
        if let Some(path) = &config_file {
            sources.file = file::read(path, surroundings, &mut warnings);
        }
        let mut settings = Self { config_file, ..Self::defaults(surroundings) };
        for setting in &TABLE {
            let is_db = setting.key == "db";
            if is_db && !settings.enabled {
                settings.db = Location::Memory;
                continue;
            }
            let is_read = sources.read(setting, &mut settings).unwrap_or_else(|warning| {
                warnings.push(warning);
                false
            });
            if is_db && !is_read && !surroundings.is_doctest() && settings.db == Location::Memory {
                let detail = "neither it nor XDG_STATE_HOME nor HOME is set; keeping the store in memory";
                warnings.push(Warning::new(setting.variable, detail));
            }
        }
        (settings, warnings)
    }
}

fn refuse(setting: &Setting, subject: String, text: &OsStr, reason: &str) -> Warning {
    let (text, Setting { allowed, default, .. }) = (quote_value(&text.to_string_lossy()), setting);
    Warning::new(subject, format!("\"{text}\" {reason}; allowed is {allowed}; using {default}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;
    use crate::config::CaptureMode;
    use crate::config::parse::quote_value;
    use crate::limits;
    use std::ffi::OsString;
    use std::path::Path;
    use std::time::Duration;

    fn resolve(init: Option<&Config>, variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let executable = PathBuf::from("/usr/bin/shop");
        let variable = |name: &str| match variables.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Some(OsString::from(value)),
            None => (name == "HOME").then(|| "/home/ada".into()),
        };
        let surroundings = Surroundings { variable: &variable, executable: Some(&executable) };
        let (settings, warnings) = Settings::resolve(init, &surroundings);
        (settings, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_set_gives_the_defaults_without_a_word() {
        let (settings, warnings) = resolve(None, &[]);
        assert_eq!(warnings, Vec::<String>::new());
        assert!(settings.enabled);
        assert_eq!(settings.db, Location::File("/home/ada/.local/state/monitor/shop.db".into()));
        assert_eq!(settings.service, "shop");
        assert_eq!(settings.retention, Duration::from_secs(6 * 3600));
        assert_eq!(settings.max_disk_bytes, 512 << 20);
        assert_eq!(settings.max_memory_bytes, 64 << 20);
        assert_eq!(settings.max_rate, 10_000);
        assert_eq!(settings.max_overhead, 0.01);
        assert_eq!(settings.capture, CaptureMode::All);
        assert_eq!(settings.drain_interval, Duration::from_millis(100));
        assert_eq!(settings.sample.rate("any"), None);
        assert_eq!(settings.ring_folders, [crate::platform::file_system::own_folder(Path::new("/dev/shm"))]);
    }

    #[test]
    fn every_variable_is_read() {
        let (settings, warnings) = resolve(
            None,
            &[
                ("MONITOR", "on"),
                ("MONITOR_DB", "/data/calls.db"),
                ("MONITOR_SAMPLE", "0.5,shop::pay=1"),
                ("MONITOR_RETENTION", "30m"),
                ("MONITOR_MAX_DISK", "1GiB"),
                ("MONITOR_MAX_MEMORY", "8MiB"),
                ("MONITOR_MAX_RATE", "0"),
                ("MONITOR_MAX_OVERHEAD", "100%"),
                ("MONITOR_CAPTURE", "errors"),
                ("MONITOR_DRAIN_INTERVAL", "10ms"),
                ("MONITOR_BATCH", "500"),
                ("MONITOR_SERVICE", "checkout"),
                ("MONITOR_VERSION", " 2.1 "),
                ("MONITOR_RINGS", "/run/rings"),
            ],
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(settings.db, Location::File("/data/calls.db".into()));
        assert_eq!(settings.sample.rate("shop::pay"), Some(1.0));
        assert_eq!(settings.sample.rate("shop::cart"), Some(0.5));
        assert_eq!(settings.retention, Duration::from_secs(1800));
        assert_eq!(settings.max_disk_bytes, 1 << 30);
        assert_eq!(settings.max_memory_bytes, 8 << 20);
        assert_eq!(settings.max_rate, 0);
        assert_eq!(settings.max_overhead, 1.0);
        assert_eq!(settings.capture, CaptureMode::Errors);
        assert_eq!(settings.drain_interval, Duration::from_millis(10));
        assert_eq!(settings.batch_rows, 500);
        assert_eq!(settings.service, "checkout");
        assert_eq!(settings.version.as_deref(), Some("2.1"));
        assert_eq!(settings.ring_folders, [Path::new("/run/rings")]);
        let (settings, _) = resolve(None, &[("MONITOR_RINGS", "off")]);
        assert!(settings.ring_folders.is_empty());
    }

    #[test]
    fn a_bad_value_gives_one_warning_that_names_it_and_the_default() {
        for (variable, value, allowed, default) in [
            ("MONITOR", "perhaps", "`on` or `off`", "using on"),
            ("MONITOR_DB", "/data/", "path of a file", "using the default store"),
            ("MONITOR_SAMPLE", "shop::*=2", "from 0 to 1", "using 1"),
            ("MONITOR_RETENTION", "6", "a duration", "using 6h"),
            ("MONITOR_MAX_DISK", "huge", "a size", "using 512MiB"),
            ("MONITOR_MAX_MEMORY", "1", "a size", "using 64MiB"),
            ("MONITOR_MAX_RATE", "-1", "a whole number", "using 10000"),
            ("MONITOR_MAX_OVERHEAD", "1", "a percentage", "using 1%"),
            ("MONITOR_CAPTURE", "some", "`all`", "using all"),
            ("MONITOR_DRAIN_INTERVAL", "1h", "a duration", "using 100ms"),
            ("MONITOR_BATCH", "many", "a whole number", "using 4096"),
            ("MONITOR_SERVICE", "a\nb", "a name", "using the executable's name"),
            ("MONITOR_VERSION", "a\nb", "a text", "using none"),
            ("MONITOR_RINGS", "here", "absolute path", "using /dev/shm/monitored-"),
        ] {
            let (settings, warnings) = resolve(None, &[(variable, value)]);
            assert_eq!(warnings.len(), 1, "{variable}: {warnings:?}");
            let line = &warnings[0];
            let named = line.contains(variable) && line.contains(&quote_value(value));
            assert!(named && line.contains(allowed) && line.contains(default), "{line}");
            assert!(!line.contains('\n'));
            assert_eq!(settings, resolve(None, &[]).0, "{variable}: not the default");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let (settings, warnings) =
            resolve(None, &[("MONITOR", ""), ("MONITOR_DB", ""), ("MONITOR_CONFIG", "")]);
        assert_eq!((settings, warnings), resolve(None, &[]));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_warned_of_but_make_a_path() {
        use std::os::unix::ffi::OsStringExt as _;
        let variable = |name: &str| match name {
            "MONITOR_SAMPLE" => Some(OsString::from_vec(vec![0xff, b'1'])),
            "MONITOR_DB" => Some(OsString::from_vec(vec![b'/', 0xff])),
            _ => None,
        };
        let (settings, warnings) =
            Settings::resolve(None, &Surroundings { variable: &variable, executable: None });
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].to_string().contains("MONITOR_SAMPLE") && warnings[0].detail.contains("not UTF-8")
        );
        assert_eq!(settings.db, Location::File(OsString::from_vec(vec![b'/', 0xff]).into()));
    }

    #[test]
    fn what_switches_the_recorder_off_is_known_before_all_settings_are_read() {
        for (init, value, is_off) in [
            (None, "off", true),
            (None, "0", true),
            (None, "on", false),
            (None, "", false),
            (None, "perhaps", false),
            (Some(Config::new().enabled(true)), "off", false),
            (Some(Config::new().enabled(false)), "on", true),
            (Some(Config::new().max_rate(1)), "off", true),
        ] {
            let variable = |name: &str| (name == "MONITOR").then(|| value.into());
            let surroundings = Surroundings { variable: &variable, executable: None };
            let sources = Sources { init: init.as_ref(), surroundings: &surroundings, file: Texts::new() };
            assert_eq!(sources.are_off(), is_off, "{init:?} {value}");
            assert_eq!(
                !Settings::resolve(init.as_ref(), &surroundings).0.enabled,
                is_off,
                "{init:?} {value}"
            );
        }
    }

    #[test]
    fn switched_off_no_place_is_looked_for() {
        let variable = |name: &str| (name == "MONITOR").then(|| "off".into());
        let (settings, warnings) =
            Settings::resolve(None, &Surroundings { variable: &variable, executable: None });
        assert!(!settings.enabled && warnings.is_empty());
    }

    #[test]
    fn the_place_of_the_store_is_found_whether_recording_is_on_or_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        write("db.toml", "monitor = false\ndb = '/file/shop.db'\nno_such = 1");
        write("none.toml", "monitor = false");
        write("bad.toml", "db = '/file/");
        write("folder.toml", "db = '/file/'");
        write("list.toml", "db = ['/file/shop.db']");
        let place = |init: Option<Config>, file: &str, db: &str| {
            let variable = |name: &str| match name {
                "MONITOR" => Some(OsString::from("off")),
                "MONITOR_DB" => Some(OsString::from(db)),
                "MONITOR_CONFIG" if !file.is_empty() => Some(path(file).into_os_string()),
                "HOME" => Some(OsString::from("/home/ada")),
                _ => None,
            };
            let executable = PathBuf::from("/usr/bin/shop");
            let surroundings = Surroundings { variable: &variable, executable: Some(&executable) };
            match Settings::resolve_place(init.as_ref(), &surroundings) {
                Ok(Location::File(path)) => path.display().to_string(),
                Ok(Location::Memory) => "memory".to_owned(),
                Err(warning) => format!("unknown: {warning}"),
            }
        };
        let init = || Some(Config::new().enabled(false).db("/init/shop.db"));
        assert_eq!(place(init(), "db.toml", "/env/shop.db"), "/init/shop.db");
        assert_eq!(place(init(), "bad.toml", "/env/"), "/init/shop.db");
        assert_eq!(place(None, "bad.toml", "/env/shop.db"), "/env/shop.db");
        assert_eq!(place(None, "", ":memory:"), "memory");
        assert_eq!(place(None, "db.toml", ""), "/file/shop.db");
        assert_eq!(
            place(Some(Config::new().config(path("db.toml")).enabled(false)), "", ""),
            "/file/shop.db"
        );
        assert_eq!(place(None, "none.toml", ""), "/home/ada/.local/state/monitor/shop.db");
        assert_eq!(place(None, "", ""), "/home/ada/.local/state/monitor/shop.db");
        for (file, db) in
            [("bad.toml", ""), ("folder.toml", ""), ("list.toml", ""), ("missing.toml", ""), ("", "/env/")]
        {
            let place = place(None, file, db);
            assert!(place.starts_with("unknown: monitored: "), "{file} {db}: {place}");
        }
    }

    #[test]
    fn without_a_home_the_store_is_kept_in_memory_and_said_so() {
        let (settings, warnings) = resolve(None, &[("HOME", "")]);
        assert_eq!(settings.db, Location::Memory);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("in memory"), "{warnings:?}");
    }

    #[test]
    fn a_doctest_keeps_its_store_in_memory_unless_it_asks_for_a_file() {
        let doctest = PathBuf::from("/tmp/rustdoctestZDsB0W/rust_out");
        for (db, expected) in
            [("", Location::Memory), ("/var/shop.db", Location::File("/var/shop.db".into()))]
        {
            let variable = |name: &str| match name {
                "HOME" => Some(OsString::from("/home/ada")),
                "MONITOR_DB" => Some(OsString::from(db)),
                _ => None,
            };
            let surroundings = Surroundings { variable: &variable, executable: Some(&doctest) };
            let (settings, warnings) = Settings::resolve(None, &surroundings);
            assert_eq!(settings.db, expected);
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn init_wins_over_the_environment_and_the_environment_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        std::fs::write(&path, "batch = 1\nmax_rate = 1\nservice = '${WHO:nobody}'\ndb = ':memory:'").unwrap();
        let config = path.to_str().unwrap();
        let variables = [("MONITOR_CONFIG", config), ("MONITOR_BATCH", "2"), ("MONITOR_MAX_RATE", "2")];
        let (settings, warnings) = resolve(Some(&Config::new().batch(3)), &variables);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(settings.batch_rows, 3);
        assert_eq!(settings.max_rate, 2);
        assert_eq!(settings.service, "nobody");
        assert_eq!(settings.db, Location::Memory);
        assert_eq!(settings.config_file.as_deref(), Some(Path::new(config)));
    }

    #[test]
    fn a_bad_value_in_the_file_is_named_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        std::fs::write(&path, "retention = 'soon'").unwrap();
        let (settings, warnings) = resolve(Some(&Config::new().config(&path)), &[]);
        assert_eq!(settings.retention, limits::RETENTION);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("settings file: retention: \"soon\""), "{warnings:?}");
    }

    #[test]
    fn a_program_with_raised_rights_ignores_the_environment() {
        let (settings, _) = Settings::load(Some(&Config::new().db("/data/x.db")), true);
        assert_eq!(settings.db, Location::File("/data/x.db".into()));
        let (settings, _) = Settings::load(None, true);
        assert!(settings.config_file.is_none());
    }
}
