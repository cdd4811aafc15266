//! Tells the kind and the free space of a file system, and the user that files are opened as.
//!
//! Takes a folder; gives the answer of `statfs`. The crate `nix` would save the few lines of `unsafe`, but not
//! the table of magic numbers, and it is large.

#![allow(unsafe_code, reason = "statfs and geteuid have no safe counterpart in the standard library")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The kind of a file system: whether processes share memory through its files, which SQLite's write-ahead log
/// needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A local one: processes of this machine share the memory of a file.
    Local,
    /// A network, FUSE, overlay or unknown one: the rollback journal is used instead.
    Shared,
}

#[cfg(target_os = "linux")]
const TMPFS: u64 = 0x0102_1994;

/// File systems on which a write-ahead log is safe, by the numbers of `linux/magic.h`.
#[cfg(target_os = "linux")]
const LOCAL: &[u64] = &[
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x2fc1_2fc1, // ZFS
    0xf2f5_2010, // F2FS
    TMPFS,       // tmpfs
    0x8584_58f6, // ramfs
    0xca45_1a4e, // bcachefs
    0x3153_464a, // JFS
    0x0000_4d44, // FAT
    0x2011_bab0, // exFAT
];

/// The questions that the store puts to the disk. Tests bring their own answers.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// Returns the kind of file system that holds a folder.
    pub file_system: fn(&Path) -> FileSystem,
    /// Returns the bytes that may still be written there, if that is known.
    pub free_bytes: fn(&Path) -> Option<u64>,
}

impl Default for System {
    fn default() -> Self {
        Self { file_system, free_bytes }
    }
}

fn file_system(folder: &Path) -> FileSystem {
    match statfs(folder) {
        Some(answer) if is_local(&answer) => FileSystem::Local,
        _ => FileSystem::Shared,
    }
}

// The fields' types differ between targets.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "block sizes are positive and small"
)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let answer = statfs(folder)?;
    Some((answer.f_bavail as u64).saturating_mul(answer.f_bsize as u64))
}

#[cfg(target_os = "linux")]
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "a magic number of 32 bits, not a quantity"
)]
fn magic_number(answer: &libc::statfs) -> u64 {
    answer.f_type as u64 & 0xffff_ffff
}

#[cfg(target_os = "linux")]
fn is_local(answer: &libc::statfs) -> bool {
    LOCAL.contains(&magic_number(answer))
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
pub(crate) fn claim_own_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    let name = folder.file_name().unwrap_or_default().as_bytes();
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

/// Returns whether the files in this folder are memory. On a disk, the kernel would write a mapped ring back
/// all the time.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        statfs(folder).is_some_and(|answer| magic_number(&answer) == TMPFS)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        false
    }
}

#[cfg(not(target_os = "linux"))]
fn is_local(answer: &libc::statfs) -> bool {
    answer.f_flags as u64 & libc::MNT_LOCAL as u64 != 0
}

fn statfs(folder: &Path) -> Option<libc::statfs> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends in NUL and lives through the call; `answer` is as large as the call writes.
    let failed = unsafe { libc::statfs(path.as_ptr(), answer.as_mut_ptr()) } != 0;
    if failed {
        return None;
    }
    // SAFETY: `statfs` returned 0, so it filled the struct; any bits are valid in it.
    Some(unsafe { answer.assume_init() })
}

/// Returns true if this user may write a file, and its file system allows it.
pub(crate) fn is_writable(file: &Path) -> bool {
    let Ok(path) = CString::new(file.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path ends with a null, and nothing is written to.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// Returns the user that files are opened as.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing, returns a number, cannot fail.
    unsafe { libc::geteuid() }
}
