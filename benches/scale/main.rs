//! `cargo bench -p monitor-benches --bench scale` measures the cost of a call, the memory and the time to drain with
//! many threads, many short-lived threads, many functions, and over hours.
//!
//! Each case runs in a process of its own, so that its memory is measured alone. The hours are simulated, because
//! the store reads no clock.

#[path = "../store/load.rs"]
#[allow(dead_code, reason = "the benchmark of the store makes loads of more shapes")]
mod load;
mod hours;
mod memory;
mod threads;
mod functions;

use std::error::Error;
use std::time::Duration;

use monitor_benches::{Figures, Options, Table, Worker, floor, seconds, serve_or_exit};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A worker's name, its measurement, and the amount of threads, functions or rows a second.
type Case = (&'static str, fn(usize, &Options) -> Result<Figures>, usize);

const CASES: [Case; 9] = [
    ("1 thread", threads::steady, 1),
    ("10 threads", threads::steady, 10),
    ("100 threads", threads::steady, 100),
    ("1000 threads", threads::steady, 1000),
    ("short-lived threads", threads::short_lived, 10_000),
    ("1 function", functions::call_in_turn, 1),
    ("100 functions", functions::call_in_turn, 100),
    ("10000 functions", functions::call_in_turn, 10_000),
    ("6 hours of steady load", hours::steady, 300),
];

/// The name of a worker's figure that is the floor of its round.
pub(crate) const FLOOR: &str = "floor";
/// The name of the figure that is compared with the floor.
pub(crate) const CALL: &str = "ns a call";

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        return Ok(serve_or_exit(worker, || measure(worker, &options))?);
    }
    let mut table = Table::new("scale", "ns", floor::READS);
    table.row("short-lived threads: first call of a new thread (µs)", Some(20.0));
    for _ in 0..options.rounds() {
        for (name, ..) in CASES.iter().filter(|(name, ..)| options.wants(name)) {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("scale.db");
            let path = path.to_string_lossy();
            let variables = [
                ("MONITOR_DB", path.as_ref()),
                ("MONITOR_MAX_RATE", "0"),
                ("MONITOR_MAX_OVERHEAD", "100%"),
                ("MONITOR_MAX_DISK", "8GiB"),
            ];
            let figures = Worker::start(name, &options, &variables)?.round()?;
            add_figures(&mut table, name, &figures);
        }
    }
    Ok(table.finish(&options)?)
}

/// Adds a worker's figures to the table. The first word of a figure's name is its unit.
fn add_figures(table: &mut Table, name: &str, figures: &Figures) {
    if let (Some(value), Some(floor)) = (figures.get(CALL), figures.get(FLOOR)) {
        table.record(&format!("{name}: a call"), *value, *floor);
    }
    for (figure, value) in figures.iter().filter(|(figure, _)| ![CALL, FLOOR].contains(&figure.as_str())) {
        let (unit, what) = figure.split_once(' ').unwrap_or(("", figure));
        let case = if unit == "µs" { format!("{name}: {what} (µs)") } else { format!("{name}: {what}") };
        table.figure(&case, *value, unit);
    }
}

/// Measures one round of a worker.
fn measure(worker: &str, options: &Options) -> Result<Figures> {
    let (_, run, amount) = CASES.iter().find(|(name, ..)| *name == worker).ok_or("no such worker")?;
    run(*amount, options)
}

/// Returns the milliseconds until everything recorded is in the store.
pub(crate) fn drain_ms() -> Result<f64> {
    let mut drained = Ok(());
    let spent = seconds(|| drained = monitored::flush(Duration::from_mins(1)));
    drained?;
    Ok(spent * 1e3)
}
