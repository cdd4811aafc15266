//! The facts about the calls of one function: their rows with captured values, and their neighbours in the trees.

use std::collections::HashMap;

use anyhow::Result;

use super::attributes::{self, Attribute, Known};
use super::parts::{self, Spent};
use crate::model::basis::Basis;
use crate::model::forest::Forest;
use crate::model::names::Names;
use crate::model::period::Period;
use crate::model::ranges;
use crate::model::rows::{self, ROWS_MAX, Rows, WIDE_ROWS_MAX};
use crate::model::windows::{self, Selection, Sum};
use crate::pattern;
use crate::report::{self, Cell};
use crate::store::Store;

/// The largest numbers of rows that are read. If there are more, the newest rows are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows of the function.
    calls: usize,
    /// Rows of all functions, among which callers and callees are found.
    rows: usize,
}

impl Bounds {
    /// Those of a page that explains calls which a person chose.
    pub(crate) const WIDE: Self = Self::from_rows(WIDE_ROWS_MAX);
    /// Those of a page that is drawn again and again.
    pub(crate) const PAGE: Self = Self::from_rows(ROWS_MAX);

    /// Returns the bounds that go with this number of rows of all functions.
    pub(crate) const fn from_rows(rows: usize) -> Self {
        Self { calls: rows.div_ceil(10), rows }
    }
}

/// A call of the function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CallFacts {
    /// The id of the call.
    pub(crate) call_id: i64,
    /// The position of the store that it is from.
    pub(crate) store: usize,
    /// The start.
    pub(crate) start_ns: i64,
    /// The duration.
    pub(crate) duration_ns: i64,
    /// The calls that the row stands for.
    pub(crate) weight: f64,
    /// True if the call failed.
    pub(crate) is_failed: bool,
    /// The facts about the call by which it may differ from others.
    pub(crate) attributes: Vec<Attribute>,
    /// The parts of its time; `None` if the rows around it were not read.
    pub(crate) spent: Option<Spent>,
}

/// The content of a store about a function.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Counts and durations of all calls, exact.
    pub(crate) sum: Sum,
    /// The rows of the function.
    pub(crate) calls: Vec<CallFacts>,
    /// True if calls have captured arguments.
    pub(crate) has_args: bool,
    /// The amount of data behind the facts.
    pub(crate) basis: Basis,
}

/// Reads the facts of a store about the calls of a function within a span.
pub(crate) fn read(store: &Store, function: &str, period: Period, bounds: Bounds) -> Result<Facts> {
    let mut names = Names::default();
    let selection = Selection { period, function: Some(function), process: None };
    let sum = Sum::from_windows(&windows::read(store, selection, &mut names)?);
    let found = read_calls(store, function, period, bounds.calls)?;
    let newest = found.iter().map(|call| call.call_id).max().unwrap_or(0);
    let around = Rows::load_around(store, newest, (period, Period::WHOLE), bounds.rows)?;
    let forest = Forest::plant(&around.rows);
    let positions: HashMap<i64, usize> =
        around.rows.iter().enumerate().map(|(at, row)| (row.call_id, at)).collect();
    let basis = Basis {
        rows: found.len() as u64,
        windows: sum.windows,
        since_ns: found.iter().map(|call| call.start_ns).min(),
        until_ns: found.iter().map(|call| call.start_ns).max(),
        is_estimated: found.iter().any(|call| call.weight > 1.0),
        is_cut: found.len() >= bounds.calls,
        last_write_ns: None,
    }
    .with_last_write(store)?;
    let has_args = found.iter().any(|call| call.args.is_some());
    let calls = found
        .into_iter()
        .map(|call| {
            let at = positions.get(&call.call_id).copied();
            let caller = at.map(|at| describe_caller(&around, &forest, at));
            CallFacts {
                call_id: call.call_id,
                store: 0,
                start_ns: call.start_ns,
                duration_ns: call.duration_ns,
                weight: call.weight,
                is_failed: call.is_failed,
                attributes: attributes::collect(&call, caller),
                spent: at.map(|at| parts::measure(&around, &forest, at)),
            }
        })
        .collect();
    Ok(Facts { sum, calls, has_args, basis })
}

/// Reads the facts of several stores about the calls of a function within a span. The store is one more fact by which
/// calls differ.
pub(crate) fn read_all(
    stores: &[(&Store, &str)],
    function: &str,
    period: Period,
    bounds: Bounds,
) -> Result<Facts> {
    if let [(store, _)] = stores {
        return read(store, function, period, bounds);
    }
    let mut all = Facts { sum: Sum::default(), calls: Vec::new(), has_args: false, basis: Basis::default() };
    for (position, (store, label)) in stores.iter().enumerate() {
        let facts = read(store, function, period, bounds)?;
        all.sum.merge(&facts.sum);
        all.has_args |= facts.has_args;
        all.basis = all.basis.joined(&facts.basis);
        all.calls.extend(facts.calls.into_iter().map(|mut call| {
            let value = Known::Exact((*label).to_owned());
            call.attributes.push(Attribute { key: "store".to_owned(), value });
            CallFacts { store: position, ..call }
        }));
    }
    Ok(all)
}

/// Names the caller of a call.
fn describe_caller(rows: &Rows, forest: &Forest, at: usize) -> String {
    match (rows.rows[at].parent, forest.parent(at)) {
        (None, _) => "(root)".to_owned(),
        (Some(_), Some(parent)) => rows.names.text(rows.rows[parent].function).to_owned(),
        (Some(_), None) => "(not recorded)".to_owned(),
    }
}

/// A row of the function as it is stored.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredCall {
    pub(super) call_id: i64,
    pub(super) start_ns: i64,
    pub(super) duration_ns: i64,
    pub(super) weight: f64,
    pub(super) is_failed: bool,
    pub(super) thread: String,
    pub(super) process_id: i64,
    pub(super) args: Option<String>,
    pub(super) fields: Option<String>,
}

/// Reads the newest rows of a function, at most `limit`.
fn read_calls(store: &Store, function: &str, period: Period, limit: usize) -> Result<Vec<StoredCall>> {
    let within = rows::find_ids(store, period)?;
    let ids = ranges::find_newest_calls(store, &pattern::to_exact_globs(function), within, limit)?;
    let sql =
        "SELECT call_id, start_ns, duration_ns, weight, failed, thread, process_id, args, fields FROM calls
               WHERE call_id IN (SELECT value FROM json_each(?1)) AND start_ns BETWEEN ?2 AND ?3";
    let mut calls = Vec::new();
    let bound = (serde_json::to_string(&ids)?, period.from_ns, period.until_ns);
    store.read_rows(sql, bound, |row| {
        let cells = report::read_cells(row, 9)?;
        let number = |at: usize| cells[at].to_integer().unwrap_or(0);
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        let weight = cells[3].to_number().filter(|weight| *weight >= 1.0 && weight.is_finite());
        calls.push(StoredCall {
            call_id: number(0),
            start_ns: number(1),
            duration_ns: number(2).max(0),
            weight: weight.unwrap_or(1.0),
            is_failed: cells[4].to_integer() == Some(1),
            thread: cells[5].as_text().unwrap_or_default().to_owned(),
            process_id: number(6),
            args: text(7),
            fields: text(8).filter(|_| !Cell::is_null(&cells[8])),
        });
        Ok(())
    })?;
    Ok(calls)
}
