//! Makes room in the store: copies the log into the database, and evicts the oldest rows.
//!
//! Takes what is about to be written; gives room for it, or an error that says why there is none. This is the only
//! place that finds out whether an open store has room. Database and log stay within the size bound and within what the
//! disk allows. Eviction stops if it makes no room, because then the disk is filled by something else.

use super::{OpenStore, SqliteStore};
use crate::batch::Batch;
use crate::limits;
use crate::store::error::{Class, StoreError, classify};
use crate::store::options::Shares;
use crate::store::retention::{Bounds, Step};
use crate::store::transaction::{self, Committed};

/// The number of times that a write that found no room evicts rows and tries again.
const EVICTIONS_PER_WRITE: usize = 4;

/// The most rows that are evicted to make room between two writes that succeed. If the rows of four full batches made
/// no room, the disk is filled by something else, and the stored rows are worth more than the new ones.
const EVICTED_IN_VAIN_MAX: u64 = 4 * 4096;

impl SqliteStore {
    /// Makes room in the log for a batch. A log that is too long is copied into the database and begun anew, which a
    /// reader in the middle of a long query prevents. The log file keeps its length, so that on a full disk there still
    /// is room to write what eviction changes.
    pub(super) fn make_room_in_log(&self, batch: &Batch) -> Result<(), StoreError> {
        let bound = self.shares().wal_bytes;
        let coming = transaction::estimate_bytes(batch);
        let has_log = self.open.as_ref().is_some_and(|open| open.file.is_some());
        if has_log && coming > bound && batch.calls.len() > 1 {
            return Err(StoreError::Full(format!(
                "a batch of {coming} bytes is larger than the log may be, {bound} bytes"
            )));
        }
        self.copy_log_for(coming, bound)
    }

    /// Copies the log into the database if it is more than half full.
    pub(super) fn copy_long_log(&self) -> Result<(), StoreError> {
        let bound = self.shares().wal_bytes;
        self.copy_log_for(bound / 2, bound)
    }

    /// Copies the log into the database if it would exceed its bound with the coming bytes.
    fn copy_log_for(&self, coming: u64, bound: u64) -> Result<(), StoreError> {
        let Some(OpenStore { connection, file: Some(file), .. }) = &self.open else { return Ok(()) };
        let length = file.wal_bytes();
        if length + coming <= bound {
            return Ok(());
        }
        // The first copy takes no lock, so other writers wait only for the pages that are written in between.
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        let (blocked, pages, copied) = connection
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| {
                Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })
            .unwrap_or((false, 0, 0));
        if blocked || copied < pages {
            return Err(StoreError::Busy(format!(
                "a reader prevents the log of {length} bytes from being copied into the database"
            )));
        }
        Ok(())
    }

    /// Commits a batch. While there is no room, it evicts the oldest rows and tries again, each time after twice as many
    /// steps, because nobody knows beforehand how much room a batch takes.
    pub(super) fn commit_evicting(&mut self, batch: &Batch) -> rusqlite::Result<Option<Committed>> {
        let mut committed = self.commit(batch);
        for attempt in 0..EVICTIONS_PER_WRITE {
            if !matches!(&committed, Err(error) if classify(error) == Class::Full)
                || !self.evict(1 << attempt, batch)
            {
                break;
            }
            committed = self.commit(batch);
        }
        committed
    }

    /// Evicts rows in at most this many steps. Returns true if there may be more room now.
    fn evict(&mut self, steps: usize, batch: &Batch) -> bool {
        let is_step_done = |_| {
            self.request_eviction();
            self.retention.is_pressed && self.retention_step(batch.at_ns).is_ok_and(|step| step.more)
        };
        (0..steps).map(is_step_done).take_while(|is_done| *is_done).count() > 0
    }

    /// Makes the next step of retention evict rows, unless evicting was in vain.
    pub(super) fn request_eviction(&mut self) {
        self.retention.is_pressed = self.evicted_in_vain < EVICTED_IN_VAIN_MAX;
    }

    /// Does one step of retention.
    pub(super) fn retention_step(&mut self, now_ns: i64) -> rusqlite::Result<Step> {
        let is_pressed = self.retention.is_pressed;
        let bounds = self.bounds();
        // A reader may prevent the copy, but the step frees room all the same.
        let _ = self.copy_long_log();
        let Some(open) = &self.open else { return Err(rusqlite::Error::InvalidQuery) };
        let step = self.retention.step(&open.connection, &mut self.ids, bounds, now_ns)?;
        self.evicted_in_vain += if is_pressed { step.rows } else { 0 };
        Ok(step)
    }

    /// Returns the shares of the size bound, or of what the disk allows if that is less.
    fn shares(&self) -> Shares {
        let file = self.open.as_ref().and_then(|open| open.file.as_ref());
        let Some((file, folder)) = file.and_then(|file| Some((file, file.path.parent()?))) else {
            return self.options.shares();
        };
        self.options.shares_on_disk(folder, file.bytes() + file.wal_bytes())
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            age_ns: self.options.retention_ns(),
            pages_evict: self.shares().pages_evict,
            log_bytes_max: self.options.max_disk_bytes / limits::LOG_DISK_SHARE,
        }
    }
}
