//! Where batches go. A store knows no threads.

pub mod schema;
pub mod schema_doc;

use crate::batch::Batch;
use std::time::Duration;

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

    /// Marks the process as ended by exit and closes the store.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn close(&mut self, now_ns: i64) -> Result<(), StoreError>;
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

/// Why a store did not take a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the lock: wait, it is not a failure. Counts as one after 5 s.
    #[error("the store is locked by another process: {0}")]
    Busy(String),
    /// Not enough room (disk full, or the size bound reached): evict, write less, try again.
    #[error("no room in the store: {0}")]
    Full(String),
    /// It may pass: try again under the breaker.
    #[error("the store cannot be written: {0}")]
    Transient(String),
    /// The file is damaged; it was set aside (the path says where) and a new one begun: write again.
    #[error("the store was damaged and set aside as {0}")]
    SetAside(std::path::PathBuf),
}

/// How long another process may hold the lock before it counts as a failure.
pub const BUSY_MAX: Duration = Duration::from_secs(5);
