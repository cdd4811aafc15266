//! The errors of the store, and the classes of SQLite's errors.
//!
//! Takes an SQLite error; gives its class by one table of result codes. Each variant of an error that callers see is
//! something that the caller can do. The file does not know the content of a store.

use std::fmt;
use std::path::PathBuf;

use crate::growth::MakeRoom as _;

/// The reason for which a store did not take a batch. Each variant is something that the caller can do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the lock: wait. It counts as a failure only after 5 s.
    Busy(String),
    /// There is no room, because the disk is full or the size bound is reached: evict, write less, try again.
    Full(String),
    /// The failure may pass: try again under the breaker.
    Transient(String),
    /// The program has closed a descriptor of the store or put another file in its place: write again, which opens the
    /// store anew.
    Taken(String),
    /// The file is damaged and was moved to this path: write again, which begins a new file.
    SetAside(PathBuf),
    /// Rights are missing, and waiting does not help: go on at another location, in the end in memory.
    Unwritable(String),
    /// The batch itself can never be stored: drop it, count its calls, go on.
    Rejected(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(why) => write!(formatter, "the store is locked by another process: {why}"),
            Self::Full(why) => write!(formatter, "no room in the store: {why}"),
            Self::Transient(why) => write!(formatter, "the store cannot be written: {why}"),
            Self::Taken(why) => write!(formatter, "a descriptor of the store was closed or replaced: {why}"),
            Self::SetAside(path) => {
                write!(formatter, "the store was damaged and set aside as {}", path.display())
            }
            Self::Unwritable(why) => write!(formatter, "the store may not be written: {why}"),
            Self::Rejected(why) => write!(formatter, "the store refuses these rows: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The reason for which a store could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// No file can be made or written there, or the file there and its siblings are not ours: take the next location,
    /// in the end memory.
    Unwritable {
        /// Path of the store.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// Another process holds the lock: try again.
    Busy(PathBuf),
    /// The disk is full, or the size bound of the store is too small: try again later.
    Full {
        /// Path of the store.
        path: PathBuf,
        /// Reason as it was reported.
        why: String,
    },
    /// The failure may pass: try again under the breaker.
    Transient {
        /// Path of the store.
        path: PathBuf,
        /// Reason as it was reported.
        why: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable { path, why } => {
                write!(formatter, "no store can be kept at {}: {why}", path.display())
            }
            Self::Busy(path) => {
                write!(formatter, "the store {} is locked by another process", path.display())
            }
            Self::Full { path, why } => write!(formatter, "no room for the store {}: {why}", path.display()),
            Self::Transient { path, why } => {
                write!(formatter, "the store {} cannot be opened: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::Unwritable { .. } => Self::Unwritable(text),
            OpenError::Busy(_) => Self::Busy(text),
            OpenError::Full { .. } => Self::Full(text),
            OpenError::Transient { .. } => Self::Transient(text),
        }
    }
}

/// The class of an SQLite error: what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Wait. The connection stays.
    Busy,
    /// Evict and write less. The connection stays.
    Full,
    /// Close, open again before the next write, and count a failure.
    Transient,
    /// Leave the connection as it is, open again, and write again at once.
    Taken,
    /// Confirm on a fresh connection, then set the file aside.
    Damaged,
    /// A key that the store gives out itself is there twice: open the file again, and if that does not help, set it
    /// aside.
    Contradicted,
    /// Go on at another location.
    Unwritable,
    /// Drop the batch.
    Rejected,
}

/// The classes of SQLite's result codes, primary or extended. An extended code that is not listed has the class of its
/// primary code (the low byte). A primary code that is not listed is [`Class::Transient`].
const CLASSES: &[(i32, Class)] = &[
    (3, Class::Unwritable),   // PERM
    (5, Class::Busy),         // BUSY
    (6, Class::Busy),         // LOCKED
    (8, Class::Unwritable),   // READONLY
    (1032, Class::Transient), // READONLY_DBMOVED: the next write opens the file that lies there now
    (776, Class::Transient),  // READONLY_ROLLBACK: a hot journal, rolled back on opening
    (super::vfs::TAKEN, Class::Taken),
    (11, Class::Damaged),        // CORRUPT
    (13, Class::Full),           // FULL
    (4874, Class::Full),         // IOERR_SHMSIZE: the -shm file cannot grow
    (1550, Class::Unwritable),   // CANTOPEN_SYMLINK
    (526, Class::Unwritable),    // CANTOPEN_ISDIR
    (18, Class::Rejected),       // TOOBIG
    (1555, Class::Contradicted), // CONSTRAINT_PRIMARYKEY: keys are given out by the store itself
    (2579, Class::Contradicted), // CONSTRAINT_ROWID
    (2067, Class::Contradicted), // CONSTRAINT_UNIQUE
    (19, Class::Rejected),       // CONSTRAINT
    (20, Class::Rejected),       // MISMATCH
    (23, Class::Unwritable),     // AUTH
    (25, Class::Rejected),       // RANGE
    (26, Class::Damaged),        // NOTADB
];

/// Returns the error by which SQLite reports that there is no memory.
pub(crate) fn no_memory() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None)
}

/// Returns the rows of a query in a list. Fails if there is no memory for it.
pub(crate) fn collect_rows<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    let mut all = Vec::new();
    for row in rows {
        if !all.make_room(1) {
            return Err(no_memory());
        }
        all.push(row?);
    }
    Ok(all)
}

/// Returns the class of an error.
pub(crate) fn classify(error: &rusqlite::Error) -> Class {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        // The error is a conversion or a wrong column type, so the connection has another file open than expected.
        return Class::Transient;
    };
    if message.as_deref().is_some_and(|message| message.contains(FORMAT_UNKNOWN)) {
        return Class::Damaged;
    }
    let listed = |code: i32| CLASSES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class);
    listed(failure.extended_code).or_else(|| listed(failure.extended_code & 0xff)).unwrap_or(Class::Transient)
}

/// SQLite's message for a file whose header names an unknown schema format. The error has no code of its own. SQLite
/// has written the same format since 2006, so the header was overwritten.
const FORMAT_UNKNOWN: &str = "unsupported file format";

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn an_extended_code_has_its_own_class_or_that_of_its_primary_code() {
        let expected = [
            (5, Class::Busy),
            (261, Class::Busy), // BUSY_RECOVERY
            (517, Class::Busy), // BUSY_SNAPSHOT
            (13, Class::Full),
            (778, Class::Transient),  // IOERR_WRITE
            (1034, Class::Transient), // IOERR_FSYNC
            (6922, Class::Taken),     // IOERR_VNODE
            (267, Class::Damaged),    // CORRUPT_VTAB
            (26, Class::Damaged),
            (8, Class::Unwritable),
            (1544, Class::Unwritable), // READONLY_DIRECTORY
            (1032, Class::Transient),
            (14, Class::Transient),      // CANTOPEN: no descriptor left
            (2067, Class::Contradicted), // CONSTRAINT_UNIQUE
            (275, Class::Rejected),      // CONSTRAINT_CHECK
            (1, Class::Transient),
        ];
        for (code, class_expected) in expected {
            assert_eq!(classify(&failure(code)), class_expected, "{code}");
        }
        let format = rusqlite::ffi::Error::new(1);
        let format = rusqlite::Error::SqliteFailure(format, Some("unsupported file format".to_owned()));
        assert_eq!(classify(&format), Class::Damaged);
    }
}
