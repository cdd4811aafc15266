//! The options of a store: its path, and the bounds on the age of its rows and on the size of its files.
//!
//! Takes the size bound and the free space of the disk; gives the shares of database and log, whose sum never exceeds
//! the bound. It opens nothing.

use crate::limits;
use crate::platform::file_system::System;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a page, which are the bytes that file systems write at once. Larger pages are no faster and write more,
/// because the last page of each table is written with every batch: a batch of 100 calls writes 23 KB, and with pages of
/// 8192 or 16384 bytes 35 or 56 KB.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Length of the log, in pages, after which it is copied into the database: four times SQLite's own default. A log that
/// begins anew takes two syncs of the disk outside of the lock, and one within the lock for its header, because without
/// that sync a loss of power could damage the file. Nobody waits for us longer than for that sync.
const CHECKPOINT_PAGES: u64 = 4000;

/// Space that is left free on the disk for files of others.
const DISK_RESERVE_BYTES: u64 = 64 * 1024;

/// The options of a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database file; `None` keeps the store in memory.
    pub path: Option<PathBuf>,
    /// The executable of this program if nobody chose the path: if the store there belongs to another program, a file
    /// beside it is used. `None` if the path was chosen.
    pub program: Option<PathBuf>,
    /// Age at which rows are deleted.
    pub retention: Duration,
    /// Bound on database and write-ahead log together.
    pub max_disk_bytes: u64,
    /// Bound on the recorder's memory, by which the store remembers fewer ids than usual.
    pub max_memory_bytes: u64,
    /// Folders in which dead processes may have left ring files for this store.
    pub ring_folders: Vec<PathBuf>,
    /// Functions that ask the operating system for file systems and free space.
    pub system: System,
}

impl StoreOptions {
    /// Returns the options of a store in a file, with the default bounds.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::memory() }
    }

    /// Returns the options of a store in memory, with the default bounds.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            path: None,
            program: None,
            retention: limits::RETENTION,
            max_disk_bytes: limits::MAX_DISK_BYTES,
            max_memory_bytes: limits::MAX_MEMORY_BYTES,
            ring_folders: Vec::new(),
            system: System::default(),
        }
    }

    /// Returns the shares of the size bound.
    pub(crate) fn shares(&self) -> Shares {
        Shares::split(self.max_disk_bytes, self.path.is_some())
    }

    /// Returns the shares of the size bound, or of the bytes that the store has already plus the free space of the
    /// disk if they are less.
    pub(crate) fn shares_on_disk(&self, folder: &Path, own_bytes: u64) -> Shares {
        let free = (self.system.free_bytes)(folder).map(|free| free.saturating_sub(DISK_RESERVE_BYTES));
        let allowed = free.map_or(u64::MAX, |free| own_bytes.saturating_add(free));
        Shares::split(self.max_disk_bytes.min(allowed), true)
    }

    /// Returns the age bound in nanoseconds.
    pub(crate) fn retention_ns(&self) -> i64 {
        i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// The shares of the bytes that a store may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Bytes of the log: an eighth, at most 64 MiB, and at least the bytes that a small batch and its evictions take. A
    /// store in memory has no log.
    pub(crate) wal_bytes: u64,
    /// Pages of the database.
    pub(crate) pages: u64,
    /// Pages in use at which eviction begins. A sixteenth of the pages is left free, so that a batch finds room.
    pub(crate) pages_evict: u64,
}

/// The smallest log: room for a thousand calls at once and for the pages that evicting as many calls changes.
const WAL_BYTES_MIN: u64 = 384 << 10;

impl Shares {
    fn split(bytes: u64, has_log: bool) -> Self {
        let wal_bytes = if has_log { (bytes / 8).clamp(WAL_BYTES_MIN.min(bytes / 2), 64 << 20) } else { 0 };
        let pages = (bytes - wal_bytes) / PAGE_BYTES;
        Self { wal_bytes, pages, pages_evict: pages - pages / 16 }
    }

    /// Returns the length of the log, in pages, after which a commit copies it into the database.
    pub(crate) fn checkpoint_pages(self) -> u64 {
        CHECKPOINT_PAGES.min(self.wal_bytes / PAGE_BYTES / 4).max(1)
    }
}
