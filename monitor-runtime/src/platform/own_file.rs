//! Files of this user that other processes of the same user may have open at the same time.
//!
//! Takes paths and open files; gives files that no link leads to and that no other user owns, reads and writes at their
//! places, and locks. Nothing here waits. The file does not know what the files hold.
#![allow(unsafe_code, reason = "the lock of an open file is a call into the C library")]
#![allow(clippy::disallowed_methods, reason = "these files are no store's files")]

use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::system::effective_user;

/// Opens a file of this user's for reading. Links are not followed.
pub(crate) fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(path).ok()?;
    let found = file.metadata().ok()?;
    (found.is_file() && is_own(&found)).then_some(file)
}

/// Opens a file for writing. Links are not followed.
pub(crate) fn open_to_write(path: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(FLAGS).open(path).ok()
}

const FLAGS: libc::c_int = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;

/// Returns true for a file of this user's.
pub(crate) fn is_own(found: &Metadata) -> bool {
    found.uid() == effective_user()
}

/// Fills `bytes` from the offset `at` of a file. Returns false if the file is too short or cannot be read.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> bool {
    file.read_exact_at(bytes, at).is_ok()
}

/// Writes all bytes at the offset `at` of a file. Returns false if they cannot be written.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> bool {
    file.write_all_at(bytes, at).is_ok()
}

/// Returns the bytes that a file occupies on its file system.
pub(crate) fn taken_bytes(_: &Path, found: &Metadata) -> u64 {
    found.blocks() * BLOCK_BYTES
}

/// The unit in which a file system counts the room of a file.
const BLOCK_BYTES: u64 = 512;

/// Returns the time of the last change of a file, in seconds since the Unix epoch.
pub(crate) fn changed_secs(found: &Metadata) -> i64 {
    found.mtime()
}

/// Locks a file against everybody else who locks it, until it is closed.
///
/// # Errors
/// When somebody else has locked it.
pub(crate) fn lock(file: &File) -> std::io::Result<()> {
    // SAFETY: takes a descriptor that is open and a constant.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
