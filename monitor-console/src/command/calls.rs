//! `monitor calls`: recorded calls, newest or longest first; and what a call's row looks like wherever
//! one is shown.
//!
//! Ten million rows are nothing special here, so the search runs over the narrow table alone: ids go
//! down from the newest, partial indexes lead to failed and slow calls, `call_range` turns a moment
//! into an id, and a function's windows say where its calls can lie. The view is asked only for the few
//! ids found.

mod ranges;

use anyhow::Result;
use rusqlite::Row;
use rusqlite::types::Value;

use super::{heading, open, remark};
use crate::arguments::{CallKey, Calls, Common};
use crate::format::{self, Pace};
use crate::pattern::Pattern;
use crate::report::{self, Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units;

/// The columns of the view, in its order.
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

/// The first id that a call begun at `:since` or later can have.
pub(super) const FIRST_SINCE: &str = "
COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= :since),
         (SELECT MAX(last_call) + 1 FROM call_range), 0)";

pub(super) fn run(common: &Common, arguments: &Calls) -> Result<()> {
    let store = open(common)?;
    let report = found(&store, common, arguments)?;
    heading(common, &store, &super::counted(report.rows.len(), "call"));
    if let (true, Some(pattern)) = (report.rows.is_empty(), &arguments.pattern) {
        warn_of_unknown(common, &store, pattern)?;
    }
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

fn found(store: &Store, common: &Common, arguments: &Calls) -> Result<Report> {
    let mut search = Search::new(common, arguments);
    let ids = match &arguments.pattern {
        Some(pattern) => {
            let mut ids = Vec::new();
            for range in ranges::of(store, pattern)? {
                ids.extend(search.ids(store, Some(range))?);
                // Newer ranges come first; for the longest calls all of them have to be seen.
                if arguments.sort == CallKey::Time && ids.len() >= arguments.limit as usize {
                    break;
                }
            }
            ids
        }
        None => search.ids(store, None)?,
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
    let mut report = Report { columns: columns(), rows: Vec::new() };
    store.rows(&sql, (serde_json::to_string(&ids)?, arguments.limit), |found| {
        report.rows.push(row(found)?);
        Ok(())
    })?;
    Ok(report)
}

/// What is asked of a call, over the narrow table.
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
            bound.push((":min", units::nanoseconds(min).into()));
        }
        if let Some(pattern) = &arguments.pattern {
            let [whole, ending] = pattern.globs();
            conditions.push(format!("c.function_id IN ({})", ranges::FUNCTIONS));
            bound.extend([(":whole", whole.into()), (":ending", ending.into())]);
        }
        if let Some(span) = common.since {
            conditions.push(format!("c.id >= {FIRST_SINCE}"));
            conditions
                .push("(SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start >= :since".to_owned());
            bound.push((":since", units::before(units::now_ns(), span).into()));
        }
        let order = match arguments.sort {
            CallKey::Time => "c.id",
            CallKey::Duration => "c.duration DESC, c.id",
        };
        Self { conditions, bound, order }
    }

    /// The first so many ids, of all calls or of those in a range.
    fn ids(&mut self, store: &Store, range: Option<ranges::Range>) -> Result<Vec<i64>> {
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
        store.rows(&sql, values.as_slice(), |row| {
            ids.push(row.get(0)?);
            Ok(())
        })?;
        self.conditions.truncate(conditions);
        self.bound.truncate(bound);
        Ok(ids)
    }
}

/// Tells a name that nothing has from one that had no such calls.
pub(super) fn warn_of_unknown(common: &Common, store: &Store, pattern: &Pattern) -> Result<()> {
    let known = store.first(
        "SELECT 1 FROM function WHERE name GLOB ?1 OR name GLOB ?2 LIMIT 1",
        rusqlite::params_from_iter(pattern.globs()),
    )?;
    if known.is_none() {
        remark(
            common,
            &format!("no function here is named `{}`: `monitor top` lists them", pattern.as_str()),
        );
    }
    Ok(())
}

/// The view's columns as data, and a few of them for the table.
pub(super) fn columns() -> Vec<Column> {
    let table = [
        Column::table("CALL", Unit::Number),
        Column::table("STARTED (UTC)", Unit::Moment),
        Column::table("DURATION", Unit::Nanoseconds),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("WEIGHT", Unit::Count),
        Column::table("FUNCTION", Unit::Name),
        Column::table("ARGUMENTS → RESULT", Unit::Text),
    ];
    COLUMNS.into_iter().map(Column::data).chain(table).collect()
}

/// The cells of a row that was selected as [`COLUMNS`].
pub(super) fn row(row: &Row<'_>) -> Result<Vec<Cell>> {
    let data = (0..COLUMNS.len()).map(|at| Ok(report::cell(row.get_ref(at)?)));
    let mut cells = data.collect::<Result<Vec<_>>>()?;
    let shown = ["call_id", "start_ns", "duration_ns", "outcome"].map(|name| named(&cells, name).clone());
    let weight = stands_for(named(&cells, "weight"));
    let function = named(&cells, "function").clone();
    let story = story(&cells);
    cells.extend(shown);
    cells.extend([weight, function, story]);
    Ok(cells)
}

/// A cell by the column's name; the first where there is none of that name.
pub(super) fn named<'a>(cells: &'a [Cell], name: &str) -> &'a Cell {
    &cells[COLUMNS.iter().position(|column| *column == name).unwrap_or(0)]
}

/// One call, or about so many where the row was drawn from more.
fn stands_for(weight: &Cell) -> Cell {
    match weight.number() {
        Some(weight) if weight > 1.0 => Cell::estimate(weight.round()),
        _ => Cell::from(1_i64),
    }
}

/// `{"id":7} → {"total":12}`, or `{"id":7} ✗ out of stock`.
fn story(cells: &[Cell]) -> Cell {
    let text = |name: &str| match &named(cells, name).value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    };
    let end = match (text("error"), text("result")) {
        (Some(error), _) => Some(format!("✗ {error}")),
        (None, Some(result)) => Some(format!("→ {result}")),
        (None, None) => None,
    };
    let fields = text("fields").map(|fields| format!("+ {fields}"));
    let parts: Vec<_> = text("args").map(str::to_owned).into_iter().chain(fields).chain(end).collect();
    parts.join(" ").into()
}
