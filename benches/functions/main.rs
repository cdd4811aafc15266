//! `cargo bench -p monitor-benches --bench functions` measures a recorded call in a program that calls a hundred or
//! ten thousand functions in turn instead of one.
//!
//! The measurement is that of `call` with one difference: before each burst there is a pass over all functions
//! that is not measured. The pass and the burst together overrun the ring that a thread has for steady load, and
//! the rest goes through the thread's second ring for bursts, whose two megabytes are not in the caches.
//! Therefore each row here is higher than its counterpart in `call`, that of one function too.

mod table;

use std::io::Result;
use std::time::Duration;

use monitor_benches::{Bursts, Figures, Options, Table, Worker, floor, serve};

const VARIABLES: [(&str, &str); 2] = [("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")];
const AGAINST_ONE: &str = "10 000 functions, as a multiple of 1";
const READS_AGAINST_ONE: &str = "10 000 functions, as a multiple of 1: two counter reads";
const WORD_AGAINST_ONE: &str = "10 000 functions, as a multiple of 1: two counter reads and a word";

fn main() -> Result<()> {
    let options = Options::from_args();
    if options.worker.is_some() {
        return serve(|| round(&options));
    }
    let mut shown = Table::new("functions", "ns", floor::READS);
    for (case, goal) in [
        (floor::READS, None),
        (table::READS_ONE, None),
        (table::READS_ALL, None),
        (table::WORD_ONE, None),
        (table::WORD_ALL, None),
        (table::ONE, None),
        (table::HUNDRED, None),
        (table::ALL, None),
    ] {
        shown.row(case, goal);
    }
    shown.row(AGAINST_ONE, Some(1.5));
    shown.row(READS_AGAINST_ONE, None);
    shown.row(WORD_AGAINST_ONE, None);
    let stores = tempfile::tempdir()?;
    let store = stores.path().join("functions.db");
    let mut variables = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
    variables.extend(VARIABLES);
    let mut worker = Worker::start("functions", &options, &variables)?;
    for _ in 0..options.rounds() {
        let figures = worker.round()?;
        let ns = |case: &str| figures.get(case).copied().unwrap_or(f64::NAN);
        for (case, &value) in &figures {
            shown.record(case, value, ns(floor::READS));
        }
        shown.record(AGAINST_ONE, ns(table::ALL), ns(table::ONE));
        shown.record(READS_AGAINST_ONE, ns(table::READS_ALL), ns(table::READS_ONE));
        shown.record(WORD_AGAINST_ONE, ns(table::WORD_ALL), ns(table::WORD_ONE));
    }
    drop(worker);
    shown.finish(&options)
}

fn round(options: &Options) -> Figures {
    let settle = || _ = monitored::flush(Duration::from_secs(10));
    let bursts = Bursts { threads: 1, repeats: options.amount(40, 2), calls: table::PASS, settle: &settle };
    let cases: Vec<_> = floor::cases().into_iter().chain(table::cases()).collect();
    bursts.measure(&cases)
}
