//! Where the store lies: the path asked for, or the default for this executable. Paths come out
//! absolute. Whether a folder can be made there is found out by whoever opens the store.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::Surroundings;

/// A place for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// This file; the path is absolute.
    File(PathBuf),
    /// Nowhere: it lives and dies with the process.
    Memory,
}

impl Location {
    /// The place that a path names: `:memory:` or a file, made absolute.
    ///
    /// # Errors
    /// What is wrong with the path, to be put after "it".
    pub(super) fn parse(path: &OsStr) -> Result<Self, String> {
        if path == ":memory:" {
            return Ok(Self::Memory);
        }
        if path.as_encoded_bytes().contains(&0) {
            return Err("holds a NUL character".into());
        }
        let file = std::path::absolute(path).map_err(|error| format!("cannot be made absolute: {error}"))?;
        // `absolute` keeps a trailing slash, which `file_name` overlooks.
        let is_folder = path.as_encoded_bytes().ends_with(b"/") || file.file_name().is_none();
        if is_folder { Err("names a folder, not a file".into()) } else { Ok(Self::File(file)) }
    }
}

/// Where ring files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum RingPlace {
    /// Where every process of this user finds them.
    #[default]
    Usual,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere: rings are on the heap.
    Heap,
}

impl RingPlace {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self::Heap),
            path if Path::new(path).is_absolute() => Ok(Self::Folder(path.into())),
            _ => Err("is no absolute path".into()),
        }
    }

    /// The folders, best first. `/dev/shm` comes before the user's own: it is the same one for a service, a
    /// login and a job, so that each finds what another left.
    pub(super) fn folders(self, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
        match self {
            Self::Heap => Vec::new(),
            Self::Folder(folder) => vec![folder],
            Self::Usual => {
                let own = surroundings.filled("XDG_RUNTIME_DIR").map(PathBuf::from);
                [Some(PathBuf::from("/dev/shm")), own.filter(|path| path.is_absolute())]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        }
    }
}

/// The folders in which programs of this user keep their ring files, by `MONITOR_RINGS` or the default.
#[must_use]
pub fn ring_folders(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let asked = surroundings.filled("MONITOR_RINGS").and_then(|text| RingPlace::parse(text.to_str()?).ok());
    asked.unwrap_or_default().folders(surroundings)
}

/// The folder of default stores: `$XDG_STATE_HOME/monitor`, or `~/.local/state/monitor`.
#[must_use]
pub fn default_folder(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let absolute =
        |name: &str| surroundings.filled(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // The base directory specification says to ignore relative paths.
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("monitor"))
}

/// The default place for this executable, or `None` where no folder for it is known.
#[must_use]
pub fn default_location(surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let folder =
        surroundings.executable.and_then(|path| target_folder(path)).map(|target| target.join("monitor"));
    let folder = folder.or_else(|| default_folder(surroundings))?;
    let mut file = executable_name(surroundings.executable.map(PathBuf::as_path));
    file.push(".db");
    Some(folder.join(file))
}

/// The executable's name without `.exe`; `unknown` where the system does not tell.
pub(super) fn executable_name(executable: Option<&Path>) -> OsString {
    let Some(name) = executable.and_then(Path::file_name) else { return "unknown".into() };
    let Some(text) = name.to_str() else { return name.to_os_string() };
    // Linux appends this where the file was replaced while the program runs.
    let text = text.strip_suffix(" (deleted)").unwrap_or(text);
    text.strip_suffix(std::env::consts::EXE_SUFFIX).unwrap_or(text).into()
}

/// Whether the executable is a doctest: rustdoc gives each the same name, in a folder that goes with it, and
/// says nothing of the target folder. A store of all that were ever run would be of use to nobody.
pub(super) fn is_doctest(executable: &Path) -> bool {
    let folder = executable.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    executable_name(Some(executable)) == "rust_out"
        && folder.is_some_and(|folder| folder.starts_with("rustdoctest"))
}

/// The target folder of the Cargo build whose `deps` folder the executable lies in: a test.
fn target_folder(executable: &Path) -> Option<PathBuf> {
    let deps = executable.parent().filter(|folder| folder.file_name() == Some("deps".as_ref()))?;
    let above_profile = deps.parent()?.parent()?;
    // Cargo marks its target folder; with `--target` a folder for the triple lies between.
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
    fn a_doctest_is_told_by_its_name_and_its_folder() {
        for (path, is_one) in [
            ("/tmp/rustdoctestZDsB0W/rust_out", true),
            ("/tmp/rustdoctestZDsB0W/rust_out (deleted)", true),
            ("/tmp/rustdoctestZDsB0W/shop", false),
            ("/home/ada/shop/rust_out", false),
            ("rust_out", false),
        ] {
            assert_eq!(is_doctest(Path::new(path)), is_one, "{path}");
        }
    }

    #[test]
    fn an_executable_replaced_while_running_keeps_its_name() {
        let name = executable_name(Some(Path::new("/usr/bin/shop (deleted)")));
        assert_eq!(name, "shop");
        assert_eq!(executable_name(None), "unknown");
        assert_eq!(executable_name(Some(Path::new("/opt/my.app"))), "my.app");
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
