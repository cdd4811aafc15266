//! Migrates a store from an older schema version to this one.
//!
//! Takes a connection and the version of its file; gives a file of this version. Each step leads from one version to
//! the next, and all steps run in the caller's transaction, so nobody ever sees a store between two versions. The texts of
//! a step never change, even where they repeat those of a table of today, because that table may change.

use super::schema::{self, VERSION};
use rusqlite::Connection;

/// A step: the version that it starts from, and the texts of statements that lead to the next version.
type Step = (i32, &'static [&'static str]);

/// All steps, oldest first. Version 1 is the first schema.
const STEPS: &[Step] = &[
    (1, &[HISTOGRAMS_OF_WINDOWS]),
    (2, &[SELF_TIMES, CALLS_IN_FLIGHT, IDENTITIES, TREES, COSTS_OF_ONE_CORE]),
];

/// Tables and indexes that had another text in older versions: the last version with that text, name, text.
const BEFORE: &[(i32, &str, &str)] = &[
    (1, "latency_window", WINDOWS_1),
    (2, "latency_window", WINDOWS_2),
    (2, "slice", SLICES_2),
    (2, "flight", FLIGHTS_2),
    (2, "process", PROCESSES_2),
    (2, "error_group", ERROR_GROUPS_2),
    (2, "function_rate", RATES_2),
    (2, "self_report", REPORTS_2),
];

/// Tables and indexes that older versions do not have: name, and the first version that has it.
const SINCE: &[(&str, i32)] = &[("span_block", 3), ("call_fold", 3), ("call_cause", 3), ("call_edge", 3)];

/// The table of windows in version 1.
const WINDOWS_1: &str = "CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
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
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID";

/// Adds a histogram to windows, and one row that is shown for a window that several processes share. Stored windows have
/// no histogram, so the percentiles of a shared one are the mean of those of its processes. `total` is used because it
/// cannot overflow.
const HISTOGRAMS_OF_WINDOWS: &str = "
CREATE TABLE latency_window_1 AS SELECT * FROM latency_window;
DROP TABLE latency_window;
CREATE TABLE latency_window (
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
) STRICT, WITHOUT ROWID;
INSERT INTO latency_window
SELECT window, function_id, process_id, count(*) OVER (PARTITION BY window, function_id) = 1, calls, errors,
  panics, cancelled, total_ns, max_ns, p50_ns, p95_ns, p99_ns, estimated, x''
FROM latency_window_1;
INSERT INTO latency_window
SELECT window, function_id, 0, 1, CAST(total(calls) AS INTEGER), CAST(total(errors) AS INTEGER),
  CAST(total(panics) AS INTEGER), CAST(total(cancelled) AS INTEGER), CAST(total(total_ns) AS INTEGER),
  max(max_ns), CAST(total(p50_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER),
  CAST(total(p95_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER),
  CAST(total(p99_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER), max(estimated), x''
FROM latency_window_1 GROUP BY window, function_id HAVING count(*) > 1;
DROP TABLE latency_window_1;";

/// The table of windows in version 2.
const WINDOWS_2: &str = "CREATE TABLE latency_window (
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
) STRICT, WITHOUT ROWID";

/// The table of slices in version 2.
const SLICES_2: &str = "CREATE TABLE slice (
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
) STRICT, WITHOUT ROWID";

/// Adds sums of self time, of busy time, of nested and of cancelled calls to windows and slices, and the number of roots.
/// Nobody knows them of stored calls, so they are 0 there.
const SELF_TIMES: &str = "
ALTER TABLE latency_window RENAME TO latency_window_2;
CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  shown INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  p50_ns INTEGER NOT NULL,
  p95_ns INTEGER NOT NULL,
  p99_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID;
INSERT INTO latency_window
SELECT window, function_id, process_id, shown, calls, errors, panics, cancelled, 0, total_ns, 0, 0, 0, 0, max_ns,
  p50_ns, p95_ns, p99_ns, estimated, histogram
FROM latency_window_2;
DROP TABLE latency_window_2;
ALTER TABLE slice RENAME TO slice_2;
CREATE TABLE slice (
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
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, process_id)
) STRICT, WITHOUT ROWID;
INSERT INTO slice
SELECT slice, function_id, process_id, calls, errors, panics, cancelled, recorded, sampled_out, dropped, 0, total_ns,
  0, 0, 0, 0, max_ns, estimated
FROM slice_2;
DROP TABLE slice_2;";

/// The table of calls in flight in version 2.
const FLIGHTS_2: &str = "CREATE TABLE flight (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread TEXT,
  depth INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  span INTEGER NOT NULL
) STRICT";

/// Adds thread, parent, last poll and arguments to calls in flight. Nothing of that is known of stored ones.
const CALLS_IN_FLIGHT: &str = "
ALTER TABLE flight RENAME TO flight_2;
CREATE TABLE flight (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread TEXT,
  depth INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  span INTEGER NOT NULL,
  thread_id INTEGER,
  parent INTEGER,
  waiting_since_ns INTEGER,
  args TEXT
) STRICT;
INSERT INTO flight SELECT id, process_id, thread, depth, function_id, start_ns, span, NULL, NULL, NULL, NULL
FROM flight_2;
DROP TABLE flight_2;";

/// The table of processes up to version 2.
const PROCESSES_2: &str = "CREATE TABLE process (
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
) STRICT";

/// The table of kinds of failure up to version 2.
const ERROR_GROUPS_2: &str = "CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER
) STRICT";

/// Adds the identity of programs to processes, the type of the error to kinds of failure, and the blocks from which span ids
/// are taken. Fingerprints become short enough for a double. Stored calls keep their span ids, because the parents of all
/// calls are relative to them; the first block lies far behind those of them that are small.
const IDENTITIES: &str = "
ALTER TABLE process RENAME TO process_2;
CREATE TABLE process (
  id INTEGER PRIMARY KEY,
  run_uuid TEXT NOT NULL UNIQUE,
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_mark TEXT,
  started_ns INTEGER NOT NULL,
  ended_ns INTEGER,
  ending TEXT NOT NULL DEFAULT 'running' CHECK (ending IN ('running', 'exit', 'crash')),
  executable TEXT,
  program_version TEXT,
  build TEXT
) STRICT;
INSERT INTO process SELECT *, NULL, NULL, NULL FROM process_2;
DROP TABLE process_2;
ALTER TABLE error_group RENAME TO error_group_2;
CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER,
  error_type TEXT
) STRICT;
INSERT OR IGNORE INTO error_group
SELECT fingerprint & 9007199254740991, function_id, outcome, message, count, first_ns, last_ns, example_call_id, NULL
FROM error_group_2;
DROP TABLE error_group_2;
CREATE TABLE span_block (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  block INTEGER NOT NULL,
  UNIQUE (process_id, block)
) STRICT;
INSERT INTO span_block
SELECT (span_base >> 20) + 8192, 0, 0 FROM thread WHERE span_base < 4503599627370496 ORDER BY span_base DESC LIMIT 1;";

/// Adds tables of the calls that share a row, of the causes of failures, and of the functions that call each other; and to
/// the kinds of failure the number that began there. Nobody knows that of stored failures, so all count as having begun
/// where they are.
const TREES: &str = "
CREATE TABLE call_fold (
  id INTEGER PRIMARY KEY,
  calls INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE call_cause (
  id INTEGER PRIMARY KEY,
  cause INTEGER NOT NULL
) STRICT;
CREATE TABLE call_edge (
  caller_id INTEGER NOT NULL,
  callee_id INTEGER NOT NULL,
  PRIMARY KEY (caller_id, callee_id)
) STRICT, WITHOUT ROWID;
ALTER TABLE error_group RENAME TO error_group_3;
CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER,
  error_type TEXT,
  origin_count INTEGER NOT NULL,
  root_count INTEGER NOT NULL,
  path TEXT
) STRICT;
INSERT INTO error_group
SELECT fingerprint, function_id, outcome, message, count, first_ns, last_ns, example_call_id, error_type, count, 0, NULL
FROM error_group_3;
DROP TABLE error_group_3;";

/// The table of rates in version 2.
const RATES_2: &str = "CREATE TABLE function_rate (
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
) STRICT, WITHOUT ROWID";

/// The table of health reports in version 2.
const REPORTS_2: &str = "CREATE TABLE self_report (
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

/// Adds what lowered functions save, and the fixed cost. Costs are in percent of one core from here on. The stored ones
/// are shares of a process's CPU time, which nobody knows any more, so they are NULL.
const COSTS_OF_ONE_CORE: &str = "
ALTER TABLE function_rate RENAME TO function_rate_2;
CREATE TABLE function_rate (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  asked REAL NOT NULL,
  rate REAL NOT NULL,
  fidelity TEXT NOT NULL,
  calls_per_s REAL NOT NULL,
  rows_per_s REAL NOT NULL,
  ns_per_call REAL NOT NULL,
  cpu_pct REAL,
  saved_pct REAL,
  budget_pct REAL,
  why TEXT NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID;
INSERT INTO function_rate
SELECT process_id, function_id, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, NULL, NULL, NULL, why
FROM function_rate_2;
DROP TABLE function_rate_2;
ALTER TABLE self_report RENAME TO self_report_2;
CREATE TABLE self_report (
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
  cost_pct REAL,
  budget_pct REAL,
  fixed_pct REAL,
  saved_pct REAL
) STRICT;
INSERT INTO self_report
SELECT process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, dropped_store,
  folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, wal_bytes, own_cpu_pct,
  overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, breaker_next_try_ns, last_failure,
  writes_ok_pct, writes_blocked_pct, write_retries, write_retries_per_min, duplicates_avoided, NULL, NULL, NULL, NULL
FROM self_report_2;
DROP TABLE self_report_2;";

/// Returns true if steps lead from a version to this one.
pub(crate) fn is_possible_from(version: i32) -> bool {
    has_every_step(STEPS, version, VERSION)
}

/// Runs the steps from a version to this one and writes the new version into the file. Views and their explanations
/// are created anew.
pub(crate) fn run(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    for (view, _) in schema::views() {
        connection.execute_batch(&format!("DROP VIEW IF EXISTS {view}"))?;
    }
    run_steps(connection, STEPS, version, VERSION)?;
    connection.execute_batch("DELETE FROM schema_doc")?;
    schema::create_views(connection)
}

/// Returns true if that version has the table or index.
pub(crate) fn has(version: i32, name: &str) -> bool {
    SINCE.iter().all(|(table, first)| *table != name || version >= *first)
}

/// Returns the text of a table or index in that version, or `None` if it is today's text.
pub(crate) fn old_text(version: i32, name: &str) -> Option<&'static str> {
    let mut before = BEFORE.iter().filter(|(last, table, _)| version <= *last && *table == name);
    before.next().map(|(_, _, text)| *text)
}

fn has_every_step(steps: &[Step], from: i32, to: i32) -> bool {
    (from..to).all(|version| steps.iter().any(|(start, _)| *start == version))
}

fn run_steps(connection: &Connection, steps: &[Step], from: i32, to: i32) -> rusqlite::Result<()> {
    for (_, texts) in steps.iter().filter(|(start, _)| (from..to).contains(start)) {
        texts.iter().try_for_each(|sql| connection.execute_batch(sql))?;
    }
    connection.pragma_update(None, "user_version", to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TWO: &[Step] = &[
        (1, &["CREATE TABLE one (x INTEGER) STRICT", "INSERT INTO one VALUES (7)"]),
        (2, &["ALTER TABLE one ADD COLUMN y INTEGER; UPDATE one SET y = x + 1"]),
    ];

    #[test]
    fn steps_run_from_the_version_found_to_the_newest_and_no_further_back() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE one (x INTEGER) STRICT; INSERT INTO one VALUES (1)").unwrap();
        run_steps(&connection, TWO, 2, 3).unwrap();
        let row: (i32, i32) = connection.query_row("SELECT x, y FROM one", [], |row| row.try_into()).unwrap();
        assert_eq!(row, (1, 2));
        let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 3);
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_as_it_was() {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let transaction = connection.unchecked_transaction().unwrap();
        let broken = &[TWO[0], (2, &["ALTER TABLE missing ADD COLUMN y"])];
        assert!(run_steps(&transaction, broken, 1, 3).is_err());
        drop(transaction);
        let found: (i32, i32) = connection
            .query_row(
                "SELECT (SELECT count(*) FROM sqlite_schema), user_version FROM pragma_user_version",
                [],
                |row| row.try_into(),
            )
            .unwrap();
        assert_eq!(found, (0, 1));
    }

    fn texts(connection: &Connection) -> Vec<(String, Option<String>)> {
        let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        select.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap).collect()
    }

    /// Returns an empty store of an older version, without its views.
    fn create_old(version: i32) -> Connection {
        let old = Connection::open_in_memory().unwrap();
        schema::create(&old).unwrap();
        for (view, _) in schema::views() {
            old.execute_batch(&format!("DROP VIEW {view}")).unwrap();
        }
        for (name, _) in schema::tables() {
            let text = old_text(version, name);
            if text.is_some() || !has(version, name) {
                let kind = if name.starts_with("call_failed") || name.starts_with("call_slow") {
                    "INDEX"
                } else {
                    "TABLE"
                };
                old.execute_batch(&format!("DROP {kind} {name}; {}", text.unwrap_or_default())).unwrap();
            }
        }
        old.pragma_update(None, "user_version", version).unwrap();
        old
    }

    #[test]
    fn span_ids_and_fingerprints_of_a_migrated_store_do_not_meet_those_that_come() {
        let old = create_old(2);
        old.execute_batch(
            "INSERT INTO thread VALUES (1, 1, 'main', 0, 4294967296), (2, 1, 'main', 0, 4611686018427387904);
             INSERT INTO error_group VALUES (4611686018427387905, 1, 1, 'm', 5, 1, 2, NULL)",
        )
        .unwrap();
        run(&old, 2).unwrap();
        let number = |sql: &str| old.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let used_up_to = 4_294_967_296 + i64::from(u32::MAX);
        assert!(number("SELECT max(id) FROM span_block") << 20 > used_up_to);
        assert_eq!(number("SELECT fingerprint FROM error_groups"), 1);
    }

    #[test]
    fn a_store_of_version_1_becomes_one_as_it_is_made_now_and_keeps_its_windows() {
        let (new, old) = (Connection::open_in_memory().unwrap(), create_old(1));
        schema::create(&new).unwrap();
        old.execute_batch(
            "INSERT INTO flight VALUES (3, 1, 'worker', 1, 1, 70, 99);
             INSERT INTO function VALUES (1, 'f', 'a.rs', 1, NULL, 1.0);
             INSERT INTO latency_window VALUES (7, 1, 1, 10, 1, 0, 0, 5000, 900, 100, 200, 300, 0),
               (8, 1, 1, 10, 1, 0, 0, 5000, 900, 100, 200, 300, 0),
               (8, 1, 2, 30, 0, 2, 0, 9000, 800, 500, 600, 700, 1)",
        )
        .unwrap();
        run(&old, 1).unwrap();
        assert_eq!(texts(&old), texts(&new));
        let mut select = old
            .prepare("SELECT calls, errors, CAST(p50_ms * 1e6 AS INTEGER), CAST(max_ms * 1e6 AS INTEGER) FROM latency")
            .unwrap();
        let rows: Vec<(i64, i64, i64, i64)> =
            select.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, [(10, 1, 100, 900), (40, 3, 400, 900)]);
        let flight: (String, i64, String, i64, Option<i64>, Option<String>) = old
            .query_row("SELECT thread, depth, function, span_id, thread_id, args FROM in_flight", [], |row| {
                row.try_into()
            })
            .unwrap();
        assert_eq!(flight, ("worker".to_owned(), 1, "f".to_owned(), 99, None, None));
    }

    #[test]
    fn a_store_of_version_2_becomes_one_as_it_is_made_now_and_keeps_its_sums() {
        let new = Connection::open_in_memory().unwrap();
        schema::create(&new).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2.db");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/versions/2.db"), &path).unwrap();
        let old = Connection::open(path).unwrap();
        let sums =
            "SELECT sum(calls), CAST(sum(total_ms) AS INTEGER), sum(errors) + sum(cancelled) FROM functions";
        let read = |connection: &Connection| -> (i64, i64, i64) {
            connection.query_row(sums, [], |row| row.try_into()).unwrap()
        };
        let before = read(&old);
        run(&old, 2).unwrap();
        assert_eq!(texts(&old), texts(&new));
        assert_eq!((read(&old), before.0), (before, 761));
    }

    #[test]
    fn a_gap_in_the_steps_leads_nowhere() {
        assert!(has_every_step(TWO, 1, 3) && has_every_step(TWO, 3, 3));
        assert!(!has_every_step(TWO, 0, 3) && !has_every_step(TWO, 1, 4));
        assert!(is_possible_from(VERSION) && !is_possible_from(0));
    }
}
