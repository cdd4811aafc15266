//! Reads the store of a run with plain SQL.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row};

use crate::books::Calls;

/// A connection to the store.
pub(crate) struct Store(Connection);

impl Store {
    /// Opens a store. The views `calls` and `errors` are copied with indexes, because the tests join each call with its
    /// caller, and the ids of a view have no index.
    pub(crate) fn open(path: &Path) -> Self {
        let store = Connection::open(path).unwrap();
        store
            .execute_batch(
                "CREATE TEMP TABLE calls AS SELECT * FROM main.calls;
                 CREATE INDEX temp.calls_by_span ON calls (span_id);
                 CREATE INDEX temp.calls_by_parent ON calls (parent_id);
                 CREATE TEMP TABLE errors AS SELECT * FROM main.errors;
                 CREATE INDEX temp.errors_by_span ON errors (span_id);",
            )
            .unwrap();
        Self(store)
    }

    /// Returns the one value that a query finds.
    #[track_caller]
    pub(crate) fn one<T: FromSql>(&self, sql: &str) -> T {
        self.0.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the rows that a query finds.
    #[track_caller]
    pub(crate) fn all<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.0.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement.query_map([], |row| read(row)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Asserts that a query finds nothing. It shows the first texts of what it finds.
    #[track_caller]
    pub(crate) fn none(&self, what: &str, sql: &str) {
        let found: Vec<String> = self.all(&format!("{sql} LIMIT 20"), |row| row.get(0));
        assert!(found.is_empty(), "{what}: {found:#?}");
    }

    /// Returns the exact counts of each function.
    pub(crate) fn functions(&self) -> BTreeMap<String, Calls> {
        let sql = "SELECT function, calls, errors, panics, cancelled FROM functions";
        let functions = self.all(sql, |row| {
            let calls =
                Calls { all: row.get(1)?, errors: row.get(2)?, panics: row.get(3)?, cancelled: row.get(4)? };
            Ok((row.get(0)?, calls))
        });
        functions.into_iter().collect()
    }

    /// Returns the number of calls of each function that lost their row for want of room in a ring.
    pub(crate) fn dropped(&self) -> BTreeMap<String, f64> {
        let sql = "SELECT function, dropped FROM functions WHERE dropped > 0";
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    }

    /// Returns the number of calls of each function that the rows stand for.
    pub(crate) fn weights(&self) -> BTreeMap<String, f64> {
        let sql = "SELECT function, sum(weight) FROM calls GROUP BY function";
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    }
}
