//! The trait that the collector writes through, and what its functions return.
//!
//! The trait exists so that tests can put a store in place that fails. It does not say where batches go.

use std::time::Duration;

use super::error::StoreError;
use crate::alert::Rule;
use crate::batch::{Batch, Ending};

/// The time for which another process may hold the store's lock before the collector counts that as a failure.
pub const BUSY_MAX: Duration = Duration::from_secs(5);

/// A store: takes batches, keeps them within bounds, and passes on what users set in it.
pub trait Store: Send {
    // --- Batches ---

    /// Writes the batch in one transaction: all of it or nothing. A batch whose sequence number this process has
    /// already committed is acknowledged without being written again.
    ///
    /// # Errors
    /// See [`StoreError`]: each variant is something that the caller can do.
    fn write(&mut self, batch: &Batch) -> Result<Written, StoreError>;

    // --- Control: what users set in the store ---

    /// Returns the rates in the table `sampling`, newest last, if they changed since the last call.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn rates(&mut self) -> Result<Option<Vec<SetRate>>, StoreError>;

    /// Sets the rate of a pattern in the table `sampling`, or removes it if `rate` is `None`.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn set_rate(
        &mut self,
        pattern: &str,
        rate: Option<f64>,
        set_by: &str,
        now_ns: i64,
    ) -> Result<(), StoreError>;

    /// Returns the rules in the table `alert_rule` that are switched on and make sense, if the table may have changed since
    /// the last call.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn alert_rules(&mut self) -> Result<Option<Vec<Rule>>, StoreError> {
        Ok(None)
    }

    /// Returns the holds on guards of this process in the table `guard_hold`, by the guards' names.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn guard_holds(&mut self) -> Result<Vec<(String, SetHold)>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns the hold on this process's breaker in the table `breaker`, or `None` if there is none. This works even
    /// while the store cannot be written.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn hold(&mut self) -> Result<Option<SetHold>, StoreError> {
        Ok(None)
    }

    // --- Maintenance ---

    /// Does one bounded step of retention: deletes rows that are older than the age bound, or the oldest ones if the
    /// files are over the size bound.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn retain(&mut self, now_ns: i64) -> Result<Retained, StoreError>;

    /// Sets the bounds on the age of rows and on the bytes of all files.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn set_bounds(&mut self, _retention: Duration, _max_disk_bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Does one step of recovering what dead processes left for this store. Returns true if there is more to do.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn recover(&mut self, _now_ns: i64) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Copies the log into the database, so that the database is complete without it. It is called while there is
    /// nothing to write.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn checkpoint_wal(&mut self, _now_ns: i64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns what happened to the store's file since the last call: a damaged file was set aside, a file of another
    /// schema or program was left untouched, a file vanished.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Marks the process as ended in this way and closes the store.
    ///
    /// # Errors
    /// Returns the errors of [`Store::write`].
    fn close(&mut self, now_ns: i64, ending: Ending) -> Result<(), StoreError>;
}

/// The result of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that are now committed.
    pub rows: u64,
    /// Bytes of the rows' content.
    pub bytes: u64,
    /// Size of the database file.
    pub db_bytes: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// True if the batch had been committed before, by a write whose answer was lost.
    pub was_there: bool,
    /// Functions of which the batch had a kind of failure that the store did not have, once for each kind. A store that
    /// has been in use for less than an hour reports none, because everything is new to it.
    pub new_failures: Vec<u32>,
}

/// The result of a step of retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows deleted.
    pub rows: u64,
    /// True if another step is needed.
    pub more: bool,
}

/// A row of the table `sampling`.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRate {
    /// Pattern over function names.
    pub pattern: String,
    /// Rate, 0 to 1.
    pub rate: f64,
    /// Name of whoever set the rate.
    pub set_by: String,
}

/// A row of the table `breaker` or `guard_hold`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHold {
    /// State in which the breaker is held.
    pub hold: Hold,
    /// Reason for the hold.
    pub reason: String,
    /// Name of whoever set the hold.
    pub set_by: String,
    /// Time at which the hold was set, ns since the Unix epoch.
    pub set_ns: i64,
}

/// The state in which a user holds a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is written; a guard makes no call.
    Open,
    /// Every write is tried; a guard makes every call.
    Closed,
    /// The breaker is not held, even if the row for all processes sets a hold.
    Auto,
}

/// Something that happened to the store's file: worth an event row and a line on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Kind of event, as in the column `kind` of `events`: `quarantine` or `store`.
    pub kind: &'static str,
    /// Description of the event in a sentence.
    pub detail: String,
}
