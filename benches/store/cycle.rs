//! The disk cost of a row over its life: the bytes that the process hands to the kernel, while as many rows expire as
//! come. Rows come at three paces: one that fills every batch, and two that do not, where batches are as far apart
//! as the recorder permits.
//!
//! Each pace runs in a process of its own, because the kernel counts the bytes per process.

use std::path::Path;
use std::time::Duration;

use monitor_benches::{Figures, Options, Table, Worker};
use monitor_runtime::store::{SqliteStore, Store, StoreOptions};

use crate::load::{Load, Popularity, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A pace at which rows come. The time between two batches is constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The name of the worker.
    pub(crate) name: &'static str,
    rows: usize,
    tick_ns: i64,
}

pub(crate) const PACES: [Pace; 3] = [
    Pace { name: "cycle-40960", rows: 4096, tick_ns: SECOND_NS / 10 },
    Pace { name: "cycle-1000", rows: 2000, tick_ns: 2 * SECOND_NS },
    Pace { name: "cycle-100", rows: 200, tick_ns: 2 * SECOND_NS },
];

/// Calls that succeed and capture no values.
const BARE: Shape = Shape {
    functions: 10,
    threads: 2,
    failed_every: 0,
    slow_every: 0,
    values_every: 0,
    popularity: Popularity::Equal,
    slices_every: 1,
};

const SECOND_NS: i64 = 1_000_000_000;
/// Rows that come during the life of a row.
const LIVING: usize = 1_600_000;
const LIVING_SHORT: usize = 80_000;
/// The fewest and the most batches that come during the life of a row.
const TICKS: std::ops::RangeInclusive<usize> = 20..=3600;
/// The time between two runs of retention.
const RETAIN_NS: i64 = 5 * SECOND_NS;
const START_NS: i64 = 1_700_000_000_000_000_000;

/// Measures all rounds.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for _ in 0..options.rounds() {
        for pace in PACES {
            let figures = Worker::start(pace.name, options, &[])?.round()?;
            let case = format!("bytes written over a row's life, {} rows/s", pace.rows_a_second());
            table.figure(&case, figures["written"], "B/row");
            table.row(&case, Some(100.0));
            let case = format!("file size per row while rows expire, {} rows/s", pace.rows_a_second());
            table.figure(&case, figures["on_disk"], "B/row");
            table.row(&case, Some(40.0));
        }
    }
    Ok(())
}

impl Pace {
    fn rows_a_second(self) -> i64 {
        i64::try_from(self.rows).unwrap_or(i64::MAX) * SECOND_NS / self.tick_ns
    }
}

/// Measures one round of a pace. This is the worker's side.
pub(crate) fn measure_pace(pace: Pace, options: &Options) -> Result<Figures> {
    let Pace { rows, tick_ns, .. } = pace;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cycle.db");
    let ticks = (options.amount(LIVING, LIVING_SHORT) / rows).clamp(*TICKS.start(), *TICKS.end());
    let retain_ticks = usize::try_from((RETAIN_NS / tick_ns).max(1))?;
    let age = Duration::from_nanos(u64::try_from(tick_ns)?) * u32::try_from(ticks)?;
    let store_options = StoreOptions { retention: age, max_disk_bytes: 8 << 30, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&store_options, Load::process(START_NS), START_NS)?;
    let mut load = Load::new(BARE);
    let mut at_ns = START_NS;
    // Warms up for one and a half lives of a row, until as many rows expire as come.
    let mut run = |ticks: usize| -> Result<()> {
        for tick in 0..ticks {
            let batch = load.batch(rows, (at_ns, at_ns + tick_ns));
            at_ns += tick_ns;
            store.write(&batch)?;
            if tick.is_multiple_of(retain_ticks) {
                while store.retain(at_ns)?.more {}
            }
        }
        Ok(())
    };
    run(ticks + ticks / 2)?;
    let before = bytes_written()?;
    run(ticks)?;
    let total = bytes_written()? - before;
    drop(store);
    let connection = monitor_runtime::store::query::open_read_only(&path)?;
    let stored: f64 = connection.query_row("SELECT COUNT(*) FROM call", [], |row| row.get(0))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        ("written".to_owned(), total / (ticks * rows) as f64),
        ("on_disk".to_owned(), std::fs::metadata(&path)?.len() as f64 / stored),
    ]))
}

/// Returns the bytes that this process has handed to the kernel for writing.
fn bytes_written() -> Result<f64> {
    let account = std::fs::read_to_string(Path::new("/proc/self/io"))?;
    let line = account.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("no wchar in /proc")?;
    Ok(line.trim().parse()?)
}
