//! `monitor health`: how the recorder is in each process: level, losses by reason, breaker, sizes, cost.
//!
//! A process reports itself, and one that was killed reports nothing more. So its state is judged here
//! as well: on this host by whether it still exists, elsewhere by how long it has been silent.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use rusqlite::types::Value;

use super::{heading, open};
use crate::arguments::{Common, FormatName};
use crate::format::{self, Pace};
use crate::report::{Cell, Column, Report};
use crate::store::Store;
use crate::{terminal, units};

/// Without a sign of life for this long, a process on another host counts as silent. Reports come
/// every few seconds even where nothing is recorded.
const SILENT_AFTER_NS: i64 = 60_000_000_000;
/// Latest events shown with each process.
const EVENTS_SHOWN: i64 = 5;

const PROCESSES: [&str; 10] = [
    "process_id",
    "run_uuid",
    "service",
    "version",
    "host",
    "pid",
    "started_ns",
    "last_seen_ns",
    "ended_ns",
    "ending",
];

pub(super) fn run(common: &Common) -> Result<()> {
    let store = open(common)?;
    let report = report(&store, common)?;
    if common.format != FormatName::Table {
        return format::print(&report, format::stdout(common.format, Pace::Whole).as_mut());
    }
    heading(common, &store, &super::counted(report.rows.len(), "run"));
    let mut text = String::new();
    for row in &report.rows {
        block(&store, &Process { columns: &report.columns, row }, &mut text)?;
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Whether some process still writes to this store.
pub(super) fn is_anyone_running(store: &Store) -> Result<bool> {
    let columns: Vec<_> = PROCESSES.into_iter().map(Column::data).collect();
    let sql = format!("SELECT {} FROM processes", PROCESSES.join(", "));
    let report = store.report(columns, &sql, [])?;
    let now = units::now_ns();
    let is_running = |row: &Vec<Cell>| state(&Process { columns: &report.columns, row }, now) == "running";
    Ok(report.rows.iter().any(is_running))
}

/// Processes beside their latest report, the one seen last first. Which reasons of loss there are, the
/// view itself tells.
fn report(store: &Store, common: &Common) -> Result<Report> {
    let known = store.columns("SELECT * FROM health LIMIT 0")?;
    let figures: Vec<_> = known.iter().map(String::as_str).filter(|name| *name != "process_id").collect();
    let quoted: Vec<_> = figures.iter().map(|name| format!("h.\"{}\"", name.replace('"', "\"\""))).collect();
    let sql = format!(
        "SELECT p.{}, {} FROM processes p LEFT JOIN health h ON h.process_id = p.process_id
         WHERE p.last_seen_ns >= ?1 ORDER BY p.last_seen_ns DESC, p.process_id DESC",
        PROCESSES.join(", p."),
        quoted.join(", ")
    );
    let columns: Vec<_> = PROCESSES.into_iter().chain(figures).map(Column::data).collect();
    let now = units::now_ns();
    let since = common.since.map_or(i64::MIN, |span| units::before(now, span));
    let mut report = store.report(columns, &sql, [since])?;
    for row in &mut report.rows {
        let state = state(&Process { columns: &report.columns, row }, now);
        row.push(state.to_owned().into());
    }
    report.columns.push(Column::data("state"));
    Ok(report)
}

/// A row by the names of its columns.
struct Process<'a> {
    columns: &'a [Column],
    row: &'a [Cell],
}

impl Process<'_> {
    fn cell(&self, name: &str) -> Option<&Cell> {
        let at = self.columns.iter().position(|column| column.name.as_deref() == Some(name))?;
        self.row.get(at).filter(|cell| cell.value != Value::Null)
    }
    fn text(&self, name: &str) -> String {
        match self.cell(name).map(|cell| &cell.value) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Real(number)) => number.to_string(),
            _ => "-".to_owned(),
        }
    }
    fn moment(&self, name: &str) -> i64 {
        match self.cell(name).map(|cell| &cell.value) {
            Some(Value::Integer(ns)) => *ns,
            _ => 0,
        }
    }
    fn figure(&self, name: &str, unit: fn(f64) -> String) -> String {
        self.cell(name).and_then(Cell::number).map_or_else(|| "-".to_owned(), unit)
    }
}

/// `running`, `silent`, `gone`, or how it ended: `exit`, `crash`.
fn state(process: &Process<'_>, now_ns: i64) -> &'static str {
    match process.text("ending").as_str() {
        "exit" => "exit",
        "crash" => "crash",
        _ if is_gone(process) => "gone",
        _ if now_ns.saturating_sub(process.moment("last_seen_ns")) > SILENT_AFTER_NS => "silent",
        _ => "running",
    }
}

/// Whether it ran on this host and exists no more. Only Linux tells without asking the process.
fn is_gone(process: &Process<'_>) -> bool {
    let system = rustix::system::uname();
    let is_here = system.nodename().to_str().is_ok_and(|name| name == process.text("host"));
    is_here && Path::new("/proc/self").exists() && !Path::new("/proc").join(process.text("pid")).exists()
}

fn block(store: &Store, process: &Process<'_>, text: &mut String) -> Result<()> {
    let now = units::now_ns();
    let seen = units::ago(process.moment("last_seen_ns"), now);
    let state = match process.text("state").as_str() {
        "running" => {
            format!("running, started {}", units::ago(process.moment("started_ns"), now))
        }
        "exit" => format!("ended {}", units::ago(process.moment("ended_ns"), now)),
        "crash" => format!("✗ crashed, last seen {seen}"),
        "gone" => format!("✗ killed, last seen {seen}"),
        _ => format!("? silent, last seen {seen}"),
    };
    let title = format!(
        "{} · pid {} on {} · run {} · {state}",
        process.text("service"),
        process.text("pid"),
        process.text("host"),
        process.text("process_id"),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    if process.cell("level").is_none() {
        writeln!(text, "  has not reported yet")?;
    } else {
        for (name, value) in figures(process) {
            writeln!(text, "  {name:<10} {}", terminal::escape(&value))?;
        }
    }
    events(store, process, now, text)?;
    writeln!(text)?;
    Ok(())
}

fn figures(process: &Process<'_>) -> Vec<(&'static str, String)> {
    let drops = process.columns.iter().filter_map(|column| {
        let name = column.name.as_deref()?;
        let reason = name.strip_prefix("dropped_")?.replace('_', " ");
        Some(format!("{reason} {}", process.figure(name, units::count)))
    });
    vec![
        (
            "level",
            format!(
                "{}, reported {}",
                process.text("level"),
                units::ago(process.moment("at_ns"), units::now_ns())
            ),
        ),
        ("breaker", breaker(process)),
        ("writes", writes(process)),
        ("recorded", format!("{} calls", process.figure("recorded", units::count))),
        ("dropped", drops.collect::<Vec<_>>().join(" · ")),
        (
            "folded",
            format!("{} failures counted without a row", process.figure("folded_errors", units::count)),
        ),
        (
            "written",
            format!(
                "{} rows, {}",
                process.figure("rows_written", units::count),
                process.figure("bytes_written", units::bytes)
            ),
        ),
        (
            "store",
            format!(
                "{} + {} log",
                process.figure("db_bytes", units::bytes),
                process.figure("wal_bytes", units::bytes)
            ),
        ),
        (
            "own cost",
            format!(
                "{} of the process's CPU, of {} allowed; own thread {} of a core, about {} a call",
                process.figure("cost_pct", units::percent),
                process.figure("budget_pct", units::percent),
                process.figure("own_cpu_pct", units::percent),
                process.figure("overhead_ns_per_call", units::duration)
            ),
        ),
    ]
}

/// How the breaker stands: `open, entered 12 s ago, next try in 18 s · opened once · last failure: …`.
fn breaker(process: &Process<'_>) -> String {
    let now = units::now_ns();
    let mut text = process.text("breaker");
    let _ = write!(text, ", entered {}", units::ago(process.moment("breaker_since_ns"), now));
    if process.cell("breaker_held").is_some() {
        let _ = write!(text, ", held: {}", process.text("breaker_held"));
    }
    if process.cell("breaker_next_try_ns").is_some() {
        let _ = write!(text, ", next try {}", units::ago(process.moment("breaker_next_try_ns"), now));
    }
    let _ = write!(text, " · opened {}", times(process, "breaker_openings"));
    if process.cell("last_failure").is_some() {
        let _ = write!(text, " · last failure: {}", process.text("last_failure"));
    }
    text
}

/// What came of the writes: `99.5% succeeded · 0% blocked · 3 failed · 12 retries, 2 in the last minute`.
fn writes(process: &Process<'_>) -> String {
    format!(
        "{} succeeded · {} blocked · {} failed · retried {}, {} in the last minute · sent twice and kept once: {}",
        process.figure("writes_ok_pct", units::percent),
        process.figure("writes_blocked_pct", units::percent),
        process.figure("writer_errors", units::count),
        times(process, "write_retries"),
        process.figure("write_retries_per_min", units::count),
        process.figure("duplicates_avoided", units::count),
    )
}

fn times(process: &Process<'_>, name: &str) -> String {
    match process.figure(name, units::count).as_str() {
        "1" => "once".to_owned(),
        number => format!("{number} times"),
    }
}

fn events(store: &Store, process: &Process<'_>, now: i64, text: &mut String) -> Result<()> {
    let columns = ["at_ns", "kind", "detail"].into_iter().map(Column::data).collect();
    let sql = "SELECT at_ns, kind, detail FROM events WHERE process_id = ?1 ORDER BY at_ns DESC LIMIT ?2";
    let report = store.report(columns, sql, (process.moment("process_id"), EVENTS_SHOWN))?;
    for row in report.rows.iter().rev() {
        if let [Value::Integer(at), Value::Text(kind), Value::Text(detail)] =
            [&row[0].value, &row[1].value, &row[2].value].map(Clone::clone)
        {
            writeln!(
                text,
                "  {:<10} {}",
                units::ago(at, now),
                terminal::escape(&format!("{kind}: {detail}"))
            )?;
        }
    }
    Ok(())
}
