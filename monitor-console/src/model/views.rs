//! The views and tables of a store by name, as a whole or in part.

#[cfg(feature = "parquet")]
use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};
#[cfg(feature = "parquet")]
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::period::Period;
use super::rows;
use crate::store::{Store, find_input_error};

/// A statement that reads a view, and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    /// The statement.
    pub(crate) sql: String,
    /// The parameters, by position.
    pub(crate) parameters: Vec<Value>,
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
}

/// The kind of a column's values.
#[cfg(feature = "parquet")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer of 64 bits.
    Integer,
    /// A moment, ns since the Unix epoch.
    Moment,
    /// A floating-point number.
    Real,
    /// A text.
    Text,
    /// Bytes of any kind.
    Bytes,
}

/// The columns that hold moments. Others whose names end with `_ns` hold durations.
#[cfg(feature = "parquet")]
const MOMENTS: [&str; 15] = [
    "at_ns",
    "breaker_next_try_ns",
    "breaker_since_ns",
    "died_ns",
    "ended_ns",
    "first_ns",
    "last_ns",
    "last_seen_ns",
    "set_ns",
    "since_ns",
    "slice_start_ns",
    "start_ns",
    "started_ns",
    "until_ns",
    "waiting_since_ns",
];
/// Columns of views that SQLite gives no type, because an expression computes them, and whose names do not show their
/// kind.
#[cfg(feature = "parquet")]
const COMPUTED: [(&str, Kind); 22] = [
    ("calls_per_parent", Kind::Real),
    ("caused_by", Kind::Integer),
    ("errors", Kind::Integer),
    ("estimated", Kind::Integer),
    ("failed", Kind::Integer),
    ("failed_weight", Kind::Real),
    ("file", Kind::Text),
    ("function", Kind::Text),
    ("kept", Kind::Text),
    ("latest", Kind::Real),
    ("level", Kind::Text),
    ("line", Kind::Integer),
    ("origin", Kind::Integer),
    ("outcome", Kind::Text),
    ("parent_id", Kind::Integer),
    ("parents", Kind::Real),
    ("rate", Kind::Real),
    ("span_id", Kind::Integer),
    ("started_at", Kind::Text),
    ("trace_id", Kind::Integer),
    ("value", Kind::Real),
    ("weight", Kind::Real),
];

/// Returns the kinds of the columns of a view by name. Those of the store's own views are known without a look at the
/// rows, so rows of another day, or of another store, give the same kinds. In a view that a user made, the values
/// decide.
#[cfg(feature = "parquet")]
pub(crate) fn read_kinds(stores: &[&Store], view: &str) -> Result<HashMap<String, Kind>> {
    let mut kinds = HashMap::new();
    let mut unknown = Vec::new();
    for store in stores {
        store.read_rows("SELECT name, type FROM pragma_table_info(?1)", [view], |row| {
            let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
            match find_kind(&name, &declared) {
                Some(kind) => {
                    kinds.entry(name).or_insert(kind);
                }
                None => unknown.push((*store, name)),
            }
            Ok(())
        })?;
    }
    for (store, name) in unknown {
        let found = read_kind(store, view, &name)?;
        let kind = kinds.entry(name).or_insert(found);
        // A whole number in one store may be a fraction in the next.
        if (*kind, found) == (Kind::Integer, Kind::Real) {
            *kind = found;
        }
    }
    Ok(kinds)
}

/// Returns the kind of the values of a column, which is read to its end. A column without a value is a text.
#[cfg(feature = "parquet")]
fn read_kind(store: &Store, view: &str, column: &str) -> Result<Kind> {
    let [view, column] = [view, column].map(|name| name.replace('"', "\"\""));
    let sql = format!("SELECT DISTINCT typeof(\"{column}\") FROM \"{view}\"");
    let mut types = Vec::new();
    store.read_rows(&sql, [], |row| {
        types.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    let is_among = |name: &str| types.iter().any(|found| found == name);
    Ok(match () {
        () if is_among("text") => Kind::Text,
        () if is_among("blob") => Kind::Bytes,
        () if is_among("real") => Kind::Real,
        () if is_among("integer") => Kind::Integer,
        () => Kind::Text,
    })
}

/// Returns the kind of a column, or `None` if neither its name nor its declared type shows it.
#[cfg(feature = "parquet")]
fn find_kind(name: &str, declared: &str) -> Option<Kind> {
    if MOMENTS.contains(&name) {
        return Some(Kind::Moment);
    }
    // The name of a column ends with its unit.
    if name.ends_with("_ms") || name.ends_with("_pct") || name.ends_with("_s") {
        return Some(Kind::Real);
    }
    if name.ends_with("_ns") {
        return Some(Kind::Integer);
    }
    let declared = declared.to_ascii_uppercase();
    let of_type = [
        ("INT", Kind::Integer),
        ("TEXT", Kind::Text),
        ("CHAR", Kind::Text),
        ("REAL", Kind::Real),
        ("DOUB", Kind::Real),
        ("BLOB", Kind::Bytes),
    ];
    let by_type = of_type.iter().find(|(part, _)| declared.contains(part)).map(|(_, kind)| *kind);
    by_type.or_else(|| COMPUTED.iter().find(|(computed, _)| *computed == name).map(|(_, kind)| *kind))
}

/// The columns that say when a row of a view happened, the first that the view has counts.
const TIMES: [&str; 5] = ["start_ns", "slice_start_ns", "at_ns", "last_seen_ns", "last_ns"];

/// Returns the statement that reads the rows of a view within a span for which a condition holds.
pub(crate) fn select(
    store: &Store,
    view: &str,
    period: Period,
    condition: Option<&str>,
) -> Result<Selection> {
    let names = list(store)?;
    if !names.iter().any(|name| name == view) {
        bail!("the store has no view `{view}`: it has {}", names.join(", "));
    }
    // A quotation mark within a quoted name is written twice; the name is one of the store's own.
    let quoted = format!("\"{}\"", view.replace('"', "\"\""));
    let columns = store.read_column_names(&format!("SELECT * FROM {quoted}"))?;
    let mut conditions: Vec<String> = condition.iter().map(|text| format!("({text}\n)")).collect();
    let mut parameters = Vec::new();
    if !period.is_whole() {
        let Some(time) = find_time(&columns) else {
            bail!("`{view}` has no column of a time: leave out --since, or select with --where");
        };
        conditions.push(format!("{time} BETWEEN ? AND ?"));
        parameters.extend([period.from_ns.into(), period.until_ns.into()]);
        if time == "start_ns" && columns.iter().any(|column| column == "call_id") {
            let (first, last) = rows::find_ids(store, period)?;
            conditions.push("call_id BETWEEN ? AND ?".to_owned());
            parameters.extend([first.into(), last.into()]);
        }
    }
    let selected =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let sql = format!("SELECT * FROM {quoted}{selected}");
    if let Some(condition) = condition {
        // The condition alone comes first, because the message on it names no parenthesis that the user did not write.
        for sql in [&format!("SELECT * FROM {quoted} WHERE {condition}\n"), &sql] {
            check_condition(store, condition, sql)?;
        }
    }
    Ok(Selection { sql, parameters, columns })
}

/// Fails if SQLite does not take a statement because of the condition in it.
fn check_condition(store: &Store, condition: &str, sql: &str) -> Result<()> {
    let Err(error) = store.read_column_names(sql) else { return Ok(()) };
    if let Some((text, _)) = find_input_error(&error) {
        bail!("--where takes an expression in SQL, and `{condition}` is none here: {text}");
    }
    match error.downcast_ref() {
        // The statement as a whole tells what is wrong.
        Some(rusqlite::Error::MultipleStatement) => Ok(()),
        _ => Err(error),
    }
}

/// Returns the column of a view that says when a row happened.
pub(crate) fn find_time(columns: &[String]) -> Option<&'static str> {
    TIMES.into_iter().find(|time| columns.iter().any(|column| column == time))
}

/// The parts of time, such as hours, that have rows of a view.
#[cfg(feature = "parquet")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The parts, counted from the Unix epoch; `None` stands for rows without a time.
    pub(crate) numbers: BTreeSet<Option<i64>>,
    /// The type of a value that is no moment; `None` if there is no such value.
    pub(crate) other_kind: Option<String>,
}

/// Finds the parts of this length in which rows of a selection happened, by the column `time`.
#[cfg(feature = "parquet")]
pub(crate) fn find_parts(store: &Store, selection: &Selection, time: &str, length_ns: i64) -> Result<Parts> {
    // SQLite rounds a quotient towards zero, so a time before 1970 lies one part earlier.
    let sql = format!(
        "SELECT DISTINCT typeof({time}), {time} / {length_ns} - ({time} % {length_ns} < 0) FROM ({})",
        selection.sql
    );
    let mut parts = Parts::default();
    store.read_rows(&sql, params_from_iter(&selection.parameters), |row| {
        match row.get::<_, String>(0)?.as_str() {
            "integer" | "null" => drop(parts.numbers.insert(row.get(1)?)),
            kind => parts.other_kind = Some(kind.to_owned()),
        }
        Ok(())
    })?;
    Ok(parts)
}

/// Returns the names of the views, and behind them those of the tables, in alphabetical order.
fn list(store: &Store) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let sql = "SELECT name FROM sqlite_schema WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite%'
               ORDER BY type DESC, name";
    store.read_rows(sql, [], |row| {
        names.push(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned());
        Ok(())
    })?;
    Ok(names)
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn each_column_has_a_kind_before_its_rows_are_read() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        monitor_runtime::store::schema::create(&db).unwrap();
        let sql = "SELECT m.name, c.name, c.type FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
                   WHERE m.type IN ('view', 'table')";
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })
            .unwrap();
        let columns: Vec<_> = rows.map(Result::unwrap).collect();
        let unknown: Vec<_> =
            columns.iter().filter(|(_, name, declared)| find_kind(name, declared).is_none()).collect();
        assert!(unknown.is_empty(), "add the kinds of these columns to COMPUTED: {unknown:?}");
        let is_computed = |name: &str| {
            columns.iter().any(|(_, column, declared)| column == name && find_kind("", declared).is_none())
        };
        let needless: Vec<_> = COMPUTED.iter().filter(|(name, _)| !is_computed(name)).collect();
        assert!(needless.is_empty(), "SQLite gives these columns a type: {needless:?}");
        for name in MOMENTS {
            assert!(columns.iter().any(|(_, column, _)| column == name), "no column is named `{name}`");
        }
    }
}
