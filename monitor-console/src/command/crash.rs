//! `monitor crash`: processes that died, the latest first: when and how, what was running in each thread,
//! the last calls before. What they left is brought into the store before it is looked at.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use rusqlite::types::Value;

use super::{counted, heading, open};
use crate::arguments::{Common, Crash, FormatName};
use crate::format::{self, Pace};
use crate::report::{Cell, Column, Report};
use crate::store::Store;
use crate::{terminal, units};

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

/// The latest calls of a process: its calls have the latest ids, as long as it ran alone.
const LAST: &str = "
SELECT call_id, start_ns + duration_ns AS ended_ns, duration_ms, outcome, function, thread FROM calls
WHERE process_id = ?1 AND call_id > (SELECT max(id) FROM call) - 100000
ORDER BY ended_ns DESC LIMIT ?2";

/// One row for each call that was under way, and one for a process that had none.
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
    let store = open(common)?;
    let since = common.since.map_or(i64::MIN, |span| units::before(units::now_ns(), span));
    let limit = i64::from(arguments.limit);
    if common.format != FormatName::Table {
        let columns = DATA_COLUMNS.into_iter().map(Column::data).collect();
        let report = store.report(columns, &DATA.replace("CRASHES", CRASHES), (since, limit))?;
        return format::print(&report, format::stdout(common.format, Pace::Whole).as_mut());
    }
    let columns = DATA_COLUMNS[..8].iter().map(|name| Column::data(name)).collect();
    let crashes = store.report(columns, CRASHES, (since, limit))?;
    let found = match crashes.rows.len() {
        0 => "no process died".to_owned(),
        1 => "1 process died".to_owned(),
        more => format!("{more} processes died"),
    };
    heading(common, &store, &found);
    let mut text = String::new();
    for row in &crashes.rows {
        block(&store, row, arguments, &mut text)?;
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn block(store: &Store, row: &[Cell], arguments: &Crash, text: &mut String) -> Result<()> {
    let now = units::now_ns();
    let died = number(&row[6]).or(number(&row[5])).unwrap_or(0);
    let title = format!(
        "{} · pid {} on {} · run {} · ✗ died {} ({}), after {}",
        shown(&row[2]),
        shown(&row[4]),
        shown(&row[3]),
        shown(&row[0]),
        units::ago(died, now),
        units::clock(died, now),
        duration(died.saturating_sub(number(&row[5]).unwrap_or(died))),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    let how = match &row[7].value {
        Value::Text(how) => how.clone(),
        _ => "left no ring file: what it was doing is not known".to_owned(),
    };
    writeln!(text, "  {:<10} {}", "how", terminal::escape(&how))?;
    let process = number(&row[0]).unwrap_or(0);
    in_flight(store, process, text)?;
    last_calls(store, process, died, arguments, text)?;
    writeln!(text)?;
    Ok(())
}

fn in_flight(store: &Store, process: i64, text: &mut String) -> Result<()> {
    let columns = ["thread", "depth", "function", "start_ns", "elapsed_ms"].map(Column::data).to_vec();
    let Report { rows, .. } = store.report(columns, IN_FLIGHT, [process])?;
    if rows.is_empty() {
        writeln!(text, "  {:<10} nothing that is known of", "running")?;
    }
    let mut thread = None;
    for row in &rows {
        if thread != Some(&row[0]) {
            let name =
                if row[0].value == Value::Null { "waiting to be polled".to_owned() } else { shown(&row[0]) };
            writeln!(text, "  {:<10} {}", "running", terminal::escape(&name))?;
            thread = Some(&row[0]);
        }
        let depth = usize::try_from(number(&row[1]).unwrap_or(0)).unwrap_or(0).min(DEPTH_SHOWN);
        let elapsed = row[4].number().map_or_else(|| "-".to_owned(), |ms| units::duration(ms * 1e6));
        let line = format!("{}{} for {elapsed}", "  ".repeat(depth), shown(&row[2]));
        writeln!(text, "             {}", terminal::escape(&line))?;
    }
    Ok(())
}

fn last_calls(store: &Store, process: i64, died: i64, arguments: &Crash, text: &mut String) -> Result<()> {
    let columns =
        ["call_id", "ended_ns", "duration_ms", "outcome", "function", "thread"].map(Column::data).to_vec();
    let Report { rows, .. } = store.report(columns, LAST, (process, i64::from(arguments.calls)))?;
    for (at, row) in rows.iter().enumerate() {
        let before = died.saturating_sub(number(&row[1]).unwrap_or(died)).max(0);
        let line = format!(
            "call {}: {} {} on {}, took {}, ended {} before",
            shown(&row[0]),
            shown(&row[4]),
            shown(&row[3]),
            shown(&row[5]),
            row[2].number().map_or_else(|| "-".to_owned(), |ms| units::duration(ms * 1e6)),
            duration(before),
        );
        writeln!(text, "  {:<10} {}", if at == 0 { "last calls" } else { "" }, terminal::escape(&line))?;
    }
    if rows.is_empty() {
        writeln!(text, "  {:<10} {}", "last calls", counted(0, "row"))?;
    }
    Ok(())
}

/// Deeper calls are not moved in any further.
const DEPTH_SHOWN: usize = 20;

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn duration(ns: i64) -> String {
    units::duration(ns as f64)
}

fn number(cell: &Cell) -> Option<i64> {
    match cell.value {
        Value::Integer(number) => Some(number),
        _ => None,
    }
}

fn shown(cell: &Cell) -> String {
    match &cell.value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        _ => "-".to_owned(),
    }
}
