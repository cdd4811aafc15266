//! The connections to the file of keys.
//!
//! Takes the path of the file and a deadline; gives a connection that writes, with the mark of this process, and one
//! that reads. Locks belong to the open file, and end neither with a fork nor when the program closes the file
//! elsewhere. A connection that came through a fork is neither used nor closed in the child. The file does not know
//! keys.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor_runtime::bridge;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::owner::{self, Owner};

/// The pages of 4 KiB that the file may have: 1 GiB. Past it a key cannot be recorded, so nothing is done.
const PAGES_MAX: u32 = 262_144;
/// The file's mark, `MNON`, and the version of its table.
const APPLICATION_ID: i32 = 0x4D4E_4F4E;
const VERSION: i32 = 1;
/// The time for which a reader waits. Readers wait for the recovery of the file only; a writer then waits on.
const READ_WAIT_MAX: Duration = Duration::from_millis(100);

const TABLE: &str = "CREATE TABLE once (
  key TEXT PRIMARY KEY NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'doubt')),
  owner TEXT NOT NULL,
  begun_ns INTEGER NOT NULL,
  expires_ns INTEGER,
  text TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX once_expires ON once (expires_ns) WHERE expires_ns IS NOT NULL;";

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// The connection; `None` after it was lost and could not be opened again.
    connection: Option<Connection>,
    marks: Marks,
    /// The file itself, without symbolic links on the way to it.
    path: PathBuf,
    pid: u32,
}

/// The folder in which each process that uses the file of keys keeps its mark, a locked file, and the mark of this
/// process.
#[derive(Debug)]
pub(super) struct Marks {
    folder: PathBuf,
    own: Owner,
}

impl Marks {
    /// Returns the name of this process in the file.
    pub(super) fn own(&self) -> &str {
        &self.own.name
    }

    /// Returns true unless it is certain that the process of this name has ended.
    pub(super) fn is_alive(&self, name: &str) -> bool {
        name == self.own.name || owner::is_alive(&self.folder, name)
    }
}

impl Writer {
    /// Opens the file, and makes it if there is none. `path` is absolute.
    pub(super) fn open(path: &Path, deadline: Instant) -> Result<Self, String> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        }
        let connection = connect(path, deadline).map_err(|error| describe(path, &error))?;
        // All processes have to find the same folder, by whatever name they know the file.
        let real = path.canonicalize().map_err(|why| format!("{}: {why}", path.display()))?;
        let marks = enter(&connection, &real, deadline)?;
        Ok(Self { connection: Some(connection), marks, path: real, pid: std::process::id() })
    }

    /// Returns the writer, unless it came through a fork. Then it returns the path of the file.
    pub(super) fn keep(self) -> Result<Self, PathBuf> {
        if self.pid == std::process::id() {
            return Ok(self);
        }
        // The connection may not even be closed: that would drop the parent's locks. The file of the mark is closed,
        // because the parent's lock would last as long as a copy is open.
        std::mem::forget(self.connection);
        Err(self.path)
    }

    /// Returns true if the connection is of no use any more, because the program has closed its descriptors.
    pub(super) fn is_lost(&self) -> bool {
        let is_taken =
            |connection| read_number(connection, "user_version").is_err_and(|error| is_taken(&error));
        self.connection.as_ref().is_none_or(is_taken)
    }

    /// Opens the connection again; the mark of this process stays. No other connection that was lost may be open,
    /// because the new descriptors may have its numbers.
    pub(super) fn reopen(&mut self, deadline: Instant) -> Result<(), String> {
        self.connection = None;
        let connection = connect(&self.path, deadline).map_err(|error| describe(&self.path, &error))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Runs a function within a transaction that writes, and commits it. It waits for other processes until the
    /// deadline.
    pub(super) fn transact<T>(
        &self,
        deadline: Instant,
        run: impl FnOnce(&Transaction<'_>, &Marks) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let connection = self.connection.as_ref().ok_or_else(make_not_open)?;
        let transaction = begin(connection, deadline)?;
        let result = run(&transaction, &self.marks)?;
        transaction.commit()?;
        Ok(result)
    }
}

/// The connection that reads, so that readers do not wait for writers.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    pid: u32,
}

impl Reader {
    /// Opens the file; `None` if there is none, or if it is not a file of keys.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let connection = Connection::open_with_flags_and_vfs(path, FLAGS, bridge::find_vfs()).ok()?;
        connection.busy_timeout(READ_WAIT_MAX).ok()?;
        let marks = (read_number(&connection, "application_id"), read_number(&connection, "user_version"));
        (marks == (Ok(APPLICATION_ID), Ok(VERSION))).then(|| Self { connection, pid: std::process::id() })
    }

    /// Returns the reader, unless it came through a fork.
    pub(super) fn keep(self) -> Option<Self> {
        if self.pid == std::process::id() {
            return Some(self);
        }
        std::mem::forget(self.connection);
        None
    }
}

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_EXRESCODE);

/// Opens the connection that writes, and makes the file if there is none.
fn connect(path: &Path, deadline: Instant) -> rusqlite::Result<Connection> {
    let flags = FLAGS | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags_and_vfs(path, flags, bridge::find_vfs())?;
    prepare(&connection, deadline)?;
    Ok(connection)
}

fn make_not_open() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), None)
}

/// Returns true if the program has closed the connection's descriptor, and another file has its number by now.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_VNODE)
}

/// Returns a message that names the file.
pub(super) fn describe(path: &Path, error: &rusqlite::Error) -> String {
    format!("{}: {error}", path.display())
}

fn begin(connection: &Connection, deadline: Instant) -> rusqlite::Result<Transaction<'_>> {
    connection.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

fn read_number(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

fn prepare(connection: &Connection, deadline: Instant) -> rusqlite::Result<()> {
    connection.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
    // SQLite does not wait for another process that changes the mode as well.
    while let Err(error) = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) || Instant::now() >= deadline
        {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // A key has to outlive a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row(&format!("PRAGMA max_page_count = {PAGES_MAX}"), [], |_| Ok(()))
}

/// Makes the table if the file is new, and the mark of this process.
fn enter(connection: &Connection, path: &Path, deadline: Instant) -> Result<Marks, String> {
    let describe = |error| describe(path, &error);
    let transaction = begin(connection, deadline).map_err(describe)?;
    let number = |name: &str| read_number(&transaction, name).map_err(describe);
    match (number("application_id")?, number("user_version")?) {
        (APPLICATION_ID, VERSION) => {}
        (0, 0) if number("schema_version")? == 0 => {
            transaction.execute_batch(TABLE).map_err(describe)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(describe)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(describe)?;
        }
        (APPLICATION_ID, version) => {
            let path = path.display();
            return Err(format!("{path} has version {version}, and this program knows version {VERSION}"));
        }
        _ => return Err(format!("{} is no file of keys", path.display())),
    }
    let mut folder = path.to_path_buf().into_os_string();
    folder.push(".owners");
    let folder = PathBuf::from(folder);
    let own = Owner::new(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    transaction.commit().map_err(describe)?;
    Ok(Marks { folder, own })
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write as _;

    use super::*;

    const CHILD: &str = "MONITORED_GUARD_TEST_LOCK";

    /// Another process that looks whether it may write.
    #[test]
    fn child() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let other = Connection::open(path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        let answer = other.execute_batch("BEGIN IMMEDIATE").is_ok();
        writeln!(std::io::stdout(), "answer: {answer}").unwrap();
    }

    fn may_another_write(path: &Path) -> bool {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "once::file::tests::child", "--nocapture"])
            .env(CHILD, path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("answer: "), "{text}");
        text.contains("answer: true")
    }

    #[test]
    fn a_close_of_the_file_elsewhere_in_the_program_drops_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("once.db");
        let deadline = Instant::now() + Duration::from_secs(60);
        let writer = Writer::open(&path, deadline).unwrap();
        writer
            .transact(deadline, |_, _| {
                for name in ["once.db", "once.db-wal", "once.db-shm"] {
                    drop(std::fs::File::open(folder.path().join(name)).unwrap());
                }
                assert!(!may_another_write(&path));
                Ok(())
            })
            .unwrap();
        assert!(may_another_write(&path));
    }
}
