//! The child processes of the tests. Each plays one part and records into a store, which the test reads.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

/// The variable that tells a child which part it plays.
const PART: &str = "MONITORED_METRICS_TEST_PART";

/// The most time that anything may take that a test waits for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Runs the part that the variable names.
#[test]
fn child() {
    let Some(part) = std::env::var_os(PART) else { return };
    match part.to_str().unwrap() {
        "facade" => crate::facade::play_facade(),
        "several times" => crate::facade::play_several_times(),
        "threads" => crate::exact::play_threads(),
        "killed" => crate::exact::play_killed(),
        "two" => crate::exact::play_one_of_two(),
        "totals" => crate::exact::play_totals(),
        "series" => crate::bounds::play_series(),
        "hostile" => crate::bounds::play_hostile(),
        "off" => crate::quiet::play_off(),
        "idle" => crate::quiet::play_idle(),
        "panics" => crate::quiet::play_panics(),
        #[cfg(unix)]
        "fork" => crate::fork::play(),
        #[cfg(unix)]
        "fork init" => crate::fork::play_init(),
        "alert" => crate::alert::play(),
        "taken" => crate::facade::play_taken(),
        part => panic!("there is no part {part}"),
    }
}

/// Returns the command that plays a part with this store.
pub(crate) fn command(part: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::child", "--nocapture"]).env(PART, part).env("MONITOR_DB", store);
    command
}

/// Plays a part to its end.
pub(crate) fn play(part: &str, store: &Path) {
    let output = command(part, store).output().unwrap();
    assert!(output.status.success(), "{part}: {output:?}");
}

/// A part that runs, and its output.
pub(crate) struct Playing {
    pub(crate) child: Child,
    output: BufReader<ChildStdout>,
}

/// Starts a part whose output is read.
pub(crate) fn start(part: &str, store: &Path) -> Playing {
    let mut child = command(part, store).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    Playing { child, output }
}

impl Playing {
    /// Returns the next line of the output that begins with this word, without the word.
    pub(crate) fn read_line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child has ended without `{word}`");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }
}

pub(crate) fn open(store: &Path) -> Connection {
    Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Returns the integer that a statement gives.
pub(crate) fn integer(store: &Path, sql: &str) -> i64 {
    open(store).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Returns the texts that a statement gives.
pub(crate) fn texts(store: &Path, sql: &str) -> Vec<String> {
    let store = open(store);
    let mut select = store.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Waits until a statement gives a number above zero; a store that does not exist yet has none.
pub(crate) fn await_some(store: &Path, sql: &str) {
    let until = Instant::now() + WAIT_MAX;
    loop {
        let opened = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let found = opened.and_then(|store| store.query_row(sql, [], |row| row.get::<_, i64>(0)));
        if found.is_ok_and(|found| found > 0) {
            return;
        }
        assert!(Instant::now() < until, "waited in vain for {sql}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes everything that was recorded.
pub(crate) fn flush() {
    monitored::flush(WAIT_MAX).unwrap();
}

/// Returns the path of the store in a child.
pub(crate) fn own_store() -> std::path::PathBuf {
    std::env::var_os("MONITOR_DB").unwrap().into()
}
