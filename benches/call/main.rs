//! `call`: nanoseconds that an attribute adds to a call, as multiples of two readings of the counter.
//!
//! Each way to set a recorder up is a worker process; the workers measure round by round in turn, and
//! each measures the floor anew next to its cases. See `burst` for how a round is measured.

mod plain;
mod ours;
mod peers;

use std::io::Result;

use monitor_benches::{Figures, Options, Table, Worker, floor, serve};

use peers::{CALL, KINDS, PEERS};

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
        round: |it| ours::unrecorded(it, ours::DISABLED),
    },
    Group { name: "counted", variables: &[("MONITOR_SAMPLE", "0")], round: ours::counted },
    Group {
        name: "timed",
        variables: &[("MONITOR_SAMPLE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")],
        round: |it| ours::unrecorded(it, ours::TIMED),
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
    (ours::COUNTED, Some(0.15)),
    (ours::TIMED, None),
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

/// Of what is kept of a call: ours against the least that any peer takes for it.
const AGAINST_PEERS: &str = "recorded, against the fastest peer that keeps data";

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(name) = &options.worker {
        return work(name, &options);
    }
    let mut table = announced();
    let stores = tempfile::tempdir()?;
    let mut workers = Vec::new();
    for (name, variables) in groups().filter(|(name, _)| options.wants(name)) {
        let store = stores.path().join(format!("{}.db", workers.len()));
        let mut all = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
        all.extend_from_slice(variables);
        workers.push(Worker::start(name, &options, &all)?);
    }
    for _ in 0..options.rounds() {
        let mut round = Figures::new();
        for worker in &mut workers {
            enter(&mut table, &worker.round()?, &mut round);
        }
        compare(&mut table, &round);
    }
    drop(workers);
    table.finish(&options)
}

/// The worker's part.
fn work(name: &str, options: &Options) -> Result<()> {
    if let Some(group) = GROUPS.iter().find(|group| group.name == name) {
        return serve(|| (group.round)(options));
    }
    let Some(peer) = PEERS.iter().find(|peer| peer.name == name) else { return Ok(()) };
    (peer.start)();
    serve(|| peer.round(options))
}

fn groups() -> impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)])> {
    GROUPS
        .iter()
        .map(|group| (group.name, group.variables))
        .chain(PEERS.iter().map(|peer| (peer.name, &[][..])))
}

/// The table with its rows in order.
fn announced() -> Table {
    let mut table = Table::new("call", "ns", floor::READS);
    for (case, goal) in ROWS {
        table.row(case, *goal);
    }
    table.row(AGAINST_PEERS, Some(0.5));
    for peer in &PEERS {
        for kind in KINDS {
            table.row(&peer.row(kind), None);
        }
    }
    table
}

/// Enters a worker's round into the table, and as ratios into the round of all of them. The floors are
/// shown as the first worker finds them.
fn enter(table: &mut Table, figures: &Figures, round: &mut Figures) {
    for case in [ours::FIRST_NEW, ours::FIRST_REUSED] {
        figures.get(case).into_iter().for_each(|&value| table.figure(case, value, "µs"));
    }
    // Of threads that never ran at the same time there may be none.
    let Some(&reads) = figures.get(floor::READS) else { return };
    for (case, &value) in figures {
        if !round.contains_key(case) {
            table.record(case, value, reads);
            round.insert(case.clone(), value / reads);
        }
    }
}

fn compare(table: &mut Table, ratios: &Figures) {
    let peers = PEERS.iter().filter(|peer| peer.keeps).filter_map(|peer| ratios.get(&peer.row(CALL)));
    if let (Some(&ours), Some(&least)) = (ratios.get(ours::RECORDED), peers.min_by(|a, b| a.total_cmp(b))) {
        table.figure(AGAINST_PEERS, ours / least, "×");
    }
}
