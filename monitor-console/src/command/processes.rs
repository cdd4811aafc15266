//! `monitor processes`: the runs of programs that write to a store, and what each does now.

use anyhow::Result;
use rusqlite::types::Value;

use super::{answer, open_stores, print_failures, print_heading_of, print_note};
use crate::arguments::{Common, FormatName, Processes};
use crate::model::basis::Basis;
use crate::model::period::Period;
use crate::model::processes::{self, Process};
use crate::report::{Cell, Column, Report, Unit};
use crate::stores::Stores;
use crate::units::{self, format_quantity};

/// The runs that a table shows without `--limit`.
const RUNS_SHOWN: usize = 20;
/// The characters of a build id that a table shows.
const BUILD_CHARACTERS: usize = 12;

pub(super) fn run(common: &Common, arguments: &Processes) -> Result<()> {
    let stores = open_stores(common)?;
    let now = units::now_ns();
    let (mut report, last_write) = gather(&stores, arguments.span.period(common), now)?;
    let runs = report.rows.len();
    let by_default = if common.format == FormatName::Table { RUNS_SHOWN } else { usize::MAX };
    report.rows.truncate(arguments.limit.map_or(by_default, |limit| limit as usize));
    let last = last_write.map_or_else(
        || "never written".to_owned(),
        |last| format!("last write {}", units::format_age(last, now)),
    );
    print_heading_of(common, &stores, &format!("{} · {last}", format_quantity(runs, "run", "runs")));
    crate::format::print(&report, common.style())?;
    if runs > report.rows.len() && arguments.limit.is_none() {
        print_note(common, &format!("… {} more: --limit {runs} shows them", runs - report.rows.len()));
    }
    Ok(())
}

/// Reads the runs of all stores, the one seen last first.
pub(super) fn read_report(stores: &Stores, period: Period) -> Result<Report> {
    Ok(gather(stores, period, units::now_ns())?.0)
}

/// Reads the runs within a span, and when a store was last written to.
fn gather(stores: &Stores, period: Period, now: i64) -> Result<(Report, Option<i64>)> {
    let mut last_write = None;
    let (mut report, failures) = stores.join(|store| {
        let found = processes::read(store, period, now)?;
        let basis = Basis::default().with_last_write(store)?;
        last_write = last_write.max(basis.last_write_ns);
        let report = Report { columns: list_columns(), rows: found.iter().map(build_cells).collect() };
        Ok(with_basis(report, &basis))
    })?;
    print_failures(&failures);
    if stores.are_several() {
        let seen = report.columns.iter().position(|column| column.name.as_deref() == Some("last_seen_ns"));
        report.rows.sort_by_key(|row| seen.map(|seen| std::cmp::Reverse(row[seen].to_integer())));
    }
    Ok((report, last_write))
}

fn with_basis(mut report: Report, basis: &Basis) -> Report {
    report.columns.extend(answer::basis_columns());
    for row in &mut report.rows {
        row.extend(answer::basis_cells(basis));
    }
    report
}

pub(super) fn build_cells(process: &Process) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::from(text.clone().map_or(Value::Null, Value::from));
    let number = |number: Option<i64>| Cell::from(number.map_or(Value::Null, Value::from));
    let short = process.build.as_ref().map(|build| {
        let build = build.strip_prefix("stamp-").unwrap_or(build);
        build.chars().take(BUILD_CHARACTERS).collect::<String>()
    });
    vec![
        process.process_id.into(),
        process.service.clone().into(),
        text(&process.build),
        text(&short),
        text(&process.program_version),
        process.host.clone().into(),
        process.pid.into(),
        text(&process.executable),
        process.state.as_str().to_owned().into(),
        text(&process.level),
        process.calls_per_s.into(),
        process.calls.into(),
        process.failed.into(),
        process.failed_pct().map_or(Value::Null, Value::from).into(),
        number(process.lost),
        number(process.rss_bytes),
        process.started_ns.into(),
        process.last_seen_ns.into(),
        number(process.ended_ns),
    ]
}

pub(super) fn list_columns() -> Vec<Column> {
    vec![
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("service", "SERVICE", Unit::Text),
        Column::data("build"),
        Column::table("BUILD", Unit::Text),
        Column::titled("program_version", "VERSION", Unit::Text),
        Column::data("host"),
        Column::titled("pid", "PID", Unit::Number),
        Column::data("executable"),
        Column::titled("state", "STATE", Unit::Outcome),
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("calls_per_s", "CALLS/S", Unit::Count),
        Column::data("calls"),
        Column::data("failed"),
        Column::titled("failed_pct", "FAILED", Unit::Percent),
        Column::titled("lost_rows", "LOST", Unit::Count),
        Column::titled("rss_bytes", "MEMORY", Unit::Bytes),
        Column::titled("started_ns", "STARTED", Unit::Age),
        Column::titled("last_seen_ns", "SEEN", Unit::Age),
        Column::data("ended_ns"),
    ]
}
