//! `monitor crash`: processes that died, the latest first: when and how each died, which panics it survived
//! before, which calls were in flight on each thread and in each task, the last minute in figures, and the last
//! calls before. The ring files of dead processes are recovered into the store
//! first.

use std::cmp::Reverse;
use std::fmt::Write as _;

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use super::in_flight::{self, InFlightCall};
use super::{open_store, print_heading, print_lines};
use crate::arguments::{Common, Crash as Crashes, FormatName};
use crate::format;
use crate::model::crashes::{self, Crash, Flight};
use crate::model::period::Period;
use crate::model::resources::{self, Figure};
use crate::model::{events, metrics};
use crate::report::{Cell, Column, Report};
use crate::store::Store;
use crate::terminal;
use crate::units::{self, format_quantity};

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

pub(super) fn run(common: &Common, arguments: &Crashes) -> Result<()> {
    let store = open_store(common)?;
    let since = units::start_of_span(common.since);
    let limit = i64::from(arguments.limit);
    let crashes = crashes::read(&store, since, limit)?;
    if common.format != FormatName::Table {
        return format::print(&build_report(&store, crashes)?, common.style());
    }
    let title = match crashes.len() {
        0 => "no process died".to_owned(),
        number => format_quantity(number, "process died", "processes died"),
    };
    print_heading(common, &store, &title);
    let mut text = String::new();
    for crash in &crashes {
        write_process(&store, crash, arguments, &mut text)?;
    }
    print_lines(common, &text)
}

/// Builds a row for each call in flight, and one row for a process that had none.
fn build_report(store: &Store, mut crashes: Vec<Crash>) -> Result<Report> {
    crashes.sort_by_key(|crash| Reverse((crash.died_ns, crash.process_id)));
    let mut rows = Vec::new();
    for crash in &crashes {
        let flights = crashes::read_flights(store, crash.process_id)?;
        if flights.is_empty() {
            rows.push(to_row(crash, Flight::default()));
        }
        rows.extend(flights.into_iter().map(|flight| to_row(crash, flight)));
    }
    Ok(Report { columns: DATA_COLUMNS.into_iter().map(Column::data).collect(), rows })
}

/// Returns a process and a call in flight as a row with [`DATA_COLUMNS`].
fn to_row(crash: &Crash, flight: Flight) -> Vec<Cell> {
    vec![
        crash.process_id.into(),
        crash.run_uuid.clone().into(),
        crash.service.clone().into(),
        crash.host.clone().into(),
        crash.pid.into(),
        crash.started_ns.into(),
        crash.died_ns.into(),
        crash.how.clone().into(),
        flight.thread.into(),
        flight.depth.into(),
        flight.function.into(),
        flight.start_ns.into(),
        flight.elapsed_ms.into(),
        flight.span_id.into(),
        flight.thread_id.into(),
        flight.parent_id.into(),
        flight.waiting_since_ns.into(),
        flight.args.into(),
    ]
}

fn write_process(store: &Store, crash: &Crash, arguments: &Crashes, text: &mut String) -> Result<()> {
    let now = units::now_ns();
    let (process, started) = (crash.process_id, crash.started_ns);
    let died = crash.died_ns.unwrap_or(started);
    let title = format!(
        "{} · pid {} on {} · run {process} · ✗ died {} ({}), after {}",
        crash.service,
        crash.pid,
        crash.host,
        units::format_age(died, now),
        units::format_time(died, now),
        units::format_nanoseconds(died.saturating_sub(started).max(0)),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    let how = crash.how.as_deref().unwrap_or("it left no ring file: what it was doing is not known");
    writeln!(text, "  {:<10} {}", "how", terminal::escape(how))?;
    write_panics(store, process, died, text)?;
    write_calls_in_flight(store, process, died, text)?;
    write_last_minute(store, process, (started, died), text)?;
    write_metrics(store, process, died, text)?;
    write_last_calls(store, process, died, arguments, text)?;
    writeln!(text)?;
    Ok(())
}

/// The latest panics that are shown.
const PANICS_SHOWN: i64 = 5;

fn write_panics(store: &Store, process: i64, died: i64, text: &mut String) -> Result<()> {
    for (at, panic) in events::read_latest_kind(store, process, "panic", PANICS_SHOWN)?.iter().enumerate() {
        let before = died.saturating_sub(panic.at_ns).max(0);
        let line = format!("{} before: {}", units::format_nanoseconds(before), panic.detail);
        writeln!(text, "  {:<10} {}", if at == 0 { "panics" } else { "" }, terminal::escape(&line))?;
    }
    Ok(())
}

/// Writes the stack of each thread and the suspended calls of each task, with arguments.
fn write_calls_in_flight(store: &Store, process: i64, died: i64, text: &mut String) -> Result<()> {
    let flights = crashes::read_flights(store, process)?;
    if flights.is_empty() {
        writeln!(text, "  {:<10} no call that is known", "running")?;
    }
    let calls: Vec<InFlightCall> = flights.iter().map(to_in_flight).collect();
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
        let line = describe_call(&flights[place.call], died);
        let indent = "  ".repeat(place.depth.min(DEPTH_SHOWN_MAX));
        writeln!(text, "             {indent}{}", terminal::escape(&line))?;
    }
    Ok(())
}

fn to_in_flight(flight: &Flight) -> InFlightCall {
    InFlightCall {
        thread: flight.thread.clone().map(|name| (flight.thread_id, name)),
        depth: flight.depth.unwrap_or(0),
        start_ns: flight.start_ns.unwrap_or(0),
        span_id: flight.span_id.unwrap_or(0),
        parent_id: flight.parent_id,
    }
}

/// Describes a call: function, time, how long it has waited for its next poll, and arguments.
fn describe_call(flight: &Flight, died: i64) -> String {
    let function = flight.function.as_deref().unwrap_or("-");
    let mut line = format!("{function} for {}", format_milliseconds(flight.elapsed_ms));
    if let Some(since) = flight.waiting_since_ns {
        let waited = units::format_nanoseconds(died.saturating_sub(since).max(0));
        let _ = write!(line, ", last polled {waited} before");
    }
    if let Some(arguments) = &flight.args {
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
    let period = Period { from_ns: died.saturating_sub(MINUTE_NS).max(0), until_ns: died };
    let windows = crashes::count_calls(store, process, period)?;
    let mut resources = resources::read_points(store, period)?;
    resources.retain(|point| point.process_id == process);
    let starts = windows.iter().map(|window| window.start_ns);
    let first = starts.chain(resources.iter().map(|point| point.at_ns)).min();
    let first = first.unwrap_or(i64::MAX).max(period.from_ns);
    // A window without calls has no row.
    let begins = (first / WINDOW_NS..=died / WINDOW_NS).map(|window| window * WINDOW_NS);
    for (at, begin) in begins.take(WINDOWS_SHOWN_MAX).enumerate() {
        let counts = windows.iter().find(|window| window.start_ns == begin);
        let (calls, failed) = counts.map_or((0.0, 0.0), |counts| (counts.calls as f64, counts.failed as f64));
        let (from, to) = (begin.max(started).min(died), begin.saturating_add(WINDOW_NS).min(died));
        let seconds = to.saturating_sub(from).max(MILLISECOND_NS) as f64 / 1e9;
        let mut line = format!(
            "from {} before: {} calls/s, {} failed",
            units::format_nanoseconds(died.saturating_sub(from)),
            units::format_count((calls / seconds).round()),
            units::format_count(failed),
        );
        let window = begin..begin.saturating_add(WINDOW_NS);
        if let Some(sample) = resources.iter().rfind(|sample| window.contains(&sample.at_ns)) {
            let memory = units::format_bytes(sample.figure(Figure::Memory));
            let cpu = units::format_percent(sample.figure(Figure::Cpu));
            let _ = write!(line, ", memory {memory}, CPU {cpu}");
        }
        writeln!(text, "  {:<10} {}", if at == 0 { "minute" } else { "" }, terminal::escape(&line))?;
    }
    Ok(())
}

/// The span before a death whose figures are shown.
const MINUTE_NS: i64 = 60_000_000_000;
/// The number of windows that a minute touches.
const WINDOWS_SHOWN_MAX: usize = 7;
/// The shortest time that calls are related to: a process that dies at once has no rate.
const MILLISECOND_NS: i64 = 1_000_000;

fn write_last_calls(
    store: &Store,
    process: i64,
    died: i64,
    arguments: &Crashes,
    text: &mut String,
) -> Result<()> {
    let calls = crashes::read_last_calls(store, process, i64::from(arguments.calls))?;
    for (at, call) in calls.iter().enumerate() {
        let line = format!(
            "call {}: {} {} on {}, took {}, ended {} before",
            call.call_id,
            call.function,
            call.outcome,
            call.thread,
            format_milliseconds(call.duration_ms),
            units::format_nanoseconds(died.saturating_sub(call.ended_ns).max(0)),
        );
        writeln!(text, "  {:<10} {}", if at == 0 { "last calls" } else { "" }, terminal::escape(&line))?;
    }
    if calls.is_empty() {
        writeln!(text, "  {:<10} no call of it is in the store", "last calls")?;
    }
    Ok(())
}

/// The deepest level that is indented further than its caller.
const DEPTH_SHOWN_MAX: usize = 20;

fn format_milliseconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| units::format_duration(ms.max(0.0) * 1e6))
}
