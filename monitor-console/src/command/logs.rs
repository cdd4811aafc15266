//! `monitor logs`: the log lines of programs, each with the function that wrote it, and new ones as they are
//! committed.

use anyhow::{Result, anyhow};
use monitor_runtime::record::LogLevel;

use super::follow::{self, Feed};
use super::{explain_unknown, open_stores, print_failures, print_heading_of, print_note, require_known_in};
use crate::arguments::{Common, LogLevelName, Logs};
use crate::format::{self, Format};
use crate::model::logs::{self, Line, Query};
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::Stores;
use crate::terminal;
use crate::units::{self, format_quantity};

pub(super) fn run(common: &Common, arguments: &Logs) -> Result<()> {
    if arguments.follow {
        return follow::run(common, &NewLines { common, arguments });
    }
    let stores = open_stores(common)?;
    let (mut report, failures) =
        stores.join(|store| Ok(build_report(&logs::find(store, &query(common, arguments))?)))?;
    if report.rows.is_empty() {
        require_place(&stores, arguments.pattern.as_ref())?;
    }
    print_failures(&failures);
    // Several stores come one after the other, and the newest lines of all are shown.
    report.rows.sort_by_key(|row| row[AT].to_integer());
    let excess = report.rows.len().saturating_sub(arguments.limit());
    report.rows.drain(..excess);
    let title = match report.rows.len() {
        0 => "no log lines".to_owned(),
        rows => format_quantity(rows, "log line", "log lines"),
    };
    print_heading_of(common, &stores, &title);
    format::print(&report, common.style())?;
    if report.rows.is_empty() && arguments.pattern.is_none() && common.since.is_none() {
        print_note(common, NO_LINES);
    }
    Ok(())
}

/// Fails if the pattern selects neither a function nor a target of any of the stores.
fn require_place(stores: &Stores, pattern: Option<&Pattern>) -> Result<()> {
    let Some(pattern) = pattern else { return Ok(()) };
    for store in stores.list() {
        if logs::has_target(store, pattern)? {
            return Ok(());
        }
    }
    require_known_in(stores, Some(pattern))
        .map_err(|error| anyhow!("no log line has the target `{}`, and {error}", pattern.as_str()))
}

const NO_LINES: &str =
    "a program's log lines come here through the crates `monitored-log` and `monitored-tracing`";

/// The position of the time in a row.
const AT: usize = 1;

fn query<'a>(common: &Common, arguments: &'a Logs) -> Query<'a> {
    let until = if common.since.is_some() { units::end_of_span() } else { i64::MAX };
    Query {
        pattern: arguments.pattern.as_ref(),
        level: arguments.level.into(),
        span_ns: (units::start_of_span(common.since), until),
        ..Query::newest(arguments.limit())
    }
}

/// Returns the columns of a line: those of the view as data, and those of the table.
fn list_columns() -> Vec<Column> {
    let table = [
        Column::table("TIME", Unit::Time),
        Column::table("LEVEL", Unit::Short),
        Column::table("CALL", Unit::Number),
        Column::table("FUNCTION", Unit::Name),
        Column::table("LINE", Unit::Text),
    ];
    logs::COLUMNS.into_iter().map(Column::data).chain(table).collect()
}

/// Builds the table of lines; the data are the columns of the view.
pub(super) fn build_report(lines: &[Line]) -> Report {
    Report { columns: list_columns(), rows: lines.iter().map(to_row).collect() }
}

fn to_row(line: &Line) -> Vec<Cell> {
    let mut row = line.cells.clone();
    row.push(line.at_ns.into());
    row.push(line.level.clone().into());
    row.push(line.call_id.into());
    row.push(line.place().to_owned().into());
    row.push(line.text().into());
    row
}

/// Describes a line beside a call: `14:05:01.250 warn attempt 3 of order 71 failed`.
pub(super) fn describe(line: &Line) -> String {
    let time = units::format_time(line.at_ns, units::now_ns());
    terminal::escape(&format!("{time} {} {}", line.level, line.text())).into_owned()
}

/// A feed of the new log lines that the options select.
struct NewLines<'a> {
    common: &'a Common,
    arguments: &'a Logs,
}

impl Feed for NewLines<'_> {
    fn title(&self) -> &'static str {
        "new log lines"
    }

    fn columns(&self) -> Vec<Column> {
        list_columns()
    }

    fn explain(&self, store: &Store) -> Result<Option<String>> {
        if logs::newest_id(store)? == 0 {
            return Ok(Some(NO_LINES.to_owned()));
        }
        // The function may be called later, so an unknown name is no error here.
        match &self.arguments.pattern {
            Some(pattern) if !logs::has_target(store, pattern)? => explain_unknown(store, pattern),
            _ => Ok(None),
        }
    }

    fn newest_id(&self, store: &Store) -> Result<i64> {
        logs::newest_id(store)
    }

    fn find_start(&self, store: &Store, newest: i64) -> Result<i64> {
        if self.common.since.is_none() && self.arguments.limit.is_none() {
            return Ok(newest);
        }
        let first = logs::find(store, &query(self.common, self.arguments))?;
        Ok(first.iter().map(|line| line.log_id - 1).min().unwrap_or(newest))
    }

    fn print(&self, store: &Store, (last, newest): (i64, i64), format: &mut dyn Format) -> Result<()> {
        let ids = (last.saturating_add(1), newest);
        let query = Query { ids, limit: usize::MAX, ..query(self.common, self.arguments) };
        // The span ended when the command began, and new lines are later, so the search has no end in time.
        let query = Query { span_ns: (query.span_ns.0, i64::MAX), ..query };
        logs::find(store, &query)?.iter().try_for_each(|line| format.write_row(&to_row(line)))
    }
}

impl From<LogLevelName> for LogLevel {
    fn from(name: LogLevelName) -> Self {
        match name {
            LogLevelName::Error => Self::Error,
            LogLevelName::Warn => Self::Warn,
            LogLevelName::Info => Self::Info,
            LogLevelName::Debug => Self::Debug,
            LogLevelName::Trace => Self::Trace,
        }
    }
}
