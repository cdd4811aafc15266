//! `cargo bench -p monitor-benches --bench short` measures what the recorder costs programs that end at once: a hundred
//! runs of one call, one after the other, and a hundred and fifty processes of a test runner, as many at a time as there
//! are processors. The programs live for as long as their start takes, or for five milliseconds of work.
//!
//! The floor is the same run with `MONITOR=off`. All runs of a round record into one store.

use std::ffi::OsString;
use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use monitor_benches::{Options, Table, seconds};
use monitor_runtime::config::{Surroundings, process_variable, ring_folders};
use monitored::monitor;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The case, the work of each process, the number of processes, whether they run side by side, and the highest ratio.
const CASES: [(&str, Duration, usize, bool, Option<f64>); 4] = [
    ("one call, in turn", Duration::ZERO, 100, false, None),
    ("one call, side by side", Duration::ZERO, 150, true, None),
    ("5 ms of work, in turn", Duration::from_millis(5), 100, false, Some(2.0)),
    ("5 ms of work, side by side", Duration::from_millis(5), 150, true, Some(2.0)),
];

/// The start of the names of the recorder's variables.
const SETTINGS: &str = "MONITOR";

#[monitor]
fn work(id: u64, time: Duration) -> u64 {
    let began = Instant::now();
    let mut value = black_box(id);
    while began.elapsed() < time {
        value = black_box(value.rotate_left(5) ^ id);
    }
    value
}

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        black_box(work(1, Duration::from_micros(worker.parse()?)));
        return Ok(());
    }
    let mut table = Table::new("short", "ms a process", "the same with MONITOR=off");
    for (case, time, processes, is_parallel, goal) in CASES {
        if !options.wants(case) {
            continue;
        }
        table.row(case, goal);
        let processes = options.amount(processes, 10);
        let at_once = if is_parallel { std::thread::available_parallelism()?.get() } else { 1 };
        for _ in 0..options.rounds() {
            let folder = tempfile::tempdir()?;
            let store = folder.path().join("short.db");
            // The first run makes the store.
            run_all(1, 1, time, &store, true)?;
            let run = |is_on| {
                let mut result = Ok(());
                let spent = seconds(|| result = run_all(processes, at_once, time, &store, is_on));
                #[expect(clippy::cast_precision_loss, reason = "a few hundred processes")]
                result.map(|()| spent * 1e3 / processes as f64)
            };
            let (off, on) = (run(false)?, run(true)?);
            table.record(case, on, off);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred processes")]
            let missing = (processes + 1) as f64 - count_calls(&store)?;
            table.figure(&format!("{case}: calls that are missing"), missing, "calls");
        }
    }
    Ok(table.finish(&options)?)
}

/// Runs processes of this much work, a few at a time.
fn run_all(processes: usize, at_once: usize, time: Duration, store: &Path, is_on: bool) -> Result<()> {
    let mut running: Vec<Child> = Vec::new();
    for _ in 0..processes {
        if running.len() >= at_once {
            finish(running.remove(0))?;
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--worker", &time.as_micros().to_string()]).stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with(SETTINGS) {
                command.env_remove(variable);
            }
        }
        command.env("MONITOR_DB", store).env("MONITOR", if is_on { "on" } else { "off" });
        running.push(command.spawn()?);
    }
    running.into_iter().try_for_each(finish)
}

fn finish(mut process: Child) -> Result<()> {
    if process.wait()?.success() { Ok(()) } else { Err("a process failed".into()) }
}

fn without_settings(name: &str) -> Option<OsString> {
    if name.starts_with(SETTINGS) { None } else { process_variable(name) }
}

/// Returns the number of calls that the store counts, after recovery of whatever a process left in its ring file.
fn count_calls(store: &Path) -> Result<f64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now_ns = i64::try_from(now.as_nanos())?;
    // The processes have none of the recorder's variables, so their ring files lie in the usual folders.
    let usual = Surroundings { variable: &without_settings, executable: None };
    monitor_runtime::recover::recover(store, &ring_folders(&usual), now_ns)?;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(store, flags)?;
    Ok(connection.query_row("SELECT total(calls) FROM functions", [], |row| row.get(0))?)
}
