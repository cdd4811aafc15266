//! The store's schema, version 5: base tables (`tables`), which may change with the version, and views (`views`), which
//! are the interface.
//!
//! Takes an empty database; gives a database with every table and view, marked with our `application_id` and the schema
//! version. It does not open connections.
//!
//! A row of `call` holds small differences to its thread's base and to its parent instead of absolute numbers, because
//! SQLite stores small integers in few bytes. The views compute the absolute numbers. Captured values, which are rare or
//! wide, lie in `call_value`, so that a scan over calls reads 35 bytes a row whatever was captured.

mod tables;
mod views;

use rusqlite::Connection;

use super::error::no_memory;
pub use crate::batch::function_stats::{SLICE_NS, WINDOW_NS};
pub(crate) use tables::tables;
pub use views::views;

/// The `application_id` of a store: "MNTR".
pub const APPLICATION_ID: i32 = 0x4D4E_5452;

/// The `user_version` of stores that this crate writes: the schema version.
pub const VERSION: i32 = 5;

/// The buckets of the duration histogram that have a bound. Bucket 504 ends at 2^63 ns. Buckets below 0 hold durations of
/// a nanosecond and less.
const BUCKETS: std::ops::Range<i32> = -8..512;

/// Creates the schema in an empty database, in one transaction.
///
/// # Errors
/// Returns SQLite's error. The database is unchanged then.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    create_in(&transaction)?;
    transaction.commit()
}

/// Creates the schema in an empty database, within the caller's transaction.
pub(crate) fn create_in(connection: &Connection) -> rusqlite::Result<()> {
    for (_, sql) in tables() {
        connection.execute_batch(&sql)?;
    }
    create_views(connection)?;
    fill_buckets(connection)?;
    fill_rules(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Creates the views, and fills `schema_doc` with the explanation of every table and view.
pub(crate) fn create_views(connection: &Connection) -> rusqlite::Result<()> {
    for (_, sql) in views() {
        connection.execute_batch(&sql.ok_or_else(no_memory)?)?;
    }
    fill_docs(connection)
}

/// Writes the rules on alerts that are built in. They are few and seldom fire, because people switch off alerts that
/// fire without need.
pub(crate) fn fill_rules(connection: &Connection) -> rusqlite::Result<()> {
    let rules: [(&str, &str, &str, f64, i64, i64); 6] = [
        ("failures", "warning", "surge_pct", 5.0, 60, 20),
        ("failures", "critical", "error_pct", 50.0, 60, 20),
        ("breaker", "critical", "breaker_open", 0.0, 60, 0),
        ("level", "warning", "level_lowered", 0.0, 60, 0),
        ("rows lost", "warning", "rows_lost", 0.0, 60, 0),
        ("stuck", "critical", "stuck", 0.0, 60, 0),
    ];
    let mut insert = connection.prepare(
        "INSERT OR IGNORE INTO alert_rule (name, level, measure, threshold, for_s, min_calls, set_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'built-in')",
    )?;
    for rule in rules {
        insert.execute(rule)?;
    }
    Ok(())
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

    use super::super::schema_doc::{EVENT_KINDS, docs};
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

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
         group_name, host, pid, process_id, folded, origin, caused_by, thread_id";

    #[test]
    fn views_have_exactly_the_columns_of_the_interface() {
        let readable = format!("{CALLS}, started_at");
        let expected = [
            ("calls", CALLS),
            ("errors", CALLS),
            ("slow_calls", CALLS),
            ("calls_readable", readable.as_str()),
            ("folds", "call_id, calls, total_ms, max_ms, last_ns"),
            ("call_edges", "caller, callee"),
            (
                "edges",
                "caller, callee, weight, failed_weight, total_ms, parents, calls_per_parent, most_per_parent",
            ),
            ("histogram", "function, slice_start_ns, process_id, lower_ms, upper_ms, count"),
            (
                "error_groups",
                "fingerprint, function, outcome, message, count, first_ns, last_ns, example_call_id, \
                 error_type, origin_count, root_count, path",
            ),
            (
                "functions",
                "function, file, line, group_name, calls, errors, panics, cancelled, error_pct, recorded, dropped, \
                 total_ms, mean_ms, p50_ms, p95_ms, p99_ms, max_ms, sample_rate, estimated, self_ms, busy_ms, \
                 cancelled_ms, roots",
            ),
            (
                "latency",
                "function, start_ns, start_s, calls, errors, total_ms, p50_ms, p95_ms, p99_ms, max_ms, \
                 estimated, self_ms, busy_ms, cancelled_ms, window",
            ),
            (
                "totals",
                "process_id, service, function, since_ns, calls, errors, panics, cancelled, dropped, roots, total_ms, \
                 self_ms, busy_ms, nested_ms, cancelled_ms, max_ms, estimated",
            ),
            (
                "alerts",
                "alert_id, change, process_id, service, rule, function, level, state, since_ns, until_ns, value, peak, \
                 sentence, processes",
            ),
            (
                "processes",
                "process_id, run_uuid, service, version, host, pid, started_ns, last_seen_ns, ended_ns, ending, \
                 executable, program_version, build",
            ),
            (
                "in_flight",
                "process_id, thread, depth, function, start_ns, died_ns, elapsed_ms, span_id, thread_id, parent_id, \
                 waiting_since_ns, args",
            ),
            ("events", "at_ns, process_id, kind, detail"),
            (
                "health",
                "process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, \
                 dropped_store, folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, \
                 wal_bytes, own_cpu_pct, overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, \
                 breaker_next_try_ns, last_failure, writes_ok_pct, writes_blocked_pct, write_retries, \
                 write_retries_per_min, duplicates_avoided, cost_pct, budget_pct, fixed_pct, saved_pct, off, \
                 dropped_passed, memory_bytes, memory_parts, memory_refused, dropped_logs, open_spans",
            ),
            (
                "rates",
                "process_id, function, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, \
                 cpu_pct, saved_pct, budget_pct, why",
            ),
            ("resources", "process_id, at_ns, cpu_pct, rss_bytes, threads, open_files"),
            (
                "guards",
                "process_id, name, at_ns, state, since_ns, level, calls, failures, rejected, fallbacks_value, \
                 fallbacks_cached, fallbacks_function, probes, openings, retries, retried_ok, held, last_failure",
            ),
            (
                "metrics",
                "metric_id, name, kind, unit, description, tags, first_ns, last_ns, latest, rate, count, sum",
            ),
            (
                "metric_history",
                "metric_id, name, kind, tags, process_id, start_ns, start_s, value, rate, count, sum, min, max, p50, \
                 p95, p99, window",
            ),
            (
                "logs",
                "log_id, at_ns, at_s, level, target, body, fields, lines, function, call_id, span_id, trace_id, \
                 service, process_id, file, line",
            ),
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
            std::fs::write(path, super::super::schema_doc::page(VERSION)).unwrap();
        }
        let current = std::fs::read_to_string(path).unwrap() == super::super::schema_doc::page(VERSION);
        assert!(current, "docs/schema.md is out of date: run this test once with UPDATE_DOCS=1");
    }

    #[test]
    fn every_kind_of_event_that_is_written_anywhere_is_explained_and_no_other() {
        let kinds: BTreeSet<&str> = EVENT_KINDS.into_iter().collect();
        let text = docs().find(|doc| (doc.object, doc.column) == ("events", "kind")).unwrap().text;
        assert_eq!(text.split('`').skip(1).step_by(2).collect::<BTreeSet<_>>(), kinds);
        if !repository_is_here() {
            return;
        }
        let mut written = BTreeSet::new();
        for package in ["monitor-runtime", "monitor-console"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src");
            add_written_kinds(&folder, &mut written);
        }
        assert!(written.contains("alert_rule") && written.contains("level"), "{written:?}");
        let unknown: Vec<_> = written.iter().filter(|kind| !kinds.contains(kind.as_str())).collect();
        assert!(unknown.is_empty(), "kinds that EVENT_KINDS lacks: {unknown:?}");
    }

    /// Adds the kinds of events that the sources below a folder write: the first literal of each statement that adds an
    /// event, if the literal is a word.
    fn add_written_kinds(folder: &Path, kinds: &mut BTreeSet<String>) {
        const WRITERS: [&str; 6] =
            ["parts.event(", "self.event(", "events.add(", "events::write(", "EventRow {", "Notice {"];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add_written_kinds(&path, kinds);
            } else {
                let source = std::fs::read_to_string(&path).unwrap();
                let statements = WRITERS.iter().flat_map(|writer| source.split(writer).skip(1));
                let literals = statements.filter_map(|rest| rest.split(';').next()?.split('"').nth(1));
                let is_word =
                    |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                kinds.extend(literals.filter(is_word).map(str::to_owned));
            }
        }
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
  cost_pct REAL,
  budget_pct REAL,
  fixed_pct REAL,
  saved_pct REAL,
  off TEXT,
  dropped_passed INTEGER,
  memory_bytes INTEGER,
  memory_parts TEXT,
  memory_refused TEXT,
  dropped_logs INTEGER,
  open_spans INTEGER
) STRICT";

    const VIEW_HEALTH: &str = "CREATE VIEW health AS
SELECT process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, dropped_store,
  folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, wal_bytes, own_cpu_pct,
  overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, breaker_next_try_ns, last_failure,
  writes_ok_pct, writes_blocked_pct, write_retries, write_retries_per_min, duplicates_avoided,
  cost_pct, budget_pct, fixed_pct, saved_pct, off, dropped_passed, memory_bytes, memory_parts, memory_refused, dropped_logs, open_spans
FROM self_report";

    fn plan(store: &Connection, sql: &str) -> Vec<String> {
        let mut explain = store.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        explain.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn an_aggregate_over_calls_reads_only_the_tables_whose_columns_it_names() {
        let store = store();
        for sql in ["count(*)", "sum(weight)", "max(duration_ms)", "sum(failed)", "count(DISTINCT trace_id)"]
        {
            let steps = plan(&store, &format!("SELECT {sql} FROM calls"));
            let tables = steps.iter().filter(|step| step.starts_with("SCAN") || step.starts_with("SEARCH"));
            assert_eq!(tables.count(), 1, "{sql}: {steps:?}");
        }
        let steps = plan(&store, "SELECT function, count(*) FROM calls GROUP BY function");
        assert!(
            steps.iter().all(|step| !step.contains(" t USING") && !step.contains(" v USING")),
            "{steps:?}"
        );
    }

    #[test]
    fn calls_are_joined_to_their_callers_through_an_index() {
        let store = store();
        for sql in [
            "SELECT p.function, c.function, count(*) FROM calls c
             JOIN calls p ON p.span_id = c.parent_id AND p.process_id = c.process_id GROUP BY 1, 2",
            "SELECT p.function, count(*) FROM calls c, calls p WHERE c.parent_id = p.span_id GROUP BY 1",
            "SELECT c.call_id, p.call_id FROM calls c LEFT JOIN calls p ON p.span_id = c.parent_id",
            "SELECT e.function, p.function FROM errors e JOIN calls p ON p.span_id = e.caused_by",
        ] {
            let steps = plan(&store, sql);
            assert!(steps.iter().any(|step| step.contains("AUTOMATIC")), "{sql}: {steps:?}");
        }
    }

    #[test]
    fn windows_are_found_by_their_start_and_come_in_its_order() {
        let found = [
            "SEARCH s USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            "SEARCH w USING PRIMARY KEY (window=?)",
        ];
        let steps = plan(&store(), "SELECT * FROM latency WHERE start_ns > 5 AND start_ns < 9");
        assert_eq!(steps[..2], found);
        let steps = plan(&store(), "SELECT * FROM latency ORDER BY start_ns DESC LIMIT 9");
        assert!(steps.iter().all(|step| !step.contains("ORDER BY")), "{steps:?}");
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
