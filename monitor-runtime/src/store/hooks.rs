//! Removes the hooks that a program's automatic extension has attached to a new connection.
//!
//! A program can make SQLite run a function of its own on each new connection of the process
//! (`sqlite3_auto_extension`), and so on ours too. Takes a connection that was opened just now; gives it without the
//! program's hooks. The program's functions, collations and virtual tables stay, because no statement of ours uses
//! them.
#![allow(unsafe_code, reason = "rusqlite removes only hooks that it has set itself")]

use std::ptr::null_mut;

use rusqlite::{Connection, ffi};

/// The statements that reset settings to SQLite's defaults, because other values would change the effect of our
/// statements.
const PLAIN: &str = "PRAGMA query_only = OFF; PRAGMA locking_mode = NORMAL; PRAGMA ignore_check_constraints = OFF; \
    PRAGMA read_uncommitted = OFF; PRAGMA reverse_unordered_selects = OFF; PRAGMA recursive_triggers = OFF";

/// Removes all hooks from a connection that was opened just now, and resets its settings to SQLite's defaults.
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
