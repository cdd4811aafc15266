//! Checks everything that sampling promises, in one run. A program calls one function tens of millions of times a
//! second, one function once a second, and one function as often as a request handler is called; a known number of
//! the calls fail or are slow. Meanwhile a second process, this one, changes the sampling rates by every means and
//! keeps the store locked for a while.
//!
//! The module takes the command `monitor` and returns the broken promises, which make the benchmark fail: wrong
//! counts, missing rows, exceeded bounds and missing events. Times are shown in the table and never judged.

mod program;
mod tuning;
mod verdict;

use std::io::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monitor_benches::{Figures, Options, Table, Worker, build_monitor};
use rusqlite::Connection;
use rusqlite::types::FromSql;

pub(crate) use program::run_program;

/// The name of the worker, and the row of the hot function's cost.
pub(crate) const WORKER: &str = "promises";
pub(crate) const HOT_COST: &str = "promises: a hot call from 2 s on, rates changing and the store locked";

/// The program's functions, by the names under which they are recorded.
const HOT: &str = "ladder::promises::program::hot";
const HANDLER: &str = "ladder::promises::program::handle";
const RARE: &str = "ladder::promises::program::rare";

/// The environment variable that names a file. The program ends when that file exists.
const END_VARIABLE: &str = "LADDER_END";

/// The figures of the program besides its call counts: its seconds, and its cost ratio in each second.
const SECONDS: &str = "seconds";
const RATIO: &str = "ratio in second ";

/// The number of calls of a function, and how many of them failed and were slow.
#[derive(Debug, Default, Clone, Copy)]
struct CallCounts {
    calls: u64,
    failed: u64,
    slow: u64,
}

impl CallCounts {
    /// Adds the counts of a function to the figures that the program answers with.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn insert_into(self, figures: &mut Figures, function: &str) {
        for (what, number) in [("calls", self.calls), ("failed", self.failed), ("slow", self.slow)] {
            figures.insert(format!("{function} {what}"), number as f64);
        }
    }

    /// Returns the counts of a function from the figures of the program.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "written by `insert_into`")]
    fn from_figures(figures: &Figures, function: &str) -> Self {
        let number = |what: &str| figures.get(&format!("{function} {what}")).copied().unwrap_or(0.0) as u64;
        Self { calls: number("calls"), failed: number("failed"), slow: number("slow") }
    }
}

/// The second process: it operates the command `monitor` on the program's store, and collects broken promises.
struct Operator {
    monitor: PathBuf,
    store: PathBuf,
    settings: PathBuf,
    problems: Vec<String>,
}

/// Starts the program, changes its rates until all means were tried, ends it, and judges its store. Returns the
/// broken promises.
pub(crate) fn check(options: &Options, table: &mut Table) -> std::io::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut operator = Operator {
        monitor: build_monitor()?,
        store: path("promises.db"),
        settings: path("monitor.toml"),
        problems: Vec::new(),
    };
    std::fs::write(&operator.settings, "max_rate = 1000\n")?;
    let text = |path: &Path| path.to_str().unwrap_or_default().to_owned();
    let end = path("end");
    let variables = [
        ("MONITOR_DB", text(&operator.store)),
        ("MONITOR_CONFIG", text(&operator.settings)),
        (END_VARIABLE, text(&end)),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut worker = Worker::start(WORKER, options, &variables)?;
    let figures = std::thread::scope(|scope| {
        let figures = scope.spawn(|| worker.round());
        let tuned = operator.change_rates(options, table);
        // Ends the program in any case, also after a failure.
        std::fs::write(&end, "")?;
        tuned.map_err(Error::other)?;
        figures.join().map_err(|_| Error::other("the thread that waits for the program panicked"))?
    })?;
    drop(worker);
    operator.judge(&figures, table).map_err(Error::other)?;
    Ok(operator.problems)
}

impl Operator {
    /// Notes a broken promise unless the condition holds.
    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    fn open_store(&self) -> rusqlite::Result<Connection> {
        let store = Connection::open(&self.store)?;
        store.busy_timeout(Duration::from_secs(10))?;
        Ok(store)
    }
}

/// Returns the time of day in nanoseconds, as the store counts it.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the first column of a query's first row. A query without a row is an error.
fn query_value<T: FromSql>(
    store: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<T> {
    store.query_row(sql, parameters, |row| row.get(0))
}
