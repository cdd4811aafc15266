//! A store opened by the console: checked, hardened, and read within a time limit.
//!
//! The file may hold anything and belong to anyone. It is opened read-only, or, to set a rate or hold a
//! breaker, for writing without creating it. Its views cannot call functions with side effects, its triggers
//! do not run, and a statement that takes too much memory is stopped. `time_limit` stops one that computes for too long.

mod time_limit;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, Params, Row};

use monitor_runtime::platform::file_system::resolve_links;
use monitor_runtime::store::query::{self, QueryError};

use crate::report::{self, Cell};

pub(crate) use time_limit::Stopped;
use time_limit::TimeLimit;

/// The time limit of the console's own statements. Scanning ten million rows takes a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// The longest wait for a lock: longer than the recorder ever holds one.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The longest wait for the first commit to a file that is no store so far.
const FIRST_COMMIT_WAIT: Duration = Duration::from_millis(500);
/// The memory that SQLite may take for a statement: sorts of some million rows fit.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// The stores that SQLite attaches to a connection, beside its own.
const ATTACHED_MAX: usize = 10;

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
        let connection = query::open_read_only(&path).map_err(|error| explain_query_error(error, &path))?;
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
        time_limit.watch(connection.get_interrupt_handle());
        // Without the limit a sort keeps all its rows in memory.
        let _ = connection.execute_batch(&format!("PRAGMA hard_heap_limit = {MEMORY_BYTES_MAX}"));
        Self { connection, path, time_limit }
    }

    /// Sets the time that each statement may compute.
    pub(crate) fn set_time_limit(&self, limit: Duration) {
        self.time_limit.set(limit);
    }

    /// Sets the advice in the error of a statement that is stopped at its time limit. The first advice holds.
    pub(crate) fn advise(&self, advice: &'static str) {
        self.time_limit.advise(advice);
    }

    /// Keeps the process alive if a statement does not end after its time limit: the statement is interrupted again and
    /// again.
    pub(crate) fn spare_process(&self) {
        self.time_limit.spare_process();
    }

    /// Sets the exit code with which the process ends if a statement does not end after its time limit; 1 at first.
    pub(crate) fn end_process_with(&self, code: i32) {
        self.time_limit.end_process_with(code);
    }

    /// Returns a handle that stops the running statement from another thread.
    pub(crate) fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Permits statements from here on to read tables and views and to call functions, and nothing else: no file is
    /// attached, no extension loaded, no setting changed.
    pub(crate) fn restrict(mut self) -> Result<Self> {
        let permit = |context: AuthContext<'_>| match context.action {
            AuthAction::Select
            | AuthAction::Read { .. }
            | AuthAction::Recursive
            | AuthAction::Pragma { pragma_name: "table_info" | "table_xinfo", .. } => Authorization::Allow,
            AuthAction::Function { function_name }
                if !function_name.eq_ignore_ascii_case("load_extension") =>
            {
                Authorization::Allow
            }
            _ => Authorization::Deny,
        };
        self.connection.authorizer(Some(permit))?;
        Ok(self)
    }

    /// Returns the path of the file, with symbolic links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a statement that reads, and hands each row to `each`, whose time counts: `each` keeps the row in memory, and a
    /// look at the clock for each row would take as long as that.
    pub(crate) fn read_rows(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.visit_rows(sql, parameters, |row| each(row).map(ControlFlow::Continue))
    }

    /// Runs a statement that reads, and hands each row to `each`, whose time does not count towards the time limit: `each`
    /// writes the row to a reader who may be slow.
    pub(crate) fn stream_rows(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.visit_rows(sql, parameters, |row| {
            self.time_limit.suspend(|| each(row)).map(ControlFlow::Continue)
        })
    }

    /// Runs a statement that reads, and hands each row to `each`, until `each` wants no more.
    pub(crate) fn visit_rows(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let _running = self.time_limit.start();
        let mut statement = self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        if !statement.readonly() {
            bail!(
                "the statement would write: only statements that read are run, because only its programs write a store"
            );
        }
        let mut rows = statement.query(parameters).map_err(|error| self.explain(error))?;
        while let Some(row) = rows.next().map_err(|error| self.explain(error))? {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
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

    /// Returns the version of the store's schema.
    pub(crate) fn read_version(&self) -> Result<i64> {
        Ok(self.read_integer("PRAGMA user_version", [])?.unwrap_or(0))
    }

    /// Returns true if the store has what version 3 of the schema brought: blocks of span ids, and the types of errors.
    pub(crate) fn has_span_blocks(&self) -> Result<bool> {
        /// The first schema version with blocks of span ids.
        const FIRST_VERSION: i64 = 3;
        Ok(self.read_version()? >= FIRST_VERSION)
    }

    /// Returns true if the store has what version 4 of the schema brought: chunks of windows.
    pub(crate) fn has_chunks(&self) -> Result<bool> {
        /// The first schema version with chunks.
        const FIRST_VERSION: i64 = 4;
        Ok(self.read_version()? >= FIRST_VERSION)
    }

    /// Lets several statements read one state of the store.
    pub(crate) fn read_together<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.connection.is_autocommit() {
            return read();
        }
        // A transaction that is dropped is rolled back, which ends one that has only read.
        let _transaction = self.connection.unchecked_transaction().map_err(|error| self.explain(error))?;
        read()
    }

    /// Returns a number that differs from the one before if another connection has written to the store meanwhile.
    pub(crate) fn read_data_version(&self) -> Result<i64> {
        Ok(self.read_integer("PRAGMA data_version", [])?.unwrap_or(0))
    }

    /// Returns true if the store has all these tables and views. A store of an older version may lack some.
    pub(crate) fn has(&self, objects: &[&str]) -> Result<bool> {
        for object in objects {
            if self.read_integer("SELECT 1 FROM sqlite_schema WHERE name = ?1", [object])?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the names of a statement's columns; none if the statement returns no rows.
    pub(crate) fn read_column_names(&self, sql: &str) -> Result<Vec<String>> {
        let statement = self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }

    /// Returns true if the text holds no statement: it is empty, or has blanks and comments alone.
    pub(crate) fn is_empty_statement(&self, sql: &str) -> Result<bool> {
        let statement = self.connection.prepare(sql).map_err(|error| self.explain(error))?;
        // SQLite compiles such a text to no statement, which has no text.
        Ok(statement.expanded_sql().is_none())
    }

    /// Runs a statement that writes, and returns the number of rows it changed.
    pub(crate) fn execute(&self, sql: &str, parameters: impl Params) -> Result<usize> {
        let _running = self.time_limit.start();
        self.connection.execute(sql, parameters).map_err(|error| self.explain(error))
    }

    /// Makes several writes one transaction: all of them hold, or none.
    pub(crate) fn write_together<T>(&self, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let written = write();
        let end = if written.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.execute(end, [])?;
        written
    }

    /// Attaches other stores to this connection, and gives each view and table that this store has the rows of all of them, each
    /// with the label of its store in the column `store`. A column that another store lacks is NULL there.
    ///
    /// The names are views of the connection alone, so nothing is written.
    pub(crate) fn unite(&self, label: &str, others: &[(&Self, &str)]) -> Result<()> {
        if others.len() > ATTACHED_MAX {
            bail!(
                "SQL reads at most {} stores together, and {} are named: name fewer with --db",
                ATTACHED_MAX + 1,
                others.len() + 1
            );
        }
        let mut schemas = vec![("main".to_owned(), label.to_owned())];
        for (position, (other, label)) in (1..).zip(others) {
            let path = other.path.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", other.path.display()))?;
            let schema = format!("store_{position}");
            self.connection
                .execute(&format!("ATTACH ?1 AS {schema}"), [path])
                .map_err(|error| explain_sqlite_error(error, &other.path))
                .with_context(|| format!("cannot read {path} together with {}", self.path.display()))?;
            schemas.push((schema, (*label).to_owned()));
        }
        let sql =
            "SELECT name FROM sqlite_schema WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite%'";
        let mut names = Vec::new();
        self.read_rows(sql, [], |row| {
            names.push(row.get::<_, String>(0)?);
            Ok(())
        })?;
        for name in names {
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            let columns = self.read_column_names(&format!("SELECT * FROM main.{name}"))?;
            let part = |(schema, label): &(String, String)| {
                // A store of another version may lack the view as a whole.
                let stored = self.read_column_names(&format!("SELECT * FROM {schema}.{name}")).ok()?;
                let quoted = columns.iter().map(|column| {
                    let quoted = format!("\"{}\"", column.replace('"', "\"\""));
                    if stored.contains(column) { quoted } else { format!("NULL AS {quoted}") }
                });
                let label = label.replace('\'', "''");
                let quoted = quoted.collect::<Vec<_>>().join(", ");
                Some(format!("SELECT {quoted}, '{label}' AS store FROM {schema}.{name}"))
            };
            let parts: Vec<String> = schemas.iter().filter_map(part).collect();
            let sql = format!("CREATE TEMP VIEW {name} AS {}", parts.join(" UNION ALL "));
            self.connection.execute_batch(&sql).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// Copies the store into an empty file, which becomes a database without a log beside it.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        let _running = self.time_limit.start();
        let name = path.to_str().ok_or_else(|| anyhow!("the name {} is not UTF-8", path.display()))?;
        // SQLite reads a name that begins with `file:` as a URI if it was built to do so.
        let name = if path.is_absolute() { name.to_owned() } else { format!("./{name}") };
        self.connection.execute("VACUUM INTO ?1", [name]).map_err(|error| self.explain(error))?;
        Ok(())
    }

    fn explain(&self, error: rusqlite::Error) -> anyhow::Error {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return self.time_limit.stopped().into();
        }
        if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) {
            let limit = MEMORY_BYTES_MAX >> 20;
            return anyhow!(
                "stopped because it needs more than {limit} MiB of memory: select fewer rows or shorter texts, \
                 or sort less; the view `functions` has the sums of each function ready"
            );
        }
        explain_sqlite_error(error, &self.path)
    }
}

/// Returns SQLite's sentence on a statement that it does not take, and the byte of the statement that it is about, if SQLite
/// names one; `None` for any other error.
pub(crate) fn find_input_error(error: &anyhow::Error) -> Option<(&str, Option<i32>)> {
    match error.downcast_ref()? {
        rusqlite::Error::SqlInputError { msg, offset, .. } => {
            Some((msg, Some(*offset).filter(|at| *at >= 0)))
        }
        rusqlite::Error::SqliteFailure(code, Some(text)) if code.extended_code == SQL_ERROR => {
            Some((text, None))
        }
        _ => None,
    }
}

/// SQLite's code for an error in a statement, without details.
const SQL_ERROR: i32 = rusqlite::ffi::SQLITE_ERROR;

/// Returns the path of a file that can be a store. Symbolic links are followed, because whoever names a link
/// means the file it points to.
fn resolve_path(path: &Path) -> Result<PathBuf> {
    let found = resolve_links(path).map_err(|error| match error.kind() {
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

/// Fails if the path names something that no program turns into a store: a folder, a special file, a file that is not a
/// store. What may become a store or become readable later passes, such as a missing or an empty file.
pub(crate) fn require_possible(path: &Path) -> Result<()> {
    let check = || {
        if describe_absence(path).is_some() {
            return Ok(());
        }
        let path = resolve_path(path)?;
        match query::open_read_only(&path) {
            Err(error @ (QueryError::NotADatabase { .. } | QueryError::Foreign { .. })) => {
                Err(explain_query_error(error, &path))
            }
            _ => Ok(()),
        }
    };
    // A store that a program is just making passes for another database until its first commit.
    check().or_else(|_| {
        std::thread::sleep(FIRST_COMMIT_WAIT);
        check()
    })
}

/// Describes a path where no program has written a store yet: `which does not exist yet`; `None` if something lies there.
pub(crate) fn describe_absence(path: &Path) -> Option<&'static str> {
    match fs::metadata(path) {
        Ok(data) if data.is_file() && data.len() == 0 => Some("which is still empty"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("which does not exist yet"),
        _ => None,
    }
}

/// Adds what the user can do to an error of opening.
fn explain_query_error(error: QueryError, path: &Path) -> anyhow::Error {
    match error {
        // A database that is being made has the id 0 until its first commit is moved from the log.
        QueryError::Foreign { application_id: 0, .. } => anyhow!(
            "{error}: name a store with --db PATH. If it is the copy of a store, copy its log {}-wal too, or copy it \
             with `sqlite3 STORE \".backup COPY\"`",
            path.file_name().unwrap_or_default().display()
        ),
        QueryError::Foreign { .. } | QueryError::NotADatabase { .. } => {
            anyhow!("{error}: name a store with --db PATH")
        }
        QueryError::Unreadable { .. } => anyhow!("{error}: {}", advise_unreadable(path)),
        _ => error.into(),
    }
}

/// Describes what to do about a store that SQLite cannot open.
fn advise_unreadable(path: &Path) -> String {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = Path::new(&log);
    if fs::File::open(path).is_err() {
        return "it belongs to another user or its permissions forbid reading: ask its owner for them, or run \
                `monitor` as its owner"
            .to_owned();
    }
    if fs::metadata(log).is_ok_and(|data| data.len() > 0) {
        let folder = path.parent().unwrap_or(Path::new("/"));
        return format!(
            "its latest commits lie in {}, and reading them takes the permission to write in {}: run `monitor` as \
             the owner, or copy both files to a folder of your own and name the copy with --db PATH",
            log.display(),
            folder.display()
        );
    }
    "check the permissions of the file and of its folder".to_owned()
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

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Returns a store of the present version into which a script wrote rows, and the folder that it lies in.
    pub(crate) fn store_of(script: &str) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let db = Connection::open(&path).unwrap();
        monitor_runtime::store::schema::create(&db).unwrap();
        db.execute_batch(script).unwrap();
        drop(db);
        let store = Store::open(&path).unwrap();
        (folder, store)
    }

    #[test]
    fn a_statement_without_an_end_ends_the_process_with_the_code_of_the_command_or_spares_it() {
        let (_folder, store) = store_of("");
        assert_eq!(store.time_limit.end_code(), Some(1));
        store.end_process_with(2);
        assert_eq!(store.time_limit.end_code(), Some(2));
        store.spare_process();
        assert_eq!(store.time_limit.end_code(), None);
    }

    #[test]
    fn only_what_can_become_a_store_passes() {
        let (folder, store) = store_of("");
        let file = |name: &str| folder.path().join(name);
        fs::write(file("empty.db"), "").unwrap();
        fs::write(file("text.db"), "this is not a database, however long it may be ".repeat(50)).unwrap();
        Connection::open(file("foreign.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        for (path, absence) in [
            (file("missing.db"), Some("which does not exist yet")),
            (file("empty.db"), Some("which is still empty")),
            (store.path().to_owned(), None),
        ] {
            require_possible(&path).unwrap();
            assert_eq!(describe_absence(&path), absence, "{}", path.display());
        }
        for (path, expected) in [
            (file("text.db"), "not an intact SQLite database"),
            (file("foreign.db"), "not one of monitored"),
            (folder.path().to_owned(), "is a folder"),
        ] {
            let message = format!("{:#}", require_possible(&path).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_store_has_the_objects_that_it_has_all_of() {
        let (_folder, store) = store_of("CREATE VIEW mine AS SELECT 1 AS one");
        assert!(store.has(&["calls", "call", "mine"]).unwrap() && store.has(&[]).unwrap());
        assert!(!store.has(&["calls", "yours"]).unwrap());
    }
}
