//! Kinds of failure within a scope, each with its count, its course over time and an example.
//!
//! A kind belongs to the function where it began; kinds that were only passed on by callers are marked. The counts of
//! the whole store are exact. Within a scope they are counted from rows and so are lower bounds: some failures came too
//! fast for rows of their own, and rows expire before the groups do.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::record::Outcome;
use monitor_runtime::store::fingerprint;
use rusqlite::Params;

use super::rows;
use super::scope::Scope;
use crate::pattern::{self, Pattern};
use crate::report::{self, Cell};
use crate::store::Store;

/// The parts of the span that a course over time has.
pub(crate) const PARTS: usize = 24;
/// The most rows of failures that are read, the newest first.
const ROWS_READ_MAX: i64 = 100_000;
/// The most kinds that are read, the most frequent first: more than a recorder keeps of its own accord.
const KINDS_READ_MAX: i64 = 20_000;

/// A kind of failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kind {
    /// The id of the kind, the same in every run.
    pub(crate) fingerprint: i64,
    /// The function.
    pub(crate) function: String,
    /// `error`, `panic` or `cancelled`.
    pub(crate) outcome: String,
    /// The pattern of the messages.
    pub(crate) message: String,
    /// The type of the error, if it is known.
    pub(crate) error_type: Option<String>,
    /// The number of failures.
    pub(crate) count: i64,
    /// True if the count is a lower bound.
    pub(crate) is_lower_bound: bool,
    /// The failures that began in the function; the others were passed on. `None` in older stores.
    pub(crate) origins: Option<i64>,
    /// The roots that failed because of this kind. `None` in older stores.
    pub(crate) roots: Option<i64>,
    /// The way from the outermost call that failed to the origin.
    pub(crate) path: Option<String>,
    /// The first failure, ns since the Unix epoch.
    pub(crate) first_ns: i64,
    /// The last failure, ns since the Unix epoch.
    pub(crate) last_ns: i64,
    /// The latest failure of the kind that has a row.
    pub(crate) example: Option<i64>,
    /// Failures with a row in each part of the span.
    pub(crate) course: Vec<f64>,
}

impl Kind {
    /// Returns true if all its failures were passed on by callers of failed calls.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.origins == Some(0)
    }
}

/// Kinds of failure, and the span over which their courses go.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Failures {
    /// The kinds: those that began in their function before those that were passed on, the most frequent first.
    pub(crate) kinds: Vec<Kind>,
    /// The start and the end of the courses, ns since the Unix epoch.
    pub(crate) span_ns: (i64, i64),
    /// True if only the newest rows, or the most frequent kinds, were read.
    pub(crate) is_cut: bool,
}

/// Function, outcome and message, which make a kind.
type Text = (String, String, String);

/// Reads the kinds of failure of a scope. `now_ns` ends the courses of a scope without an end.
pub(crate) fn read(store: &Store, scope: &Scope, pattern: Option<&Pattern>, now_ns: i64) -> Result<Failures> {
    let mut kinds = read_kinds(store, scope, pattern)?;
    let first = kinds.iter().map(|kind| kind.first_ns).min().unwrap_or(now_ns);
    let last = kinds.iter().map(|kind| kind.last_ns).max().unwrap_or(now_ns);
    let span = (scope.period.from_ns.max(first), scope.period.until_ns.min(last.max(first)));
    let (courses, are_rows_cut) = read_courses(store, scope, span)?;
    let is_cut = are_rows_cut || i64::try_from(kinds.len()).unwrap_or(i64::MAX) >= KINDS_READ_MAX;
    for kind in &mut kinds {
        let text = (kind.function.clone(), kind.outcome.clone(), kind.message.clone());
        let course = courses.get(&text);
        kind.course = course.map_or_else(|| vec![0.0; PARTS], |course| course.parts.to_vec());
        if !scope.is_whole() {
            kind.is_lower_bound = true;
            kind.count = course.map_or(0, |course| course.count);
        }
    }
    if !scope.is_whole() {
        kinds.retain(|kind| kind.count > 0);
    }
    kinds.sort_by_key(|kind| (kind.is_passed_on(), std::cmp::Reverse(kind.count), kind.fingerprint));
    Ok(Failures { kinds, span_ns: span, is_cut })
}

/// Returns the kind with this id.
pub(crate) fn find(store: &Store, fingerprint: i64) -> Result<Option<Kind>> {
    let sql = "SELECT * FROM error_groups WHERE fingerprint = ?1";
    Ok(read_kinds_by(store, sql, [fingerprint])?.into_iter().next())
}

/// Returns the ids of the newest failures of a kind, at most `limit`.
pub(crate) fn find_calls(store: &Store, kind: &Kind, scope: &Scope, limit: usize) -> Result<Vec<i64>> {
    let mut ids = Vec::new();
    read_rows(store, scope, Some(&kind.function), |failure| {
        if ids.len() < limit
            && failure.outcome == kind.outcome
            && message_kind(&failure.outcome, failure.error.as_deref()) == kind.message
        {
            ids.push(failure.call_id);
        }
    })?;
    Ok(ids)
}

fn read_kinds(store: &Store, scope: &Scope, pattern: Option<&Pattern>) -> Result<Vec<Kind>> {
    let [whole, ending] = pattern::to_optional_globs(pattern);
    let sql = "SELECT * FROM error_groups
               WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3 AND first_ns <= ?4
               ORDER BY count DESC LIMIT ?5";
    read_kinds_by(store, sql, (whole, ending, scope.period.from_ns, scope.period.until_ns, KINDS_READ_MAX))
}

/// Reads the kinds that a statement selects. A column that an older store lacks has no value.
fn read_kinds_by(store: &Store, sql: &str, parameters: impl Params) -> Result<Vec<Kind>> {
    let columns = store.read_column_names("SELECT * FROM error_groups")?;
    let mut kinds = Vec::new();
    store.read_rows(sql, parameters, |row| {
        let cells = report::read_cells(row, columns.len())?;
        let find = |name: &str| columns.iter().position(|column| column == name).map(|at| &cells[at]);
        let integer = |name: &str| find(name).and_then(Cell::to_integer);
        let text = |name: &str| find(name).and_then(Cell::as_text).map(str::to_owned);
        kinds.push(Kind {
            fingerprint: integer("fingerprint").unwrap_or(0),
            function: text("function").unwrap_or_default(),
            outcome: text("outcome").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            error_type: text("error_type"),
            count: integer("count").unwrap_or(0),
            is_lower_bound: false,
            origins: integer("origin_count"),
            roots: integer("root_count"),
            path: text("path"),
            first_ns: integer("first_ns").unwrap_or(0),
            last_ns: integer("last_ns").unwrap_or(0),
            example: integer("example_call_id"),
            course: Vec::new(),
        });
        Ok(())
    })?;
    Ok(kinds)
}

/// The failures of a kind that have a row.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    count: i64,
    parts: [f64; PARTS],
}

/// Counts the rows of failures by kind and part of the span, and returns true if rows were left out.
fn read_courses(store: &Store, scope: &Scope, span: (i64, i64)) -> Result<(HashMap<Text, Course>, bool)> {
    let part_ns = (span.1.saturating_sub(span.0) / i64::try_from(PARTS).unwrap_or(1)).max(1);
    let mut by_error: HashMap<Text, Course> = HashMap::new();
    let mut rows_read = 0;
    read_rows(store, scope, None, |failure| {
        rows_read += 1;
        let part = usize::try_from(failure.start_ns.saturating_sub(span.0) / part_ns).unwrap_or(0);
        // Rows are counted by text, and the texts become kinds afterwards, because many rows share few texts.
        let error = failure.error.clone().unwrap_or_else(|| failure.outcome.clone());
        let course = by_error.entry((failure.function, failure.outcome, error)).or_default();
        course.count += 1;
        course.parts[part.min(PARTS - 1)] += 1.0;
    })?;
    let mut by_kind: HashMap<Text, Course> = HashMap::new();
    for ((function, outcome, error), course) in by_error {
        let message = message_kind(&outcome, Some(&error));
        let sum = by_kind.entry((function, outcome, message)).or_default();
        sum.count += course.count;
        sum.parts.iter_mut().zip(course.parts).for_each(|(sum, part)| *sum += part);
    }
    Ok((by_kind, rows_read >= ROWS_READ_MAX))
}

/// The row of a failed call.
struct Failure {
    call_id: i64,
    function: String,
    outcome: String,
    error: Option<String>,
    start_ns: i64,
}

/// Returns the kind of the message of a failed call, by its outcome and the text of its error: numbers in it are `#`.
pub(crate) fn message_kind(outcome: &str, error: Option<&str>) -> String {
    let is_panic = outcome == Outcome::Panic.as_str();
    fingerprint::kind(if is_panic { Outcome::Panic } else { Outcome::Error }, error.unwrap_or(outcome))
}

/// Reads the rows of failed calls of a scope, the newest first.
fn read_rows(
    store: &Store,
    scope: &Scope,
    function: Option<&str>,
    mut found: impl FnMut(Failure),
) -> Result<()> {
    let (first, last) = rows::find_ids(store, scope.period)?;
    let sql = "SELECT call_id, function, outcome, error, start_ns FROM errors
               WHERE call_id BETWEEN ?1 AND ?2 AND start_ns BETWEEN ?3 AND ?4
                 AND (?5 IS NULL OR function = ?5)
                 AND (?6 IS NULL OR process_id IN (SELECT value FROM json_each(?6)))
               ORDER BY call_id DESC LIMIT ?7";
    let bound = (
        first,
        last,
        scope.period.from_ns,
        scope.period.until_ns,
        function,
        scope.processes_json(),
        ROWS_READ_MAX,
    );
    store.read_rows(sql, bound, |row| {
        let cells = report::read_cells(row, 5)?;
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        found(Failure {
            call_id: cells[0].to_integer().unwrap_or(0),
            function: text(1).unwrap_or_default(),
            outcome: text(2).unwrap_or_default(),
            error: text(3),
            start_ns: cells[4].to_integer().unwrap_or(0),
        });
        Ok(())
    })
}
