//! Runs the victim program in a folder of its own, and opens the store that it leaves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use monitor_runtime::limits::EXIT_DRAIN_MAX;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::patience::{now_ns, wait_for};

/// A folder for one store, and the variables with which programs are run against it.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Stage {
    /// Makes a stage on which every sampled call gets a row: rows and cost have no bound.
    pub(crate) fn new() -> Self {
        Self::bounded().with_variable("MONITOR_MAX_RATE", "0").with_variable("MONITOR_MAX_OVERHEAD", "100%")
    }

    /// Makes a stage with the default bounds, as users have them.
    pub(crate) fn bounded() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Sets a variable for every program.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// Returns the command for a scenario, in a clean environment.
    pub(crate) fn command(&self, scenario: &str, number: u64) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
        command.arg(scenario).arg(number.to_string());
        command.env_clear().env("HOME", self.folder()).env("MONITOR_DB", self.db());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a scenario to its end, which must be a success, and brings everything into the store. Returns its output.
    pub(crate) fn run(&self, scenario: &str, number: u64) -> String {
        let began = Instant::now();
        let output = self.output(scenario, number);
        self.settle(began);
        assert!(output.status.success(), "{scenario}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn output(&self, scenario: &str, number: u64) -> Output {
        self.command(scenario, number).output().unwrap()
    }

    pub(crate) fn start(&self, scenario: &str, number: u64) -> Child {
        self.command(scenario, number).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs `monitor` with these arguments on the store, which must succeed, and returns its output. Cargo builds it
    /// along with its own tests; a run of these tests alone may find none, and then builds it.
    pub(crate) fn monitor(&self, arguments: &[&str]) -> String {
        let victim = Path::new(env!("CARGO_BIN_EXE_victim"));
        let monitor = victim.with_file_name("monitor").with_extension(std::env::consts::EXE_EXTENSION);
        if !monitor.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--package", "monitor-console"]);
            assert!(build.status().unwrap().success(), "monitor does not build");
        }
        let mut command = Command::new(monitor);
        command.args(arguments).env_clear().env("HOME", self.folder()).env("USER", "ada");
        let output = command.arg("--db").arg(self.db()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a scenario that runs until its standard input ends.
    pub(crate) fn start_until_stopped(&self, scenario: &str) -> Child {
        let mut command = self.command(scenario, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Ends a scenario that was started by `start_until_stopped`: closes its standard input, waits for its success,
    /// and brings everything into the store. Returns what it has printed and nobody has read.
    pub(crate) fn finish(&self, mut program: Child) -> String {
        let began = Instant::now();
        drop(program.stdin.take());
        let output = program.wait_with_output().unwrap();
        self.settle(began);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns true if the store is there and the query, which begins with `SELECT 1`, finds a row in it. For
    /// a store that a program is still writing to, or has not made yet.
    pub(crate) fn has_row(&self, sql: &str) -> bool {
        self.db().exists() && self.store().0.query_row(sql, [], |_| Ok(())).is_ok()
    }

    /// Recovers what a program that was started at this moment had no time to write, as the next start does. The end
    /// of a program waits for a bounded time, in which a busy machine may not let the writer run at all.
    pub(crate) fn settle(&self, began: Instant) {
        if ended_in_time(began) {
            return;
        }
        let db = self.variable("MONITOR_DB").map_or_else(|| self.db(), PathBuf::from);
        monitor_runtime::recover::recover(&db, &self.rings(), now_ns()).unwrap();
    }

    /// Returns the value that a variable was set to.
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the folders for ring files.
    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        let surroundings = monitor_runtime::config::Surroundings { variable: &|_| None, executable: None };
        let usual = || monitor_runtime::config::ring_folders(&surroundings);
        self.variable("MONITOR_RINGS").map_or_else(usual, |rings| vec![rings.into()])
    }

    /// Opens the store as any reader does.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.db())
    }
}

/// Returns true if a program that was started at this moment and has just ended had the time to write everything,
/// because it took less than the wait at its end may take.
pub(crate) fn ended_in_time(began: Instant) -> bool {
    began.elapsed() < EXIT_DRAIN_MAX
}

/// A program that makes a call a millisecond until the test has seen enough, however long that takes on a busy
/// machine.
#[derive(Debug)]
pub(crate) struct Steady {
    program: Child,
    errors: BufReader<ChildStderr>,
    made: Arc<AtomicI64>,
    counts: JoinHandle<()>,
}

impl Steady {
    pub(crate) fn start(stage: &Stage) -> Self {
        let mut program = stage.start_until_stopped("steady");
        let made = Arc::new(AtomicI64::new(0));
        let counted = Arc::clone(&made);
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let counts = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                counted.store(line.parse::<i64>().unwrap() + 1, Ordering::Relaxed);
            }
        });
        let errors = BufReader::new(program.stderr.take().unwrap());
        Self { program, errors, made, counts }
    }

    /// Waits until the program has made this many more calls.
    pub(crate) fn wait_for_calls(&self, calls: i64) {
        let before = self.made.load(Ordering::Relaxed);
        wait_for("more calls", || self.made.load(Ordering::Relaxed) >= before + calls);
    }

    /// Waits for the next line on its stderr and returns it.
    pub(crate) fn next_error_line(&mut self) -> String {
        let mut line = String::new();
        self.errors.read_line(&mut line).unwrap();
        line
    }

    /// Ends the program in good order. Returns how many calls it made, and the lines on its stderr that nobody has
    /// read.
    pub(crate) fn end(mut self, stage: &Stage) -> (i64, String) {
        let began = Instant::now();
        drop(self.program.stdin.take());
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).unwrap();
        assert!(self.program.wait().unwrap().success(), "{errors}");
        stage.settle(began);
        self.counts.join().unwrap();
        (self.made.load(Ordering::Relaxed), errors)
    }
}

/// A store that is open for reading.
#[derive(Debug)]
pub(crate) struct Store(pub(crate) Connection);

impl Store {
    pub(crate) fn open(path: &Path) -> Self {
        Self(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap())
    }

    /// Returns the one value that a query gives.
    pub(crate) fn one<T: FromSql>(&self, sql: &str) -> T {
        self.0.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the first column of all rows.
    pub(crate) fn all<T: FromSql>(&self, sql: &str) -> Vec<T> {
        let mut statement = self.0.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(|row| row.unwrap_or_else(|error| panic!("{sql}: {error}"))).collect()
    }
}
