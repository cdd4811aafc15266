//! Rows of failed calls.
//!
//! Takes a scope and the facts that are wanted of each row; gives the rows, with numbers in place of texts. No text is
//! allocated for a row: each function and each text of an error is kept once. The file does not know kinds of failure.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use anyhow::Result;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::model::names::{Name, Names};
use crate::model::rows::find_ids;
use crate::model::scope::Scope;
use crate::store::Store;

/// The facts that are wanted of the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The part of the store. Rows that start later than `until_ns` are left out too.
    pub(super) scope: &'a Scope,
    /// The latest start.
    pub(super) until_ns: i64,
    /// The names of the functions whose errors are read; `None` for all functions.
    pub(super) with_errors: Option<&'a HashSet<&'a str>>,
    /// True if the links between calls are read.
    pub(super) has_links: bool,
    /// The largest number of rows that are read. If there are more, the oldest rows are left out.
    pub(super) rows_max: usize,
    /// The order of the rows.
    pub(super) order: Order,
}

/// The order in which rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// For many rows: the system reads ahead of a reader that goes forward. From a disk of which nothing is in memory,
    /// the 100 000 failed calls among ten million take 0.8 s forward and 4.5 s backward.
    OldestFirst,
    /// For the newest few.
    NewestFirst,
}

/// The row of a failed call. The texts are numbers of [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) call_id: i64,
    pub(super) start_ns: i64,
    pub(super) function: Name,
    /// `error`, `panic` or `cancelled`.
    pub(super) outcome: &'static str,
    /// The text of the error. `None` if it was not read, or if the call has none.
    pub(super) error: Option<Name>,
    /// The links, if they are wanted.
    pub(super) links: Option<Links>,
}

/// The place of a failed call in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) process: i64,
    pub(super) span: i64,
    pub(super) is_root: bool,
    /// The span of the callee that the failure came from.
    pub(super) caused_by: Option<i64>,
}

/// Hands each row to `found` until it breaks, and returns true if older rows were left out at the bound.
pub(super) fn read(
    store: &Store,
    wanted: Wanted<'_>,
    texts: &mut Names,
    mut found: impl FnMut(Failed, &Names) -> ControlFlow<()>,
) -> Result<bool> {
    let source = Source::find(store, wanted.with_errors, texts)?;
    let sql = source.select(store, wanted)?;
    let (first, last) = find_ids(store, wanted.scope.period)?;
    let left_out = source.find_last_left_out(store, (first, last), wanted.rows_max)?;
    let first = left_out.map_or(first, |id| id.saturating_add(1));
    store.visit_rows(&sql, (first, last), |row| {
        Ok(match source.read_row(row, wanted, texts)? {
            Some((failed, process))
                if (wanted.scope.period.from_ns..=wanted.until_ns).contains(&failed.start_ns)
                    && wanted.scope.has_process(process) =>
            {
                found(failed, texts)
            }
            _ => ControlFlow::Continue(()),
        })
    })?;
    Ok(left_out.is_some())
}

/// The source of rows.
enum Source {
    /// The view `errors`; stores before version 3 have different tables below it.
    View,
    /// The table `call`, whose rows hold the ids of function and thread. The view looks up six values in other tables
    /// for each row, which takes more time than reading the row.
    Tables { functions: HashMap<i64, Name>, threads: HashMap<i64, Thread>, with_errors: Option<Vec<i64>> },
}

/// A segment of a thread's calls.
#[derive(Debug, Clone, Copy)]
struct Thread {
    process: i64,
    /// The time to which the starts of the calls are relative.
    base_ns: i64,
}

impl Source {
    fn find(store: &Store, with_errors: Option<&HashSet<&str>>, texts: &mut Names) -> Result<Self> {
        if !store.has_span_blocks()? {
            return Ok(Self::View);
        }
        let mut functions = HashMap::new();
        store.read_rows("SELECT id, name FROM function", [], |row| {
            functions.insert(row.get(0)?, texts.add(&read_text(row, 1)?.unwrap_or_default()));
            Ok(())
        })?;
        let mut threads = HashMap::new();
        store.read_rows("SELECT id, process_id, base_ns FROM thread", [], |row| {
            threads.insert(row.get(0)?, Thread { process: row.get(1)?, base_ns: row.get(2)? });
            Ok(())
        })?;
        let has_errors = |name: Name, wanted: &HashSet<&str>| wanted.contains(texts.text(name));
        let with_errors = with_errors.map(|wanted| {
            functions.iter().filter(|(_, name)| has_errors(**name, wanted)).map(|(id, _)| *id).collect()
        });
        Ok(Self::Tables { functions, threads, with_errors })
    }

    /// Returns the id of the newest row that is left out if at most `rows_max` rows are read; `None` if no row is.
    fn find_last_left_out(
        &self,
        store: &Store,
        (first, last): (i64, i64),
        rows_max: usize,
    ) -> Result<Option<i64>> {
        let Ok(rows_max) = i64::try_from(rows_max) else { return Ok(None) };
        // Both statements read only the index of failed calls.
        let sql = match self {
            Self::View => {
                "SELECT call_id FROM errors WHERE call_id BETWEEN ?1 AND ?2 ORDER BY call_id DESC LIMIT 1 OFFSET ?3"
            }
            Self::Tables { .. } => {
                "SELECT id FROM call WHERE kind > 3 AND id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3"
            }
        };
        store.read_integer(sql, (first, last, rows_max))
    }

    /// Returns the statement that reads the rows with ids from `?1` to `?2`.
    fn select(&self, store: &Store, wanted: Wanted<'_>) -> Result<String> {
        let order = match wanted.order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
        };
        let Self::Tables { with_errors, .. } = self else {
            let caused_by = if store.has_span_blocks()? { "caused_by" } else { "NULL" };
            return Ok(format!(
                "SELECT call_id, function, outcome, start_ns, process_id, error, span_id, parent_id IS NULL, {caused_by}
                 FROM errors WHERE call_id BETWEEN ?1 AND ?2 ORDER BY call_id {order}"
            ));
        };
        let error = "(SELECT v.error FROM call_value v WHERE v.id = c.id)";
        let error = match with_errors {
            None => error.to_owned(),
            Some(functions) if functions.is_empty() => "NULL".to_owned(),
            Some(functions) => {
                let ids = functions.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
                // Values of calls lie on other pages than the calls, so those that nobody wants are not looked up.
                format!(
                    "CASE WHEN c.function_id IN (SELECT value FROM json_each('[{ids}]')) THEN {error} END"
                )
            }
        };
        let links = if wanted.has_links {
            "c.span, c.parent = 0, c.span + (SELECT x.cause FROM call_cause x WHERE x.id = c.id)"
        } else {
            "NULL, NULL, NULL"
        };
        Ok(format!(
            "SELECT c.id, c.function_id, c.kind, c.start, c.thread_id, {error}, {links}
             FROM call c WHERE c.kind > 3 AND c.id BETWEEN ?1 AND ?2 ORDER BY c.id {order}"
        ))
    }

    /// Returns a row and its process; `None` for the row of a thread that the store does not know.
    fn read_row(
        &self,
        row: &Row<'_>,
        wanted: Wanted<'_>,
        texts: &mut Names,
    ) -> Result<Option<(Failed, i64)>> {
        let number = |at: usize| -> Result<i64> { Ok(read_integer(row, at)?.unwrap_or(0)) };
        let (function, outcome, start_ns, process) = match self {
            Self::View => {
                let function = texts.add(&read_text(row, 1)?.unwrap_or_default());
                let outcome = match &*read_text(row, 2)?.unwrap_or_default() {
                    "panic" => "panic",
                    "cancelled" => "cancelled",
                    _ => "error",
                };
                (function, outcome, number(3)?, number(4)?)
            }
            Self::Tables { functions, threads, .. } => {
                let Some(Thread { process, base_ns }) = threads.get(&number(4)?).copied() else {
                    return Ok(None);
                };
                let function = functions.get(&number(1)?).copied().unwrap_or_else(|| texts.add(""));
                let outcome = match number(2)? {
                    ..8 => "error",
                    8..12 => "panic",
                    12.. => "cancelled",
                };
                (function, outcome, base_ns.wrapping_add(number(3)?), process)
            }
        };
        let error = read_text(row, 5)?.map(|error| texts.add(&error));
        let links = if wanted.has_links {
            let caused_by = read_integer(row, 8)?;
            Some(Links { process, span: number(6)?, is_root: number(7)? != 0, caused_by })
        } else {
            None
        };
        Ok(Some((Failed { call_id: number(0)?, start_ns, function, outcome, error, links }, process)))
    }
}

/// Returns an integer; `None` for NULL and for values of other types.
fn read_integer(row: &Row<'_>, at: usize) -> Result<Option<i64>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

/// Returns a text, in which bytes that are not UTF-8 are replaced; `None` for NULL and for values of other types.
fn read_text<'row>(row: &'row Row<'_>, at: usize) -> Result<Option<Cow<'row, str>>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    })
}
