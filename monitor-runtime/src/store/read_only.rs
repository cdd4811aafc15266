//! Asks SQLite if a database may only be read.
//!
//! Takes a connection; gives true for a database that no statement can write. `Connection::is_readonly` gives the same,
//! but its argument has another type in older versions of rusqlite, and this package builds with all of them. The file
//! does not know why a database may only be read.
#![allow(unsafe_code, reason = "rusqlite has no method for this question that all of its versions share")]

use rusqlite::{Connection, ffi};

/// Returns true if the connection's database may only be read.
pub(super) fn is_read_only(connection: &Connection) -> bool {
    // SAFETY: the handle is that of an open connection, which is used for one call and not kept.
    let handle = unsafe { connection.handle() };
    // SAFETY: the handle is open, because the connection is borrowed, and the name ends with a zero byte.
    let answer = unsafe { ffi::sqlite3_db_readonly(handle, c"main".as_ptr()) };
    answer == 1
}
