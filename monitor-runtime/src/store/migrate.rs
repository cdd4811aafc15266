//! From an older schema to this one: each step takes a store from one version to the next, all of
//! them in the caller's transaction, so that a store is never seen halfway.

use super::schema::VERSION;
use rusqlite::Connection;

/// A step: the version it starts from and the statements that lead to the next one.
type Step = (i32, &'static str);

/// Every step there is, oldest first. Version 1 is the first schema.
const STEPS: &[Step] = &[];

/// Whether steps lead from a version to this one.
pub(crate) fn reaches(version: i32) -> bool {
    leads(STEPS, version, VERSION)
}

/// Runs the steps from a version to this one and says so in the file.
pub(crate) fn run(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    run_steps(connection, STEPS, version, VERSION)
}

fn leads(steps: &[Step], from: i32, to: i32) -> bool {
    (from..to).all(|version| steps.iter().any(|(start, _)| *start == version))
}

fn run_steps(connection: &Connection, steps: &[Step], from: i32, to: i32) -> rusqlite::Result<()> {
    for (_, sql) in steps.iter().filter(|(start, _)| (from..to).contains(start)) {
        connection.execute_batch(sql)?;
    }
    connection.pragma_update(None, "user_version", to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TWO: &[Step] = &[
        (1, "CREATE TABLE one (x INTEGER) STRICT; INSERT INTO one VALUES (7)"),
        (2, "ALTER TABLE one ADD COLUMN y INTEGER; UPDATE one SET y = x + 1"),
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
        let broken = &[TWO[0], (2, "ALTER TABLE missing ADD COLUMN y")];
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

    #[test]
    fn a_gap_in_the_steps_leads_nowhere() {
        assert!(leads(TWO, 1, 3) && leads(TWO, 3, 3));
        assert!(!leads(TWO, 0, 3) && !leads(TWO, 1, 4));
        assert!(reaches(VERSION) && !reaches(0));
    }
}
