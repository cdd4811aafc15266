//! The file of an open database, its log and the log's index, as they were last seen.
//!
//! Takes paths; gives the sizes of the files, and what has become of them since: this is the only place that finds out
//! whether the files are still ours. Files are looked at by name and none is opened, because closing a descriptor would
//! drop the locks that SQLite holds. `repair` decides what follows from a look.

use std::path::PathBuf;

use crate::store::file::{self, FileState, Identity};

/// An open file by its path, with its state when it was last seen.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) path: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
    pub(super) state: FileState,
    /// The log and its index when they were last seen intact; `None` before.
    log: Option<(Identity, FileState)>,
}

/// The state of the files on the disk, compared with the look before.
#[derive(Debug)]
pub(super) enum Look {
    /// All of them are the open ones, and the database has not changed.
    Same,
    /// Others changed the content of the database: a process copied the log, or somebody wrote to the file.
    Changed { has_shrunk: bool },
    /// The log was removed or replaced, or its index was removed, replaced or cut.
    LostLog,
    /// The database is not at its path any more.
    Lost,
}

impl OpenFile {
    pub(super) fn new(path: PathBuf, state: FileState) -> Self {
        let (wal, shm) = (file::with_suffix(&path, "-wal"), file::with_suffix(&path, "-shm"));
        Self { path, wal, shm, state, log: None }
    }

    /// Looks at the files, and notes the state of the database.
    pub(super) fn look(&mut self) -> Look {
        if !self.has_intact_log() {
            return Look::LostLog;
        }
        match file::read_state(&self.path) {
            Some(state) if state == self.state => Look::Same,
            Some(state) if state.identity == self.state.identity => {
                let has_shrunk = state.bytes < self.state.bytes;
                self.state = state;
                Look::Changed { has_shrunk }
            }
            _ => Look::Lost,
        }
    }

    /// Returns the size of the database when it was last seen.
    pub(super) fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// Returns the size of the log now.
    pub(super) fn wal_bytes(&self) -> u64 {
        file::read_state(&self.wal).map_or(0, |state| state.bytes)
    }

    /// Notes the state of the file after a change of ours, so that it does not count as a change by others.
    pub(super) fn refresh(&mut self) {
        let state = file::read_state(&self.path).filter(|state| state.identity == self.state.identity);
        if let Some(state) = state {
            self.state = state;
        }
    }

    fn read_log(&self) -> Option<(Identity, FileState)> {
        Some((file::read_state(&self.wal)?.identity, file::read_state(&self.shm)?))
    }

    /// Returns true if log and index are the open files, and the index is not shorter than the part that is mapped.
    /// Nobody else sees what is written to a log that was removed. Touching an index that was cut ends the process with
    /// a signal that nothing stops.
    pub(super) fn has_intact_log(&mut self) -> bool {
        let seen = self.read_log();
        let is_intact = match (&self.log, &seen) {
            (Some((wal, shm)), Some((wal_seen, shm_seen))) => {
                wal == wal_seen && shm.identity == shm_seen.identity && shm_seen.bytes >= shm.bytes
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_intact {
            self.log = seen;
        }
        is_intact
    }

    /// Returns true if nobody has put other files in the place of log and index, and the index is not cut. Files that
    /// are missing are allowed. Returns false if log and index were never seen.
    pub(super) fn has_no_other_log(&self) -> bool {
        let Some((wal, shm)) = &self.log else { return false };
        file::read_state(&self.wal).is_none_or(|seen| seen.identity == *wal)
            && file::read_state(&self.shm)
                .is_none_or(|seen| seen.identity == shm.identity && seen.bytes >= shm.bytes)
    }
}
