//! The file of keys.
//!
//! Takes keys whose functions begin and end; gives the recorded state of a key. A key is on the disk, in a transaction
//! of its own, before its function begins. No function runs within a transaction. The file does not know values: they
//! are texts here.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::now_ns;
use super::owner::{self, Owner};
use crate::sync::lock;

/// The file of keys for [`once`](super::once), with what was recorded under each.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    owner: Owner,
    /// The process that opened the file. The child of a fork must not use the connection.
    pid: u32,
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

/// The end of a function.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending<'a> {
    Done {
        text: &'a str,
        ttl: Duration,
    },
    Failed {
        message: &'a str,
        ttl: Duration,
    },
    /// The side effect was not done.
    Free,
    Doubt {
        why: &'a str,
    },
}

/// The largest number of bytes of a key.
const KEY_BYTES_MAX: usize = 1024;
/// The pages of 4 KiB that the file may have: 1 GiB. Past it a key cannot be recorded, so nothing is done.
const PAGES_MAX: u32 = 262_144;
/// Expired keys that each new key removes: more than one, so that the file shrinks.
const EXPIRED_MAX: i64 = 8;
/// The time for which a call waits for other processes that write.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// Attempts to record the end of a function, which has been run by then.
const ENDINGS_MAX: usize = 3;
/// The file's mark, `MNON`, and the version of its table.
const APPLICATION_ID: i32 = 0x4D4E_4F4E;
const VERSION: i32 = 1;
const WHY_ENDED: &str = "its process ended while its function ran";

const TABLE: &str = "CREATE TABLE once (
  key TEXT PRIMARY KEY NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'doubt')),
  owner TEXT NOT NULL,
  begun_ns INTEGER NOT NULL,
  expires_ns INTEGER,
  text TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX once_expires ON once (expires_ns) WHERE expires_ns IS NOT NULL;";

impl Ledger {
    /// Returns the ledger in this file, which is opened or made at the first use. Beside the file is a folder with the
    /// marks of the processes that use it. Neither may be deleted while a program uses them.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: Mutex::new(None) }
    }

    /// Returns the keys in doubt, oldest first.
    ///
    /// # Errors
    /// A message if the file cannot be used.
    pub fn doubts(&self) -> Result<Vec<Doubt>, String> {
        self.transact(|transaction, owners| {
            let mut select = transaction.prepare(
                "SELECT key, begun_ns, text, state, owner FROM once WHERE state IN ('doubt', 'running')
                 ORDER BY begun_ns, key",
            )?;
            let mut rows = select.query([])?;
            let mut doubts = Vec::new();
            while let Some(row) = rows.next()? {
                let (state, owner): (String, String) = (row.get(3)?, row.get(4)?);
                if state == "doubt" || !owner::is_alive(owners, &owner) {
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
        let expires_ns = expiry(now_ns(), ttl);
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
        self.transact(|transaction, owners| {
            let is_in_doubt = match read(transaction, key)? {
                Some(Row { state: State::Doubt, .. }) => true,
                Some(Row { state: State::Running, owner, .. }) => !owner::is_alive(owners, &owner),
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
        let mut open = self.open()?;
        let open = open.as_mut().ok_or("the file is not open")?;
        // A recorded result is read without waiting for those who write.
        let known = read(&open.connection, key).map_err(|error| self.describe(&error))?;
        if let Some(Row { state: State::Done, text, expires_ns: Some(expires_ns), .. }) = known
            && now_ns < expires_ns
        {
            return Ok(Claimed::Done(text.unwrap_or_default()));
        }
        let folder = self.owners();
        let claim = || {
            let transaction = Transaction::new_unchecked(&open.connection, TransactionBehavior::Immediate)?;
            let claimed = claim_within(&transaction, (&folder, &open.owner.name), key, now_ns)?;
            transaction.commit()?;
            Ok(claimed)
        };
        claim().map_err(|error| self.describe(&error))
    }

    /// Records the end of a function.
    pub(super) fn end(&self, key: &str, begun_ns: i64, now_ns: i64, ending: Ending<'_>) {
        let (state, text, expires_ns) = match ending {
            Ending::Done { text, ttl } => ("done", text, Some(expiry(now_ns, ttl))),
            Ending::Failed { message, ttl } => ("failed", message, Some(expiry(now_ns, ttl))),
            Ending::Doubt { why } => ("doubt", why, None),
            Ending::Free => ("", "", None),
        };
        for _ in 0..ENDINGS_MAX {
            let Ok(mut open) = self.open() else { continue };
            let Some(open) = open.as_mut() else { continue };
            let mine = params![key, open.owner.name, begun_ns];
            let result = if state.is_empty() {
                let sql =
                    "DELETE FROM once WHERE key = ?1 AND owner = ?2 AND begun_ns = ?3 AND state = 'running'";
                open.connection.execute(sql, mine)
            } else {
                let sql = "UPDATE once SET state = ?4, text = ?5, expires_ns = ?6
                           WHERE key = ?1 AND owner = ?2 AND begun_ns = ?3 AND state = 'running'";
                let values = params![key, open.owner.name, begun_ns, state, text, expires_ns];
                open.connection.execute(sql, values)
            };
            if result.is_ok() {
                return;
            }
        }
    }

    /// Runs a function within a transaction that writes.
    fn transact<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>, &Path) -> rusqlite::Result<T>,
    ) -> Result<T, String> {
        let open = self.open()?;
        let open = open.as_ref().ok_or("the file is not open")?;
        let run = || {
            let transaction = Transaction::new_unchecked(&open.connection, TransactionBehavior::Immediate)?;
            let result = run(&transaction, &self.owners())?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|error| self.describe(&error))
    }

    fn owners(&self) -> PathBuf {
        let mut folder = self.path.clone().into_os_string();
        folder.push(".owners");
        folder.into()
    }

    fn describe(&self, error: &rusqlite::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// Returns the open file, which is opened now if it was not.
    fn open(&self) -> Result<MutexGuard<'_, Option<Open>>, String> {
        let mut open = lock(&self.open);
        let pid = std::process::id();
        if open.as_ref().is_some_and(|open| open.pid != pid) {
            // A connection that came through a fork may not even be closed: that would drop the parent's locks.
            // The file of the owner is closed, because the parent's lock would last as long as a copy is open.
            if let Some(Open { connection, owner, .. }) = open.take() {
                std::mem::forget(connection);
                drop(owner);
            }
        }
        if open.is_none() {
            let (connection, owner) = self.connect()?;
            *open = Some(Open { connection, owner, pid });
        }
        Ok(open)
    }

    fn connect(&self) -> Result<(Connection, Owner), String> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        }
        let connection = Connection::open(&self.path).map_err(|error| self.describe(&error))?;
        Self::prepare(&connection).map_err(|error| self.describe(&error))?;
        let owner = self.enter(&connection)?;
        Ok((connection, owner))
    }

    fn prepare(connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_MAX)?;
        let begun = std::time::Instant::now();
        // SQLite does not wait for another process that changes the mode as well.
        while let Err(error) = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy)
                || begun.elapsed() > BUSY_MAX
            {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A key has to outlive a loss of power.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.query_row(&format!("PRAGMA max_page_count = {PAGES_MAX}"), [], |_| Ok(()))
    }

    /// Makes the table if the file is new, and the mark of this process.
    fn enter(&self, connection: &Connection) -> Result<Owner, String> {
        let describe = |error| self.describe(&error);
        let transaction =
            Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(describe)?;
        let number = |name: &str| {
            transaction.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0)).map_err(describe)
        };
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (0, 0) if number("schema_version")? == 0 => {
                transaction.execute_batch(TABLE).map_err(describe)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(describe)?;
                transaction.pragma_update(None, "user_version", VERSION).map_err(describe)?;
            }
            (APPLICATION_ID, version) => {
                let path = self.path.display();
                return Err(format!(
                    "{path} has version {version}, and this program knows version {VERSION}"
                ));
            }
            _ => return Err(format!("{} is no file of keys", self.path.display())),
        }
        let folder = self.owners();
        let owner = Owner::new(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        transaction.commit().map_err(describe)?;
        Ok(owner)
    }
}

fn expiry(now_ns: i64, ttl: Duration) -> i64 {
    now_ns.saturating_add(i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX))
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
    (owners, owner): (&Path, &str),
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
            State::Running if owner::is_alive(owners, &owner) => {
                return Ok(Claimed::InProgress { begun_ns });
            }
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
    transaction.prepare(sql)?.execute(params![key, owner, now_ns])?;
    Ok(Claimed::First)
}
