//! The store's schema, version 2: base tables, which are ours to change, and views, which are the API.
//!
//! In comes an empty database, out goes one with every table and view, stamped with our
//! `application_id` and the schema version. A row of `call` holds small differences instead of
//! absolute figures (to its thread's base, to its parent), because SQLite stores small integers in few
//! bytes; the views rebuild the absolute ones. What is rare or wide (captured values) lies in
//! `call_value`, so that a scan over calls reads 35 bytes a row whatever was captured.
//!
//! This file knows no connection policy and no reader.

mod views;

use std::borrow::Cow;
use std::fmt::Write as _;

use rusqlite::Connection;

use crate::batch::HEALTH_COLUMNS;

pub use views::views;

/// "MNTR": marks a database as ours.
pub const APPLICATION_ID: i32 = 0x4D4E_5452;

/// `user_version` of the stores that this crate writes.
pub const VERSION: i32 = 2;

/// Width of a row of `latency_window`.
pub const WINDOW_NS: i64 = 10_000_000_000;

/// Width of a row of `slice`.
pub const SLICE_NS: i64 = 1_800_000_000_000;

/// Buckets of the duration histogram that have a bound. Bucket 504 ends at 2^63 ns; the few below 0
/// are for durations of a nanosecond and less.
const BUCKETS: std::ops::Range<i32> = -8..512;

/// Returns the base tables and indexes, each as its name and the text that `sqlite_schema` shows.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    let fixed = TABLES.iter().map(|(name, sql)| (*name, Cow::Borrowed(*sql)));
    fixed.chain([("self_report", Cow::Owned(self_report()))])
}

/// Returns the text of the table of health reports, whose columns are defined in `batch::health_row`.
fn self_report() -> String {
    let columns = HEALTH_COLUMNS.iter().fold(String::new(), |mut text, column| {
        let _ = write!(text, ",\n  {} {}", column.name, column.sql_type());
        text
    });
    format!("CREATE TABLE self_report (\n  process_id INTEGER PRIMARY KEY{columns}\n) STRICT")
}

/// The base tables and indexes but for that of health reports.
const TABLES: &[(&str, &str)] = &[
    (
        "process",
        "CREATE TABLE process (
  id INTEGER PRIMARY KEY,
  run_uuid TEXT NOT NULL UNIQUE,
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_mark TEXT,
  started_ns INTEGER NOT NULL,
  ended_ns INTEGER,
  ending TEXT NOT NULL DEFAULT 'running' CHECK (ending IN ('running', 'exit', 'crash'))
) STRICT",
    ),
    (
        "progress",
        "CREATE TABLE progress (
  process_id INTEGER NOT NULL,
  ring INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  PRIMARY KEY (process_id, ring)
) STRICT, WITHOUT ROWID",
    ),
    (
        "function",
        "CREATE TABLE function (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  group_name TEXT,
  sample_rate REAL NOT NULL,
  UNIQUE (name, file, line)
) STRICT",
    ),
    (
        "process_function",
        "CREATE TABLE process_function (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "thread",
        "CREATE TABLE thread (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  base_ns INTEGER NOT NULL,
  span_base INTEGER NOT NULL
) STRICT",
    ),
    (
        "call",
        "CREATE TABLE call (
  id INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  thread_id INTEGER NOT NULL,
  start INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  busy INTEGER,
  span INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  trace INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  weight REAL NOT NULL
) STRICT",
    ),
    ("call_failed", "CREATE INDEX call_failed ON call (id) WHERE kind > 3"),
    ("call_slow", "CREATE INDEX call_slow ON call (id) WHERE (kind & 3) = 1"),
    (
        "call_value",
        "CREATE TABLE call_value (
  id INTEGER PRIMARY KEY,
  args TEXT,
  result TEXT,
  error TEXT,
  fields TEXT
) STRICT",
    ),
    (
        "call_range",
        "CREATE TABLE call_range (
  first_call INTEGER PRIMARY KEY,
  last_call INTEGER NOT NULL,
  min_start_ns INTEGER NOT NULL,
  max_start_ns INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  failed_only INTEGER NOT NULL DEFAULT 0
) STRICT",
    ),
    (
        "calendar",
        "CREATE TABLE calendar (
  day INTEGER PRIMARY KEY,
  date TEXT NOT NULL
) STRICT",
    ),
    (
        "latency_window",
        "CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  shown INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  p50_ns INTEGER NOT NULL,
  p95_ns INTEGER NOT NULL,
  p99_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "slice",
        "CREATE TABLE slice (
  slice INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  sampled_out INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "slice_bucket",
        "CREATE TABLE slice_bucket (
  slice INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, bucket, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "histogram_bucket",
        "CREATE TABLE histogram_bucket (
  bucket INTEGER PRIMARY KEY,
  lower_ns REAL NOT NULL,
  upper_ns REAL NOT NULL,
  mid_ns REAL NOT NULL
) STRICT",
    ),
    (
        "error_group",
        "CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER
) STRICT",
    ),
    (
        "folded",
        "CREATE TABLE folded (
  process_id INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (process_id, fingerprint)
) STRICT, WITHOUT ROWID",
    ),
    (
        "flight",
        "CREATE TABLE flight (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread TEXT,
  depth INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  span INTEGER NOT NULL
) STRICT",
    ),
    (
        "event",
        "CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT",
    ),
    (
        "resource",
        "CREATE TABLE resource (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  cpu_pct REAL NOT NULL,
  rss_bytes INTEGER NOT NULL,
  threads INTEGER NOT NULL,
  open_files INTEGER NOT NULL
) STRICT",
    ),
    (
        "sampling",
        r#"CREATE TABLE sampling (
  pattern TEXT PRIMARY KEY NOT NULL
    CHECK (length(trim(pattern)) > 0 AND length(CAST(pattern AS BLOB)) <= 512
      AND pattern NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*')
      AND pattern NOT GLOB '*[!"$%,=?\^`{|}~]*' AND instr(replace(pattern, '::', ''), ':') = 0),
  rate REAL NOT NULL CHECK (rate BETWEEN 0 AND 1),
  set_ns INTEGER DEFAULT (unixepoch() * 1000000000),
  set_by TEXT DEFAULT 'sql'
) STRICT"#,
    ),
    (
        "function_rate",
        "CREATE TABLE function_rate (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  asked REAL NOT NULL,
  rate REAL NOT NULL,
  fidelity TEXT NOT NULL,
  calls_per_s REAL NOT NULL,
  rows_per_s REAL NOT NULL,
  ns_per_call REAL NOT NULL,
  cpu_pct REAL NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "breaker",
        "CREATE TABLE breaker (
  process_id INTEGER PRIMARY KEY,
  hold TEXT NOT NULL CHECK (hold IN ('open', 'closed', 'auto')),
  reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  set_ns INTEGER NOT NULL DEFAULT (unixepoch() * 1000000000),
  set_by TEXT NOT NULL DEFAULT 'sql'
) STRICT",
    ),
    (
        "schema_doc",
        "CREATE TABLE schema_doc (
  object TEXT NOT NULL,
  column TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (object, column)
) STRICT, WITHOUT ROWID",
    ),
];

/// Creates the schema in an empty database, in one transaction.
///
/// # Errors
/// What SQLite reports; then the database is as it was.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    create_in(&transaction)?;
    transaction.commit()
}

/// The same within the caller's transaction.
pub(crate) fn create_in(connection: &Connection) -> rusqlite::Result<()> {
    for (_, sql) in tables() {
        connection.execute_batch(&sql)?;
    }
    create_views(connection)?;
    fill_buckets(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Creates the views, and explains every table and view.
pub(crate) fn create_views(connection: &Connection) -> rusqlite::Result<()> {
    for (_, sql) in views() {
        connection.execute_batch(&sql)?;
    }
    fill_docs(connection)
}

fn fill_buckets(connection: &Connection) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO histogram_bucket VALUES (?1, ?2, ?3, ?4)")?;
    for bucket in BUCKETS {
        let bound = |eighths: f64| (eighths / 8.0).exp2();
        let lower = f64::from(bucket);
        insert.execute((bucket, bound(lower), bound(lower + 1.0), bound(lower + 0.5)))?;
    }
    Ok(())
}

fn fill_docs(connection: &Connection) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO schema_doc VALUES (?1, ?2, ?3)")?;
    for doc in super::schema_doc::docs() {
        insert.execute((doc.object, doc.column, doc.text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use std::collections::BTreeSet;

    fn store() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection).unwrap();
        connection
    }

    fn texts(connection: &Connection, sql: &str) -> Vec<String> {
        connection
            .prepare(sql)
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn columns(connection: &Connection, object: &str) -> Vec<String> {
        texts(connection, &format!("SELECT name FROM pragma_table_info('{object}') ORDER BY cid"))
    }

    const CALLS: &str = "call_id, start_ns, start_s, duration_ns, duration_ms, busy_ns, function, outcome, failed, \
         error, args, result, fields, weight, kept, trace_id, span_id, parent_id, thread, service, file, line, \
         group_name, host, pid, process_id";

    #[test]
    fn views_have_exactly_the_columns_of_the_interface() {
        let readable = format!("{CALLS}, started_at");
        let expected = [
            ("calls", CALLS),
            ("errors", CALLS),
            ("slow_calls", CALLS),
            ("calls_readable", readable.as_str()),
            (
                "error_groups",
                "fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id",
            ),
            (
                "functions",
                "function, file, line, group_name, calls, errors, panics, cancelled, error_pct, recorded, dropped, \
                 total_ms, mean_ms, p50_ms, p95_ms, p99_ms, max_ms, sample_rate, estimated",
            ),
            (
                "latency",
                "function, start_ns, start_s, calls, errors, total_ms, p50_ms, p95_ms, p99_ms, max_ms, estimated",
            ),
            (
                "processes",
                "process_id, run_uuid, service, version, host, pid, started_ns, last_seen_ns, ended_ns, ending",
            ),
            ("in_flight", "process_id, thread, depth, function, start_ns, died_ns, elapsed_ms, span_id"),
            ("events", "at_ns, process_id, kind, detail"),
            (
                "health",
                "process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, \
                 dropped_store, folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, \
                 wal_bytes, own_cpu_pct, overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, \
                 breaker_next_try_ns, last_failure, writes_ok_pct, writes_blocked_pct, write_retries, \
                 write_retries_per_min, duplicates_avoided, cost_pct, budget_pct",
            ),
            (
                "rates",
                "process_id, function, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, \
                 cpu_pct, why",
            ),
            ("resources", "process_id, at_ns, cpu_pct, rss_bytes, threads, open_files"),
        ];
        let store = store();
        for (view, names) in expected {
            assert_eq!(columns(&store, view).join(", "), names, "{view}");
        }
        let found: BTreeSet<_> =
            texts(&store, "SELECT name FROM sqlite_schema WHERE type = 'view'").into_iter().collect();
        assert_eq!(found, expected.iter().map(|(view, _)| (*view).to_owned()).collect());
    }

    #[test]
    fn every_object_and_every_column_of_the_interface_is_explained_and_nothing_else() {
        let store = store();
        let objects =
            texts(&store, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY 1");
        assert_eq!(texts(&store, "SELECT object FROM schema_doc WHERE column = '' ORDER BY 1"), objects);
        for object in texts(&store, "SELECT DISTINCT object FROM schema_doc WHERE column <> ''") {
            let explained: BTreeSet<_> = texts(
                &store,
                &format!("SELECT column FROM schema_doc WHERE column <> '' AND object = '{object}'"),
            )
            .into_iter()
            .collect();
            assert_eq!(explained, columns(&store, &object).into_iter().collect(), "{object}");
        }
        let explained = texts(
            &store,
            "SELECT name FROM sqlite_schema WHERE type = 'view'
             AND name NOT IN (SELECT object FROM schema_doc WHERE column <> '')",
        );
        assert!(explained.is_empty(), "views without explained columns: {explained:?}");
    }

    /// Returns false in the published package, which stands alone: the page belongs to the repository.
    fn repository_is_here() -> bool {
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).is_dir()
    }

    #[test]
    fn the_documented_schema_is_the_one_created() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.md");
        if !repository_is_here() {
            return;
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, super::super::schema_doc::page()).unwrap();
        }
        let current = std::fs::read_to_string(path).unwrap() == super::super::schema_doc::page();
        assert!(current, "docs/schema.md is out of date: run this test once with UPDATE_DOCS=1");
    }

    #[test]
    fn sqlite_shows_the_tables_as_they_are_written_here() {
        let store = store();
        for (name, sql) in tables() {
            let found = texts(&store, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'"));
            assert_eq!(found, [sql], "{name}");
        }
    }

    #[test]
    fn table_and_view_of_health_reports_are_written_as_in_stores_that_exist() {
        let text = |name| texts(&store(), &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'"));
        assert_eq!(text("self_report"), [SELF_REPORT]);
        assert_eq!(text("health"), [VIEW_HEALTH]);
    }

    const SELF_REPORT: &str = "CREATE TABLE self_report (
  process_id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  level TEXT NOT NULL,
  recorded INTEGER NOT NULL,
  dropped_ring_full INTEGER NOT NULL,
  dropped_backlog INTEGER NOT NULL,
  dropped_no_ring INTEGER NOT NULL,
  dropped_store INTEGER NOT NULL,
  folded_errors INTEGER NOT NULL,
  breaker TEXT NOT NULL,
  writer_errors INTEGER NOT NULL,
  rows_written INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  db_bytes INTEGER NOT NULL,
  wal_bytes INTEGER NOT NULL,
  own_cpu_pct REAL NOT NULL,
  overhead_ns_per_call REAL NOT NULL,
  breaker_since_ns INTEGER NOT NULL,
  breaker_held TEXT,
  breaker_openings INTEGER NOT NULL,
  breaker_next_try_ns INTEGER,
  last_failure TEXT,
  writes_ok_pct REAL,
  writes_blocked_pct REAL,
  write_retries INTEGER NOT NULL,
  write_retries_per_min INTEGER NOT NULL,
  duplicates_avoided INTEGER NOT NULL,
  cost_pct REAL NOT NULL,
  budget_pct REAL NOT NULL
) STRICT";

    const VIEW_HEALTH: &str = "CREATE VIEW health AS
SELECT process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, dropped_store,
  folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, wal_bytes, own_cpu_pct,
  overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, breaker_next_try_ns, last_failure,
  writes_ok_pct, writes_blocked_pct, write_retries, write_retries_per_min, duplicates_avoided,
  cost_pct, budget_pct
FROM self_report";

    #[test]
    fn failed_and_slow_calls_are_found_through_their_partial_indexes() {
        let store = store();
        for (view, index) in [("errors", "call_failed"), ("slow_calls", "call_slow")] {
            let mut explain = store
                .prepare(&format!("EXPLAIN QUERY PLAN SELECT * FROM {view} ORDER BY call_id DESC LIMIT 20"))
                .unwrap();
            let steps: Vec<String> =
                explain.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert!(steps.iter().any(|step| step.contains(index)), "{view}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{view}: {steps:?}");
        }
    }
}
