//! `monitor top`: functions, the costliest first, once or refreshed every second.
//!
//! Without `--since` the figures are those of the view `functions`. With it they are summed from
//! windows of 10 s, counts as well as histograms.

mod windows;

use std::time::Duration;

use anyhow::Result;
use rusqlite::types::Value;

use super::{heading, open};
use crate::arguments::{Common, FormatName, TopKey, TopOptions};
use crate::format::{self, Pace};
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::{terminal, units};

/// The columns of the view, in its order, and how the table calls them.
const COLUMNS: [(&str, &str, Unit); 19] = [
    ("function", "FUNCTION", Unit::Name),
    ("file", "", Unit::Text),
    ("line", "", Unit::Number),
    ("group_name", "", Unit::Text),
    ("calls", "CALLS", Unit::Count),
    ("errors", "", Unit::Count),
    ("panics", "", Unit::Count),
    ("cancelled", "", Unit::Count),
    ("error_pct", "", Unit::Percent),
    ("recorded", "", Unit::Count),
    ("dropped", "", Unit::Count),
    ("total_ms", "TOTAL", Unit::Milliseconds),
    ("mean_ms", "MEAN", Unit::Milliseconds),
    ("p50_ms", "P50", Unit::Milliseconds),
    ("p95_ms", "P95", Unit::Milliseconds),
    ("p99_ms", "P99", Unit::Milliseconds),
    ("max_ms", "MAX", Unit::Milliseconds),
    ("sample_rate", "", Unit::Number),
    ("estimated", "", Unit::Number),
];

/// Columns that rest on the calls that were timed, where not all were.
const OF_DURATIONS: [&str; 6] = ["total_ms", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"];

/// Pause between two frames of `--watch`.
const REFRESH: Duration = Duration::from_secs(1);
/// Lines of a frame that are not functions: heading, gap, titles, the cursor's line.
const LINES_AROUND: usize = 4;

pub(super) fn run(common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<()> {
    if options.watch {
        return watch(common, pattern, options);
    }
    let store = open(common)?;
    heading(common, &store, &scope(common, &store)?);
    let report = report(&store, common, pattern, options)?;
    if let (true, Some(pattern)) = (report.rows.is_empty(), pattern) {
        super::calls::warn_of_unknown(common, &store, pattern)?;
    }
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

/// The functions of a store, without a heading.
pub(super) fn show(common: &Common, store: &Store) -> Result<()> {
    let report = report(store, common, None, &TopOptions::default())?;
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

/// Draws a frame each second: over the last one on a terminal, after it anywhere else.
fn watch(common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<()> {
    terminal::end_on_interrupt()?;
    let mut options = options.clone();
    let mut is_first = true;
    loop {
        let rows = terminal::size().map(|(_, rows)| rows.saturating_sub(LINES_AROUND));
        let room =
            rows.and_then(|rows| u32::try_from(rows).ok()).filter(|_| common.format == FormatName::Table);
        options.limit = [options.limit, room].into_iter().flatten().min();
        match frame(common, pattern, &options) {
            Ok(frame) => draw(&frame, is_first, common.format)?,
            Err(error) if is_first => return Err(error),
            // A store being replaced is back in a moment; the last frame stands until then.
            Err(error) => terminal::remark(&format!("waiting for the store: {error:#}")),
        }
        is_first = false;
        if terminal::is_closed_within(REFRESH) {
            return Ok(());
        }
    }
}

fn frame(common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<String> {
    let store = open(common)?;
    let mut text = Vec::new();
    if common.format == FormatName::Table {
        let heading = format!("store: {} · {}", store.path().display(), scope(common, &store)?);
        text.extend_from_slice(terminal::escape(&heading).as_bytes());
        text.extend_from_slice(b"\n\n");
    }
    let report = report(&store, common, pattern, options)?;
    format::print(&report, format::over(common.format, Pace::Whole, &mut text).as_mut())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn draw(frame: &str, is_first: bool, format: FormatName) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if terminal::size().is_some() && format == FormatName::Table {
        // Home, each line cleared behind its text, everything below cleared: nothing flickers.
        let start = if is_first { "\u{1b}[2J\u{1b}[H" } else { "\u{1b}[H" };
        write!(out, "{start}{}\u{1b}[J", frame.replace('\n', "\u{1b}[K\n"))?;
    } else {
        let gap = if is_first || format != FormatName::Table { "" } else { "\n" };
        write!(out, "{gap}{frame}")?;
    }
    Ok(out.flush()?)
}

/// `3 processes · last 6 h`.
fn scope(common: &Common, store: &Store) -> Result<String> {
    let since = common.since.map_or(i64::MIN, |span| units::before(units::now_ns(), span));
    let number = store.first("SELECT COUNT(*) FROM processes WHERE last_seen_ns >= ?1", [since])?;
    let number = match number.as_deref() {
        Some([Cell { value: Value::Integer(number), .. }]) => *number,
        _ => 0,
    };
    let noun = if number == 1 { "process" } else { "processes" };
    #[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
    let span = common.since.map_or("6 h".to_owned(), |span| units::duration(span.as_nanos() as f64));
    let span = span.replacen(".00 ", " ", 1);
    Ok(format!("{number} {noun} · last {span}"))
}

fn report(store: &Store, common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<Report> {
    let key = options.sort.unwrap_or(TopKey::Total);
    let mut rows = match common.since {
        None => view(store, pattern)?,
        Some(span) => windows::functions(store, pattern, units::before(units::now_ns(), span))?,
    };
    let weight = |row: &Vec<Cell>| match key {
        TopKey::Errors => failed(row).number(),
        key => named(row, column(key)).number(),
    };
    let name = |row: &Vec<Cell>| match &named(row, "function").value {
        Value::Text(name) => name.clone(),
        _ => String::new(),
    };
    rows.sort_by(|a, b| {
        let largest_first = weight(b).unwrap_or(-1.0).total_cmp(&weight(a).unwrap_or(-1.0));
        largest_first.then_with(|| name(a).cmp(&name(b)))
    });
    rows.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
    for row in &mut rows {
        mark_estimates(row);
        row.insert(CALLS_AT + 1, failed(row));
    }
    Ok(Report { columns: columns(), rows })
}

fn view(store: &Store, pattern: Option<&Pattern>) -> Result<Vec<Vec<Cell>>> {
    let names: Vec<_> = COLUMNS.iter().map(|(name, ..)| *name).collect();
    let sql = format!(
        "SELECT {} FROM functions WHERE ?1 IS NULL OR function GLOB ?1 OR function GLOB ?2",
        names.join(", ")
    );
    let columns = names.iter().map(|name| Column::data(name)).collect();
    Ok(store.report(columns, &sql, globs(pattern))?.rows)
}

fn globs(pattern: Option<&Pattern>) -> [Option<String>; 2] {
    pattern.map(|pattern| pattern.globs().map(Some)).unwrap_or_default()
}

/// Where the number of calls stands; the table shows the failed ones beside it.
const CALLS_AT: usize = 4;

fn columns() -> Vec<Column> {
    let mut columns: Vec<_> = COLUMNS
        .into_iter()
        .map(
            |(name, title, unit)| {
                if title.is_empty() { Column::data(name) } else { Column::both(name, title, unit) }
            },
        )
        .collect();
    columns.insert(CALLS_AT + 1, Column::table("FAILED", Unit::Count));
    columns
}

fn column(key: TopKey) -> &'static str {
    match key {
        TopKey::Total => "total_ms",
        TopKey::Calls => "calls",
        TopKey::Mean => "mean_ms",
        TopKey::P50 => "p50_ms",
        TopKey::P95 => "p95_ms",
        TopKey::P99 => "p99_ms",
        TopKey::Max => "max_ms",
        TopKey::Errors => "errors",
    }
}

fn named<'a>(row: &'a [Cell], name: &str) -> &'a Cell {
    &row[COLUMNS.iter().position(|(column, ..)| *column == name).unwrap_or(0)]
}

/// Marks figures of durations where some calls were only counted.
fn mark_estimates(row: &mut [Cell]) {
    if named(row, "estimated").number() != Some(1.0) {
        return;
    }
    for (cell, (name, ..)) in row.iter_mut().zip(COLUMNS) {
        cell.is_estimate |= OF_DURATIONS.contains(&name);
    }
}

/// Calls that ended in any other way than `ok`.
fn failed(row: &[Cell]) -> Cell {
    let sum: f64 =
        ["errors", "panics", "cancelled"].iter().filter_map(|name| named(row, name).number()).sum();
    sum.into()
}
