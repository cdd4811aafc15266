//! `cargo bench -p monitor-benches --bench capture` measures the nanoseconds to capture an argument, and compares
//! them with writing the whole value as JSON.
//!
//! The figure is the cost of a monitored call that captures its argument, minus the cost of the same call without
//! capture. It includes reading the value and copying it into the ring. It does not include the JSON text that
//! readers see, because the recorder's thread makes that later.

mod shapes;

use std::io::Result;
use std::time::Duration;

use monitor_benches::{Bursts, Figures, Options, Table, Worker, median, ns_per_call, serve};

use shapes::{LIST, SHAPES, Shape};

const VARIABLES: [(&str, &str); 2] = [("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")];

/// The three ways to read a value, and the row that shows the large list again in another unit.
const CAPTURED: &str = "captured";
const DEBUG: &str = "format!(\"{:?}\")";
const JSON: &str = "serde_json::to_string";
const LIST_MICROSECONDS: &str = "captured, in microseconds";

fn main() -> Result<()> {
    let options = Options::from_args();
    if options.worker.is_some() {
        return serve(|| round(&options));
    }
    let mut table = Table::new("capture", "ns", "serde_json::to_string of the same value");
    for shape in &SHAPES {
        for way in [CAPTURED, DEBUG, JSON] {
            table.row(&row(shape.name, way), None);
        }
    }
    table.row(&row(LIST, LIST_MICROSECONDS), Some(5.0));
    let stores = tempfile::tempdir()?;
    let store = stores.path().join("capture.db");
    let mut variables = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
    variables.extend(VARIABLES);
    let mut worker = Worker::start("capture", &options, &variables)?;
    for _ in 0..options.rounds() {
        add_figures(&mut table, &worker.round()?);
    }
    drop(worker);
    table.finish(&options)
}

/// Returns the name of a row.
fn row(shape: &str, way: &str) -> String {
    format!("{shape}: {way}")
}

/// Adds the figures of a round to the table.
fn add_figures(table: &mut Table, figures: &Figures) {
    for shape in &SHAPES {
        let ns = |way: &str| figures.get(&row(shape.name, way)).copied();
        let Some(json) = ns(JSON) else { continue };
        for way in [CAPTURED, DEBUG, JSON] {
            if let Some(ns) = ns(way) {
                table.record(&row(shape.name, way), ns, json);
            }
        }
    }
    if let Some(ns) = figures.get(&row(LIST, CAPTURED)) {
        table.figure(&row(LIST, LIST_MICROSECONDS), ns / 1000.0, "µs");
    }
}

/// Measures one round: each shape by capture, by `Debug` and as JSON.
fn round(options: &Options) -> Figures {
    let settle = || _ = monitored::flush(Duration::from_secs(10));
    let bursts = Bursts { threads: 1, repeats: options.amount(20, 2), calls: 200, settle: &settle };
    let shapes = || SHAPES.iter().filter(|shape| options.wants(shape.name));
    let captured = bursts.measure(&shapes().map(Shape::case).collect::<Vec<_>>());
    let mut figures: Figures = captured.into_iter().map(|(name, ns)| (row(&name, CAPTURED), ns)).collect();
    for shape in shapes() {
        figures.insert(row(shape.name, DEBUG), ns_to_write(options, shape, shape.debug));
        figures.insert(row(shape.name, JSON), ns_to_write(options, shape, shape.json));
    }
    figures
}

/// Returns the nanoseconds to write a whole value. A large value is written once, because once takes long
/// enough to be measured.
fn ns_to_write(options: &Options, shape: &Shape, write: fn()) -> f64 {
    if shape.large {
        return ns_per_call(1, write);
    }
    let times: Vec<f64> = (0..options.amount(20, 2)).map(|_| ns_per_call(200, write)).collect();
    median(&times)
}
