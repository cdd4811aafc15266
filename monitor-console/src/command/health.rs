//! `monitor health`: the state of the recorder in each process: level, drops by reason, breaker, sizes, cost; and that of
//! the program's parts that stand behind guards.
//!
//! A process reports on itself, and a killed process reports nothing more. Its state is therefore judged
//! here: on this host by whether the process exists, on another host by the time since its last report.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Result;
use monitor_runtime::batch::{HEALTH_COLUMNS, HealthUnit};
use monitor_runtime::{HealthStatus, recover};
use rusqlite::types::Value;

use super::{is_closed_pipe, open_store, print_heading, print_lines, print_note};
use crate::arguments::{Common, FormatName, Health};
use crate::find;
use crate::format;
use crate::model::breakers::{self, Breaker};
use crate::model::events;
use crate::model::guards::{self, GuardState};
use crate::model::health::{self, Overall, Part};
use crate::model::period::Period;
use crate::model::recorders::{self, Recorders};
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::terminal;
use crate::units::{self, format_quantity};

/// The number of latest events shown for each process.
const EVENTS_SHOWN: i64 = 5;
/// The number of runs that a table shows without `--limit`, running ones first.
const RUNS_SHOWN: usize = 10;
/// The columns that the name of a service may take, because names of executables may have 250 characters.
const SERVICE_COLUMNS: usize = 40;
pub(super) fn run(common: &Common, arguments: &Health) -> Result<()> {
    let store = open_store(common)?;
    let mut report = build_report(&store, Period::select(common.since, None, None))?;
    let runs = report.rows.len();
    if common.format != FormatName::Table {
        report.rows.truncate(arguments.limit.map_or(usize::MAX, |limit| limit as usize));
        return format::print(&report, common.style());
    }
    print_heading(common, &store, &format_quantity(runs, "run", "runs"));
    let limit = arguments.limit.map_or(RUNS_SHOWN, |limit| limit as usize);
    let is_ended = |row: &Vec<Cell>| row.last().and_then(Cell::as_text) != Some("running");
    report.rows.sort_by_key(is_ended);
    report.rows.truncate(limit);
    let mut text = String::new();
    for row in &report.rows {
        let process = Process { columns: &report.columns, row, is_wide: common.wide };
        write_process(&store, &process, &mut text)?;
    }
    for next in breakers::read(&store)?.iter().filter(|breaker| breaker.is_of_next()) {
        let (columns, row) = (HOLD_COLUMNS.map(Column::data), to_hold_cells(Some(next)));
        let hold = describe_hold(&Process { columns: &columns, row: &row, is_wide: common.wide });
        writeln!(text, "{}", terminal::escape(&format!("the next process: breaker {hold}")))?;
    }
    print_lines(common, &text)?;
    if runs > limit && arguments.limit.is_none() {
        let more = format_quantity(runs - limit, "more run", "more runs");
        print_note(common, &format!("… {more}: --limit {runs} shows them"));
    }
    Ok(())
}

/// The exit code of a probe that finds something failing.
const FAILING: i32 = 2;

/// Prints the status of each part, and ends the process with the exit code of the worst status. `named` is an error if
/// no store could be named, which counts as a store that cannot be opened. A report that cannot be printed leaves the
/// code as it is.
pub(super) fn probe(common: &Common, named: Result<()>) -> Result<()> {
    let opened = named.and_then(|()| open_store(common));
    if let Ok(store) = &opened {
        store.end_process_with(FAILING);
    }
    let now_ns = units::now_ns();
    let living =
        opened.as_ref().map(|store| recover::find_live(store.path(), &find::list_ring_folders(), now_ns));
    let overall = health::read_any(opened.as_ref(), &living.unwrap_or_default(), now_ns);
    let code = match overall.status() {
        HealthStatus::Ok => 0,
        HealthStatus::Degraded => 1,
        HealthStatus::Failing => FAILING,
    };
    if let Err(error) = print_parts(common, &overall)
        && !is_closed_pipe(&error)
    {
        terminal::print_note(&format!("error: {error:#}"));
    }
    std::process::exit(code)
}

/// Prints a line for each part, or the whole as JSON.
fn print_parts(common: &Common, overall: &Overall) -> Result<()> {
    if common.format == FormatName::Json {
        let mut out = io::stdout().lock();
        writeln!(out, "{:#}", overall.to_json(health::Detail::Full))?;
        Ok(out.flush()?)
    } else {
        let columns = vec![
            Column::titled("status", "STATUS", Unit::Text),
            Column::titled("part", "PART", Unit::Text),
            Column::titled("process_id", "RUN", Unit::Number),
            Column::titled("since_ns", "SINCE", Unit::Age),
            Column::titled("why", "WHY", Unit::Text),
        ];
        let row = |part: &Part| -> Vec<Cell> {
            vec![
                part.status.as_str().to_owned().into(),
                part.name.to_owned().into(),
                part.process.map_or(Value::Null, Value::Integer).into(),
                part.since_ns.map_or(Value::Null, Value::Integer).into(),
                part.why.full.clone().into(),
            ]
        };
        let rows = overall.parts.iter().map(row).collect();
        format::print(&Report { columns, rows }, common.style())
    }
}

/// Joins the processes that ran within the span with their latest report, the one seen last first. The columns of the
/// view determine which reasons for drops there are.
pub(super) fn build_report(store: &Store, period: Period) -> Result<Report> {
    let Recorders { columns, rows } = recorders::read_within(store, period)?;
    let columns = columns.iter().map(|name| Column::data(name)).collect();
    let mut report = Report { columns, rows };
    let now = units::now_ns();
    let breakers = breakers::read(store)?;
    for row in &mut report.rows {
        let process_id = row.first().and_then(Cell::to_integer);
        let breaker = breakers.iter().find(|breaker| breaker.process_id == process_id);
        let state = judge_state(&Process { columns: &report.columns, row, is_wide: false }, now);
        row.extend(to_hold_cells(breaker));
        row.push(state.to_owned().into());
    }
    report.columns.extend(HOLD_COLUMNS.map(Column::data));
    report.columns.push(Column::data("state"));
    Ok(report)
}

/// The columns of the hold that a person set on the breaker of a running process. A process whose breaker is held open writes no
/// report of it.
const HOLD_COLUMNS: [&str; 4] = ["breaker_hold", "breaker_hold_reason", "breaker_hold_by", "breaker_hold_ns"];

/// Returns the cells of these columns, which are NULL if the breaker is not held.
fn to_hold_cells(breaker: Option<&Breaker>) -> [Cell; 4] {
    match breaker.filter(|breaker| breaker.hold.as_deref().is_some_and(|hold| hold != "auto")) {
        Some(Breaker { hold, reason, set_by, set_ns, .. }) => {
            [hold.clone().into(), reason.clone().into(), set_by.clone().into(), (*set_ns).into()]
        }
        None => std::array::from_fn(|_| Value::Null.into()),
    }
}

/// Lists the lines of a row of the report, each a label and a text; none for a process that has not reported yet.
pub(super) fn describe_row(columns: &[Column], row: &[Cell]) -> Vec<(&'static str, String)> {
    let process = Process { columns, row, is_wide: true };
    if process.find_cell("level").is_some() { describe_figures(&process) } else { Vec::new() }
}

/// A row of the report, read by the names of its columns.
struct Process<'a> {
    columns: &'a [Column],
    row: &'a [Cell],
    is_wide: bool,
}

impl Process<'_> {
    /// Returns the cell; `None` if there is no such column, or the cell is NULL.
    fn find_cell(&self, name: &str) -> Option<&Cell> {
        let at = self.columns.iter().position(|column| column.name.as_deref() == Some(name))?;
        self.row.get(at).filter(|cell| !cell.is_null())
    }
    fn read_text(&self, name: &str) -> String {
        self.find_cell(name).map_or_else(|| "-".to_owned(), Cell::to_plain_text)
    }
    fn read_time(&self, name: &str) -> i64 {
        self.find_cell(name).and_then(Cell::to_integer).unwrap_or(0)
    }
    /// Formats a count with its noun: `1 call`, `12.3 k calls`.
    fn format_counted(&self, name: &str, singular: &str, plural: &str) -> String {
        format_quantity(self.format_number(name), singular, plural)
    }
    /// Formats a number in the unit of its column; a column that only another version has is formatted as a count.
    fn format_number(&self, name: &str) -> String {
        let column = HEALTH_COLUMNS.iter().find(|column| column.name == name);
        let format = match column.map(|column| column.unit) {
            Some(HealthUnit::Bytes) => units::format_bytes,
            Some(HealthUnit::Percent) => units::format_percent,
            Some(HealthUnit::Nanoseconds) => units::format_duration,
            _ => units::format_count,
        };
        self.find_cell(name).and_then(Cell::to_number).map_or_else(|| "-".to_owned(), format)
    }
}

/// Judges a process: `running`, `silent`, `gone`, or its ending: `exit`, `crash`.
fn judge_state(process: &Process<'_>, now_ns: i64) -> &'static str {
    match process.read_text("ending").as_str() {
        "exit" => "exit",
        "crash" => "crash",
        _ if health::is_gone(&process.read_text("host"), process.read_time("pid")) => "gone",
        _ if now_ns.saturating_sub(process.read_time("last_seen_ns")) > health::SILENT_AFTER_NS => "silent",
        _ => "running",
    }
}

fn write_process(store: &Store, process: &Process<'_>, text: &mut String) -> Result<()> {
    let now = units::now_ns();
    let seen = units::format_age(process.read_time("last_seen_ns"), now);
    let state = match process.read_text("state").as_str() {
        "running" => {
            format!("running, started {}", units::format_age(process.read_time("started_ns"), now))
        }
        "exit" => format!("ended {}", units::format_age(process.read_time("ended_ns"), now)),
        "crash" => format!("✗ crashed, last seen {seen}"),
        "gone" => format!("✗ killed, last seen {seen}"),
        _ => format!("? silent, last seen {seen}"),
    };
    let service = terminal::escape(&process.read_text("service")).into_owned();
    let service =
        if process.is_wide { service.into() } else { terminal::truncate_end(&service, SERVICE_COLUMNS) };
    let title = format!(
        "{service} · pid {} on {} · run {} · {state}",
        process.read_text("pid"),
        process.read_text("host"),
        process.read_text("process_id"),
    );
    writeln!(text, "{}", terminal::escape(&title))?;
    if process.find_cell("level").is_none() {
        writeln!(text, "  has not reported yet")?;
    } else {
        for (name, value) in describe_figures(process) {
            writeln!(text, "  {name:<10} {}", terminal::escape(&value))?;
        }
    }
    write_guards(store, process, now, text)?;
    write_events(store, process, now, text)?;
    writeln!(text)?;
    Ok(())
}

/// Lists the lines of a process, each a label and a text.
fn describe_figures(process: &Process<'_>) -> Vec<(&'static str, String)> {
    let drops = process.columns.iter().filter_map(|column| {
        let name = column.name.as_deref()?;
        let reason = name.strip_prefix("dropped_")?.replace('_', " ");
        Some(format!("{reason} {}", process.format_number(name)))
    });
    let mut figures = vec![
        (
            "level",
            format!(
                "{}, reported {}",
                process.read_text("level"),
                units::format_age(process.read_time("at_ns"), units::now_ns())
            ),
        ),
        ("breaker", describe_breaker(process)),
        ("writes", describe_writes(process)),
        ("recorded", process.format_counted("recorded", "call", "calls")),
        ("dropped", drops.collect::<Vec<_>>().join(" · ")),
        (
            "folded",
            format!(
                "{} counted without a row",
                process.format_counted("folded_errors", "failure", "failures")
            ),
        ),
        (
            "written",
            format!(
                "{}, {}",
                process.format_counted("rows_written", "row", "rows"),
                process.format_number("bytes_written")
            ),
        ),
        (
            "store",
            format!("{} + {} log", process.format_number("db_bytes"), process.format_number("wal_bytes")),
        ),
        ("own cost", describe_cost(process)),
        ("memory", describe_memory(process)),
    ];
    if process.find_cell("open_spans").is_some_and(|spans| spans.to_integer() != Some(0)) {
        figures.push(("spans", format!("{} open", process.format_counted("open_spans", "span", "spans"))));
    }
    if process.find_cell("off").is_some() {
        figures.push(("off", process.read_text("off")));
    }
    figures
}

/// Describes the memory whose size depends on load: `8.10 MiB: rings 4.00 MiB, backlog 3.10 MiB, …; refused: scratch 12 times`.
fn describe_memory(process: &Process<'_>) -> String {
    let by_part = |name: &str| -> Vec<(String, f64)> {
        let parsed =
            serde_json::from_str::<serde_json::Map<_, _>>(&process.read_text(name)).unwrap_or_default();
        let mut parts: Vec<(String, f64)> =
            parsed.into_iter().filter_map(|(part, number)| Some((part, number.as_f64()?))).collect();
        parts.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        parts
    };
    let held = by_part("memory_parts");
    let held = held
        .iter()
        .map(|(part, bytes)| format!("{} {}", part.replace('_', " "), units::format_bytes(*bytes)));
    let mut text = process.format_number("memory_bytes");
    let held: Vec<String> = held.collect();
    if !held.is_empty() {
        text = format!("{text}: {}", held.join(", "));
    }
    let refused: Vec<String> = (by_part("memory_refused").iter())
        .map(|(part, times)| {
            format!(
                "{} {}",
                part.replace('_', " "),
                format_quantity(units::format_count(*times), "time", "times")
            )
        })
        .collect();
    if !refused.is_empty() {
        text = format!("{text}; refused for want of room: {}", refused.join(", "));
    }
    text
}

/// Describes the cost, in percent of one core: `0.42 % of a core, of 1.00 % allowed: calls and rows 0.31 %, wake-ups and
/// transactions 0.11 %; lowering functions saves 3.40 %; …`.
fn describe_cost(process: &Process<'_>) -> String {
    let number = |name: &str| process.find_cell(name).and_then(Cell::to_number);
    let own = format!(
        "the recorder's own thread {}, a call about {}",
        process.format_number("own_cpu_pct"),
        process.format_number("overhead_ns_per_call")
    );
    let Some(cost) = number("cost_pct") else {
        return format!("{own}; the rest was measured against the process's CPU time by an older version");
    };
    let allowed = match number("budget_pct") {
        Some(_) => format!("of {} allowed", process.format_number("budget_pct")),
        None => "no limit set".to_owned(),
    };
    let fixed = number("fixed_pct").unwrap_or_default();
    let saves = match number("saved_pct") {
        Some(saved) if saved > 0.0 => {
            format!("; lowering functions saves {}, see `monitor sample`", process.format_number("saved_pct"))
        }
        _ => "; no function is lowered for it".to_owned(),
    };
    format!(
        "{} of a core, {allowed}: calls and rows {}, wake-ups and transactions {}{saves}; {own}",
        process.format_number("cost_pct"),
        units::format_percent((cost - fixed).max(0.0)),
        process.format_number("fixed_pct"),
    )
}

/// Describes the breaker: `open, entered 12 s ago, next try in 18 s · opened once · last failure: …`.
fn describe_breaker(process: &Process<'_>) -> String {
    let now = units::now_ns();
    let mut text = process.read_text("breaker");
    let _ = write!(text, ", entered {}", units::format_age(process.read_time("breaker_since_ns"), now));
    let reported = process.find_cell("breaker_held");
    if process.find_cell("breaker_hold").is_some() && reported != process.find_cell("breaker_hold_reason") {
        let _ = write!(text, ", {}", describe_hold(process));
    } else if reported.is_some() {
        let _ = write!(text, ", held: {}", process.read_text("breaker_held"));
    }
    if process.find_cell("breaker_next_try_ns").is_some() {
        let _ =
            write!(text, ", next try {}", units::format_until(process.read_time("breaker_next_try_ns"), now));
    }
    let _ = write!(text, " · opened {}", format_times(process, "breaker_openings"));
    if process.find_cell("last_failure").is_some() {
        let _ = write!(text, " · last failure: {}", process.read_text("last_failure"));
    }
    text
}

/// Describes the hold on a breaker: `held open by monitor:ada 12 s ago: the disk is being replaced`.
fn describe_hold(process: &Process<'_>) -> String {
    let set = units::format_age(process.read_time("breaker_hold_ns"), units::now_ns());
    let [hold, by, reason] =
        ["breaker_hold", "breaker_hold_by", "breaker_hold_reason"].map(|name| process.read_text(name));
    format!("held {hold} by {by} {set}: {reason}")
}

/// Describes the writes: `99.5 % succeeded · 0 % blocked · 3 failed · retried once, 1 in the last minute`.
fn describe_writes(process: &Process<'_>) -> String {
    format!(
        "{} succeeded · {} blocked · {} failed · retried {}, {} in the last minute · {} avoided",
        process.format_number("writes_ok_pct"),
        process.format_number("writes_blocked_pct"),
        process.format_number("writer_errors"),
        format_times(process, "write_retries"),
        process.format_number("write_retries_per_min"),
        process.format_counted("duplicates_avoided", "duplicate", "duplicates"),
    )
}

fn format_times(process: &Process<'_>, name: &str) -> String {
    match process.format_number(name).as_str() {
        "1" => "once".to_owned(),
        number => format!("{number} times"),
    }
}

/// Writes a line for each guard of the process, the worst level first: `rates: unavailable, open, entered 12 s ago · 120 calls,
/// 3 failed, 40 not made · …`.
fn write_guards(store: &Store, process: &Process<'_>, now: i64, text: &mut String) -> Result<()> {
    for guard in guards::read_reported(store, process.read_time("process_id"))? {
        writeln!(text, "  {:<10} {}", "guard", terminal::escape(&describe_guard(&guard, now)))?;
    }
    Ok(())
}

fn describe_guard(guard: &GuardState, now: i64) -> String {
    let GuardState { name, level, state, figures, .. } = guard;
    let mut text = format!("{name}: {level}, {}", state.replace('_', " "));
    if state != "closed" {
        let _ = write!(text, ", entered {}", units::format_age(guard.since_ns, now));
    }
    if let Some(held) = &guard.held {
        let _ = write!(text, ", held: {held}");
    }
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
    let count = |number: i64| units::format_count(number as f64);
    let _ = write!(
        text,
        " · {}, {} failed, {} not made",
        format_quantity(count(figures.calls), "call", "calls"),
        count(figures.failures),
        count(figures.rejected),
    );
    let others = [
        (figures.retries, "retried"),
        (figures.by_cache, "answered from the cache"),
        (figures.by_function, "by another function"),
        (figures.by_value, "by a fixed value"),
    ];
    for (number, what) in others.into_iter().filter(|(number, _)| *number > 0) {
        let _ = write!(text, ", {} {what}", count(number));
    }
    if let Some(failure) = &guard.last_failure {
        let _ = write!(text, " · last failure: {failure}");
    }
    text
}

fn write_events(store: &Store, process: &Process<'_>, now: i64, text: &mut String) -> Result<()> {
    let latest = events::read_latest(store, process.read_time("process_id"), i64::MAX, EVENTS_SHOWN)?;
    for event in latest.iter().rev() {
        let told = format!("{}: {}", event.kind, event.detail);
        writeln!(text, "  {:<10} {}", units::format_age(event.at_ns, now), terminal::escape(&told))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines of a report in which all columns have the value 1, except the one named `changed`, which has
    /// another value, which as a moment lies ahead.
    fn lines(changed: Option<&str>) -> Vec<(&'static str, String)> {
        let columns: Vec<_> = HEALTH_COLUMNS.iter().map(|column| Column::data(column.name)).collect();
        let number = |name| if changed == Some(name) { 1_i64 << 62 } else { 1 };
        let cell = |name, unit| match unit {
            HealthUnit::Text if matches!(name, "memory_parts" | "memory_refused") => {
                Cell::from(format!("{{\"rings\":{}}}", number(name)))
            }
            HealthUnit::Text => Cell::from(number(name).to_string()),
            _ => Cell::from(number(name)),
        };
        let row: Vec<_> = HEALTH_COLUMNS.iter().map(|column| cell(column.name, column.unit)).collect();
        describe_figures(&Process { columns: &columns, row: &row, is_wide: false })
    }

    #[test]
    fn every_column_of_a_report_is_shown() {
        for column in &HEALTH_COLUMNS {
            assert_ne!(lines(Some(column.name)), lines(None), "{} is in no line", column.name);
        }
    }
}
