//! Makes a store of many rows, which are spread evenly over some hours. Takes the shape of the calls and the number of
//! processes that make them; gives the open store of one of the processes.

use std::path::Path;
use std::time::Duration;

use monitor_runtime::store::{SqliteStore, Store, StoreOptions};

use crate::load::{Load, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The time over which the rows are spread. It is also their retention.
pub(crate) const SPAN: Duration = Duration::from_hours(6);
/// The most rows of a batch.
const BATCH: usize = 4096;
/// The least number of batches, so that small stores have as many windows as large ones.
const BATCHES_MIN: usize = 2160;

/// The calls of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rows: usize,
    pub(crate) shape: Shape,
    /// Processes that write in turn, each a batch.
    pub(crate) processes: usize,
    pub(crate) start_ns: i64,
}

/// Makes a store.
pub(crate) fn fill(path: &Path, plan: Plan) -> Result<SqliteStore> {
    let Plan { rows, shape, processes, start_ns } = plan;
    let options = StoreOptions { retention: SPAN, max_disk_bytes: 16 << 30, ..StoreOptions::file(path) };
    let mut writers = Vec::new();
    for number in 0..u64::try_from(processes)? {
        let process = Load::numbered_process(number, start_ns);
        writers.push((SqliteStore::open(&options, process, start_ns)?, Load::seeded(shape, number)));
    }
    let batch = (rows / BATCHES_MIN).clamp(1, BATCH);
    let batches = rows.div_ceil(batch);
    let step = i64::try_from(SPAN.as_nanos())? / i64::try_from(batches)?;
    // The calls of a batch are those since the process's last one, so that processes work at the same time.
    let mut written_ns = vec![start_ns; processes];
    let mut at_ns = start_ns;
    for index in 0..batches {
        let count = batch.min(rows - index * batch);
        at_ns += step;
        let (store, load) = &mut writers[index % processes];
        let from_ns = std::mem::replace(&mut written_ns[index % processes], at_ns);
        store.write(&load.batch(count, (from_ns, at_ns)))?;
        // Readers find the store as retention leaves it.
        while store.retain(at_ns)?.more {}
    }
    for (store, load) in &mut writers {
        store.write(&load.last_batch(at_ns))?;
    }
    let (store, _) = writers.swap_remove(0);
    Ok(store)
}
