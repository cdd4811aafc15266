//! A store opened from outside: judged, hardened, read within a deadline.
//!
//! The file may be anything and anyone's. It is opened read-only (or, to set a rate, for writing without
//! creating), no view of it may call functions with side effects, no trigger of it runs, and a statement
//! that computes for too long is stopped. Time that the reader of our output takes does not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Params, Row};

use monitor_runtime::store::query::{self, QueryError};

use crate::report::{self, Cell, Column, Report};
use crate::units;

/// How long a statement of ours may compute. Ten million rows are scanned in a few seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a lock is waited for; longer than the recorder ever holds one.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// An open store.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    allowance: Arc<Allowance>,
}

impl Store {
    /// Opens a store for reading.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = existing(path)?;
        let connection = query::open_read_only(&path).map_err(advise)?;
        Ok(Self::over(connection, path))
    }

    /// Opens a store for setting a rate, once it is clear that it is one.
    pub(crate) fn open_to_set(path: &Path) -> Result<Self> {
        let Self { path, connection, .. } = Self::open(path)?;
        drop(connection);
        let connection = connect_to_write(&path).map_err(|error| explain(error, &path))?;
        Ok(Self::over(connection, path))
    }

    fn over(mut connection: Connection, path: PathBuf) -> Self {
        let allowance = Arc::new(Allowance::new(DEADLINE));
        let asked = Arc::clone(&allowance);
        query::stop_when(&mut connection, move || asked.is_used_up());
        Self { connection, path, allowance }
    }

    /// Lets each statement compute for this long.
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        self.allowance.limit_ns.store(saturating_ns(deadline), Relaxed);
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands each row of a reading statement to `each`.
    pub(crate) fn rows(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.allowance.renew();
        let mut statement = self.connection.prepare(sql).map_err(|error| self.failed(error))?;
        if !statement.readonly() {
            bail!("only statements that read are run; the store is written by its programs alone");
        }
        let mut rows = statement.query(parameters).map_err(|error| self.failed(error))?;
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            self.allowance.suspend(|| each(row))?;
        }
        Ok(())
    }

    /// All rows as a report; the columns are those of the statement, in its order.
    pub(crate) fn report(&self, columns: Vec<Column>, sql: &str, parameters: impl Params) -> Result<Report> {
        let mut rows = Vec::new();
        self.rows(sql, parameters, |row| {
            rows.push(
                (0..columns.len()).map(|at| Ok(report::cell(row.get_ref(at)?))).collect::<Result<_>>()?,
            );
            Ok(())
        })?;
        Ok(Report { columns, rows })
    }

    /// The first row's cells, where there is a row.
    pub(crate) fn first(&self, sql: &str, parameters: impl Params) -> Result<Option<Vec<Cell>>> {
        let mut first = None;
        self.rows(sql, parameters, |row| {
            if first.is_none() {
                let columns = row.as_ref().column_count();
                let cells = (0..columns).map(|at| Ok(report::cell(row.get_ref(at)?)));
                first = Some(cells.collect::<Result<Vec<_>>>()?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// Names of the columns that a statement gives.
    pub(crate) fn columns(&self, sql: &str) -> Result<Vec<String>> {
        let statement = self.connection.prepare(sql).map_err(|error| self.failed(error))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }

    /// Runs a writing statement; says how many rows it changed.
    pub(crate) fn change(&self, sql: &str, parameters: impl Params) -> Result<usize> {
        self.allowance.renew();
        self.connection.execute(sql, parameters).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> anyhow::Error {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            #[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
            let limit = units::duration(self.allowance.limit_ns.load(Relaxed) as f64);
            return anyhow!("stopped after computing for {limit}: ask for less, for example with --since");
        }
        explain(error, &self.path)
    }
}

/// How long statements may compute; the clock stands still while a row is handed on.
struct Allowance {
    origin: Instant,
    limit_ns: AtomicU64,
    until_ns: AtomicU64,
}

impl Allowance {
    fn new(limit: Duration) -> Self {
        let limit = saturating_ns(limit);
        Self { origin: Instant::now(), limit_ns: AtomicU64::new(limit), until_ns: AtomicU64::new(limit) }
    }
    fn elapsed_ns(&self) -> u64 {
        saturating_ns(self.origin.elapsed())
    }
    fn renew(&self) {
        let until = self.elapsed_ns().saturating_add(self.limit_ns.load(Relaxed));
        self.until_ns.store(until, Relaxed);
    }
    fn suspend<T>(&self, pause: impl FnOnce() -> T) -> T {
        let before = self.elapsed_ns();
        let outcome = pause();
        let paused = self.elapsed_ns() - before;
        self.until_ns.store(self.until_ns.load(Relaxed).saturating_add(paused), Relaxed);
        outcome
    }
    fn is_used_up(&self) -> bool {
        self.elapsed_ns() > self.until_ns.load(Relaxed)
    }
}

fn saturating_ns(span: Duration) -> u64 {
    span.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// The file itself, links followed: whoever named it here meant what it points to.
fn existing(path: &Path) -> Result<PathBuf> {
    let found = fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!(
            "there is no store at {}: run the program that writes it, or name another with --db PATH \
             (`monitor demo --db {}` would make one)",
            path.display(),
            path.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot reach {}", path.display())),
    })?;
    match fs::metadata(&found) {
        Ok(data) if data.is_dir() => {
            bail!("{} is a folder: name a store in it with --db PATH", found.display())
        }
        Ok(data) if !data.is_file() => bail!("{} is not a file", found.display()),
        Ok(data) if data.len() == 0 => {
            bail!("{} is empty: no program has begun a store there yet", found.display())
        }
        _ => Ok(found),
    }
}

/// What a reader is told, with what to do about it.
fn advise(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Foreign { .. } | QueryError::NotADatabase { .. } => {
            anyhow!("{error}: name a store with --db PATH")
        }
        _ => error.into(),
    }
}

fn connect_to_write(path: &Path) -> rusqlite::Result<Connection> {
    // SQLITE_OPEN_URI is left out: a path is a path, whatever it begins with.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    Ok(connection)
}

/// SQLite's word for it, turned into what can be done.
fn explain(error: rusqlite::Error, path: &Path) -> anyhow::Error {
    let path = path.display();
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("{path} cannot be opened: look at its rights and those of its folder")
        }
        Some(ErrorCode::ReadOnly) => format!("{path} may not be written by you"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{path} is damaged: its program will set it aside and begin a new one")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{path} is locked by another process for longer than {} s", LOCK_WAIT.as_secs())
        }
        _ => return error.into(),
    };
    anyhow::Error::from(error).context(advice)
}
