//! The recovery of what a test program could not write before it ended.
//!
//! Takes a store; gives the same store once every process in it has ended. A test program that is killed, or whose recorder
//! got too little time at the exit, leaves its counts in memory that outlives it, and the next process that records
//! into the store takes them from there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rusqlite::{Connection, OpenFlags};

/// The argument with which this program runs as the next process.
pub(crate) const ARGUMENT: &str = "--recover";
/// The time after which recovery counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a process has recovered what this many others left for the store. Those that could write nothing at all before
/// they ended have no row yet.
pub(crate) fn recover(store: &Path, processes: usize) -> Result<()> {
    if processes == 0 {
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe()?);
    let mut next = command.arg(ARGUMENT).env("MONITOR_DB", store).stdin(Stdio::piped()).spawn()?;
    let own = i64::from(next.id());
    let start = Instant::now();
    let recovered = loop {
        let (others, left) = running(store, own).unwrap_or_default();
        let is_done = left == 0 && others >= processes;
        if is_done || start.elapsed() > PATIENCE {
            break is_done;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    // The process ends once its standard input is closed.
    drop(next.stdin.take());
    next.wait()?;
    if !recovered {
        bail!("{} has processes that were not recovered", store.display());
    }
    Ok(())
}

/// Returns the number of processes without the one of this id, and the number of those that have not ended.
fn running(store: &Path, own: i64) -> Result<(usize, usize)> {
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store.busy_timeout(Duration::from_secs(5))?;
    let query = "SELECT count(*), count(*) FILTER (WHERE ending = 'running') FROM processes WHERE pid <> ?1";
    let count = |value: i64| usize::try_from(value).unwrap_or(0);
    Ok(store.query_row(query, [own], |row| Ok((count(row.get(0)?), count(row.get(1)?))))?)
}

/// Records one call, which starts the recorder, and runs until the input ends.
pub(crate) fn record_until_end_of_input() {
    start_recorder();
    let _ = std::io::read_to_string(std::io::stdin());
}

#[monitored::monitor(name = "field::recover")]
fn start_recorder() {}
