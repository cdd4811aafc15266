//! The database: SQLite in a temporary folder. A query runs on a thread that may block, because SQLite has no async
//! interface; `Context` carries the calling function there, so that the query's row has its caller.

mod seed;
mod session;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monitored::Context;
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) use seed::{ORDINARY_CUSTOMERS, PRODUCTS, REGULAR, WHOLESALER};
pub(crate) use session::{Product, Session};

/// The time that a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// The database, with the connections that are not in use.
#[derive(Clone)]
pub(crate) struct Database(Arc<Shared>);

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Session>>,
    /// Deletes the files at the end.
    _folder: TempDir,
}

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("the database failed")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the query did not end")]
    Broken(#[from] tokio::task::JoinError),
}

impl Database {
    /// Creates the database and fills it.
    pub(crate) fn create() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = TempDir::with_prefix("service-")?;
        let path = folder.path().join("shop.db");
        seed::fill(&mut Connection::open(&path)?)?;
        Ok(Self(Arc::new(Shared { path, idle: Mutex::default(), _folder: folder })))
    }

    /// Runs this work with a connection, on a thread that may block.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: FnOnce(&Session) -> rusqlite::Result<T> + Send + 'static,
    {
        let database = self.clone();
        let caller = Context::current();
        Ok(tokio::task::spawn_blocking(move || caller.scope(|| database.run_here(work))).await??)
    }

    fn run_here<T>(&self, work: impl FnOnce(&Session) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle {
            Some(session) => session,
            None => self.open()?,
        };
        let result = work(&session);
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        result
    }

    fn open(&self) -> rusqlite::Result<Session> {
        let connection = Connection::open(&self.0.path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA synchronous = OFF")?;
        Ok(Session::new(connection))
    }
}
