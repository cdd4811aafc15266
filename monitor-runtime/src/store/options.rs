//! What a store is to be: where, how old its rows may grow, how large its files. The shares of the
//! size bound are decided here; everything else takes them as given.

use crate::limits;
use crate::platform::file_system::System;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a page: what file systems write at once. Larger ones are no faster, and write more, because
/// the last page of each table is written with every batch: 23 KB for one of 100 calls, where 8192 and
/// 16384 bytes a page make it 35 and 56 KB.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Length of the log after which it is copied into the database, four times SQLite's own default. Each log
/// that begins anew takes two syncs of the disk outside of the lock, and one within: of its header, without
/// which a loss of power could damage the file. That one is the longest that anybody waits for us.
const CHECKPOINT_PAGES: u64 = 4000;

/// Left free on the disk for what is not ours.
const DISK_RESERVE_BYTES: u64 = 64 * 1024;

/// What a store is to be.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database file; `None` keeps the store in memory.
    pub path: Option<PathBuf>,
    /// Age at which rows go.
    pub retention: Duration,
    /// Bound on database and write-ahead log together.
    pub max_disk_bytes: u64,
    /// Folders in which dead processes may have left ring files for this store.
    pub ring_folders: Vec<PathBuf>,
    /// How to see the disk.
    pub system: System,
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
            ring_folders: Vec::new(),
            system: System::default(),
        }
    }

    /// The shares of the size bound itself.
    pub(crate) fn shares(&self) -> Shares {
        Shares::of(self.max_disk_bytes, self.path.is_some())
    }

    /// The shares of what the disk allows, where that is less than the size bound: of what the store
    /// has already and what is free.
    pub(crate) fn shares_on_disk(&self, folder: &Path, own_bytes: u64) -> Shares {
        let free = (self.system.free_bytes)(folder).map(|free| free.saturating_sub(DISK_RESERVE_BYTES));
        let allowed = free.map_or(u64::MAX, |free| own_bytes.saturating_add(free));
        Shares::of(self.max_disk_bytes.min(allowed), true)
    }

    /// The age bound in nanoseconds.
    pub(crate) fn retention_ns(&self) -> i64 {
        i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// How the bytes that a store may take are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// The log's: an eighth, at most 64 MiB, and not less than a small batch and what it evicts take. A
    /// store in memory has no log.
    pub(crate) wal_bytes: u64,
    /// The database's, in pages.
    pub(crate) pages: u64,
    /// Pages in use at which eviction begins: a sixteenth below, so that a batch finds room.
    pub(crate) pages_evict: u64,
}

/// Room for a thousand calls at once and for the pages that evicting as many changes.
const WAL_BYTES_MIN: u64 = 384 << 10;

impl Shares {
    fn of(bytes: u64, has_log: bool) -> Self {
        let wal_bytes = if has_log { (bytes / 8).clamp(WAL_BYTES_MIN.min(bytes / 2), 64 << 20) } else { 0 };
        let pages = (bytes - wal_bytes) / PAGE_BYTES;
        Self { wal_bytes, pages, pages_evict: pages - pages / 16 }
    }

    /// Length of the log, in pages, after which a commit copies it into the database.
    pub(crate) fn checkpoint_pages(self) -> u64 {
        CHECKPOINT_PAGES.min(self.wal_bytes / PAGE_BYTES / 4).max(1)
    }
}
