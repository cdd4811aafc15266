//! The calls under way in running processes, read from outside.
//!
//! Takes folders and a store; gives the calls under way in each process that records into it. Ring files are only read,
//! so the processes pay nothing. It does not change a file.

use std::path::{Path, PathBuf};

use super::{files, in_flight};
use crate::batch::{InFlightRow, ProcessRow};

/// A running process.
#[derive(Debug, Clone)]
pub struct LiveProcess {
    /// The run of the program.
    pub process: ProcessRow,
    /// Calls under way, thread by thread, the outermost first; then async calls between two polls.
    pub calls: Vec<UnderWay>,
    /// The last moment at which the recorder of the process was at work, in nanoseconds since the Unix epoch. It is at
    /// most five seconds ago, unless the process is stopped.
    pub alive_ns: i64,
    /// The number of async calls since the process began that are missing in `calls`, because no slot was free.
    pub lost: u64,
}

/// A call under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// The function's name.
    pub function: String,
    /// The name of the thread; `None` for an async call between two polls.
    pub thread: Option<String>,
    /// Number of that thread within its process.
    pub thread_id: Option<u32>,
    /// Number of monitored calls in flight around the call, on its thread or in its task.
    pub depth: u32,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// The end of the last poll of an async call between two polls, in nanoseconds since the Unix epoch; `None` for
    /// other calls.
    pub waiting_since_ns: Option<i64>,
    /// The function's `slow` option in nanoseconds, if it has one.
    pub slow_ns: Option<u64>,
    /// Span id; 0 for a call that would get one with its record.
    pub span_id: u64,
    /// Span id of the call around this call; `None` for a root.
    pub parent_id: Option<u64>,
    /// Captured arguments, a JSON object.
    pub args: Option<String>,
}

/// Returns the running processes of this user that record into this store and have ring files in these folders.
#[must_use]
pub fn find_live(store: &Path, folders: &[PathBuf], now_ns: i64) -> Vec<LiveProcess> {
    let images = files::read_living(folders, store, now_ns);
    let living = images.into_iter().map(|image| {
        let call = |flight: InFlightRow| {
            let site = image.sites.get(&flight.function)?;
            Some(UnderWay {
                function: site.name.clone(),
                thread: flight.thread,
                thread_id: flight.thread_id,
                depth: flight.depth,
                start_ns: flight.start_ns,
                waiting_since_ns: flight.waiting_since_ns,
                slow_ns: Some(site.slow_ns).filter(|limit| *limit != u64::MAX),
                span_id: flight.span_id,
                parent_id: flight.parent_id,
                args: flight.args,
            })
        };
        let calls = in_flight::in_flight(&image).into_iter().filter_map(call).collect();
        LiveProcess {
            process: image.process.clone(),
            calls,
            alive_ns: image.alive_ns,
            lost: image.flights_lost,
        }
    });
    living.collect()
}
