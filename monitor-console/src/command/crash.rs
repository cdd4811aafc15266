//! `monitor crash`: processes that died, the latest first: when and how each died, which calls were in flight
//! in each thread, and the last calls before. The ring files of dead processes are recovered into the store
//! first.

use std::fmt::Write as _;

use anyhow::Result;

use super::{open_store, print_heading, print_lines};
use crate::arguments::{Common, Crash, FormatName};
use crate::format;
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

const IN_FLIGHT: &str = "
SELECT thread, depth, function, start_ns, elapsed_ms FROM in_flight WHERE process_id = ?1
ORDER BY thread IS NULL, thread, depth, start_ns";

/// Selects the latest calls of a process among the latest 100 000 calls of the store, which are its own
/// unless other processes wrote as many since.
const LAST: &str = "
SELECT call_id, start_ns + duration_ns AS ended_ns, duration_ms, outcome, function, thread FROM calls
WHERE process_id = ?1 AND call_id > (SELECT max(id) FROM call) - 100000
ORDER BY ended_ns DESC LIMIT ?2";

/// Selects a row for each call in flight, and one row for a process that had none.
const DATA: &str = "
SELECT c.*, f.thread, f.depth, f.function, f.start_ns, f.elapsed_ms, f.span_id
FROM (CRASHES) c LEFT JOIN in_flight f ON f.process_id = c.process_id
ORDER BY c.died_ns DESC, c.process_id DESC, f.thread IS NULL, f.thread, f.depth, f.start_ns";

const DATA_COLUMNS: [&str; 14] = [
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
];

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
    let died = row[6].to_integer().or(row[5].to_integer()).unwrap_or(0);
    let title = format!(
        "{} · pid {} on {} · run {} · ✗ died {} ({}), after {}",
        row[2].to_plain_text(),
        row[4].to_plain_text(),
        row[3].to_plain_text(),
        row[0].to_plain_text(),
        units::format_age(died, now),
        units::format_time(died, now),
        units::format_nanoseconds(died.saturating_sub(row[5].to_integer().unwrap_or(died))),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    let how = row[7].as_text().unwrap_or("it left no ring file: what it was doing is not known");
    writeln!(text, "  {:<10} {}", "how", terminal::escape(how))?;
    let process = row[0].to_integer().unwrap_or(0);
    write_calls_in_flight(store, process, text)?;
    write_last_calls(store, process, died, arguments, text)?;
    writeln!(text)?;
    Ok(())
}

fn write_calls_in_flight(store: &Store, process: i64, text: &mut String) -> Result<()> {
    let columns = ["thread", "depth", "function", "start_ns", "elapsed_ms"].map(Column::data).to_vec();
    let Report { rows, .. } = store.read_report(columns, IN_FLIGHT, [process])?;
    if rows.is_empty() {
        writeln!(text, "  {:<10} no call that is known", "running")?;
    }
    let mut thread = None;
    for row in &rows {
        if thread != Some(&row[0]) {
            let name = if row[0].is_null() { "waiting to be polled" } else { &row[0].to_plain_text() };
            writeln!(text, "  {:<10} {}", "running", terminal::escape(name))?;
            thread = Some(&row[0]);
        }
        let depth = usize::try_from(row[1].to_integer().unwrap_or(0)).unwrap_or(0).min(DEPTH_SHOWN_MAX);
        let elapsed = format_milliseconds(&row[4]);
        let line = format!("{}{} for {elapsed}", "  ".repeat(depth), row[2].to_plain_text());
        writeln!(text, "             {}", terminal::escape(&line))?;
    }
    Ok(())
}

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
    cell.to_number().map_or_else(|| "-".to_owned(), |ms| units::format_duration(ms * 1e6))
}
