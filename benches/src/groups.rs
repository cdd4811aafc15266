//! A benchmark whose cases are measured in worker processes, each with variables of its own.
//!
//! Takes the rows of the table, and for each worker its variables and its measurement; prints the table. It does not know what
//! the cases measure.

use crate::{Figures, Options, Table, Worker, floor, serve};

/// A worker: its name, its variables, and its measurement.
pub struct Group {
    /// The name of the worker, and of its store.
    pub name: &'static str,
    /// Variables of the worker beside `MONITOR_DB`.
    pub variables: &'static [(&'static str, &'static str)],
    /// Measures all cases of the worker once, with the floor.
    pub measure: fn(&Options) -> Figures,
}

/// Measures the cases of all groups in turn, and prints their table: the rows with the goals for their ratios. The floor is
/// that of the first group.
///
/// # Errors
///
/// Returns an error if a worker cannot be started or ends early, or if the results cannot be written.
pub fn measure_groups(subject: &str, rows: &[(&str, Option<f64>)], groups: &[Group]) -> std::io::Result<()> {
    let options = Options::from_args();
    if let Some(name) = &options.worker {
        let Some(group) = groups.iter().find(|group| group.name == name) else { return Ok(()) };
        return serve(|| (group.measure)(&options));
    }
    let mut table = Table::new(subject, "ns", floor::READS);
    for (case, goal) in rows {
        table.row(case, *goal);
    }
    let stores = tempfile::tempdir()?;
    let mut workers = Vec::new();
    for Group { name, variables, .. } in groups {
        let store = stores.path().join(format!("{name}.db"));
        let mut all = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
        all.extend_from_slice(variables);
        workers.push(Worker::start(name, &options, &all)?);
    }
    for _ in 0..options.rounds() {
        for (at, worker) in workers.iter_mut().enumerate() {
            let figures = worker.round()?;
            // The floor is missing if the threads never ran at the same time.
            let Some(&reads) = figures.get(floor::READS) else { continue };
            let own = figures.iter().filter(|(case, _)| at == 0 || *case != floor::READS);
            own.for_each(|(case, value)| table.record(case, *value, reads));
        }
    }
    drop(workers);
    table.finish(&options)
}
