//! The store on SQLite.
//!
//! Takes batches, and writes each as one transaction; gives what users set in the store. Before each use it checks that
//! its file is still at its path (`open_file`, `repair`), and after each error it decides by the error's class what
//! becomes of connection and file (`repair`). It makes room for what it writes (`space`). It knows no threads and reads
//! no clock: points in time are arguments.

mod open_file;
mod control;
mod recovery_step;
mod space;
mod repair;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use self::open_file::OpenFile;
pub(crate) use self::recovery_step::RecoveryStep;
use super::connection::{self, Opened};
use super::error::{Class, OpenError, StoreError, classify};
use super::file;
use super::harden::{abandon, leave_log, pages_used};
use super::id_cache::IdCache;
use super::options::{PAGE_BYTES, StoreOptions};
use super::process::Candidates;
use super::retention::Retention;
use super::transaction::Committed;
use super::{Notice, Retained, SetHold, SetRate, Store, Written, alerts, process, query, transaction};
use crate::alert::Rule;
use crate::batch::{Batch, Ending, ProcessRow};
use crate::limits;
use crate::platform::liveness;

/// The age up to which a process that ends leaves it to a later process to copy the log into the database.
const SHORT_LIFE_NS: i64 = limits::SHORT_LIFE.as_nanos() as i64;

/// Steps of retention that a short process takes at its end at most, if it takes any, and the rows after which it takes
/// no further one. One run in some thirty deletes what has expired, and each of them may have brought rows of a time, of a
/// process and of a half hour of their own.
const EXPIRY_STEPS: u32 = 256;
const EXPIRY_ROWS: u64 = 10_000;

/// The time for which one attempt to close waits for locks of other processes.
const BUSY_WAIT_CLOSING: Duration = Duration::from_millis(100);

/// A store in an SQLite file or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    options: StoreOptions,
    process: ProcessRow,
    pid_mark: Option<String>,
    ids: IdCache,
    retention: Retention,
    /// `None` after an error that asks for a fresh connection, and after `close`.
    open: Option<OpenStore>,
    /// Number of the last batch that was committed, whatever file it went to.
    committed: u64,
    /// The rows of the table `sampling` when it was last read.
    rates: Vec<SetRate>,
    /// The rules on alerts when they were last read.
    rules: Option<Vec<Rule>>,
    notices: Vec<Notice>,
    /// Rows that were evicted to make room since the last write that succeeded.
    evicted_in_vain: u64,
    /// Consecutive writes that found a key twice that the store gives out itself.
    contradictions: u32,
    recovery: Option<RecoveryStep>,
    /// True once a notice said that another copy of the recorder runs in this process.
    has_reported_copy: bool,
    /// True once all processes were looked at for those that died.
    has_marked_all: bool,
    closed: bool,
}

/// An open database.
#[derive(Debug)]
struct OpenStore {
    connection: Connection,
    /// `None` in memory.
    file: Option<OpenFile>,
    /// `PRAGMA data_version` when the rates were last read.
    rates_version: Option<i64>,
    /// `PRAGMA data_version` when the rules on alerts were last read.
    rules_version: Option<i64>,
}

impl OpenStore {
    /// Returns true if the log may be read: it is the open one, or there is none.
    fn has_intact_log(&mut self) -> bool {
        self.file.as_mut().is_none_or(OpenFile::has_intact_log)
    }
}

impl SqliteStore {
    /// Opens the store, or makes it, and enters the process. The path may be another than the requested one: see
    /// [`SqliteStore::path`] for the path, and [`Store::notices`] for the reason.
    ///
    /// # Errors
    /// See [`OpenError`]: each variant is something that the caller can do.
    pub fn open(options: &StoreOptions, process: ProcessRow, now_ns: i64) -> Result<Self, OpenError> {
        let mut store = Self {
            options: options.clone(),
            pid_mark: liveness::mark(process.pid),
            process,
            ids: IdCache::with_memory(options.max_memory_bytes),
            retention: Retention::default(),
            open: None,
            committed: 0,
            rates: Vec::new(),
            rules: None,
            notices: Vec::new(),
            evicted_in_vain: 0,
            contradictions: 0,
            recovery: None,
            has_reported_copy: false,
            has_marked_all: false,
            closed: false,
        };
        store.reopen(now_ns)?;
        Ok(store)
    }

    /// Returns the store with a step of recovery for [`Store::recover`]. Without a step, that function finds nothing to
    /// recover.
    #[must_use]
    pub(crate) fn with_recovery(mut self, step: RecoveryStep) -> Self {
        self.recovery = Some(step);
        self
    }

    /// Returns the path of the file that is written to, or `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.open.as_ref().and_then(|open| open.file.as_ref()).map(|file| file.path.as_path())
    }

    /// Opens the file that the options name, and enters the process into it.
    fn reopen(&mut self, now_ns: i64) -> Result<(), OpenError> {
        self.open = None;
        self.ids.forget_ids();
        let Opened { connection, path, identity, notices } = connection::open(&self.options, now_ns)?;
        self.notices.extend(notices.into_iter().map(|(kind, detail)| Notice { kind, detail }));
        if let Err(error) = self.enter(&connection, now_ns) {
            abandon(connection);
            return Err(self.reject_file(path.as_deref().zip(identity), &error, now_ns));
        }
        let file = path.and_then(|path| {
            let state = file::read_state(&path).filter(|state| Some(state.identity) == identity)?;
            Some(OpenFile::new(path, state))
        });
        if file.is_none() && self.options.path.is_some() {
            let path = self.options.path.clone().unwrap_or_default();
            return Err(OpenError::Transient { path, why: "it was replaced while being opened".to_owned() });
        }
        self.open = Some(OpenStore { connection, file, rates_version: None, rules_version: None });
        Ok(())
    }

    /// Enters this process, marks processes that died as crashed, and sets the rates again that were set in a lost file.
    fn enter(&mut self, connection: &Connection, now_ns: i64) -> rusqlite::Result<()> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let stored = process::progress(&transaction, &self.process.run_uuid)?.map(|found| found.process_id);
        if let Some(process_id) = stored {
            self.ids.adopt_rows(&transaction, process_id)?;
        }
        process::enter(&transaction, &self.process, self.pid_mark.as_deref())?;
        process::mark_crashed(&transaction, &self.process, Candidates::Latest, now_ns)?;
        if !self.has_reported_copy
            && process::has_other_copy(&transaction, &self.process, self.pid_mark.as_deref())?
        {
            self.has_reported_copy = true;
            let detail = "another copy of the recorder in this process writes to the same store: each records the \
                          functions of its own part of the program, as two processes would";
            self.notices.push(Notice { kind: "store", detail: detail.to_owned() });
        }
        // If this process has written to the file before, a user has removed the rates that are missing.
        for rate in self.rates.iter().filter(|_| stored.is_none()) {
            transaction.execute(
                "INSERT OR IGNORE INTO sampling VALUES (?1, ?2, ?3, ?4)",
                params![rate.pattern, rate.rate, now_ns, rate.set_by],
            )?;
        }
        transaction.commit()
    }

    /// Marks all processes that died as crashed. It does so once, and only after this process has run for
    /// [`SHORT_LIFE_NS`], because each of many short processes would otherwise read the rows of all others.
    fn mark_all_crashed(&mut self, now_ns: i64) -> Result<(), StoreError> {
        if self.has_marked_all || now_ns.saturating_sub(self.process.started_ns) < SHORT_LIFE_NS {
            return Ok(());
        }
        let process = self.process.clone();
        self.run(now_ns, |connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            process::mark_crashed(&transaction, &process, Candidates::All, now_ns)?;
            transaction.commit()
        })?;
        self.has_marked_all = true;
        Ok(())
    }

    /// Marks those of the latest processes as crashed that died and left no ring file to be recovered from, as happens if another
    /// program removed it. Otherwise their alerts would fire until the next start of a process.
    fn mark_latest_crashed(&mut self, now_ns: i64) -> Result<(), StoreError> {
        let process = self.process.clone();
        self.run(now_ns, |connection| {
            if process::find_dead(connection, &process, Candidates::Latest, now_ns)?.is_empty() {
                return Ok(());
            }
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            process::mark_crashed(&transaction, &process, Candidates::Latest, now_ns)?;
            transaction.commit()
        })
    }

    /// Commits a batch. Returns `None` if it was committed before.
    fn commit(&mut self, batch: &Batch) -> rusqlite::Result<Option<Committed>> {
        let bounds = self.bounds();
        let Some(open) = &self.open else { return Err(rusqlite::Error::InvalidQuery) };
        let process = (&self.process, self.pid_mark.as_deref());
        let retention = (&mut self.retention, bounds);
        let result = transaction::write(&open.connection, &mut self.ids, process, retention, batch);
        match result {
            Ok(_) => {
                self.evicted_in_vain = 0;
                self.contradictions = 0;
                self.ids.commit();
            }
            Err(_) => self.ids.roll_back(),
        }
        result
    }

    /// Closes the connection. The last connection to a store copies the log into the database and removes it, which
    /// waits for the disk. A process that lived for a moment leaves that to a later one, unless the log is long.
    fn close_connection(&mut self, now_ns: i64) {
        let is_short = now_ns.saturating_sub(self.process.started_ns) < SHORT_LIFE_NS;
        let is_log_short = |file: &OpenFile| file.wal_bytes() < limits::SHORT_LOG_BYTES;
        let leaves_log =
            is_short && self.open.as_ref().and_then(|open| open.file.as_ref()).is_some_and(is_log_short);
        if is_short && !leaves_log {
            // The expired rows are deleted here, because no other process may live for long enough to do so.
            let mut rows = 0;
            for _ in 0..EXPIRY_STEPS {
                match self.retention_step(now_ns) {
                    Ok(step) if step.more && rows < EXPIRY_ROWS => rows += step.rows,
                    _ => break,
                }
            }
        }
        match self.open.take() {
            Some(OpenStore { connection, .. }) if leaves_log => leave_log(connection),
            _ => {}
        }
    }

    /// Returns the sizes of database and log after a change of ours, and notes the state of the file.
    fn refresh_sizes(&mut self) -> (u64, u64) {
        let Some(open) = &mut self.open else { return (0, 0) };
        let Some(file) = &mut open.file else {
            return (pages_used(&open.connection).unwrap_or(0) * PAGE_BYTES, 0);
        };
        file.refresh();
        (file.bytes(), file.wal_bytes())
    }

    /// Runs a function on the open connection. An error also decides what becomes of the connection.
    fn run<T>(
        &mut self,
        now_ns: i64,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.ensure_open(now_ns)?;
        let result = match &self.open {
            Some(open) => run(&open.connection),
            None => Err(rusqlite::Error::InvalidQuery),
        };
        let result = result.map_err(|error| self.resolve_error(&error, now_ns));
        self.refresh_sizes();
        result
    }
}

impl Store for SqliteStore {
    fn write(&mut self, batch: &Batch) -> Result<Written, StoreError> {
        self.ensure_open(batch.at_ns)?;
        let remembered = self.ids.remember(&batch.functions, &batch.threads);
        remembered.map_err(|error| self.resolve_error(&error, batch.at_ns))?;
        let rows = batch.calls.len() as u64;
        let mut committed = None;
        if batch.sequence > self.committed {
            self.make_room_in_log(batch)?;
            committed =
                self.commit_evicting(batch).map_err(|error| self.resolve_error(&error, batch.at_ns))?;
            self.committed = batch.sequence;
        }
        let (db_bytes, wal_bytes) = self.refresh_sizes();
        let was_there = committed.is_none();
        let Committed { bytes, new_failures } = committed.unwrap_or_default();
        Ok(Written { rows, bytes, db_bytes, wal_bytes, was_there, new_failures })
    }

    fn retain(&mut self, now_ns: i64) -> Result<Retained, StoreError> {
        self.ensure_open(now_ns)?;
        let step = self.retention_step(now_ns).map_err(|error| self.resolve_error(&error, now_ns))?;
        self.refresh_sizes();
        Ok(Retained { rows: step.rows, more: step.more })
    }

    fn set_bounds(&mut self, retention: Duration, max_disk_bytes: u64) -> Result<(), StoreError> {
        (self.options.retention, self.options.max_disk_bytes) = (retention, max_disk_bytes);
        let Some(open) = &self.open else { return Ok(()) };
        connection::set_bounds(&open.connection, &self.options).map_err(|error| self.resolve_error(&error, 0))
    }

    fn rates(&mut self) -> Result<Option<Vec<SetRate>>, StoreError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if !open.has_intact_log() {
            // The next write opens the file again.
            return Ok(None);
        }
        match control::read_rates(&open.connection, &mut open.rates_version) {
            Ok(Some(rates)) if rates != self.rates => {
                self.rates.clone_from(&rates);
                Ok(Some(rates))
            }
            Ok(_) => Ok(None),
            // Setting a damaged file aside takes time, so it is left to the next write.
            Err(error) if classify(&error) == Class::Damaged => Err(StoreError::Transient(error.to_string())),
            Err(error) => Err(self.resolve_error(&error, 0)),
        }
    }

    fn alert_rules(&mut self) -> Result<Option<Vec<Rule>>, StoreError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if !open.has_intact_log() {
            return Ok(None);
        }
        match alerts::read_changed_rules(&open.connection, &mut open.rules_version) {
            Err(error) if classify(&error) == Class::Damaged => Err(StoreError::Transient(error.to_string())),
            Err(error) => Err(self.resolve_error(&error, 0)),
            Ok(Some(rules)) if self.rules.as_ref() != Some(&rules) => {
                self.rules = Some(rules.clone());
                Ok(Some(rules))
            }
            Ok(_) => Ok(None),
        }
    }

    fn set_rate(
        &mut self,
        pattern: &str,
        rate: Option<f64>,
        set_by: &str,
        now_ns: i64,
    ) -> Result<(), StoreError> {
        self.run(now_ns, |connection| control::set_rate(connection, pattern, rate, set_by, now_ns))?;
        if let Some(open) = &mut self.open {
            // `data_version` does not change with changes of the same connection.
            open.rates_version = None;
        }
        Ok(())
    }

    fn hold(&mut self) -> Result<Option<SetHold>, StoreError> {
        let run_uuid = &self.process.run_uuid;
        if let Some(open) = &mut self.open {
            if !open.has_intact_log() {
                return Err(StoreError::Transient("its log was removed".to_owned()));
            }
            return control::read_hold(&open.connection, run_uuid)
                .map_err(|error| StoreError::Transient(error.to_string()));
        }
        let Some(path) = &self.options.path else { return Ok(None) };
        // A store that cannot be written can often still be read, and a user who releases the breaker writes there.
        let reader = query::open_read_only(path).map_err(|error| StoreError::Transient(error.to_string()))?;
        let hold = reader.busy_timeout(Duration::ZERO).and_then(|()| control::read_hold(&reader, run_uuid));
        abandon(reader);
        hold.map_err(|error| StoreError::Transient(error.to_string()))
    }

    fn guard_holds(&mut self) -> Result<Vec<(String, SetHold)>, StoreError> {
        let Some(open) = &mut self.open else {
            return Err(StoreError::Transient("it is not open".to_owned()));
        };
        if !open.has_intact_log() {
            return Err(StoreError::Transient("its log was removed".to_owned()));
        }
        control::read_guard_holds(&open.connection, &self.process.run_uuid)
            .map_err(|error| StoreError::Transient(error.to_string()))
    }

    fn close(&mut self, now_ns: i64, ending: Ending) -> Result<(), StoreError> {
        if self.closed {
            return Ok(());
        }
        let run_uuid = self.process.run_uuid.clone();
        self.run(now_ns, |connection| {
            connection.busy_timeout(BUSY_WAIT_CLOSING)?;
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            transaction.execute(
                "UPDATE process SET ending = ?3, ended_ns = ?2 WHERE run_uuid = ?1",
                params![run_uuid, now_ns, ending.name()],
            )?;
            if let Some(found) = process::progress(&transaction, &run_uuid)? {
                alerts::end(&transaction, found.process_id, now_ns)?;
            }
            transaction.commit()
        })?;
        self.closed = true;
        self.close_connection(now_ns);
        Ok(())
    }

    fn recover(&mut self, now_ns: i64) -> Result<bool, StoreError> {
        let Some(path) = self.path().map(Path::to_path_buf) else { return Ok(false) };
        self.mark_all_crashed(now_ns)?;
        let mut more = false;
        if let Some(mut recovery) = self.recovery.take() {
            let folders = self.options.ring_folders.clone();
            let recovered = self.copy_long_log().and_then(|()| {
                self.run(now_ns, |connection| (recovery.0)(connection, (&folders, &path), now_ns))
            });
            self.recovery = Some(recovery);
            more = recovered?;
        }
        if !more {
            self.mark_latest_crashed(now_ns)?;
        }
        Ok(more)
    }

    fn checkpoint_wal(&mut self, now_ns: i64) -> Result<(), StoreError> {
        // A log that is copied already costs no write and no sync.
        self.run(now_ns, |connection| {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).optional()
        })?;
        Ok(())
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}
