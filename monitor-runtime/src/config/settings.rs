//! The settings in force: for each the first source that has it, of `init`, environment, file and
//! default. A value that cannot be used becomes a warning and the default.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::builder::Config;
use super::file::{self, Texts};
use super::location::{Location, RingPlace, default_location, executable_name, is_doctest};
use super::parse::shown;
use super::setting::{self, Setting};
use super::{Surroundings, Warning};
use crate::limits;
use crate::sampling::Rules;

/// Which values of a call are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureMode {
    /// Arguments, results and error texts.
    #[default]
    All,
    /// Arguments and error texts.
    Args,
    /// Error texts.
    Errors,
    /// Nothing: outcome and times alone.
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
    /// Whether arguments and extra fields are captured.
    #[must_use]
    pub const fn args(self) -> bool {
        matches!(self, Self::All | Self::Args)
    }
    /// Whether results are captured.
    #[must_use]
    pub const fn results(self) -> bool {
        matches!(self, Self::All)
    }
    /// Whether error texts and panic messages are captured.
    #[must_use]
    pub const fn errors(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Everything that can be set, with what is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether anything is recorded.
    pub enabled: bool,
    /// Where the store lies.
    pub db: Location,
    /// Sampling rates by pattern.
    pub sample: Rules,
    /// Age at which rows go.
    pub retention: Duration,
    /// Bound on database and write-ahead log together.
    pub max_disk_bytes: u64,
    /// Bound on rings and backlog together.
    pub max_memory_bytes: u64,
    /// Detail rows per second and function to aim for; 0 for no bound.
    pub max_rate: u32,
    /// Share of the process's CPU time that the recorder may cost, 0 to 1.
    pub max_overhead: f64,
    /// Which values are captured.
    pub capture: CaptureMode,
    /// Pause between drains.
    pub drain_interval: Duration,
    /// Most rows in a transaction.
    pub batch_rows: usize,
    /// Service name in the store.
    pub service: String,
    /// Folders in memory for ring files, best first; none where rings are on the heap.
    pub ring_folders: Vec<PathBuf>,
    /// The settings file that was named.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Reads this process's settings. In a `secure` process (one that runs with more rights than who
    /// started it: a setuid program) the environment is not looked at.
    #[must_use]
    pub fn load(init: Option<&Config>, secure: bool) -> (Self, Vec<Warning>) {
        let variable = |name: &str| if secure { None } else { super::process_variable(name) };
        let executable = super::process_executable();
        Self::resolve(init, &Surroundings { variable: &variable, executable: executable.as_ref() })
    }

    /// Reads settings from these surroundings.
    #[must_use]
    pub fn resolve(init: Option<&Config>, surroundings: &Surroundings<'_>) -> (Self, Vec<Warning>) {
        let none = Config::new();
        let init = init.unwrap_or(&none);
        let mut warnings = Vec::new();
        let config_file =
            init.file.clone().or_else(|| surroundings.filled(setting::CONFIG).map(PathBuf::from));
        let file = match &config_file {
            Some(path) => file::read(path, surroundings, &mut warnings),
            None => Texts::new(),
        };
        let mut sources = Sources { surroundings, file, warnings };
        let name = executable_name(surroundings.executable.map(PathBuf::as_path));
        let enabled = sources.pick(&setting::ENABLED, init.enabled, || true);
        let settings = Self {
            enabled,
            db: if enabled { sources.place(init.db.as_ref()) } else { Location::Memory },
            sample: sources.pick(&setting::SAMPLE, init_rules(init), Rules::default),
            retention: sources.pick(&setting::RETENTION, init.retention, || limits::RETENTION),
            max_disk_bytes: sources.pick(&setting::MAX_DISK, init.max_disk, || limits::MAX_DISK_BYTES),
            max_memory_bytes: sources
                .pick(&setting::MAX_MEMORY, init.max_memory, || limits::MAX_MEMORY_BYTES),
            max_rate: sources.pick(&setting::MAX_RATE, init.max_rate, || limits::MAX_RATE),
            max_overhead: sources.pick(&setting::MAX_OVERHEAD, init.max_overhead, || limits::MAX_OVERHEAD),
            capture: sources.pick(&setting::CAPTURE, init.capture, CaptureMode::default),
            drain_interval: sources
                .pick(&setting::DRAIN_INTERVAL, init.drain_interval, || limits::DRAIN_INTERVAL),
            batch_rows: sources.pick(&setting::BATCH, init.batch, || limits::BATCH_ROWS),
            service: sources
                .pick(&setting::SERVICE, init.service.clone(), || name.to_string_lossy().into_owned()),
            ring_folders: sources.pick(&setting::RINGS, None, RingPlace::default).folders(surroundings),
            config_file,
        };
        (settings, sources.warnings)
    }
}

/// The rules asked for in code. `init` has checked them; unchecked ones count as not asked for.
fn init_rules(init: &Config) -> Option<Rules> {
    init.sample.as_deref().and_then(|text| Rules::parse(text).ok())
}

struct Sources<'a> {
    surroundings: &'a Surroundings<'a>,
    file: Texts,
    warnings: Vec<Warning>,
}

impl Sources<'_> {
    fn pick<T>(&mut self, setting: &Setting<T>, init: Option<T>, default: impl FnOnce() -> T) -> T {
        if let Some(value) = init.filter(|value| (setting.check)(value).is_ok()) {
            return value;
        }
        let Some((subject, text)) = self.text(setting.variable, setting.key) else { return default() };
        let read = match text.to_str() {
            Some(text) => setting.read(text),
            None => Err("is not UTF-8".into()),
        };
        read.unwrap_or_else(|reason| {
            self.warn(&subject, &text, &reason, setting.allowed, setting.default);
            default()
        })
    }

    fn place(&mut self, init: Option<&PathBuf>) -> Location {
        let (variable, key) = (setting::DB.1, setting::DB.0);
        let asked = match init {
            Some(path) => Some(("`init`: db".to_string(), path.clone().into_os_string())),
            None => self.text(variable, key),
        };
        if let Some((subject, path)) = asked {
            match Location::parse(&path) {
                Ok(place) => return place,
                Err(reason) => {
                    let allowed = "the path of a file, or `:memory:`";
                    self.warn(&subject, &path, &reason, allowed, "the default store");
                }
            }
        }
        if self.surroundings.executable.is_some_and(|path| is_doctest(path)) {
            return Location::Memory;
        }
        if let Some(path) = default_location(self.surroundings) {
            return Location::File(path);
        }
        self.warnings.push(Warning::new(
            variable,
            "neither it nor XDG_STATE_HOME nor HOME is set; keeping the store in memory",
        ));
        Location::Memory
    }

    /// The text of a setting and what a warning calls its source: environment before file.
    fn text(&self, variable: &str, key: &str) -> Option<(String, OsString)> {
        if let Some(text) = self.surroundings.filled(variable) {
            return Some((variable.to_string(), text));
        }
        self.file.get(key).map(|text| (format!("settings file: {key}"), OsString::from(text)))
    }

    fn warn(&mut self, subject: &str, text: &OsString, reason: &str, allowed: &str, instead: &str) {
        let text = shown(&text.to_string_lossy());
        self.warnings.push(Warning::new(
            subject,
            format!("\"{text}\" {reason}; allowed is {allowed}; using {instead}"),
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;
    use std::path::Path;

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
        assert_eq!(settings.max_rate, 1000);
        assert_eq!(settings.max_overhead, 0.01);
        assert_eq!(settings.capture, CaptureMode::All);
        assert_eq!(settings.drain_interval, Duration::from_millis(100));
        assert_eq!(settings.sample.rate("any"), None);
        assert_eq!(settings.ring_folders, [Path::new("/dev/shm")]);
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
            ("MONITOR_MAX_RATE", "-1", "a whole number", "using 1000"),
            ("MONITOR_MAX_OVERHEAD", "1", "a percentage", "using 1%"),
            ("MONITOR_CAPTURE", "some", "`all`", "using all"),
            ("MONITOR_DRAIN_INTERVAL", "1h", "a duration", "using 100ms"),
            ("MONITOR_BATCH", "many", "a whole number", "using 4096"),
            ("MONITOR_SERVICE", "a\nb", "a name", "using the executable's name"),
            ("MONITOR_RINGS", "here", "absolute path", "using /dev/shm"),
        ] {
            let (settings, warnings) = resolve(None, &[(variable, value)]);
            assert_eq!(warnings.len(), 1, "{variable}: {warnings:?}");
            let line = &warnings[0];
            let named = line.contains(variable) && line.contains(&shown(value));
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
    fn switched_off_no_place_is_looked_for() {
        let variable = |name: &str| (name == "MONITOR").then(|| "off".into());
        let (settings, warnings) =
            Settings::resolve(None, &Surroundings { variable: &variable, executable: None });
        assert!(!settings.enabled && warnings.is_empty());
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

    #[test]
    fn capture_modes_say_what_they_take() {
        let taken = |mode: CaptureMode| (mode.args(), mode.results(), mode.errors());
        assert_eq!(taken(CaptureMode::All), (true, true, true));
        assert_eq!(taken(CaptureMode::Args), (true, false, true));
        assert_eq!(taken(CaptureMode::Errors), (false, false, true));
        assert_eq!(taken(CaptureMode::None), (false, false, false));
    }
}
