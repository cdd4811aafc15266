//! `cargo bench -p monitor-benches --bench scale`: what becomes of the cost of a call, of memory and of
//! the time to drain when there are many threads, many that live shortly, many functions, and when hours
//! go by.
//!
//! Each case is a process of its own, so that its memory is its own. The hours are simulated: the store
//! reads no clock.

#[path = "../store/load.rs"]
mod load;
mod hours;
mod memory;
mod threads;
mod functions;

use std::error::Error;

use monitor_benches::{Figures, Options, Table, Worker, floor, serve};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A worker's name, what it does, and by how much of it.
type Case = (&'static str, fn(usize, &Options) -> Result<Figures>, usize);

const CASES: [Case; 9] = [
    ("1 thread", threads::steady, 1),
    ("10 threads", threads::steady, 10),
    ("100 threads", threads::steady, 100),
    ("1000 threads", threads::steady, 1000),
    ("short-lived threads", threads::short_lived, 10_000),
    ("1 function", functions::by_turns, 1),
    ("100 functions", functions::by_turns, 100),
    ("10000 functions", functions::by_turns, 10_000),
    ("6 hours of steady load", hours::steady, 300),
];

/// The figure of a worker that is the floor of its round.
pub(crate) const FLOOR: &str = "floor";
/// The figure that is compared with it.
pub(crate) const CALL: &str = "ns a call";

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        return Ok(serve(|| figures(worker, &options))?);
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
            enter(&mut table, name, &figures);
        }
    }
    Ok(table.finish(&options)?)
}

/// Enters a worker's figures; the word before the first space of a figure's name is its unit.
fn enter(table: &mut Table, name: &str, figures: &Figures) {
    if let (Some(value), Some(floor)) = (figures.get(CALL), figures.get(FLOOR)) {
        table.record(&format!("{name}: a call"), *value, *floor);
    }
    for (figure, value) in figures.iter().filter(|(figure, _)| ![CALL, FLOOR].contains(&figure.as_str())) {
        let (unit, what) = figure.split_once(' ').unwrap_or(("", figure));
        let case = if unit == "µs" { format!("{name}: {what} (µs)") } else { format!("{name}: {what}") };
        table.figure(&case, *value, unit);
    }
}

/// A round of a worker; one that fails says why and ends, which ends the benchmark.
#[expect(clippy::print_stderr, reason = "stdout is where its figures go")]
fn figures(worker: &str, options: &Options) -> Figures {
    let case = CASES.iter().find(|(name, ..)| *name == worker);
    let round = case.map_or_else(|| Err("no such worker".into()), |(_, run, amount)| run(*amount, options));
    round.unwrap_or_else(|error| {
        eprintln!("{worker}: {error}");
        std::process::exit(1)
    })
}
