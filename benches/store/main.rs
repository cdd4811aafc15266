//! `cargo bench -p monitor-benches --bench store`: how many rows a second reach the file, what a row
//! costs the disk, how long readers and other writers wait.
//!
//! `end_to_end` goes through the recorder as a program has it; `cycle` and `large` feed the store
//! itself, so that hours pass in seconds.

mod load;
mod end_to_end;
mod cycle;
mod large;

use std::error::Error;

use monitor_benches::{Figures, Options, Table, serve};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        return Ok(serve(|| figures(worker, &options))?);
    }
    let mut table = Table::new(
        "store",
        "ns/row",
        "a bare loop of prepared inserts (reads: a scan; commands: their start)",
    );
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

/// A round of a worker; one that fails says why and ends, which ends the benchmark.
#[expect(clippy::print_stderr, reason = "stdout is where its figures go")]
fn figures(worker: &str, options: &Options) -> Figures {
    let callers = end_to_end::WORKERS.iter().find(|(name, _)| *name == worker);
    let cycle = cycle::PACES.into_iter().find(|pace| pace.name == worker);
    let round = match (callers, cycle) {
        (Some((_, callers)), _) => end_to_end::flat_out(*callers, options),
        (_, Some(pace)) => cycle::cycle(pace, options),
        _ => end_to_end::paced(options),
    };
    round.unwrap_or_else(|error| {
        eprintln!("{worker}: {error}");
        std::process::exit(1)
    })
}
