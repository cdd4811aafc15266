//! The step of recovery that the store runs.
//!
//! Takes a function at construction; the store calls it with the open connection. The file does not know what the step
//! does.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// The function of a step: takes the connection, the folders of ring files, the store's path, and the time in ns since the
/// Unix epoch. Returns true if there is more to do.
type RunStep = dyn FnMut(&Connection, (&[PathBuf], &Path), i64) -> rusqlite::Result<bool> + Send;

/// A step of recovery, which writes what dead processes left into the store. The store is handed the function, because
/// recovery imports the store, and the store does not import recovery.
pub(crate) struct RecoveryStep(pub(crate) Box<RunStep>);

impl std::fmt::Debug for RecoveryStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecoveryStep")
    }
}
