//! `monitor resources`: CPU, memory, threads and descriptors of each process over time, with growth marked.

use std::collections::HashMap;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{answer, open_stores, print_failures, print_note};
use crate::arguments::{Common, FormatName, Resources};
use crate::model::basis::Basis;
use crate::model::period::Period;
use crate::model::processes;
use crate::model::resources::{self, Figure, Growth, Usage};
use crate::report::{Cell, Column, Report, Unit};
use crate::sparkline;
use crate::stores::Stores;
use crate::units::{self, format_quantity};

/// The runs that a table shows without `--limit`.
const RUNS_SHOWN: usize = 5;
/// The bars of a sparkline.
const BARS: usize = 24;

pub(super) fn run(common: &Common, arguments: &Resources) -> Result<()> {
    let stores = open_stores(common)?;
    let by_default = if common.format == FormatName::Table { RUNS_SHOWN } else { usize::MAX };
    let shown = arguments.limit.map_or(by_default, |limit| limit as usize);
    let run = arguments.process.map(i64::from);
    let Gathered { report, runs, basis, is_known } =
        gather(&stores, arguments.span.period(common), run, shown)?;
    if let Some(run) = run.filter(|_| !is_known) {
        let paths: Vec<_> = stores.list().iter().map(|store| store.path().display().to_string()).collect();
        bail!("there is no run {run} in {}: `monitor processes` lists the runs", paths.join(", "));
    }
    let title = match runs {
        0 => "no samples in this span".to_owned(),
        runs => format_quantity(runs, "run", "runs"),
    };
    answer::print_of(common, &stores, &title, &basis, &report)?;
    let left_out = runs.saturating_sub(report.rows.len() / Figure::ALL.len());
    if left_out > 0 && arguments.limit.is_none() {
        print_note(common, &format!("… {left_out} more: --limit {runs} shows them"));
    }
    Ok(())
}

/// Reads the figures of the runs that were sampled last.
pub(super) fn read_report(stores: &Stores, period: Period) -> Result<Report> {
    Ok(gather(stores, period, None, RUNS_SHOWN)?.report)
}

/// The figures of the runs that are shown, and how many runs there are.
struct Gathered {
    report: Report,
    /// The runs with samples, also those that are not shown.
    runs: usize,
    basis: Basis,
    /// True if a store has the run that was asked for.
    is_known: bool,
}

/// Reads the figures within a span, of one run or of all.
fn gather(stores: &Stores, period: Period, run: Option<i64>, shown: usize) -> Result<Gathered> {
    let (mut runs, mut samples, mut since_ns, mut is_known) = (0, 0, None, false);
    let (mut report, failures) = stores.join(|store| {
        let mut found = resources::read(store, period)?;
        let services: HashMap<i64, (String, i64)> = processes::read(store, Period::WHOLE, units::now_ns())?
            .into_iter()
            .map(|process| (process.process_id, (process.service, process.pid)))
            .collect();
        if let Some(run) = run {
            is_known |= services.contains_key(&run);
            found.retain(|usage| usage.process_id == run);
        }
        runs += found.len() / Figure::ALL.len();
        found.truncate(shown.saturating_mul(Figure::ALL.len()));
        samples += found.iter().step_by(Figure::ALL.len()).map(|usage| usage.samples).sum::<u64>();
        since_ns = [since_ns, found.iter().map(|usage| usage.since_ns).min()].into_iter().flatten().min();
        let rows = found.iter().map(|usage| build_cells(usage, services.get(&usage.process_id)));
        Ok(Report { columns: list_columns(), rows: rows.collect() })
    })?;
    print_failures(&failures);
    let basis = Basis { since_ns, rows: samples, ..Basis::default() }.with_last_write_of(&stores.list())?;
    report.columns.extend(answer::basis_columns());
    report.rows.iter_mut().for_each(|row| row.extend(answer::basis_cells(&basis)));
    Ok(Gathered { report, runs, basis, is_known })
}

pub(super) fn build_cells(usage: &Usage, process: Option<&(String, i64)>) -> Vec<Cell> {
    let format = format_of(usage.figure);
    let text = |number: f64| Cell::from(format(number));
    let points: Vec<_> = usage.series.iter().copied().map(Some).collect();
    let (growing, per_hour, words) = match usage.growth {
        Growth::Growing(per_hour) => {
            (Value::from(1), Value::from(per_hour), format!("growing: {} an hour", format(per_hour)))
        }
        Growth::Steady => (Value::from(0), Value::Null, String::new()),
        Growth::TooFew => (Value::Null, Value::Null, "too few samples".to_owned()),
        Growth::NotJudged => (Value::Null, Value::Null, String::new()),
    };
    vec![
        usage.process_id.into(),
        process.map_or(Value::Null, |(service, _)| service.clone().into()).into(),
        process.map_or(Value::Null, |(_, pid)| (*pid).into()).into(),
        usage.figure.column().to_owned().into(),
        name(usage.figure).to_owned().into(),
        usage.first.into(),
        usage.last.into(),
        usage.range.0.into(),
        usage.range.1.into(),
        text(usage.first),
        text(usage.last),
        text(usage.range.1),
        sparkline::draw(&sparkline::shorten(&points, BARS)).into(),
        words.into(),
        growing.into(),
        per_hour.into(),
        i64::try_from(usage.samples).unwrap_or(i64::MAX).into(),
        usage.since_ns.into(),
        usage.until_ns.into(),
    ]
}

pub(super) fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::Cpu => "CPU",
        Figure::Memory => "memory",
        Figure::Threads => "threads",
        Figure::Descriptors => "descriptors",
    }
}

pub(super) fn format_of(figure: Figure) -> fn(f64) -> String {
    match figure {
        Figure::Cpu => units::format_percent,
        Figure::Memory => units::format_bytes,
        Figure::Threads | Figure::Descriptors => units::format_count,
    }
}

pub(super) fn list_columns() -> Vec<Column> {
    vec![
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("service", "SERVICE", Unit::Text),
        Column::titled("pid", "PID", Unit::Number),
        Column::data("figure"),
        Column::table("FIGURE", Unit::Text),
        Column::data("first"),
        Column::data("last"),
        Column::data("least"),
        Column::data("most"),
        Column::table("FIRST", Unit::Text),
        Column::table("LAST", Unit::Text),
        Column::table("MOST", Unit::Text),
        Column::table("OVER TIME", Unit::Text),
        Column::table("GROWTH", Unit::Text),
        Column::data("growing"),
        Column::data("growth_per_hour"),
        Column::data("samples"),
        Column::data("since_ns"),
        Column::data("until_ns"),
    ]
}
