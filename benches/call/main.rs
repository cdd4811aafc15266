//! `cargo bench -p monitor-benches --bench call` measures the nanoseconds that an attribute adds to a call. The
//! unit of the ratios is two reads of the time stamp counter.
//!
//! Each setup of a recorder has a worker process of its own. The workers take turns round by round, and each
//! measures the floor again next to its cases. `burst` describes how a round is measured.

mod plain;
mod ours;
mod os_clock;
mod peers;

use std::io::Result;

use monitor_benches::{Figures, Options, Table, Worker, floor, serve};

use peers::{CALL, KINDS, PEERS};

/// A setup of our recorder, which is one worker process.
struct Group {
    name: &'static str,
    /// The recorder's environment variables, except that of its store.
    variables: &'static [(&'static str, &'static str)],
    /// Measures one round.
    round: fn(&Options) -> Figures,
}

/// No bounds on rate and overhead. With the defaults the recorder would sample a function in a tight loop, and
/// the benchmark would measure the cheaper, unsampled calls.
const UNBOUNDED: &[(&str, &str)] = &[("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")];
const MANY_THREADS: &[(&str, &str)] =
    &[("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%"), ("MONITOR_MAX_MEMORY", "1GiB")];

const GROUPS: &[Group] = &[
    Group { name: "recorded", variables: UNBOUNDED, round: ours::measure_recorded },
    Group { name: "os-clock", variables: UNBOUNDED, round: ours::measure_without_counter },
    Group {
        name: "disabled",
        variables: &[("MONITOR", "off")],
        round: |options| ours::measure_unrecorded(options, ours::DISABLED),
    },
    Group { name: "counted", variables: &[("MONITOR_SAMPLE", "0")], round: ours::measure_counted },
    Group {
        name: "timed",
        variables: &[("MONITOR_SAMPLE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")],
        round: |options| ours::measure_unrecorded(options, ours::TIMED),
    },
    Group { name: "flat-out", variables: UNBOUNDED, round: ours::measure_flat_out },
    Group {
        name: "2-threads",
        variables: UNBOUNDED,
        round: |options| ours::measure_threads(options, 2, ours::THREADS_2),
    },
    Group {
        name: "8-threads",
        variables: UNBOUNDED,
        round: |options| ours::measure_threads(options, 8, ours::THREADS_8),
    },
    Group { name: "first-call", variables: MANY_THREADS, round: ours::measure_first_calls },
];

/// Our cases in the order of the table, with the goals for their ratios.
const ROWS: &[(&str, Option<f64>)] = &[
    (floor::READS, None),
    (floor::STORE, None),
    (ours::DISABLED, Some(0.06)),
    (ours::COUNTED, Some(0.15)),
    (ours::TIMED, None),
    (ours::RECORDED, Some(1.4)),
    (os_clock::CLOCK_READS, None),
    (ours::WITHOUT_COUNTER, None),
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

/// The cost of a recorded call as a multiple of the cheapest peer that keeps data of each call.
const AGAINST_PEERS: &str = "recorded, as a multiple of the fastest peer that keeps data";

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(name) = &options.worker {
        return serve_worker(name, &options);
    }
    let mut table = new_table();
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
            add_figures(&mut table, &worker.round()?, &mut round);
        }
        compare_with_peers(&mut table, &round);
    }
    drop(workers);
    table.finish(&options)
}

/// Serves the rounds of the group or peer with this name. This is the worker's side.
fn serve_worker(name: &str, options: &Options) -> Result<()> {
    if let Some(group) = GROUPS.iter().find(|group| group.name == name) {
        return serve(|| (group.round)(options));
    }
    let Some(peer) = PEERS.iter().find(|peer| peer.name == name) else { return Ok(()) };
    (peer.start)();
    serve(|| peer.round(options))
}

/// Returns the names of all workers, ours and the peers', with the variables that they are started with.
fn groups() -> impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)])> {
    GROUPS
        .iter()
        .map(|group| (group.name, group.variables))
        .chain(PEERS.iter().map(|peer| (peer.name, &[][..])))
}

/// Returns the table with its rows announced in order.
fn new_table() -> Table {
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

/// Adds the figures of one worker to the table, and their ratios to `round`, which collects all workers of a
/// round. Every worker measures the floors; the table shows those of the first one.
fn add_figures(table: &mut Table, figures: &Figures, round: &mut Figures) {
    for case in [ours::FIRST_NEW, ours::FIRST_REUSED] {
        figures.get(case).into_iter().for_each(|&value| table.figure(case, value, "µs"));
    }
    // The floor is missing if the threads never ran at the same time.
    let Some(&reads) = figures.get(floor::READS) else { return };
    for (case, &value) in figures {
        if !round.contains_key(case) {
            table.record(case, value, reads);
            round.insert(case.clone(), value / reads);
        }
    }
}

/// Adds the ratio of our recorded call to the cheapest peer's call in this round.
fn compare_with_peers(table: &mut Table, ratios: &Figures) {
    let peers = PEERS.iter().filter(|peer| peer.keeps).filter_map(|peer| ratios.get(&peer.row(CALL)));
    if let (Some(&ours), Some(&least)) = (ratios.get(ours::RECORDED), peers.min_by(|a, b| a.total_cmp(b))) {
        table.figure(AGAINST_PEERS, ours / least, "×");
    }
}
