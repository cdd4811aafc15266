//! Opens a store for reading.
//!
//! Takes a path; gives a read-only connection to a store of this version or an older one, or the reason why there is none.
//! The file may have been planted by an attacker, so nothing that it brings runs, and a query can be stopped. A reader
//! does not disturb a writer, and does not need one to be alive.

use super::error::{Class, classify};
use super::examine::name_successor;
use super::file;
use super::harden::harden;
use super::schema::{APPLICATION_ID, VERSION};
use crate::platform::file_system::resolve_links;
use rusqlite::{Connection, OpenFlags};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time for which a reader waits for a lock, which only recovery after a crash takes.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// SQLite instructions between two checks whether a query should stop: about 0.1 ms.
const LOOK_INSTRUCTIONS: i32 = 10_000;

/// The reason for which a store cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no file at this path.
    Missing(PathBuf),
    /// The file cannot be opened: rights are missing, or it is a symbolic link or a folder.
    Unreadable {
        /// Path of the store.
        path: PathBuf,
        /// The reason for which the file cannot be opened.
        why: String,
    },
    /// The file is not an SQLite database, or a damaged one.
    NotADatabase {
        /// Path of the store.
        path: PathBuf,
        /// Reason as it was reported.
        why: String,
    },
    /// The file is a database of another program.
    Foreign {
        /// Path of the store.
        path: PathBuf,
        /// Application id in the file.
        application_id: i32,
    },
    /// The file was written by a newer version.
    Newer {
        /// Path of the store.
        path: PathBuf,
        /// Schema version of the file.
        found: i32,
    },
    /// A writer holds a lock that keeps readers out.
    Busy(PathBuf),
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(formatter, "there is no store at {}", path.display()),
            Self::Unreadable { path, why } => write!(formatter, "{} cannot be read: {why}", path.display()),
            Self::NotADatabase { path, why } => {
                write!(formatter, "{} is not an intact SQLite database: {why}", path.display())
            }
            Self::Foreign { path, application_id } => write!(
                formatter,
                "{} is a database, but not one of monitored (application_id {application_id:#x})",
                path.display()
            ),
            Self::Newer { path, found } => write!(
                formatter,
                "{} has schema version {found}; this program reads up to {VERSION}: use a newer one",
                path.display()
            ),
            Self::Busy(path) => write!(formatter, "{} is locked by another process", path.display()),
        }
    }
}

impl std::error::Error for QueryError {}

/// The most steps from a file to the one that takes its place.
const SUCCESSORS_MAX: usize = 4;

/// Returns the file that programs use as their store when they are given this path, and a sentence for each file
/// that they leave untouched on the way: another program's database, a store whose tables were altered, a newer
/// store. A step is taken only if the next file exists, because otherwise no program has taken it yet.
#[must_use]
pub fn find_store_in_use(path: &Path) -> (PathBuf, Vec<String>) {
    let (mut path, mut reasons) = (path.to_owned(), Vec::new());
    for _ in 0..SUCCESSORS_MAX {
        let found = open_connection(&path).and_then(|connection| name_successor(&connection, &path));
        match found {
            Ok(Some((next, reason))) if next.is_file() => {
                reasons.push(format!("{} {reason}", path.display()));
                path = next;
            }
            _ => break,
        }
    }
    (path, reasons)
}

/// Opens a connection that only reads. A file that SQLite cannot open otherwise is opened as immutable.
fn open_connection(path: &Path) -> rusqlite::Result<Connection> {
    let attempt = attempt(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    attempt.or_else(|error| attempt_immutable(path, error)).map(|attempt| attempt.connection)
}

/// Opens a store for reading. If its writer was killed, the store is brought to its last commit first.
///
/// A store on a read-only file system, or in a folder that this user may not write, is read as immutable if it has no
/// write-ahead log, because SQLite would need to write an index of the log.
///
/// # Errors
/// See [`QueryError`].
pub fn open_read_only(path: &Path) -> Result<Connection, QueryError> {
    let path = resolve(path)?;
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let opened = attempt(&path, read_only);
    match opened {
        // A crash may leave a journal to roll back, or a log without its index in a folder of ours. Then the file has to
        // be opened for writing once, and can be opened read-only afterwards.
        Err(error)
            if matches!(classify(&error), Class::Unwritable | Class::Transient) && recover(&path).is_ok() =>
        {
            attempt(&path, read_only)
        }
        opened => opened,
    }
    .or_else(|error| attempt_immutable(&path, error))
    .map_err(|error| refuse(&path, &error))?
    .check(&path)
}

/// Opens the file as one that nobody changes, if `error` shows that rights are missing and there is no log or journal
/// of the file. Otherwise returns `error`, because a commit may be in the log alone.
fn attempt_immutable(path: &Path, error: rusqlite::Error) -> rusqlite::Result<Attempt> {
    let is_refused = matches!(classify(&error), Class::Unwritable | Class::Transient);
    if !is_refused || LOGS.iter().any(|log| has_content(&file::with_suffix(path, log))) {
        return Err(error);
    }
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
        if is_plain {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    attempt(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI).map_err(|_| error)
}

/// The names that SQLite adds to a database's for its write-ahead log and its rollback journal.
const LOGS: [&str; 2] = ["-wal", "-journal"];

fn has_content(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.len() > 0)
}

/// Stops a query on this connection with `SQLITE_INTERRUPT` as soon as `enough` returns true, because a deadline has
/// passed, say, or a user has gone.
pub fn stop_when(
    connection: &mut Connection,
    enough: impl FnMut() -> bool + Send + std::panic::RefUnwindSafe + 'static,
) {
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.progress_handler(LOOK_INSTRUCTIONS, Some(enough));
}

/// A connection, and the application id and schema version of its file.
struct Attempt {
    connection: Connection,
    application_id: i32,
    version: i32,
}

impl Attempt {
    fn check(self, path: &Path) -> Result<Connection, QueryError> {
        if self.application_id != APPLICATION_ID {
            return Err(QueryError::Foreign { path: path.to_owned(), application_id: self.application_id });
        }
        if self.version > VERSION {
            return Err(QueryError::Newer { path: path.to_owned(), found: self.version });
        }
        if !has_readable_schema(&self.connection).map_err(|error| refuse(path, &error))? {
            let why = "its schema is no text".to_owned();
            return Err(QueryError::NotADatabase { path: path.to_owned(), why });
        }
        Ok(self.connection)
    }
}

/// Returns true if the schema is UTF-8, so that the names of columns are UTF-8 too: rusqlite panics on other names, and
/// SQLite itself takes any bytes.
fn has_readable_schema(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare("SELECT CAST(sql AS BLOB) FROM sqlite_schema WHERE sql NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if std::str::from_utf8(row.get_ref(0)?.as_blob()?).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn attempt(path: &Path, access: OpenFlags) -> rusqlite::Result<Attempt> {
    let flags = access | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    harden(&connection)?;
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
    let (application_id, version) = (number("application_id")?, number("user_version")?);
    Ok(Attempt { connection, application_id, version })
}

fn recover(path: &Path) -> rusqlite::Result<()> {
    attempt(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map(|_| ())
}

/// Returns the absolute path with the links in its folders resolved. A link at its end is refused.
fn resolve(path: &Path) -> Result<PathBuf, QueryError> {
    let missing = || QueryError::Missing(path.to_owned());
    let name = path.file_name().ok_or_else(missing)?;
    let unreadable = |why: String| QueryError::Unreadable { path: path.to_owned(), why };
    let absolute = std::path::absolute(path).map_err(|error| unreadable(error.to_string()))?;
    let folder = resolve_links(absolute.parent().ok_or_else(missing)?).map_err(|_| missing())?;
    let resolved = folder.join(name);
    let found = match std::fs::symlink_metadata(&resolved) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if found.is_symlink() {
        return Err(unreadable("it is a symbolic link".to_owned()));
    }
    if !found.is_file() {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    Ok(resolved)
}

/// Converts an SQLite error into the error that callers get.
fn refuse(path: &Path, error: &rusqlite::Error) -> QueryError {
    let (path, why) = (path.to_owned(), error.to_string());
    match classify(error) {
        Class::Busy => QueryError::Busy(path),
        Class::Damaged => QueryError::NotADatabase { path, why },
        _ => QueryError::Unreadable { path, why },
    }
}
