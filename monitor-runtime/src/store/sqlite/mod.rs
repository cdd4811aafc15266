//! The store on SQLite: batches go in, each as one transaction, and its progress with it, so that a
//! batch sent twice is written once. Before each batch it looks whether its file is still there;
//! after each error it decides, by the error's class, what becomes of connection and file.
//!
//! It knows no threads and reads no clock: points in time come with what it is asked.

mod open_file;

use self::open_file::Place;
use super::connection::{self, Opened, Verdict};
use super::error::{Class, OpenError, StoreError, class};
use super::file::{self, Identity};
use super::id_cache::Known;
use super::options::{PAGE_BYTES, Shares, StoreOptions};
use super::retention::{self, Bounds, Retention};
use super::{Hold, Notice, Retained, SetHold, SetRate, Store, Written, process, query, transaction};
use crate::batch::{Batch, ProcessRow};
use crate::platform::liveness;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one attempt to close waits for others' locks.
const BUSY_WAIT_CLOSING: Duration = Duration::from_millis(100);

/// Steps of eviction tried within a write that found no room.
const EVICTIONS_PER_WRITE: usize = 16;

/// Rows evicted for want of room between two writes that succeed: where those of four full batches made
/// none, the disk is filled by something else, and what is stored is worth more than what comes.
const EVICTED_IN_VAIN_MAX: u64 = 4 * 4096;

/// A store in a SQLite file or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    options: StoreOptions,
    process: ProcessRow,
    pid_mark: Option<String>,
    known: Known,
    retention: Retention,
    /// `None` after an error that asks for a fresh connection, and after `close`.
    open: Option<Open>,
    /// Last sequence committed, whatever file it went to.
    committed: u64,
    /// What the table `sampling` held when it was last read.
    rates: Vec<SetRate>,
    notices: Vec<Notice>,
    /// Rows evicted for want of room since a write succeeded.
    evicted_in_vain: u64,
    /// Writes in a row that met a key of the store's own twice.
    contradictions: u32,
    recovery: Option<RecoveryStep>,
    closed: bool,
}

/// A step of recovery: takes the connection, the folders of ring files, the store's path and the Unix time in
/// nanoseconds; returns whether there is more to do.
type RunStep = dyn FnMut(&Connection, (&[PathBuf], &Path), i64) -> rusqlite::Result<bool> + Send;

/// A step that brings what dead processes left into the store. The store is handed it, because recovery knows
/// the store and not the reverse.
pub(crate) struct RecoveryStep(pub(crate) Box<RunStep>);

impl std::fmt::Debug for RecoveryStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecoveryStep")
    }
}

/// A file that is open.
#[derive(Debug)]
struct Open {
    connection: Connection,
    place: Option<Place>,
    /// `PRAGMA data_version` when the rates were last read.
    rates_version: Option<i64>,
}

impl SqliteStore {
    /// Opens or makes the store and enters the process. The path may turn out to be another than asked
    /// for (see [`SqliteStore::path`]); why is told by [`Store::notices`].
    ///
    /// # Errors
    /// See [`OpenError`]: each variant is something the caller can do.
    pub fn open(options: &StoreOptions, process: ProcessRow, now_ns: i64) -> Result<Self, OpenError> {
        let mut store = Self {
            options: options.clone(),
            pid_mark: liveness::mark(process.pid),
            process,
            known: Known::default(),
            retention: Retention::default(),
            open: None,
            committed: 0,
            rates: Vec::new(),
            notices: Vec::new(),
            evicted_in_vain: 0,
            contradictions: 0,
            recovery: None,
            closed: false,
        };
        store.reopen(now_ns)?;
        Ok(store)
    }

    /// Has [`Store::recover`] run this step of recovery; without one it finds nothing to recover.
    #[must_use]
    pub(crate) fn with_recovery(mut self, step: RecoveryStep) -> Self {
        self.recovery = Some(step);
        self
    }

    /// The file that is written to; `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.open.as_ref().and_then(|open| open.place.as_ref()).map(|place| place.path.as_path())
    }

    /// Opens what the options name now and gives it everything that a new file lacks.
    fn reopen(&mut self, now_ns: i64) -> Result<(), OpenError> {
        self.open = None;
        self.known.forget_ids();
        let Opened { connection, path, identity, notices } = connection::open(&self.options, now_ns)?;
        self.notices.extend(notices.into_iter().map(|(kind, detail)| Notice { kind, detail }));
        if let Err(error) = self.enter(&connection, now_ns) {
            connection::abandon(connection);
            return Err(self.refused(path.as_deref().zip(identity), &error, now_ns));
        }
        let place = path.and_then(|path| {
            let sight = file::look(&path).filter(|sight| Some(sight.identity) == identity)?;
            Some(Place::new(path, sight))
        });
        if place.is_none() && self.options.path.is_some() {
            let path = self.options.path.clone().unwrap_or_default();
            return Err(OpenError::Transient { path, why: "it was replaced while being opened".to_owned() });
        }
        self.open = Some(Open { connection, place, rates_version: None });
        Ok(())
    }

    /// What becomes of a file that this process cannot be entered in. Where that is for what it holds,
    /// text that is none, say, it will be so next time as well: it is set aside, and a new one begun then.
    fn refused(
        &mut self,
        file: Option<(&Path, Identity)>,
        error: &rusqlite::Error,
        now_ns: i64,
    ) -> OpenError {
        let failed = connection::failed(file.map_or(Path::new(":memory:"), |(path, _)| path), error);
        let is_content = match (error, class(error)) {
            // A disk that fails to read can look like it.
            (rusqlite::Error::SqliteFailure(..), Class::Damaged) => {
                file.is_some_and(|(path, _)| matches!(connection::judge(path, true), Verdict::Damaged(_)))
            }
            (rusqlite::Error::SqliteFailure(..), class) => class == Class::Contradicted,
            _ => true,
        };
        let Some((path, identity)) = file.filter(|_| is_content) else { return failed };
        match file::set_aside(path, identity, now_ns) {
            Ok(Some(aside)) => {
                let detail = connection::quarantined(path, &error.to_string(), &aside);
                self.notices.push(Notice { kind: "quarantine", detail });
                failed
            }
            Ok(None) => failed,
            Err(error) => error,
        }
    }

    /// Enters this process, marks those that died as crashed, and brings rates set in a lost file along.
    fn enter(&self, connection: &Connection, now_ns: i64) -> rusqlite::Result<()> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let returning = process::progress(&transaction, &self.process.run_uuid)?.is_some();
        process::enter(&transaction, &self.process, self.pid_mark.as_deref())?;
        process::mark_crashed(&transaction, &self.process, now_ns)?;
        // In a file that this process has written to before, a rate that is missing was removed.
        for rate in self.rates.iter().filter(|_| !returning) {
            transaction.execute(
                "INSERT OR IGNORE INTO sampling VALUES (?1, ?2, ?3, ?4)",
                params![rate.pattern, rate.rate, now_ns, rate.set_by],
            )?;
        }
        transaction.commit()
    }

    /// Makes sure that the log has room for a batch: where it is long, it is copied into the database
    /// and begun anew, which a reader in the middle of a long query prevents. The log keeps its length,
    /// so that on a full disk there still is a place to write what eviction changes.
    fn make_room_in_wal(&self, batch: &Batch) -> Result<(), StoreError> {
        let bound = self.shares().wal_bytes;
        let coming = transaction::estimate(batch);
        let has_log = self.open.as_ref().is_some_and(|open| open.place.is_some());
        if has_log && coming > bound && batch.calls.len() > 1 {
            return Err(StoreError::Full(format!("{coming} bytes at once are more than the log may hold")));
        }
        self.copy_log_for(coming, bound)
    }

    /// Copies the log into the database where it would pass its bound with what is coming.
    fn copy_log_for(&self, coming: u64, bound: u64) -> Result<(), StoreError> {
        let Some(Open { connection, place: Some(place), .. }) = &self.open else { return Ok(()) };
        let length = place.wal_bytes();
        if length + coming <= bound {
            return Ok(());
        }
        // What is copied before needs no lock: other writers wait only for what comes in between.
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        let (blocked, pages, copied) = connection
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| {
                Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            })
            .unwrap_or((false, 0, 0));
        if blocked || copied < pages {
            return Err(StoreError::Busy(format!(
                "a reader keeps the log from being copied, {length} bytes long"
            )));
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> rusqlite::Result<Option<u64>> {
        let bounds = self.bounds();
        let Some(open) = &self.open else { return Err(rusqlite::Error::InvalidQuery) };
        let process = (&self.process, self.pid_mark.as_deref());
        let retention = (&mut self.retention, bounds);
        let result = transaction::write(&open.connection, &mut self.known, process, retention, batch);
        match result {
            Ok(_) => {
                self.evicted_in_vain = 0;
                self.contradictions = 0;
                self.known.committed();
            }
            Err(_) => self.known.rolled_back(),
        }
        result
    }

    /// Writes; where there is no room, evicts the oldest and tries once more.
    fn commit_evicting(&mut self, batch: &Batch) -> rusqlite::Result<Option<u64>> {
        let first = self.commit(batch);
        if !matches!(&first, Err(error) if class(error) == Class::Full) {
            return first;
        }
        for _ in 0..EVICTIONS_PER_WRITE {
            self.press();
            if !self.retention.pressed || !self.step(batch.at_ns).is_ok_and(|step| step.more) {
                break;
            }
        }
        self.commit(batch)
    }

    /// The next step of retention is to make room, unless that has not helped.
    fn press(&mut self) {
        self.retention.pressed = self.evicted_in_vain < EVICTED_IN_VAIN_MAX;
    }

    fn step(&mut self, now_ns: i64) -> rusqlite::Result<retention::Step> {
        let is_pressed = self.retention.pressed;
        let bounds = self.bounds();
        // A reader may be in the way of that; what frees room goes on all the same.
        let wal_bytes = self.shares().wal_bytes;
        let _ = self.copy_log_for(wal_bytes / 2, wal_bytes);
        let Some(open) = &self.open else { return Err(rusqlite::Error::InvalidQuery) };
        let step = self.retention.step(&open.connection, &mut self.known, bounds, now_ns)?;
        self.evicted_in_vain += if is_pressed { step.rows } else { 0 };
        Ok(step)
    }

    /// What the store may take: the bound that was set, or what the disk allows where that is less.
    fn shares(&self) -> Shares {
        let place = self.open.as_ref().and_then(|open| open.place.as_ref());
        let Some((place, folder)) = place.and_then(|place| Some((place, place.path.parent()?))) else {
            return self.options.shares();
        };
        self.options.shares_on_disk(folder, place.bytes() + place.wal_bytes())
    }

    fn bounds(&self) -> Bounds {
        Bounds { age_ns: self.options.retention_ns(), pages_evict: self.shares().pages_evict }
    }

    /// Sizes of database and log after a change of ours, which also is how the file looks from now on.
    fn sizes(&mut self) -> (u64, u64) {
        let Some(open) = &mut self.open else { return (0, 0) };
        let Some(place) = &mut open.place else {
            return (retention::pages_used(&open.connection).unwrap_or(0) * PAGE_BYTES, 0);
        };
        place.look_again();
        (place.bytes(), place.wal_bytes())
    }

    /// Runs something on the open file, and settles its error.
    fn on_connection<T>(
        &mut self,
        now_ns: i64,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.ready(now_ns)?;
        let result = match &self.open {
            Some(open) => run(&open.connection),
            None => Err(rusqlite::Error::InvalidQuery),
        };
        let result = result.map_err(|error| self.settle(&error, now_ns));
        self.sizes();
        result
    }
}

impl Store for SqliteStore {
    fn write(&mut self, batch: &Batch) -> Result<Written, StoreError> {
        self.ready(batch.at_ns)?;
        self.known.learn(&batch.functions, &batch.threads);
        let rows = batch.calls.len() as u64;
        let mut bytes = None;
        if batch.sequence > self.committed {
            self.make_room_in_wal(batch)?;
            bytes = self.commit_evicting(batch).map_err(|error| self.settle(&error, batch.at_ns))?;
            self.committed = batch.sequence;
        }
        let (db_bytes, wal_bytes) = self.sizes();
        let was_there = bytes.is_none();
        Ok(Written { rows, bytes: bytes.unwrap_or(0), db_bytes, wal_bytes, was_there })
    }

    fn retain(&mut self, now_ns: i64) -> Result<Retained, StoreError> {
        self.ready(now_ns)?;
        let step = self.step(now_ns).map_err(|error| self.settle(&error, now_ns))?;
        self.sizes();
        Ok(Retained { rows: step.rows, more: step.more })
    }

    fn bound(&mut self, retention: Duration, max_disk_bytes: u64) -> Result<(), StoreError> {
        (self.options.retention, self.options.max_disk_bytes) = (retention, max_disk_bytes);
        let Some(open) = &self.open else { return Ok(()) };
        connection::bound(&open.connection, &self.options).map_err(|error| self.settle(&error, 0))
    }

    fn rates(&mut self) -> Result<Option<Vec<SetRate>>, StoreError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.place.as_mut().is_some_and(|place| !place.is_whole_beside()) {
            // The next write sees to it.
            return Ok(None);
        }
        match read_rates(open) {
            Ok(Some(rates)) if rates != self.rates => {
                self.rates.clone_from(&rates);
                Ok(Some(rates))
            }
            Ok(_) => Ok(None),
            // The next write has the time that setting a file aside takes.
            Err(error) if class(&error) == Class::Damaged => Err(StoreError::Transient(error.to_string())),
            Err(error) => Err(self.settle(&error, 0)),
        }
    }

    fn set_rate(
        &mut self,
        pattern: &str,
        rate: Option<f64>,
        set_by: &str,
        now_ns: i64,
    ) -> Result<(), StoreError> {
        self.on_connection(now_ns, |connection| match rate {
            Some(rate) => connection.execute(
                "INSERT INTO sampling VALUES (?1, ?2, ?3, ?4) ON CONFLICT (pattern)
                 DO UPDATE SET rate = excluded.rate, set_ns = excluded.set_ns, set_by = excluded.set_by",
                params![pattern, rate, now_ns, set_by],
            ),
            None => connection.execute("DELETE FROM sampling WHERE pattern = ?1", [pattern]),
        })?;
        if let Some(open) = &mut self.open {
            // A connection does not see its own changes in `data_version`.
            open.rates_version = None;
        }
        Ok(())
    }

    fn hold(&mut self) -> Result<Option<SetHold>, StoreError> {
        let run_uuid = &self.process.run_uuid;
        if let Some(open) = &mut self.open {
            if open.place.as_mut().is_some_and(|place| !place.is_whole_beside()) {
                return Err(StoreError::Transient("its log was removed".to_owned()));
            }
            return read_hold(&open.connection, run_uuid)
                .map_err(|error| StoreError::Transient(error.to_string()));
        }
        let Some(path) = &self.options.path else { return Ok(None) };
        // A store that cannot be written can often still be read, and this is how it is let go of.
        let reader = query::open_read_only(path).map_err(|error| StoreError::Transient(error.to_string()))?;
        let hold = reader.busy_timeout(Duration::ZERO).and_then(|()| read_hold(&reader, run_uuid));
        connection::abandon(reader);
        hold.map_err(|error| StoreError::Transient(error.to_string()))
    }

    fn close(&mut self, now_ns: i64) -> Result<(), StoreError> {
        if self.closed {
            return Ok(());
        }
        let run_uuid = self.process.run_uuid.clone();
        self.on_connection(now_ns, |connection| {
            connection.busy_timeout(BUSY_WAIT_CLOSING)?;
            connection.execute(
                "UPDATE process SET ending = 'exit', ended_ns = ?2 WHERE run_uuid = ?1",
                params![run_uuid, now_ns],
            )
        })?;
        self.closed = true;
        self.open = None;
        Ok(())
    }

    fn recover(&mut self, now_ns: i64) -> Result<bool, StoreError> {
        let Some(path) = self.path().map(Path::to_path_buf) else { return Ok(false) };
        let wal_bytes = self.shares().wal_bytes;
        let Some(mut recovery) = self.recovery.take() else { return Ok(false) };
        let folders = self.options.ring_folders.clone();
        let more = self.copy_log_for(wal_bytes / 2, wal_bytes).and_then(|()| {
            self.on_connection(now_ns, |connection| (recovery.0)(connection, (&folders, &path), now_ns))
        });
        self.recovery = Some(recovery);
        more
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

/// What is said of this process's breaker, or else of everyone's.
fn read_hold(connection: &Connection, run_uuid: &str) -> rusqlite::Result<Option<SetHold>> {
    let row = connection.query_row(
        "SELECT hold, reason, set_by, set_ns FROM breaker
         WHERE process_id = 0 OR process_id = (SELECT id FROM process WHERE run_uuid = ?1)
         ORDER BY process_id DESC LIMIT 1",
        [run_uuid],
        |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    );
    let Some((hold, reason, set_by, set_ns)) = row.optional()? else { return Ok(None) };
    let hold = match hold.as_str() {
        "open" => Hold::Open,
        "closed" => Hold::Closed,
        _ => Hold::Auto,
    };
    Ok(Some(SetHold { hold, reason, set_by, set_ns }))
}

/// The rates, where anything at all has changed in the file since they were read last.
fn read_rates(open: &mut Open) -> rusqlite::Result<Option<Vec<SetRate>>> {
    let version: i64 = open.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
    if open.rates_version == Some(version) {
        return Ok(None);
    }
    let mut select = open.connection.prepare(
        "SELECT pattern, rate, coalesce(set_by, '') FROM sampling ORDER BY coalesce(set_ns, 0), pattern",
    )?;
    let rows = select
        .query_map([], |row| Ok(SetRate { pattern: row.get(0)?, rate: row.get(1)?, set_by: row.get(2)? }))?;
    let rates = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    open.rates_version = Some(version);
    Ok(Some(rates))
}
