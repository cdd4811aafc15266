//! `monitor alerts`: lists the alerts of a store, firing ones first. `--watch` prints each change of an alert until
//! Ctrl-C.

use std::time::Duration;

use anyhow::Result;

use super::{open_store, print_heading};
use crate::arguments::{Alerts, Common};
use crate::format::{self, Pace};
use crate::model::alerts;
use crate::report::{self, Column, Unit};
use crate::store::Store;
use crate::terminal;
use crate::units::{self, format_quantity};

/// The pause between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);
/// The alerts that a table shows without `--limit`.
const SHOWN: u32 = 20;

const COLUMNS: &str = "level, state, since_ns, until_ns, function, sentence, rule, value, peak, service, processes, \
                       process_id, alert_id, change";

pub(super) fn run(common: &Common, arguments: &Alerts) -> Result<()> {
    let store = open_store(common)?;
    alerts::require(&store)?;
    if arguments.watch {
        return watch(common, &store);
    }
    let firing = "SELECT count(*) FROM alerts WHERE state IN ('firing', 'recovering')";
    let firing = format_quantity(store.read_integer(firing, [])?.unwrap_or(0), "alert fires", "alerts fire");
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE COALESCE(until_ns, {}) >= ?1
         ORDER BY until_ns IS NOT NULL, CASE level WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, change DESC
         LIMIT ?2",
        i64::MAX
    );
    let since = units::start_of_span(common.since);
    let rows = store.read_report(columns(), &sql, [since, i64::from(arguments.limit.unwrap_or(SHOWN))])?;
    print_heading(common, &store, &firing);
    format::print(&rows, common.style())
}

fn columns() -> Vec<Column> {
    vec![
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("state", "STATE", Unit::Text),
        Column::titled("since_ns", "SINCE", Unit::Age),
        Column::titled("until_ns", "UNTIL", Unit::Age),
        Column::data("function"),
        Column::titled("sentence", "ALERT", Unit::Text),
        Column::data("rule"),
        Column::data("value"),
        Column::data("peak"),
        Column::titled("service", "SERVICE", Unit::Name),
        Column::titled("processes", "RUNS", Unit::Number),
        Column::data("process_id"),
        Column::data("alert_id"),
        Column::data("change"),
    ]
}

/// Prints each change of an alert until Ctrl-C, or until nobody reads the output any more.
fn watch(common: &Common, store: &Store) -> Result<()> {
    terminal::end_on_interrupt()?;
    print_heading(common, store, "alerts as they change; Ctrl-C ends");
    let mut last = store.read_integer("SELECT max(change) FROM alerts", [])?.unwrap_or(0);
    let columns = columns();
    let mut format = format::create_for_stdout(common.style(), Pace::Following);
    format.write_columns(&columns)?;
    format.flush()?;
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE change > ?1 ORDER BY change");
    while !terminal::is_closed_within(PAUSE) {
        store.read_rows(&sql, [last], |row| {
            let cells = report::read_cells(row, columns.len())?;
            last = cells.last().and_then(report::Cell::to_integer).unwrap_or(last);
            format.write_row(&cells)
        })?;
        format.flush()?;
    }
    Ok(())
}
