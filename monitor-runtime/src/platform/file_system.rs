//! Reports the kind and the free space of a file system, and the user that files are opened as.
//!
//! Takes a folder or a file; gives the answers of the system.

use std::path::{Path, PathBuf};

use super::system;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use super::system::is_in_memory;
pub(crate) use super::system::{
    ask_private, ask_without_waiting, effective_user, file_number, is_other_users, is_transient, is_writable,
    make_private_folder, read_identity, set_private, state_folder,
};
#[cfg(windows)]
pub(crate) use super::system::{free_bytes, is_local};

/// The kind of a file system: whether processes share memory through its files, which SQLite's write-ahead log
/// needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A local file system: processes of this machine share the memory of a file.
    Local,
    /// A network, FUSE, overlay or unknown one: the rollback journal is used instead.
    Shared,
}

/// The identity of a file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Returns two numbers that distinguish a file from all others of this machine, whatever its name. A link is a file of
/// its own.
#[must_use]
pub fn file_identity(path: &Path) -> Option<(u64, u64)> {
    read_identity(path).map(|Identity { device, inode }| (device, inode))
}

/// Returns an absolute path with all links resolved, as people write it.
///
/// # Errors
/// An error of the system if there is no such file, or if it cannot be seen.
pub fn resolve_links(path: &Path) -> std::io::Result<PathBuf> {
    let resolved = path.canonicalize()?;
    // Windows gives a form that turns off the rules for paths, which shorter paths do without.
    let usual = resolved.to_str().filter(|text| cfg!(windows) && text.len() < USUAL_PATH_BYTES_MAX);
    let usual = usual
        .and_then(|text| text.strip_prefix(r"\\?\"))
        .filter(|text| text.as_bytes().get(1) == Some(&b':'));
    Ok(usual.map_or_else(|| resolved.clone(), PathBuf::from))
}

/// The longest path that Windows takes in its usual form.
const USUAL_PATH_BYTES_MAX: usize = 248;

/// The questions that the store puts to the disk. Tests bring their own answers.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// Returns the kind of file system that holds a folder.
    pub file_system: fn(&Path) -> FileSystem,
    /// Returns the bytes that may still be written in a folder, if they are known.
    pub free_bytes: fn(&Path) -> Option<u64>,
}

impl Default for System {
    fn default() -> Self {
        Self { file_system, free_bytes: system::free_bytes }
    }
}

fn file_system(folder: &Path) -> FileSystem {
    if system::is_local(folder) { FileSystem::Local } else { FileSystem::Shared }
}

/// Returns a path of the bytes that `as_encoded_bytes` gave, perhaps in another process.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        std::ffi::OsStr::from_bytes(bytes).into()
    }
    #[cfg(not(unix))]
    {
        String::from_utf8_lossy(bytes).into_owned().into()
    }
}

/// Returns this user's own folder within one that all users share.
pub(crate) fn own_folder(shared: &Path) -> PathBuf {
    shared.join(format!("{OWN_FOLDER}{}", effective_user()))
}

/// The name of a user's own folder, before the user's number.
const OWN_FOLDER: &str = "monitored-";

/// Makes a user's own folder (0700) if it is missing. A folder of another name is left as it is.
///
/// # Errors
/// The reason why the folder is not this user's own: another user was there first.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn claim_own_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
    let number = name.strip_prefix(OWN_FOLDER.as_bytes());
    if !number.is_some_and(|number| number.iter().all(u8::is_ascii_digit)) {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", folder.display());
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != effective_user() {
        return Err(format!("{} belongs to another user", folder.display()));
    }
    if found.mode() & 0o777 != 0o700 {
        // The umask may have removed the owner's permissions, or somebody has let others in.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}
