//! What a row costs the disk over its life: bytes written, by the store's own account with the kernel,
//! while as many rows expire as come. In batches as full as a busy program makes them, and in the small
//! ones of a quiet one.
//!
//! Runs in a process of its own, so that nothing else is on its account.

use std::path::Path;
use std::time::Duration;

use monitor_benches::{Figures, Options, Table, Worker};
use monitor_runtime::store::{SqliteStore, Store, StoreOptions};

use crate::load::{Load, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Names of the workers, and the rows they write each tenth of a second.
pub(crate) const WORKERS: [(&str, usize); 2] = [("cycle-4096", 4096), ("cycle-100", 100)];

/// Calls that all go well and bring no values.
const BARE: Shape = Shape { functions: 10, threads: 2, failed_every: 0, slow_every: 0, values_every: 0 };

const TICK_NS: i64 = 100_000_000;
/// Steps of retention are looked for this often.
const RETAIN_TICKS: usize = 50;
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Goes through all rounds.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for _ in 0..options.rounds() {
        for (name, rows) in WORKERS {
            let figures = Worker::start(name, options, &[])?.round()?;
            let case = format!("written over a row's life, {rows} rows a batch");
            table.figure(&case, figures["written"], "B/row");
            table.row(&case, Some(100.0));
            let case = format!("on disk, {rows} rows a batch, while they come and go");
            table.figure(&case, figures["on_disk"], "B/row");
            table.row(&case, Some(40.0));
        }
    }
    Ok(())
}

/// The worker's side.
pub(crate) fn cycle(rows: usize, options: &Options) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cycle.db");
    let ticks = if rows > 1000 { options.amount(400, 20) } else { options.amount(3000, 100) };
    let age = Duration::from_nanos(u64::try_from(TICK_NS)?) * u32::try_from(ticks)?;
    let store_options = StoreOptions { retention: age, max_disk_bytes: 8 << 30, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&store_options, Load::process(START_NS), START_NS)?;
    let mut load = Load::new(BARE);
    let mut at_ns = START_NS;
    // First as long as rows live, and half as long again, until as many go as come.
    let mut run = |ticks: usize| -> Result<()> {
        for tick in 0..ticks {
            let batch = load.batch(rows, (at_ns, at_ns + TICK_NS));
            at_ns += TICK_NS;
            store.write(&batch)?;
            if tick.is_multiple_of(RETAIN_TICKS) {
                while store.retain(at_ns)?.more {}
            }
        }
        Ok(())
    };
    run(ticks + ticks / 2)?;
    let before = written()?;
    run(ticks)?;
    let total = written()? - before;
    drop(store);
    let connection = monitor_runtime::store::query::open_read_only(&path)?;
    let stored: f64 = connection.query_row("SELECT COUNT(*) FROM call", [], |row| row.get(0))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        ("written".to_owned(), total / (ticks * rows) as f64),
        ("on_disk".to_owned(), std::fs::metadata(&path)?.len() as f64 / stored),
    ]))
}

/// Bytes that this process has handed to the kernel for writing.
fn written() -> Result<f64> {
    let account = std::fs::read_to_string(Path::new("/proc/self/io"))?;
    let line = account.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("no wchar in /proc")?;
    Ok(line.trim().parse()?)
}
