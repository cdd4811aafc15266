//! Rows of calls in memory: the newest of a span of time, as whole trees, without captured values.
//!
//! The number of rows is bounded, because a store may hold ten million. Where the bound cuts, trees that began before
//! the first row that was read are left out as a whole: children are written before their parent, so a parent beside the
//! cut may lack children.

mod callers;

use std::ops::ControlFlow;

use anyhow::Result;
use foldhash::{HashMap, HashSet};
use rusqlite::{Params, Row as SqlRow, params_from_iter};

use super::basis::Basis;
use super::names::{Name, Names};
use super::period::Period;
use super::ranges;
use crate::pattern::Pattern;
use crate::store::Store;

/// The most rows that an answer rests on, unless more are asked for. Reading them takes about 30 ms, so that nobody waits for
/// an answer.
pub(crate) const ROWS_MAX: usize = 40_000;
/// The most rows of a file, of one trace, and of a page that a person asked for once. Reading them takes about a third of a
/// second.
pub(crate) const WIDE_ROWS_MAX: usize = 300_000;

/// The most ids behind a call in which its callers' rows are looked for.
const IDS_BEHIND: i64 = 20_000;

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

/// The columns of the view that are read, in the order of [`read_viewed`]. A column that an older store lacks is NULL.
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

    /// Loads the newest rows of a span from several stores, together at most `limit`, each store an equal part of them. If the
    /// functions that the pattern selects have none among them, although they have older ones, the rows around the newest of
    /// those are loaded.
    pub(crate) fn load_all_of(
        stores: &[&Store],
        pattern: &Pattern,
        period: Period,
        limit: usize,
    ) -> Result<Self> {
        Self::load_with(stores, Some(pattern), period, limit, |_, _, _| Ok(()))
    }

    /// Loads rows as [`Self::load_all_of`] does, and the calls that were under way when the span began, if calls of the
    /// span are below them.
    pub(crate) fn load_all_with_callers(
        stores: &[&Store],
        pattern: Option<&Pattern>,
        period: Period,
        limit: usize,
    ) -> Result<Self> {
        Self::load_with(stores, pattern, period, limit, |part, store, limit| {
            callers::add(part, store, period, limit)
        })
    }

    /// Loads rows as [`Self::load_all_of`] does. The closure completes the rows of each store; it is given the bound on their
    /// number.
    fn load_with(
        stores: &[&Store],
        pattern: Option<&Pattern>,
        period: Period,
        limit: usize,
        complete: impl Fn(&mut Self, &Store, usize) -> Result<()>,
    ) -> Result<Self> {
        let limit = limit / stores.len();
        let load = |load_part: &dyn Fn(&Store) -> Result<Self>| {
            Self::load_each(stores, |store| {
                let mut part = load_part(store)?;
                complete(&mut part, store, limit)?;
                Ok(part)
            })
        };
        let newest = load(&|store| Self::load(store, period, limit))?;
        let Some(pattern) = pattern.filter(|_| newest.is_cut) else { return Ok(newest) };
        if !newest.select_functions(pattern).is_empty() {
            return Ok(newest);
        }
        load(&|store| {
            let within = find_ids(store, period)?;
            let found = ranges::find_newest_calls(store, &pattern.to_globs(), within, 1)?;
            let Some(newest) = found.first() else { return Ok(Self::default()) };
            let around = Self::load_around(store, *newest, (period, period), limit)?;
            // The ids of a span have calls of the time around it as well.
            let has_calls = !around.select_functions(pattern).is_empty();
            Ok(if has_calls { around } else { Self { is_cut: true, ..Self::default() } })
        })
    }

    /// Loads the rows around a call of a span: those before it, and those behind it in which its callers' rows are looked for,
    /// together at most `limit`, of calls that started within the second span.
    pub(crate) fn load_around(
        store: &Store,
        call: i64,
        (period, started): (Period, Period),
        limit: usize,
    ) -> Result<Self> {
        // A caller's row is written after those of its callees.
        let (first, last) = find_ids(store, Period { until_ns: i64::MAX, ..period })?;
        let behind = i64::try_from(limit / 2).unwrap_or(IDS_BEHIND).min(IDS_BEHIND);
        let mut loaded = Self::load_ids(store, first, last.min(call.saturating_add(behind)), started, limit)?;
        loaded.is_cut |= call.saturating_add(behind) < last;
        Ok(loaded)
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
        let mut loaded = Self::default();
        let source = Source::find(store, &mut loaded.names)?;
        loaded.select(store, &source, &Wanted::Range(first, last), period, limit.saturating_add(1))?;
        if loaded.rows.len() > limit {
            loaded.rows.truncate(limit);
            loaded.is_cut = true;
            loaded.leave_out_partial_trees(store, &source)?;
        }
        Ok(loaded)
    }

    /// Loads the rows of these calls, the latest first.
    pub(crate) fn load_calls(store: &Store, calls: &[i64]) -> Result<Self> {
        let wanted = Wanted::Calls(serde_json::to_string(calls)?);
        let mut loaded = Self::default();
        let source = Source::find(store, &mut loaded.names)?;
        loaded.select(store, &source, &wanted, Period::WHOLE, usize::MAX)?;
        Ok(loaded)
    }

    /// Adds the wanted rows that started within the span, at most `limit`, the latest first.
    fn select(
        &mut self,
        store: &Store,
        source: &Source,
        wanted: &Wanted,
        period: Period,
        limit: usize,
    ) -> Result<()> {
        let Self { rows, names, .. } = self;
        source.read(store, wanted, names, |row| {
            if (period.from_ns..=period.until_ns).contains(&row.start_ns) {
                rows.push(row);
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        source.read_shared(store, wanted, rows)
    }

    /// Leaves out the trees that may have rows before the first one that was read: those that began at a time at which
    /// earlier rows still began.
    fn leave_out_partial_trees(&mut self, store: &Store, source: &Source) -> Result<()> {
        let Some(first) = self.rows.last().map(|row| row.call_id) else { return Ok(()) };
        let sql = "SELECT MAX(max_start_ns) FROM call_range WHERE last_call < ?1";
        let whole_ranges = store.read_integer(sql, [first])?;
        // The range in which the first row lies has rows before it. It may be as long as what was read.
        let sql = "SELECT MIN(first_call) FROM call_range WHERE first_call < ?1 AND last_call >= ?1";
        let rest = match store.read_integer(sql, [first])? {
            Some(start) => source.find_latest_start(store, start, first - 1)?,
            None => None,
        };
        if let Some(before_ns) = whole_ranges.max(rest) {
            leave_out_begun_until(&mut self.rows, before_ns);
        }
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
    pub(crate) fn select_functions(&self, pattern: &Pattern) -> Vec<Name> {
        let mut functions: Vec<Name> = self.rows.iter().map(|row| row.function).collect();
        functions.sort_unstable();
        functions.dedup();
        functions.retain(|function| pattern.is_match(self.names.text(*function)));
        functions
    }
}

/// Leaves out the trees that began until a moment. These are few, so only their spans are looked up, and not those of all
/// rows. A call begins after its caller, so whatever began until then is in such a tree.
fn leave_out_begun_until(rows: &mut Vec<Row>, until_ns: i64) {
    let mut spans: HashSet<(i64, i64)> = HashSet::default();
    // A caller mostly comes before its callees, because it ends later. If one comes behind them, another pass finds them.
    loop {
        let before = rows.len();
        rows.retain(|row| {
            let is_out = row.start_ns <= until_ns
                || row.parent.is_some_and(|parent| spans.contains(&(row.process, parent)));
            if is_out {
                spans.insert((row.process, row.span));
            }
            !is_out
        });
        if rows.len() == before {
            return;
        }
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

/// The calls whose rows are read, the latest first.
enum Wanted {
    /// Those with ids from the first to the second one.
    Range(i64, i64),
    /// Those with these ids, as a JSON list.
    Calls(String),
}

impl Wanted {
    /// Returns the condition on the column that holds the id of the call.
    fn condition(&self, id: &str) -> String {
        match self {
            Self::Range(first, last) => format!("{id} BETWEEN {first} AND {last} ORDER BY {id} DESC"),
            Self::Calls(_) => format!("{id} IN (SELECT value FROM json_each(?1)) ORDER BY {id} DESC"),
        }
    }

    /// Returns the parameter of the condition, if it has one.
    fn parameter(&self) -> impl Params + use<'_> {
        let list = match self {
            Self::Range(..) => None,
            Self::Calls(list) => Some(list),
        };
        params_from_iter(list)
    }
}

/// A thread of a process, as the tables since version 3 have it.
#[derive(Debug, Clone, Copy)]
struct Thread {
    process: i64,
    name: Name,
    /// The moment from which the starts of its calls are counted.
    base_ns: i64,
}

/// The source of rows.
enum Source {
    /// The view `calls`, with names; stores before version 3 have different tables below it.
    View,
    /// The table `call` alone. The view looks up function, thread and fold for each row, which takes most of the time of
    /// reading it, so functions and threads are read once.
    Tables { functions: HashMap<i64, Name>, threads: HashMap<i64, Thread> },
}

impl Source {
    fn find(store: &Store, names: &mut Names) -> Result<Self> {
        if !store.has_span_blocks()? {
            return Ok(Self::View);
        }
        let (mut functions, mut threads) = (HashMap::default(), HashMap::default());
        store.read_rows("SELECT id, name FROM function", [], |row| {
            functions.insert(row.get(0)?, read_name(row, 1, names)?);
            Ok(())
        })?;
        store.read_rows("SELECT id, name, process_id, base_ns FROM thread", [], |row| {
            let thread =
                Thread { name: read_name(row, 1, names)?, process: row.get(2)?, base_ns: row.get(3)? };
            threads.insert(row.get(0)?, thread);
            Ok(())
        })?;
        Ok(Self::Tables { functions, threads })
    }

    /// Hands the wanted rows to `found`, the latest first, until it wants no more. A row of [`Source::Tables`] is handed as
    /// that of a single call; [`Source::read_shared`] completes it.
    fn read(
        &self,
        store: &Store,
        wanted: &Wanted,
        names: &mut Names,
        mut found: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<()> {
        let sql = match self {
            Self::Tables { .. } => format!(
                "SELECT id, function_id, thread_id, start, duration, COALESCE(busy, duration), span, parent, weight,
                   kind > 3
                 FROM call WHERE {}",
                wanted.condition("id")
            ),
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
                let columns = COLUMNS.map(column).join(", ");
                format!("SELECT {columns} FROM calls WHERE {}", wanted.condition("call_id"))
            }
        };
        store.visit_rows(&sql, wanted.parameter(), |row| {
            let row = match self {
                Self::Tables { functions, threads } => read_stored(row, functions, threads, names)?,
                Self::View => read_viewed(row, names)?,
            };
            Ok(row.map_or(ControlFlow::Continue(()), &mut found))
        })
    }

    /// Returns the latest start of the calls with ids from `first` to `last`.
    fn find_latest_start(&self, store: &Store, first: i64, last: i64) -> Result<Option<i64>> {
        let Self::Tables { threads, .. } = self else {
            return store.read_integer(
                "SELECT MAX(start_ns) FROM calls WHERE call_id BETWEEN ?1 AND ?2",
                [first, last],
            );
        };
        let mut latest = None;
        let sql = "SELECT thread_id, MAX(start) FROM call WHERE id BETWEEN ?1 AND ?2 GROUP BY thread_id";
        store.read_rows(sql, [first, last], |row| {
            let base = threads.get(&read_number(row, 0)).map(|thread| thread.base_ns);
            latest = latest.max(base.map(|base| base.saturating_add(read_number(row, 1))));
            Ok(())
        })?;
        Ok(latest)
    }

    /// Reads how many calls share each row, and the end of the last one. These rows are few, so they are read at once and not looked up for each row.
    fn read_shared(&self, store: &Store, wanted: &Wanted, rows: &mut [Row]) -> Result<()> {
        let (Self::Tables { .. }, Some(earliest)) = (self, rows.last().map(|row| row.call_id)) else {
            return Ok(());
        };
        let sql = format!(
            "SELECT id, calls, last_ns FROM (SELECT * FROM call_fold WHERE {}) WHERE id >= {earliest}",
            wanted.condition("id")
        );
        let mut at = 0;
        store.read_rows(&sql, wanted.parameter(), |fold| {
            let id: i64 = fold.get(0)?;
            at += rows[at..].partition_point(|row| row.call_id > id);
            if let Some(row) = rows.get_mut(at).filter(|row| row.call_id == id) {
                row.shared = u32::try_from(fold.get::<_, i64>(1)?).unwrap_or(u32::MAX).max(1);
                row.last_ns = fold.get(2)?;
            }
            Ok(())
        })
    }
}

/// Returns the integer of a column; 0 for another value.
fn read_number(row: &SqlRow<'_>, at: usize) -> i64 {
    row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0)
}

/// Reads a row of the table `call`; `None` if its thread is not known.
fn read_stored(
    row: &SqlRow<'_>,
    functions: &HashMap<i64, Name>,
    threads: &HashMap<i64, Thread>,
    names: &mut Names,
) -> Result<Option<Row>> {
    let number = |at: usize| read_number(row, at);
    let Some(thread) = threads.get(&number(2)) else { return Ok(None) };
    let (span, parent) = (number(6), number(7));
    Ok(Some(Row {
        call_id: number(0),
        process: thread.process,
        function: functions.get(&number(1)).copied().unwrap_or_else(|| names.add("")),
        thread: thread.name,
        span,
        parent: (parent != 0).then(|| span.wrapping_sub(parent)),
        start_ns: thread.base_ns.saturating_add(number(3)),
        duration_ns: number(4),
        busy_ns: number(5).clamp(0, number(4).max(0)),
        weight: read_weight(row, 8)?,
        shared: 1,
        last_ns: None,
        is_failed: number(9) != 0,
    }))
}

/// Reads a row of the view `calls`; `None` if its start is not known.
fn read_viewed(row: &SqlRow<'_>, names: &mut Names) -> Result<Option<Row>> {
    let number = |at: usize| read_number(row, at);
    let Some(start_ns) = row.get_ref(6)?.as_i64_or_null()? else { return Ok(None) };
    Ok(Some(Row {
        call_id: number(0),
        process: number(1),
        function: read_name(row, 2, names)?,
        thread: read_name(row, 3, names)?,
        span: number(4),
        parent: row.get_ref(5)?.as_i64_or_null()?,
        start_ns,
        duration_ns: number(7),
        busy_ns: number(8).clamp(0, number(7).max(0)),
        weight: read_weight(row, 9)?,
        shared: u32::try_from(number(10)).unwrap_or(u32::MAX).max(1),
        last_ns: row.get_ref(12)?.as_i64_or_null()?,
        is_failed: number(11) != 0,
    }))
}

/// Returns the weight in a column. A row stands for at least one call, whatever a damaged store says.
fn read_weight(row: &SqlRow<'_>, at: usize) -> Result<f64> {
    let weight = row.get_ref(at)?.as_f64().ok();
    Ok(weight.filter(|weight| *weight >= 1.0 && weight.is_finite()).unwrap_or(1.0))
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
    use crate::model::forest::Forest;
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
        let read = |is_tables: bool, wanted: &Wanted| {
            let mut names = Names::default();
            let source = if is_tables { Source::find(&store, &mut names).unwrap() } else { Source::View };
            assert_eq!(matches!(source, Source::Tables { .. }), is_tables);
            let mut rows = Vec::new();
            let gather = |row| {
                rows.push(row);
                ControlFlow::Continue(())
            };
            source.read(&store, wanted, &mut names, gather).unwrap();
            source.read_shared(&store, wanted, &mut rows).unwrap();
            let texts = |row: &Row| [row.function, row.thread].map(|name| names.text(name).to_owned());
            rows.iter().map(|row| (Row { function: 0, thread: 0, ..*row }, texts(row))).collect::<Vec<_>>()
        };
        for (wanted, number) in [
            (Wanted::Range(i64::MIN, i64::MAX), 5),
            (Wanted::Range(2, 4), 3),
            (Wanted::Calls("[1, 3, 7]".to_owned()), 2),
            (Wanted::Calls("[6, 2]".to_owned()), 2),
        ] {
            let rows = read(true, &wanted);
            assert_eq!((rows.len(), &rows), (number, &read(false, &wanted)), "{}", wanted.condition("id"));
        }
        let period = Period { from_ns: 1_025, until_ns: 2_035 };
        let within = |limit: usize| {
            let mut loaded = Rows::default();
            let source = Source::find(&store, &mut loaded.names).unwrap();
            loaded.select(&store, &source, &Wanted::Range(1, 9), period, limit).unwrap();
            loaded.rows
        };
        let ids = |rows: Vec<Row>| rows.iter().map(|row| row.call_id).collect::<Vec<_>>();
        assert_eq!((ids(within(9)), ids(within(2))), (vec![4, 3, 2], vec![4, 3]));
        let shared = Rows::load_calls(&store, &[6]).unwrap();
        let row = shared.rows[0];
        assert_eq!((row.shared, row.process, row.parent, row.start_ns), (12, 71, Some(101), 2_060));
        assert_eq!((row.end_ns(), row.last_ns), (3_260, Some(4_000)));
        assert_eq!(shared.names.text(row.function), "shop::ship");
    }

    #[test]
    fn trees_that_began_until_a_moment_are_left_out_in_any_order_of_their_rows() {
        // Span, parent and start of each row. Span 2 is an async child that ended after its parent 1; 9 has the parent of
        // another process, and 8 one that was not loaded.
        let trees = [
            (2, Some(1), 30),
            (3, Some(2), 40),
            (1, None, 10),
            (4, None, 20),
            (5, Some(4), 25),
            (8, Some(99), 50),
        ];
        let mut rows: Vec<Row> = Vec::new();
        for (call_id, (span, parent, start_ns)) in (1..).zip(trees) {
            let row = Row {
                call_id,
                process: 1,
                function: 0,
                thread: 0,
                span,
                parent,
                start_ns,
                duration_ns: 1,
                busy_ns: 1,
                weight: 1.0,
                shared: 1,
                last_ns: None,
                is_failed: false,
            };
            rows.push(row);
        }
        rows.push(Row { process: 2, span: 9, ..rows[0] });
        for until_ns in [9, 10, 19, 20, 60] {
            let forest = Forest::plant(&rows);
            let expected: Vec<Row> = (0..rows.len())
                .filter(|at| rows[forest.root(*at)].start_ns > until_ns)
                .map(|at| rows[at])
                .collect();
            for is_reversed in [false, true] {
                let mut kept = rows.clone();
                if is_reversed {
                    kept.reverse();
                }
                leave_out_begun_until(&mut kept, until_ns);
                if is_reversed {
                    kept.reverse();
                }
                assert_eq!(kept, expected, "{until_ns}");
            }
        }
    }

    #[test]
    fn a_bound_cuts_between_trees_wherever_it_lies_in_a_range() {
        // Three trees of a child and its parent, one after the other. The ranges end behind the third call and the last.
        let calls = "
            INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0);
            INSERT INTO thread VALUES (4, 70, 'main', 1000), (5, 70, 'worker', 1005);
            INSERT INTO call VALUES
                (1, 3, 4, 20, 5, NULL, 102, 1, 0, 0, 1.0), (2, 3, 4, 10, 19, NULL, 101, 0, 0, 0, 1.0),
                (3, 3, 5, 35, 5, NULL, 202, 1, 0, 0, 1.0), (4, 3, 4, 30, 19, NULL, 201, 0, 0, 0, 1.0),
                (5, 3, 4, 60, 5, NULL, 302, 1, 0, 0, 1.0), (6, 3, 4, 50, 19, NULL, 301, 0, 0, 0, 1.0);
            INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns) VALUES
                (1, 3, 1010, 1040, 1040), (4, 6, 1030, 1060, 1080);";
        for change in ["", "PRAGMA user_version = 2"] {
            let (_folder, store) = store_of(&format!("{calls}{change}"));
            for (limit, kept, is_cut) in [
                (9, 1, false),
                (6, 1, false),
                (5, 3, true),
                (4, 3, true),
                (3, 5, true),
                (2, 5, true),
                (1, 7, true),
            ] {
                let loaded = Rows::load(&store, Period::WHOLE, limit).unwrap();
                let ids: Vec<i64> = loaded.rows.iter().map(|row| row.call_id).collect();
                assert_eq!((ids, loaded.is_cut), ((kept..=6).rev().collect(), is_cut), "{limit} {change}");
            }
        }
    }

    #[test]
    fn of_a_function_without_new_calls_the_rows_around_its_newest_one_are_read() {
        // A hundred trees of a child and its parent, one after the other. The child of the fourth is the only `ship`.
        let calls = "
            INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0), (9, 'shop::ship', 'src/ship.rs', 8, NULL, 1.0);
            INSERT INTO thread VALUES (4, 70, 'main', 0);
            WITH RECURSIVE n(y) AS (SELECT 0 UNION ALL SELECT y + 1 FROM n WHERE y < 99)
            INSERT INTO call SELECT 2 * y + 1, CASE y WHEN 3 THEN 9 ELSE 3 END, 4, 10 * y + 5, 1, NULL, 1002 + 2 * y, 1, 0, 0, 1.0
              FROM n UNION ALL SELECT 2 * y + 2, 3, 4, 10 * y, 9, NULL, 1001 + 2 * y, 0, 0, 0, 1.0 FROM n;
            INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns) VALUES (1, 200, 0, 995, 999);";
        let (_folder, store) = store_of(calls);
        let load = |pattern: &str, period: Period| {
            let rows = Rows::load_all_of(&[&store], &pattern.parse().unwrap(), period, 10).unwrap();
            let ids: Vec<i64> = rows.rows.iter().map(|row| row.call_id).collect();
            (ids, rows.is_cut)
        };
        assert_eq!(load("pay", Period::WHOLE), ((191..=200).rev().collect(), true));
        assert_eq!(load("ship", Period::WHOLE), ((3..=12).rev().collect(), true), "its caller is behind it");
        assert_eq!(
            load("ship", Period { from_ns: 30, until_ns: i64::MAX }),
            ((7..=12).rev().collect(), true)
        );
        assert_eq!(
            load("ship", Period { from_ns: 40, until_ns: i64::MAX }),
            (Vec::new(), true),
            "it has no such call that was read"
        );
    }

    #[test]
    fn a_store_before_version_3_is_read_through_its_view() {
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
