//! The whole way from the call to the row. Callers call a monitored function flat out, and when they stop, the rows in
//! the file are counted. The floor is measured next to each round: one thread that only inserts rows into the same
//! table, with a prepared statement and in transactions of the same size.
//!
//! Each round of callers runs in a process of its own, because a process has one recorder.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use monitor_benches::{Figures, Options, Table, Worker};
use monitor_runtime::store::schema;
use rusqlite::{Connection, params};

/// Rows in a transaction, the recorder's default.
const BATCH: usize = 4096;

/// The names of the flat-out workers, and their numbers of callers.
pub(crate) const WORKERS: [(&str, usize); 2] = [("callers-1", 1), ("callers-2", 2)];

/// Calls a second of the paced worker, of both callers together.
const PACE: u64 = 400_000;
pub(crate) const PACED: &str = "paced";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[monitored::monitor]
fn step(number: u64) -> u64 {
    black_box(number) ^ 1
}

/// Measures all rounds.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for _ in 0..options.rounds() {
        let (floor, floor_cpu) = measure_insert_loop(options)?;
        table.record("a loop of prepared inserts", floor, floor);
        for (name, _) in WORKERS {
            let figures = round(options, name)?;
            let case = format!("{name} flat out, end to end");
            table.record(&case, figures["ns_per_row"], floor);
            table.row(&case, Some(1.67));
            table.record(&format!("{name}: CPU time of the writer"), figures["cpu_per_row"], floor_cpu);
            table.figure(&format!("{name}: calls that have a row"), figures["stored_pct"], "%");
            table.figure(&format!("{name}: calls without row or count"), figures["unaccounted"], "calls");
            table.figure(&format!("{name}: disk"), figures["bytes_per_row"], "B/row");
            table.row(&format!("{name}: disk"), Some(40.0));
        }
        let figures = round(options, PACED)?;
        let case = format!("2 callers at {PACE} calls/s: lost rows");
        table.figure(&case, figures["lost"], "rows");
        table.row(&case, Some(0.0));
    }
    Ok(())
}

/// Runs one round in a worker of this name. Returns its figures, and the bytes per row.
fn round(options: &Options, name: &str) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("calls.db");
    let path = path.to_string_lossy();
    let variables = [
        ("MONITOR_DB", path.as_ref()),
        ("MONITOR_MAX_RATE", "0"),
        ("MONITOR_MAX_OVERHEAD", "100%"),
        ("MONITOR_MAX_DISK", "8GiB"),
        ("MONITOR_CAPTURE", "none"),
    ];
    let mut figures = Worker::start(name, options, &variables)?.round()?;
    // The worker has ended: the log is now part of the database file.
    let rows = figures["rows"];
    let empty = empty_store_bytes(folder.path())?;
    figures.insert("bytes_per_row".to_owned(), (file_bytes(Path::new(path.as_ref()))? - empty) / rows);
    Ok(figures)
}

/// Measures callers that call flat out for a while. This is the worker's side.
pub(crate) fn measure_flat_out(callers: usize, options: &Options) -> Result<Figures> {
    warm_up()?;
    let (before, cpu_before) = (rows_written()?, cpu_ns(WRITER)?);
    let span = if options.short { Duration::from_millis(200) } else { Duration::from_secs(2) };
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    for number in 0..256 {
                        black_box(step(number));
                    }
                }
            });
        }
        std::thread::sleep(span);
        stop.store(true, Relaxed);
    });
    let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
    let cpu = cpu_ns(WRITER)? - cpu_before;
    let written = (rows_written()? - before).max(1.0);
    let mut figures = account()?;
    figures.insert("ns_per_row".to_owned(), nanoseconds / written);
    figures.insert("cpu_per_row".to_owned(), cpu / written);
    Ok(figures)
}

/// Measures two callers at a rate that the writer keeps up with. This is the worker's side.
pub(crate) fn measure_paced(options: &Options) -> Result<Figures> {
    warm_up()?;
    let span = if options.short { Duration::from_millis(200) } else { Duration::from_secs(2) };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let start = Instant::now();
                let mut made = 0;
                while start.elapsed() < span {
                    let due =
                        u64::try_from(start.elapsed().as_micros()).unwrap_or(0) * (PACE / 2) / 1_000_000;
                    while made < due {
                        made += 1;
                        black_box(step(made));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    account()
}

/// Starts the recorder, so that the time to open the store is not measured.
fn warm_up() -> Result<()> {
    black_box(step(0));
    Ok(monitored::flush(Duration::from_secs(10))?)
}

/// Returns the committed rows, as any other reader sees them.
fn rows_written() -> Result<f64> {
    let connection = open_store()?;
    Ok(connection.query_row("SELECT COALESCE(MAX(last_call), 0) FROM call_range", [], |row| row.get(0))?)
}

fn open_store() -> Result<Connection> {
    let path = monitored::health().store.ok_or("the store is not open")?;
    Ok(monitor_runtime::store::query::open_read_only(&path)?)
}

/// Flushes, and reads from the store how many calls have a row and how many were dropped.
fn account() -> Result<Figures> {
    monitored::flush(Duration::from_mins(1))?;
    let connection = open_store()?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, f64>(0));
    let rows = number("SELECT COUNT(*) FROM call")?;
    let calls = number("SELECT SUM(calls) FROM functions")?;
    let dropped = number("SELECT SUM(dropped) FROM functions")?;
    drop(connection);
    monitored::shutdown(Duration::from_mins(1))?;
    Ok(Figures::from([
        ("rows".to_owned(), rows),
        ("stored_pct".to_owned(), rows / calls * 100.0),
        ("lost".to_owned(), dropped),
        ("unaccounted".to_owned(), calls - rows - dropped),
    ]))
}

/// The name of the recorder's thread.
const WRITER: &str = "monitored";

/// Returns the CPU time of this process's thread with this name. Unlike the elapsed time it does not grow when other
/// threads use the cores.
fn cpu_ns(thread: &str) -> Result<f64> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim_end() == thread {
            return read_cpu_ns(&task.join("schedstat"));
        }
    }
    Err(format!("no thread has the name {thread}").into())
}

/// Returns the nanoseconds that this thread has been on a core.
pub(crate) fn own_cpu_ns() -> Result<f64> {
    read_cpu_ns(Path::new("/proc/thread-self/schedstat"))
}

/// Reads the first number of a `schedstat` file: the nanoseconds on a core.
fn read_cpu_ns(schedstat: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(schedstat)?;
    Ok(text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}

/// Measures the floor. Returns the nanoseconds per row: elapsed, and of CPU time.
fn measure_insert_loop(options: &Options) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let mut connection = Connection::open(folder.path().join("bare.db"))?;
    connection.execute_batch("PRAGMA page_size = 4096; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA cell_size_check = ON")?;
    schema::create(&connection)?;
    let rows = options.amount(1_500_000, 50_000);
    let (start, cpu_before) = (Instant::now(), own_cpu_ns()?);
    let mut id = 0_i64;
    while id < i64::try_from(rows)? {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare("INSERT INTO call VALUES (?,?,?,?,?,?,?,?,?,?,?)")?;
        for _ in 0..BATCH {
            id += 1;
            insert.execute(params![id, 1, 1, id * 40, 20, None::<i64>, id, 0, 0, 0, 1.0])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((start.elapsed().as_secs_f64() * 1e9 / id as f64, (own_cpu_ns()? - cpu_before) / id as f64))
}

/// Returns the bytes of a store without calls.
fn empty_store_bytes(folder: &Path) -> Result<f64> {
    let path = folder.join("empty.db");
    let connection = Connection::open(&path)?;
    schema::create(&connection)?;
    drop(connection);
    file_bytes(&path)
}

fn file_bytes(path: &Path) -> Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(std::fs::metadata(path)?.len() as f64)
}
