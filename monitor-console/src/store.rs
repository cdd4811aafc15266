//! A store opened by the console: checked, hardened, and read within a time limit.
//!
//! The file may hold anything and belong to anyone. It is opened read-only, or, to set a rate or hold a
//! breaker, for writing without creating it. Its views cannot call functions with side effects, its triggers
//! do not run, and a statement that computes for too long is stopped. Time that the reader of the output
//! takes does not count.

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

/// The time limit of the console's own statements. Scanning ten million rows takes a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// The longest wait for a lock: longer than the recorder ever holds one.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// An open store.
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    time_limit: Arc<TimeLimit>,
}

impl Store {
    /// Opens a store for reading.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = resolve_path(path)?;
        let connection = query::open_read_only(&path).map_err(explain_query_error)?;
        Ok(Self::from_connection(connection, path))
    }

    /// Opens a store for writing to its control tables. It is opened for reading first, which checks that the
    /// file is a store.
    pub(crate) fn open_for_control(path: &Path) -> Result<Self> {
        let Self { path, connection, .. } = Self::open(path)?;
        drop(connection);
        let connection = connect_to_write(&path).map_err(|error| explain_sqlite_error(error, &path))?;
        Ok(Self::from_connection(connection, path))
    }

    fn from_connection(mut connection: Connection, path: PathBuf) -> Self {
        let time_limit = Arc::new(TimeLimit::new(TIME_LIMIT));
        let checked = Arc::clone(&time_limit);
        query::stop_when(&mut connection, move || checked.is_used_up());
        Self { connection, path, time_limit }
    }

    /// Sets the time that each statement may compute.
    pub(crate) fn set_time_limit(&self, limit: Duration) {
        self.time_limit.limit_ns.store(to_ns_saturating(limit), Relaxed);
    }

    /// Returns the path of the file, with symbolic links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a statement that reads, and hands each row to `each`.
    pub(crate) fn read_rows(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.time_limit.renew();
        let mut statement = self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        if !statement.readonly() {
            bail!(
                "the statement would write: only statements that read are run, because only its programs write a store"
            );
        }
        let mut rows = statement.query(parameters).map_err(|error| self.explain(error))?;
        while let Some(row) = rows.next().map_err(|error| self.explain(error))? {
            self.time_limit.suspend(|| each(row))?;
        }
        Ok(())
    }

    /// Reads all rows into a report; the columns are those of the statement, in its order.
    pub(crate) fn read_report(
        &self,
        columns: Vec<Column>,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Report> {
        let mut rows = Vec::new();
        self.read_rows(sql, parameters, |row| {
            rows.push(report::read_cells(row, columns.len())?);
            Ok(())
        })?;
        Ok(Report { columns, rows })
    }

    /// Returns the cells of the first row; `None` if there is no row.
    pub(crate) fn read_first_row(&self, sql: &str, parameters: impl Params) -> Result<Option<Vec<Cell>>> {
        let mut first = None;
        self.read_rows(sql, parameters, |row| {
            if first.is_none() {
                first = Some(report::read_cells(row, row.as_ref().column_count())?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// Returns the integer in the first column of the first row; `None` if there is no row or no integer.
    pub(crate) fn read_integer(&self, sql: &str, parameters: impl Params) -> Result<Option<i64>> {
        Ok(self.read_first_row(sql, parameters)?.and_then(|row| row.first().and_then(Cell::to_integer)))
    }

    /// Returns the names of a statement's columns; none if the statement returns no rows.
    pub(crate) fn read_column_names(&self, sql: &str) -> Result<Vec<String>> {
        let statement = self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }

    /// Runs a statement that writes, and returns the number of rows it changed.
    pub(crate) fn execute(&self, sql: &str, parameters: impl Params) -> Result<usize> {
        self.time_limit.renew();
        self.connection.execute(sql, parameters).map_err(|error| self.explain(error))
    }

    fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            #[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
            let limit = units::format_duration(self.time_limit.limit_ns.load(Relaxed) as f64);
            return anyhow!("stopped after computing for {limit}: select less, for example with --since");
        }
        explain_sqlite_error(error, &self.path)
    }
}

/// The time that a statement may compute. The time during which a row is handed on does not count.
struct TimeLimit {
    origin: Instant,
    limit_ns: AtomicU64,
    until_ns: AtomicU64,
}

impl TimeLimit {
    fn new(limit: Duration) -> Self {
        let limit = to_ns_saturating(limit);
        Self { origin: Instant::now(), limit_ns: AtomicU64::new(limit), until_ns: AtomicU64::new(limit) }
    }
    fn elapsed_ns(&self) -> u64 {
        to_ns_saturating(self.origin.elapsed())
    }
    /// Gives the next statement the whole limit.
    fn renew(&self) {
        let until = self.elapsed_ns().saturating_add(self.limit_ns.load(Relaxed));
        self.until_ns.store(until, Relaxed);
    }
    /// Runs `pause` without counting its time.
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

fn to_ns_saturating(span: Duration) -> u64 {
    span.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Returns the path of a file that can be a store. Symbolic links are followed, because whoever names a link
/// means the file it points to.
fn resolve_path(path: &Path) -> Result<PathBuf> {
    let found = fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!(
            "there is no store at {}: run the program that writes it, or name another with --db PATH \
             (`monitor demo --db {}` creates one)",
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
            bail!("{} is empty: no program has written a store there yet", found.display())
        }
        _ => Ok(found),
    }
}

/// Adds what the user can do to an error of opening.
fn explain_query_error(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Foreign { .. } | QueryError::NotADatabase { .. } => {
            anyhow!("{error}: name a store with --db PATH")
        }
        _ => error.into(),
    }
}

fn connect_to_write(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI, a path that begins with `file:` is still a path.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    Ok(connection)
}

/// Adds what the user can do to an error of SQLite.
fn explain_sqlite_error(error: rusqlite::Error, path: &Path) -> anyhow::Error {
    let path = path.display();
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("{path} cannot be opened: check the permissions of the file and of its folder")
        }
        Some(ErrorCode::ReadOnly) => format!(
            "{path} is read-only for this user: setting rates and holding breakers need write permission"
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{path} is damaged: its program will move it aside and start a new store")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!(
                "{path} has been locked by another process for more than {} s: try again",
                LOCK_WAIT.as_secs()
            )
        }
        _ => return error.into(),
    };
    anyhow::Error::from(error).context(advice)
}
