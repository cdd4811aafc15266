//! `cargo bench -p monitor-benches --bench idle` measures what the recorder costs a program with little to do: CPU time,
//! wake-ups of the recorder's thread, and bytes written, with no request at all and with 10 and 100 requests a second of
//! four calls each.
//!
//! Each load runs in a process of its own. Its floor is the same program without attributes, in another process that is
//! measured next to it.

mod account;
mod program;

use std::time::{Duration, Instant};

use account::Account;
use monitor_benches::{Figures, Options, Table, Worker, serve_or_exit};
use program::Serve;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Requests a second, and the most wake-ups a second, percent of a core and bytes a row that they should cost.
type Load = (u32, Option<f64>, Option<f64>, Option<f64>);

const LOADS: [Load; 3] =
    [(0, Some(0.2), Some(0.02), None), (10, None, Some(0.1), Some(400.0)), (100, None, None, Some(400.0))];

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        return work(worker, &options);
    }
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("idle", "% of a core", "the program without attributes");
    for (rate, wakes, cpu, bytes) in LOADS {
        let name = if rate == 0 { "idle".to_owned() } else { format!("{rate} requests a second") };
        if !options.wants(&name) {
            continue;
        }
        let store = folder.path().join(format!("{rate}.db"));
        let store = store.to_string_lossy();
        let start =
            |form: &str| Worker::start(&format!("{form}-{rate}"), &options, &[("MONITOR_DB", &store)]);
        let (mut with, mut without) = (start("with")?, start("without")?);
        let (case, more) = (format!("{name}: CPU time"), format!("{name}: CPU time more than the floor"));
        for _ in 0..options.rounds() {
            let (figures, floor) = (with.round()?, without.round()?);
            table.record(&case, figures["cpu_pct"], floor["cpu_pct"]);
            table.row(&more, cpu);
            table.figure(&more, figures["cpu_pct"] - floor["cpu_pct"], "% of a core");
            let case = format!("{name}: wake-ups of the recorder");
            table.row(&case, wakes);
            table.figure(&case, figures["wakes_per_s"], "a second");
            let case = format!("{name}: bytes written");
            if rate == 0 {
                table.row(&case, Some(0.0));
                table.figure(&case, figures["bytes_per_s"], "B/s");
            } else {
                table.row(&case, bytes);
                table.figure(&case, figures["bytes_per_row"], "B/row");
            }
        }
    }
    Ok(table.finish(&options)?)
}

/// Serves rounds in one form of the program at one rate.
fn work(worker: &str, options: &Options) -> Result<()> {
    let (form, rate) = worker.split_once('-').ok_or("no such worker")?;
    let rate: u32 = rate.parse()?;
    let serve: Serve = if form == "with" { program::with::serve } else { program::without::serve };
    let window = Duration::from_secs(options.amount(20, 2) as u64);
    // The start of the recorder and of the process is no part of any round.
    let warm = Duration::from_secs(options.amount(25, 1) as u64);
    serve(0);
    run(rate, serve, warm);
    Ok(serve_or_exit(worker, || {
        let (before, rows_before) = (Account::for_this_process()?, rows());
        let began = Instant::now();
        run(rate, serve, window);
        let seconds = began.elapsed().as_secs_f64();
        let spent = Account::for_this_process()?.since(&before);
        Ok(Figures::from([
            ("cpu_pct".to_owned(), spent.cpu_ns * 1e-7 / seconds),
            ("wakes_per_s".to_owned(), spent.wakes / seconds),
            ("bytes_per_s".to_owned(), spent.bytes / seconds),
            ("bytes_per_row".to_owned(), spent.bytes / (rows() - rows_before).max(1.0)),
        ]))
    })?)
}

/// Returns the number of rows that the recorder has written.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rows() -> f64 {
    monitored::health().rows_written as f64
}

/// Serves this many requests a second for this time.
fn run(rate: u32, serve: Serve, time: Duration) {
    let began = Instant::now();
    if rate == 0 {
        return std::thread::sleep(time);
    }
    let mut number = 0;
    while began.elapsed() < time {
        serve(u64::from(number));
        number += 1;
        let next = Duration::from_secs(1) / rate * number;
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
}
