//! `cargo bench -p monitor-benches --bench store` measures how many rows a second reach the file, how many bytes a row
//! costs the disk, and how long readers and other writers wait.
//!
//! `end_to_end` measures a program with its recorder. `cycle` and `large` write to the store directly, so that hours
//! pass in seconds.

mod load;
mod fill;
mod end_to_end;
mod cycle;
mod large;

use std::error::Error;

use monitor_benches::{Figures, Options, Table, serve_or_exit};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        return Ok(serve_or_exit(worker, || measure(worker, &options))?);
    }
    let mut table =
        Table::new("store", "ns/row", "a loop of prepared inserts (views: a scan; commands: `--version`)");
    if options.wants("end-to-end") {
        end_to_end::measure(&options, &mut table)?;
    }
    if options.wants("cycle") {
        cycle::measure(&options, &mut table)?;
    }
    if options.wants("large") {
        large::measure(&options, &mut table)?;
    }
    Ok(table.finish(&options)?)
}

/// Measures one round of a worker.
fn measure(worker: &str, options: &Options) -> Result<Figures, Box<dyn Error>> {
    let callers = end_to_end::WORKERS.iter().find(|(name, _)| *name == worker);
    let cycle = cycle::PACES.into_iter().find(|pace| pace.name == worker);
    match (callers, cycle) {
        (Some((_, callers)), _) => end_to_end::measure_flat_out(*callers, options),
        (_, Some(pace)) => cycle::measure_pace(pace, options),
        _ => end_to_end::measure_paced(options),
    }
}
