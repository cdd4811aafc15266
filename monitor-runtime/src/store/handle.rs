//! The calls of SQLite for which rusqlite has no method.
//!
//! Takes a connection; gives it without the hooks of the program, and tells if its database may only be read. A program
//! can make SQLite run a function of its own on each new connection of the process (`sqlite3_auto_extension`), and so
//! on ours too. The program's functions, collations and virtual tables stay, because no statement of ours uses them.
//! The file does not know why a database may only be read.
#![allow(unsafe_code, reason = "rusqlite has no method for these calls that all of its versions share")]

use std::ptr::null_mut;

use rusqlite::{Connection, ffi};

/// The statements that reset settings to SQLite's defaults, because other values would change the effect of our
/// statements.
const PLAIN: &str = "PRAGMA query_only = OFF; PRAGMA locking_mode = NORMAL; PRAGMA ignore_check_constraints = OFF; \
    PRAGMA read_uncommitted = OFF; PRAGMA reverse_unordered_selects = OFF; PRAGMA recursive_triggers = OFF";

/// Removes all hooks from a connection that was opened just now, and resets its settings to SQLite's defaults. rusqlite
/// removes only hooks that it has set itself.
pub(super) fn remove_hooks(connection: &Connection) -> rusqlite::Result<()> {
    // SAFETY: the handle is that of an open connection, which nobody else uses yet.
    let handle = unsafe { connection.handle() };
    // SAFETY: as above; without a function each of these calls removes what was set.
    unsafe { ffi::sqlite3_set_authorizer(handle, None, null_mut()) };
    // SAFETY: as above.
    unsafe { ffi::sqlite3_commit_hook(handle, None, null_mut()) };
    // SAFETY: as above.
    unsafe { ffi::sqlite3_rollback_hook(handle, None, null_mut()) };
    // SAFETY: as above.
    unsafe { ffi::sqlite3_update_hook(handle, None, null_mut()) };
    // SAFETY: as above.
    unsafe { ffi::sqlite3_trace_v2(handle, 0, None, null_mut()) };
    // SAFETY: as above.
    unsafe { ffi::sqlite3_progress_handler(handle, 0, None, null_mut()) };
    connection.execute_batch(PLAIN)
}

/// Returns true if no statement can write the connection's database. `Connection::is_readonly` gives the same, but its
/// argument has another type in older versions of rusqlite, and this package builds with all of them.
pub(super) fn is_read_only(connection: &Connection) -> bool {
    // SAFETY: the handle is that of an open connection, which is used for one call and not kept.
    let handle = unsafe { connection.handle() };
    // SAFETY: the handle is open, because the connection is borrowed, and the name ends with a zero byte.
    let answer = unsafe { ffi::sqlite3_db_readonly(handle, c"main".as_ptr()) };
    answer == 1
}
