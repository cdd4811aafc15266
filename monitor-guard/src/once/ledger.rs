//! The keys in a file.
//!
//! Takes keys whose functions begin and end; gives the recorded state of a key. A key is on the disk, in a transaction
//! of its own, before its function begins. No function runs within a transaction. Callers wait for the file by one
//! deadline, the queue of other callers included. The file does not know values: they are texts here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::desk::{Desk, Taken};
use super::endings::{Ending, Endings, Unrecorded, compute_expiry};
use super::file::{self, Marks, Reader, Writer};
use super::now_ns;

/// The file of keys for [`once`](super::once), with what was recorded under each.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    writer: Desk<Writer>,
    reader: Desk<Reader>,
    /// The ends of functions that could not be written yet. The next transaction writes them first.
    endings: Endings,
    /// The time for which a call waits for the file.
    wait_max: Duration,
}

/// A key in doubt: it is not known whether its side effect was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Doubt {
    /// The key.
    pub key: String,
    /// Time at which its function began, in ns since the Unix epoch.
    pub begun_ns: i64,
    /// The way in which the function ended.
    pub why: String,
}

/// The state of a key when a function is to be run under it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The key is unknown, so the caller runs its function now.
    First,
    /// The function ended with this result.
    Done(String),
    /// The function failed with this error.
    Failed(String),
    /// A caller in a process that is alive runs the function.
    InProgress { begun_ns: i64 },
    /// A caller began the function, and its end is unknown.
    InDoubt { begun_ns: i64, why: String },
}

/// The largest number of bytes of a key.
const KEY_BYTES_MAX: usize = 1024;
/// Expired keys that each new key removes: more than one, so that the file shrinks.
const EXPIRED_MAX: i64 = 8;
/// The time for which a call waits for other callers and processes that write, all in all.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Attempts to record the end of a function before it is left to the next transaction.
const ENDINGS_MAX: usize = 3;
const WHY_ENDED: &str = "its process ended while its function ran";

impl Ledger {
    /// Returns the ledger in this file, which is opened or made at the first use. A relative path is one below the
    /// folder that is current now. Beside the file is a folder with the marks of the processes that use it. Neither may
    /// be deleted while a program uses them.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let path = std::path::absolute(&path).unwrap_or(path);
        let (writer, reader) = (Desk::new(), Desk::new());
        Self { path, writer, reader, endings: Endings::default(), wait_max: WAIT_MAX }
    }

    /// Returns the keys in doubt, oldest first.
    ///
    /// # Errors
    /// A message if the file cannot be used.
    pub fn doubts(&self) -> Result<Vec<Doubt>, String> {
        self.transact(self.deadline(), |transaction, marks| {
            let mut select = transaction.prepare(
                "SELECT key, begun_ns, text, state, owner FROM once WHERE state IN ('doubt', 'running')
                 ORDER BY begun_ns, key",
            )?;
            let mut rows = select.query([])?;
            let mut doubts = Vec::new();
            while let Some(row) = rows.next()? {
                let (state, owner): (String, String) = (row.get(3)?, row.get(4)?);
                if state == "doubt" || !marks.is_alive(&owner) {
                    let why = row.get::<_, Option<String>>(2)?.unwrap_or_else(|| WHY_ENDED.to_owned());
                    doubts.push(Doubt { key: row.get(0)?, begun_ns: row.get(1)?, why });
                }
            }
            Ok(doubts)
        })
    }

    /// Records that the side effect of a key in doubt was done, with this value, which callers get for `ttl` from now
    /// on. Returns false if the key is not in doubt.
    ///
    /// # Errors
    /// A message if the file cannot be used, or the value cannot be written as JSON.
    pub fn resolve<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) -> Result<bool, String> {
        let text = serde_json::to_string(value).map_err(|why| why.to_string())?;
        let expires_ns = compute_expiry(now_ns(), ttl);
        self.settle(key, |transaction| {
            let sql = "UPDATE once SET state = 'done', text = ?2, expires_ns = ?3 WHERE key = ?1";
            transaction.execute(sql, params![key, text, expires_ns])
        })
    }

    /// Records that the side effect of a key in doubt was not done, so the next caller does it. Returns false if the
    /// key is not in doubt.
    ///
    /// # Errors
    /// A message if the file cannot be used.
    pub fn forget(&self, key: &str) -> Result<bool, String> {
        self.settle(key, |transaction| transaction.execute("DELETE FROM once WHERE key = ?1", [key]))
    }

    fn settle(
        &self,
        key: &str,
        settle: impl Fn(&Transaction<'_>) -> rusqlite::Result<usize>,
    ) -> Result<bool, String> {
        self.transact(self.deadline(), |transaction, marks| {
            let is_in_doubt = match read(transaction, key)? {
                Some(Row { state: State::Doubt, .. }) => true,
                Some(Row { state: State::Running, owner, .. }) => !marks.is_alive(&owner),
                _ => false,
            };
            if is_in_doubt {
                settle(transaction)?;
            }
            Ok(is_in_doubt)
        })
    }

    /// Claims a key if nothing is known of it; otherwise returns what is known.
    pub(super) fn claim(&self, key: &str, now_ns: i64) -> Result<Claimed, String> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(format!("a key has 1 to {KEY_BYTES_MAX} bytes, and this one has {}", key.len()));
        }
        let deadline = self.deadline();
        if let Some(known) = self.read_result(key, now_ns, deadline) {
            return Ok(known);
        }
        self.transact(deadline, |transaction, marks| claim_within(transaction, marks, key, now_ns))
    }

    /// Records the end of a function, now or with the next transaction of this ledger.
    pub(super) fn end(&self, key: &str, begun_ns: i64, now_ns: i64, ending: Ending<'_>) {
        self.endings.add(Unrecorded::new(key, begun_ns, now_ns, ending));
        let deadline = self.deadline();
        for attempt in 0..ENDINGS_MAX {
            if attempt > 0 && Instant::now() >= deadline || self.write_endings(deadline).is_ok() {
                break;
            }
        }
        self.endings.cut();
    }

    /// Writes the ends that wait, if there are any: another caller may have written them.
    fn write_endings(&self, deadline: Instant) -> Result<(), String> {
        if self.endings.is_empty() {
            return Ok(());
        }
        self.transact(deadline, |_, _| Ok(()))
    }

    /// Returns the recorded result of a key, without waiting for those who write; `None` if there is none, or if it
    /// cannot be read in this way.
    fn read_result(&self, key: &str, now_ns: i64, deadline: Instant) -> Option<Claimed> {
        let mut reader = self.reader.take(deadline)?;
        reader.value = reader.value.take().and_then(Reader::keep).or_else(|| Reader::open(&self.path));
        let Ok(row) = read(&reader.value.as_ref()?.connection, key) else {
            // The connection may be of no use any more, as after the program has closed its descriptor.
            reader.value = None;
            return None;
        };
        let row = row?;
        row.expires_ns.filter(|expires_ns| now_ns < *expires_ns)?;
        match row.state {
            State::Done => Some(Claimed::Done(row.text.unwrap_or_default())),
            State::Failed => Some(Claimed::Failed(row.text.unwrap_or_default())),
            State::Running | State::Doubt => None,
        }
    }

    /// Runs a function within a transaction that writes, after the ends that wait.
    fn transact<T>(
        &self,
        deadline: Instant,
        run: impl FnOnce(&Transaction<'_>, &Marks) -> rusqlite::Result<T>,
    ) -> Result<T, String> {
        let taken = self.take_writer(deadline)?;
        let writer = taken.value.as_ref().ok_or("the file is not open")?;
        let mut written = None;
        let result = writer.transact(deadline, |transaction, marks| {
            written = Some(self.endings.write(transaction, marks.own())?);
            run(transaction, marks)
        });
        let result = result.map_err(|error| file::describe(&self.path, &error))?;
        if let Some(written) = written {
            written.settle();
        }
        Ok(result)
    }

    /// Takes the connection that writes, which is opened now if it was not.
    fn take_writer(&self, deadline: Instant) -> Result<Taken<'_, Writer>, String> {
        let mut taken = self.writer.take(deadline).ok_or_else(|| {
            format!("{}: other callers have used it for {:?}", self.path.display(), self.wait_max)
        })?;
        match taken.value.take().map(Writer::keep) {
            Some(Ok(writer)) => taken.value = Some(writer),
            Some(Err(path)) => taken.value = Some(Writer::open(&path, deadline)?),
            None => taken.value = Some(Writer::open(&self.path, deadline)?),
        }
        // From here on the desk gets the writer back whatever fails, because its mark shows that this process lives.
        if let Some(writer) = taken.value.as_mut().filter(|writer| writer.is_lost()) {
            if let Some(mut reader) = self.reader.take(deadline) {
                reader.value = None;
            }
            writer.reopen(deadline)?;
        }
        Ok(taken)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.wait_max
    }
}

impl Drop for Ledger {
    /// Tries to write the ends that wait, without a wait for the file. Connections that came through a fork are not
    /// closed.
    fn drop(&mut self) {
        let _ = self.write_endings(Instant::now());
        if let Some(mut writer) = self.writer.take(Instant::now()) {
            drop(writer.value.take().map(Writer::keep));
        }
        if let Some(mut reader) = self.reader.take(Instant::now()) {
            drop(reader.value.take().map(Reader::keep));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
    Doubt,
}

struct Row {
    state: State,
    owner: String,
    begun_ns: i64,
    expires_ns: Option<i64>,
    text: Option<String>,
}

fn read(connection: &Connection, key: &str) -> rusqlite::Result<Option<Row>> {
    let sql = "SELECT state, owner, begun_ns, expires_ns, text FROM once WHERE key = ?1";
    let mut select = connection.prepare(sql)?;
    let row = select.query_row([key], |row| {
        let state = match row.get::<_, String>(0)?.as_str() {
            "running" => State::Running,
            "done" => State::Done,
            "failed" => State::Failed,
            _ => State::Doubt,
        };
        let (owner, begun_ns) = (row.get(1)?, row.get(2)?);
        Ok(Row { state, owner, begun_ns, expires_ns: row.get(3)?, text: row.get(4)? })
    });
    row.optional()
}

fn claim_within(
    transaction: &Transaction<'_>,
    marks: &Marks,
    key: &str,
    now_ns: i64,
) -> rusqlite::Result<Claimed> {
    if let Some(Row { state, owner, begun_ns, expires_ns, text }) = read(transaction, key)? {
        let is_valid = expires_ns.is_none_or(|expires_ns| now_ns < expires_ns);
        let text = text.unwrap_or_default();
        match state {
            State::Done if is_valid => return Ok(Claimed::Done(text)),
            State::Failed if is_valid => return Ok(Claimed::Failed(text)),
            State::Done | State::Failed => {}
            State::Doubt => return Ok(Claimed::InDoubt { begun_ns, why: text }),
            State::Running if marks.is_alive(&owner) => return Ok(Claimed::InProgress { begun_ns }),
            State::Running => {
                let why = WHY_ENDED.to_owned();
                let sql = "UPDATE once SET state = 'doubt', text = ?2 WHERE key = ?1";
                transaction.execute(sql, params![key, why])?;
                return Ok(Claimed::InDoubt { begun_ns, why });
            }
        }
    }
    let sql = "DELETE FROM once WHERE key IN (SELECT key FROM once WHERE expires_ns <= ?1 ORDER BY expires_ns LIMIT ?2)";
    transaction.prepare(sql)?.execute(params![now_ns, EXPIRED_MAX])?;
    let sql = "INSERT OR REPLACE INTO once (key, state, owner, begun_ns) VALUES (?1, 'running', ?2, ?3)";
    transaction.prepare(sql)?.execute(params![key, marks.own(), now_ns])?;
    Ok(Claimed::First)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::once::{Once, OnceError};

    const DAY: Duration = Duration::from_secs(86_400);

    fn ledger(wait_ms: u64) -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new(folder.path().join("once.db"));
        ledger.wait_max = Duration::from_millis(wait_ms);
        (folder, ledger)
    }

    /// Does a side effect once.
    fn act(ledger: &Ledger, key: &str, value: u32) -> Result<Once<u32>, OnceError<String>> {
        ledger.once(key, DAY, || Ok(value))
    }

    /// Keeps other processes from the file until the result is dropped.
    fn block(ledger: &Ledger) -> Connection {
        let other = Connection::open(&ledger.path).unwrap();
        other.busy_timeout(Duration::from_secs(60)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    #[test]
    fn an_end_that_cannot_be_recorded_is_recorded_by_the_next_call() {
        let (_folder, ledger) = ledger(100);
        act(&ledger, "earlier", 1).unwrap();
        let mut other = None;
        let mut run = |key: &str, result: Result<u32, String>| {
            ledger.once(key, DAY, || {
                other = Some(block(&ledger));
                result
            })
        };
        assert_eq!(run("done", Ok(7)), Ok(Once::First(7)));
        assert!(matches!(act(&ledger, "done", 8), Err(OnceError::Unavailable(_))), "nobody can write");
        assert_eq!(act(&ledger, "earlier", 2), Ok(Once::Recorded(1)), "a recorded result does not wait");
        drop(other.take());
        assert_eq!(act(&ledger, "done", 9), Ok(Once::Recorded(7)));
        assert!(ledger.endings.is_empty());
    }

    #[test]
    fn ends_that_wait_are_seen_by_those_who_look_for_doubts_and_settle_them() {
        let (_folder, ledger) = ledger(100);
        let mut other = None;
        let panics = std::panic::AssertUnwindSafe(|| {
            ledger.once("doubt", DAY, || -> Result<u32, String> {
                other = Some(block(&ledger));
                panic!("boom")
            })
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert!(!ledger.endings.is_empty());
        drop(other);
        assert_eq!(ledger.doubts().unwrap().len(), 1);
        assert_eq!(ledger.forget("doubt"), Ok(true));
        assert_eq!(act(&ledger, "doubt", 3), Ok(Once::First(3)));
    }

    #[test]
    fn ends_that_wait_are_written_when_the_ledger_is_dropped() {
        let (folder, ledger) = ledger(50);
        let mut other = None;
        let run = || {
            other = Some(block(&ledger));
            Ok::<u32, String>(7)
        };
        ledger.once("done", DAY, run).unwrap();
        drop(other);
        drop(ledger);
        let ledger = Ledger::new(folder.path().join("once.db"));
        assert_eq!(act(&ledger, "done", 8), Ok(Once::Recorded(7)));
    }

    #[test]
    fn a_caller_waits_for_the_others_until_its_own_deadline_and_a_reader_does_not_wait() {
        let (_folder, ledger) = ledger(50);
        act(&ledger, "earlier", 1).unwrap();
        // Another caller writes, and does not come to an end.
        let other = ledger.writer.take(Instant::now()).unwrap();
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let ledger = &ledger;
            scope.spawn(move || sender.send((act(ledger, "new", 1), act(ledger, "earlier", 2))));
            let answers = receiver.recv_timeout(Duration::from_secs(60));
            drop(other);
            let Ok((Err(OnceError::Unavailable(why)), earlier)) = answers else { panic!("{answers:?}") };
            assert!(why.contains("other callers have used it"), "{why}");
            assert_eq!(earlier, Ok(Once::Recorded(1)));
        });
        assert_eq!(act(&ledger, "new", 5), Ok(Once::First(5)));
    }
}
