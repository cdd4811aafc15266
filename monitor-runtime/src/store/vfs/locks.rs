//! Locks on bytes of an open file, and SQLite's five states of a database made of them.
//!
//! The bytes are those that every SQLite uses, so other processes see these locks. Takes an open file and a state; gives
//! the state, or the result code for SQLite.
#![allow(unsafe_code, reason = "locks of open files have no safe counterpart in the standard library")]

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use rusqlite::ffi::{
    self, SQLITE_LOCK_EXCLUSIVE, SQLITE_LOCK_NONE, SQLITE_LOCK_RESERVED, SQLITE_LOCK_SHARED,
};

/// A writer that waits for readers to end holds this byte.
const PENDING: i64 = 0x4000_0000;
/// A writer that still lets readers in holds this byte.
const RESERVED: i64 = PENDING + 1;
/// Readers share these bytes, and a writer that writes to the database holds them alone.
const SHARED: (i64, i64) = (PENDING + 2, 510);
const SQLITE_LOCK_PENDING: c_int = 3;

/// A kind of lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Shared,
    Alone,
    None,
}

impl Lock {
    fn kind(self) -> c_int {
        match self {
            Self::Shared => libc::F_RDLCK,
            Self::Alone => libc::F_WRLCK,
            Self::None => libc::F_UNLCK,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "three small constants")]
fn describe(lock: Lock, (start, length): (i64, i64)) -> libc::flock {
    // SAFETY: an all-zero description is valid; the owner has to be 0 for locks of open files.
    let mut described: libc::flock = unsafe { std::mem::zeroed() };
    described.l_type = lock.kind() as libc::c_short;
    described.l_whence = libc::SEEK_SET as libc::c_short;
    described.l_start = start;
    described.l_len = length;
    described
}

/// Sets a lock on a range of bytes, a start and a length, without waiting for it.
///
/// # Errors
/// SQLite's result code, which is `SQLITE_BUSY` if another open file holds a conflicting lock.
pub(super) fn set(file: &File, lock: Lock, range: (i64, i64)) -> Result<(), c_int> {
    let described = describe(lock, range);
    // SAFETY: takes an open descriptor and a valid description.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const described) } == 0 {
        return Ok(());
    }
    Err(match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EACCES | libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ENOLCK | libc::ETIMEDOUT) => {
            ffi::SQLITE_BUSY
        }
        Some(libc::EPERM) => ffi::SQLITE_PERM,
        _ => ffi::SQLITE_IOERR_LOCK,
    })
}

/// Returns the lock of another open file that conflicts with an exclusive lock on the range, or [`Lock::None`] if there
/// is none; `None` if the system does not report it.
pub(super) fn find_other(file: &File, range: (i64, i64)) -> Option<Lock> {
    let mut described = describe(Lock::Alone, range);
    // SAFETY: takes an open descriptor and a valid description, which is filled.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut described) } != 0 {
        return None;
    }
    Some(match c_int::from(described.l_type) {
        libc::F_RDLCK => Lock::Shared,
        libc::F_WRLCK => Lock::Alone,
        _ => Lock::None,
    })
}

/// Raises the state of a database. `level` is left at the state that was reached.
///
/// # Errors
/// SQLite's result code.
pub(super) fn raise(file: &File, level: &mut c_int, wanted: c_int) -> Result<(), c_int> {
    if *level >= wanted {
        return Ok(());
    }
    match wanted {
        SQLITE_LOCK_SHARED => {
            set(file, Lock::Shared, (PENDING, 1))?;
            let shared = set(file, Lock::Shared, SHARED);
            let released = set(file, Lock::None, (PENDING, 1));
            if shared.is_ok() && released.is_err() {
                let _ = set(file, Lock::None, SHARED);
            }
            shared.and(released)?;
        }
        SQLITE_LOCK_RESERVED => set(file, Lock::Alone, (RESERVED, 1))?,
        _ => {
            if *level < SQLITE_LOCK_PENDING {
                set(file, Lock::Alone, (PENDING, 1))?;
                *level = SQLITE_LOCK_PENDING;
            }
            if wanted == SQLITE_LOCK_EXCLUSIVE {
                set(file, Lock::Alone, SHARED)?;
            }
        }
    }
    *level = wanted;
    Ok(())
}

/// Lowers the state of a database to shared or none.
///
/// # Errors
/// SQLite's result code.
pub(super) fn lower(file: &File, level: &mut c_int, wanted: c_int) -> Result<(), c_int> {
    if *level <= wanted {
        return Ok(());
    }
    if wanted == SQLITE_LOCK_NONE {
        set(file, Lock::None, (0, 0)).map_err(|_| ffi::SQLITE_IOERR_UNLOCK)?;
    } else {
        set(file, Lock::Shared, SHARED).map_err(|_| ffi::SQLITE_IOERR_RDLOCK)?;
        set(file, Lock::None, (PENDING, 2)).map_err(|_| ffi::SQLITE_IOERR_UNLOCK)?;
    }
    *level = wanted;
    Ok(())
}

/// Returns true if somebody else is about to write to the database.
///
/// # Errors
/// SQLite's result code.
pub(super) fn is_reserved(file: &File) -> Result<bool, c_int> {
    let other = find_other(file, (RESERVED, 1)).ok_or(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
    Ok(other != Lock::None)
}
