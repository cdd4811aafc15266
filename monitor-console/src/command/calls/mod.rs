//! `monitor calls`: recorded calls, newest or longest first. The columns of a call are defined here for every
//! command that shows calls.
//!
//! A store may hold ten million calls, so the search reads only the narrow table `call`: ids descend from the newest,
//! partial indexes lead to failed and slow calls, `call_range` maps a point in time to an id, and the zones of a range,
//! or a function's windows, show where its calls can lie. The view is read only for the ids found, a thousand at a
//! time, so the memory does not grow with `--limit` and the first rows are printed at once.

use std::cmp::Reverse;

use anyhow::Result;
use rusqlite::Row;
use rusqlite::types::Value;

use super::{
    describe_absence, open_stores, print_failures, print_heading, print_heading_of, require_known,
    require_known_in,
};
use crate::arguments::{CallKey, Calls, Common};
use crate::format::{self, Format, Pace};
use crate::model::longest::Longest;
use crate::model::ranges;
use crate::report::{self, Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::Stores;
use crate::units::{self, format_quantity};

/// The columns of the view `calls`, in its order.
pub(super) const COLUMNS: [&str; 30] = [
    "call_id",
    "start_ns",
    "start_s",
    "duration_ns",
    "duration_ms",
    "busy_ns",
    "function",
    "outcome",
    "failed",
    "error",
    "args",
    "result",
    "fields",
    "weight",
    "kept",
    "trace_id",
    "span_id",
    "parent_id",
    "thread",
    "service",
    "file",
    "line",
    "group_name",
    "host",
    "pid",
    "process_id",
    "folded",
    "origin",
    "caused_by",
    "thread_id",
];

/// The lowest id that a call which started at `:since` or later can have.
pub(super) const FIRST_SINCE: &str = "
COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= :since),
         (SELECT MAX(last_call) + 1 FROM call_range), 0)";

/// The text in place of the values of a slow call without values.
pub(super) const NO_VALUES: &str = "(no values: it was not sampled when it began)";

/// The number of ids that are looked up in the view at once. It is small, so that the rows take little memory and the
/// first ones are printed soon.
const IDS_AT_ONCE: usize = 1_000;

pub(super) fn run(common: &Common, arguments: &Calls) -> Result<()> {
    let stores = open_stores(common)?;
    match stores.list().as_slice() {
        [store] => run_on(common, arguments, store),
        _ => run_on_several(common, arguments, &stores),
    }
}

/// Prints the calls of one store as they are found.
fn run_on(common: &Common, arguments: &Calls, store: &Store) -> Result<()> {
    let format = format::create_for_stdout(common.style(), Pace::Whole);
    let mut printer = Printer::new(store, common, arguments, format);
    printer.is_heading_wanted = true;
    find(common, arguments, store, &mut printer)?;
    printer.finish()
}

/// Prints the calls of several stores together: at most `--limit` of each are found, and the first of all are shown.
fn run_on_several(common: &Common, arguments: &Calls, stores: &Stores) -> Result<()> {
    require_known_in(stores, arguments.pattern.as_ref())?;
    let (mut report, failures) = stores.join(|store| {
        let mut collected = Collected::default();
        let mut printer = Printer::new(store, common, arguments, Box::new(&mut collected));
        find(common, arguments, store, &mut printer)?;
        printer.finish()?;
        Ok(Report { columns: list_columns(), rows: collected.rows })
    })?;
    print_failures(&failures);
    let key = match arguments.sort {
        CallKey::Time => "start_ns",
        CallKey::Duration => "duration_ns",
    };
    report.rows.sort_by_key(|row| Reverse(find_cell(row, key).to_integer()));
    report.rows.truncate(arguments.limit as usize);
    let mut title = format_quantity(report.rows.len(), "call", "calls");
    if report.rows.is_empty() {
        title += &describe_absence(common, &stores.list())?;
    }
    print_heading_of(common, stores, &title);
    format::print(&report, common.style())
}

/// Finds the calls of a store that the options select, and hands them to the printer.
fn find(common: &Common, arguments: &Calls, store: &Store, printer: &mut Printer<'_>) -> Result<()> {
    let mut search = Search::new(common, arguments);
    match arguments.sort {
        CallKey::Time => {
            let ranges = match &arguments.pattern {
                Some(pattern) => ranges::find_ranges(store, &pattern.to_globs())?,
                None => vec![ranges::Range { first: i64::MIN, last: i64::MAX }],
            };
            find_newest(&mut search, &ranges, printer)
        }
        CallKey::Duration => {
            let ranges = ranges::find_longest(store, arguments.pattern.as_ref())?;
            find_longest(&mut search, &ranges, printer)
        }
    }
}

/// The rows of one store, collected in memory until the rows of all stores are read.
#[derive(Default)]
struct Collected {
    rows: Vec<Vec<Cell>>,
}

impl Format for &mut Collected {
    fn write_columns(&mut self, _columns: &[Column]) -> Result<()> {
        Ok(())
    }
    fn write_row(&mut self, cells: &[Cell]) -> Result<()> {
        self.rows.push(cells.to_vec());
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Finds the newest calls and hands them on as they are found. Ranges come newest first.
fn find_newest(search: &mut Search, ranges: &[ranges::Range], printer: &mut Printer<'_>) -> Result<()> {
    let mut wanted = printer.arguments.limit as usize;
    for range in ranges {
        let mut rest = *range;
        while wanted > 0 {
            let count = wanted.min(IDS_AT_ONCE);
            let found = search.find(printer.store, rest, count)?;
            for call in &found {
                printer.add(call.id)?;
            }
            wanted -= found.len();
            match found.last() {
                Some(last) if found.len() == count => rest.last = last.id - 1,
                _ => break,
            }
        }
    }
    Ok(())
}

/// Finds the longest calls of all ranges. Ranges come with the longest call that each can have, the longest first, so the search
/// ends at the first range that cannot add a call.
fn find_longest(search: &mut Search, ranges: &[ranges::Bounded], printer: &mut Printer<'_>) -> Result<()> {
    let limit = printer.arguments.limit as usize;
    let mut longest = Longest::new(limit);
    for range in ranges {
        if longest.exceeds(range.longest_ns) {
            break;
        }
        for call in search.find(printer.store, range.ids, limit)? {
            longest.add(call.id, call.duration);
        }
    }
    longest.into_ids().try_for_each(|id| printer.add(id))
}

/// Prints calls in the order in which their ids are added, [`IDS_AT_ONCE`] at a time.
struct Printer<'a> {
    store: &'a Store,
    common: &'a Common,
    arguments: &'a Calls,
    format: Box<dyn Format + 'a>,
    waiting: Vec<i64>,
    is_begun: bool,
    /// True if a heading names the store.
    is_heading_wanted: bool,
}

impl<'a> Printer<'a> {
    fn new(store: &'a Store, common: &'a Common, arguments: &'a Calls, format: Box<dyn Format + 'a>) -> Self {
        let waiting = Vec::new();
        Self { store, common, arguments, format, waiting, is_begun: false, is_heading_wanted: false }
    }

    fn add(&mut self, id: i64) -> Result<()> {
        if self.waiting.len() == IDS_AT_ONCE {
            self.begin(&format!("at most {} calls", self.arguments.limit))?;
            self.print_waiting()?;
        }
        self.waiting.push(id);
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if self.is_heading_wanted && !self.is_begun && self.waiting.is_empty() {
            require_known(self.store, self.arguments.pattern.as_ref())?;
        }
        let mut title = format_quantity(self.waiting.len(), "call", "calls");
        if self.is_heading_wanted && !self.is_begun && self.waiting.is_empty() {
            title += &describe_absence(self.common, &[self.store])?;
        }
        self.begin(&title)?;
        self.print_waiting()?;
        self.format.finish()
    }

    /// Prints the heading and the columns once.
    fn begin(&mut self, title: &str) -> Result<()> {
        if self.is_begun {
            return Ok(());
        }
        self.is_begun = true;
        if self.is_heading_wanted {
            print_heading(self.common, self.store, title);
        }
        self.format.write_columns(&list_columns())
    }

    fn print_waiting(&mut self) -> Result<()> {
        let order = match self.arguments.sort {
            CallKey::Time => "call_id",
            CallKey::Duration => "duration_ns DESC, call_id",
        };
        let sql = format!(
            "SELECT {} FROM calls WHERE call_id IN (SELECT value FROM json_each(?1)) ORDER BY {order} DESC",
            select_columns(self.store)?
        );
        let ids = serde_json::to_string(&self.waiting)?;
        self.waiting.clear();
        self.store.stream_rows(&sql, [ids], |row| self.format.write_row(&read_row(row)?))
    }
}

/// A call that a search found.
#[derive(Debug, Clone, Copy)]
struct FoundCall {
    id: i64,
    duration: i64,
}

/// A search over the narrow table `call`: its conditions, the values bound to their names, and its order.
struct Search {
    conditions: Vec<String>,
    bound: Vec<(&'static str, Value)>,
    order: &'static str,
}

impl Search {
    fn new(common: &Common, arguments: &Calls) -> Self {
        let mut conditions = Vec::new();
        let mut bound: Vec<(&str, Value)> = Vec::new();
        match (arguments.failed, arguments.slow) {
            (true, true) => conditions.push("(c.kind > 3 OR (c.kind & 3) = 1)".to_owned()),
            (true, false) => conditions.push("c.kind > 3".to_owned()),
            (false, true) => conditions.push("(c.kind & 3) = 1".to_owned()),
            (false, false) => {}
        }
        if let Some(min) = arguments.min {
            conditions.push("c.duration >= :min".to_owned());
            bound.push((":min", units::to_nanoseconds(min).into()));
        }
        if let Some(pattern) = &arguments.pattern {
            let [whole, ending] = pattern.to_globs();
            conditions.push(format!("c.function_id IN ({})", ranges::FUNCTIONS));
            bound.extend([(":whole", whole.into()), (":ending", ending.into())]);
        }
        if common.since.is_some() {
            conditions.push(format!("c.id >= {FIRST_SINCE}"));
            conditions.push(
                "(SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start BETWEEN :since AND :until"
                    .to_owned(),
            );
            bound.push((":since", units::start_of_span(common.since).into()));
            bound.push((":until", units::end_of_span().into()));
        }
        let order = match arguments.sort {
            CallKey::Time => "c.id",
            CallKey::Duration => "c.duration DESC, c.id",
        };
        Self { conditions, bound, order }
    }

    /// Returns the first calls of a range, at most `count`.
    fn find(&mut self, store: &Store, range: ranges::Range, count: usize) -> Result<Vec<FoundCall>> {
        let (conditions, bound) = (self.conditions.len(), self.bound.len());
        self.conditions.push("c.id BETWEEN :first AND :last".to_owned());
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.bound.extend([
            (":first", range.first.into()),
            (":last", range.last.into()),
            (":limit", count.into()),
        ]);
        let filter = self.conditions.join(" AND ");
        let sql = format!(
            "SELECT c.id, c.duration FROM call c WHERE {filter} ORDER BY {} DESC LIMIT :limit",
            self.order
        );
        let values: Vec<_> =
            self.bound.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect();
        let mut calls = Vec::new();
        store.read_rows(&sql, values.as_slice(), |row| {
            calls.push(FoundCall { id: row.get(0)?, duration: row.get(1)? });
            Ok(())
        })?;
        self.conditions.truncate(conditions);
        self.bound.truncate(bound);
        Ok(calls)
    }
}

/// Returns the view's columns for data, followed by those of the table.
pub(super) fn list_columns() -> Vec<Column> {
    COLUMNS.into_iter().map(Column::data).chain(table_columns()).collect()
}

/// Returns the columns of a table of calls.
pub(in crate::command) fn table_columns() -> [Column; 7] {
    [
        Column::table("CALL", Unit::Number),
        Column::table("STARTED (UTC)", Unit::Time),
        Column::table("DURATION", Unit::Nanoseconds),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("WEIGHT", Unit::Count),
        Column::table("FUNCTION", Unit::Name),
        Column::table("ARGUMENTS → RESULT", Unit::Text),
    ]
}

/// Returns [`COLUMNS`] as they are selected. An older store has no shared rows, no failure that was passed on,
/// and no numbers of threads.
pub(super) fn select_columns(store: &Store) -> Result<String> {
    let is_new = store.has_span_blocks()?;
    let select = |column: &&'static str| match *column {
        "folded" | "caused_by" | "thread_id" if !is_new => "NULL",
        "origin" if !is_new => "failed",
        column => column,
    };
    Ok(COLUMNS.iter().map(select).collect::<Vec<_>>().join(", "))
}

/// Reads the cells of a row that was selected as [`COLUMNS`], followed by those of the table.
pub(super) fn read_row(row: &Row<'_>) -> Result<Vec<Cell>> {
    let mut cells = report::read_cells(row, COLUMNS.len())?;
    let unchanged =
        ["call_id", "start_ns", "duration_ns", "outcome"].map(|name| find_cell(&cells, name).clone());
    let weight = round_weight(find_cell(&cells, "weight"), find_cell(&cells, "folded"));
    let function = find_cell(&cells, "function").clone();
    let values = describe_values(&cells);
    cells.extend(unchanged);
    cells.extend([weight, function, values]);
    Ok(cells)
}

/// Returns the cell of the column with this name, or the first cell if no column has it.
pub(super) fn find_cell<'a>(cells: &'a [Cell], name: &str) -> &'a Cell {
    &cells[COLUMNS.iter().position(|column| *column == name).unwrap_or(0)]
}

/// Returns the number of calls that a row stands for: 1, the number of calls that share it, or an estimate if calls were
/// sampled.
fn round_weight(weight: &Cell, folded: &Cell) -> Cell {
    match weight.to_number() {
        weight if weight.is_some() && weight == folded.to_number() => folded.clone(),
        Some(weight) if weight > 1.0 => Cell::estimate(weight.round()),
        _ => Cell::from(1_i64),
    }
}

/// Returns true for a slow call without any values: when it began, it was only counted or timed.
pub(super) fn has_no_values(cells: &[Cell]) -> bool {
    let is_missing = |name: &&str| find_cell(cells, name).is_null();
    let is_slow = find_cell(cells, "kept").as_text() == Some("slow");
    is_slow && ["args", "result", "error", "fields"].iter().all(is_missing)
}

/// Describes arguments, fields and result or error: `{"id":7} → {"total":12}`, or `{"id":7} ✗ out of stock`.
fn describe_values(cells: &[Cell]) -> Cell {
    if has_no_values(cells) {
        return NO_VALUES.to_owned().into();
    }
    let text = |name: &str| find_cell(cells, name).as_text();
    let end = match (text("error"), text("result")) {
        (Some(error), _) => Some(format!("✗ {error}")),
        (None, Some(result)) => Some(format!("→ {result}")),
        (None, None) => None,
    };
    let fields = text("fields").map(|fields| format!("+ {fields}"));
    let parts: Vec<_> = text("args").map(str::to_owned).into_iter().chain(fields).chain(end).collect();
    parts.join(" ").into()
}
