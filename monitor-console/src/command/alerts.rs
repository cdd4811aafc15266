//! `monitor alerts`: lists the alerts of a store, firing ones first. `--watch` prints each change of an alert until
//! Ctrl-C.

use anyhow::Result;

use super::follow::{self, Feed};
use super::{open_store, print_heading};
use crate::arguments::{Alerts, Common};
use crate::format::{self, Format};
use crate::model::alerts::{self, Alert};
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

/// The alerts that a table shows without `--limit`.
const SHOWN: u32 = 20;

pub(super) fn run(common: &Common, arguments: &Alerts) -> Result<()> {
    if arguments.watch {
        return follow::run(common, &Changes);
    }
    let store = open_store(common)?;
    alerts::require(&store)?;
    let (firing, _) = alerts::count_live(&store)?;
    let since_ns = units::start_of_span(common.since);
    let found = alerts::read_since(&store, since_ns, arguments.limit.unwrap_or(SHOWN))?;
    print_heading(common, &store, &format_quantity(firing, "alert fires", "alerts fire"));
    let report = Report { columns: columns(), rows: found.into_iter().map(to_row).collect() };
    format::print(&report, common.style())
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

/// Returns an alert as a row with [`columns`]. The service is NULL if retention has deleted the run.
fn to_row(alert: Alert) -> Vec<Cell> {
    vec![
        alert.level.into(),
        alert.state.into(),
        alert.since_ns.into(),
        alert.until_ns.into(),
        alert.function.into(),
        alert.sentence.into(),
        alert.rule.into(),
        alert.value.into(),
        alert.peak.into(),
        Some(alert.service).filter(|service| !service.is_empty()).into(),
        alert.processes.into(),
        alert.process_id.into(),
        alert.id.into(),
        alert.change.into(),
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
        alerts::find_newest_change(store)
    }

    fn find_start(&self, _: &Store, newest: i64) -> Result<i64> {
        Ok(newest)
    }

    fn print(&self, store: &Store, numbers: (i64, i64), format: &mut dyn Format) -> Result<()> {
        let changed = alerts::read_changed(store, numbers)?;
        changed.into_iter().try_for_each(|alert| format.write_row(&to_row(alert)))
    }
}
