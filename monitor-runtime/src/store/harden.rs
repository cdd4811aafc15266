//! Opens and closes connections to files that may have been planted by an attacker.
//!
//! Takes a path; gives a connection through which the file can run nothing in our process. The file does not know what
//! a store is.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::handle::remove_hooks;
use super::vfs;

/// The time for which SQLite waits for another's lock while a store is opened, which takes several locks.
const BUSY_WAIT_OPEN: Duration = Duration::from_millis(10);

/// The largest value or row, in bytes: a hundred times the largest of ours. A query is stopped between two SQLite
/// instructions, and a planted view could otherwise compute a value of a gigabyte within one.
const VALUE_BYTES_MAX: i32 = 64 << 20;

/// Opens a file that exists, and hardens the connection.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // An absolute path is never read as a URI, whatever the library was built to do.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags_and_vfs(path, flags, vfs::name())?;
    connection.busy_timeout(BUSY_WAIT_OPEN)?;
    harden(&connection)?;
    Ok(connection)
}

/// Takes away every means by which the file could run something in our process.
pub(crate) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    remove_hooks(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON")
}

/// Closes a connection whose file is damaged or gone. The log is neither copied into the database nor deleted by name,
/// because another file may have that name by now.
pub(crate) fn abandon(connection: Connection) {
    leave_log(connection);
}

/// Closes a connection and leaves the log as it is.
pub(crate) fn leave_log(connection: Connection) {
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}

/// Returns the number of pages of the database that are not free.
pub(crate) fn pages_used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    Ok(u64::try_from(pragma("page_count")? - pragma("freelist_count")?).unwrap_or(0))
}
