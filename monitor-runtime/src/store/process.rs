//! Enters processes into the store, reads their progress, and marks those that died.
//!
//! Takes a process and the time; gives its id in the store. The caller opens and commits the transaction.

use super::alerts;
use crate::batch::ProcessRow;
use crate::platform::liveness;
use rusqlite::{Connection, OptionalExtension as _, params};

/// The progress of a process in the open file.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) process_id: i64,
    /// Number of the last batch that was committed.
    pub(crate) sequence: i64,
    pub(crate) ending: String,
}

/// The processes that are looked at when a process is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidates {
    All,
    Latest,
}

/// The number of processes that [`Candidates::Latest`] looks at. A store of many short runs has thousands, and each run
/// would read all of them.
const LATEST: i64 = 256;

/// Reads the progress of a process. Returns `None` if the file does not have the process.
pub(crate) fn progress(transaction: &Connection, run_uuid: &str) -> rusqlite::Result<Option<Progress>> {
    transaction
        .query_row(
            "SELECT p.id, coalesce(g.sequence, 0), p.ending FROM process p
             LEFT JOIN progress g ON g.process_id = p.id AND g.ring = 0 WHERE p.run_uuid = ?1",
            [run_uuid],
            |row| Ok(Progress { process_id: row.get(0)?, sequence: row.get(1)?, ending: row.get(2)? }),
        )
        .optional()
}

/// Enters a process, or marks its entry as running again. Returns the process's id in the store.
pub(crate) fn enter(
    transaction: &Connection,
    process: &ProcessRow,
    pid_mark: Option<&str>,
) -> rusqlite::Result<i64> {
    transaction.query_row(
        "INSERT INTO process
           (run_uuid, service, version, host, pid, pid_mark, started_ns, executable, program_version, build)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (run_uuid) DO UPDATE SET ending = 'running', ended_ns = NULL
         RETURNING id",
        params![
            process.run_uuid,
            process.service,
            process.version,
            process.host,
            process.pid,
            pid_mark,
            process.started_ns,
            process.program.executable,
            process.program.version,
            process.program.build
        ],
        |row| row.get(0),
    )
}

/// Marks a process as running again, because another process took it for dead.
pub(crate) fn revive(transaction: &Connection, process_id: i64) -> rusqlite::Result<()> {
    transaction
        .execute("UPDATE process SET ending = 'running', ended_ns = NULL WHERE id = ?1", [process_id])
        .map(|_| ())
}

/// Marks processes as crashed that are entered as running and do not run any more, among all processes or only the
/// latest ones.
pub(crate) fn mark_crashed(
    transaction: &Connection,
    process: &ProcessRow,
    candidates: Candidates,
    now_ns: i64,
) -> rusqlite::Result<()> {
    for (id, seen_ns) in find_dead(transaction, process, candidates, now_ns)? {
        transaction
            .execute("UPDATE process SET ending = 'crash', ended_ns = ?2 WHERE id = ?1", [id, seen_ns])?;
        alerts::end(transaction, id, seen_ns)?;
    }
    Ok(())
}

/// Returns the processes that are entered as running and are gone: the id of each, and the time at which it was last seen.
pub(crate) fn find_dead(
    connection: &Connection,
    process: &ProcessRow,
    candidates: Candidates,
    now_ns: i64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let looked_at = match candidates {
        Candidates::All => i64::MAX,
        Candidates::Latest => LATEST,
    };
    let mut running = connection.prepare(
        "SELECT p.id, p.host, p.pid, p.pid_mark, coalesce(g.at_ns, p.started_ns) FROM process p
         LEFT JOIN progress g ON g.process_id = p.id AND g.ring = 0
         WHERE p.ending = 'running' AND p.run_uuid <> ?1 AND p.id > (SELECT max(id) FROM process) - ?2",
    )?;
    let mut gone = Vec::new();
    let mut rows = running.query(params![process.run_uuid, looked_at])?;
    while let Some(row) = rows.next()? {
        let (id, host, pid): (i64, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (mark, seen_ns): (Option<String>, i64) = (row.get(3)?, row.get(4)?);
        let silent_ns = now_ns.saturating_sub(seen_ns);
        let mark = mark.filter(|_| host == process.host);
        if liveness::is_gone(pid, mark.as_deref(), silent_ns) {
            gone.push((id, seen_ns));
        }
    }
    Ok(gone)
}

/// Returns true if another copy of the recorder runs in this same process and writes to the same store. The program
/// that this process ran before an exec is not such a copy, because its ring file is not mapped any more.
pub(crate) fn has_other_copy(
    transaction: &Connection,
    process: &ProcessRow,
    pid_mark: Option<&str>,
) -> rusqlite::Result<bool> {
    let mut same = transaction.prepare(
        "SELECT run_uuid FROM process
         WHERE ending = 'running' AND pid = ?1 AND pid_mark = ?2 AND host = ?3 AND run_uuid <> ?4",
    )?;
    let mut rows = same.query(params![process.pid, pid_mark, process.host, process.run_uuid])?;
    while let Some(row) = rows.next()? {
        let run: String = row.get(0)?;
        if run.get(..RUN_IN_NAME).is_some_and(|run| liveness::maps_file(&format!("-{run}"))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of leading digits of a run's UUID with which the name of its ring file ends.
const RUN_IN_NAME: usize = 8;
