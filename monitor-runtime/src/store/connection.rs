//! From a path to a hardened connection on a store of this version. What lies at the path decides: an
//! empty file becomes a store, an older store is migrated, a newer one and a file that is not ours are
//! left untouched for a sibling, a damaged one is set aside.
//!
//! The file may have been planted: SQLite runs defensively, with no trigger, view or function that the
//! file brings, and our tables must be written exactly as we write them. What is stored, this file
//! does not know.
//!
//! While SQLite works or waits for a lock it moves the coarse clock on, by which slow calls are noticed
//! that are only counted: the thread that does this otherwise is the one that is in here. Only the disk
//! can hold that up, when a page is written or synced.

use super::error::{Class, OpenError, class};
use super::file::{self, Identity};
use super::migrate;
use super::options::{PAGE_BYTES, StoreOptions};
use super::schema::{self, APPLICATION_ID, VERSION};
use crate::limits::COARSE_PERIOD;
use crate::platform::coarse_clock::keep_coarse;
use crate::platform::file_system::FileSystem;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long SQLite itself waits for another's lock, with a rollback journal, where a commit needs all
/// readers gone: most queries end within it. Rings are not drained meanwhile.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// The same with a write-ahead log, where only other writers are in the way: whoever waits for them
/// drains rings between two attempts.
const BUSY_WAIT_WAL: Duration = Duration::ZERO;

/// The same while opening, which takes several locks.
const BUSY_WAIT_OPEN: Duration = Duration::from_millis(10);

/// Steps from one path to the next (sibling, file set aside) before opening is given up.
const STEPS_MAX: usize = 6;

/// Instructions of SQLite's between two looks at the clock: some 100 µs.
const LOOK_INSTRUCTIONS: i32 = 10_000;

/// SQLite before 3.51.3 can lose a transaction when a log is reset under a reader.
const WAL_SAFE_SINCE: i32 = 3_051_003;

/// A connection that is ready, and what was met on the way to it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// `None` in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) identity: Option<Identity>,
    /// What to tell, by kind of event.
    pub(crate) notices: Vec<(&'static str, String)>,
}

/// What lies at a path.
#[derive(Debug)]
enum Found {
    Store,
    Empty,
    Older(i32),
    Newer(i32),
    Foreign(String),
    Damaged(String),
}

/// Opens the store that the options name, or the sibling that takes its place.
pub(crate) fn open(options: &StoreOptions, now_ns: i64) -> Result<Opened, OpenError> {
    let Some(asked) = &options.path else { return open_in_memory(options) };
    let mut path = file::settle(asked)?;
    let mut notices = Vec::new();
    for _ in 0..STEPS_MAX {
        file::make(&path)?;
        let Some(sight) = file::look(&path) else { continue };
        let (connection, found) = try_open(&path, options)?;
        let next = match found {
            Found::Store | Found::Empty | Found::Older(_) => {
                let identity = Some(sight.identity);
                return Ok(Opened { connection, path: Some(path), identity, notices });
            }
            Found::Newer(version) => {
                let next = file::sibling(&path, &format!("v{VERSION}"));
                notices.push((
                    "store",
                    format!(
                        "{} has schema version {version}, newer than {VERSION}: left untouched, using {}",
                        path.display(),
                        next.display()
                    ),
                ));
                next
            }
            Found::Foreign(why) => {
                let next = file::sibling(&path, "monitor");
                notices.push((
                    "store",
                    format!("{} {why}: left untouched, using {}", path.display(), next.display()),
                ));
                next
            }
            Found::Damaged(why) => {
                abandon(connection);
                if let Some(aside) = file::set_aside(&path, sight.identity, now_ns)? {
                    notices.push(("quarantine", quarantined(&path, &why, &aside)));
                }
                path.clone()
            }
        };
        path = next;
    }
    Err(OpenError::Unwritable { path, why: "neither it nor its siblings are a store of ours".to_owned() })
}

/// Returns the file that a writer uses in place of this one, and the reason; `None` if it uses this one. Reads only.
pub(super) fn name_successor(
    connection: &Connection,
    path: &Path,
) -> rusqlite::Result<Option<(PathBuf, String)>> {
    Ok(match examine(connection)? {
        Found::Newer(version) => Some((
            file::sibling(path, &format!("v{VERSION}")),
            format!("has schema version {version}, newer than {VERSION}"),
        )),
        Found::Foreign(why) => Some((file::sibling(path, "monitor"), why)),
        Found::Store | Found::Empty | Found::Older(_) | Found::Damaged(_) => None,
    })
}

/// What is told of a file that was set aside.
pub(crate) fn quarantined(path: &Path, why: &str, aside: &Path) -> String {
    format!("{} was damaged ({why}): set aside as {}", path.display(), aside.display())
}

/// What has become of a file that is open as a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It still is one, as far as can be told.
    Sound,
    /// It is damaged.
    Damaged(String),
    /// It is whole, but a newer program's store by now, or no store at all.
    Another,
}

/// Judges a file through a fresh connection: what the open one holds in its cache proves nothing.
/// `thoroughly` reads every page.
pub(crate) fn judge(path: &Path, thoroughly: bool) -> Verdict {
    let verdict = connect(path).and_then(|connection| {
        harden(&connection)?;
        match examine(&connection)? {
            Found::Store if !thoroughly => Ok(Verdict::Sound),
            Found::Store => {
                let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
                Ok(if found == "ok" { Verdict::Sound } else { Verdict::Damaged(found) })
            }
            Found::Empty => Ok(Verdict::Damaged("it was emptied".to_owned())),
            Found::Damaged(why) => Ok(Verdict::Damaged(why)),
            Found::Older(_) | Found::Newer(_) | Found::Foreign(_) => Ok(Verdict::Another),
        }
    });
    match verdict {
        Ok(verdict) => verdict,
        Err(error) if class(&error) == Class::Damaged => Verdict::Damaged(error.to_string()),
        // A lock, or a disk that does not answer, proves nothing against the file.
        Err(_) => Verdict::Sound,
    }
}

/// Closes a connection whose file is damaged or gone, without copying its log into anything and
/// without deleting the log by name: another file may have that name by now.
pub(crate) fn abandon(connection: Connection) {
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}

fn open_in_memory(options: &StoreOptions) -> Result<Opened, OpenError> {
    let path = PathBuf::from(":memory:");
    let open = || {
        let mut connection = Connection::open_in_memory_with_flags(
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        harden(&connection)?;
        prepare(&mut connection, &Found::Empty, options, None)?;
        Ok(connection)
    };
    let connection = open().map_err(|error| failed(&path, &error))?;
    Ok(Opened { connection, path: None, identity: None, notices: Vec::new() })
}

fn try_open(path: &Path, options: &StoreOptions) -> Result<(Connection, Found), OpenError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let mut connection = connect(path).map_err(failed)?;
    harden(&connection).map_err(failed)?;
    let found = match examine(&connection) {
        Ok(found) => found,
        Err(error) if class(&error) == Class::Damaged => not_a_database(path, &error),
        Err(error) => return Err(failed(error)),
    };
    if matches!(found, Found::Newer(_) | Found::Foreign(_) | Found::Damaged(_)) {
        return Ok((connection, found));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file_system = (options.system.file_system)(folder);
    match prepare(&mut connection, &found, options, Some(file_system)) {
        Ok(()) => Ok((connection, found)),
        Err(error) if class(&error) == Class::Damaged => Ok((connection, Found::Damaged(error.to_string()))),
        Err(error) => Err(failed(error)),
    }
}

/// A file without SQLite's header: a store whose first bytes were overwritten, or not a store at all.
/// Nothing says which, except the name.
fn not_a_database(path: &Path, error: &rusqlite::Error) -> Found {
    if file::named_as_database(path) {
        Found::Damaged(error.to_string())
    } else {
        Found::Foreign("is not a database".to_owned())
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // An absolute path is never read as a URI, whatever the library was built to do.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT_OPEN)?;
    Ok(connection)
}

/// Takes from the file every means of running something in our process.
pub(crate) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON")
}

/// The pages that SQLite keeps of the store that is written: those that a batch changes, some hundred KiB, and
/// as many again.
const CACHE_KIB: u32 = 1024;

/// Bytes of a value or row: a hundred times the largest of ours. A planted view that computes values of
/// a gigabyte within one instruction could not be stopped between two.
const VALUE_BYTES_MAX: i32 = 64 << 20;

/// What lies in the file that the connection is on. Reads only, and all of it at one moment: another
/// process may be making a store of it.
fn examine(connection: &Connection) -> rusqlite::Result<Found> {
    let is_alone = connection.is_autocommit();
    let _moment = is_alone.then(|| connection.unchecked_transaction()).transpose()?;
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects == 0 && application == 0 && version == 0 {
        return Ok(Found::Empty);
    }
    if application != APPLICATION_ID {
        return Ok(Found::Foreign(format!("is another program's database (application_id {application})")));
    }
    if version > VERSION {
        return Ok(Found::Newer(version));
    }
    if version < VERSION && !migrate::reaches(version) {
        return Ok(Found::Foreign(format!("says schema version {version}, which never was")));
    }
    Ok(match altered(connection, version)? {
        None if version < VERSION => Found::Older(version),
        None => Found::Store,
        Some(name) => Found::Foreign(format!("has another table or index {name} than ours")),
    })
}

/// The first of our tables and indexes that is missing or written otherwise than that version writes it.
/// Views, and what users have added, are not touched by the writer.
fn altered(connection: &Connection, version: i32) -> rusqlite::Result<Option<&'static str>> {
    let mut text =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'index')")?;
    for (name, expected) in schema::tables() {
        let found: Option<Option<String>> = text.query_row([name], |row| row.get(0)).optional()?;
        let expected = migrate::text(version, name).unwrap_or(&expected);
        if found.flatten().as_deref() != Some(expected) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Sets the connection up and brings the file to this version.
fn prepare(
    connection: &mut Connection,
    found: &Found,
    options: &StoreOptions,
    file_system: Option<FileSystem>,
) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
    let has_log = match file_system {
        Some(file_system) => set_journal(connection, options, file_system)?,
        None => false,
    };
    if !matches!(found, Found::Store) {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // Another process may have been faster: look again under the lock.
        match examine(&transaction)? {
            Found::Empty => super::schema::create_in(&transaction)?,
            Found::Older(version) => migrate::run(&transaction, version)?,
            _ => {}
        }
        transaction.commit()?;
    }
    bound_pages(connection, options)?;
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.progress_handler(LOOK_INSTRUCTIONS, Some(look_at_clock as fn() -> bool));
    if has_log {
        return connection.busy_timeout(BUSY_WAIT_WAL);
    }
    connection.busy_handler(Some(wait_for_lock as fn(i32) -> bool))
}

/// Called between two instructions of SQLite's; whether to stop.
fn look_at_clock() -> bool {
    keep_coarse();
    false
}

/// Called after so many tries for a lock that another has; whether to try once more.
fn wait_for_lock(tries: i32) -> bool {
    keep_coarse();
    std::thread::park_timeout(COARSE_PERIOD);
    keep_coarse();
    COARSE_PERIOD * tries.unsigned_abs() < BUSY_WAIT
}

/// A write-ahead log where memory can be shared through a file and SQLite resets it safely, the
/// rollback journal elsewhere. NORMAL is durable against the death of the process; the loss of power
/// may cost the last transactions, but not the file's consistency. Whether it is a write-ahead log.
fn set_journal(
    connection: &Connection,
    options: &StoreOptions,
    file_system: FileSystem,
) -> rusqlite::Result<bool> {
    let wal = file_system == FileSystem::Local && rusqlite::version_number() >= WAL_SAFE_SINCE;
    let mode = if wal { "WAL" } else { "TRUNCATE" };
    connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    bound_log(connection, options)?;
    Ok(wal)
}

/// Bounds database and log as the options say, on a connection that is ready.
pub(crate) fn bound(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    bound_pages(connection, options)?;
    bound_log(connection, options)
}

fn bound_pages(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA max_page_count = {}; PRAGMA cache_size = -{CACHE_KIB}",
        options.shares().pages
    ))
}

fn bound_log(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA journal_size_limit = {}; PRAGMA wal_autocheckpoint = {}",
        options.shares().wal_bytes / 2,
        options.shares().checkpoint_pages()
    ))
}

/// An error while opening, as the caller is told.
pub(crate) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match class(error) {
        Class::Busy => OpenError::Busy(path),
        Class::Full => OpenError::Full { path, why },
        Class::Unwritable => OpenError::Unwritable { path, why },
        // SQLite says alike "cannot open" where rights are missing and where descriptors are.
        Class::Transient if path.parent().is_some_and(file::refuses_files) => {
            OpenError::Unwritable { path, why }
        }
        Class::Transient | Class::Damaged | Class::Contradicted | Class::Rejected => {
            OpenError::Transient { path, why }
        }
    }
}
