//! `monitor alerts`: lists the alerts of a store, firing ones first. `--watch` prints each change of an alert until
//! Ctrl-C.

use anyhow::Result;

use super::follow::{self, Feed};
use super::{open_store, print_heading};
use crate::arguments::{Alerts, Common};
use crate::format::{self, Format};
use crate::model::alerts;
use crate::report::{self, Column, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

/// The alerts that a table shows without `--limit`.
const SHOWN: u32 = 20;

const COLUMNS: &str = "level, state, since_ns, until_ns, function, sentence, rule, value, peak, service, processes, \
                       process_id, alert_id, change";

pub(super) fn run(common: &Common, arguments: &Alerts) -> Result<()> {
    if arguments.watch {
        return follow::run(common, &Changes);
    }
    let store = open_store(common)?;
    alerts::require(&store)?;
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

/// A feed of the changes of alerts.
struct Changes;

impl Feed for Changes {
    fn title(&self) -> &'static str {
        "alerts as they change"
    }

    fn columns(&self) -> Vec<Column> {
        columns()
    }

    fn explain(&self, _: &Store) -> Result<Option<String>> {
        Ok(None)
    }

    fn newest_id(&self, store: &Store) -> Result<i64> {
        alerts::require(store)?;
        Ok(store.read_integer("SELECT max(change) FROM alerts", [])?.unwrap_or(0))
    }

    fn find_start(&self, _: &Store, newest: i64) -> Result<i64> {
        Ok(newest)
    }

    fn print(&self, store: &Store, (last, newest): (i64, i64), format: &mut dyn Format) -> Result<()> {
        let sql = format!("SELECT {COLUMNS} FROM alerts WHERE change > ?1 AND change <= ?2 ORDER BY change");
        let columns = columns().len();
        store.stream_rows(&sql, [last, newest], |row| format.write_row(&report::read_cells(row, columns)?))
    }
}
