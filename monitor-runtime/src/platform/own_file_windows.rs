//! Files of this user that other processes of the same user may have open at the same time.
//!
//! Takes paths and open files; gives files that no link leads to, reads and writes at their places, and locks. The
//! rights of the folder say whose its files are. Nothing here waits. The file does not know what the files hold.
#![allow(unsafe_code, reason = "calls into the system's library")]
#![allow(clippy::disallowed_methods, reason = "these files are no store's files")]

use std::ffi::c_void;
use std::fs::{File, Metadata, OpenOptions};
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::windows::io::AsRawHandle as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The offset of a lock in its file (`OVERLAPPED`).
#[repr(C)]
struct Overlapped {
    internal: [usize; 2],
    offset_low: u32,
    offset_high: u32,
    event: *mut c_void,
}

#[repr(C)]
#[derive(Default)]
struct StandardInformation {
    allocated: i64,
    end: i64,
    links: u32,
    is_deleted: u8,
    is_folder: u8,
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn LockFileEx(
        file: *mut c_void,
        flags: u32,
        reserved: u32,
        bytes_low: u32,
        bytes_high: u32,
        place: *mut Overlapped,
    ) -> i32;
    fn GetFileInformationByHandleEx(
        file: *mut c_void,
        class: u32,
        information: *mut c_void,
        bytes: u32,
    ) -> i32;
}

/// Opens a link itself instead of what it leads to.
const LINK_ITSELF: u32 = 0x0020_0000;
/// Fails at once if somebody else holds the lock, and locks against everybody else.
const EXCLUSIVE_NONBLOCKING: u32 = 3;
/// The upper half of the place of the lock. It lies far behind the end of any file, because a locked part cannot be read.
const LOCK_AT_HIGH: u32 = 1 << 30;
/// The number of [`StandardInformation`].
const STANDARD_INFORMATION: u32 = 1;

/// Opens a file for reading. Links are not followed.
pub(crate) fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(LINK_ITSELF).open(path).ok()?;
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

/// Opens a file for writing. Links are not followed.
pub(crate) fn open_to_write(path: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(LINK_ITSELF).open(path).ok()
}

/// Returns true for a file of this user's, as all files in a folder of this user's are.
pub(crate) fn is_own(_: &Metadata) -> bool {
    true
}

/// Fills `bytes` from the offset `at` of a file. Returns false if the file is too short or cannot be read.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        match file.seek_read(&mut bytes[done..], at.saturating_add(done as u64)) {
            Ok(read) if read > 0 => done += read,
            _ => return false,
        }
    }
    true
}

/// Writes all bytes at the offset `at` of a file. Returns false if they cannot be written.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        match file.seek_write(&bytes[done..], at.saturating_add(done as u64)) {
            Ok(written) if written > 0 => done += written,
            _ => return false,
        }
    }
    true
}

/// Returns the bytes that a file takes on its disk.
pub(crate) fn taken_bytes(path: &Path, found: &Metadata) -> u64 {
    let Some(file) = open(path) else { return found.len() };
    let mut answer = StandardInformation::default();
    let bytes = size_of::<StandardInformation>() as u32;
    // SAFETY: the file is open, and the structure is valid for writing and has the stated size.
    let result = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            STANDARD_INFORMATION,
            (&raw mut answer).cast(),
            bytes,
        )
    };
    if result == 0 { found.len() } else { u64::try_from(answer.allocated).unwrap_or(0) }
}

/// Returns the time of the last change of a file, in seconds since the Unix epoch.
pub(crate) fn changed_secs(found: &Metadata) -> i64 {
    let since = found.modified().ok().and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}

/// Locks a file against everybody else who locks it, until it is closed.
///
/// # Errors
/// When somebody else has locked it.
pub(crate) fn lock(file: &File) -> std::io::Result<()> {
    let event = std::ptr::null_mut();
    let mut place = Overlapped { internal: [0; 2], offset_low: 0, offset_high: LOCK_AT_HIGH, event };
    // SAFETY: the file is open, and the place is valid and is not used after the call, which does not wait.
    match unsafe { LockFileEx(file.as_raw_handle(), EXCLUSIVE_NONBLOCKING, 0, 1, 0, &raw mut place) } {
        0 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}
