//! Stores of ten thousand, a million and ten million rows. The module measures the time to read them, by the views
//! and by the command `monitor` as its users run it, and the time that other writers wait for retention.
//!
//! All times are measured outside of the store: those of readers, and the wait of another writer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use monitor_benches::{Options, Table, build_monitor, seconds};
use monitor_runtime::store::query::open_read_only;
use monitor_runtime::store::{SqliteStore, Store, StoreError};
use rusqlite::Connection;

use crate::end_to_end::own_cpu_ns;
use crate::fill::{Plan, SPAN, fill};
use crate::load::{self, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The pause between two attempts of the waiting writer.
const ATTEMPT: Duration = Duration::from_micros(50);

/// The measured queries, and the goals in milliseconds for queries and commands. `{recent}` stands for the start of the last ten
/// minutes, `{rare}` for the name of a function that is called five times, `{trace}` for the id of a trace of several calls.
const VIEWS: [(&str, &str, f64); 15] = [
    ("functions", "SELECT * FROM functions", AGGREGATE_MS),
    ("latency of the last minutes", "SELECT * FROM latency WHERE start_ns > {recent}", VIEW_MS),
    ("totals", "SELECT * FROM totals", VIEW_MS),
    ("edges", "SELECT * FROM edges", AGGREGATE_MS),
    ("count of calls", "SELECT count(*) FROM calls", AGGREGATE_MS),
    ("sum of weights", "SELECT sum(weight) FROM calls", AGGREGATE_MS),
    ("durations of calls", "SELECT avg(duration_ms), max(duration_ms), sum(failed) FROM calls", AGGREGATE_MS),
    ("rows of each function", "SELECT function, recorded FROM functions", AGGREGATE_MS),
    ("newest calls", "SELECT * FROM calls ORDER BY call_id DESC LIMIT 100", VIEW_MS),
    ("newest failures", "SELECT * FROM errors ORDER BY call_id DESC LIMIT 100", VIEW_MS),
    (
        "latest calls of a rare function",
        "SELECT * FROM calls WHERE function = '{rare}' ORDER BY call_id DESC LIMIT 20",
        AGGREGATE_MS,
    ),
    ("slowest calls", "SELECT call_id, duration_ms FROM calls ORDER BY duration_ms DESC LIMIT 50", AGGREGATE_MS),
    ("a tree by its id", "SELECT * FROM calls WHERE trace_id = {trace}", AGGREGATE_MS),
    (
        "callers of the last 100 000 calls",
        "WITH recent AS MATERIALIZED (SELECT * FROM calls WHERE call_id > (SELECT max(call_id) - 100000 FROM calls))
         SELECT p.function, c.function, count(*) FROM recent c JOIN recent p ON p.span_id = c.parent_id GROUP BY 1, 2",
        AGGREGATE_MS,
    ),
    ("groups of failures", "SELECT * FROM error_groups", VIEW_MS),
];
const VIEW_MS: f64 = 50.0;
const AGGREGATE_MS: f64 = 1000.0;
const COMMAND_MS: f64 = 50.0;

/// The sizes that are measured: rows, the shape of the calls, and the number of processes.
const SIZES: [(usize, Shape, usize); 3] =
    [(10_000, Shape::SERVICE, 1), (1_000_000, Shape::SERVICE, 1), (10_000_000, Shape::SKEWED, 3)];

/// Measures all sizes.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let monitor = build_monitor()?;
    let sizes = if options.short { &SIZES[..1] } else { &SIZES };
    for (rows, shape, processes) in sizes.iter().copied() {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("large.db");
        // The calls end now, because commands ask about the last minutes.
        let start_ns = now_ns()? - nanoseconds(SPAN);
        let mut store = fill(&path, Plan { rows, shape, processes, start_ns })?;
        let size = Size { rows, start_ns, rare: load::function_name(shape.functions) };
        for _ in 0..options.rounds() {
            time_views(&path, &size, table)?;
            time_commands(&monitor, &path, &size, table)?;
        }
        time_retention(&mut store, &path, &size, table)?;
    }
    Ok(())
}

/// A store that is measured.
struct Size {
    rows: usize,
    start_ns: i64,
    /// The name of a function that is called five times.
    rare: String,
}

impl Size {
    /// Returns the name of the store's size.
    fn label(&self) -> String {
        if self.rows >= 1_000_000 {
            format!("{} M rows", self.rows / 1_000_000)
        } else {
            format!("{} k rows", self.rows / 1000)
        }
    }

    fn end_ns(&self) -> i64 {
        self.start_ns + nanoseconds(SPAN)
    }
}

fn now_ns() -> Result<i64> {
    Ok(nanoseconds(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?))
}

fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the ids of a call in the middle of the store that has a caller, and of its trace.
fn find_callee(path: &Path, rows: usize) -> Result<(i64, i64)> {
    Ok(open_read_only(path)?.query_row(
        "SELECT span_id, trace_id FROM calls WHERE call_id BETWEEN ?1 AND ?1 + 1000 AND parent_id IS NOT NULL LIMIT 1",
        [i64::try_from(rows / 2)?],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Measures the views. Each is read to its end, and each of its values is read.
fn time_views(path: &Path, size: &Size, table: &mut Table) -> Result<()> {
    let connection = open_read_only(path)?;
    let recent = (size.end_ns() - nanoseconds(Duration::from_mins(10))).to_string();
    let (_, trace) = find_callee(path, size.rows)?;
    let trace = trace.to_string();
    let floor = milliseconds(|| read_all(&connection, "SELECT SUM(duration) FROM call"))?;
    for (view, sql, goal) in VIEWS {
        let case = format!("{view}, {}", size.label());
        let sql = sql.replace("{recent}", &recent).replace("{rare}", &size.rare).replace("{trace}", &trace);
        table.record_in(&case, milliseconds(|| read_all(&connection, &sql))?, floor, "ms");
        table.row_with_value_goal(&case, goal);
    }
    Ok(())
}

/// Reads all values of a query.
fn read_all(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            std::hint::black_box(row.get_ref(column)?);
        }
    }
    Ok(())
}

/// Measures the command from its start to its end. The floor is a run that only prints the version.
fn time_commands(monitor: &Path, path: &Path, size: &Size, table: &mut Table) -> Result<()> {
    let common = load::function_name(7);
    let (span, _) = find_callee(path, size.rows)?;
    let span = span.to_string();
    let commands: [(&str, &[&str]); 21] = [
        ("top", &["top"]),
        ("top --since 1h", &["top", "--since", "1h"]),
        ("calls FUNCTION", &["calls", &common, "--limit", "20"]),
        ("calls SELDOM_CALLED", &["calls", &size.rare, "--limit", "20"]),
        ("calls --slow", &["calls", "--slow", "--limit", "20"]),
        ("calls --failed", &["calls", "--failed", "--limit", "20"]),
        ("calls --sort duration", &["calls", "--sort", "duration", "--limit", "20"]),
        (
            "calls SELDOM_CALLED --sort duration",
            &["calls", &size.rare, "--sort", "duration", "--limit", "20"],
        ),
        ("trace", &["trace", &span]),
        ("errors", &["errors"]),
        ("why FUNCTION", &["why", &common]),
        ("why SELDOM_CALLED", &["why", &size.rare]),
        ("findings", &["findings"]),
        ("diff", &["diff"]),
        ("callers", &["callers", &common]),
        ("callees", &["callees", &common]),
        ("flame", &["flame"]),
        ("processes", &["processes"]),
        ("resources", &["resources"]),
        ("health", &["health"]),
        ("export prometheus", &["export", "prometheus"]),
    ];
    let floor = milliseconds(|| run(Command::new(monitor).arg("--version")))?;
    for (name, arguments) in commands {
        let case = format!("monitor {name}, {}", size.label());
        let spent = milliseconds(|| run(Command::new(monitor).arg("--db").arg(path).args(arguments)))?;
        table.record_in(&case, spent, floor, "ms");
        table.row_with_value_goal(&case, COMMAND_MS);
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

/// Lets retention expire all rows while another writer tries to write, and measures the writer's waits.
fn time_retention(store: &mut SqliteStore, path: &Path, size: &Size, table: &mut Table) -> Result<()> {
    let other = OtherWriter { path };
    let now_ns = size.end_ns() + nanoseconds(SPAN);
    let mut waits = Vec::new();
    let (mut deleted, mut longest) = (0, 0.0_f64);
    loop {
        let cpu_before = own_cpu_ns()?;
        let (step, wait) = other.wait_during(|| store.retain(now_ns))?;
        longest = longest.max(own_cpu_ns()? - cpu_before);
        let step = match step {
            // The store does not wait for the lock of the other writer: the step is repeated.
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
    let case = format!("longest wait of another writer for retention, {}", size.label());
    table.figure(&case, waits.last().copied().unwrap_or(0.0), "ms");
    table.row(&case, Some(10.0));
    let usual = waits.get(waits.len() * 99 / 100).copied().unwrap_or(0.0);
    table.figure(
        &format!("99th percentile of the waits for {} steps, {}", waits.len(), size.label()),
        usual,
        "ms",
    );
    // A store with a write-ahead log that survives a loss of power must sync the log while it holds the lock.
    let syncs = sync_milliseconds(path)?;
    table.figure(&format!("longest of {SYNCS} syncs of a log's header"), syncs[SYNCS - 1], "ms");
    table.figure(&format!("median of {SYNCS} syncs of a log's header"), syncs[SYNCS / 2], "ms");
    // The step's own work: other programs on the same cores make the wait longer, but not the CPU time.
    table.figure(&format!("CPU time of the longest step, {}", size.label()), longest / 1e6, "ms");
    if deleted < size.rows as u64 {
        return Err(format!("{deleted} of {} rows expired", size.rows).into());
    }
    Ok(())
}

/// The number of logs that are begun while ten million rows expire.
const SYNCS: usize = 36;

/// Measures how long the disk takes to sync the bytes of a log's header, in the store's folder. Returns the sorted
/// milliseconds.
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

/// Long enough that the file's modification time changes, because a sync writes that too.
const BETWEEN_SYNCS: Duration = Duration::from_millis(20);

/// Another writer, which tries to get the lock all the time and measures how long it is refused.
struct OtherWriter<'a> {
    path: &'a Path,
}

impl OtherWriter<'_> {
    /// Runs a step while the other writer tries to get the lock. Returns the step's value, and the longest time in
    /// milliseconds that the lock was refused without a break.
    fn wait_during<T: Send>(&self, step: impl FnOnce() -> T + Send) -> Result<(T, f64)> {
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

/// Does the work. Returns the milliseconds that it took.
fn milliseconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let mut result = Ok(());
    let spent = seconds(|| result = work());
    result.map(|()| spent * 1e3)
}
