//! `call`: nanoseconds that an attribute adds to a call, as multiples of two readings of the counter.
//!
//! Each way to set a recorder up is a worker process; the workers measure round by round in turn, and
//! each measures the floor anew next to its cases. See `burst` for how a round is measured.

mod plain;
mod ours;

use std::io::Result;

use monitor_benches::{Figures, Options, Table, Worker, floor, serve};

/// A worker process.
struct Group {
    name: &'static str,
    /// Variables of the recorder, besides its store.
    variables: &'static [(&'static str, &'static str)],
    /// One round.
    round: fn(&Options) -> Figures,
}

/// The ladder would make a function that is called in a tight loop cheaper than it is to be measured.
const UNBOUNDED: &[(&str, &str)] = &[("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")];
const MANY_THREADS: &[(&str, &str)] =
    &[("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%"), ("MONITOR_MAX_MEMORY", "1GiB")];

const GROUPS: &[Group] = &[
    Group { name: "recorded", variables: UNBOUNDED, round: ours::recording },
    Group {
        name: "disabled",
        variables: &[("MONITOR", "off")],
        round: |it| ours::passing(it, ours::DISABLED),
    },
    Group {
        name: "sampled-out",
        variables: &[("MONITOR_SAMPLE", "0")],
        round: |it| ours::passing(it, ours::SAMPLED_OUT),
    },
    Group { name: "flat-out", variables: UNBOUNDED, round: ours::flat_out },
    Group { name: "2-threads", variables: UNBOUNDED, round: |it| ours::threads(it, 2, ours::THREADS_2) },
    Group { name: "8-threads", variables: UNBOUNDED, round: |it| ours::threads(it, 8, ours::THREADS_8) },
    Group { name: "first-call", variables: MANY_THREADS, round: ours::first_calls },
];

/// Our cases in the order of the table, with the goal for their ratio where there is one.
const ROWS: &[(&str, Option<f64>)] = &[
    (floor::READS, None),
    (floor::STORE, None),
    (ours::DISABLED, Some(0.06)),
    (ours::SAMPLED_OUT, Some(0.15)),
    (ours::RECORDED, Some(1.4)),
    (ours::VALUES, Some(1.9)),
    (ours::DEFAULT, None),
    (ours::ERROR, Some(3.0)),
    (ours::ASYNC, Some(1.7)),
    (ours::NESTED, Some(1.4)),
    (ours::THREADS_2, Some(1.4)),
    (ours::THREADS_8, Some(1.4)),
    (ours::FLAT_OUT, None),
    (ours::FIRST_NEW, Some(20.0)),
    (ours::FIRST_REUSED, Some(20.0)),
];

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(name) = &options.worker {
        let group = GROUPS.iter().find(|group| group.name == name);
        return group.map_or(Ok(()), |group| serve(|| (group.round)(&options)));
    }
    let mut table = Table::new("call", "ns", floor::READS);
    for (case, goal) in ROWS {
        table.row(case, *goal);
    }
    let stores = tempfile::tempdir()?;
    let mut workers = Vec::new();
    for group in GROUPS.iter().filter(|group| options.wants(group.name)) {
        let store = stores.path().join(group.name).with_extension("db");
        let mut variables = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
        variables.extend_from_slice(group.variables);
        workers.push(Worker::start(group.name, &options, &variables)?);
    }
    for _ in 0..options.rounds() {
        for (nth, worker) in workers.iter_mut().enumerate() {
            enter(&mut table, &worker.round()?, nth == 0);
        }
    }
    drop(workers);
    table.finish(&options)
}

/// Enters a worker's round into the table. The floors stand there once, as the first worker finds them.
fn enter(table: &mut Table, figures: &Figures, first: bool) {
    let Some(&reads) = figures.get(floor::READS) else {
        return figures.iter().for_each(|(case, &value)| table.figure(case, value, "µs"));
    };
    for (case, &value) in figures {
        if first || ![floor::READS, floor::STORE].contains(&case.as_str()) {
            table.record(case, value, reads);
        }
    }
}
