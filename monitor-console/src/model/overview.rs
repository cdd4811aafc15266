//! The processes of a store and the reports of their recorders, with the holds of their breakers and their latest
//! events.
//!
//! Takes a store and a span; gives the facts that are shown above every screen, and those of the screens of processes
//! and of health.

use std::collections::HashMap;

use anyhow::Result;

use super::events::{self, Event};
use super::health;
use super::period::Period;
use super::processes::{self, Process, State};
use crate::report::{self, Cell};
use crate::store::Store;

/// The latest events that are read for each process.
const EVENTS_SHOWN: i64 = 4;

/// The figures above every screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overview {
    /// The processes that were seen within the span, the one seen last first.
    pub(crate) recorders: Vec<Recorder>,
    /// The last write to the store, ns since the Unix epoch.
    pub(crate) last_write_ns: Option<i64>,
    /// Calls a second: of running processes in their last minute, or over a span that has ended.
    pub(crate) calls_per_s: f64,
    /// Failed calls within the span, in percent; `None` without calls.
    pub(crate) failed_pct: Option<f64>,
}

/// A process and its recorder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorder {
    /// The process.
    pub(crate) process: Process,
    /// The figures of the latest report, by the names of the view `health`; none before the first report.
    pub(crate) figures: HashMap<String, Cell>,
    /// The hold of its breaker and the reason; `None` if nothing holds it.
    pub(crate) hold: Option<(String, String)>,
    /// The latest events, the newest first.
    pub(crate) events: Vec<Event>,
}

impl Recorder {
    /// Returns a figure of the report.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.figures.get(name).and_then(Cell::to_number)
    }

    /// Returns a text of the report; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.figures.get(name).and_then(Cell::as_text).unwrap_or_default()
    }

    /// Returns the reasons for lost rows and their numbers, in alphabetical order, without those that did not occur.
    pub(crate) fn drops(&self) -> Vec<(String, f64)> {
        let drops = self.figures.iter().filter_map(|(name, cell)| {
            let reason = name.strip_prefix("dropped_")?.replace('_', " ");
            Some((reason, cell.to_number().filter(|number| *number > 0.0)?))
        });
        let mut drops: Vec<_> = drops.collect();
        drops.sort_by(|(one, _), (other, _)| one.cmp(other));
        drops
    }
}

impl Overview {
    /// Returns the number of processes that run.
    pub(crate) fn count_running(&self) -> usize {
        self.recorders.iter().filter(|recorder| recorder.process.state == State::Running).count()
    }

    /// Returns the highest cost of a running recorder and what it may cost, in percent of a core.
    pub(crate) fn cost(&self) -> Option<(f64, Option<f64>)> {
        let running = self.recorders.iter().filter(|recorder| recorder.process.state == State::Running);
        let costs = running.filter_map(|one| Some((one.number("cost_pct")?, one.number("budget_pct"))));
        costs.max_by(|(one, _), (other, _)| one.total_cmp(other))
    }
}

/// Reads the overview of a span; `has_ended` is true if the span ended before now.
pub(crate) fn read(store: &Store, period: Period, has_ended: bool, now_ns: i64) -> Result<Overview> {
    let reports = health::read_reports(store)?;
    let holds = read_holds(store)?;
    let mut recorders = Vec::new();
    for process in processes::read(store, period, now_ns)? {
        let id = process.process_id;
        recorders.push(Recorder {
            figures: reports.get(&id).cloned().unwrap_or_default(),
            hold: holds.get(&id).or_else(|| holds.get(&0)).filter(|(hold, _)| hold != "auto").cloned(),
            events: events::read_latest(store, id, period.until_ns, EVENTS_SHOWN)?,
            process,
        });
    }
    let [calls, failed] = recorders
        .iter()
        .fold([0_i64; 2], |sum, one| [sum[0] + one.process.calls, sum[1] + one.process.failed]);
    let running = recorders.iter().filter(|one| one.process.state == State::Running);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let over_span = calls as f64 * 1e9 / period.until_ns.saturating_sub(period.from_ns).max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let failed_pct = (calls > 0).then(|| failed as f64 * 100.0 / calls as f64);
    Ok(Overview {
        calls_per_s: if has_ended {
            over_span
        } else {
            running.fold(0.0, |sum, one| sum + one.process.calls_per_s)
        },
        failed_pct,
        last_write_ns: store.read_integer("SELECT MAX(last_seen_ns) FROM processes", [])?,
        recorders,
    })
}

/// Reads the holds of breakers and their reasons by process; 0 stands for every process.
fn read_holds(store: &Store) -> Result<HashMap<i64, (String, String)>> {
    let mut holds = HashMap::new();
    store.read_rows("SELECT process_id, hold, reason FROM breaker", [], |row| {
        let cells = report::read_cells(row, 3)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        holds.insert(cells[0].to_integer().unwrap_or(0), (text(1), text(2)));
        Ok(())
    })?;
    Ok(holds)
}
