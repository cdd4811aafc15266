//! `monitor crash`: processes that died, the latest first: when and how each died, which panics it survived
//! before, which calls were in flight on each thread and in each task, the last minute in figures, and the last
//! calls before. The ring files of dead processes are recovered into the store
//! first.

use std::fmt::Write as _;

use anyhow::Result;

use super::in_flight::{self, InFlightCall};
use super::{open_store, print_heading, print_lines};
use crate::arguments::{Common, Crash, FormatName};
use crate::format;
use crate::model::metrics;
use crate::report::{Cell, Column, Report};
use crate::store::Store;
use crate::terminal;
use crate::units::{self, format_quantity};

const CRASHES: &str = "
SELECT p.process_id, p.run_uuid, p.service, p.host, p.pid, p.started_ns, p.ended_ns AS died_ns,
  (SELECT e.detail FROM events e WHERE e.process_id = p.process_id AND e.kind = 'crash'
   ORDER BY e.at_ns DESC LIMIT 1) AS how
FROM processes p
WHERE p.ending = 'crash' AND coalesce(p.ended_ns, p.started_ns) >= ?1
ORDER BY coalesce(p.ended_ns, p.started_ns) DESC, p.process_id DESC
LIMIT ?2";

/// Selects the panics of a process before its death, the latest first.
const PANICS: &str = "
SELECT at_ns, detail FROM events WHERE process_id = ?1 AND kind = 'panic' ORDER BY at_ns DESC LIMIT 5";

const IN_FLIGHT: &str = "
SELECT thread, thread_id, depth, function, start_ns, elapsed_ms, span_id, parent_id, waiting_since_ns, args
FROM in_flight WHERE process_id = ?1
ORDER BY thread IS NULL, thread, thread_id, depth, start_ns";

const IN_FLIGHT_COLUMNS: [&str; 10] = [
    "thread",
    "thread_id",
    "depth",
    "function",
    "start_ns",
    "elapsed_ms",
    "span_id",
    "parent_id",
    "waiting_since_ns",
    "args",
];

/// Selects the calls that ended in each window of the last minute. A window is 10 s.
const LAST_MINUTE: &str = "
SELECT \"window\" * 10000000000, sum(calls), sum(errors + panics + cancelled) FROM latency_window
WHERE process_id = ?1 AND \"window\" >= ?2 / 10000000000 AND \"window\" <= ?3 / 10000000000
GROUP BY 1 ORDER BY 1";

const RESOURCES: &str = "
SELECT at_ns, cpu_pct, rss_bytes FROM resources WHERE process_id = ?1 AND at_ns BETWEEN ?2 AND ?3 ORDER BY at_ns";

/// Selects the latest calls of a process. Only the latest 100 000 calls of the store are searched, so none is found
/// if other processes have written more than that since.
const LAST: &str = "
SELECT call_id, start_ns + duration_ns AS ended_ns, duration_ms, outcome, function, thread FROM calls
WHERE process_id = ?1 AND call_id > (SELECT max(id) FROM call) - 100000
ORDER BY ended_ns DESC LIMIT ?2";

/// Selects a row for each call in flight, and one row for a process that had none.
const DATA: &str = "
SELECT c.*, f.thread, f.depth, f.function, f.start_ns, f.elapsed_ms, f.span_id, f.thread_id, f.parent_id,
  f.waiting_since_ns, f.args
FROM (CRASHES) c LEFT JOIN in_flight f ON f.process_id = c.process_id
ORDER BY c.died_ns DESC, c.process_id DESC, f.thread IS NULL, f.thread, f.thread_id, f.depth,
  f.start_ns";

const DATA_COLUMNS: [&str; 18] = [
    "process_id",
    "run_uuid",
    "service",
    "host",
    "pid",
    "started_ns",
    "died_ns",
    "how",
    "thread",
    "depth",
    "function",
    "start_ns",
    "elapsed_ms",
    "span_id",
    "thread_id",
    "parent_id",
    "waiting_since_ns",
    "args",
];

/// Writes the time up to which the store has the metrics of a process, because a process that is killed loses the
/// changes after the last window that it wrote.
fn write_metrics(store: &Store, process: i64, died: i64, text: &mut String) -> Result<()> {
    let Some(end) = metrics::read_last_end(store, process, died)? else { return Ok(()) };
    let lost = died.saturating_sub(end);
    let sentence = if lost > 0 {
        let time = units::format_time(end, units::now_ns());
        format!(
            "in the store up to {time}; changes of the {} after it are lost",
            units::format_nanoseconds(lost)
        )
    } else {
        "in the store up to the window in which it died; its last changes may be lost".to_owned()
    };
    writeln!(text, "  {:<10} {sentence}", "metrics")?;
    Ok(())
}

pub(super) fn run(common: &Common, arguments: &Crash) -> Result<()> {
    let store = open_store(common)?;
    let since = units::start_of_span(common.since);
    let limit = i64::from(arguments.limit);
    if common.format != FormatName::Table {
        let columns = DATA_COLUMNS.into_iter().map(Column::data).collect();
        let report = store.read_report(columns, &DATA.replace("CRASHES", CRASHES), (since, limit))?;
        return format::print(&report, common.style());
    }
    let columns = DATA_COLUMNS[..8].iter().map(|name| Column::data(name)).collect();
    let crashes = store.read_report(columns, CRASHES, (since, limit))?;
    let title = match crashes.rows.len() {
        0 => "no process died".to_owned(),
        number => format_quantity(number, "process died", "processes died"),
    };
    print_heading(common, &store, &title);
    let mut text = String::new();
    for row in &crashes.rows {
        write_process(&store, row, arguments, &mut text)?;
    }
    print_lines(common, &text)
}

fn write_process(store: &Store, row: &[Cell], arguments: &Crash, text: &mut String) -> Result<()> {
    let now = units::now_ns();
    let started = row[5].to_integer().unwrap_or(0);
    let died = row[6].to_integer().unwrap_or(started);
    let title = format!(
        "{} · pid {} on {} · run {} · ✗ died {} ({}), after {}",
        row[2].to_plain_text(),
        row[4].to_plain_text(),
        row[3].to_plain_text(),
        row[0].to_plain_text(),
        units::format_age(died, now),
        units::format_time(died, now),
        units::format_nanoseconds(died.saturating_sub(started).max(0)),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    let how = row[7].as_text().unwrap_or("it left no ring file: what it was doing is not known");
    writeln!(text, "  {:<10} {}", "how", terminal::escape(how))?;
    let process = row[0].to_integer().unwrap_or(0);
    write_panics(store, process, died, text)?;
    write_calls_in_flight(store, process, died, text)?;
    write_last_minute(store, process, (started, died), text)?;
    write_metrics(store, process, died, text)?;
    write_last_calls(store, process, died, arguments, text)?;
    writeln!(text)?;
    Ok(())
}

fn write_panics(store: &Store, process: i64, died: i64, text: &mut String) -> Result<()> {
    let columns = ["at_ns", "detail"].map(Column::data).to_vec();
    let Report { rows, .. } = store.read_report(columns, PANICS, [process])?;
    for (at, row) in rows.iter().enumerate() {
        let before = died.saturating_sub(row[0].to_integer().unwrap_or(died)).max(0);
        let line = format!("{} before: {}", units::format_nanoseconds(before), row[1].to_plain_text());
        writeln!(text, "  {:<10} {}", if at == 0 { "panics" } else { "" }, terminal::escape(&line))?;
    }
    Ok(())
}

/// Writes the stack of each thread and the suspended calls of each task, with arguments.
fn write_calls_in_flight(store: &Store, process: i64, died: i64, text: &mut String) -> Result<()> {
    let columns = IN_FLIGHT_COLUMNS.map(Column::data).to_vec();
    let Report { rows, .. } = store.read_report(columns, IN_FLIGHT, [process])?;
    if rows.is_empty() {
        writeln!(text, "  {:<10} no call that is known", "running")?;
    }
    let calls: Vec<InFlightCall> = rows.iter().map(|row| to_in_flight(row)).collect();
    let names = in_flight::name_threads(&calls);
    let mut places = in_flight::arrange(&calls);
    // Stacks come first, then the tasks that wait.
    places.sort_by_key(|place| calls[place.root].thread.is_none());
    let mut heading = None;
    for place in places {
        let thread = names[place.call].as_deref().unwrap_or("waiting to be polled");
        // A task that waits needs no heading of its own.
        let is_new = calls[place.call].thread.is_some() && place.depth == 0;
        if heading != Some(thread) || is_new {
            writeln!(text, "  {:<10} {}", "running", terminal::escape(thread))?;
            heading = Some(thread);
        }
        let line = describe_call(&rows[place.call], died);
        let indent = "  ".repeat(place.depth.min(DEPTH_SHOWN_MAX));
        writeln!(text, "             {indent}{}", terminal::escape(&line))?;
    }
    Ok(())
}

fn to_in_flight(row: &[Cell]) -> InFlightCall {
    InFlightCall {
        thread: row[0].as_text().map(|name| (row[1].to_integer(), name.to_owned())),
        depth: row[2].to_integer().unwrap_or(0),
        start_ns: row[4].to_integer().unwrap_or(0),
        span_id: row[6].to_integer().unwrap_or(0),
        parent_id: row[7].to_integer(),
    }
}

/// Describes a call: function, time, how long it has waited for its next poll, and arguments.
fn describe_call(row: &[Cell], died: i64) -> String {
    let mut line = format!("{} for {}", row[3].to_plain_text(), format_milliseconds(&row[5]));
    if let Some(since) = row[8].to_integer() {
        let waited = units::format_nanoseconds(died.saturating_sub(since).max(0));
        let _ = write!(line, ", last polled {waited} before");
    }
    if let Some(arguments) = row[9].as_text() {
        let _ = write!(line, "  {arguments}");
    }
    line
}

/// Writes calls, failures, memory and CPU time of the last minute, 10 s by 10 s.
#[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn write_last_minute(
    store: &Store,
    process: i64,
    (started, died): (i64, i64),
    text: &mut String,
) -> Result<()> {
    let span = (process, died.saturating_sub(MINUTE_NS).max(0), died);
    let columns = ["at_ns", "calls", "failed"].map(Column::data).to_vec();
    let windows = store.read_report(columns, LAST_MINUTE, span)?.rows;
    let columns = ["at_ns", "cpu_pct", "rss_bytes"].map(Column::data).to_vec();
    let resources = store.read_report(columns, RESOURCES, span)?.rows;
    let first = windows.iter().chain(&resources).filter_map(|row| row[0].to_integer()).min();
    let first = first.unwrap_or(i64::MAX).max(span.1);
    // A window without calls has no row.
    let begins = (first / WINDOW_NS..=died / WINDOW_NS).map(|window| window * WINDOW_NS);
    for (at, begin) in begins.take(WINDOWS_SHOWN_MAX).enumerate() {
        let row = windows.iter().find(|row| row[0].to_integer() == Some(begin));
        let figure = |at: usize| row.and_then(|row| row[at].to_number()).unwrap_or(0.0);
        let (calls, failed) = (figure(1), figure(2));
        let (from, to) = (begin.max(started).min(died), begin.saturating_add(WINDOW_NS).min(died));
        let seconds = to.saturating_sub(from).max(MILLISECOND_NS) as f64 / 1e9;
        let mut line = format!(
            "from {} before: {} calls/s, {} failed",
            units::format_nanoseconds(died.saturating_sub(from)),
            units::format_count((calls / seconds).round()),
            units::format_count(failed),
        );
        let sample = resources.iter().rfind(|row| {
            row[0].to_integer().is_some_and(|at| (begin..begin.saturating_add(WINDOW_NS)).contains(&at))
        });
        if let Some(sample) = sample {
            let (cpu, memory) = (sample[1].to_number(), sample[2].to_number());
            let memory = units::format_bytes(memory.unwrap_or(0.0));
            let _ = write!(line, ", memory {memory}, CPU {}", units::format_percent(cpu.unwrap_or(0.0)));
        }
        writeln!(text, "  {:<10} {}", if at == 0 { "minute" } else { "" }, terminal::escape(&line))?;
    }
    Ok(())
}

/// The span before a death whose figures are shown.
const MINUTE_NS: i64 = 60_000_000_000;
/// The number of windows that a minute touches.
const WINDOWS_SHOWN_MAX: usize = 7;
/// The length of a window of figures.
const WINDOW_NS: i64 = 10_000_000_000;
/// The shortest time that calls are related to: a process that dies at once has no rate.
const MILLISECOND_NS: i64 = 1_000_000;

fn write_last_calls(
    store: &Store,
    process: i64,
    died: i64,
    arguments: &Crash,
    text: &mut String,
) -> Result<()> {
    let columns =
        ["call_id", "ended_ns", "duration_ms", "outcome", "function", "thread"].map(Column::data).to_vec();
    let Report { rows, .. } = store.read_report(columns, LAST, (process, i64::from(arguments.calls)))?;
    for (at, row) in rows.iter().enumerate() {
        let before = died.saturating_sub(row[1].to_integer().unwrap_or(died)).max(0);
        let line = format!(
            "call {}: {} {} on {}, took {}, ended {} before",
            row[0].to_plain_text(),
            row[4].to_plain_text(),
            row[3].to_plain_text(),
            row[5].to_plain_text(),
            format_milliseconds(&row[2]),
            units::format_nanoseconds(before),
        );
        writeln!(text, "  {:<10} {}", if at == 0 { "last calls" } else { "" }, terminal::escape(&line))?;
    }
    if rows.is_empty() {
        writeln!(text, "  {:<10} no call of it is in the store", "last calls")?;
    }
    Ok(())
}

/// The deepest level that is indented further than its caller.
const DEPTH_SHOWN_MAX: usize = 20;

fn format_milliseconds(cell: &Cell) -> String {
    cell.to_number().map_or_else(|| "-".to_owned(), |ms| units::format_duration(ms.max(0.0) * 1e6))
}
