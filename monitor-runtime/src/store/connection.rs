//! Opens a hardened connection to a store of this version.
//!
//! Takes a path; gives a connection. The file at the path decides what happens: an empty file becomes a store, an older
//! store is migrated, a newer store and a file of another program are left untouched and a sibling is used, and a
//! damaged file is set aside. The file does not know what the tables hold.
//!
//! While SQLite works or waits for a lock, this file moves the coarse clock on, which counted calls are timed by. The
//! collector's thread does so otherwise, and it is the thread that runs here. Only the disk can delay the coarse clock,
//! while a page is written or synced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{Class, OpenError, classify};
use super::examine::{FileKind, classify_headerless, examine};
use super::file::{self, Identity};
use super::handle::is_read_only;
use super::harden::{abandon, connect, harden};
use super::interface::BUSY_MAX;
use super::migrate;
use super::options::{PAGE_BYTES, StoreOptions};
use super::owner;
use super::schema::VERSION;
use super::vfs;
use crate::limits::COARSE_PERIOD;
use crate::platform::clock::monotonic;
use crate::platform::coarse_clock::keep_coarse;
use crate::platform::file_system::{FileSystem, is_writable};

/// The time for which SQLite waits for another's lock with a rollback journal, where no reader may be left when a commit
/// is written. Most queries end within it. Rings are not drained meanwhile.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// The time for which SQLite waits for another's lock with a write-ahead log, where only other writers hold it: the
/// collector drains rings between two attempts.
const BUSY_WAIT_WAL: Duration = Duration::ZERO;

/// The pause between two attempts to open a store whose lock another process holds.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Paths that are tried (siblings, or a new file for a damaged one) before opening is given up.
const STEPS_MAX: usize = 6;

/// SQLite instructions between two readings of the clock: about 100 µs.
const LOOK_INSTRUCTIONS: i32 = 10_000;

/// SQLite before 3.51.3 can lose a transaction when a log is reset under a reader.
const WAL_SAFE_SINCE: i32 = 3_051_003;

/// Size of SQLite's page cache: twice the pages that a batch changes, which are some hundred KiB.
const CACHE_KIB: u32 = 1024;

/// A connection that is ready, and what happened while it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// `None` in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) identity: Option<Identity>,
    /// Events to report, each as its kind and a sentence.
    pub(crate) notices: Vec<(&'static str, String)>,
}

/// Opens the store that the options name, or the sibling that takes its place.
pub(crate) fn open(options: &StoreOptions, now_ns: i64) -> Result<Opened, OpenError> {
    let Some(requested) = &options.path else { return open_in_memory(options) };
    let mut path = file::resolve(requested)?;
    let mut notices = Vec::new();
    for _ in 0..STEPS_MAX {
        file::ensure_exists(&path)?;
        let Some(state) = file::read_state(&path) else { continue };
        let (connection, found) = try_open(&path, options)?;
        let next = match found {
            FileKind::Store | FileKind::Empty | FileKind::Older(_) => {
                if let Some(label) =
                    find_label(&connection, options).map_err(|error| open_error(&path, &error))?
                {
                    path = file::sibling(&path, &label);
                    continue;
                }
                let identity = Some(state.identity);
                return Ok(Opened { connection, path: Some(path), identity, notices });
            }
            FileKind::Newer(version) => {
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
            FileKind::Foreign(why) => {
                let next = file::sibling(&path, "monitor");
                notices.push((
                    "store",
                    format!("{} {why}: left untouched, using {}", path.display(), next.display()),
                ));
                next
            }
            FileKind::Damaged(why) => {
                abandon(connection);
                if let Some(aside) = file::quarantine(&path, state.identity, now_ns)? {
                    notices.push(("quarantine", file::describe_quarantine(&path, &why, &aside)));
                }
                path.clone()
            }
        };
        path = next;
    }
    Err(OpenError::Unwritable { path, why: "neither it nor its siblings are stores of monitored".to_owned() })
}

/// Returns the label of the sibling that the program uses, if the store is another program's.
fn find_label(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<Option<String>> {
    options.program.as_deref().map_or(Ok(None), |program| owner::find_label(connection, program))
}

/// Opens the store that these options name, or makes it, and runs `run` on it. Waits while another process holds the
/// lock, which it may do while the store is opened, too: another process may be making or migrating it.
pub(crate) fn with_connection(
    options: &StoreOptions,
    now_ns: i64,
    run: impl FnOnce(&Connection, &Path) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let started = monotonic();
    let opened = loop {
        match open(options, now_ns) {
            Err(OpenError::Busy(_)) if monotonic().saturating_sub(started) < BUSY_MAX => {
                std::thread::park_timeout(BUSY_PAUSE);
            }
            opened => break opened?,
        }
    };
    let path = opened.path.unwrap_or_default();
    let waiting = opened.connection.busy_timeout(BUSY_MAX);
    waiting.and_then(|()| run(&opened.connection, &path)).map_err(|error| open_error(&path, &error))
}

fn open_in_memory(options: &StoreOptions) -> Result<Opened, OpenError> {
    let path = PathBuf::from(":memory:");
    let open = || {
        let mut connection = Connection::open_in_memory_with_flags_and_vfs(
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            vfs::name(),
        )?;
        harden(&connection)?;
        prepare(&mut connection, &FileKind::Empty, options, None)?;
        Ok(connection)
    };
    let connection = open().map_err(|error| open_error(&path, &error))?;
    Ok(Opened { connection, path: None, identity: None, notices: Vec::new() })
}

fn try_open(path: &Path, options: &StoreOptions) -> Result<(Connection, FileKind), OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let mut connection = connect(path).map_err(failed)?;
    let found = match examine(&connection) {
        Ok(found) => found,
        Err(error) if classify(&error) == Class::Damaged => classify_headerless(path, &error),
        Err(error) => return Err(failed(error)),
    };
    if matches!(found, FileKind::Newer(_) | FileKind::Foreign(_) | FileKind::Damaged(_)) {
        return Ok((connection, found));
    }
    if is_closed_by_header(path, &connection) {
        return Ok((connection, FileKind::Damaged("its header says that it may only be read".to_owned())));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file_system = (options.system.file_system)(folder);
    match prepare(&mut connection, &found, options, Some(file_system)) {
        Ok(()) => Ok((connection, found)),
        Err(error) if classify(&error) == Class::Damaged => {
            Ok((connection, FileKind::Damaged(error.to_string())))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns true if SQLite refuses to write a file because of its header, although the process has the right to write
/// it. Such a header asks for a newer SQLite. No existing SQLite writes one, so the header was overwritten. The
/// connection must have read the header.
fn is_closed_by_header(path: &Path, connection: &Connection) -> bool {
    is_read_only(connection) && is_writable(path)
}

/// Sets up the connection, and makes the file a store of this version.
fn prepare(
    connection: &mut Connection,
    found: &FileKind,
    options: &StoreOptions,
    file_system: Option<FileSystem>,
) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
    let has_log = match file_system {
        Some(file_system) => set_journal(connection, options, file_system)?,
        None => false,
    };
    if !matches!(found, FileKind::Store) {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // Another process may have been faster, so the file is examined again under the lock.
        match examine(&transaction)? {
            FileKind::Empty => super::schema::create_in(&transaction)?,
            FileKind::Older(version) => migrate::run(&transaction, version)?,
            _ => {}
        }
        transaction.commit()?;
        if has_log {
            // The file alone is then a store, even if its log is lost or not copied with it.
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }
    set_page_bound(connection, options)?;
    // Older versions of rusqlite return nothing here, newer ones a result.
    #[allow(clippy::let_unit_value, reason = "the versions that may be built with differ")]
    let _ = connection.progress_handler(LOOK_INSTRUCTIONS, Some(keep_coarse_clock as fn() -> bool));
    if has_log {
        return connection.busy_timeout(BUSY_WAIT_WAL);
    }
    connection.busy_handler(Some(wait_for_lock as fn(i32) -> bool))
}

/// Moves the coarse clock on. SQLite calls this function between two instructions, and goes on because the result is
/// false.
fn keep_coarse_clock() -> bool {
    keep_coarse();
    false
}

/// Waits for a lock that another process holds. SQLite calls this function after each of its `tries`. Returns true to
/// try again.
fn wait_for_lock(tries: i32) -> bool {
    keep_coarse();
    std::thread::park_timeout(COARSE_PERIOD);
    keep_coarse();
    COARSE_PERIOD * tries.unsigned_abs() < BUSY_WAIT
}

/// Sets the journal: a write-ahead log if memory can be shared through the file and SQLite resets the log safely, and a
/// rollback journal otherwise. Returns true for a write-ahead log. NORMAL survives the death of the process; a loss of
/// power may cost the last transactions, but not the file's consistency.
fn set_journal(
    connection: &Connection,
    options: &StoreOptions,
    file_system: FileSystem,
) -> rusqlite::Result<bool> {
    let wal = file_system == FileSystem::Local && rusqlite::version_number() >= WAL_SAFE_SINCE;
    let mode = if wal { "WAL" } else { "TRUNCATE" };
    connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    set_log_bound(connection, options)?;
    Ok(wal)
}

/// Sets the bounds on database and log that the options name, on a connection that is ready.
pub(crate) fn set_bounds(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    set_page_bound(connection, options)?;
    set_log_bound(connection, options)
}

fn set_page_bound(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA max_page_count = {}; PRAGMA cache_size = -{CACHE_KIB}",
        options.shares().pages
    ))
}

fn set_log_bound(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA journal_size_limit = {}; PRAGMA wal_autocheckpoint = {}",
        options.shares().wal_bytes / 2,
        options.shares().checkpoint_pages()
    ))
}

/// Converts an SQLite error that occurred while the store at `path` was opened into the error that callers get.
pub(crate) fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match classify(error) {
        Class::Busy => OpenError::Busy(path),
        Class::Full => OpenError::Full { path, why },
        Class::Unwritable => OpenError::Unwritable { path, why },
        // SQLite reports "cannot open" both if rights are missing and if the process has no descriptor left.
        Class::Transient if path.parent().is_some_and(file::refuses_files) => {
            OpenError::Unwritable { path, why }
        }
        Class::Taken | Class::Transient | Class::Damaged | Class::Contradicted | Class::Rejected => {
            OpenError::Transient { path, why }
        }
    }
}
