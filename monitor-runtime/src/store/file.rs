//! The store's file as a file: making it privately, telling it from another that took its place,
//! naming its siblings, setting it aside. Paths go in, paths and identities come out.
//!
//! An existing store is only ever opened by SQLite: closing a descriptor of our own would drop the
//! locks that SQLite holds on the file in this process. So everything here goes by name.

use super::error::OpenError;
use crate::platform::file_system;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Damaged files kept beside a store. A disk that damages one file after the other is not written to for ever.
const SET_ASIDE_MAX: usize = 8;

/// Which file lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// A file at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) identity: Identity,
    pub(crate) bytes: u64,
    /// Last change of the content, ns since the Unix epoch.
    pub(crate) changed_ns: i128,
}

/// Looks at a file without opening it; `None` where there is none or it cannot be seen.
pub(crate) fn look(path: &Path) -> Option<Sight> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(Sight {
        identity: Identity { device: found.dev(), inode: found.ino() },
        bytes: found.len(),
        changed_ns: i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()),
    })
}

/// The path made absolute, links in its folders resolved and the folder made (0700) where it is
/// missing. The last component is left as it is: a link there is refused when it is opened.
pub(crate) fn settle(path: &Path) -> Result<PathBuf, OpenError> {
    let refuse = |why: String| OpenError::Unwritable { path: path.to_owned(), why };
    let name = path.file_name().ok_or_else(|| refuse("it names no file".to_owned()))?;
    let absolute = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
    let folder = absolute.parent().ok_or_else(|| refuse("it has no folder".to_owned()))?;
    make_folder(folder).map_err(|error| io(path, "cannot make its folder", &error))?;
    let folder = folder.canonicalize().map_err(|error| io(path, "cannot find its folder", &error))?;
    Ok(folder.join(name))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // The umask may have taken even the owner's rights.
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Makes an empty file (0600) where there is none, and checks what lies there otherwise: a regular
/// file, not a link, of our own user.
pub(crate) fn make(path: &Path) -> Result<(), OpenError> {
    #[allow(clippy::disallowed_methods, reason = "it opens only what it makes, which nobody has locked")]
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
    match made {
        // The umask may have taken even the owner's rights.
        Ok(file) => file
            .set_permissions(Permissions::from_mode(0o600))
            .map_err(|error| io(path, "cannot make it private", &error)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(path),
        Err(error) => Err(io(path, "cannot make it", &error)),
    }
}

fn check(path: &Path) -> Result<(), OpenError> {
    let found = std::fs::symlink_metadata(path).map_err(|error| io(path, "cannot see it", &error))?;
    let refuse = |why: &str| Err(OpenError::Unwritable { path: path.to_owned(), why: why.to_owned() });
    if found.is_symlink() {
        refuse("it is a symbolic link")
    } else if !found.is_file() {
        refuse("it is not a regular file")
    } else if found.uid() != file_system::effective_user() {
        refuse("it belongs to another user")
    } else {
        Ok(())
    }
}

fn io(path: &Path, what: &str, error: &std::io::Error) -> OpenError {
    let (path, why) = (path.to_owned(), format!("{what}: {error}"));
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full { path, why },
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EIO | libc::EINTR)) => {
            OpenError::Transient { path, why }
        }
        _ => OpenError::Unwritable { path, why },
    }
}

/// `shop.db` beside which `label` goes: `shop.label.db`.
pub(crate) fn sibling(path: &Path, label: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    name.push(label);
    name.push(".");
    name.push(path.extension().unwrap_or(OsStr::new("db")));
    path.with_file_name(name)
}

/// The path with something appended to its last component, as SQLite names its own files.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether a file that is not a database at all is to be taken for a damaged store rather than for
/// something else the user keeps there: by its name.
pub(crate) fn named_as_database(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["db", "db3", "sqlite", "sqlite3"].iter().any(|known| extension == *known)
}

/// Renames a damaged file, and its log with it, to `<name>.corrupt-<now>`; nothing is deleted. Another
/// process may have done it a moment earlier: only the file seen damaged is moved, and `None` says that
/// it does not lie there any more.
pub(crate) fn set_aside(path: &Path, damaged: Identity, now_ns: i64) -> Result<Option<PathBuf>, OpenError> {
    let aside = beside(path, &format!(".corrupt-{now_ns}"));
    if look(path).is_none_or(|sight| sight.identity != damaged) {
        return Ok(None);
    }
    if set_aside_count(path) >= SET_ASIDE_MAX {
        let why = format!("{SET_ASIDE_MAX} damaged stores lie there already");
        return Err(OpenError::Unwritable { path: path.to_owned(), why });
    }
    std::fs::rename(path, &aside).map_err(|error| io(path, "cannot set the damaged file aside", &error))?;
    if look(&aside).is_some_and(|sight| sight.identity != damaged) {
        // Between look and rename another process put a new store there: it gets its name back,
        // unless yet another has taken the name (a link never replaces a file).
        if std::fs::hard_link(&aside, path).is_ok() {
            let _ = std::fs::remove_file(&aside);
        }
        return Ok(None);
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        // Missing files are the rule here, and the database itself is out of the way.
        let _ = std::fs::rename(beside(path, suffix), beside(&aside, suffix));
    }
    Ok(Some(aside))
}

/// Whether files can be made in a folder; asked only after SQLite could not make its own.
pub(crate) fn refuses_files(folder: &Path) -> bool {
    let probe = folder.join(format!(".monitor-probe-{}", std::process::id()));
    #[allow(clippy::disallowed_methods, reason = "it is not a store's file")]
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe) {
        Ok(_) => {
            let _ = std::fs::remove_file(&probe);
            false
        }
        Err(error) => matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem),
    }
}

fn set_aside_count(path: &Path) -> usize {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".corrupt-");
    let prefix = prefix.as_encoded_bytes();
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return 0 };
    let ours = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(prefix) && name[prefix.len()..].iter().all(u8::is_ascii_digit)
    };
    entries.flatten().filter(|entry| ours(&entry.file_name())).count()
}
