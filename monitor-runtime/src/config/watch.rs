//! Reads the settings file of a running process again whenever it has changed.
//!
//! Takes the settings that were read at the start, and a request to look at the file, a few times a second at most.
//! Gives the new settings at the first look that finds the changed file in the same state as the look before, so that
//! no file is read while it is being written. A file that cannot be used changes nothing, and its first warning is
//! returned once. The environment is that of the start, because reading it later would race with a host that changes
//! it. The table says how each setting is applied.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use super::builder::Config;
use super::errors::Warning;
use super::file::READING;
use super::settings::Settings;
use super::surroundings::{Surroundings, process_executable};
use super::table::{Change, TABLE};
use crate::limits;
use crate::platform::file_system::{FileSystem, System, file_number};

/// Length, time of the last change and number of a file; `None` if there is no file.
type Stamp = Option<(u64, Option<SystemTime>, u64)>;

/// A settings file under watch.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    /// True if the file system may not answer.
    is_far: bool,
    init: Config,
    environment: Vec<(OsString, OsString)>,
    executable: Option<PathBuf>,
    /// The stamp at the last look.
    seen: Stamp,
    /// The stamp when the file was last read.
    read: Stamp,
    settings: Settings,
}

/// The result of a look at a changed file.
#[derive(Debug)]
pub(crate) enum FileChange {
    /// The settings differ from those before.
    Settings(Box<Changed>),
    /// The file cannot be used.
    Bad(Warning),
}

/// The settings before and after a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) before: Settings,
    pub(crate) after: Settings,
}

impl Watch {
    /// Watches the settings file that these settings name. Returns `None` if they name none.
    pub(crate) fn new(settings: &Settings, init: Option<&Config>, secure: bool) -> Option<Self> {
        let path = settings.config_file.clone()?;
        let is_far = is_far(&path);
        let stamp = stamp(&path, is_far);
        Some(Self {
            path,
            is_far,
            init: init.cloned().unwrap_or_default(),
            environment: if secure { Vec::new() } else { std::env::vars_os().collect() },
            executable: process_executable(),
            seen: stamp,
            read: stamp,
            settings: settings.clone(),
        })
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Returns true if the last look found another state than that in which the file was last read. The next look then
    /// reads the file if it has not changed again.
    pub(crate) fn is_settling(&self) -> bool {
        self.seen != self.read
    }

    /// Looks at the file, and reads it if it has changed since the last read but not since the last look. Returns
    /// `None` if the file was not read, or if its settings are the same as before.
    pub(crate) fn poll(&mut self) -> Option<FileChange> {
        let stamp = stamp(&self.path, self.is_far);
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
            return Some(FileChange::Bad(warning));
        }
        if after == self.settings {
            return None;
        }
        let before = std::mem::replace(&mut self.settings, after.clone());
        Some(FileChange::Settings(Box::new(Changed { before, after })))
    }
}

impl Changed {
    /// Returns the ways in which the settings that differ are applied, in their order, with these settings in words.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (Change, String)> {
        Change::ALL.into_iter().filter_map(|change| Some((change, self.describe(change)?)))
    }

    /// Describes the settings that are applied together, if one of them differs: all of them with their values, or the
    /// keys alone of those that differ and wait for the next start.
    fn describe(&self, change: Change) -> Option<String> {
        let together = || TABLE.iter().filter(|setting| setting.change == change);
        let differing = || together().filter(|setting| (setting.differs)(&self.before, &self.after));
        differing().next()?;
        let words: Vec<String> = match change {
            Change::NextStart => differing().map(|setting| setting.key.to_owned()).collect(),
            _ => together()
                .map(|setting| format!("{} = {}", setting.key, (setting.show)(&self.after)))
                .collect(),
        };
        Some(words.join(", "))
    }
}

/// Returns the stamp of a file. It is read on a thread of its own if the file system may not answer; `None` if it does
/// not answer in time.
fn stamp(path: &std::path::Path, is_far: bool) -> Stamp {
    if !is_far {
        return read_stamp(path);
    }
    let path = path.to_owned();
    READING.run_with_limit(limits::CONFIG_FILE_WAIT_MAX, move || read_stamp(&path)).flatten()
}

/// Returns true if the file is neither on a disk nor in the memory of this machine, or if this cannot be found out in
/// time.
fn is_far(path: &std::path::Path) -> bool {
    let folder = path.parent().unwrap_or(path).to_owned();
    let kind = move || (System::default().file_system)(&folder);
    READING.run_with_limit(limits::CONFIG_FILE_WAIT_MAX, kind) != Some(FileSystem::Local)
}

fn read_stamp(path: &std::path::Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok(), file_number(&file)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn write(path: &std::path::Path, text: &str) {
        // The file is replaced, not overwritten, so that its stamp differs even within a tick of the file
        // system's clock.
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn changed(watch: &mut Watch) -> Changed {
        assert!(watch.poll().is_none(), "it is not read before it is settled");
        match watch.poll() {
            Some(FileChange::Settings(changed)) => *changed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        write(&path, "sample = 0.5\nservice = 's'\ndb = ':memory:'");
        let init = Config::new().config(&path);
        let nothing = |_: &str| None;
        let surroundings = Surroundings { variable: &nothing, executable: None };
        let (settings, _) = Settings::resolve(Some(&init), &surroundings);
        let mut watch = Watch::new(&settings, Some(&init), true).unwrap();
        assert!(watch.poll().is_none());
        write(&path, "sample = 0.25\nmax_rate = 5\nbatch = 9\nservice = 's'\ndb = ':memory:'");
        let change = changed(&mut watch);
        assert_eq!((change.before.max_rate, change.after.max_rate), (10_000, 5));
        assert_eq!(change.after.sample.rate("any"), Some(0.25));
        let expected = [
            (Change::Rates, "sample = 0.25"),
            (Change::Load, "max_rate = 5, max_overhead = 1%"),
            (Change::Batches, "drain_interval = 100ms, batch = 9"),
        ];
        assert_eq!(change.ways().collect::<Vec<_>>(), expected.map(|(way, text)| (way, text.to_owned())));
        assert!(watch.poll().is_none());
        write(
            &path,
            "sample = 0.25\nmax_rate = 5\nbatch = 9\nretention = '1h'\ncapture = 'none'\nservice = 's'\ndb = 'x.db'",
        );
        let expected = [
            (Change::Store, "retention = 3600s, max_disk = 536870912 bytes"),
            (Change::NextStart, "db, capture"),
        ];
        let change = changed(&mut watch);
        assert_eq!(change.ways().collect::<Vec<_>>(), expected.map(|(way, text)| (way, text.to_owned())));
    }

    #[test]
    fn what_cannot_be_used_is_said_once_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        write(&path, "sample = 0.5\nservice = 's'\ndb = ':memory:'");
        let init = Config::new().config(&path);
        let nothing = |_: &str| None;
        let surroundings = Surroundings { variable: &nothing, executable: None };
        let (settings, _) = Settings::resolve(Some(&init), &surroundings);
        let mut watch = Watch::new(&settings, Some(&init), true).unwrap();
        for bad in ["sample = 7\nmax_rate = 5\ndb = ':memory:'", "sample = ", "colour = 'red'"] {
            write(&path, bad);
            assert!(watch.poll().is_none());
            assert!(matches!(watch.poll(), Some(FileChange::Bad(_))), "{bad}");
            assert!(watch.poll().is_none() && watch.poll().is_none(), "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(watch.poll().is_none());
        assert!(matches!(watch.poll(), Some(FileChange::Bad(_))));
        assert_eq!(watch.settings, settings);
        write(&path, "sample = 0.75\nservice = 's'\ndb = ':memory:'");
        assert_eq!(changed(&mut watch).after.sample.rate("any"), Some(0.75));
    }
}
