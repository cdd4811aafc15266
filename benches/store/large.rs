//! Stores of ten thousand, a million and ten million rows: how long reading takes, by the views and by
//! the command `monitor` as its users run it, and how long retention keeps other writers waiting.
//!
//! Nothing here is timed from within the store: readers are readers, and the wait is another writer's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use monitor_benches::{Options, Table, seconds};
use monitor_runtime::store::query::open_read_only;
use monitor_runtime::store::{SqliteStore, Store, StoreError, StoreOptions};
use rusqlite::Connection;

use crate::end_to_end::own_cpu_ns;
use crate::load::{self, Load, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const START_NS: i64 = 1_700_000_000_000_000_000;
/// The rows are spread over this time, which also is how long they live.
const SPAN: Duration = Duration::from_hours(6);
const BATCH: usize = 4096;
/// Small stores have as many windows as large ones.
const BATCHES_MIN: usize = 2160;
/// Pause between two attempts of the writer that waits.
const ATTEMPT: Duration = Duration::from_micros(50);

/// A view and the milliseconds it may take.
const VIEWS: [(&str, &str); 2] =
    [("functions", "SELECT * FROM functions"), ("latency", "SELECT * FROM latency")];
const VIEW_MS: f64 = 50.0;
const COMMAND_MS: f64 = 100.0;

/// Goes through all sizes.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let monitor = build_monitor()?;
    let sizes: &[usize] = if options.short { &[10_000] } else { &[10_000, 1_000_000, 10_000_000] };
    for rows in sizes {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("large.db");
        let mut store = fill(&path, *rows)?;
        for _ in 0..options.rounds() {
            read(&path, *rows, table)?;
            ask(&monitor, &path, *rows, table)?;
        }
        expire(&mut store, &path, *rows, table)?;
    }
    Ok(())
}

/// What a store of so many rows is called.
fn size(rows: usize) -> String {
    if rows >= 1_000_000 { format!("{} M rows", rows / 1_000_000) } else { format!("{} k rows", rows / 1000) }
}

fn end_ns() -> i64 {
    START_NS + nanoseconds(SPAN)
}

fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn fill(path: &Path, rows: usize) -> Result<SqliteStore> {
    let options = StoreOptions { retention: SPAN, max_disk_bytes: 16 << 30, ..StoreOptions::file(path) };
    let mut store = SqliteStore::open(&options, Load::process(START_NS), START_NS)?;
    let mut load = Load::new(Shape::SERVICE);
    let batch = (rows / BATCHES_MIN).clamp(1, BATCH);
    let batches = rows.div_ceil(batch);
    let step = nanoseconds(SPAN) / i64::try_from(batches)?;
    let mut at_ns = START_NS;
    for at in 0..batches {
        let count = batch.min(rows - at * batch);
        store.write(&load.batch(count, (at_ns, at_ns + step)))?;
        at_ns += step;
    }
    Ok(store)
}

/// The views, read to the end, each value looked at.
fn read(path: &Path, rows: usize, table: &mut Table) -> Result<()> {
    let connection = open_read_only(path)?;
    let floor = milliseconds(|| drain(&connection, "SELECT SUM(duration) FROM call"))?;
    for (view, sql) in VIEWS {
        let case = format!("{view}, {}", size(rows));
        table.record_in(&case, milliseconds(|| drain(&connection, sql))?, floor, "ms");
        table.row_of_value(&case, VIEW_MS);
    }
    Ok(())
}

fn drain(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for at in 0..columns {
            std::hint::black_box(row.get_ref(at)?);
        }
    }
    Ok(())
}

/// The command, from its start to its end, beside one that only says its version.
fn ask(monitor: &Path, path: &Path, rows: usize, table: &mut Table) -> Result<()> {
    let (common, rare) = (load::name(7), load::name(Shape::SERVICE.functions));
    let asked: [&[&str]; 6] = [
        &["top"],
        &["calls", &common, "--limit", "20"],
        &["calls", &rare, "--limit", "20"],
        &["calls", "--slow", "--limit", "20"],
        &["calls", "--failed", "--limit", "20"],
        &["errors"],
    ];
    let names = ["top", "calls FUNCTION", "calls SELDOM_CALLED", "calls --slow", "calls --failed", "errors"];
    let floor = milliseconds(|| run(Command::new(monitor).arg("--version")))?;
    for (arguments, name) in asked.into_iter().zip(names) {
        let case = format!("monitor {name}, {}", size(rows));
        let spent = milliseconds(|| run(Command::new(monitor).arg("--db").arg(path).args(arguments)))?;
        table.record_in(&case, spent, floor, "ms");
        table.row_of_value(&case, COMMAND_MS);
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// Lets all rows expire by retention alone, while another writer tries.
fn expire(store: &mut SqliteStore, path: &Path, rows: usize, table: &mut Table) -> Result<()> {
    let other = Other { path };
    let now_ns = end_ns() + nanoseconds(SPAN);
    let mut waits = Vec::new();
    let (mut deleted, mut longest) = (0, 0.0_f64);
    loop {
        let cpu_before = own_cpu_ns()?;
        let (step, wait) = other.beside(|| store.retain(now_ns))?;
        longest = longest.max(own_cpu_ns()? - cpu_before);
        let step = match step {
            // The store does not wait where the other one has the lock: it comes again.
            Err(StoreError::Busy(_)) => continue,
            step => step?,
        };
        waits.push(wait);
        deleted += step.rows;
        if !step.more {
            break;
        }
    }
    waits.sort_by(f64::total_cmp);
    let case = format!("another writer's longest wait for retention, {}", size(rows));
    table.figure(&case, waits.last().copied().unwrap_or(0.0), "ms");
    table.row(&case, Some(10.0));
    let often = waits.get(waits.len() * 99 / 100).copied().unwrap_or(0.0);
    table.figure(&format!("the same, all but 1 % of {} steps, {}", waits.len(), size(rows)), often, "ms");
    // No store with a write-ahead log that survives a loss of power can do without one within the lock.
    let syncs = sync_milliseconds(path)?;
    table.figure(&format!("a sync of a few bytes of such a log, longest of {SYNCS}"), syncs[SYNCS - 1], "ms");
    table.figure("the same, median", syncs[SYNCS / 2], "ms");
    // What of it is the step's own work: another program on the same cores makes the wait longer, not this.
    table.figure(&format!("CPU time of the longest step, {}", size(rows)), longest / 1e6, "ms");
    if deleted < rows as u64 {
        return Err(format!("{deleted} of {rows} rows expired").into());
    }
    Ok(())
}

/// Logs that begin anew while ten million rows expire.
const SYNCS: usize = 36;

/// What the disk takes to sync the bytes of a log's header, beside the store: sorted.
fn sync_milliseconds(store: &Path) -> Result<Vec<f64>> {
    use std::io::{Seek as _, Write as _};

    let mut log = tempfile::tempfile_in(store.parent().ok_or("the store is in no folder")?)?;
    log.write_all(&vec![1; 16 << 20])?;
    log.sync_all()?;
    let mut spent = Vec::new();
    for round in 0..SYNCS {
        std::thread::sleep(BETWEEN_SYNCS);
        log.rewind()?;
        log.write_all(&[u8::try_from(round)?; 32])?;
        spent.push(milliseconds(|| Ok(log.sync_all()?))?);
    }
    spent.sort_by(f64::total_cmp);
    Ok(spent)
}

/// Long enough for the file to have another time of change, which is synced with it.
const BETWEEN_SYNCS: Duration = Duration::from_millis(20);

/// Another writer, who tries for the lock all the time and notes how long it is refused.
struct Other<'a> {
    path: &'a Path,
}

impl Other<'_> {
    /// Runs a step while the other tries; milliseconds that it waited in a row at most.
    fn beside<T: Send>(&self, step: impl FnOnce() -> T + Send) -> Result<(T, f64)> {
        let connection = Connection::open(self.path)?;
        connection.busy_timeout(Duration::ZERO)?;
        let (done, longest_ns) = (AtomicBool::new(false), AtomicU64::new(0));
        let value = std::thread::scope(|scope| {
            scope.spawn(|| {
                let connection = connection;
                let mut refused_since = None;
                while !done.load(Relaxed) {
                    if connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
                        refused_since = None;
                    } else {
                        let since: Instant = *refused_since.get_or_insert_with(Instant::now);
                        let waited = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
                        longest_ns.fetch_max(waited, Relaxed);
                    }
                    std::thread::sleep(ATTEMPT);
                }
            });
            let value = step();
            done.store(true, Relaxed);
            value
        });
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok((value, longest_ns.load(Relaxed) as f64 / 1e6))
    }
}

fn milliseconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let mut result = Ok(());
    let spent = seconds(|| result = work());
    result.map(|()| spent * 1e3)
}

/// The command `monitor`, built beside this benchmark.
fn build_monitor() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", "monitor-console"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    if !status.success() {
        return Err("the command `monitor` cannot be built".into());
    }
    let executable = std::env::current_exe()?;
    let folder = executable.ancestors().nth(2).ok_or("not in a target folder")?;
    Ok(folder.join("monitor"))
}
