//! Where batches go: the trait that the collector writes through, and the store on SQLite behind it.
//!
//! In the order in which a batch meets them: `options`, `connection` (with `file`, `os`, `migrate`,
//! `schema`), `sqlite`, `transaction` (with `process`, `known`, `rows`, `windows`, `groups`, `retention`); and for
//! readers `query`. A store
//! knows no threads and reads no clock: points in time come with what it is asked.

pub mod schema;
pub mod schema_doc;
mod error;
mod options;
mod file;
mod migrate;
mod connection;
pub mod fingerprint;
mod id_cache;
mod calendar;
mod rows;
mod windows;
mod error_groups;
mod retention;
mod process;
mod transaction;
pub(crate) mod recovered_rows;
mod sqlite;
pub mod query;

pub use crate::platform::file_system::{FileSystem, System};
pub use error::{OpenError, StoreError};
pub use options::StoreOptions;
pub(crate) use sqlite::RecoveryStep;
pub use sqlite::SqliteStore;

use crate::batch::Batch;
use std::time::Duration;

/// Runs something on a connection to the store that these options name, which is made where it is missing.
/// Another process's lock is waited for.
pub(crate) fn with_connection(
    options: &StoreOptions,
    now_ns: i64,
    run: impl FnOnce(&rusqlite::Connection, &std::path::Path) -> rusqlite::Result<()>,
) -> Result<(), OpenError> {
    let opened = connection::open(options, now_ns)?;
    let path = opened.path.unwrap_or_default();
    let waiting = opened.connection.busy_timeout(BUSY_MAX);
    waiting.and_then(|()| run(&opened.connection, &path)).map_err(|error| connection::failed(&path, &error))
}

/// A place that takes batches. The trait exists so that tests can make it fail.
pub trait Store: Send {
    /// Writes the batch in one transaction: all of it or nothing. A batch whose sequence this
    /// process has already committed is acknowledged without being written again.
    ///
    /// # Errors
    /// See [`StoreError`]: each variant is something the caller can do.
    fn write(&mut self, batch: &Batch) -> Result<Written, StoreError>;

    /// One bounded step of retention at this moment: deletes what is older than the age bound or
    /// over the size bound, and says whether there is more to do.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn retain(&mut self, now_ns: i64) -> Result<Retained, StoreError>;

    /// Other bounds hold from now on: on the age of rows, and on the bytes of all files.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn bound(&mut self, _retention: Duration, _max_disk_bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// The rates set from outside, newest last, where they changed since the last call.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn rates(&mut self) -> Result<Option<Vec<SetRate>>, StoreError>;

    /// Sets (or with `None` removes) a rate in the table `sampling`.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn set_rate(
        &mut self,
        pattern: &str,
        rate: Option<f64>,
        set_by: &str,
        now_ns: i64,
    ) -> Result<(), StoreError>;

    /// How the breaker of this process is held from outside, as table `breaker` says now; `None` where
    /// it is not. Works as well while the store itself cannot be written.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn hold(&mut self) -> Result<Option<SetHold>, StoreError> {
        Ok(None)
    }

    /// Marks the process as ended by exit and closes the store.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn close(&mut self, now_ns: i64) -> Result<(), StoreError>;

    /// One step of recovering what dead processes left for this store. Whether there is more to do.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn recover(&mut self, _now_ns: i64) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// What happened to the store itself since the last call: a damaged file set aside, a file of
    /// another schema or program left alone, a file that vanished.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }
}

/// What a write achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that are now committed.
    pub rows: u64,
    /// Bytes of the rows' content.
    pub bytes: u64,
    /// Size of the database file.
    pub db_bytes: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// The batch had been committed before, by a write whose answer was lost.
    pub was_there: bool,
}

/// What a step of retention achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows deleted.
    pub rows: u64,
    /// Whether another step is needed.
    pub more: bool,
}

/// A row of the table `sampling`.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRate {
    /// Pattern over function names.
    pub pattern: String,
    /// Rate, 0 to 1.
    pub rate: f64,
    /// Who set it.
    pub set_by: String,
}

/// A row of the table `breaker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHold {
    /// How it is held.
    pub hold: Hold,
    /// Why.
    pub reason: String,
    /// By whom.
    pub set_by: String,
    /// Since when, ns since the Unix epoch.
    pub set_ns: i64,
}

/// How a breaker is held from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is written.
    Open,
    /// Every write is tried.
    Closed,
    /// Not at all, whatever is said of all processes.
    Auto,
}

/// Something that happened to the store itself: worth an event row and a line on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `quarantine` or `store`, as the column `kind` of `events`.
    pub kind: &'static str,
    /// What happened, in a sentence.
    pub detail: String,
}

/// How long another process may hold the lock before it counts as a failure.
pub const BUSY_MAX: Duration = Duration::from_secs(5);
