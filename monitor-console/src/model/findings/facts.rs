//! The facts that findings rest on, and the queries that fill them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use monitor_runtime::recover::{self, LiveProcess};

use super::store::{Lag, Shortage};
use crate::model::alerts;
use crate::model::basis::Basis;
use crate::model::compare::{self, Change, Side, SideName};
use crate::model::edges;
use crate::model::failures::{self, Kind};
use crate::model::forest::Forest;
use crate::model::health;
use crate::model::period::Period;
use crate::model::processes::{self, Process};
use crate::model::rates::{self, Rate};
use crate::model::repetition::{self, Repetition};
use crate::model::resources::{self, Usage};
use crate::model::rows::Rows;
use crate::model::scope::Scope;
use crate::model::sums::{self, Span, Sums};
use crate::report::{self, Cell};
use crate::store::Store;
use crate::units::{format_quantity, format_time};

/// The newest rows whose values are searched for secrets.
const VALUES_MAX: i64 = 3_000;
/// The change of a typical duration that matters.
const MIN_CHANGE: f64 = 0.1;

/// The content of a store, as far as findings rest on it.
#[derive(Default)]
pub(crate) struct Facts {
    /// The rows of calls, and their trees.
    pub(crate) rows: Rows,
    pub(crate) forest: Forest,
    /// Repeated calls, and for each the largest number of them with equal arguments below its example.
    pub(crate) repetitions: Vec<(Repetition, u64)>,
    /// Values of calls by id: arguments and results, of the calls that a rule asks about.
    pub(crate) values: HashMap<i64, Values>,
    /// The sums of each function.
    pub(crate) functions: Vec<FunctionSum>,
    /// The processes, and the calls under way in those that run.
    pub(crate) processes: Vec<Process>,
    pub(crate) living: Vec<LiveProcess>,
    /// The calls that were under way in processes that died.
    pub(crate) last_calls: Vec<(i64, String)>,
    /// The resources of each process.
    pub(crate) usages: Vec<Usage>,
    /// The latest health report of each recorder: its figures by column name.
    pub(crate) reports: Vec<HashMap<String, Cell>>,
    /// The change of each function within the last ten minutes.
    pub(crate) changes: Vec<Change>,
    pub(crate) sides: [Side; 2],
    /// The kinds of failure.
    pub(crate) failures: Vec<Kind>,
    /// The newest values, for the search for secrets: function, call, and its texts.
    pub(crate) texts: Vec<(String, i64, String)>,
    /// The rates of functions, with what each costs.
    pub(crate) rates: Vec<Rate>,
    /// The receivers of alerts that have not taken all alerts.
    pub(crate) lags: Vec<Lag>,
    /// The calls that were deleted early, because the store reached its size limit.
    pub(crate) shortage: Option<Shortage>,
    /// True if the sums within the span are not known, because the store is of a version without histograms of windows.
    pub(crate) lacks_windows: bool,
    /// The start of the store's history.
    pub(crate) history_since_ns: Option<i64>,
    /// The span that was asked for.
    pub(crate) period: Option<Period>,
    /// The present time.
    pub(crate) now_ns: i64,
    /// The amount of data.
    pub(crate) basis: Basis,
}

/// The captured values of a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values {
    pub(crate) args: Option<String>,
    pub(crate) result: Option<String>,
}

/// The sums of a function: those within the span, and those over the time that the store covers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FunctionSum {
    pub(crate) name: String,
    /// Calls, cancelled calls and own time within the span, and whether the time is an estimate.
    pub(crate) calls: u64,
    pub(crate) cancelled: u64,
    pub(crate) self_ms: f64,
    pub(crate) is_estimated: bool,
    /// The 99th percentile over all time, because calls that are under way now are measured by it.
    pub(crate) p99_ms: f64,
    /// The calls with a row over all time. Windows do not have their number.
    pub(crate) recorded: u64,
}

/// Gathers the facts of a store within a span, those about single calls from at most `rows_max` rows. `ring_folders` are those
/// in which running processes keep their rings.
pub(crate) fn gather(
    store: &Store,
    ring_folders: &[std::path::PathBuf],
    period: Period,
    now_ns: i64,
    rows_max: usize,
) -> Result<Facts> {
    let rows = Rows::load(store, period, rows_max)?;
    let forest = Forest::plant(&rows.rows);
    let mut repetitions = Vec::new();
    for repetition in repetition::find(store, &rows, &forest)? {
        let same = count_same(store, &rows, &forest, &repetition)?;
        repetitions.push((repetition, same));
    }
    let end = if period.until_ns == i64::MAX { now_ns } else { period.until_ns.min(now_ns) };
    // A store of an old version has no histograms: nothing is compared.
    let read_side =
        |period| Side::read(store, &SideName::Span(period), Period::WHOLE, None).unwrap_or_default();
    let sides = Period::earlier_and_recent(end).map(read_side);
    let mut facts = Facts {
        basis: rows.basis().with_last_write(store)?,
        repetitions,
        functions: read_functions(store, period)?,
        processes: processes::read(store, period, now_ns)?,
        living: recover::find_live(store.path(), ring_folders, now_ns),
        last_calls: read_last_calls(store)?,
        usages: resources::read(store, period)?,
        reports: health::read_reports(store)?.into_values().collect(),
        changes: compare_sides(store, &sides)?,
        sides,
        failures: failures::list(store, &Scope { period, processes: None }, None)?,
        texts: read_texts(store, &rows, period)?,
        rates: if store.has_span_blocks()? { rates::read(store, &Scope::WHOLE, None)? } else { Vec::new() },
        lags: read_lags(store)?,
        shortage: read_shortage(store)?,
        lacks_windows: !period.is_whole() && !sums::has_windows(store)?,
        history_since_ns: store.read_integer("SELECT MIN(started_ns) FROM processes", [])?,
        period: Some(period),
        now_ns,
        rows,
        forest,
        values: HashMap::new(),
    };
    for call in super::calls::list_wanted_values(&facts) {
        facts.values.insert(call, read_values(store, call)?);
    }
    Ok(facts)
}

/// Compares the sides. A slowdown is reported only for the function in which it began.
fn compare_sides(store: &Store, sides: &[Side; 2]) -> Result<Vec<Change>> {
    let mut changes = compare::compare(&sides[0], &sides[1], MIN_CHANGE);
    compare::trace_causes(&mut changes, [&sides[0], &sides[1]], &edges::read_pairs(store)?);
    changes.retain(|change| !change.is_passed_on);
    Ok(changes)
}

impl Facts {
    /// Returns sentences about the kinds of findings that lack their rows.
    pub(crate) fn describe_gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        if self.rows.rows.is_empty() {
            gaps.push(
                "repeated calls, calls one after the other, blocked executors and secrets: no call has a row in this span"
                    .to_owned(),
            );
        } else {
            let without =
                self.functions.iter().filter(|function| function.calls > 0 && function.recorded == 0).count();
            if without > 0 {
                gaps.push(format!(
                    "repeated calls and what belongs to single calls: {} only counted, without rows",
                    format_quantity(without, "function is", "functions are")
                ));
            }
        }
        if self.sides.iter().any(|side| side.windows == 0) {
            gaps.push(format!(
                "functions that got slower: the store has no calls both {} and in the hour before",
                self.describe_recent()
            ));
        }
        gaps.extend(self.describe_gaps_of_span());
        gaps
    }

    /// Returns sentences about the kinds of findings whose figures cannot be narrowed to the span.
    fn describe_gaps_of_span(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        if self.lacks_windows {
            gaps.push(
                "functions that take most of the time or are often cancelled: the windows of this store have no histograms"
                    .to_owned(),
            );
        }
        let is_beyond = |process: &&Process| {
            let folded =
                self.find_report(process.process_id).and_then(|report| Self::figure(report, "folded_errors"));
            !self.spans_totals(process) && (process.lost.unwrap_or(0) > 0 || folded.unwrap_or(0.0) > 0.0)
        };
        let beyond = self.processes.iter().filter(is_beyond).count();
        if beyond > 0 {
            let count = if beyond == 1 {
                "a process has its counts since its start".to_owned()
            } else {
                format!("{beyond} processes have their counts since their start")
            };
            gaps.push(format!(
                "lost rows and failures that were only counted: {count}, and the span does not hold all of that time"
            ));
        }
        if !self.reaches_present() {
            gaps.push(
                "the state of recorders and receivers (held, breaker_open, degraded, costly, exporter_behind): the store has \
                 the present one alone, and the span has ended"
                    .to_owned(),
            );
        }
        gaps
    }

    /// Returns true if the present state lies within the span.
    pub(super) fn reaches_present(&self) -> bool {
        self.period.is_none_or(|period| !period.has_ended(self.now_ns))
    }

    /// Returns true if the span holds the whole life of the process so far, over which its recorder adds up what it
    /// lost.
    pub(super) fn spans_totals(&self, process: &Process) -> bool {
        let end_ns = process.ended_ns.unwrap_or(process.last_seen_ns);
        self.period.is_none_or(|period| period.holds(process.started_ns) && period.until_ns >= end_ns)
    }

    /// Returns the condition on a column that narrows evidence to the span, behind `AND`; empty for the whole time.
    pub(super) fn condition_of_span(&self, column: &str) -> String {
        match self.period {
            Some(Period { from_ns, until_ns }) if self.is_narrowed() => {
                format!(" AND {column} BETWEEN {from_ns} AND {until_ns}")
            }
            _ => String::new(),
        }
    }

    /// Returns true if the span is a part of the time that the store covers.
    pub(super) fn is_narrowed(&self) -> bool {
        self.period.is_some_and(|period| !period.is_whole())
    }

    /// Describes the ten minutes that are compared with the hour before them: the last ones of the span.
    pub(super) fn describe_recent(&self) -> String {
        match self.period {
            Some(period) if period.has_ended(self.now_ns) => {
                format!("in the 10 minutes before {} UTC", format_time(period.until_ns, self.now_ns))
            }
            _ => "in the last 10 minutes".to_owned(),
        }
    }

    fn find_report(&self, process_id: i64) -> Option<&HashMap<String, Cell>> {
        let id = |report: &HashMap<String, Cell>| report.get("process_id").and_then(Cell::to_integer);
        self.reports.iter().find(|report| id(report) == Some(process_id))
    }

    /// Returns the figure of a recorder's report.
    pub(super) fn figure(report: &HashMap<String, Cell>, name: &str) -> Option<f64> {
        report.get(name).and_then(Cell::to_number)
    }
}

/// Counts the most calls with equal arguments below the example of a repetition.
fn count_same(store: &Store, rows: &Rows, forest: &Forest, repetition: &Repetition) -> Result<u64> {
    let Some(parent) = rows.rows.iter().position(|row| row.call_id == repetition.example.0) else {
        return Ok(0);
    };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for child in forest.children(parent) {
        let row = &rows.rows[child];
        if row.function == repetition.callee
            && row.shared == 1
            && let Some(args) = repetition::read_args(store, row.call_id)?
            && args != "{}"
        {
            *counts.entry(args).or_default() += 1;
        }
    }
    Ok(counts.into_values().max().unwrap_or(0))
}

fn read_values(store: &Store, call: i64) -> Result<Values> {
    let row = store
        .read_first_row("SELECT args, result FROM calls WHERE call_id = ?1", [call])?
        .unwrap_or_default();
    let text = |at: usize| row.get(at).and_then(Cell::as_text).map(str::to_owned);
    Ok(Values { args: text(0), result: text(1) })
}

/// Reads the sums of each function. Those within a span come from windows, which a store of an old version lacks: there
/// the span has no calls.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn read_functions(store: &Store, period: Period) -> Result<Vec<FunctionSum>> {
    let whole = sums::read(store, None, Span::Whole)?;
    let place = |sums: &Sums| (sums.function.clone(), sums.file.clone(), sums.line);
    let mut within: Option<HashMap<_, Sums>> = None;
    if !period.is_whole() {
        let found = if sums::has_windows(store)? {
            sums::read(store, None, Span::from_period(period))?
        } else {
            Vec::new()
        };
        within = Some(found.into_iter().map(|sums| (place(&sums), sums)).collect());
    }
    let to_sum = |whole: Sums| {
        let none = Sums::default();
        let counted = match &within {
            Some(within) => within.get(&place(&whole)).unwrap_or(&none),
            None => &whole,
        };
        FunctionSum {
            calls: counted.calls.max(0).cast_unsigned(),
            cancelled: counted.cancelled.max(0).cast_unsigned(),
            self_ms: counted.self_ns.unwrap_or(0).max(0) as f64 / 1e6,
            is_estimated: counted.is_estimated,
            p99_ms: whole.percentile(0.99).map_or(0.0, |ns| ns as f64 / 1e6),
            recorded: whole.recorded.unwrap_or(0).max(0).cast_unsigned(),
            name: whole.function,
        }
    };
    Ok(whole.into_iter().map(to_sum).collect())
}

/// Reads the calls that were under way in processes that died, the innermost of each thread first.
fn read_last_calls(store: &Store) -> Result<Vec<(i64, String)>> {
    let mut calls = Vec::new();
    store.read_rows(
        "SELECT process_id, function FROM in_flight ORDER BY process_id, depth DESC",
        [],
        |row| {
            let cells = report::read_cells(row, 2)?;
            calls.push((
                cells[0].to_integer().unwrap_or(0),
                cells[1].as_text().unwrap_or_default().to_owned(),
            ));
            Ok(())
        },
    )?;
    Ok(calls)
}

/// Reads the values of the newest calls of the span. The bound is on rows that are looked at, so the time is bounded.
fn read_texts(store: &Store, rows: &Rows, period: Period) -> Result<Vec<(String, i64, String)>> {
    let Some(newest) = rows.rows.first().map(|row| row.call_id) else { return Ok(Vec::new()) };
    let sql = "SELECT function, call_id, args, result, error, fields FROM calls
               WHERE call_id <= ?1 AND call_id > ?1 - ?2 AND start_ns BETWEEN ?3 AND ?4";
    let mut texts = Vec::new();
    store.read_rows(sql, [newest, VALUES_MAX, period.from_ns, period.until_ns], |row| {
        let cells = report::read_cells(row, 6)?;
        let values: Vec<&str> = cells[2..].iter().filter_map(Cell::as_text).collect();
        if !values.is_empty() {
            let function = cells[0].as_text().unwrap_or_default().to_owned();
            texts.push((function, cells[1].to_integer().unwrap_or(0), values.join("\n")));
        }
        Ok(())
    })?;
    Ok(texts)
}

/// Reads the receivers of alerts that have not taken all that are news to them; none in a store of an older version.
fn read_lags(store: &Store) -> Result<Vec<Lag>> {
    let mut lags = Vec::new();
    if !alerts::are_known(store)? {
        return Ok(lags);
    }
    for receiver in alerts::read_receivers(store)? {
        let pending = alerts::read_pending(store, &receiver.name)?.alerts;
        let changed_ns = pending.iter().map(|alert| alert.until_ns.unwrap_or(alert.since_ns));
        let Some(since_ns) = changed_ns.min() else { continue };
        lags.push(Lag {
            receiver: receiver.name,
            waiting: pending.len(),
            since_ns,
            failures: receiver.failures,
            last_failure: receiver.last_failure,
        });
    }
    Ok(lags)
}

/// Reads which calls were deleted because the store was at its bound of size.
fn read_shortage(store: &Store) -> Result<Option<Shortage>> {
    let sql = "SELECT MIN(min_start_ns), MAX(max_start_ns) FROM call_range WHERE failed_only = 1";
    let row = store.read_first_row(sql, [])?.unwrap_or_default();
    let number = |at: usize| row.get(at).and_then(Cell::to_integer);
    Ok(number(0).zip(number(1)).map(|(from_ns, until_ns)| Shortage { from_ns, until_ns }))
}

/// Returns the file name of a program.
pub(super) fn name_program(process: &Process) -> String {
    let file = process.executable.as_ref().and_then(|path| Path::new(path).file_name());
    file.map_or_else(|| process.service.clone(), |name| name.to_string_lossy().into_owned())
}
