//! Migrates a store from an older schema version to this one.
//!
//! Takes a connection and the version of its file; gives a file of this version. Each step leads from one version to
//! the next, and all steps run in the caller's transaction, so nobody ever sees a store between two versions. The texts of
//! a step never change, even where they repeat those of a table of today, because that table may change.

mod from_1;
mod from_2;
mod from_3;
mod from_4;

use rusqlite::Connection;

use super::schema::{self, VERSION};
use from_1::{HISTOGRAMS_OF_WINDOWS, WINDOWS_1};
use from_2::{
    ALERTS, CALLS_IN_FLIGHT, COSTS_OF_ONE_CORE, ERROR_GROUPS_2, FLIGHTS_2, GUARD_HOLDS, GUARDS, IDENTITIES,
    LOGS, METRICS, PROCESSES_2, RANGES_2, RATES_2, REPORTS_2, SELF_TIMES, SLICES_2, SPANS_OF_CALLS,
    STARTS_OF_WINDOWS, THREADS_2, TOTALS, TREES, WINDOWS_2, ZONES,
};
use from_3::{CHUNKS, FAILED_3, FAILED_CALLS, WINDOW_STARTS};
use from_4::EXPIRED;

/// A step: the version that it starts from, and the texts of statements that lead to the next version.
type Step = (i32, &'static [&'static str]);

/// All steps, oldest first. Version 1 is the first schema.
const STEPS: &[Step] = &[
    (1, &[HISTOGRAMS_OF_WINDOWS]),
    (
        2,
        &[
            SELF_TIMES,
            CALLS_IN_FLIGHT,
            IDENTITIES,
            TREES,
            COSTS_OF_ONE_CORE,
            SPANS_OF_CALLS,
            STARTS_OF_WINDOWS,
            ZONES,
            TOTALS,
            GUARDS,
            GUARD_HOLDS,
            ALERTS,
            METRICS,
            LOGS,
        ],
    ),
    (3, &[FAILED_CALLS, CHUNKS, WINDOW_STARTS]),
    (4, &[EXPIRED]),
];

/// Tables and indexes that had another text in older versions: the last version with that text, name, text.
const BEFORE: &[(i32, &str, &str)] = &[
    (1, "latency_window", WINDOWS_1),
    (2, "latency_window", WINDOWS_2),
    (2, "slice", SLICES_2),
    (2, "flight", FLIGHTS_2),
    (2, "process", PROCESSES_2),
    (2, "thread", THREADS_2),
    (2, "call_range", RANGES_2),
    (2, "error_group", ERROR_GROUPS_2),
    (2, "function_rate", RATES_2),
    (2, "self_report", REPORTS_2),
    (3, "call_failed", FAILED_3),
];

/// Tables and indexes that older versions do not have: name, and the first version that has it.
const ADDED_IN: &[(&str, i32)] = &[
    ("span_block", 3),
    ("call_fold", 3),
    ("call_cause", 3),
    ("call_edge", 3),
    ("call_zone_function", 3),
    ("call_zone_span", 3),
    ("function_total", 3),
    ("past_total", 3),
    ("past_report", 3),
    ("guard", 3),
    ("guard_hold", 3),
    ("alert_rule", 3),
    ("alert", 3),
    ("metric", 3),
    ("metric_window", 3),
    ("log_target", 3),
    ("log", 3),
    ("log_trace", 3),
    ("log_awaiting", 3),
    ("alert_open", 3),
    ("alert_part", 3),
    ("alert_cursor", 3),
    ("alert_told", 3),
    ("latency_start", 4),
    ("latency_chunk", 4),
    ("latency_chunked", 4),
    ("function_expired", 5),
];

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
    // A table that is renamed is looked for in all views, and those of the user cannot be read between two steps. They
    // name the tables as they will be.
    connection.pragma_update(None, "legacy_alter_table", true)?;
    let steps = run_steps(connection, STEPS, version, VERSION);
    connection.pragma_update(None, "legacy_alter_table", false)?;
    steps?;
    if !has(version, "alert_rule") {
        schema::fill_rules(connection)?;
    }
    connection.execute_batch("DELETE FROM schema_doc")?;
    schema::create_views(connection)
}

/// Returns true if that version has the table or index.
pub(crate) fn has(version: i32, name: &str) -> bool {
    ADDED_IN.iter().all(|(table, first)| *table != name || version >= *first)
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
        for (name, sql) in schema::tables() {
            let text = old_text(version, name);
            if text.is_some() || !has(version, name) {
                let kind = if sql.starts_with("CREATE INDEX") { "INDEX" } else { "TABLE" };
                // The index of a table that was dropped is gone with it.
                old.execute_batch(&format!("DROP {kind} IF EXISTS {name}; {}", text.unwrap_or_default()))
                    .unwrap();
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

    /// Migrates a store of the test data, and asserts that it becomes one as it is made now and keeps this number of
    /// calls, its other sums and its ids.
    fn assert_migrates(version: i32, calls: i64) {
        let new = Connection::open_in_memory().unwrap();
        schema::create(&new).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/versions/VERSION.db")
            .replace("VERSION", &version.to_string());
        std::fs::copy(stored, &path).unwrap();
        let old = Connection::open(path).unwrap();
        let sums =
            "SELECT sum(calls), CAST(sum(total_ms) AS INTEGER), sum(errors) + sum(cancelled) FROM functions";
        let read = |connection: &Connection| -> (i64, i64, i64) {
            connection.query_row(sums, [], |row| row.try_into()).unwrap()
        };
        let ids = |connection: &Connection| -> Vec<[Option<i64>; 4]> {
            let sql = "SELECT call_id, span_id, parent_id, trace_id FROM calls ORDER BY call_id";
            let mut select = connection.prepare(sql).unwrap();
            let rows = select.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]));
            rows.unwrap().map(Result::unwrap).collect()
        };
        let (before, ids_before) = (read(&old), ids(&old));
        run(&old, version).unwrap();
        assert!(ids_before.len() > 10 && ids_before.iter().any(|[_, _, parent, _]| parent.is_some()));
        assert_eq!(ids(&old), ids_before);
        assert_eq!(texts(&old), texts(&new), "from version {version}");
        assert_eq!((read(&old), before.0), (before, calls));
    }

    #[test]
    fn a_store_of_each_version_since_2_becomes_one_as_it_is_made_now_and_keeps_its_sums() {
        assert_migrates(2, 761);
        assert_migrates(3, 10_701);
        assert_migrates(4, 21_403);
    }

    #[test]
    fn a_gap_in_the_steps_leads_nowhere() {
        assert!(has_every_step(TWO, 1, 3) && has_every_step(TWO, 3, 3));
        assert!(!has_every_step(TWO, 0, 3) && !has_every_step(TWO, 1, 4));
        assert!(is_possible_from(VERSION) && !is_possible_from(0));
    }
}
