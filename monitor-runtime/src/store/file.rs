//! Makes, identifies, names and sets aside the store's file.
//!
//! Takes paths; gives paths, identities and sizes. Every function works on names, and none opens an existing store,
//! because only SQLite may do so: closing a descriptor of our own would drop the locks that SQLite holds on the file in
//! this process. The file does not read a store's content.

use super::error::OpenError;
use crate::platform::file_system;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub(crate) use crate::platform::file_system::Identity;

/// The most damaged files that are kept beside a store. Once there are that many, no new store is begun there, because
/// the disk damages one file after the other.
const QUARANTINED_MAX: usize = 8;

/// The state of a file at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    pub(crate) identity: Identity,
    pub(crate) bytes: u64,
    /// Time of the last change of the content, ns since the Unix epoch.
    pub(crate) changed_ns: i128,
}

/// Returns the state of a file without opening it; `None` if there is no such file, or if its metadata cannot be read.
pub(crate) fn read_state(path: &Path) -> Option<FileState> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let changed = found.modified().ok()?;
    let since_epoch = match changed.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    };
    Some(FileState {
        identity: file_system::read_identity(path)?,
        bytes: found.len(),
        changed_ns: since_epoch,
    })
}

/// Returns the absolute path with the links in its folders resolved, and makes the folder (0700) if it is missing. The
/// last component stays as it is: a link there is refused when it is opened.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let refuse = |why: String| OpenError::Unwritable { path: path.to_owned(), why };
    let name = path.file_name().ok_or_else(|| refuse("it names no file".to_owned()))?;
    let absolute = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
    let folder = absolute.parent().ok_or_else(|| refuse("it has no folder".to_owned()))?;
    make_folder(folder).map_err(|error| io_error(path, "cannot make its folder", &error))?;
    let folder = file_system::resolve_links(folder)
        .map_err(|error| io_error(path, "cannot find its folder", &error))?;
    Ok(folder.join(name))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    file_system::make_private_folder(folder)
}

/// Makes an empty file (0600) if there is none. Otherwise it checks the file: it has to be a regular file, not a link, of
/// our own user.
pub(crate) fn ensure_exists(path: &Path) -> Result<(), OpenError> {
    #[allow(
        clippy::disallowed_methods,
        reason = "it opens only a file that it makes, which nobody has locked"
    )]
    let made = file_system::ask_private(OpenOptions::new().write(true).create_new(true)).open(path);
    match made {
        Ok(file) => {
            file_system::set_private(&file).map_err(|error| io_error(path, "cannot make it private", &error))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check_existing(path),
        Err(error) => Err(io_error(path, "cannot make it", &error)),
    }
}

fn check_existing(path: &Path) -> Result<(), OpenError> {
    let found = std::fs::symlink_metadata(path).map_err(|error| io_error(path, "cannot see it", &error))?;
    let refuse = |why: &str| Err(OpenError::Unwritable { path: path.to_owned(), why: why.to_owned() });
    if found.is_symlink() {
        refuse("it is a symbolic link, and only a regular file is allowed")
    } else if !found.is_file() {
        refuse("it is not a regular file")
    } else if file_system::is_other_users(&found) {
        refuse("it belongs to another user, and only a file of the process's user is allowed")
    } else {
        Ok(())
    }
}

fn io_error(path: &Path, what: &str, error: &std::io::Error) -> OpenError {
    let (path, why) = (path.to_owned(), format!("{what}: {error}"));
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full { path, why },
        _ if file_system::is_transient(error) => OpenError::Transient { path, why },
        _ => OpenError::Unwritable { path, why },
    }
}

/// Returns the path of a sibling: for `shop.db` and `label` it is `shop.label.db`.
pub(crate) fn sibling(path: &Path, label: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    name.push(label);
    name.push(".");
    name.push(path.extension().unwrap_or(OsStr::new("db")));
    path.with_file_name(name)
}

/// Returns the path with a suffix appended to its last component, as SQLite names its own files.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns true if the file's extension is that of a database. A file that is not a database at all then counts as a
/// damaged store, and otherwise as a file that the user keeps there.
pub(crate) fn has_database_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["db", "db3", "sqlite", "sqlite3"].iter().any(|known| extension == *known)
}

/// Renames a damaged file, and its log with it, to `<name>.corrupt-<now>`. Nothing is deleted. Returns the new path, or
/// `None` if the damaged file is not there any more, because another process may have moved it a moment earlier.
pub(crate) fn quarantine(path: &Path, damaged: Identity, now_ns: i64) -> Result<Option<PathBuf>, OpenError> {
    let aside = with_suffix(path, &format!(".corrupt-{now_ns}"));
    if read_state(path).is_none_or(|state| state.identity != damaged) {
        return Ok(None);
    }
    if quarantined_count(path) >= QUARANTINED_MAX {
        let why = format!(
            "{QUARANTINED_MAX} damaged stores lie beside it, which is the most that are kept: remove some"
        );
        return Err(OpenError::Unwritable { path: path.to_owned(), why });
    }
    std::fs::rename(path, &aside)
        .map_err(|error| io_error(path, "cannot set the damaged file aside", &error))?;
    if read_state(&aside).is_some_and(|state| state.identity != damaged) {
        // Another process put a new store there just before the rename. That store gets its name back, unless another
        // file has taken the name meanwhile (a link never replaces a file).
        if std::fs::hard_link(&aside, path).is_ok() {
            let _ = std::fs::remove_file(&aside);
        }
        return Ok(None);
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        // Most of these files are missing, and an error changes nothing: the database itself is moved.
        let _ = std::fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix));
    }
    Ok(Some(aside))
}

/// Returns the sentence that reports a file that was set aside.
pub(crate) fn describe_quarantine(path: &Path, why: &str, aside: &Path) -> String {
    format!("{} was damaged ({why}): set aside as {}", path.display(), aside.display())
}

/// Returns true if no file can be made in the folder. It is called only after SQLite could not make its own files.
pub(crate) fn refuses_files(folder: &Path) -> bool {
    let probe = folder.join(format!(".monitor-probe-{}", std::process::id()));
    #[allow(clippy::disallowed_methods, reason = "the file is not a store")]
    match file_system::ask_private(OpenOptions::new().write(true).create_new(true)).open(&probe) {
        Ok(_) => {
            let _ = std::fs::remove_file(&probe);
            false
        }
        Err(error) => matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem),
    }
}

fn quarantined_count(path: &Path) -> usize {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".corrupt-");
    let prefix = prefix.as_encoded_bytes();
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return 0 };
    let is_quarantined = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(prefix) && name[prefix.len()..].iter().all(u8::is_ascii_digit)
    };
    entries.flatten().filter(|entry| is_quarantined(&entry.file_name())).count()
}
