//! `monitor calls`: recorded calls, newest or longest first. The table of calls is defined here for every command that
//! shows calls.
//!
//! The view is read only for the ids found, a thousand at a time, so the memory does not grow with `--limit` and the
//! first rows are printed at once.

use std::cmp::Reverse;

use anyhow::Result;

use super::{
    describe_absence, open_stores, print_failures, print_heading, print_heading_of, require_known,
    require_known_in,
};
use crate::arguments::{CallKey, Calls, Common};
use crate::format::{self, Format, Pace};
use crate::model::call_row::{COLUMNS, find_cell};
use crate::model::calls::{self, IDS_AT_ONCE, Order, Query};
use crate::model::period::Period;
use crate::model::scope::Scope;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::Stores;
use crate::units::{self, format_quantity};

// Commands name the lowest id of a span by this path.

/// The text in place of the values of a slow call without values.
pub(super) const NO_VALUES: &str = "(no values: it was not sampled when it began)";

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
    let scope = Scope { period: Period::select(common.since, None, None), processes: None };
    let query = Query {
        scope: &scope,
        pattern: arguments.pattern.as_ref(),
        is_failed: arguments.failed,
        is_slow: arguments.slow,
        min_ns: arguments.min.map(units::to_nanoseconds),
        max_ns: None,
        before: None,
        order: to_order(arguments.sort),
        limit: arguments.limit as usize,
    };
    calls::visit_ids(store, &query, query.limit, |id| printer.add(id))
}

fn to_order(key: CallKey) -> Order {
    match key {
        CallKey::Time => Order::Newest,
        CallKey::Duration => Order::Longest,
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
        let (order, ids) = (to_order(self.arguments.sort), std::mem::take(&mut self.waiting));
        calls::visit_rows(self.store, &ids, order, |cells| self.format.write_row(&add_table_cells(cells)))
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

/// Returns the cells of a call with [`COLUMNS`], followed by those of the table.
pub(super) fn add_table_cells(mut cells: Vec<Cell>) -> Vec<Cell> {
    let unchanged =
        ["call_id", "start_ns", "duration_ns", "outcome"].map(|name| find_cell(&cells, name).clone());
    let weight = round_weight(find_cell(&cells, "weight"), find_cell(&cells, "folded"));
    let function = find_cell(&cells, "function").clone();
    let values = describe_values(&cells);
    cells.extend(unchanged);
    cells.extend([weight, function, values]);
    cells
}

/// Returns the number of calls that a row stands for: 1, the number of calls that share it, or an estimate if calls
/// were sampled.
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
