//! The store that batches go to: opened when it is needed, and opened anew after it was lost.

use std::path::PathBuf;

use crate::batch::Ending;
use crate::store::{Store, StoreError};

/// Opens the store, at the place and in the way that the settings name. The argument is the time, in nanoseconds since
/// the Unix epoch.
pub(crate) type Opener = Box<dyn FnMut(i64) -> Result<Opened, StoreError> + Send>;

/// A store that was opened.
pub(crate) struct Opened {
    pub(crate) store: Box<dyn Store>,
    /// The path of the store, or `None` for a store in memory.
    pub(crate) path: Option<PathBuf>,
    /// A sentence for a person, for example that the store is not where the settings place it.
    pub(crate) notice: Option<String>,
}

/// The store that batches go to.
pub(super) struct CurrentStore {
    opener: Opener,
    open: Option<Box<dyn Store>>,
}

impl CurrentStore {
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, open: None }
    }

    /// Returns the store if it is open.
    pub(super) fn get(&mut self) -> Option<&mut (dyn Store + 'static)> {
        self.open.as_deref_mut()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Opens the store. Returns its path and the notice.
    pub(super) fn open(&mut self, now_ns: i64) -> Result<(Option<PathBuf>, Option<String>), StoreError> {
        let Opened { store, path, notice } = (self.opener)(now_ns)?;
        self.open = Some(store);
        Ok((path, notice))
    }

    /// Drops the store, so that the next batch opens it again.
    pub(super) fn drop_open(&mut self) {
        self.open = None;
    }

    /// Ends the process's entry in the store and drops the store. Returns false while another process holds the lock,
    /// unless it is too late to wait for it.
    pub(super) fn close(&mut self, now_ns: i64, ending: Ending, is_late: bool) -> bool {
        if let Some(store) = &mut self.open
            && matches!(store.close(now_ns, ending), Err(StoreError::Busy(_)))
            && !is_late
        {
            return false;
        }
        // Any other error is ignored, because nobody is left to receive it: a process whose entry has no end shows as
        // `crash`.
        self.open = None;
        true
    }
}
