//! Decides what becomes of connection and file when the file at the path has changed, or when an error requires it.
//!
//! Takes errors and the state of the file; gives an open store, or an error that says what the caller can do. A bad file
//! is moved away and never deleted. Damaged pages count only after a fresh connection has found them too.

use std::path::{Path, PathBuf};

use super::open_file::Look;
use super::{OpenStore, SqliteStore};
use crate::store::Notice;
use crate::store::connection;
use crate::store::error::{Class, OpenError, StoreError, classify};
use crate::store::examine::{self, Verdict};
use crate::store::file::{self, Identity};
use crate::store::harden::abandon;

/// Consecutive writes that find a key twice after which the file is set aside. The first one may be due to ids that
/// were remembered wrongly.
const CONTRADICTIONS_MAX: u32 = 2;

impl SqliteStore {
    /// Opens the file again if none is open, or if the open one is not the file at its path any more.
    pub(super) fn ensure_open(&mut self, now_ns: i64) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::Unwritable("it was closed".to_owned()));
        }
        let Some(open) = &mut self.open else { return Ok(self.reopen(now_ns)?) };
        let Some(file) = &mut open.file else { return Ok(()) };
        match file.look() {
            Look::Same => return Ok(()),
            Look::Changed { has_shrunk } => match examine::check_file(&file.path, has_shrunk) {
                Verdict::Sound => return Ok(()),
                Verdict::Damaged(why) => return Err(self.quarantine(&why, now_ns)),
                Verdict::Another => self.leave_another_file(),
            },
            Look::LostLog => self.leave_lost_log(),
            Look::Lost => self.leave_lost_file(),
        }
        Ok(self.reopen(now_ns)?)
    }

    /// Closes a connection whose file is another database now. Nothing of ours may be written to it, including the
    /// log.
    fn leave_another_file(&mut self) {
        if let Some(open) = self.open.take() {
            abandon(open.connection);
        }
    }

    /// Closes a connection whose log was removed, or whose log's index was cut or removed. What only the log holds is
    /// copied into the database first, unless somebody has begun a new log meanwhile, which the old one would undo, or the
    /// index is cut and must not be touched.
    fn leave_lost_log(&mut self) {
        let Some(OpenStore { connection, file: Some(file), .. }) = self.open.take() else { return };
        if file.has_no_other_log() {
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        abandon(connection);
        let path = file.path.display();
        let detail = format!("the log of {path}, or its index, was removed or cut: opened again");
        self.notices.push(Notice { kind: "store", detail });
    }

    /// Closes the connection to a file that is not at its path any more. Its log is copied into it first, because the
    /// file may have been moved, and a log that stays behind would be applied to the file that has the name now.
    fn leave_lost_file(&mut self) {
        let Some(OpenStore { connection, file: Some(file), .. }) = self.open.take() else { return };
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        abandon(connection);
        let detail = format!("{} was removed or replaced: opened again", file.path.display());
        self.notices.push(Notice { kind: "store", detail });
    }

    /// Closes a file that a fresh connection has found damaged, and moves it away. The next use opens a new file.
    fn quarantine(&mut self, why: &str, now_ns: i64) -> StoreError {
        let Some(OpenStore { connection, file: Some(file), .. }) = self.open.take() else {
            // A store in memory has nothing to keep.
            self.open = None;
            return StoreError::Transient(why.to_owned());
        };
        abandon(connection);
        match self.set_aside(&file.path, file.state.identity, why, now_ns) {
            Ok(Some(aside)) => StoreError::SetAside(aside),
            Ok(None) => StoreError::Transient(format!("{why}, and replaced by another process")),
            Err(error) => error.into(),
        }
    }

    /// Moves a damaged file away, with a notice. Returns the new path, or `None` if the file is not there any more.
    fn set_aside(
        &mut self,
        path: &Path,
        damaged: Identity,
        why: &str,
        now_ns: i64,
    ) -> Result<Option<PathBuf>, OpenError> {
        let aside = file::quarantine(path, damaged, now_ns)?;
        if let Some(aside) = &aside {
            let detail = file::describe_quarantine(path, why, aside);
            self.notices.push(Notice { kind: "quarantine", detail });
        }
        Ok(aside)
    }

    /// Decides what becomes of the connection after an error, and returns the error for the caller.
    pub(super) fn resolve_error(&mut self, error: &rusqlite::Error, now_ns: i64) -> StoreError {
        let text = error.to_string();
        match classify(error) {
            Class::Busy => StoreError::Busy(text),
            Class::Full => {
                self.request_eviction();
                StoreError::Full(text)
            }
            Class::Rejected => StoreError::Rejected(text),
            Class::Damaged => self.confirm_damage(&text, now_ns),
            Class::Contradicted => {
                self.contradictions += 1;
                self.confirm_damage(&text, now_ns)
            }
            Class::Unwritable => {
                self.open = None;
                StoreError::Unwritable(text)
            }
            Class::Transient => {
                self.open = None;
                StoreError::Transient(text)
            }
            Class::Taken => {
                self.leave_taken_file();
                StoreError::Taken(text)
            }
        }
    }

    /// Leaves a connection of which the program has closed or replaced a descriptor. What the program has there now is
    /// neither written nor closed. Committed batches are in the files, which still have their names.
    fn leave_taken_file(&mut self) {
        let Some(open) = self.open.take() else { return };
        abandon(open.connection);
        let path = open.file.map(|file| file.path.display().to_string()).unwrap_or_default();
        let detail = format!("the program closed or replaced a descriptor of {path}: opened again");
        self.notices.push(Notice { kind: "store", detail });
    }

    /// Sets the file aside if a fresh connection, which has nothing in its cache, finds it damaged too. Otherwise the file
    /// stays, because a disk that fails to read can look like damage.
    fn confirm_damage(&mut self, text: &str, now_ns: i64) -> StoreError {
        let file = self.open.as_ref().and_then(|open| open.file.as_ref());
        let verdict = match file {
            Some(file) => examine::check_file(&file.path, true),
            None => Verdict::Damaged(text.to_owned()),
        };
        if let Verdict::Damaged(why) = verdict {
            return self.quarantine(&why, now_ns);
        }
        // No page is damaged, but the tables contradict each other, because a number in them was changed.
        if self.contradictions >= CONTRADICTIONS_MAX {
            return self.quarantine(text, now_ns);
        }
        self.open = None;
        StoreError::Transient(text.to_owned())
    }

    /// Decides what becomes of a file that this process cannot be entered into, and returns the error for the caller. If
    /// the reason is the file's content (text that is not UTF-8, say), it would be the same next time, so the file is set
    /// aside and the next attempt begins a new one.
    pub(super) fn reject_file(
        &mut self,
        file: Option<(&Path, Identity)>,
        error: &rusqlite::Error,
        now_ns: i64,
    ) -> OpenError {
        let failed = connection::open_error(file.map_or(Path::new(":memory:"), |(path, _)| path), error);
        let is_content = match (error, classify(error)) {
            // A disk that fails to read can look like damage.
            (rusqlite::Error::SqliteFailure(..), Class::Damaged) => {
                file.is_some_and(|(path, _)| matches!(examine::check_file(path, true), Verdict::Damaged(_)))
            }
            (rusqlite::Error::SqliteFailure(..), class) => class == Class::Contradicted,
            _ => true,
        };
        let Some((path, identity)) = file.filter(|_| is_content) else { return failed };
        match self.set_aside(path, identity, &error.to_string(), now_ns) {
            Ok(_) => failed,
            Err(error) => error,
        }
    }
}
