//! The recorder of a process, as its threads share it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::collect::shared::Shared;
use crate::thread::pool::ThreadPool;

/// The recorder of a process. It is never dropped, because threads may record until the very end.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) rings: ThreadPool,
    pub(super) shared: Arc<Shared>,
    /// The path that the settings name for the store, or `None` for memory.
    pub(super) store_path: Option<PathBuf>,
}
