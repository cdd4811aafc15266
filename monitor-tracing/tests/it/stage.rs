//! Runs a program of these tests with a store in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use tempfile::TempDir;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// The variable that names the program.
pub(crate) const PROGRAM: &str = "MONITORED_TRACING_TEST_PROGRAM";

pub(crate) struct Stage {
    folder: TempDir,
    /// The folder of ring files, which outlive a process only in memory.
    rings: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let rings = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: tempfile::tempdir().unwrap(), rings: rings.unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(crate) fn rings(&self) -> PathBuf {
        self.rings.path().to_owned()
    }

    /// Returns the command for a program that gets a row for every call, in a clean environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "program", "--nocapture"])
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MONITOR_DB", self.path())
            .env("MONITOR_RINGS", self.rings())
            .env("MONITOR_MAX_RATE", "0")
            .env("MONITOR_MAX_OVERHEAD", "100%")
            .env(PROGRAM, program)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end, which must be a success.
    pub(crate) fn run(&self, program: &str) -> Output {
        finish(&mut self.command(program))
    }

    pub(crate) fn store(self) -> Store {
        Store { connection: Connection::open(self.path()).unwrap(), _stage: self }
    }
}

/// Runs a program to its end, which must be a success.
pub(crate) fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a program to its end, and opens its store.
pub(crate) fn store_of(program: &str) -> Store {
    let stage = Stage::new();
    stage.run(program);
    stage.store()
}

pub(crate) struct Store {
    connection: Connection,
    /// The folder of the store, which goes with it.
    _stage: Stage,
}

impl Store {
    pub(crate) fn all<T: FromSql>(&self, sql: &str) -> Vec<T> {
        let mut select = self.connection.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn one<T: FromSql>(&self, sql: &str) -> T {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns a line for each call, sorted: its function, `<`, and its parent's function, without the crate.
    pub(crate) fn links(&self) -> Vec<String> {
        self.all(
            "SELECT REPLACE(c.function || ' < ' || COALESCE(p.function, '-'), 'it::', '') FROM calls c
             LEFT JOIN calls p ON p.span_id = c.parent_id ORDER BY 1",
        )
    }

    /// Returns the arguments of the only call of a function.
    pub(crate) fn args(&self, function: &str) -> serde_json::Value {
        let text: String = self.one(&format!("SELECT args FROM calls WHERE function = 'it::{function}'"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Returns outcome and error of the only call of a function.
    pub(crate) fn outcome(&self, function: &str) -> String {
        let sql = "SELECT outcome || COALESCE(': ' || error, '') FROM calls WHERE function = ";
        self.one(&format!("{sql} 'it::{function}'"))
    }
}

/// Installs a registry with the layer, which records spans of all levels.
pub(crate) fn install() {
    tracing_subscriber::registry().with(monitored_tracing::layer().spans(LevelFilter::TRACE)).init();
}
