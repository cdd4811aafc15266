//! The places of the store and of ring files: the requested path, or the default for this executable. All
//! paths are absolute. This module does not know whether a file can be created there.

use crate::platform::file_system::{own_folder, state_folder};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use super::surroundings::{Surroundings, process_executable, variables};
use crate::limits;

/// A place for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// This file; the path is absolute.
    File(PathBuf),
    /// The memory of the process. Such a store ends with the process.
    Memory,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Memory => formatter.write_str(":memory:"),
        }
    }
}

impl Location {
    /// Returns the place that a path names: `:memory:`, or a file whose path is made absolute.
    ///
    /// # Errors
    /// The reason why the path cannot be used, to be put after "it".
    pub(super) fn parse(path: &OsStr) -> Result<Self, String> {
        if path == ":memory:" {
            return Ok(Self::Memory);
        }
        if path.as_encoded_bytes().contains(&0) {
            return Err("holds a NUL character".into());
        }
        let file = std::path::absolute(path).map_err(|error| format!("cannot be made absolute: {error}"))?;
        // `absolute` keeps a trailing separator, which `file_name` overlooks.
        let last = path.as_encoded_bytes().last().copied().unwrap_or_default();
        let is_folder = std::path::is_separator(char::from(last)) || file.file_name().is_none();
        if is_folder { Err("names a folder, not a file".into()) } else { Ok(Self::File(file)) }
    }
}

/// Reads the setting `rings`: `off` keeps rings on the heap, so it gives no folder.
pub(super) fn parse_ring_folders(text: &str) -> Result<Vec<PathBuf>, String> {
    match text.trim() {
        "off" => Ok(Vec::new()),
        path if Path::new(path).is_absolute() => Ok(vec![path.into()]),
        _ => Err("is no absolute path".into()),
    }
}

/// Returns the default folders of ring files, best first: the user's folder in `/dev/shm`, then `$XDG_RUNTIME_DIR`. The
/// user's folder comes first, because services, logins and scheduled jobs of one user share it, so each finds the files
/// that another left. On Windows the only folder is one beside the default stores. A system without ring files has no
/// folder.
pub(super) fn usual_ring_folders(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    if crate::platform::missing_ring_files().is_some() {
        return Vec::new();
    }
    if cfg!(windows) {
        return default_folder(surroundings).map(|folder| folder.join("rings")).into_iter().collect();
    }
    let login = surroundings.filled("XDG_RUNTIME_DIR").map(PathBuf::from);
    let login = login.filter(|path| path.is_absolute());
    [Some(own_folder(Path::new("/dev/shm"))), login].into_iter().flatten().collect()
}

/// Returns the folders in which programs of this user keep their ring files, by `MONITOR_RINGS` or the
/// default.
#[must_use]
pub fn ring_folders(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let text = surroundings.filled("MONITOR_RINGS");
    let requested = text.and_then(|text| parse_ring_folders(text.to_str()?).ok());
    requested.unwrap_or_else(|| usual_ring_folders(surroundings))
}

/// Returns the folder of default stores: `$XDG_STATE_HOME/monitor` or `~/.local/state/monitor`; on macOS
/// `~/Library/Application Support/monitor`, on Windows `%LOCALAPPDATA%\monitor`.
#[must_use]
pub fn default_folder(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let absolute =
        |name: &str| surroundings.filled(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // The base directory specification says to ignore relative paths.
    state_folder(absolute).map(|state| state.join("monitor"))
}

/// Returns the default place for this executable, or `None` if no folder for it is known.
#[must_use]
pub fn default_location(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let folder =
        surroundings.executable.and_then(|path| target_folder(path)).map(|target| target.join("monitor"));
    let folder = folder.or_else(|| default_folder(surroundings))?;
    let mut file = shorten(surroundings.executable_name());
    file.push(".db");
    Some(folder.join(file))
}

/// Returns a name that leaves room for the endings of a store's files. A longer name is cut, and ends with a hash of
/// the whole, so that two programs whose long names have the same beginning have a store each.
fn shorten(name: OsString) -> OsString {
    if name.len() <= limits::STORE_NAME_BYTES_MAX {
        return name;
    }
    let text = name.to_string_lossy();
    let mut end = limits::STORE_NAME_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(name.as_encoded_bytes());
    format!("{}-{:016x}", &text[..end], hasher.finish()).into()
}

/// Returns the default place of this process's store.
#[must_use]
pub fn process_default_location(secure: bool) -> Option<PathBuf> {
    default_location(&Surroundings {
        variable: &variables(secure),
        executable: process_executable().as_ref(),
    })
}

/// Returns the target folder of the Cargo build if the executable is in a `deps` folder, as tests are; `None`
/// otherwise.
fn target_folder(executable: &Path) -> Option<PathBuf> {
    let deps = executable.parent().filter(|folder| folder.file_name() == Some("deps".as_ref()))?;
    let above_profile = deps.parent()?.parent()?;
    // Cargo marks its target folder with this file. With `--target`, there is a folder for the target triple in
    // between.
    let marked = above_profile.ancestors().take(2).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    Some(marked.unwrap_or(above_profile).to_path_buf())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn default_for(executable: &Path, variables: &[(&str, &str)]) -> Option<PathBuf> {
        let executable = executable.to_path_buf();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        default_location(&Surroundings { variable: &variable, executable: Some(&executable) })
    }

    #[test]
    fn programs_write_below_the_state_folder() {
        let program = Path::new("/usr/bin/shop");
        let both = [("XDG_STATE_HOME", "/state"), ("HOME", "/home/ada")];
        assert_eq!(default_for(program, &both).unwrap(), Path::new("/state/monitor/shop.db"));
        assert_eq!(
            default_for(program, &both[1..]).unwrap(),
            Path::new("/home/ada/.local/state/monitor/shop.db")
        );
        let relative = [("XDG_STATE_HOME", "state"), ("HOME", "/home/ada")];
        assert!(default_for(program, &relative).unwrap().starts_with("/home/ada"));
    }

    #[test]
    fn the_name_of_a_store_leaves_room_for_its_endings_however_long_the_programs_is() {
        let home = [("HOME", "/home/ada")];
        let program = |ending: &str| PathBuf::from(format!("/usr/bin/{}{ending}", "ß".repeat(124)));
        let [one, other] = ["a", "b"].map(|ending| default_for(&program(ending), &home).unwrap());
        assert_ne!(one, other);
        for path in [one, other] {
            let name = path.file_name().unwrap();
            assert!(name.len() + "-journal".len() + ".corrupt-1234567890123".len() <= 255, "{name:?}");
        }
    }

    #[test]
    fn without_a_home_there_is_no_default_file() {
        assert_eq!(default_for(Path::new("/usr/bin/shop"), &[]), None);
        assert_eq!(default_for(Path::new("/usr/bin/shop"), &[("HOME", "")]), None);
    }

    #[test]
    fn tests_write_into_the_target_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path();
        let home = [("HOME", "/home/ada")];
        let plain = target.join("debug/deps/it-0123");
        assert_eq!(default_for(&plain, &home).unwrap(), target.join("monitor/it-0123.db"));
        std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        let triple = target.join("x86_64-unknown-linux-gnu/debug/deps/it-0123");
        assert_eq!(default_for(&triple, &home).unwrap(), target.join("monitor/it-0123.db"));
    }

    #[test]
    fn paths_are_made_absolute_and_never_read_as_uris() {
        assert_eq!(Location::parse(":memory:".as_ref()).unwrap(), Location::Memory);
        let Location::File(path) = Location::parse("file:x.db?mode=memory".as_ref()).unwrap() else {
            panic!("not a file")
        };
        assert!(path.is_absolute() && path.ends_with("file:x.db?mode=memory"), "{path:?}");
        assert!(Location::parse("/tmp/".as_ref()).is_err());
        assert!(Location::parse("a\0b".as_ref()).is_err());
    }
}
