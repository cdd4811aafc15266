//! Kinds of failure within a scope, each with its count, its course over time and an example.
//!
//! A kind belongs to the function where it began; kinds that were only passed on by callers are marked. The count of
//! a kind is exact if the scope has all its failures. Otherwise it is counted from rows, which is a lower bound if
//! rows are missing: some failures came too fast for rows of their own, and rows expire before the groups do.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::record::Outcome;
use monitor_runtime::store::fingerprint;
use rusqlite::Params;

use super::period::Period;
use super::rows;
use super::scope::Scope;
use crate::pattern::{self, Pattern};
use crate::report::{self, Cell};
use crate::store::Store;

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

    /// Returns true if a scope has all failures of the kind, because the kind began in it and it lasts until now.
    fn is_within(&self, scope: &Scope, now_ns: i64) -> bool {
        scope.processes.is_none() && self.first_ns >= scope.period.from_ns && scope.period.until_ns >= now_ns
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Failures {
    /// The kinds: those that began in their function before those that were passed on, the most frequent first.
    pub(crate) kinds: Vec<Kind>,
    /// True if only the newest rows, or the most frequent kinds, were read.
    pub(crate) is_cut: bool,
}

/// The function, outcome and message that identify a kind of failure.
type Text = (String, String, String);

/// Reads the kinds of failure of a scope, each with its course in this many parts. `now_ns` ends the courses of a scope
/// without an end.
pub(crate) fn read(
    store: &Store,
    scope: &Scope,
    pattern: Option<&Pattern>,
    parts: usize,
    now_ns: i64,
) -> Result<Failures> {
    let mut kinds = list(store, scope, pattern)?;
    let Period { from_ns, until_ns } = scope.period;
    let first_ns = kinds.iter().map(|kind| kind.first_ns).min().unwrap_or(now_ns);
    let (from_ns, until_ns) = (
        if from_ns == i64::MIN { first_ns } else { from_ns },
        if until_ns == i64::MAX { now_ns } else { until_ns },
    );
    let (courses, are_rows_cut) = read_courses(store, scope, Period { from_ns, until_ns }, parts)?;
    let is_lower_bound = are_rows_cut || lacks_rows(store, scope.period.from_ns)?;
    let is_cut = are_rows_cut || i64::try_from(kinds.len()).unwrap_or(i64::MAX) >= KINDS_READ_MAX;
    for kind in &mut kinds {
        let text = (kind.function.clone(), kind.outcome.clone(), kind.message.clone());
        let course = courses.get(&text);
        kind.course = course.map_or_else(|| vec![0.0; parts], |course| course.parts.clone());
        if !kind.is_within(scope, now_ns) {
            kind.is_lower_bound = is_lower_bound;
            kind.count = course.map_or(0, |course| course.count).min(kind.count);
        }
    }
    kinds.retain(|kind| kind.count > 0);
    kinds.sort_by_key(|kind| (kind.is_passed_on(), std::cmp::Reverse(kind.count), kind.fingerprint));
    Ok(Failures { kinds, is_cut })
}

/// Returns the kind with this id.
pub(crate) fn find(store: &Store, fingerprint: i64) -> Result<Option<Kind>> {
    let sql = "SELECT * FROM error_groups WHERE fingerprint = ?1";
    Ok(read_kinds(store, sql, [fingerprint])?.into_iter().next())
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

/// Lists the kinds that were seen within a scope, each with the count of all its failures and without its course.
pub(crate) fn list(store: &Store, scope: &Scope, pattern: Option<&Pattern>) -> Result<Vec<Kind>> {
    let [whole, ending] = pattern::to_optional_globs(pattern);
    let sql = "SELECT * FROM error_groups
               WHERE (?1 IS NULL OR function GLOB ?1 OR function GLOB ?2) AND last_ns >= ?3 AND first_ns <= ?4
               ORDER BY count DESC LIMIT ?5";
    read_kinds(store, sql, (whole, ending, scope.period.from_ns, scope.period.until_ns, KINDS_READ_MAX))
}

/// Reads the kinds that a statement selects. A column that an older store lacks has no value.
fn read_kinds(store: &Store, sql: &str, parameters: impl Params) -> Result<Vec<Kind>> {
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
#[derive(Debug, Clone, Default)]
struct Course {
    count: i64,
    parts: Vec<f64>,
}

/// Counts the rows of failures by kind and part of the span, and returns true if rows were left out.
fn read_courses(
    store: &Store,
    scope: &Scope,
    span: Period,
    parts: usize,
) -> Result<(HashMap<Text, Course>, bool)> {
    let length_ns = (i128::from(span.until_ns) - i128::from(span.from_ns) + 1).max(1);
    let part_of = |start_ns: i64| {
        let since = i128::from(start_ns) - i128::from(span.from_ns);
        usize::try_from(since * parts as i128 / length_ns).unwrap_or(0).min(parts.saturating_sub(1))
    };
    let empty = || Course { count: 0, parts: vec![0.0; parts] };
    let mut by_error: HashMap<Text, Course> = HashMap::new();
    let mut rows_read = 0;
    read_rows(store, scope, None, |failure| {
        rows_read += 1;
        // Rows are counted by text, and the texts become kinds afterwards, because many rows share few texts.
        let error = failure.error.clone().unwrap_or_else(|| failure.outcome.clone());
        let course = by_error.entry((failure.function, failure.outcome, error)).or_insert_with(empty);
        course.count += 1;
        course.parts[part_of(failure.start_ns)] += 1.0;
    })?;
    let mut by_kind: HashMap<Text, Course> = HashMap::new();
    for ((function, outcome, error), course) in by_error {
        let message = message_kind(&outcome, Some(&error));
        let sum = by_kind.entry((function, outcome, message)).or_insert_with(empty);
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

/// Returns true if failures since a moment may lack a row: some were counted without one, or the rows reach back less
/// far.
pub(crate) fn lacks_rows(store: &Store, since_ns: i64) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM folded) OR COALESCE(MIN(min_start_ns) > ?1, TRUE) FROM call_range";
    Ok(store.read_integer(sql, [since_ns])? != Some(0))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::store::tests::store_of;

    /// A kind that began at 1 500 and has no rows, an older one with rows at 400, 1 100 and 1 900, and one that was
    /// passed on.
    const FAILURES: &str = "
        INSERT INTO process (id, run_uuid, service, version, host, pid, started_ns, ending)
            VALUES (1, 'a1', 'shop', '1', 'here', 7, 0, 'running');
        INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0), (9, 'shop::ship', 'src/ship.rs', 8, NULL, 1.0);
        INSERT INTO thread VALUES (4, 1, 'main', 0);
        INSERT INTO call VALUES
            (1, 3, 4, 400, 5, NULL, 101, 0, 0, 6, 1.0),
            (2, 3, 4, 1100, 5, NULL, 102, 0, 0, 6, 1.0),
            (3, 3, 4, 1900, 5, NULL, 103, 0, 0, 6, 1.0);
        INSERT INTO call_value VALUES
            (1, NULL, NULL, 'card 12 declined', NULL), (2, NULL, NULL, 'card 7 declined', NULL),
            (3, NULL, NULL, 'card 8 declined', NULL);
        INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns) VALUES (1, 3, 400, 1900, 2000);
        INSERT INTO error_group VALUES
            (11, 9, 1, 'no van', 12, 1500, 1800, NULL, NULL, 12, 0, NULL),
            (12, 3, 1, 'card # declined', 50, 100, 1900, 3, NULL, 50, 9, NULL),
            (13, 9, 1, 'card # declined', 40, 1600, 1900, 3, NULL, 0, 0, NULL);";

    #[test]
    fn the_count_of_a_kind_is_exact_where_a_scope_has_all_its_failures() {
        let (_folder, store) = store_of(FAILURES);
        let count = |from_ns: i64, until_ns: i64, processes: Option<Vec<i64>>| {
            let scope = Scope { period: Period { from_ns, until_ns }, processes };
            let kinds = read(&store, &scope, None, 4, 2_000).unwrap().kinds;
            kinds
                .into_iter()
                .map(|kind| (kind.fingerprint, kind.count, kind.is_lower_bound))
                .collect::<Vec<_>>()
        };
        let (first, last) = (i64::MIN, i64::MAX);
        // Kinds that were only passed on come last, however frequent they are.
        assert_eq!(count(first, last, None), [(12, 50, false), (11, 12, false), (13, 40, false)]);
        assert_eq!(count(1_000, 2_000, None), [(11, 12, false), (12, 2, false), (13, 40, false)]);
        // The rows do not reach back to the start of the span.
        assert_eq!(count(300, 2_000, None), [(11, 12, false), (12, 3, true), (13, 40, false)]);
        assert_eq!(count(1_000, 1_950, None), [(12, 2, false)]);
        assert_eq!(count(1_000, last, Some(vec![1])), [(12, 2, false)]);
        assert_eq!(count(first, last, Some(vec![2])), []);
    }

    #[test]
    fn a_course_covers_the_span_or_the_time_from_the_first_failure_until_now() {
        let (_folder, store) = store_of(FAILURES);
        let course = |from_ns: i64, until_ns: i64| {
            let scope = Scope { period: Period { from_ns, until_ns }, processes: None };
            let kinds = read(&store, &scope, Some(&"pay".parse().unwrap()), 4, 2_000).unwrap().kinds;
            kinds[0].course.clone()
        };
        assert_eq!(course(i64::MIN, i64::MAX), [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(course(1_001, 2_000), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(course(1_001, 4_000), [1.0, 1.0, 0.0, 0.0]);
    }
}
