//! Six hours of steady load on a store that keeps one hour. After the first hour, the store's file, its write-ahead log
//! and the memory should not grow any more.

use std::path::Path;
use std::time::Duration;

use monitor_benches::{Figures, Options};
use monitor_runtime::store::{SqliteStore, Store, StoreOptions};

use crate::Result;
use crate::load::{Load, Shape};
use crate::memory::resident_mib;

const START_NS: i64 = 1_700_000_000_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const HOURS: usize = 6;
/// Seconds between two runs of retention.
const RETAIN_SECONDS: usize = 5;

/// Writes this number of rows a second. Returns the sizes after two and after six hours.
pub(crate) fn steady(rows: usize, options: &Options) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hours.db");
    let hour = options.amount(3600, 60);
    let rows = if options.short { rows / 10 } else { rows };
    let retention = Duration::from_secs(u64::try_from(hour)?);
    let store_options = StoreOptions { retention, max_disk_bytes: 8 << 30, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&store_options, Load::process(START_NS), START_NS)?;
    let mut load = Load::new(Shape::SERVICE);
    let mut hours = Vec::new();
    let mut at_ns = START_NS;
    for second in 1..=HOURS * hour {
        let batch = load.batch(rows, (at_ns, at_ns + SECOND_NS));
        at_ns += SECOND_NS;
        store.write(&batch)?;
        if second.is_multiple_of(RETAIN_SECONDS) {
            while store.retain(at_ns)?.more {}
        }
        if second.is_multiple_of(hour) {
            hours.push([mib(&path)?, mib(&path.with_extension("db-wal"))?, resident_mib()?]);
        }
    }
    let mut figures = Figures::new();
    for (index, what) in ["file", "log", "memory"].into_iter().enumerate() {
        // The figures begin at the end of the second hour, because in that hour, for the first time, as many rows
        // expire as are written.
        figures.insert(format!("MiB {what} after 2 hours"), hours[1][index]);
        figures.insert(format!("MiB {what} after 6 hours"), hours[HOURS - 1][index]);
    }
    Ok(figures)
}

fn mib(path: &Path) -> Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(std::fs::metadata(path)?.len() as f64 / f64::from(1 << 20))
}
