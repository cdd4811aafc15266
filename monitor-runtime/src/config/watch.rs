//! The settings file of a running process: read again whenever it has changed.
//!
//! In: looks, a few times a second. Out: the settings that now hold, once the file is as it was at the look
//! before, so that none is read while it is being written. A file that cannot be used changes nothing:
//! its first warning is handed out once. The environment is that of the start: reading it later would race
//! with a host that changes it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Config, Settings, Surroundings, Warning};

/// What a file looks like from outside; `None`: there is none.
type Stamp = Option<(u64, Option<SystemTime>, u64)>;

/// A settings file under watch.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    init: Config,
    environment: Vec<(OsString, OsString)>,
    executable: Option<PathBuf>,
    /// As of the last look, and as of the last reading.
    seen: Stamp,
    read: Stamp,
    settings: Settings,
}

/// What a look found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Other settings than before.
    Settings(Box<Changed>),
    /// A file that cannot be used.
    Bad(Warning),
}

/// Settings before and after a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) before: Settings,
    pub(crate) after: Settings,
}

impl Watch {
    /// Watches the file that these settings were read from, if there is one.
    pub(crate) fn new(settings: &Settings, init: Option<&Config>, secure: bool) -> Option<Self> {
        let path = settings.config_file.clone()?;
        let stamp = stamp(&path);
        Some(Self {
            path,
            init: init.cloned().unwrap_or_default(),
            environment: if secure { Vec::new() } else { std::env::vars_os().collect() },
            executable: super::process_executable(),
            seen: stamp,
            read: stamp,
            settings: settings.clone(),
        })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Looks whether the file has changed, and reads it if it has.
    pub(crate) fn look(&mut self) -> Option<Found> {
        let stamp = stamp(&self.path);
        let is_settled = std::mem::replace(&mut self.seen, stamp) == stamp;
        if !is_settled || self.read == stamp {
            return None;
        }
        self.read = stamp;
        let variable = |name: &str| {
            let found = self.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let surroundings = Surroundings { variable: &variable, executable: self.executable.as_ref() };
        let (after, warnings) = Settings::resolve(Some(&self.init), &surroundings);
        if let Some(warning) = warnings.into_iter().next() {
            return Some(Found::Bad(warning));
        }
        if after == self.settings {
            return None;
        }
        let before = std::mem::replace(&mut self.settings, after.clone());
        Some(Found::Settings(Box::new(Changed { before, after })))
    }
}

impl Changed {
    /// How often rings are drained and how much goes into a transaction, where that differs; in words.
    pub(crate) fn of_batches(&self) -> Option<String> {
        let Self { before, after } = self;
        let of = |settings: &Settings| (settings.drain_interval, settings.batch_rows);
        (of(before) != of(after))
            .then(|| format!("drain_interval = {:?}, batch = {}", after.drain_interval, after.batch_rows))
    }

    /// The bounds on the store, where they differ; in words.
    pub(crate) fn of_store(&self) -> Option<String> {
        let Self { before, after } = self;
        let of = |settings: &Settings| (settings.retention, settings.max_disk_bytes);
        let text = || format!("retention = {:?}, max_disk = {} bytes", after.retention, after.max_disk_bytes);
        (of(before) != of(after)).then(text)
    }

    /// Settings that differ and hold only from the next start on: what threads and memory are laid out by,
    /// and who the process is.
    pub(crate) fn for_next_start(&self) -> Vec<&'static str> {
        let Self { before, after } = self;
        let differ = [
            ("monitor", before.enabled != after.enabled),
            ("db", before.db != after.db),
            ("max_memory", before.max_memory_bytes != after.max_memory_bytes),
            ("capture", before.capture != after.capture),
            ("service", before.service != after.service),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

fn stamp(path: &std::path::Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok(), file.ino()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn write(path: &std::path::Path, text: &str) {
        // Replaced rather than overwritten: the stamp differs even within a tick of the file system's clock.
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn changed(watch: &mut Watch) -> Changed {
        assert!(watch.look().is_none(), "it is not read before it is settled");
        match watch.look() {
            Some(Found::Settings(changed)) => *changed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        write(&path, "sample = 0.5\nservice = 's'\ndb = ':memory:'");
        let init = Config { file: Some(path.clone()), ..Config::new() };
        let nothing = |_: &str| None;
        let surroundings = Surroundings { variable: &nothing, executable: None };
        let (settings, _) = Settings::resolve(Some(&init), &surroundings);
        let mut watch = Watch::new(&settings, Some(&init), true).unwrap();
        assert!(watch.look().is_none());
        write(&path, "sample = 0.25\nmax_rate = 5\nbatch = 9\nservice = 's'\ndb = ':memory:'");
        let change = changed(&mut watch);
        assert_eq!((change.before.max_rate, change.after.max_rate), (1000, 5));
        assert_eq!(change.after.sample.rate("any"), Some(0.25));
        assert_eq!(change.for_next_start(), [""; 0]);
        assert_eq!(change.of_batches().as_deref(), Some("drain_interval = 100ms, batch = 9"));
        assert_eq!(change.of_store(), None);
        assert!(watch.look().is_none());
        write(
            &path,
            "sample = 0.25\nmax_rate = 5\nbatch = 9\nretention = '1h'\ncapture = 'none'\nservice = 's'\ndb = 'x.db'",
        );
        let change = changed(&mut watch);
        assert_eq!(change.of_batches(), None);
        assert_eq!(change.of_store().as_deref(), Some("retention = 3600s, max_disk = 536870912 bytes"));
        assert_eq!(change.for_next_start(), ["db", "capture"]);
    }

    #[test]
    fn what_cannot_be_used_is_said_once_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        write(&path, "sample = 0.5\nservice = 's'\ndb = ':memory:'");
        let init = Config { file: Some(path.clone()), ..Config::new() };
        let nothing = |_: &str| None;
        let surroundings = Surroundings { variable: &nothing, executable: None };
        let (settings, _) = Settings::resolve(Some(&init), &surroundings);
        let mut watch = Watch::new(&settings, Some(&init), true).unwrap();
        for bad in ["sample = 7\nmax_rate = 5\ndb = ':memory:'", "sample = ", "colour = 'red'"] {
            write(&path, bad);
            assert!(watch.look().is_none());
            assert!(matches!(watch.look(), Some(Found::Bad(_))), "{bad}");
            assert!(watch.look().is_none() && watch.look().is_none(), "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(watch.look().is_none());
        assert!(matches!(watch.look(), Some(Found::Bad(_))));
        assert_eq!(watch.settings, settings);
        write(&path, "sample = 0.75\nservice = 's'\ndb = ':memory:'");
        assert_eq!(changed(&mut watch).after.sample.rate("any"), Some(0.75));
    }
}
