//! A layer that only counts, and the run of a program under it and under the recorder.
//!
//! Takes the name of a test that is the program; gives what the layer counted there, and the store. The program runs as
//! a process of its own, because the store belongs to a process. The file does not know what the program does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// The variable that makes a test the program.
const PROGRAM: &str = "MONITORED_BRIDGED_TEST_PROGRAM";

/// Counts spans by the names that the store gives them, and events by their targets. Both count from `DEBUG` up.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<BTreeMap<String, i64>>>);

impl Counting {
    fn add(&self, key: String) {
        *self.0.lock().unwrap().entry(key).or_default() += 1;
    }
}

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for Counting {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let metadata = span.metadata();
        if *metadata.level() <= Level::DEBUG {
            self.add(format!("span {}::{}", metadata.target(), metadata.name()));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::DEBUG {
            self.add(format!("event {}", metadata.target()));
        }
    }
}

/// Runs the program under both layers, and prints what the reference counted, if this process is the program.
pub(crate) fn run_as_program(program: impl FnOnce()) {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    let counting = Counting::default();
    let layer = monitored_tracing::layer().spans(Level::DEBUG).events(Level::DEBUG);
    tracing_subscriber::registry().with(counting.clone()).with(layer).init();
    program();
    let mut output = std::io::stdout();
    for (key, count) in &*counting.0.lock().unwrap() {
        writeln!(output, "counted {key} {count}").unwrap();
    }
    monitored::flush(Duration::from_secs(60)).unwrap();
}

/// The counts of the reference layer in a program that has ended, and the store that the program left.
pub(crate) struct Run {
    counted: BTreeMap<String, i64>,
    store: rusqlite::Connection,
    _folder: TempDir,
}

impl Run {
    /// Runs the test of this name as a program. Every call of its spans has a row.
    pub(crate) fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PROGRAM, "1")
            .env("MONITOR_DB", &path)
            .env("MONITOR_MAX_RATE", "0")
            .env("MONITOR_MAX_OVERHEAD", "100%")
            .env("MONITOR_FOLD_AFTER", "0")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let pairs = text.lines().filter_map(|line| line.split("counted ").nth(1)?.rsplit_once(' '));
        let counted = pairs.map(|(key, count)| (key.to_owned(), count.parse().unwrap())).collect();
        Self { counted, store: rusqlite::Connection::open(&path).unwrap(), _folder: folder }
    }

    /// Returns the counts of the reference whose keys begin with this, without that begin.
    pub(crate) fn counted(&self, kind: &str) -> BTreeMap<String, i64> {
        let of_kind = |(key, count): (&String, &i64)| Some((key.strip_prefix(kind)?.to_owned(), *count));
        self.counted.iter().filter_map(of_kind).collect()
    }

    /// Returns the first column of all rows.
    pub(crate) fn all(&self, sql: &str) -> Vec<String> {
        let mut select = self.store.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Returns the number in the only row.
    pub(crate) fn one(&self, sql: &str) -> i64 {
        self.store.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the calls of each function except these, whose calls are no spans.
    pub(crate) fn calls_of_spans(&self, monitored: &[&str]) -> BTreeMap<String, i64> {
        let mut calls = self.counts("SELECT function, calls FROM functions");
        calls.retain(|function, _| !monitored.contains(&function.as_str()));
        calls
    }

    /// Returns the rows of a text and a number.
    fn counts(&self, sql: &str) -> BTreeMap<String, i64> {
        let mut select = self.store.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Asserts that all events are log lines in the store: each is a row, or counted in one.
    pub(crate) fn assert_lines_add_up(&self) {
        let lines = self.counts("SELECT target, sum(lines) FROM logs GROUP BY target");
        assert_eq!(lines, self.counted("event "));
        assert_eq!(self.one("SELECT sum(dropped_logs) FROM health"), 0);
    }

    /// Returns each pair of a function and its caller, with the number of its calls.
    pub(crate) fn links(&self) -> Vec<String> {
        self.all(
            "SELECT c.function || ' < ' || COALESCE(p.function, '-') || ' ' || COUNT(*) FROM calls c
             LEFT JOIN calls p ON p.span_id = c.parent_id GROUP BY c.function, p.function ORDER BY 1",
        )
    }
}
