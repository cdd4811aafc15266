//! The index of a write-ahead log: memory that all connections to a database share through the file `-shm`, and the locks
//! on it.
//!
//! Takes regions to be mapped and locks to be set; gives memory, or the result code for SQLite. The bytes of the locks are
//! those that every SQLite uses. Memory stays mapped until the index is closed, whatever becomes of the descriptor.
#![allow(unsafe_code, reason = "mapping a file has no safe counterpart in the standard library")]
#![allow(
    clippy::disallowed_methods,
    reason = "the file is locked as an open file, whose locks no other descriptor drops"
)]

use std::ffi::{c_int, c_void};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::ffi;

use super::TAKEN;
use super::locks::{self, Lock};
use crate::platform::descriptor::KnownFile;

/// The place of the first of SQLite's eight locks on an index.
const FIRST_LOCK: i64 = 120;
const LOCKS: c_int = 8;
/// Every connection holds a shared lock on this byte. A connection that finds no lock of another one begins the index
/// anew.
const ALIVE: (i64, i64) = (FIRST_LOCK + 8, 1);
/// The size, in bytes, to which an index is cut before it is built anew.
const BEGUN_BYTES: u64 = 3;
/// The smallest page of a file system: one byte of each is written, so that a full disk is an error and not a signal.
const DISK_PAGE: u64 = 4096;

/// The open index of one connection.
#[derive(Debug)]
pub(super) struct Index {
    file: KnownFile,
    path: PathBuf,
    /// Mapped memory, each piece with its size in bytes.
    pieces: Vec<(*mut c_void, usize)>,
    /// The locks that this connection shares, and those that it holds alone, a bit each.
    shared: u16,
    alone: u16,
}

impl Index {
    /// Opens the index of a database, or makes it with the rights given.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn open(path: PathBuf, mode: u32) -> Result<Self, c_int> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .and_then(KnownFile::new)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EACCES | libc::EPERM | libc::EROFS) => ffi::SQLITE_READONLY,
                _ => ffi::SQLITE_CANTOPEN,
            })?;
        let index = Self { file, path, pieces: Vec::new(), shared: 0, alone: 0 };
        index.join()?;
        Ok(index)
    }

    /// Shows that this connection uses the index, which is begun anew if nobody else does.
    fn join(&self) -> Result<(), c_int> {
        let (file, _) = self.file.get().ok_or(TAKEN)?;
        match locks::find_other(file, ALIVE).ok_or(ffi::SQLITE_IOERR_LOCK)? {
            Lock::None => {
                locks::set(file, Lock::Alone, ALIVE)?;
                file.set_len(BEGUN_BYTES).map_err(|_| ffi::SQLITE_IOERR_SHMOPEN)?;
            }
            Lock::Alone => return Err(ffi::SQLITE_BUSY),
            Lock::Shared => {}
        }
        locks::set(file, Lock::Shared, ALIVE)
    }

    /// Returns the address of a region of this many bytes; null if the file is not that long and is not to be made longer.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn map(&mut self, region: usize, bytes: usize, extend: bool) -> Result<*mut c_void, c_int> {
        let piece_bytes = bytes.next_multiple_of(crate::platform::process::page_bytes());
        let regions_a_piece = piece_bytes / bytes;
        let (piece, within) = (region / regions_a_piece, region % regions_a_piece * bytes);
        while self.pieces.len() <= piece {
            let (file, found) = self.file.get().ok_or(TAKEN)?;
            let start = (self.pieces.len() * piece_bytes) as u64;
            let end = start + piece_bytes as u64;
            if found.len() < end {
                if !extend {
                    return Ok(std::ptr::null_mut());
                }
                lengthen(file, found.len(), end)?;
            }
            self.pieces.push((map(file, start, piece_bytes)?, piece_bytes));
        }
        let start = self.pieces.get(piece).map_or(std::ptr::null_mut(), |(start, _)| *start);
        // The region lies within the piece, so the sum is an address of the same memory.
        Ok(start.wrapping_byte_add(within))
    }

    /// Sets or releases locks, from the first on.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn lock(&mut self, first: c_int, count: c_int, flags: c_int) -> Result<(), c_int> {
        if first < 0 || count < 1 || first + count > LOCKS {
            return Err(ffi::SQLITE_MISUSE);
        }
        let mask = ((1_u16 << count) - 1) << first;
        let range = (FIRST_LOCK + i64::from(first), i64::from(count));
        let (file, _) = self.file.get().ok_or(TAKEN)?;
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            locks::set(file, Lock::None, range)?;
            self.shared &= !mask;
            self.alone &= !mask;
        } else if flags & ffi::SQLITE_SHM_SHARED != 0 {
            if self.alone & mask != 0 {
                return Err(ffi::SQLITE_BUSY);
            }
            locks::set(file, Lock::Shared, range)?;
            self.shared |= mask;
        } else {
            // SQLite relies on this refusal: a connection that reads a part of the log does not let itself overwrite it.
            if (self.shared | self.alone) & mask != 0 {
                return Err(ffi::SQLITE_BUSY);
            }
            locks::set(file, Lock::Alone, range)?;
            self.alone |= mask;
        }
        Ok(())
    }

    /// Closes the index, and removes the file if nobody else can use it.
    pub(super) fn close(self, remove: bool) {
        if remove && self.file.is_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        for (start, bytes) in self.pieces.drain(..) {
            // SAFETY: the memory was mapped by `map` with this size, and SQLite uses it only while the index is open.
            unsafe { libc::munmap(start, bytes) };
        }
    }
}

/// Makes the file longer. Each of its new pages is written, because a page that the disk cannot supply would end the
/// process when it is touched.
fn lengthen(file: &File, from: u64, to: u64) -> Result<(), c_int> {
    for page in from / DISK_PAGE..to / DISK_PAGE {
        file.write_all_at(&[0], (page + 1) * DISK_PAGE - 1).map_err(|_| ffi::SQLITE_IOERR_SHMSIZE)?;
    }
    Ok(())
}

fn map(file: &File, start: u64, bytes: usize) -> Result<*mut c_void, c_int> {
    let start = libc::off_t::try_from(start).map_err(|_| ffi::SQLITE_IOERR_SHMMAP)?;
    // SAFETY: the kernel chooses the address of the new mapping, so nothing of ours lies there.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            start,
        )
    };
    if memory == libc::MAP_FAILED { Err(ffi::SQLITE_IOERR_SHMMAP) } else { Ok(memory) }
}

/// Returns the path of the index of a database.
pub(super) fn path_for(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}
