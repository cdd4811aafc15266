//! `monitor callers` and `monitor callees`: which functions call a function, which it calls, how often and for how long.
#![allow(
    clippy::similar_names,
    reason = "callers and callees, names and named values are the words of the subject"
)]

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use rusqlite::types::Value;

use super::{answer, open_stores, require_known_in};
use crate::arguments::{Common, EdgeOptions};
use crate::model::edges::{self, Caller, Edge};
use crate::model::forest::Forest;
use crate::model::names::Name;
use crate::model::repetition;
use crate::model::rows::{ROWS_MAX, Rows};
use crate::report::{Cell, Column, Report, Unit};
use crate::stores::store_column;
use crate::units::format_quantity;

/// The edges to show: those from the callers of a function, or those to its callees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Callers,
    Callees,
}

/// Prints the edges of a function on this side.
pub(super) fn run(common: &Common, options: &EdgeOptions, side: Side) -> Result<()> {
    let EdgeOptions { pattern, span, rows, limit } = options;
    let stores = &open_stores(common)?;
    let all = &stores.list();
    let rows = &Rows::load_all_of(all, pattern, span.period(common), rows.or(ROWS_MAX))?;
    require_known_in(stores, Some(pattern))?;
    let forest = Forest::plant(&rows.rows);
    let functions: HashSet<Name> = rows.select_functions(pattern).into_iter().collect();
    let is_wanted = |edge: &Edge| match (side, edge.caller) {
        (Side::Callers, _) => functions.contains(&edge.callee),
        (Side::Callees, Caller::Function(caller)) => functions.contains(&caller),
        (Side::Callees, _) => false,
    };
    let mut edges = edges::collect(rows, &forest);
    edges.retain(is_wanted);
    let found = edges.len();
    edges.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
    let repeated = repetition::find_in(all, rows, &forest)?;
    let repeated: HashMap<(Caller, Name), &repetition::Repetition> =
        repeated.iter().map(|found| ((Caller::Function(found.caller), found.callee), found)).collect();
    let sums = edges::sum_durations(rows);
    let basis = rows.basis().with_last_write_of(all)?;
    let build_row = |edge: &Edge| {
        let whole = match (side, edge.caller) {
            (Side::Callees, Caller::Function(caller)) => sums.get(&caller),
            _ => sums.get(&edge.callee),
        };
        let part = if side == Side::Callees { edge.covered_ns } else { edge.total_ns };
        let share = whole.filter(|whole| **whole > 0.0).map(|whole| (part / whole * 100.0).min(100.0));
        let mut cells = build_cells(rows, edge, share, repeated.get(&(edge.caller, edge.callee)).copied());
        cells.extend(answer::basis_cells(&basis));
        if stores.are_several() {
            cells.push(
                edge.most_call_id
                    .map_or(Value::Null, |_| stores.label(edge.most_store).to_owned().into())
                    .into(),
            );
        }
        cells
    };
    let mut columns = list_columns(side);
    if stores.are_several() {
        columns.push(store_column());
    }
    let report = Report { columns, rows: edges.iter().map(build_row).collect() };
    let title = match (functions.is_empty(), side) {
        (true, _) if rows.is_cut => {
            format!("no call of `{}` is among the rows that were read: --rows reads more", pattern.as_str())
        }
        (true, _) => format!("no call of `{}` has a row in this span", pattern.as_str()),
        (false, Side::Callers) => format_quantity(found, "caller", "callers"),
        (false, Side::Callees) => format_quantity(found, "callee", "callees"),
    };
    answer::print_of(common, stores, &title, &basis, &report)
}

fn build_cells(
    rows: &Rows,
    edge: &Edge,
    share: Option<f64>,
    repeated: Option<&repetition::Repetition>,
) -> Vec<Cell> {
    let caller = match edge.caller {
        Caller::Function(caller) => rows.names.text(caller),
        Caller::Root => "(root)",
        Caller::Unrecorded => "(not recorded)",
    };
    let number = |number: f64| Cell::estimate_if(edge.is_estimated, number);
    let most = |most: i64| Cell::estimate_if(edge.is_estimated, most);
    let mark = repeated.map(|found| format!("N+1: {} times below one call", found.most));
    vec![
        caller.to_owned().into(),
        rows.names.text(edge.callee).to_owned().into(),
        number(edge.calls),
        edge.failed.into(),
        edge.calls_per_parent().map_or(Value::Null.into(), number),
        edge.most_per_parent().map_or(Value::Null.into(), most),
        number(edge.total_ns),
        share.map_or(Value::Null, Value::from).into(),
        i64::from(repeated.is_some()).into(),
        edge.most_call_id.map_or(Value::Null, Value::from).into(),
        mark.map_or(Value::Null, Value::from).into(),
        i64::try_from(edge.rows).unwrap_or(i64::MAX).into(),
    ]
}

fn list_columns(side: Side) -> Vec<Column> {
    let (caller, callee) = match side {
        Side::Callers => {
            (Column::titled("caller", "CALLER", Unit::Name), Column::titled("callee", "OF", Unit::Name))
        }
        Side::Callees => {
            (Column::titled("caller", "OF", Unit::Name), Column::titled("callee", "CALLEE", Unit::Name))
        }
    };
    let mut columns = vec![
        caller,
        callee,
        Column::titled("calls", "CALLS", Unit::Count),
        Column::titled("failed", "FAILED", Unit::Count),
        Column::titled("calls_per_parent", "PER PARENT", Unit::Count),
        Column::titled("most_per_parent", "MOST", Unit::Count),
        Column::titled("total_ns", "TIME", Unit::Nanoseconds),
        Column::titled("share_pct", "SHARE", Unit::Percent),
        Column::data("n_plus_one"),
        Column::titled("most_call_id", "EXAMPLE", Unit::Number),
        Column::table("N+1", Unit::Text),
        Column::data("rows"),
    ];
    columns.extend(answer::basis_columns());
    columns
}
