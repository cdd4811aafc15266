//! Reading a store: a path goes in, a read-only connection on a store of this version comes out, or the
//! reason why not. The file may have been planted: nothing that it brings runs, and a query can be
//! stopped. Reading disturbs no writer and needs none to be alive.

use super::connection::harden;
use super::error::{Class, class};
use super::schema::{APPLICATION_ID, VERSION};
use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a reader waits for a lock: only recovery after a crash takes one.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// SQLite instructions between two looks whether a query is to stop: about 0.1 ms.
const LOOK_INSTRUCTIONS: i32 = 10_000;

/// Why a store cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueryError {
    /// Nothing lies there.
    Missing(PathBuf),
    /// It cannot be opened: rights, a symbolic link, a folder.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The file is no SQLite database, or a damaged one.
    NotADatabase {
        /// Where.
        path: PathBuf,
        /// What was reported.
        why: String,
    },
    /// A database, but of another program.
    Foreign {
        /// Where.
        path: PathBuf,
        /// What it says it is.
        application_id: i32,
    },
    /// Written by a newer version.
    Newer {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
    /// A writer holds the file for itself.
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

/// Opens a store for reading. A store whose writer was killed is brought to its last commit on the way.
///
/// # Errors
/// See [`QueryError`].
pub fn open_read_only(path: &Path) -> Result<Connection, QueryError> {
    let path = settle(path)?;
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    match attempt(&path, read_only) {
        // What a crash left (a journal to roll back, a log without its index in a folder of ours) takes
        // the right to write once; then the file opens read-only.
        Err(error)
            if matches!(class(&error), Class::Unwritable | Class::Transient) && recover(&path).is_ok() =>
        {
            attempt(&path, read_only).map_err(|error| refuse(&path, &error))
        }
        result => result.map_err(|error| refuse(&path, &error)),
    }?
    .check(&path)
}

/// Stops a query on this connection, with `SQLITE_INTERRUPT`, as soon as `enough` says so: a deadline
/// that has passed, a user who has gone.
pub fn stop_when(
    connection: &mut Connection,
    enough: impl FnMut() -> bool + Send + std::panic::RefUnwindSafe + 'static,
) {
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.progress_handler(LOOK_INSTRUCTIONS, Some(enough));
}

/// A connection and what its file says it is.
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

/// Whether the schema is UTF-8, so that names of columns are: rusqlite panics on others. SQLite itself
/// takes any bytes.
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

/// The path made absolute, links in its folders resolved; one at its end is left to be refused.
fn settle(path: &Path) -> Result<PathBuf, QueryError> {
    let missing = || QueryError::Missing(path.to_owned());
    let name = path.file_name().ok_or_else(missing)?;
    let unreadable = |why: String| QueryError::Unreadable { path: path.to_owned(), why };
    let absolute = std::path::absolute(path).map_err(|error| unreadable(error.to_string()))?;
    let folder = absolute.parent().ok_or_else(missing)?.canonicalize().map_err(|_| missing())?;
    let settled = folder.join(name);
    let found = match std::fs::symlink_metadata(&settled) {
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
    Ok(settled)
}

fn refuse(path: &Path, error: &rusqlite::Error) -> QueryError {
    let (path, why) = (path.to_owned(), error.to_string());
    match class(error) {
        Class::Busy => QueryError::Busy(path),
        Class::Damaged => QueryError::NotADatabase { path, why },
        _ => QueryError::Unreadable { path, why },
    }
}
