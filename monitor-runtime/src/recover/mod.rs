//! Recovery: brings the content of a dead process's ring file into its store.
//!
//! Takes a ring file and a store; gives rows: records, counts, and the calls that were under way. Each row is written
//! once, however many recoverers try, because the progress is committed together with the rows; then the file is
//! removed. The content of the file is checked and believed only as far as it is consistent. It knows why the process
//! died only as far as the process, the system or a core file says so.

#[cfg_attr(not(any(target_os = "linux", target_os = "android", windows)), path = "no_files.rs")]
mod files;
mod memory;
mod records;
mod survey;
mod kinds;
mod in_flight;
pub(crate) mod cause;
mod dead_process;
mod live;

pub(crate) use files::file_name;
pub use live::{LiveProcess, UnderWay, find_live};

use std::path::{Path, PathBuf};

use dead_process::DeadProcess;
use files::{OrphanFile, Search};
use memory::RecoveryMemory;
use rusqlite::Connection;

use crate::accountant::Accountant;
use crate::store::{OpenError, RecoveryStep, StoreOptions, recovered_rows};

/// The amount that a recovery brought into the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number of dead processes whose files were recovered to the end.
    pub processes: u64,
    /// Number of their calls that got a row.
    pub calls: u64,
}

/// A recovery that goes through ring files one at a time.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    current: Option<DeadProcess>,
    search: Search,
    /// The accounts of the recorder in whose process the recovery runs.
    accountant: Option<&'static Accountant>,
}

impl Recovery {
    /// Recovers one transaction's worth of records of one dead process. Returns whether there is more to do.
    ///
    /// # Errors
    /// An error of SQLite; the next step tries again.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        (folders, store): (&[PathBuf], &Path),
        now_ns: i64,
        recovered: &mut Recovered,
    ) -> rusqlite::Result<bool> {
        if self.current.is_none() {
            match files::claim_dead(folders, store, &self.search, now_ns) {
                Some(OrphanFile::Dead(claim, image)) => {
                    let memory = RecoveryMemory::new(self.accountant);
                    // A store that is busy just now says nothing about the file, so this try does not count.
                    let done = recovered_rows::read_progress(connection, &image.process.run_uuid)
                        .inspect_err(|_| claim.note_tries(0))?;
                    self.current = Some(DeadProcess::new(claim, *image, done, memory));
                }
                Some(OrphanFile::Aside(path)) => {
                    recovered_rows::note_set_aside(connection, &path, now_ns)?;
                    return Ok(true);
                }
                None => {
                    self.search.is_quick = false;
                    let trimmed = files::trim(folders, store, now_ns);
                    recovered_rows::note_trimmed(connection, trimmed, now_ns)?;
                    return Ok(false);
                }
            }
        }
        let Some(current) = &mut self.current else { return Ok(false) };
        match current.step(connection, now_ns) {
            Ok(Some(calls)) => recovered.calls += calls,
            Ok(None) => {
                recovered.processes += 1;
                if let Some(current) = self.current.take() {
                    current.close();
                }
            }
            Err(error) => {
                // The next step reads the progress from the store again.
                self.release();
                return Err(error);
            }
        }
        Ok(true)
    }
}

impl Recovery {
    /// Releases the file that is being recovered.
    fn release(&mut self) {
        if let Some(current) = self.current.take() {
            current.release();
        }
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns the step of recovery that a store runs from time to time, in the process of this run. Its first search is a
/// quick one, because the process may end at once.
pub(crate) fn recovery_step(run_uuid: &str, accountant: &'static Accountant) -> RecoveryStep {
    let search = Search { own_run: Some(run_uuid.to_owned()), is_quick: true, takes_aside: false };
    let mut recovery = Recovery { current: None, search, accountant: Some(accountant) };
    RecoveryStep(Box::new(move |connection, places, now_ns| {
        recovery.step(connection, places, now_ns, &mut Recovered::default())
    }))
}

/// Recovers everything that dead processes left in these folders for this store, files that were set aside included. If
/// there is nothing, the store is not touched.
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
        recovery.search.takes_aside = true;
        while recovery.step(connection, (folders, path), now_ns, &mut recovered)? {}
        Ok(())
    })?;
    Ok(recovered)
}
