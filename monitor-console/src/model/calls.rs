//! Recorded calls, found by function, outcome, duration, time and process, a page at a time.
//!
//! Takes conditions and the id before which a page ends; gives rows of the view `calls`. The next page is found by the last
//! id of this one, never by counting rows, so that each page costs the same. The search reads the narrow base table in the
//! ranges that can hold such calls, and the view for the ids found alone.

use anyhow::Result;
use rusqlite::types::Value;

use super::longest::Longest;
use super::ranges;
use super::scope::Scope;
use crate::pattern::Pattern;
use crate::report::{self, Cell};
use crate::store::Store;

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
    let mut ids = match query.order {
        Order::Newest => find_newest(store, query)?,
        Order::Longest => find_longest(store, query)?,
    };
    let has_more = ids.len() > query.limit;
    ids.truncate(query.limit);
    let order = if query.order == Order::Newest { "call_id" } else { "duration_ns DESC, call_id" };
    Ok(Page { has_more, ..read(store, &ids, order)? })
}

/// Reads the calls with these ids.
pub(crate) fn read(store: &Store, ids: &[i64], order: &str) -> Result<Page> {
    let columns = store.read_column_names("SELECT * FROM calls")?;
    let sql = format!(
        "SELECT * FROM calls WHERE call_id IN (SELECT value FROM json_each(?1)) ORDER BY {order} DESC"
    );
    let mut calls = Vec::new();
    store.read_rows(&sql, [serde_json::to_string(ids)?], |row| {
        calls.push(report::read_cells(row, columns.len())?);
        Ok(())
    })?;
    Ok(Page { columns, calls, has_more: false })
}

/// Returns the ids of one call more than a page has.
fn find_newest(store: &Store, query: &Query<'_>) -> Result<Vec<i64>> {
    let whole = vec![ranges::Range { first: i64::MIN, last: i64::MAX }];
    let ranges =
        query.pattern.map_or(Ok(whole), |pattern| ranges::find_ranges(store, &pattern.to_globs()))?;
    let mut search = Search::new(query);
    let mut ids = Vec::new();
    for mut range in ranges {
        if let Some(before) = query.before {
            range.last = range.last.min(before.saturating_sub(1));
        }
        if range.first > range.last {
            continue;
        }
        let wanted = query.limit + 1 - ids.len();
        ids.extend(search.find(store, range, wanted)?.into_iter().map(|(id, _)| id));
        if ids.len() > query.limit {
            break;
        }
    }
    Ok(ids)
}

/// Returns the ids of the longest calls, one more than a page has. Ranges come with the longest call that each can have, so
/// the search ends at the first range that cannot add a call.
fn find_longest(store: &Store, query: &Query<'_>) -> Result<Vec<i64>> {
    let mut search = Search::new(query);
    let mut longest = Longest::new(query.limit + 1);
    for range in ranges::find_longest(store, query.pattern)? {
        if longest.exceeds(range.longest_ns) {
            break;
        }
        for (id, duration) in search.find(store, range.ids, query.limit + 1)? {
            longest.add(id, duration);
        }
    }
    Ok(longest.into_ids().collect())
}

/// A search over the narrow table `call`: its conditions and the values bound to their names.
struct Search {
    conditions: Vec<String>,
    bound: Vec<(&'static str, Value)>,
    order: &'static str,
}

impl Search {
    fn new(query: &Query<'_>) -> Self {
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
            let [whole, ending] = pattern.to_globs();
            let condition = format!("c.function_id IN ({})", ranges::FUNCTIONS);
            search.add(&condition, [(":whole", whole.into()), (":ending", ending.into())]);
        }
        if let Some(processes) = query.scope.processes_json() {
            let condition = "c.thread_id IN (SELECT id FROM thread WHERE process_id IN (SELECT value FROM json_each(:processes)))";
            search.add(condition, [(":processes", processes.into())]);
        }
        let period = query.scope.period;
        if !period.is_whole() {
            search.add(
                "c.id >= COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= :since),
                                  (SELECT MAX(last_call) + 1 FROM call_range), 0)
                 AND (SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start BETWEEN :since AND :until",
                [(":since", period.from_ns.into()), (":until", period.until_ns.into())],
            );
        }
        search
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
