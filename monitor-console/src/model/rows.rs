//! Rows of calls in memory: the newest of a span of time, as whole trees, without captured values.
//!
//! The number of rows is bounded, because a store may hold ten million. Where the bound cuts, trees that began before
//! the first row that was read are left out as a whole: children are written before their parent, so a parent beside the
//! cut may lack children.

mod callers;

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::store::schema;
use rusqlite::{Params, Row as SqlRow};

use super::basis::Basis;
use super::forest::Forest;
use super::names::{Name, Names};
use super::period::Period;
use crate::store::Store;

/// The most rows that an answer rests on. Reading them takes about a second.
pub(crate) const ROWS_MAX: usize = 300_000;

/// A row of `calls`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// The id of the call.
    pub(crate) call_id: i64,
    /// The run of the program; of a store other than the first one, marked with the store by [`mark_process`].
    pub(crate) process: i64,
    /// The function, a number of [`Rows::names`].
    pub(crate) function: Name,
    /// The thread, a number of [`Rows::names`].
    pub(crate) thread: Name,
    /// The span, unique within the process.
    pub(crate) span: i64,
    /// The span of the caller; `None` for a root.
    pub(crate) parent: Option<i64>,
    /// The start, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The duration; of calls that share the row, their mean.
    pub(crate) duration_ns: i64,
    /// The time being polled; of a sync call its duration.
    pub(crate) busy_ns: i64,
    /// The calls that the row stands for.
    pub(crate) weight: f64,
    /// The calls that share the row: 1 for most rows.
    pub(crate) shared: u32,
    /// The end of the last call, ns since the Unix epoch; `None` for the row of one call.
    pub(crate) last_ns: Option<i64>,
    /// True if the call failed.
    pub(crate) is_failed: bool,
}

impl Row {
    /// Returns the end of the call; of calls that share the row, the end of the last one if they ran one after the
    /// other.
    pub(crate) fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns.max(0).saturating_mul(i64::from(self.shared)))
    }

    /// Returns the position of the store that the row is from, among those that were loaded.
    pub(crate) fn store(&self) -> usize {
        unmark_process(self.process).0
    }

    /// Returns the number of trees of its kind that the row stands for: the weight of one call.
    pub(crate) fn weight_of_one(&self) -> f64 {
        self.weight / f64::from(self.shared.max(1))
    }
}

/// The bits of a process number; the bits above them are the position of the store.
const PROCESS_BITS: u32 = 40;

/// Returns the number of a process that is unique among the stores that are read: runs of different stores have equal numbers. In
/// the first store it is the number itself.
pub(crate) fn mark_process(store: usize, process: i64) -> i64 {
    match i64::try_from(store) {
        Ok(0) | Err(_) => process,
        Ok(store) => store << PROCESS_BITS | process & ((1 << PROCESS_BITS) - 1),
    }
}

/// Returns the position of the store that a process is from, and its number there.
pub(crate) fn unmark_process(process: i64) -> (usize, i64) {
    match usize::try_from(process >> PROCESS_BITS) {
        Ok(0) | Err(_) => (0, process),
        Ok(store) => (store, process & ((1 << PROCESS_BITS) - 1)),
    }
}

/// Rows, the latest call id first within a store, and the texts that they share.
#[derive(Debug, Default, Clone)]
#[allow(clippy::struct_field_names, reason = "the rows are what the struct holds")]
pub(crate) struct Rows {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// The names of functions and threads.
    pub(crate) names: Names,
    /// True if older rows of the span were left out.
    pub(crate) is_cut: bool,
    /// The number of rows of calls that began before the span.
    pub(crate) callers: usize,
}

/// The columns that are read, in the order of [`Source::read_row`]. A column that an older store lacks is NULL.
const COLUMNS: [&str; 13] = [
    "call_id",
    "process_id",
    "function",
    "thread",
    "span_id",
    "parent_id",
    "start_ns",
    "duration_ns",
    "busy_ns",
    "weight",
    "folded",
    "failed",
    "last_ns",
];

impl Rows {
    /// Loads the newest rows of a span, at most `limit`.
    pub(crate) fn load(store: &Store, period: Period, limit: usize) -> Result<Self> {
        let (first, last) = find_ids(store, period)?;
        Self::load_ids(store, first, last, period, limit)
    }

    /// Loads the newest rows of a span from several stores, together at most `limit`, each store an equal part of them.
    pub(crate) fn load_all(stores: &[&Store], period: Period, limit: usize) -> Result<Self> {
        Self::load_each(stores, |store| Self::load(store, period, limit / stores.len()))
    }

    /// Loads rows as [`Self::load_all`] does, and the calls that were under way when the span began, if calls of the
    /// span are below them.
    pub(crate) fn load_all_with_callers(stores: &[&Store], period: Period, limit: usize) -> Result<Self> {
        Self::load_each(stores, |store| {
            let mut part = Self::load(store, period, limit / stores.len())?;
            callers::add(&mut part, store, period, limit / stores.len())?;
            Ok(part)
        })
    }

    fn load_each(stores: &[&Store], load: impl Fn(&Store) -> Result<Self>) -> Result<Self> {
        let mut loaded = Self::default();
        for (position, store) in stores.iter().enumerate() {
            loaded.append(load(store)?, position);
        }
        Ok(loaded)
    }

    /// Appends the rows of the store at a position.
    fn append(&mut self, part: Self, position: usize) {
        self.is_cut |= part.is_cut;
        self.callers += part.callers;
        if self.rows.is_empty() && position == 0 {
            *self = Self { is_cut: self.is_cut, callers: self.callers, ..part };
            return;
        }
        let rows = part.rows.into_iter().map(|row| Row {
            process: mark_process(position, row.process),
            function: self.names.add(part.names.text(row.function)),
            thread: self.names.add(part.names.text(row.thread)),
            ..row
        });
        self.rows.extend(rows);
    }

    /// Loads the rows with ids from `first` to `last` that started within the span, at most `limit`, the latest first.
    pub(crate) fn load_ids(
        store: &Store,
        first: i64,
        last: i64,
        period: Period,
        limit: usize,
    ) -> Result<Self> {
        let asked = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let condition =
            "call_id BETWEEN ?1 AND ?2 AND start_ns BETWEEN ?3 AND ?4 ORDER BY call_id DESC LIMIT ?5";
        let mut loaded =
            Self::select(store, condition, (first, last, period.from_ns, period.until_ns, asked))?;
        if loaded.rows.len() > limit {
            loaded.rows.truncate(limit);
            loaded.is_cut = true;
            loaded.leave_out_partial_trees(store)?;
        }
        Ok(loaded)
    }

    /// Loads the rows of these calls, the latest first.
    pub(crate) fn load_calls(store: &Store, calls: &[i64]) -> Result<Self> {
        let condition = "call_id IN (SELECT value FROM json_each(?1)) ORDER BY call_id DESC";
        Self::select(store, condition, [serde_json::to_string(calls)?])
    }

    /// Loads the rows for which a condition on columns of `calls` holds.
    fn select(store: &Store, condition: &str, bound: impl Params) -> Result<Self> {
        let mut loaded = Self::default();
        let source = Source::find(store, &mut loaded.names)?;
        store.read_rows(&source.select(store, condition)?, bound, |row| {
            let row = source.read_row(row, &mut loaded.names)?;
            loaded.rows.push(row);
            Ok(())
        })?;
        Ok(loaded)
    }

    /// Leaves out the trees that may have rows before the first one that was read.
    fn leave_out_partial_trees(&mut self, store: &Store) -> Result<()> {
        let Some(first) = self.rows.last().map(|row| row.call_id) else { return Ok(()) };
        let sql = "SELECT MAX(max_start_ns) FROM call_range WHERE first_call < ?1";
        let Some(before_ns) = store.read_integer(sql, [first])? else { return Ok(()) };
        let forest = Forest::plant(&self.rows);
        let is_kept: Vec<bool> =
            (0..self.rows.len()).map(|at| self.rows[forest.root(at)].start_ns > before_ns).collect();
        let mut is_kept = is_kept.into_iter();
        self.rows.retain(|_| is_kept.next().unwrap_or(true));
        Ok(())
    }

    /// Returns the basis of an answer that rests on these rows.
    pub(crate) fn basis(&self) -> Basis {
        Basis {
            rows: self.rows.len() as u64,
            since_ns: self.rows.iter().map(|row| row.start_ns).min(),
            until_ns: self.rows.iter().map(|row| row.start_ns).max(),
            is_estimated: self.rows.iter().any(|row| row.weight_of_one() > 1.0),
            is_cut: self.is_cut,
            ..Basis::default()
        }
    }

    /// Returns the numbers of the functions that a pattern selects.
    pub(crate) fn select_functions(&self, pattern: &crate::pattern::Pattern) -> Vec<Name> {
        let mut functions: Vec<Name> = self.rows.iter().map(|row| row.function).collect();
        functions.sort_unstable();
        functions.dedup();
        functions.retain(|function| pattern.is_match(self.names.text(*function)));
        functions
    }
}

/// Returns the lowest and the highest id that a call within the span can have.
pub(crate) fn find_ids(store: &Store, period: Period) -> Result<(i64, i64)> {
    let first = if period.from_ns == i64::MIN {
        i64::MIN
    } else {
        let sql = "SELECT COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= ?1),
                          (SELECT MAX(last_call) + 1 FROM call_range), 0)";
        store.read_integer(sql, [period.from_ns])?.unwrap_or(0)
    };
    let last = if period.until_ns == i64::MAX {
        i64::MAX
    } else {
        let sql = "SELECT COALESCE(MAX(last_call), 0) FROM call_range WHERE min_start_ns <= ?1";
        store.read_integer(sql, [period.until_ns])?.unwrap_or(0)
    };
    Ok((first, last))
}

/// The rows as the present version of the schema stores them, with the columns of `calls`, but with the ids of
/// function and thread instead of their names. The view looks both names up for each row, which takes most of the
/// time of reading it.
const TABLES: &str = "(SELECT c.id AS call_id, t.process_id AS process_id, c.function_id AS function, c.thread_id AS thread,
    c.span AS span_id, CASE WHEN c.parent <> 0 THEN c.span - c.parent END AS parent_id, t.base_ns + c.start AS start_ns,
    c.duration AS duration_ns, COALESCE(c.busy, c.duration) AS busy_ns, c.weight AS weight,
    (SELECT f.calls FROM call_fold f WHERE f.id = c.id) AS folded, c.kind > 3 AS failed,
    (SELECT f.last_ns FROM call_fold f WHERE f.id = c.id) AS last_ns
  FROM call c CROSS JOIN thread t ON t.id = c.thread_id)";

/// The source of rows.
enum Source {
    /// The view `calls`, with names; stores of other versions than the present one have different tables below it.
    View,
    /// [`TABLES`]. Functions and threads are numbered by id.
    Tables { functions: HashMap<i64, Name>, threads: HashMap<i64, Name> },
}

impl Source {
    fn find(store: &Store, names: &mut Names) -> Result<Self> {
        if store.read_integer("PRAGMA user_version", [])? != Some(schema::VERSION.into()) {
            return Ok(Self::View);
        }
        let mut number = |table: &str| -> Result<HashMap<i64, Name>> {
            let mut numbers = HashMap::new();
            store.read_rows(&format!("SELECT id, name FROM {table}"), [], |row| {
                numbers.insert(row.get(0)?, read_name(row, 1, names)?);
                Ok(())
            })?;
            Ok(numbers)
        };
        Ok(Self::Tables { functions: number("function")?, threads: number("thread")? })
    }

    /// Returns the statement that reads the rows for which a condition holds.
    fn select(&self, store: &Store, condition: &str) -> Result<String> {
        let (source, columns) = match self {
            Self::Tables { .. } => (TABLES, COLUMNS.join(", ")),
            Self::View => {
                let stored = store.read_column_names("SELECT * FROM calls")?;
                let is_stored = |name: &str| stored.iter().any(|stored| stored == name);
                let column = |name| match name {
                    "last_ns" if is_stored("folded") => {
                        "(SELECT f.last_ns FROM folds f WHERE f.call_id = calls.call_id)"
                    }
                    name if is_stored(name) => name,
                    _ => "NULL",
                };
                ("calls", COLUMNS.map(column).join(", "))
            }
        };
        Ok(format!("SELECT {columns} FROM {source} WHERE {condition}"))
    }

    fn read_row(&self, row: &SqlRow<'_>, names: &mut Names) -> Result<Row> {
        let number =
            |at: usize| -> i64 { row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0) };
        let (function, thread) = match self {
            Self::View => (read_name(row, 2, names)?, read_name(row, 3, names)?),
            Self::Tables { functions, threads } => {
                let mut find = |numbers: &HashMap<i64, Name>, id: i64| {
                    numbers.get(&id).copied().unwrap_or_else(|| names.add(""))
                };
                (find(functions, number(2)), find(threads, number(3)))
            }
        };
        let duration_ns = number(7);
        Ok(Row {
            call_id: number(0),
            process: number(1),
            function,
            thread,
            span: number(4),
            parent: row.get_ref(5)?.as_i64_or_null()?,
            start_ns: number(6),
            duration_ns,
            busy_ns: number(8).clamp(0, duration_ns.max(0)),
            weight: row
                .get_ref(9)?
                .as_f64()
                .ok()
                .filter(|weight| *weight >= 1.0 && weight.is_finite())
                .unwrap_or(1.0),
            shared: u32::try_from(number(10)).unwrap_or(u32::MAX).max(1),
            last_ns: row.get_ref(12)?.as_i64_or_null()?,
            is_failed: number(11) != 0,
        })
    }
}

/// Returns the number of a name. A name that is missing is empty.
fn read_name(row: &SqlRow<'_>, at: usize, names: &mut Names) -> Result<Name> {
    let text = row.get_ref(at)?;
    Ok(names.add(&String::from_utf8_lossy(text.as_bytes_or_null()?.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::store::tests::store_of;

    /// The columns of `call`: id, function, thread, start, duration, busy, span, parent, trace, kind, weight.
    const CALLS: &str = "
        INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0), (9, 'shop::ship', 'src/ship.rs', 8, NULL, 1.0);
        INSERT INTO thread VALUES (4, 70, 'main', 1000), (5, 71, 'worker', 2000);
        INSERT INTO call VALUES
            (1, 3, 4, 10, 500, NULL, 101, 0, 0, 0, 1.0),
            (2, 9, 5, 20, 400, 90, 102, 1, 0, 1, 2.5),
            (3, 3, 4, 30, 300, 900, 103, 2, 0, 4, 1.0),
            (4, 8, 4, 40, -20, -5, 104, 0, 0, 9, 0.0),
            (5, 3, 6, 50, 100, NULL, 105, 0, 0, 0, 1.0),
            (6, 9, 5, 60, 100, NULL, 106, 5, 0, -4, 12.0);
        INSERT INTO call_fold VALUES (6, 12, 1200, 300, 4000);";

    #[test]
    fn rows_of_the_tables_are_those_of_the_view() {
        let (_folder, store) = store_of(CALLS);
        let read = |is_tables: bool, condition: &str| {
            let mut loaded = Rows::default();
            let source =
                if is_tables { Source::find(&store, &mut loaded.names).unwrap() } else { Source::View };
            assert_eq!(matches!(source, Source::Tables { .. }), is_tables);
            let mut rows = Vec::new();
            store
                .read_rows(&source.select(&store, condition).unwrap(), [], |row| {
                    let row = source.read_row(row, &mut loaded.names)?;
                    let names = [row.function, row.thread].map(|name| loaded.names.text(name).to_owned());
                    rows.push((Row { function: 0, thread: 0, ..row }, names));
                    Ok(())
                })
                .unwrap();
            rows
        };
        for (condition, number) in [
            ("start_ns BETWEEN -1000 AND 9000 ORDER BY call_id DESC LIMIT 4", 4),
            ("start_ns BETWEEN 1025 AND 2035 ORDER BY call_id", 3),
            ("call_id IN (1, 3, 7) ORDER BY call_id DESC", 2),
        ] {
            let rows = read(true, condition);
            assert_eq!((rows.len(), &rows), (number, &read(false, condition)), "{condition}");
        }
        let shared = Rows::load_calls(&store, &[6]).unwrap();
        let row = shared.rows[0];
        assert_eq!((row.shared, row.process, row.parent, row.start_ns), (12, 71, Some(101), 2_060));
        assert_eq!((row.end_ns(), row.last_ns), (3_260, Some(4_000)));
        assert_eq!(shared.names.text(row.function), "shop::ship");
    }

    #[test]
    fn a_store_of_another_version_is_read_through_its_view() {
        let (_folder, store) = store_of(&format!("{CALLS} PRAGMA user_version = 2"));
        assert!(matches!(Source::find(&store, &mut Names::default()).unwrap(), Source::View));
        let rows = Rows::load_calls(&store, &[1, 2]).unwrap();
        assert_eq!(
            rows.rows.iter().map(|row| rows.names.text(row.thread)).collect::<Vec<_>>(),
            ["worker", "main"]
        );
    }

    #[test]
    fn processes_of_different_stores_are_different_and_keep_their_numbers() {
        for (store, process) in [(0, 7), (1, 7), (9, 1 << 39)] {
            assert_eq!(unmark_process(mark_process(store, process)), (store, process));
        }
        assert_eq!(unmark_process(mark_process(0, -1)), (0, -1));
    }
}
