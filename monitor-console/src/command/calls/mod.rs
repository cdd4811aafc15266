//! `monitor calls`: recorded calls, newest or longest first. The columns of a call are defined here for every
//! command that shows calls.
//!
//! A store may hold ten million calls, so the search reads only the narrow table `call`: ids descend from the
//! newest, partial indexes lead to failed and slow calls, `call_range` maps a point in time to an id, and a
//! function's windows tell where its calls can lie. The view is read only for the few ids found.

mod ranges;

use anyhow::Result;
use rusqlite::Row;
use rusqlite::types::Value;

use super::{open_store, print_heading, warn_if_unknown};
use crate::arguments::{CallKey, Calls, Common};
use crate::format;
use crate::report::{self, Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

/// The columns of the view `calls`, in its order.
pub(super) const COLUMNS: [&str; 26] = [
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
];

/// The lowest id that a call which started at `:since` or later can have.
pub(super) const FIRST_SINCE: &str = "
COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= :since),
         (SELECT MAX(last_call) + 1 FROM call_range), 0)";

pub(super) fn run(common: &Common, arguments: &Calls) -> Result<()> {
    let store = open_store(common)?;
    let report = find_calls(&store, common, arguments)?;
    print_heading(common, &store, &format_quantity(report.rows.len(), "call", "calls"));
    if report.rows.is_empty() {
        warn_if_unknown(common, &store, arguments.pattern.as_ref())?;
    }
    format::print(&report, common.style())
}

fn find_calls(store: &Store, common: &Common, arguments: &Calls) -> Result<Report> {
    let mut search = Search::new(common, arguments);
    let ids = match &arguments.pattern {
        Some(pattern) => {
            let mut ids = Vec::new();
            for range in ranges::find_ranges(store, pattern)? {
                ids.extend(search.find_ids(store, Some(range))?);
                // Ranges come newest first. The newest calls need no further range; the longest calls need
                // all.
                if arguments.sort == CallKey::Time && ids.len() >= arguments.limit as usize {
                    break;
                }
            }
            ids
        }
        None => search.find_ids(store, None)?,
    };
    let order = match arguments.sort {
        CallKey::Time => "call_id",
        CallKey::Duration => "duration_ns DESC, call_id",
    };
    let sql = format!(
        "SELECT {} FROM calls WHERE call_id IN (SELECT value FROM json_each(?1))
         ORDER BY {order} DESC LIMIT ?2",
        COLUMNS.join(", ")
    );
    let mut report = Report { columns: list_columns(), rows: Vec::new() };
    store.read_rows(&sql, (serde_json::to_string(&ids)?, arguments.limit), |found| {
        report.rows.push(read_row(found)?);
        Ok(())
    })?;
    Ok(report)
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
        let mut bound: Vec<(&str, Value)> = vec![(":limit", i64::from(arguments.limit).into())];
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
            conditions
                .push("(SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start >= :since".to_owned());
            bound.push((":since", units::start_of_span(common.since).into()));
        }
        let order = match arguments.sort {
            CallKey::Time => "c.id",
            CallKey::Duration => "c.duration DESC, c.id",
        };
        Self { conditions, bound, order }
    }

    /// Returns the first ids up to the limit, of all calls or of those in a range.
    fn find_ids(&mut self, store: &Store, range: Option<ranges::Range>) -> Result<Vec<i64>> {
        let (conditions, bound) = (self.conditions.len(), self.bound.len());
        if let Some(range) = range {
            self.conditions.push("c.id BETWEEN :first AND :last".to_owned());
            self.bound.extend([(":first", range.first.into()), (":last", range.last.into())]);
        }
        let filter = match self.conditions.as_slice() {
            [] => String::new(),
            conditions => format!("WHERE {}", conditions.join(" AND ")),
        };
        let sql = format!("SELECT c.id FROM call c {filter} ORDER BY {} DESC LIMIT :limit", self.order);
        let values: Vec<_> =
            self.bound.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect();
        let mut ids = Vec::new();
        store.read_rows(&sql, values.as_slice(), |row| {
            ids.push(row.get(0)?);
            Ok(())
        })?;
        self.conditions.truncate(conditions);
        self.bound.truncate(bound);
        Ok(ids)
    }
}

/// Returns the view's columns for data, followed by those of the table.
pub(super) fn list_columns() -> Vec<Column> {
    let table = [
        Column::table("CALL", Unit::Number),
        Column::table("STARTED (UTC)", Unit::Time),
        Column::table("DURATION", Unit::Nanoseconds),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("WEIGHT", Unit::Count),
        Column::table("FUNCTION", Unit::Name),
        Column::table("ARGUMENTS → RESULT", Unit::Text),
    ];
    COLUMNS.into_iter().map(Column::data).chain(table).collect()
}

/// Reads the cells of a row that was selected as [`COLUMNS`], followed by those of the table.
pub(super) fn read_row(row: &Row<'_>) -> Result<Vec<Cell>> {
    let mut cells = report::read_cells(row, COLUMNS.len())?;
    let unchanged =
        ["call_id", "start_ns", "duration_ns", "outcome"].map(|name| find_cell(&cells, name).clone());
    let weight = round_weight(find_cell(&cells, "weight"));
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

/// Returns the number of calls that a row stands for: 1, or an estimate if the call was sampled.
fn round_weight(weight: &Cell) -> Cell {
    match weight.to_number() {
        Some(weight) if weight > 1.0 => Cell::estimate(weight.round()),
        _ => Cell::from(1_i64),
    }
}

/// Describes arguments, fields and result or error: `{"id":7} → {"total":12}`, or `{"id":7} ✗ out of stock`.
fn describe_values(cells: &[Cell]) -> Cell {
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
