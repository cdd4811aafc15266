//! The store's schema, version 2: base tables, which are ours to change, and views, which are the API.
//!
//! In comes an empty database, out goes one with every table and view, stamped with our
//! `application_id` and the schema version. A row of `call` holds small differences instead of
//! absolute figures (to its thread's base, to its parent), because SQLite stores small integers in few
//! bytes; the views rebuild the absolute ones. What is rare or wide (captured values) lies in
//! `call_value`, so that a scan over calls reads 35 bytes a row whatever was captured.
//!
//! This file knows no connection policy and no reader.

use rusqlite::Connection;

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

/// Base tables and indexes, each as its name and the text that `sqlite_schema` shows.
pub(crate) const TABLES: &[(&str, &str)] = &[
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
        "self_report",
        "CREATE TABLE self_report (
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

/// The columns of `calls`, `errors` and `slow_calls`. `kind` is 4 × outcome + kept. Joins are outer
/// ones on unique keys, so that a query pays only for those whose columns it names.
const CALL_COLUMNS: &str = "
  c.id AS call_id,
  t.base_ns + c.start AS start_ns,
  (t.base_ns + c.start) / 1e9 AS start_s,
  c.duration AS duration_ns,
  c.duration / 1e6 AS duration_ms,
  COALESCE(c.busy, c.duration) AS busy_ns,
  f.name AS function,
  CASE c.kind >> 2 WHEN 0 THEN 'ok' WHEN 1 THEN 'error' WHEN 2 THEN 'panic' ELSE 'cancelled' END AS outcome,
  CASE WHEN c.kind > 3 THEN 1 ELSE 0 END AS failed,
  v.error AS error,
  v.args AS args,
  v.result AS result,
  v.fields AS fields,
  c.weight AS weight,
  CASE c.kind & 3 WHEN 0 THEN 'sampled' WHEN 1 THEN 'slow' WHEN 2 THEN 'failed' ELSE 'first' END AS kept,
  t.span_base + c.span - c.parent - c.trace AS trace_id,
  t.span_base + c.span AS span_id,
  CASE WHEN c.parent <> 0 THEN t.span_base + c.span - c.parent END AS parent_id,
  t.name AS thread,
  p.service AS service,
  f.file AS file,
  f.line AS line,
  f.group_name AS group_name,
  p.host AS host,
  p.pid AS pid,
  t.process_id AS process_id";

const CALL_JOINS: &str = "
FROM call c
LEFT JOIN thread t ON t.id = c.thread_id
LEFT JOIN process p ON p.id = t.process_id
LEFT JOIN function f ON f.id = c.function_id
LEFT JOIN call_value v ON v.id = c.id";

const VIEW_ERROR_GROUPS: &str = "CREATE VIEW error_groups AS
SELECT
  g.fingerprint AS fingerprint,
  f.name AS function,
  CASE g.outcome WHEN 1 THEN 'error' WHEN 2 THEN 'panic' ELSE 'cancelled' END AS outcome,
  g.message AS message,
  g.count AS count,
  g.first_ns AS first_ns,
  g.last_ns AS last_ns,
  g.example_call_id AS example_call_id
FROM error_group g
LEFT JOIN function f ON f.id = g.function_id";

/// Percentiles are the geometric middle of the bucket that holds them: buckets are 2^(1/8) wide, so
/// that is never further off than 2^(1/16), 4.5 %; the longest call bounds them from above.
const VIEW_FUNCTIONS: &str = "CREATE VIEW functions AS
WITH figures AS (
  SELECT function_id, SUM(calls) AS calls, SUM(errors) AS errors, SUM(panics) AS panics,
    SUM(cancelled) AS cancelled, SUM(recorded) AS recorded, SUM(dropped) AS dropped,
    SUM(total_ns) AS total_ns, MAX(max_ns) AS max_ns, MAX(estimated) AS estimated
  FROM slice
  GROUP BY function_id
), buckets AS (
  SELECT function_id, bucket, SUM(count) AS count
  FROM slice_bucket
  GROUP BY function_id, bucket
), ranked AS (
  SELECT b.function_id, h.mid_ns,
    SUM(b.count) OVER (PARTITION BY b.function_id ORDER BY b.bucket) AS upto,
    SUM(b.count) OVER (PARTITION BY b.function_id) AS total
  FROM buckets b
  JOIN histogram_bucket h ON h.bucket = b.bucket
), percentiles AS (
  SELECT function_id,
    MIN(CASE WHEN upto >= total * 0.50 THEN mid_ns END) AS p50_ns,
    MIN(CASE WHEN upto >= total * 0.95 THEN mid_ns END) AS p95_ns,
    MIN(CASE WHEN upto >= total * 0.99 THEN mid_ns END) AS p99_ns
  FROM ranked
  GROUP BY function_id
)
SELECT
  f.name AS function,
  f.file AS file,
  f.line AS line,
  f.group_name AS group_name,
  CAST(s.calls AS BIGINT) AS calls,
  CAST(s.errors AS BIGINT) AS errors,
  CAST(s.panics AS BIGINT) AS panics,
  CAST(s.cancelled AS BIGINT) AS cancelled,
  CASE WHEN s.calls > 0 THEN (s.errors + s.panics + s.cancelled) * 1e2 / s.calls ELSE 0e0 END AS error_pct,
  CAST(s.recorded AS BIGINT) AS recorded,
  CAST(s.dropped AS BIGINT) AS dropped,
  s.total_ns / 1e6 AS total_ms,
  CASE WHEN s.calls > 0 THEN s.total_ns / 1e6 / s.calls ELSE 0e0 END AS mean_ms,
  CASE WHEN q.p50_ns > s.max_ns THEN s.max_ns ELSE q.p50_ns END / 1e6 AS p50_ms,
  CASE WHEN q.p95_ns > s.max_ns THEN s.max_ns ELSE q.p95_ns END / 1e6 AS p95_ms,
  CASE WHEN q.p99_ns > s.max_ns THEN s.max_ns ELSE q.p99_ns END / 1e6 AS p99_ms,
  s.max_ns / 1e6 AS max_ms,
  f.sample_rate AS sample_rate,
  s.estimated AS estimated
FROM figures s
JOIN function f ON f.id = s.function_id
LEFT JOIN percentiles q ON q.function_id = s.function_id";

/// A window is one row, whoever shares it: percentiles of several processes follow from their histograms,
/// which the writer merges, because no SQL that SQLite and DuckDB share could. So nothing is grouped here.
/// `window` stands in quotes because it is a reserved word in DuckDB.
const VIEW_LATENCY: &str = "CREATE VIEW latency AS
SELECT
  f.name AS function,
  w.\"window\" * 10000000000 AS start_ns,
  w.\"window\" * 1e1 AS start_s,
  w.calls AS calls,
  w.errors + w.panics + w.cancelled AS errors,
  w.total_ns / 1e6 AS total_ms,
  w.p50_ns / 1e6 AS p50_ms,
  w.p95_ns / 1e6 AS p95_ms,
  w.p99_ns / 1e6 AS p99_ms,
  w.max_ns / 1e6 AS max_ms,
  w.estimated AS estimated
FROM latency_window w
LEFT JOIN function f ON f.id = w.function_id
WHERE w.shown = 1";

const VIEW_PROCESSES: &str = "CREATE VIEW processes AS
SELECT
  p.id AS process_id,
  p.run_uuid AS run_uuid,
  p.service AS service,
  p.version AS version,
  p.host AS host,
  p.pid AS pid,
  p.started_ns AS started_ns,
  COALESCE(g.at_ns, p.started_ns) AS last_seen_ns,
  p.ended_ns AS ended_ns,
  p.ending AS ending
FROM process p
LEFT JOIN progress g ON g.process_id = p.id AND g.ring = 0";

const VIEW_IN_FLIGHT: &str = "CREATE VIEW in_flight AS
SELECT
  g.process_id AS process_id,
  g.thread AS thread,
  g.depth AS depth,
  f.name AS function,
  g.start_ns AS start_ns,
  p.ended_ns AS died_ns,
  (p.ended_ns - g.start_ns) / 1e6 AS elapsed_ms,
  g.span AS span_id
FROM flight g
LEFT JOIN function f ON f.id = g.function_id
LEFT JOIN process p ON p.id = g.process_id";

const VIEW_EVENTS: &str = "CREATE VIEW events AS
SELECT at_ns, process_id, kind, detail FROM event";

const VIEW_HEALTH: &str = "CREATE VIEW health AS
SELECT process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, dropped_store,
  folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, wal_bytes, own_cpu_pct,
  overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, breaker_next_try_ns, last_failure,
  writes_ok_pct, writes_blocked_pct, write_retries, write_retries_per_min, duplicates_avoided,
  cost_pct, budget_pct
FROM self_report";

const VIEW_RATES: &str = "CREATE VIEW rates AS
SELECT
  r.process_id AS process_id,
  f.name AS function,
  r.at_ns AS at_ns,
  r.asked AS asked,
  r.rate AS rate,
  r.fidelity AS fidelity,
  r.calls_per_s AS calls_per_s,
  r.rows_per_s AS rows_per_s,
  r.ns_per_call AS ns_per_call,
  r.cpu_pct AS cpu_pct,
  r.why AS why
FROM function_rate r
LEFT JOIN function f ON f.id = r.function_id";

const VIEW_RESOURCES: &str = "CREATE VIEW resources AS
SELECT process_id, at_ns, cpu_pct, rss_bytes, threads, open_files FROM resource";

/// The date comes from a table because no date function is spelled alike in SQLite and DuckDB, and
/// because theirs stop at the millisecond. `CAST((a - a % b) / b AS BIGINT)` is integer division in
/// both; adding a power of ten and cutting off its first digit pads with zeros in both.
const VIEW_CALLS_READABLE: &str = "CREATE VIEW calls_readable AS
SELECT r.*,
  d.date
  || 'T' || SUBSTR(CAST(100 + CAST((r.start_ns % 86400000000000 - r.start_ns % 3600000000000) / 3600000000000 AS BIGINT) AS TEXT), 2)
  || ':' || SUBSTR(CAST(100 + CAST((r.start_ns % 3600000000000 - r.start_ns % 60000000000) / 60000000000 AS BIGINT) AS TEXT), 2)
  || ':' || SUBSTR(CAST(100 + CAST((r.start_ns % 60000000000 - r.start_ns % 1000000000) / 1000000000 AS BIGINT) AS TEXT), 2)
  || '.' || SUBSTR(CAST(1000000000 + r.start_ns % 1000000000 AS TEXT), 2)
  || 'Z' AS started_at
FROM calls r
LEFT JOIN calendar d ON d.day = CAST((r.start_ns - r.start_ns % 86400000000000) / 86400000000000 AS BIGINT)";

/// Every view as its name and text, in the order in which they can be created.
#[must_use]
pub fn views() -> Vec<(&'static str, String)> {
    let calls =
        |name: &str, filter: &str| format!("CREATE VIEW {name} AS\nSELECT{CALL_COLUMNS}{CALL_JOINS}{filter}");
    vec![
        ("calls", calls("calls", "")),
        ("errors", calls("errors", "\nWHERE c.kind > 3")),
        ("slow_calls", calls("slow_calls", "\nWHERE (c.kind & 3) = 1")),
        ("error_groups", VIEW_ERROR_GROUPS.to_owned()),
        ("functions", VIEW_FUNCTIONS.to_owned()),
        ("latency", VIEW_LATENCY.to_owned()),
        ("processes", VIEW_PROCESSES.to_owned()),
        ("in_flight", VIEW_IN_FLIGHT.to_owned()),
        ("events", VIEW_EVENTS.to_owned()),
        ("health", VIEW_HEALTH.to_owned()),
        ("rates", VIEW_RATES.to_owned()),
        ("resources", VIEW_RESOURCES.to_owned()),
        ("calls_readable", VIEW_CALLS_READABLE.to_owned()),
    ]
}

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
    for (_, sql) in TABLES {
        connection.execute_batch(sql)?;
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

    #[test]
    fn the_documented_schema_is_the_one_created() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, super::super::schema_doc::page()).unwrap();
        }
        let current = std::fs::read_to_string(path).unwrap() == super::super::schema_doc::page();
        assert!(current, "docs/schema.md is out of date: run this test once with UPDATE_DOCS=1");
    }

    #[test]
    fn sqlite_shows_the_tables_as_they_are_written_here() {
        let store = store();
        for (name, sql) in TABLES {
            let found = texts(&store, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'"));
            assert_eq!(found, [*sql], "{name}");
        }
    }

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
