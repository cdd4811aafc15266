//! What sampling promises, in one run: a function that is called tens of millions of times a second beside one
//! that is called once and one that is called as a request handler is, failing and being slow a known number of
//! times, while a second process turns the rates up and down and keeps the store locked in between.
//!
//! In: nothing but the command `monitor`. Out: figures for the table, and what is not as it was promised, which
//! ends the benchmark with a failure: counts, rows, bounds and who set what are asserted, times are shown.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use monitor_benches::{Figures, Options, Spread, Table, Worker, floor, seconds, serve};
use monitored::monitor;
use rusqlite::{Connection, OptionalExtension as _};

const HOT: &str = "ladder::show::hot";
const RATIO: &str = "ratio in second ";
const HANDLER: &str = "ladder::show::handle";
const RARE: &str = "ladder::show::rare";

/// Longer than the limit of both functions and the resolution of the clock by which it is noticed.
const SLOW: Duration = Duration::from_millis(60);
const SLOW_EVERY: Duration = Duration::from_millis(250);
/// Measured from this moment on.
const SETTLED: Duration = Duration::from_secs(2);

#[inline(always)]
#[expect(clippy::inline_always, reason = "the body of both forms")]
fn work(number: u64) -> Result<u64, String> {
    match number {
        0 => Err("nothing to work on".to_owned()),
        1 => {
            std::thread::sleep(SLOW);
            Ok(1)
        }
        number => Ok(black_box(number) + 1),
    }
}

#[inline(never)]
fn bare(number: u64) -> Result<u64, String> {
    work(number)
}

#[monitor(skip_all, no_result, slow = "40ms")]
#[inline(never)]
fn hot(number: u64) -> Result<u64, String> {
    work(number)
}

/// Each third call fails, and of the others each fifth is slow.
#[monitor(slow = "40ms")]
fn rare(number: u64) -> Result<u64, String> {
    work(if number.is_multiple_of(3) { 0 } else { u64::from(!number.is_multiple_of(5)) + 1 })
}

/// Each hundredth call fails.
#[monitor(slow = "250ms")]
fn handle(number: u64, path: &str) -> Result<usize, String> {
    if number.is_multiple_of(100) { Err(format!("{path} was not found")) } else { Ok(black_box(path).len()) }
}

/// What was called, failed and was slow.
#[derive(Debug, Default, Clone, Copy)]
struct Made {
    calls: u64,
    failed: u64,
    slow: u64,
}

impl Made {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn put_into(self, figures: &mut Figures, name: &str) {
        for (what, number) in [("calls", self.calls), ("failed", self.failed), ("slow", self.slow)] {
            figures.insert(format!("{name} {what}"), number as f64);
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as it was put in")]
    fn of(figures: &Figures, name: &str) -> Self {
        let number = |what: &str| figures.get(&format!("{name} {what}")).copied().unwrap_or(0.0) as u64;
        Self { calls: number("calls"), failed: number("failed"), slow: number("slow") }
    }
}

/// The program: runs until it is told that it has been tuned enough, in its environment a file that is there then.
pub(crate) fn program() -> std::io::Result<()> {
    let end = PathBuf::from(std::env::var_os("LADDER_END").unwrap_or_default());
    serve(|| {
        static RUNNING: AtomicBool = AtomicBool::new(true);
        let seldom = std::thread::spawn(|| call_seldom(&RUNNING));
        let requests = std::thread::spawn(|| call_handler(&RUNNING));
        let begun = Instant::now();
        let (made, ratios) = call_often(&end);
        let mut figures = Figures::from([("seconds".to_owned(), begun.elapsed().as_secs_f64())]);
        RUNNING.store(false, Ordering::Relaxed);
        seldom.thread().unpark();
        seldom.join().unwrap_or_default().put_into(&mut figures, RARE);
        requests.join().unwrap_or_default().put_into(&mut figures, HANDLER);
        made.put_into(&mut figures, HOT);
        for (second, ratios) in ratios {
            let median = Spread::of(&ratios).map_or(f64::NAN, |spread| spread.median);
            figures.insert(format!("{RATIO}{second}"), median);
        }
        let _ = monitored::flush(Duration::from_secs(10));
        figures
    })
}

fn call_seldom(running: &AtomicBool) -> Made {
    let mut made = Made::default();
    while running.load(Ordering::Relaxed) {
        made.calls += 1;
        made.failed += u64::from(rare(made.calls).is_err());
        made.slow += u64::from(made.calls.is_multiple_of(5) && !made.calls.is_multiple_of(3));
        std::thread::park_timeout(Duration::from_secs(1));
    }
    made
}

/// Some hundred calls a second.
fn call_handler(running: &AtomicBool) -> Made {
    let mut made = Made::default();
    while running.load(Ordering::Relaxed) {
        made.calls += 1;
        made.failed += u64::from(handle(made.calls, "/orders/17").is_err());
        std::thread::sleep(Duration::from_millis(1));
    }
    made
}

/// What a call cost more with the attribute, in units of two readings of the counter, by seconds since the start.
type Ratios = BTreeMap<u64, Vec<f64>>;

/// Calls in turn: without the attribute and with it, and the floor of both.
fn call_often(end: &Path) -> (Made, Ratios) {
    const PASSES: u32 = 100_000;
    let [reads, _] = floor::cases();
    let pass = |call: fn(u64) -> Result<u64, String>| {
        seconds(|| (0..PASSES).for_each(|_| _ = black_box(call(black_box(7)))))
    };
    let (mut made, mut ratios) = (Made::default(), Ratios::new());
    let begun = Instant::now();
    let mut next_slow = SLOW_EVERY;
    while !end.exists() {
        let of_reads = -seconds(|| (reads.without)(PASSES)) + seconds(|| (reads.with)(PASSES));
        let of_call = -pass(bare) + pass(hot);
        made.calls += u64::from(PASSES) + 1;
        made.failed += u64::from(hot(0).is_err());
        if begun.elapsed() >= next_slow {
            next_slow += SLOW_EVERY;
            made.calls += u64::from(hot(1).is_ok());
            made.slow += 1;
        }
        if begun.elapsed() >= SETTLED {
            ratios.entry(begun.elapsed().as_secs()).or_default().push(of_call / of_reads);
        }
    }
    (made, ratios)
}

/// The second process: this one, and the command `monitor`.
struct Other {
    monitor: PathBuf,
    store: PathBuf,
    settings: PathBuf,
    problems: Vec<String>,
}

/// Runs the program, tunes it, and judges what its store says of it.
pub(crate) fn run(options: &Options, table: &mut Table) -> std::io::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut other = Other {
        monitor: monitor_command()?,
        store: path("show.db"),
        settings: path("monitor.toml"),
        problems: Vec::new(),
    };
    std::fs::write(&other.settings, "max_rate = 1000\n")?;
    let text = |path: &Path| path.to_str().unwrap_or_default().to_owned();
    let end = path("end");
    let variables = [
        ("MONITOR_DB", text(&other.store)),
        ("MONITOR_CONFIG", text(&other.settings)),
        ("LADDER_END", text(&end)),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut worker = Worker::start("show", options, &variables)?;
    let figures = std::thread::scope(|scope| {
        let figures = scope.spawn(|| worker.round());
        let tuned = other.tune(options, table);
        // Ends the program, whatever came of tuning it.
        std::fs::write(&end, "")?;
        tuned.map_err(Error::other)?;
        figures.join().map_err(|_| Error::other("the program was not followed to its end"))?
    })?;
    drop(worker);
    other.judge(&figures, table).map_err(Error::other)?;
    Ok(other.problems)
}

/// `target/<profile>/monitor`, beside this executable's folder; it is built where it is not there.
fn monitor_command() -> std::io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.ancestors().nth(2).unwrap_or(&executable);
    let command = folder.join("monitor");
    if !command.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo).args(["build", "--release", "--package", "monitor-console"]).status()?;
    }
    Ok(command)
}

impl Other {
    fn expect(&mut self, is_so: bool, problem: impl FnOnce() -> String) {
        if !is_so {
            self.problems.push(problem());
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let store = Connection::open(&self.store)?;
        store.busy_timeout(Duration::from_secs(10))?;
        Ok(store)
    }

    /// `monitor` with these arguments, on the store.
    fn monitor(&mut self, arguments: &[&str]) {
        let output = Command::new(&self.monitor).args(arguments).arg("--db").arg(&self.store).output();
        let is_done = output.as_ref().is_ok_and(|output| output.status.success());
        self.expect(is_done, || format!("monitor {}: {output:?}", arguments.join(" ")));
    }

    /// Turns the rate down and up by each means there is, with the store locked for a while in between.
    fn tune(&mut self, options: &Options, table: &mut Table) -> rusqlite::Result<()> {
        let pause = Duration::from_secs(if options.short { 1 } else { 4 });
        self.await_(|store| one(store, "SELECT COUNT(*) > 0 FROM calls", ()));
        std::thread::sleep(pause);
        let set = |rate: &'static str| move |other: &mut Self| other.monitor(&["sample", HOT, rate]);
        self.turn(0.0, "`monitor sample`", "= 0 by monitor:%", table, set("0"))?;
        let store = self.open()?;
        store.execute_batch("BEGIN IMMEDIATE")?;
        std::thread::sleep(Duration::from_secs(if options.short { 1 } else { 10 }));
        store.execute_batch("ROLLBACK")?;
        self.turn(0.25, "`monitor sample`", "= 0.25 by monitor:%", table, set("0.25"))?;
        self.turn(0.0001, "SQL", "= 0.0001 by sql", table, |other| {
            let sql = "INSERT OR REPLACE INTO sampling (pattern, rate) VALUES (?1, 0.0001)";
            let set = store.execute(sql, [HOT]);
            other.expect(set.is_ok(), || format!("{set:?}"));
        })?;
        self.turn(1.0, "`--reset`", "reset by monitor:%", table, |other| {
            other.monitor(&["sample", "--reset", HOT]);
        })?;
        self.turn(0.5, "the settings file", "=0.5 by settings file %", table, |other| {
            let new = other.settings.with_extension("new");
            let written = std::fs::write(&new, format!("max_rate = 1000\nsample = '{HOT}=0.5'\n"));
            let renamed = written.and_then(|()| std::fs::rename(&new, &other.settings));
            other.expect(renamed.is_ok(), || format!("{renamed:?}"));
        })?;
        std::thread::sleep(pause);
        Ok(())
    }

    /// Asks the store until it says yes, for a while.
    fn await_(&self, says: impl Fn(&Connection) -> rusqlite::Result<bool>) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if self.open().is_ok_and(|store| says(&store).unwrap_or(false)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Sets a rate, waits until the store says that it is asked for, and shows after how long it was in force, as
    /// the event says that ends like this, and what came of it: rows, or none.
    fn turn(
        &mut self,
        rate: f64,
        by: &str,
        event: &str,
        table: &mut Table,
        set: impl FnOnce(&mut Self),
    ) -> rusqlite::Result<()> {
        let set_ns = now_ns();
        set(self);
        let sql = "SELECT asked = ?1 FROM rates WHERE function = ?2";
        let is_read_back = self.await_(|store| one(store, sql, (rate, HOT)));
        self.expect(is_read_back, || format!("{by}: the rate {rate} did not come into force"));
        let store = self.open()?;
        let detail = format!("%{HOT} {event}").replace(" =0", "=0");
        let sql = "SELECT COUNT(*) FROM events WHERE kind = 'rate' AND detail LIKE ?1 AND at_ns >= ?2";
        let told: i64 = one(&store, sql, (&detail, set_ns))?;
        self.expect(told > 0, || format!("{by}: no event says who set {rate}"));
        // The program says so when it takes a rate over, save that of a reset, which shows at the next look.
        let sql = "SELECT COALESCE(
                (SELECT MIN(at_ns) FROM events
                 WHERE kind = 'rate' AND detail LIKE ?1 AND at_ns >= ?2 AND process_id > 0),
                (SELECT MAX(at_ns) FROM rates WHERE function = ?3))";
        let in_force_ns: i64 = one(&store, sql, (&detail, set_ns, HOT))?;
        #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
        table.figure(
            &format!("the show: {rate} by {by}, in force after"),
            (in_force_ns - set_ns) as f64 / 1e6,
            "ms",
        );
        // A call that had begun may still be drawn.
        let from_ns = in_force_ns + 100_000_000;
        let seen = |store: &Connection| -> rusqlite::Result<i64> {
            let sql =
                "SELECT COUNT(*) FROM calls WHERE function = ?1 AND kept = 'sampled' AND start_ns >= ?2";
            one(store, sql, (HOT, from_ns))
        };
        if rate > 0.0 {
            self.await_(|store| Ok(seen(store)? > 0));
        } else {
            std::thread::sleep(Duration::from_secs(2));
        }
        let rows = seen(&store)?;
        self.expect((rate > 0.0) == (rows > 0), || format!("{by}: {rows} rows at rate {rate}"));
        Ok(())
    }

    /// Compares what the program did with what its store says.
    fn judge(&mut self, figures: &Figures, table: &mut Table) -> rusqlite::Result<()> {
        let store = self.open()?;
        for (_, ratio) in figures.iter().filter(|(name, _)| name.starts_with(RATIO)) {
            table.figure(super::SHOWN, *ratio, "R");
        }
        let seconds = figures.get("seconds").copied().unwrap_or(0.0);
        for function in [HOT, HANDLER, RARE] {
            self.judge_function(&store, function, Made::of(figures, function), seconds, table)?;
        }
        let rows: f64 = one(&store, "SELECT COUNT(*) FROM calls", ())?;
        let bytes: f64 = one(&store, "SELECT db_bytes + wal_bytes FROM health", ())?;
        table.figure("the show: store", bytes / 1e6, "MB");
        // The schema, figures and events, and a log before it is copied.
        let most = 6e6 + 300.0 * rows;
        self.expect(bytes <= most, || format!("{bytes} bytes for {rows} rows, {most} are allowed"));
        Ok(())
    }

    fn judge_function(
        &mut self,
        store: &Connection,
        function: &str,
        made: Made,
        seconds: f64,
        table: &mut Table,
    ) -> rusqlite::Result<()> {
        let name = function.rsplit(':').next().unwrap_or(function);
        let number = |sql: &str| one::<i64>(store, sql, [function]).map(i64::unsigned_abs);
        let calls = number("SELECT calls FROM functions WHERE function = ?1")?;
        let errors = number("SELECT errors FROM functions WHERE function = ?1")?;
        let failed = number("SELECT COUNT(*) FROM errors WHERE function = ?1")?;
        let slow = number("SELECT COUNT(*) FROM slow_calls WHERE function = ?1")?;
        let pairs = [
            ("calls counted, of those made", calls, made.calls),
            ("failures with rows, of those made", failed, made.failed),
            ("slow calls with rows, of those made", slow, made.slow),
        ];
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        for (what, found, made) in pairs.into_iter().filter(|(_, _, made)| *made > 0) {
            table.record_in(&format!("the show, {name}: {what}"), found as f64, made as f64, "");
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        table.figure(&format!("the show, {name}: calls a second"), made.calls as f64 / seconds, "");
        let sql = "SELECT COUNT(*) FROM calls WHERE function = ?1 AND kept = 'sampled'";
        let sampled: f64 = one(store, sql, [function])?;
        let most = 1000.0 * (seconds + 1.0);
        table.figure(&format!("the show, {name}: sampled rows a second"), sampled / seconds, "");
        self.expect(sampled <= most, || format!("{name}: {sampled} sampled rows, {most} are allowed"));
        // On a machine without a processor to spare the rings may overflow. That is counted, with its reason.
        let dropped: f64 = one(store, "SELECT dropped FROM functions WHERE function = ?1", [function])?;
        table.figure(&format!("the show, {name}: rows dropped"), dropped, "");
        self.expect(calls == made.calls, || format!("{name}: {calls} of {} calls counted", made.calls));
        self.expect(errors == made.failed, || {
            format!("{name}: {errors} of {} failures counted", made.failed)
        });
        self.expect(failed == made.failed, || {
            format!("{name}: rows of {failed} of {} failures", made.failed)
        });
        // On a busy machine more are slow than were made to be; and on one so busy that the recorder's thread gets
        // no processor it says that it may have missed some.
        let sql =
            "SELECT COUNT(*) FROM events WHERE kind = 'slow' AND detail LIKE 'the recorder was held up%'";
        let told: i64 = one(store, sql, ())?;
        self.expect(slow >= made.slow || told > 0, || {
            format!("{name}: rows of {slow} of {} slow calls", made.slow)
        });
        Ok(())
    }
}

fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The one value of a query; nothing where there is no row.
fn one<T: rusqlite::types::FromSql>(
    store: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<T> {
    let value = store.query_row(sql, parameters, |row| row.get(0)).optional()?;
    value.ok_or(rusqlite::Error::QueryReturnedNoRows)
}
