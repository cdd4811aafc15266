//! `monitor top`: functions by total time, printed once or refreshed every second.
//!
//! Without `--since` counts and histograms are summed from half hours, as the view `functions` sums them. With it, they
//! are summed from windows of 10 s.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use monitor_runtime::store::schema::WINDOW_NS;
use rusqlite::types::Value;

use super::{describe_absence, open_stores, print_heading_of, require_known_in};
use crate::arguments::{Common, FormatName, TopKey, TopOptions};
use crate::format::{self, Pace};
use crate::model::period::Period;
use crate::model::recent::{self, Recent};
use crate::model::sums::{self, Span, Sums};
use crate::model::{processes, windows};
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::{Stores, store_column};
use crate::units::format_quantity;
use crate::{sparkline, terminal, units};

/// The columns of the view `functions`: name, title in the table (empty if the table leaves it out), unit.
const COLUMNS: [(&str, &str, Unit); 23] = [
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
    ("self_ms", "SELF", Unit::Milliseconds),
    ("mean_ms", "MEAN", Unit::Milliseconds),
    ("p50_ms", "P50", Unit::Milliseconds),
    ("p95_ms", "P95", Unit::Milliseconds),
    ("p99_ms", "P99", Unit::Milliseconds),
    ("max_ms", "MAX", Unit::Milliseconds),
    ("sample_rate", "", Unit::Number),
    ("estimated", "", Unit::Number),
    ("busy_ms", "", Unit::Milliseconds),
    ("cancelled_ms", "", Unit::Milliseconds),
    ("roots", "", Unit::Count),
];

/// Columns that are estimates if some calls of the function were counted but not timed.
const DURATION_COLUMNS: [&str; 9] =
    ["total_ms", "self_ms", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms", "busy_ms", "cancelled_ms"];

/// The first schema version with self times and the number of roots. Columns that a store lacks are empty.
const FIRST_VERSION_WITH_SELF_TIMES: i64 = 3;

/// The pause between two frames of `--watch`.
const REFRESH: Duration = Duration::from_secs(1);
/// The pause between two looks at the size of the terminal.
const SIZE_PAUSE: Duration = Duration::from_millis(100);
/// Lines of a frame that show no function: heading, blank line, titles, and the line of the cursor.
const OTHER_LINES: usize = 4;

pub(super) fn run(common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<()> {
    if options.watch {
        return watch(common, pattern, options);
    }
    let stores = open_stores(common)?;
    let report = build_report(&stores, select_span(common), pattern, options, Rates::LeftOut)?;
    let mut scope = describe_scope(common, &stores)?;
    if report.rows.is_empty() {
        require_known_in(&stores, pattern)?;
        scope += &describe_absence(common, &stores.list())?;
    }
    print_heading_of(common, &stores, &scope);
    format::print(&report, common.style())
}

/// The choice whether a report has the rates of the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rates {
    Shown,
    LeftOut,
}

/// Prints the functions of a store without a heading.
pub(super) fn show(common: &Common, stores: &Stores) -> Result<()> {
    let report = build_report(stores, select_span(common), None, &TopOptions::default(), Rates::LeftOut)?;
    format::print(&report, common.style())
}

/// Returns the span that `--since` selects.
fn select_span(common: &Common) -> Span {
    Span::from_period(Period::select(common.since, None, None))
}

/// Reads the functions with the longest total time within a span. The columns about the last ten minutes are left out
/// of a span that has ended, because these minutes lie after the span.
pub(super) fn read_report(stores: &Stores, period: Period, lines: usize) -> Result<Report> {
    let limit = u32::try_from(lines).ok();
    let options = TopOptions { limit, ..TopOptions::default() };
    let mut report = build_report(stores, Span::from_period(period), None, &options, Rates::LeftOut)?;
    if period.has_ended(units::now_ns()) {
        let is_recent = |column: &&mut Column| {
            column.title.as_ref().is_some_and(|title| RECENT_TITLES.contains(&title.as_str()))
        };
        report.columns.iter_mut().filter(is_recent).for_each(|column| column.title = None);
    }
    Ok(report)
}

/// Draws a frame of functions each second.
fn watch(common: &Common, pattern: Option<&Pattern>, options: &TopOptions) -> Result<()> {
    repeat(common, |size| render_frame(common, pattern, options, size))
}

/// Draws a frame each second: over the previous one on a terminal, below it otherwise. `render` gets the columns and
/// rows of the terminal, if there is one.
pub(super) fn repeat(
    common: &Common,
    render: impl Fn(Option<(usize, usize)>) -> Result<String>,
) -> Result<()> {
    terminal::end_on_interrupt()?;
    let mut is_first = true;
    loop {
        let size = terminal::read_size().filter(|_| common.format == FormatName::Table);
        match render(size) {
            Ok(frame) => draw(&frame, is_first, common.format)?,
            Err(error) if is_first => return Err(error),
            // A store that is being replaced is back soon; the previous frame stays until then.
            Err(error) => terminal::print_note(&format!("waiting for the store: {error:#}")),
        }
        is_first = false;
        let drawn = Instant::now();
        // A terminal that changes its size gets its frame at once.
        while drawn.elapsed() < REFRESH && (size.is_none() || terminal::read_size() == size) {
            if terminal::is_closed_within(SIZE_PAUSE) {
                return Ok(());
            }
        }
    }
}

/// Renders a frame that fits this size, columns and rows.
fn render_frame(
    common: &Common,
    pattern: Option<&Pattern>,
    options: &TopOptions,
    size: Option<(usize, usize)>,
) -> Result<String> {
    let stores = open_stores(common)?;
    let mut options = options.clone();
    let room = size.map(|(_, rows)| u32::try_from(rows.saturating_sub(OTHER_LINES)).unwrap_or(u32::MAX));
    options.limit = [options.limit, room].into_iter().flatten().min();
    let mut text = Vec::new();
    if common.format == FormatName::Table {
        let heading = format!("{} · {}", stores.describe(), describe_scope(common, &stores)?);
        let heading = terminal::escape(&heading);
        let columns = size.map(|(columns, _)| columns).filter(|_| !common.wide);
        let heading = columns.map_or(heading.clone(), |columns| terminal::truncate_start(&heading, columns));
        text.extend_from_slice(heading.as_bytes());
        text.extend_from_slice(b"\n\n");
    }
    let rates = if size.is_some() { Rates::Shown } else { Rates::LeftOut };
    let report = build_report(&stores, select_span(common), pattern, &options, rates)?;
    format::write(&report, format::create(common.style(), Pace::Whole, &mut text).as_mut())?;
    let frame = String::from_utf8_lossy(&text).into_owned();
    // A terminal of very few rows would scroll past the heading.
    let rows = size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(1).max(1));
    Ok(frame.split_inclusive('\n').take(rows).collect())
}

fn draw(frame: &str, is_first: bool, format: FormatName) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if terminal::read_size().is_some() && format == FormatName::Table {
        // Overwriting lines, and clearing only the rest of each line and the screen below, does not flicker.
        let start = if is_first { "\u{1b}[2J\u{1b}[H" } else { "\u{1b}[H" };
        write!(out, "{start}{}\u{1b}[J", frame.replace('\n', "\u{1b}[K\n"))?;
    } else {
        let gap = if is_first || format != FormatName::Table { "" } else { "\n" };
        write!(out, "{gap}{frame}")?;
    }
    Ok(out.flush()?)
}

/// Describes what the figures cover: `3 processes · last 5.20 h`. The span is the one that is shown: with `--since`
/// whole windows, without it all that retention has left.
fn describe_scope(common: &Common, stores: &Stores) -> Result<String> {
    let since_ns = units::start_of_span(common.since);
    let mut seen = 0;
    let mut first_counted: Option<i64> = None;
    for store in stores.list() {
        seen += processes::count_seen_since(store, since_ns)?;
        let counted = sums::find_first_counted(store)?;
        first_counted = [first_counted, counted].into_iter().flatten().min();
    }
    let processes = format_quantity(seen, "process", "processes");
    let Span::Windows(first, last) = select_span(common) else {
        let span = first_counted.map(format_span_since);
        return Ok(format!("{processes} · {}", span.unwrap_or_else(|| "no calls yet".to_owned())));
    };
    let mut ahead = "";
    for store in stores.list() {
        if windows::has_later(store, last)? {
            ahead = " · windows ahead of this clock are left out";
        }
    }
    let span = format_span_since(first.saturating_mul(WINDOW_NS));
    Ok(format!("{processes} · {span}, in whole windows of 10 s{ahead}"))
}

fn format_span_since(start_ns: i64) -> String {
    let span = units::format_nanoseconds(units::now_ns().saturating_sub(start_ns).max(0));
    format!("last {}", span.replacen(".00 ", " ", 1))
}

/// Builds the report, sorted and limited, with the failed calls beside the calls, and the last ten minutes behind them.
fn build_report(
    stores: &Stores,
    span: Span,
    pattern: Option<&Pattern>,
    options: &TopOptions,
    rates: Rates,
) -> Result<Report> {
    let key = options.sort.unwrap_or(TopKey::Total);
    if options.roots || key == TopKey::SelfTime {
        stores.list().into_iter().try_for_each(require_self_times)?;
    }
    let mut rows = read_functions(stores, span, pattern)?;
    if options.roots {
        rows.retain(|row| find_cell(row, "roots").to_number().is_some_and(|roots| roots > 0.0));
    }
    let weight = |row: &Vec<Cell>| match key {
        TopKey::Errors => count_failed(row).to_number(),
        key => find_cell(row, find_sort_column(key)).to_number(),
    };
    rows.sort_by(|a, b| {
        let largest_first = weight(b).unwrap_or(-1.0).total_cmp(&weight(a).unwrap_or(-1.0));
        largest_first.then_with(|| name(a).cmp(name(b)))
    });
    rows.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
    let (all, now) = (stores.list(), units::now_ns());
    let recent = recent::read(&all, now)?;
    let rates = if rates == Rates::Shown { Some(recent::read_rates(&all, now)?) } else { None };
    for row in &mut rows {
        mark_estimates(row);
        let last = recent_cells(recent.get(name(row)));
        let rates = rates.as_ref().map(|rates| rates.get(name(row)).copied().unwrap_or_default());
        row.insert(CALLS_AT + 1, count_failed(row));
        // The stores of a row, if there are several, stay last.
        let at = COLUMNS.len() + 1;
        row.splice(at..at, last);
        if let Some(rates) = rates {
            row.splice(1..1, [rates.calls_per_s.into(), rates.failed_per_s.into()]);
        }
    }
    let mut columns = list_columns();
    if rates.is_some() {
        let titles = ["CALLS/S", "FAILED/S"].map(|title| Column::table(title, Unit::Count));
        columns.splice(1..1, titles);
    }
    if stores.are_several() {
        columns.push(store_column());
    }
    Ok(Report { columns, rows })
}

/// Returns the name of the function of a row.
fn name(row: &[Cell]) -> &str {
    find_cell(row, "function").as_text().unwrap_or_default()
}

/// Returns the cells of the last ten minutes: for data, and for the table.
fn recent_cells(recent: Option<&Recent>) -> [Cell; 5] {
    let recent = recent.cloned().unwrap_or_default();
    let change = recent.change_pct();
    let is_told = |change: &f64| change.abs() >= CHANGE_MIN;
    let shown = change.filter(is_told).map(|change| {
        let sign = if change > 0.0 { "+" } else { "-" };
        format!("{sign}{}", units::format_percent(change.abs()))
    });
    let calls: f64 = recent.calls.iter().sum();
    let trend = (calls > 0.0).then(|| sparkline::draw_counts(&recent.calls));
    let text = |text: Option<String>| Cell::from(text.map_or(Value::Null, Value::from));
    [
        calls.into(),
        recent.calls_before.into(),
        change.map_or(Value::Null, Value::from).into(),
        text(trend),
        text(shown),
    ]
}

/// The titles of the columns about the ten minutes before now.
const RECENT_TITLES: [&str; 2] = ["LAST 10 MIN", "CHANGE"];
/// The least change that the table shows, in percent.
const CHANGE_MIN: f64 = 10.0;

/// Reads the functions of all stores, as rows with [`COLUMNS`]; of several stores also the labels of those that have
/// it.
fn read_functions(stores: &Stores, span: Span, pattern: Option<&Pattern>) -> Result<Vec<Vec<Cell>>> {
    let parts = stores.list().into_iter().map(|store| sums::read(store, pattern, span));
    let merged = sums::merge(parts.collect::<Result<Vec<_>>>()?);
    let rows = merged.into_iter().map(|(sums, of)| {
        let mut row = to_row(&sums);
        if stores.are_several() {
            let labels: Vec<_> = of.into_iter().map(|at| stores.label(at)).collect();
            row.push(labels.join(", ").into());
        }
        row
    });
    Ok(rows.collect())
}

/// Returns the figures of a function as a row with [`COLUMNS`].
fn to_row(sums: &Sums) -> Vec<Cell> {
    let optional = |number: Option<i64>| Cell::from(number.map_or(Value::Null, Value::from));
    let milliseconds = |ns: Option<i64>| Cell::from(ns.map_or(Value::Null, |ns| (to_f64(ns) / 1e6).into()));
    let percentile =
        |share: f64| milliseconds(sums.percentile(share).map(|ns| i64::try_from(ns).unwrap_or(i64::MAX)));
    let failed_pct = if sums.calls > 0 { to_f64(sums.failed()) * 100.0 / to_f64(sums.calls) } else { 0.0 };
    vec![
        sums.function.clone().into(),
        sums.file.clone().into(),
        sums.line.into(),
        sums.group_name.clone().map_or(Value::Null, Value::from).into(),
        sums.calls.into(),
        sums.errors.into(),
        sums.panics.into(),
        sums.cancelled.into(),
        failed_pct.into(),
        optional(sums.recorded),
        optional(sums.dropped),
        milliseconds(Some(sums.total_ns)),
        milliseconds(sums.self_ns),
        (sums.mean_ns() / 1e6).into(),
        percentile(0.5),
        percentile(0.95),
        percentile(0.99),
        milliseconds(Some(sums.max_ns)),
        sums.sample_rate.map_or(Value::Null, Value::from).into(),
        i64::from(sums.is_estimated).into(),
        milliseconds(sums.busy_ns),
        milliseconds(sums.cancelled_ns),
        optional(sums.roots),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn to_f64(number: i64) -> f64 {
    number as f64
}

/// Fails on a store whose functions have no self times.
fn require_self_times(store: &Store) -> Result<()> {
    let version = store.read_version()?;
    if version < FIRST_VERSION_WITH_SELF_TIMES {
        bail!(
            "{} has schema version {version}, which has neither self times nor entry points: run a program with a newer \
             version of monitored on this store, or leave --sort self and --roots out",
            store.path().display()
        );
    }
    Ok(())
}

/// The position of the column `calls`; the table shows the failed calls beside it.
const CALLS_AT: usize = 4;

fn list_columns() -> Vec<Column> {
    let mut columns: Vec<_> = COLUMNS
        .into_iter()
        .map(
            |(name, title, unit)| {
                if title.is_empty() { Column::data(name) } else { Column::titled(name, title, unit) }
            },
        )
        .collect();
    columns.insert(CALLS_AT + 1, Column::table("FAILED", Unit::Count));
    columns.extend(["calls_10min", "calls_hour_before", "change_pct"].map(Column::data));
    columns.extend(RECENT_TITLES.map(|title| Column::table(title, Unit::Short)));
    columns
}

fn find_sort_column(key: TopKey) -> &'static str {
    match key {
        TopKey::Total => "total_ms",
        TopKey::SelfTime => "self_ms",
        TopKey::Calls => "calls",
        TopKey::Mean => "mean_ms",
        TopKey::P50 => "p50_ms",
        TopKey::P95 => "p95_ms",
        TopKey::P99 => "p99_ms",
        TopKey::Max => "max_ms",
        TopKey::Errors => "errors",
    }
}

/// Returns the cell of the column with this name, or the first cell if no column has it.
fn find_cell<'a>(row: &'a [Cell], name: &str) -> &'a Cell {
    &row[COLUMNS.iter().position(|(column, ..)| *column == name).unwrap_or(0)]
}

/// Marks the durations of a function as estimates if some of its calls were counted but not timed.
fn mark_estimates(row: &mut [Cell]) {
    if find_cell(row, "estimated").to_number() != Some(1.0) {
        return;
    }
    for (cell, (name, ..)) in row.iter_mut().zip(COLUMNS) {
        cell.is_estimate |= DURATION_COLUMNS.contains(&name);
    }
}

/// Counts the calls with another outcome than `ok`.
fn count_failed(row: &[Cell]) -> Cell {
    let sum: f64 =
        ["errors", "panics", "cancelled"].iter().filter_map(|name| find_cell(row, name).to_number()).sum();
    sum.into()
}
