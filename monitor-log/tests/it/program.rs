//! Runs a child of this test binary on a store of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use tempfile::TempDir;

/// Names the child that the binary is to be.
pub(crate) const CHILD: &str = "MONITORED_LOG_TEST_CHILD";
/// The longest time that a test waits for what it needs to see.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a store, and the ring files of its programs.
pub(crate) struct Stage(TempDir);

impl Stage {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(if cfg!(target_os = "linux") { "/dev/shm" } else { "." }).unwrap())
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    /// Returns the command of a child.
    pub(crate) fn command(&self, child: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("children::{child}"), "--nocapture"]);
        command.env(CHILD, child).env("MONITOR_DB", self.db()).env("MONITOR_RINGS", self.0.path());
        command.env("MONITOR_MAX_OVERHEAD", "100%").env("MONITOR_MAX_RATE", "0");
        command
    }

    /// Runs a child to its end, which must be a success.
    pub(crate) fn run(&self, child: &str) -> Output {
        let output = self.command(child).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// Starts a child.
    pub(crate) fn start(&self, child: &str) -> Child {
        self.command(child).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Brings what dead programs have left into the store.
    pub(crate) fn recover(&self) {
        let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let now_ns = i64::try_from(now_ns).unwrap();
        monitor_runtime::recover::recover(&self.db(), &[self.0.path().to_owned()], now_ns).unwrap();
    }

    pub(crate) fn open(&self) -> Connection {
        Connection::open(self.db()).unwrap()
    }

    /// Returns the first column of a query.
    pub(crate) fn column<T: FromSql>(&self, sql: &str) -> Vec<T> {
        let store = self.open();
        store.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Returns the first value of a query.
    pub(crate) fn value<T: FromSql>(&self, sql: &str) -> T {
        self.open().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
