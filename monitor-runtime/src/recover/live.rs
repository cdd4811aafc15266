//! What running processes are at, read from outside: their ring files are opened for reading and nothing
//! else, so it costs them nothing. In: folders, a store. Out: the calls under way in each of its processes.

use std::path::{Path, PathBuf};

use super::{files, in_flight};
use crate::batch::{InFlightRow, ProcessRow};

/// A running process.
#[derive(Debug, Clone)]
pub struct Living {
    /// Who it is.
    pub process: ProcessRow,
    /// Its calls under way, thread by thread, the outermost first; then those that wait.
    pub calls: Vec<UnderWay>,
    /// Async calls that waited and for which there was no slot, since the process began.
    pub lost: u64,
}

/// A call under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// The function's name.
    pub function: String,
    /// Its thread; none for an async call that waits to be polled again.
    pub thread: Option<String>,
    /// Number of monitored calls around it on its thread.
    pub depth: u32,
    /// Start, ns since the Unix epoch.
    pub start_ns: i64,
    /// When it began to wait, for one that waits.
    pub waiting_since_ns: Option<i64>,
    /// From which duration on its function is slow, where that was stated.
    pub slow_ns: Option<u64>,
    /// Its span id; 1 for a call that is not drawn.
    pub span_id: u64,
}

/// The running processes of this user that keep this store and have ring files in these folders.
#[must_use]
pub fn living(store: &Path, folders: &[PathBuf], now_ns: i64) -> Vec<Living> {
    let images = files::of_living(folders, store, now_ns);
    let living = images.into_iter().map(|image| {
        let call = |flight: InFlightRow| {
            let site = image.sites.get(&flight.function)?;
            Some(UnderWay {
                function: site.name.clone(),
                thread: flight.thread,
                depth: flight.depth,
                start_ns: flight.start_ns,
                waiting_since_ns: flight.waiting_since_ns,
                slow_ns: Some(site.slow_ns).filter(|limit| *limit != u64::MAX),
                span_id: flight.span_id,
            })
        };
        let calls = in_flight::in_flight(&image).into_iter().filter_map(call).collect();
        Living { process: image.process.clone(), calls, lost: image.flights_lost }
    });
    living.collect()
}
