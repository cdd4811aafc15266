//! Rows of calls in memory: the newest of a span of time, as whole trees, without captured values.
//!
//! The number of rows is bounded, because a store may hold ten million. Where the bound cuts, trees that began before
//! the first row that was read are left out as a whole: children are written before their parent, so a parent beside the
//! cut may lack children.

use anyhow::Result;
use rusqlite::Row as SqlRow;

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
}

/// The columns that are read, in the order of [`read_row`]. A column that an older store lacks is NULL.
const COLUMNS: [&str; 12] = [
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
];

impl Rows {
    /// Loads the newest rows of a span, at most `limit`.
    pub(crate) fn load(store: &Store, period: Period, limit: usize) -> Result<Self> {
        let (first, last) = find_ids(store, period)?;
        Self::load_ids(store, first, last, period, limit)
    }

    /// Loads the newest rows of a span from several stores, together at most `limit`, each store an equal part of them.
    pub(crate) fn load_all(stores: &[&Store], period: Period, limit: usize) -> Result<Self> {
        let mut loaded = Self::default();
        for (position, store) in stores.iter().enumerate() {
            let part = Self::load(store, period, limit / stores.len())?;
            loaded.append(part, position);
        }
        Ok(loaded)
    }

    /// Appends the rows of the store at a position.
    fn append(&mut self, part: Self, position: usize) {
        self.is_cut |= part.is_cut;
        if self.rows.is_empty() && position == 0 {
            *self = part;
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
        let sql = format!(
            "SELECT {} FROM calls WHERE call_id BETWEEN ?1 AND ?2 AND start_ns BETWEEN ?3 AND ?4
             ORDER BY call_id DESC LIMIT ?5",
            select_columns(store)?
        );
        let asked = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        store.read_rows(&sql, (first, last, period.from_ns, period.until_ns, asked), |row| {
            let row = read_row(row, &mut loaded.names)?;
            loaded.rows.push(row);
            Ok(())
        })?;
        if loaded.rows.len() > limit {
            loaded.rows.truncate(limit);
            loaded.is_cut = true;
            loaded.leave_out_partial_trees(store)?;
        }
        Ok(loaded)
    }

    /// Loads the rows of these calls, the latest first.
    pub(crate) fn load_calls(store: &Store, calls: &[i64]) -> Result<Self> {
        let mut loaded = Self::default();
        let sql = format!(
            "SELECT {} FROM calls WHERE call_id IN (SELECT value FROM json_each(?1)) ORDER BY call_id DESC",
            select_columns(store)?
        );
        store.read_rows(&sql, [serde_json::to_string(calls)?], |row| {
            let row = read_row(row, &mut loaded.names)?;
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

/// Returns the columns as SQL, with NULL for those that the store lacks.
fn select_columns(store: &Store) -> Result<String> {
    let stored = store.read_column_names("SELECT * FROM calls")?;
    let selected = COLUMNS.map(|name| if stored.iter().any(|stored| stored == name) { name } else { "NULL" });
    Ok(selected.join(", "))
}

fn read_row(row: &SqlRow<'_>, names: &mut Names) -> Result<Row> {
    let mut name = |at: usize| -> Result<Name> {
        let text = row.get_ref(at)?;
        Ok(names.add(&String::from_utf8_lossy(text.as_bytes_or_null()?.unwrap_or_default())))
    };
    let (function, thread) = (name(2)?, name(3)?);
    let number =
        |at: usize| -> i64 { row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0) };
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
        is_failed: number(11) != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_different_stores_are_different_and_keep_their_numbers() {
        for (store, process) in [(0, 7), (1, 7), (9, 1 << 39)] {
            assert_eq!(unmark_process(mark_process(store, process)), (store, process));
        }
        assert_eq!(unmark_process(mark_process(0, -1)), (0, -1));
    }
}
