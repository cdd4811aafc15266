//! What a process leaves behind in its ring file, brought into its store: records, counts, the calls that
//! were under way. In: a ring file of a dead process, a store. Out: rows, each once, however often and by
//! however many this is tried, because how far it came is committed with the rows; then the file goes.
//! What is in the file is believed as far as it holds together, and no further.

mod files;
mod records;
mod in_flight;
mod dead_process;
mod live;

pub(crate) use files::file_name;
pub use live::{Living, UnderWay, living};

use std::path::{Path, PathBuf};

use dead_process::Estate;
use rusqlite::Connection;

use crate::store::{OpenError, RecoveryStep, StoreOptions};

/// What was brought into the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Processes that had died.
    pub processes: u64,
    /// Their calls.
    pub calls: u64,
}

/// The recovery under way, one ring file at a time.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    estate: Option<Estate>,
}

impl Recovery {
    /// One step: a transaction's worth of records of one dead process. Whether there is more to do.
    ///
    /// # Errors
    /// What SQLite reports; the next step tries again.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        (folders, store): (&[PathBuf], &Path),
        now_ns: i64,
        recovered: &mut Recovered,
    ) -> rusqlite::Result<bool> {
        if self.estate.is_none() {
            let Some((claim, image)) = files::claim_dead(folders, store, now_ns) else { return Ok(false) };
            self.estate = Some(Estate::new(connection, claim, image)?);
        }
        let Some(estate) = &mut self.estate else { return Ok(false) };
        match estate.step(connection, now_ns) {
            Ok(Some(calls)) => recovered.calls += calls,
            Ok(None) => {
                recovered.processes += 1;
                if let Some(estate) = self.estate.take() {
                    estate.close();
                }
            }
            Err(error) => {
                // The claim is given up, and how far it came is read from the store again.
                self.estate = None;
                return Err(error);
            }
        }
        Ok(true)
    }
}

/// Returns the step of recovery that a store runs from time to time.
pub(crate) fn recovery_step() -> RecoveryStep {
    let mut recovery = Recovery::default();
    RecoveryStep(Box::new(move |connection, places, now_ns| {
        recovery.step(connection, places, now_ns, &mut Recovered::default())
    }))
}

/// Recovers everything that dead processes left in these folders for this store. Where there is nothing,
/// the store is not touched.
///
/// # Errors
/// See [`OpenError`].
pub fn recover(store: &Path, folders: &[PathBuf], now_ns: i64) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    let options = StoreOptions::file(store);
    if !files::any_dead(folders, store, now_ns) {
        return Ok(recovered);
    }
    crate::store::with_connection(&options, now_ns, |connection, path| {
        let mut recovery = Recovery::default();
        while recovery.step(connection, (folders, path), now_ns, &mut recovered)? {}
        Ok(())
    })?;
    Ok(recovered)
}
