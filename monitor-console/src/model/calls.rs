//! Recorded calls, found by function, outcome, duration, time and process, a page at a time.
//!
//! Takes conditions and the id before which a page ends; gives rows of the view `calls`. The next page is found by the last
//! id of this one, never by counting rows, so that each page costs the same.
//!
//! A store may hold ten million calls, so the search reads only the narrow table `call`: ids descend from the newest,
//! partial indexes lead to failed and slow calls, `call_range` maps a point in time to an id, and the zones of a range,
//! or a function's windows, show where its calls can lie. The view is read only for the ids found.

use anyhow::Result;
use rusqlite::types::Value;

use super::call_row;
use super::longest::Longest;
use super::ranges::{self, FIRST_SINCE};
use super::scope::Scope;
use crate::pattern::Pattern;
use crate::report::{self, Cell};
use crate::store::Store;

/// The number of ids that are looked for at once. It is small, so that the first calls are found soon.
pub(crate) const IDS_AT_ONCE: usize = 1_000;

/// The order of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The newest first.
    Newest,
    /// The longest first. This order has one page only.
    Longest,
}

/// The conditions on calls.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a> {
    /// The span of time and the processes.
    pub(crate) scope: &'a Scope,
    /// The functions.
    pub(crate) pattern: Option<&'a Pattern>,
    /// True for failed calls alone.
    pub(crate) is_failed: bool,
    /// True for calls alone that have a row because they were slow.
    pub(crate) is_slow: bool,
    /// The shortest duration, in ns.
    pub(crate) min_ns: Option<i64>,
    /// The longest duration, in ns.
    pub(crate) max_ns: Option<i64>,
    /// The id below which the ids of all calls of the page lie.
    pub(crate) before: Option<i64>,
    /// The order.
    pub(crate) order: Order,
    /// The most calls of a page.
    pub(crate) limit: usize,
}

/// A page of calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The names of the columns of the view, as far as the store has them.
    pub(crate) columns: Vec<String>,
    /// The calls.
    pub(crate) calls: Vec<Vec<Cell>>,
    /// True if calls follow that are not on this page.
    pub(crate) has_more: bool,
}

impl Page {
    /// Returns the cell of a call; NULL if the store has no such column.
    pub(crate) fn cell(&self, call: &[Cell], name: &str) -> Cell {
        let at = self.columns.iter().position(|column| column == name);
        at.and_then(|at| call.get(at).cloned()).unwrap_or_else(|| Value::Null.into())
    }
}

/// Finds a page of calls.
pub(crate) fn find(store: &Store, query: &Query<'_>) -> Result<Page> {
    let mut ids = Vec::new();
    visit_ids(store, query, query.limit.saturating_add(1), |id| {
        ids.push(id);
        Ok(())
    })?;
    let has_more = ids.len() > query.limit;
    ids.truncate(query.limit);
    Ok(Page { has_more, ..read(store, &ids, query.order)? })
}

/// Reads the calls with these ids.
pub(crate) fn read(store: &Store, ids: &[i64], order: Order) -> Result<Page> {
    let columns = store.read_column_names("SELECT * FROM calls")?;
    let sql = select_rows("*", order);
    let mut calls = Vec::new();
    store.read_rows(&sql, [serde_json::to_string(ids)?], |row| {
        calls.push(report::read_cells(row, columns.len())?);
        Ok(())
    })?;
    Ok(Page { columns, calls, has_more: false })
}

/// Hands the calls with these ids to a closure, each as cells with [`call_row::COLUMNS`].
pub(crate) fn visit_rows(
    store: &Store,
    ids: &[i64],
    order: Order,
    mut found: impl FnMut(Vec<Cell>) -> Result<()>,
) -> Result<()> {
    let sql = select_rows(&call_row::select_columns(store)?, order);
    store.stream_rows(&sql, [serde_json::to_string(ids)?], |row| found(call_row::read(row)?))
}

/// Returns the statement that reads columns of the calls whose ids are given as a JSON array.
fn select_rows(columns: &str, order: Order) -> String {
    let order = match order {
        Order::Newest => "call_id",
        Order::Longest => "duration_ns DESC, call_id",
    };
    format!(
        "SELECT {columns} FROM calls WHERE call_id IN (SELECT value FROM json_each(?1)) ORDER BY {order} DESC"
    )
}

/// Hands the ids of at most `limit` calls to a closure, in the order of the query. The newest calls are handed on as
/// they are found, a thousand at a time, so that the memory does not grow with the limit.
pub(crate) fn visit_ids(
    store: &Store,
    query: &Query<'_>,
    limit: usize,
    found: impl FnMut(i64) -> Result<()>,
) -> Result<()> {
    match query.order {
        Order::Newest => visit_newest(store, query, limit, found),
        Order::Longest => visit_longest(store, query, limit, found),
    }
}

fn visit_newest(
    store: &Store,
    query: &Query<'_>,
    limit: usize,
    mut found: impl FnMut(i64) -> Result<()>,
) -> Result<()> {
    let whole = vec![ranges::Range { first: i64::MIN, last: i64::MAX }];
    let ranges =
        query.pattern.map_or(Ok(whole), |pattern| ranges::find_ranges(store, &pattern.to_globs()))?;
    let mut search = Search::new(store, query)?;
    let mut wanted = limit;
    for mut range in ranges {
        if let Some(before) = query.before {
            range.last = range.last.min(before.saturating_sub(1));
        }
        while wanted > 0 && range.first <= range.last {
            let count = wanted.min(IDS_AT_ONCE);
            let calls = search.find(store, range, count)?;
            calls.iter().try_for_each(|(id, _)| found(*id))?;
            wanted -= calls.len();
            match calls.last() {
                Some((last, _)) if calls.len() == count => range.last = last - 1,
                _ => break,
            }
        }
    }
    Ok(())
}

/// Ranges come with the longest call that each can have, so the search ends at the first range that cannot add a call.
fn visit_longest(
    store: &Store,
    query: &Query<'_>,
    limit: usize,
    found: impl FnMut(i64) -> Result<()>,
) -> Result<()> {
    let mut search = Search::new(store, query)?;
    let mut longest = Longest::new(limit);
    for range in ranges::find_longest(store, query.pattern, query.scope.period)? {
        if longest.exceeds(range.longest_ns) {
            break;
        }
        for (id, duration) in search.find(store, range.ids, limit)? {
            longest.add(id, duration);
        }
    }
    longest.into_ids().try_for_each(found)
}

/// A search over the narrow table `call`: its conditions and the values bound to their names.
struct Search {
    conditions: Vec<String>,
    bound: Vec<(&'static str, Value)>,
    order: &'static str,
}

impl Search {
    fn new(store: &Store, query: &Query<'_>) -> Result<Self> {
        let mut search = Self {
            conditions: vec!["c.id BETWEEN :first AND :last".to_owned()],
            bound: Vec::new(),
            order: if query.order == Order::Newest { "c.id" } else { "c.duration DESC, c.id" },
        };
        match (query.is_failed, query.is_slow) {
            (true, true) => search.add("(c.kind > 3 OR (c.kind & 3) = 1)", []),
            (true, false) => search.add("c.kind > 3", []),
            (false, true) => search.add("(c.kind & 3) = 1", []),
            (false, false) => {}
        }
        if let Some(min) = query.min_ns {
            search.add("c.duration >= :min", [(":min", min.into())]);
        }
        if let Some(max) = query.max_ns {
            search.add("c.duration <= :max", [(":max", max.into())]);
        }
        if let Some(pattern) = query.pattern {
            // The names are compared once and not again in each range.
            let functions = serde_json::to_string(&ranges::find_functions(store, pattern)?)?;
            let condition = "c.function_id IN (SELECT value FROM json_each(:functions))";
            search.add(condition, [(":functions", functions.into())]);
        }
        if let Some(processes) = query.scope.processes_json() {
            let condition = "c.thread_id IN (SELECT id FROM thread WHERE process_id IN (SELECT value FROM json_each(:processes)))";
            search.add(condition, [(":processes", processes.into())]);
        }
        let period = query.scope.period;
        if !period.is_whole() {
            let condition = format!(
                "c.id >= {FIRST_SINCE}
                 AND (SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start BETWEEN :since AND :until"
            );
            search.add(&condition, [(":since", period.from_ns.into()), (":until", period.until_ns.into())]);
        }
        Ok(search)
    }

    fn add<const N: usize>(&mut self, condition: &str, bound: [(&'static str, Value); N]) {
        self.conditions.push(condition.to_owned());
        self.bound.extend(bound);
    }

    /// Returns id and duration of the first calls of a range, at most `count`.
    fn find(&mut self, store: &Store, range: ranges::Range, count: usize) -> Result<Vec<(i64, i64)>> {
        let sql = format!(
            "SELECT c.id, c.duration FROM call c WHERE {} ORDER BY {} DESC LIMIT :limit",
            self.conditions.join(" AND "),
            self.order
        );
        let count = Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let (first, last) = (Value::from(range.first), Value::from(range.last));
        let mut values: Vec<(&str, &dyn rusqlite::ToSql)> =
            vec![(":first", &first), (":last", &last), (":limit", &count)];
        values.extend(self.bound.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)));
        let mut calls = Vec::new();
        store.read_rows(&sql, values.as_slice(), |row| {
            calls.push((row.get(0)?, row.get(1)?));
            Ok(())
        })?;
        Ok(calls)
    }
}
