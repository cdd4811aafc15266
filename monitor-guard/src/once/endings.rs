//! The ends of functions that are not in the file yet.
//!
//! Takes the end of a function; gives it to the next transaction that writes, and takes it back if the transaction
//! fails. The list is bounded: an end beyond the bound is lost, and its key stays in progress until the process ends.

use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::sync::lock;

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

/// The end of the function that this process began under a key at a moment.
#[derive(Debug)]
pub(super) struct Unrecorded {
    /// The process whose end it is. The child of a fork leaves the ends of its parent alone.
    pid: u32,
    key: String,
    begun_ns: i64,
    /// The state that the key gets; `None` if the key is to be free.
    state: Option<&'static str>,
    text: String,
    expires_ns: Option<i64>,
}

impl Unrecorded {
    pub(super) fn new(key: &str, begun_ns: i64, now_ns: i64, ending: Ending<'_>) -> Self {
        let (state, text, expires_ns) = match ending {
            Ending::Done { text, ttl } => (Some("done"), text, Some(compute_expiry(now_ns, ttl))),
            Ending::Failed { message, ttl } => (Some("failed"), message, Some(compute_expiry(now_ns, ttl))),
            Ending::Doubt { why } => (Some("doubt"), why, None),
            Ending::Free => (None, "", None),
        };
        let pid = std::process::id();
        Self { pid, key: key.to_owned(), begun_ns, state, text: text.to_owned(), expires_ns }
    }

    /// Writes the end, in the name of this process. Another process may have taken this one for dead and put the key in
    /// doubt, and somebody may then have said that the side effect was not done: the end that is known counts more than
    /// either. A key that somebody has settled as done, or begun anew, keeps its state.
    fn write(&self, connection: &Connection, owner: &str) -> rusqlite::Result<()> {
        let Self { key, begun_ns, text, expires_ns, .. } = self;
        let Some(state) = self.state else {
            let sql = "DELETE FROM once
                       WHERE key = ?1 AND owner = ?2 AND begun_ns = ?3 AND state IN ('running', 'doubt')";
            return connection.execute(sql, params![key, owner, begun_ns]).map(drop);
        };
        let sql = "INSERT INTO once (key, owner, begun_ns, state, text, expires_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (key) DO UPDATE
                   SET state = excluded.state, text = excluded.text, expires_ns = excluded.expires_ns
                   WHERE owner = excluded.owner AND begun_ns = excluded.begun_ns AND state IN ('running', 'doubt')";
        connection.execute(sql, params![key, owner, begun_ns, state, text, expires_ns]).map(drop)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.text.len()
    }
}

/// Returns the moment at which a key expires.
pub(super) fn compute_expiry(now_ns: i64, ttl: Duration) -> i64 {
    now_ns.saturating_add(i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX))
}

/// The bytes of the ends that are kept.
const BYTES_MAX: usize = 4 << 20;

/// The ends that are not in the file yet, oldest first. Their lock is held for moments only.
#[derive(Debug, Default)]
pub(super) struct Endings(Mutex<Vec<Unrecorded>>);

impl Endings {
    /// Adds an end.
    pub(super) fn add(&self, ending: Unrecorded) {
        lock(&self.0).push(ending);
    }

    /// Returns true if no end of this process waits.
    pub(super) fn is_empty(&self) -> bool {
        let pid = std::process::id();
        lock(&self.0).iter().all(|ending| ending.pid != pid)
    }

    /// Drops the ends that exceed the bound, the latest ones.
    pub(super) fn cut(&self) {
        let mut bytes = 0;
        lock(&self.0).retain(|ending| {
            let is_kept = bytes + ending.bytes() <= BYTES_MAX;
            bytes += if is_kept { ending.bytes() } else { 0 };
            is_kept
        });
    }

    /// Writes all ends within the transaction that is under way. Those that cannot be written alone, because their text
    /// is too long for SQLite, are dropped. The result brings the ends back unless it is settled.
    pub(super) fn write(&self, connection: &Connection, owner: &str) -> rusqlite::Result<Written<'_>> {
        let pid = std::process::id();
        let mut all = std::mem::take(&mut *lock(&self.0));
        all.retain(|ending| ending.pid == pid);
        let written = Written { endings: self, all };
        for ending in &written.all {
            match ending.write(connection, owner) {
                Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::TooBig) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(written)
    }
}

/// Ends that are written once the transaction is committed.
#[derive(Debug)]
pub(super) struct Written<'a> {
    endings: &'a Endings,
    all: Vec<Unrecorded>,
}

impl Written<'_> {
    /// Notes that the transaction is committed.
    pub(super) fn settle(mut self) {
        self.all.clear();
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        if !self.all.is_empty() {
            lock(&self.endings.0).splice(0..0, self.all.drain(..));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_that_wait_are_bounded_and_the_latest_go() {
        let endings = Endings::default();
        let text = "x".repeat(BYTES_MAX / 2 - 1000);
        for at in 0..3 {
            let ending = Ending::Done { text: &text, ttl: Duration::ZERO };
            endings.add(Unrecorded::new(&format!("key {at}"), at, at, ending));
        }
        endings.add(Unrecorded::new("small", 3, 3, Ending::Free));
        endings.cut();
        let keys: Vec<String> = lock(&endings.0).iter().map(|ending| ending.key.clone()).collect();
        assert_eq!(keys, ["key 0", "key 1", "small"]);
    }

    #[test]
    fn the_child_of_a_fork_leaves_the_ends_of_its_parent_alone() {
        let endings = Endings::default();
        endings.add(Unrecorded { pid: 0, ..Unrecorded::new("parent's", 0, 0, Ending::Free) });
        assert!(endings.is_empty());
    }
}
