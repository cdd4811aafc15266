//! The numbers that metrics are made of, read from the store and from ring files.
//!
//! Takes an open store; gives totals by service and function, counters by service, and the state of each process that has
//! not ended. Stores of older schema versions have no totals.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use monitor_runtime::histogram::{self, Histogram};
use monitor_runtime::recover::LiveProcess;
use rusqlite::Row;

use super::families::Options;
use crate::model::guards::{self, GuardState};
use crate::model::metrics::{self, Metric, Selection};
use crate::model::period::Period;
use crate::report::{self, Cell};
use crate::store::Store;

/// The newest failed, and the newest slow calls, among which examples are looked for.
const EXAMPLES_READ: i64 = 5000;

/// A service and a function of it.
pub(super) type Key = (String, String);

/// All numbers of a store.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) totals: BTreeMap<Key, Total>,
    /// Calls under way by service and function, as far as ring files can be read.
    pub(super) in_flight: BTreeMap<Key, u64>,
    /// Counters of health reports, by service and column.
    pub(super) counters: BTreeMap<(String, String), u64>,
    /// Processes that have not ended.
    pub(super) processes: Vec<Process>,
    /// Guards of processes that have not ended.
    pub(super) guards: Vec<GuardState>,
    /// Alerts by rule, level and state.
    pub(super) alerts: BTreeMap<[String; 3], u64>,
    pub(super) store_bytes: u64,
    /// The examples of calls, by service and function, and then by the bucket in which the duration of the call lies.
    pub(super) examples: HashMap<Key, BTreeMap<i32, Example>>,
    /// The metrics of programs, by name and tags.
    pub(super) metrics: Vec<ProgramMetric>,
}

/// The calls of a function.
#[derive(Debug, Clone, Default)]
pub(super) struct Total {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) panics: u64,
    pub(super) cancelled: u64,
    pub(super) duration_ns: u64,
    pub(super) busy_ns: u64,
    pub(super) since_ns: Option<i64>,
    pub(super) histogram: Histogram,
}

/// A series of the program's own metrics, with its totals since it began.
#[derive(Debug, Clone)]
pub(super) struct ProgramMetric {
    pub(super) metric: Metric,
    pub(super) histogram: Histogram,
}

/// A process that has not ended.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_field_names, reason = "`process_id` is the name of the column")]
pub(super) struct Process {
    pub(super) process_id: i64,
    pub(super) service: String,
    pub(super) pid: i64,
    pub(super) program_version: String,
    pub(super) build: String,
    pub(super) level: Option<String>,
    pub(super) breaker: String,
    pub(super) cost_pct: Option<f64>,
    pub(super) budget_pct: Option<f64>,
    pub(super) wal_bytes: u64,
    /// The time since the last sign of life of the process in the store, in seconds.
    pub(super) age_s: f64,
    pub(super) rss_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) threads: Option<u64>,
}

/// A call that is shown as an example of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    pub(super) call_id: i64,
    pub(super) trace_id: i64,
    pub(super) duration_ns: u64,
    pub(super) ended_ns: i64,
}

/// Reads all numbers.
pub(super) fn read(store: &Store, living: &[LiveProcess], options: Options, now_ns: i64) -> Result<Facts> {
    let mut facts = Facts { processes: read_processes(store, options, now_ns)?, ..Facts::default() };
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    facts.store_bytes = store.read_integer(bytes, [])?.map_or(0, to_unsigned);
    if store.has(&["function_total"])? {
        read_totals(store, &mut facts)?;
        read_examples(store, &mut facts)?;
    }
    read_counters(store, &mut facts)?;
    facts.guards = guards::read(store, None)?;
    if store.has(&["alerts"])? {
        let sql = "SELECT rule, level, state, count(*) FROM alerts GROUP BY rule, level, state";
        store.read_rows(sql, [], |row| {
            facts.alerts.insert([text(row, 0), text(row, 1), text(row, 2)], number(row, 3));
            Ok(())
        })?;
    }
    read_metrics(store, &mut facts)?;
    for process in living {
        for call in &process.calls {
            let key = (process.process.service.clone(), call.function.clone());
            *facts.in_flight.entry(key).or_default() += 1;
        }
    }
    Ok(facts)
}

fn read_metrics(store: &Store, facts: &mut Facts) -> Result<()> {
    let mut histograms = HashMap::new();
    if metrics::has(store)? {
        store.read_rows("SELECT id, histogram FROM metric WHERE histogram IS NOT NULL", [], |row| {
            let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
            histograms.insert(row.get::<_, i64>(0)?, Histogram::from_bytes(bytes));
            Ok(())
        })?;
    }
    for metric in metrics::read(store, &Selection::default(), Period::WHOLE)? {
        let histogram = histograms.remove(&metric.metric_id).unwrap_or_default();
        facts.metrics.push(ProgramMetric { metric, histogram });
    }
    Ok(())
}

fn read_totals(store: &Store, facts: &mut Facts) -> Result<()> {
    let columns = "t.calls, t.errors, t.panics, t.cancelled, t.total_ns + t.nested_ns + t.cancelled_ns, t.busy_ns, \
                   t.histogram";
    let sql = format!(
        "SELECT p.service, f.name, p.started_ns, {columns} FROM function_total t
           JOIN process p ON p.id = t.process_id JOIN function f ON f.id = t.function_id
         UNION ALL
         SELECT t.service, t.function, t.since_ns, {columns} FROM past_total t"
    );
    store.read_rows(&sql, [], |row| {
        let total = facts.totals.entry((text(row, 0), text(row, 1))).or_default();
        let since_ns = row.get::<_, i64>(2).ok();
        total.since_ns = total.since_ns.into_iter().chain(since_ns).min();
        for (sum, at) in [
            (&mut total.calls, 3),
            (&mut total.errors, 4),
            (&mut total.panics, 5),
            (&mut total.cancelled, 6),
            (&mut total.duration_ns, 7),
            (&mut total.busy_ns, 8),
        ] {
            *sum = sum.saturating_add(number(row, at));
        }
        total.histogram.merge_bytes(row.get_ref(9)?.as_blob().unwrap_or_default());
        Ok(())
    })
}

/// Reads the newest slow and failed calls, and keeps the newest of each function and bucket.
fn read_examples(store: &Store, facts: &mut Facts) -> Result<()> {
    for view in ["slow_calls", "errors"] {
        let sql = format!(
            "SELECT service, function, call_id, trace_id, duration_ns, start_ns + duration_ns FROM {view}
             ORDER BY call_id DESC LIMIT ?1"
        );
        store.read_rows(&sql, [EXAMPLES_READ], |row| {
            let duration_ns = number(row, 4);
            let example = Example {
                call_id: row.get(2).unwrap_or(0),
                trace_id: row.get(3).unwrap_or(0),
                duration_ns,
                ended_ns: row.get(5).unwrap_or(0),
            };
            let of_function = facts.examples.entry((text(row, 0), text(row, 1))).or_default();
            let kept = of_function.entry(histogram::bucket(duration_ns)).or_insert_with(|| example.clone());
            if kept.call_id < example.call_id {
                *kept = example;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Sums the counters of the health reports: those of stored processes, and those of processes that retention has deleted.
fn read_counters(store: &Store, facts: &mut Facts) -> Result<()> {
    let columns = store.read_column_names("SELECT * FROM health")?;
    let sql = "SELECT p.service, h.* FROM health h JOIN processes p ON p.process_id = h.process_id";
    store.read_rows(sql, [], |row| {
        let cells = report::read_cells(row, columns.len() + 1)?;
        let service = cells[0].as_text().unwrap_or_default();
        for (name, cell) in columns.iter().zip(&cells[1..]) {
            add_counter(facts, service, name, cell.to_integer().map_or(0, to_unsigned));
        }
        Ok(())
    })?;
    if store.has(&["past_report"])? {
        store.read_rows("SELECT service, counter, value FROM past_report", [], |row| {
            add_counter(facts, &text(row, 0), &text(row, 1), number(row, 2));
            Ok(())
        })?;
    }
    Ok(())
}

fn add_counter(facts: &mut Facts, service: &str, name: &str, value: u64) {
    let sum = facts.counters.entry((service.to_owned(), name.to_owned())).or_default();
    *sum = sum.saturating_add(value);
}

fn read_processes(store: &Store, options: Options, now_ns: i64) -> Result<Vec<Process>> {
    let known = store.read_column_names("SELECT * FROM processes")?;
    let optional = |name: &'static str| if known.iter().any(|known| known == name) { name } else { "NULL" };
    let reports = store.read_column_names("SELECT * FROM health")?;
    let of_report = |name: &'static str| {
        if reports.iter().any(|known| known == name) { format!("h.{name}") } else { "NULL".to_owned() }
    };
    let sql = format!(
        "SELECT p.process_id, p.service, p.pid, {}, {}, p.last_seen_ns, h.level, h.breaker, {}, {}, h.wal_bytes
         FROM processes p LEFT JOIN health h ON h.process_id = p.process_id
         WHERE p.ending = 'running' ORDER BY p.process_id",
        optional("program_version"),
        optional("build"),
        of_report("cost_pct"),
        of_report("budget_pct"),
    );
    let mut processes = Vec::new();
    store.read_rows(&sql, [], |row| {
        let cells = report::read_cells(row, 11)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let seen_ns = cells[5].to_integer().unwrap_or(now_ns);
        #[expect(clippy::cast_precision_loss, reason = "an age in seconds")]
        let age_s = now_ns.saturating_sub(seen_ns).max(0) as f64 / 1e9;
        processes.push(Process {
            process_id: cells[0].to_integer().unwrap_or(0),
            service: text(1),
            pid: cells[2].to_integer().unwrap_or(0),
            program_version: text(3),
            build: text(4),
            age_s,
            level: cells[6].as_text().map(str::to_owned),
            breaker: text(7),
            cost_pct: cells[8].to_number(),
            budget_pct: cells[9].to_number(),
            wal_bytes: cells[10].to_integer().map_or(0, to_unsigned),
            ..Process::default()
        });
        Ok(())
    })?;
    if options.is_per_process {
        for process in &mut processes {
            let sql = "SELECT rss_bytes, open_files, threads FROM resources WHERE process_id = ?1
                       ORDER BY at_ns DESC LIMIT 1";
            let row = store.read_first_row(sql, [process.process_id])?.unwrap_or_default();
            let find = |at: usize| row.get(at).and_then(Cell::to_integer).map(to_unsigned);
            (process.rss_bytes, process.open_files, process.threads) = (find(0), find(1), find(2));
        }
    }
    Ok(processes)
}

fn text(row: &Row<'_>, at: usize) -> String {
    let bytes = row.get_ref(at).ok().and_then(|value| value.as_bytes().ok()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(row: &Row<'_>, at: usize) -> u64 {
    row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).map_or(0, to_unsigned)
}

fn to_unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
