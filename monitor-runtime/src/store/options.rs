//! What a store is to be: where, how old its rows may grow, how large its files. The shares of the
//! size bound are decided here; everything else takes them as given.

use super::os::FileSystem;
use crate::config::limits;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a page: what file systems write at once. Larger ones are no faster, and write more, because
/// the last page of each table is written with every batch: 23 KB for one of 100 calls, where 8192 and
/// 16384 bytes a page make it 35 and 56 KB.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// SQLite's own default for the length of the log after which it is copied into the database.
const CHECKPOINT_PAGES: u64 = 1000;

/// What a store is to be.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database file; `None` keeps the store in memory.
    pub path: Option<PathBuf>,
    /// Age at which rows go.
    pub retention: Duration,
    /// Bound on database and write-ahead log together.
    pub max_disk_bytes: u64,
    /// The kind of file system, where it is not to be asked of the system.
    pub file_system: Option<FileSystem>,
}

impl StoreOptions {
    /// A store in a file, with the default bounds.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::memory() }
    }

    /// A store in memory, with the default bounds.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            path: None,
            retention: limits::RETENTION,
            max_disk_bytes: limits::MAX_DISK_BYTES,
            file_system: None,
        }
    }

    /// The log's share of the size bound: an eighth, at most 64 MiB. A store in memory has no log.
    pub(crate) fn wal_bytes_max(&self) -> u64 {
        if self.path.is_none() { 0 } else { (self.max_disk_bytes / 8).min(64 << 20) }
    }

    /// The database's share, in pages.
    pub(crate) fn pages_max(&self) -> u64 {
        (self.max_disk_bytes - self.wal_bytes_max()) / PAGE_BYTES
    }

    /// Pages in use at which eviction begins: a sixteenth below the bound, so that a batch finds room.
    pub(crate) fn pages_evict(&self) -> u64 {
        self.pages_max() - self.pages_max() / 16
    }

    /// Length of the log, in pages, after which a commit copies it into the database.
    pub(crate) fn checkpoint_pages(&self) -> u64 {
        CHECKPOINT_PAGES.min(self.wal_bytes_max() / PAGE_BYTES / 4).max(1)
    }

    /// The age bound in nanoseconds.
    pub(crate) fn retention_ns(&self) -> i64 {
        i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX)
    }
}
