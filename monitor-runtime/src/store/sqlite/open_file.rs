//! Whether the file that is open is whole and the one that lies at its path, and what becomes of it and its
//! connection where it is not, or where an error says so.

use std::path::PathBuf;

use super::{Open, SqliteStore};
use crate::store::Notice;
use crate::store::connection::{self, Verdict};
use crate::store::error::{Class, StoreError, class};
use crate::store::file::{self, Identity, Sight};

/// Such writes after which a file is set aside: the first may be for ids that were remembered wrongly.
const CONTRADICTIONS_MAX: u32 = 2;

/// Where an open file lies and how it looked last.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
    sight: Sight,
    /// The log and its index as they were when they were last seen whole; `None` where there are none.
    beside: Option<(Identity, Sight)>,
}

impl Place {
    pub(super) fn new(path: PathBuf, sight: Sight) -> Self {
        let (wal, shm) = (file::beside(&path, "-wal"), file::beside(&path, "-shm"));
        Self { path, wal, shm, sight, beside: None }
    }

    /// Size of the database as it was last seen.
    pub(super) fn bytes(&self) -> u64 {
        self.sight.bytes
    }

    /// Size of the log.
    pub(super) fn wal_bytes(&self) -> u64 {
        file::look(&self.wal).map_or(0, |sight| sight.bytes)
    }

    /// Takes how the file looks after a change of ours for how it is to look.
    pub(super) fn look_again(&mut self) {
        if let Some(sight) = file::look(&self.path).filter(|sight| sight.identity == self.sight.identity) {
            self.sight = sight;
        }
    }

    fn look_beside(&self) -> Option<(Identity, Sight)> {
        Some((file::look(&self.wal)?.identity, file::look(&self.shm)?))
    }

    /// Whether log and index are the files that are open, and no shorter than what is mapped of them.
    /// One that was removed would be written to unseen by everyone else, and touching an index that was
    /// cut ends the process, with a signal that nothing stops.
    pub(super) fn is_whole_beside(&mut self) -> bool {
        let seen = self.look_beside();
        let is_whole = match (&self.beside, &seen) {
            (Some((wal, shm)), Some((wal_seen, shm_seen))) => {
                wal == wal_seen && shm.identity == shm_seen.identity && shm_seen.bytes >= shm.bytes
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_whole {
            self.beside = seen;
        }
        is_whole
    }

    /// Whether nothing lies there but what is open, uncut, as far as it is there at all.
    fn is_alone_beside(&self) -> bool {
        let Some((wal, shm)) = &self.beside else { return false };
        file::look(&self.wal).is_none_or(|seen| seen.identity == *wal)
            && file::look(&self.shm)
                .is_none_or(|seen| seen.identity == shm.identity && seen.bytes >= shm.bytes)
    }
}

impl SqliteStore {
    /// The open file, opened again where it is not the one that lies at its path any more.
    pub(super) fn ready(&mut self, now_ns: i64) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::Unwritable("it was closed".to_owned()));
        }
        let Some(open) = &mut self.open else { return Ok(self.reopen(now_ns)?) };
        let Some(place) = &mut open.place else { return Ok(()) };
        if !place.is_whole_beside() {
            self.leave_lost_log();
            return Ok(self.reopen(now_ns)?);
        }
        let Some(Open { place: Some(place), .. }) = &mut self.open else { return Ok(()) };
        let seen = file::look(&place.path);
        match seen {
            Some(sight) if sight == place.sight => Ok(()),
            Some(sight) if sight.identity == place.sight.identity => {
                let shrunk = sight.bytes < place.sight.bytes;
                place.sight = sight;
                // Its content changed on disk: by a copy of the log, or by someone's hand.
                match connection::judge(&place.path, shrunk) {
                    Verdict::Sound => Ok(()),
                    Verdict::Damaged(why) => Err(self.set_aside(&why, now_ns)),
                    Verdict::Another => {
                        // Nothing of ours may reach it any more, the log included.
                        if let Some(open) = self.open.take() {
                            connection::abandon(open.connection);
                        }
                        Ok(self.reopen(now_ns)?)
                    }
                }
            }
            _ => {
                let path = place.path.display().to_string();
                self.leave_lost_file();
                self.notices.push(Notice {
                    kind: "store",
                    detail: format!("{path} was removed or replaced: opened again"),
                });
                Ok(self.reopen(now_ns)?)
            }
        }
    }

    /// Lets go of a log that was removed, or whose index was cut or removed. What only the log holds is
    /// copied into the database first, unless someone has begun a new log meanwhile, which an old one
    /// would undo, or the index cannot be touched.
    fn leave_lost_log(&mut self) {
        let Some(Open { connection, place: Some(place), .. }) = self.open.take() else { return };
        if place.is_alone_beside() {
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        connection::abandon(connection);
        let path = place.path.display();
        let detail = format!("the log of {path}, or its index, was removed or cut: opened again");
        self.notices.push(Notice { kind: "store", detail });
    }

    /// Lets go of a file that has lost its name. Its log is copied into it first: it may have been
    /// moved rather than deleted, and a log left behind would be applied to whatever has the name now.
    fn leave_lost_file(&mut self) {
        let Some(open) = self.open.take() else { return };
        let _ = open.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        connection::abandon(open.connection);
    }

    /// The file is damaged, as a fresh connection has confirmed: moves it away and opens a new one.
    fn set_aside(&mut self, why: &str, now_ns: i64) -> StoreError {
        let Some(Open { connection, place: Some(place), .. }) = self.open.take() else {
            // In memory there is nothing to keep.
            self.open = None;
            return StoreError::Transient(why.to_owned());
        };
        connection::abandon(connection);
        match file::set_aside(&place.path, place.sight.identity, now_ns) {
            Ok(Some(aside)) => {
                let detail = connection::quarantined(&place.path, why, &aside);
                self.notices.push(Notice { kind: "quarantine", detail });
                StoreError::SetAside(aside)
            }
            Ok(None) => StoreError::Transient(format!("{why}, and replaced by another process")),
            Err(error) => error.into(),
        }
    }

    /// What becomes of an error, and of the connection that it came from.
    pub(super) fn settle(&mut self, error: &rusqlite::Error, now_ns: i64) -> StoreError {
        let text = error.to_string();
        match class(error) {
            Class::Busy => StoreError::Busy(text),
            Class::Full => {
                self.press();
                StoreError::Full(text)
            }
            Class::Rejected => StoreError::Rejected(text),
            Class::Damaged => self.confirm(&text, now_ns),
            Class::Contradicted => {
                self.contradictions += 1;
                self.confirm(&text, now_ns)
            }
            Class::Unwritable => {
                self.open = None;
                StoreError::Unwritable(text)
            }
            Class::Transient => {
                self.open = None;
                StoreError::Transient(text)
            }
        }
    }

    /// Damage is believed only when a fresh connection, which has nothing in its cache, sees it too: a
    /// disk that fails to read can look like it.
    fn confirm(&mut self, text: &str, now_ns: i64) -> StoreError {
        let place = self.open.as_ref().and_then(|open| open.place.as_ref());
        let verdict = match place {
            Some(place) => connection::judge(&place.path, true),
            None => Verdict::Damaged(text.to_owned()),
        };
        if let Verdict::Damaged(why) = verdict {
            return self.set_aside(&why, now_ns);
        }
        // No page is damaged, and still the tables contradict each other: a number in them was changed.
        if self.contradictions >= CONTRADICTIONS_MAX {
            return self.set_aside(text, now_ns);
        }
        self.open = None;
        StoreError::Transient(text.to_owned())
    }
}
