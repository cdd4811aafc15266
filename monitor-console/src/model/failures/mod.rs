//! Kinds of failure within a scope, each with its count, its course over time and an example.
//!
//! Takes a scope of a store; gives the kinds of failure that were seen in it. A failure belongs to the function where
//! it began; kinds that were only passed on by callers are marked. The figures of a kind whose failures all lie within
//! the scope are exact, because a failure is counted even if it has no row of its own. Otherwise the figures come from
//! the rows of failed calls within the scope. They are exact too, unless failures came too fast for rows of their own,
//! or their rows are past retention: such a count is a lower bound, and marked.

mod kinds;
mod rows;
mod tally;
mod narrow;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use anyhow::Result;
use monitor_runtime::record::Outcome;
use monitor_runtime::store::fingerprint;

use self::narrow::{Messages, Sums};
use self::rows::Order;
use self::tally::{Key, Parts, Tally};
use super::names::Names;
use super::period::Period;
use super::rows::WIDE_ROWS_MAX;
use super::scope::Scope;
use crate::pattern::Pattern;
use crate::store::Store;
use crate::units;
pub(crate) use kinds::find;

/// The most kinds that a page reads: more than a recorder keeps of its own accord.
const KINDS_MAX: usize = 20_000;

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
    /// The number of failures within the scope.
    pub(crate) count: i64,
    /// True if the count is a lower bound.
    pub(crate) is_lower_bound: bool,
    /// The failures that began in the function, of all that the store counts; the others were passed on. In older
    /// stores all failures.
    pub(crate) origins: i64,
    /// The roots that failed within the scope because of this kind. `None` in older stores, unless they were counted
    /// from rows.
    pub(crate) roots: Option<i64>,
    /// True if the number of roots is a lower bound.
    pub(crate) are_roots_lower_bound: bool,
    /// The way from the outermost call that failed to the origin.
    pub(crate) path: Option<String>,
    /// The first failure of all, ns since the Unix epoch.
    pub(crate) first_ns: i64,
    /// The last failure within the scope, ns since the Unix epoch; `None` if it has no row.
    pub(crate) last_ns: Option<i64>,
    /// The latest failure within the scope that has a row.
    pub(crate) example: Option<i64>,
    /// Failures with a row in each part of the span.
    pub(crate) course: Vec<f64>,
}

impl Kind {
    /// Returns true if all its failures were passed on by callers of failed calls.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.origins == 0
    }

    /// Returns the key by which kinds are sorted: those that began in their own function come first, and among these
    /// the most frequent ones.
    pub(crate) fn rank(&self) -> (bool, Reverse<i64>) {
        (self.is_passed_on(), Reverse(self.count))
    }

    /// Returns true if all failures of the kind lie within the scope.
    fn is_within(&self, scope: &Scope) -> bool {
        let is_in_span = |at_ns| scope.period.holds(at_ns);
        scope.processes.is_none() && is_in_span(self.first_ns) && self.last_ns.is_none_or(is_in_span)
    }

    /// Returns true if the first or the last failure of the kind lies within the scope, so the scope has at least one.
    fn has_end_within(&self, scope: &Scope) -> bool {
        let is_in_span = |at_ns| scope.period.holds(at_ns);
        scope.processes.is_none() && (is_in_span(self.first_ns) || self.last_ns.is_none_or(is_in_span))
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

/// The bounds on what an answer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The most kinds, the most frequent first.
    kinds: usize,
    /// The most rows of failed calls, the newest first.
    rows: usize,
}

impl Bounds {
    /// No bounds: a command reads all rows.
    pub(crate) const NONE: Self = Self { kinds: usize::MAX, rows: usize::MAX };
    /// The bounds of a page, which reads its rows anew at each refresh.
    pub(crate) const PAGE: Self = Self { kinds: KINDS_MAX, rows: WIDE_ROWS_MAX };
}

/// A question for kinds of failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The part of the store.
    pub(crate) scope: &'a Scope,
    /// The functions; `None` for all.
    pub(crate) pattern: Option<&'a Pattern>,
    /// The parts of the course of each kind; 0 for no courses. Courses are counted from rows, so a question without
    /// them may need no rows.
    pub(crate) parts: usize,
    /// The bounds on what is read.
    pub(crate) bounds: Bounds,
    /// The present time, which ends the courses.
    pub(crate) now_ns: i64,
}

/// Reads the kinds of failure that a question asks for. The rows of failed calls are read once, and not at all if the
/// scope has all failures and no courses are asked for.
pub(crate) fn read(store: &Store, question: Question<'_>) -> Result<Failures> {
    let Question { scope, pattern, parts, bounds, .. } = question;
    let mut kinds = kinds::list(store, scope, pattern, bounds.kinds)?;
    let is_kinds_cut = kinds.len() >= bounds.kinds;
    let are_counted = kinds.iter().all(|kind| kind.is_within(scope));
    if kinds.is_empty() || (are_counted && parts == 0) {
        return Ok(Failures { kinds, is_cut: is_kinds_cut });
    }
    let (sums, are_rows_cut) = count_rows(store, question, &kinds, !is_kinds_cut, !are_counted)?;
    let is_partial = are_rows_cut || (!are_counted && lacks_rows(store, scope.period.from_ns)?);
    narrow::narrow(&mut kinds, scope, &sums, parts, is_partial);
    kinds.sort_by_key(Kind::rank);
    Ok(Failures { kinds, is_cut: is_kinds_cut || are_rows_cut })
}

/// Lists the kinds that were seen within a scope, each with all its failures and without its course.
pub(crate) fn list(store: &Store, scope: &Scope, pattern: Option<&Pattern>) -> Result<Vec<Kind>> {
    kinds::list(store, scope, pattern, KINDS_MAX)
}

/// Returns the ids of the newest failures of a kind, at most `limit`.
pub(crate) fn find_calls(
    store: &Store,
    kind: &Kind,
    scope: &Scope,
    limit: usize,
    now_ns: i64,
) -> Result<Vec<i64>> {
    let functions = HashSet::from([kind.function.as_str()]);
    let wanted = rows::Wanted {
        scope,
        until_ns: latest_start(scope.period, now_ns),
        with_errors: Some(&functions),
        has_links: false,
        // Reading ends at the last call that is asked for, so only the time of the page bounds it.
        rows_max: usize::MAX,
        order: Order::NewestFirst,
    };
    let mut texts = Names::default();
    let mut found = Vec::new();
    let mut is_of_kind = HashMap::new();
    rows::read(store, wanted, &mut texts, |failed, texts| {
        let key = Key { function: failed.function, outcome: failed.outcome, error: failed.error };
        let is_same = || {
            let error = key.error.map(|error| texts.text(error));
            texts.text(key.function) == kind.function
                && key.outcome == kind.outcome
                && message_kind(key.outcome, error) == kind.message
        };
        if *is_of_kind.entry(key).or_insert_with(is_same) {
            found.push(failed.call_id);
        }
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// Returns the kind of the message of a failed call, by its outcome and the text of its error: numbers in it are `#`.
pub(crate) fn message_kind(outcome: &str, error: Option<&str>) -> String {
    let is_panic = outcome == Outcome::Panic.as_str();
    fingerprint::kind(if is_panic { Outcome::Panic } else { Outcome::Error }, error.unwrap_or(outcome))
}

/// Returns true if failures since a moment may lack a row: some were counted without one, or the rows reach back less
/// far.
fn lacks_rows(store: &Store, since_ns: i64) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM folded) OR COALESCE(MIN(min_start_ns) > ?1, TRUE) FROM call_range";
    Ok(store.read_integer(sql, [since_ns])? != Some(0))
}

/// Returns the latest start of rows within a span. Rows that lie later than the latest time of any span were written
/// while a clock was wrong.
fn latest_start(period: Period, now_ns: i64) -> i64 {
    period.until_ns.min(units::end_of_span_at(now_ns))
}

/// Counts the rows of failed calls within the scope by kind, and returns true if rows were left out.
fn count_rows(
    store: &Store,
    question: Question<'_>,
    kinds: &[Kind],
    are_all: bool,
    has_links: bool,
) -> Result<(Sums, bool)> {
    let Question { scope, parts, bounds, now_ns, .. } = question;
    let first_ns = kinds.iter().map(|kind| kind.first_ns).min().unwrap_or(0);
    let parts = Parts::cut(scope.period.from_ns.max(first_ns), scope.period.until_ns.min(now_ns), parts);
    let messages = if are_all { Messages::gather(kinds) } else { Messages::default() };
    let ambiguous = messages.list_ambiguous();
    let wanted = rows::Wanted {
        scope,
        until_ns: latest_start(scope.period, now_ns),
        with_errors: are_all.then_some(&ambiguous),
        has_links,
        rows_max: bounds.rows,
        order: Order::OldestFirst,
    };
    let (mut texts, mut tally) = (Names::default(), Tally::new(parts));
    let is_cut = rows::read(store, wanted, &mut texts, |failed, _| {
        tally.add(failed);
        ControlFlow::Continue(())
    })?;
    let mut sums = Sums::default();
    for (Key { function, outcome, error }, sum) in tally.finish() {
        let function = texts.text(function);
        let read_message = || {
            let error = error.map(|error| texts.text(error));
            Cow::from(message_kind(outcome, error))
        };
        let message = messages.find_only(function, outcome).map_or_else(read_message, Cow::from);
        sums.add(function, outcome, &message, &sum);
    }
    Ok((sums, is_cut))
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
        INSERT INTO function VALUES
            (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0), (9, 'shop::ship', 'src/ship.rs', 8, NULL, 1.0);
        INSERT INTO thread VALUES (4, 1, 'main', 0);
        INSERT INTO call VALUES
            (1, 3, 4, 400, 5, NULL, 101, 0, 0, 6, 1.0),
            (2, 3, 4, 1100, 5, NULL, 102, 0, 0, 6, 1.0),
            (3, 3, 4, 1900, 5, NULL, 103, 0, 0, 6, 1.0);
        INSERT INTO call_value VALUES
            (1, NULL, NULL, 'card 12 declined', NULL), (2, NULL, NULL, 'card 7 declined', NULL),
            (3, NULL, NULL, 'card 8 declined', NULL);
        INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns)
            VALUES (1, 3, 400, 1900, 2000);
        INSERT INTO error_group VALUES
            (11, 9, 1, 'no van', 12, 1500, 1800, NULL, NULL, 12, 0, NULL),
            (12, 3, 1, 'card # declined', 50, 100, 1900, 3, NULL, 50, 9, NULL),
            (13, 9, 1, 'card # declined', 40, 1600, 1900, 3, NULL, 0, 0, NULL);";

    /// Reads the kinds with four parts at 2 000.
    fn read_kinds(store: &Store, scope: &Scope, pattern: Option<&str>) -> Vec<Kind> {
        let pattern = pattern.map(|pattern| pattern.parse().unwrap());
        let question =
            Question { scope, pattern: pattern.as_ref(), parts: 4, bounds: Bounds::PAGE, now_ns: 2_000 };
        let failures = read(store, question).unwrap();
        assert!(!failures.is_cut);
        failures.kinds
    }

    fn span(from_ns: i64, until_ns: i64) -> Scope {
        Scope { period: Period { from_ns, until_ns }, processes: None }
    }

    #[test]
    fn the_count_of_a_kind_is_exact_where_a_scope_has_all_its_failures() {
        let (_folder, store) = store_of(FAILURES);
        let count = |from_ns: i64, until_ns: i64, processes: Option<Vec<i64>>| {
            let scope = Scope { processes, ..span(from_ns, until_ns) };
            let kinds = read_kinds(&store, &scope, None);
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
        assert_eq!(count(1_000, 1_950, None), [(11, 12, false), (12, 2, false), (13, 40, false)]);
        // All failures of a kind have a process, which the counts of kinds do not tell.
        assert_eq!(count(1_000, last, Some(vec![1])), [(12, 2, false)]);
        assert_eq!(count(first, last, Some(vec![2])), []);
    }

    #[test]
    fn a_course_covers_the_span_until_now_or_the_time_from_the_first_failure() {
        let (_folder, store) = store_of(FAILURES);
        let course = |from_ns: i64, until_ns: i64| {
            read_kinds(&store, &span(from_ns, until_ns), Some("pay"))[0].course.clone()
        };
        assert_eq!(course(i64::MIN, i64::MAX), [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(course(1_001, 2_000), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(course(1_001, 4_000), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(course(1_001, 1_201), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_last_failure_and_the_example_of_a_span_that_has_ended_lie_in_it() {
        let (_folder, store) = store_of(FAILURES);
        let last = |from_ns: i64, until_ns: i64| {
            let kinds = read_kinds(&store, &span(from_ns, until_ns), Some("pay"));
            kinds.iter().map(|kind| (kind.last_ns, kind.example)).collect::<Vec<_>>()
        };
        assert_eq!(last(500, 2_000), [(Some(1_900), Some(3))]);
        assert_eq!(last(500, 1_500), [(Some(1_100), Some(2))]);
        assert_eq!(last(1_200, 1_500), []);
        // The first failure had no row.
        assert_eq!(last(50, 200), [(None, None)]);
    }

    /// Failures of a process: a root that failed because of a call below another one, a root that failed by itself, and
    /// failures of messages beyond the bound on kinds.
    const CAUSES: &str = "
        INSERT INTO process (id, run_uuid, service, version, host, pid, started_ns, ending)
            VALUES (1, 'a1', 'shop', '1', 'here', 7, 0, 'running');
        INSERT INTO function VALUES (1, 'shop::place', 'a.rs', 1, NULL, 1.0), (2, 'shop::charge', 'a.rs', 2, NULL, 1.0),
            (3, 'shop::pay', 'a.rs', 3, NULL, 1.0), (4, 'shop::pay', 'a.rs', 30, NULL, 1.0);
        INSERT INTO thread VALUES (4, 1, 'main', 1000), (5, 1, 'worker', 1500);
        INSERT INTO call VALUES
            (1, 3, 4, 20, 5, NULL, 103, 1, 1, 6, 1.0), (2, 2, 4, 10, 9, NULL, 102, 1, 0, 6, 1.0),
            (3, 1, 4, 0, 99, NULL, 101, 0, 0, 6, 1.0), (4, 4, 5, 0, 5, NULL, 104, 0, 0, 6, 1.0),
            (5, 4, 5, 7, 5, NULL, 105, 0, 0, 6, 1.0), (6, 4, 5, 9, 5, NULL, 106, 0, 0, 9, 1.0),
            (7, 4, 5, 10, 5, NULL, 107, 0, 0, 0, 1.0), (8, 2, 5, 11, 5, NULL, 108, 0, 0, 14, 1.0);
        INSERT INTO call_cause VALUES (2, 1), (3, 1);
        INSERT INTO call_value VALUES
            (1, NULL, NULL, 'card 1 declined', NULL), (2, NULL, NULL, 'card 1 declined', NULL),
            (3, NULL, NULL, 'card 1 declined', NULL), (4, NULL, NULL, 'card 2 declined', NULL),
            (5, NULL, NULL, 'no network', NULL), (6, NULL, NULL, 'no row 7, src/a.rs:3:5', NULL);
        INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns) VALUES (1, 8, 1, 1600, 2000);
        INSERT INTO error_group VALUES
            (21, 3, 1, 'card # declined', 9, 10, 1500, 4, NULL, 9, 9, NULL),
            (22, 3, 1, 'other', 5, 10, 1507, NULL, NULL, 5, 0, NULL),
            (23, 3, 2, 'no row #, src/a.rs:3', 4, 10, 1509, 6, 'Gone', 4, 0, NULL),
            (24, 3, 2, 'no row #, src/a.rs:3', 4, 10, 1509, 6, 'Lost', 4, 0, NULL),
            (25, 2, 1, 'card # declined', 7, 10, 1010, 2, NULL, 0, 0, NULL),
            (26, 1, 1, 'card # declined', 7, 10, 1000, 3, NULL, 0, 0, NULL),
            (27, 2, 3, 'cancelled', 7, 10, 1511, 8, NULL, 7, 7, NULL);";

    /// Id, count, whether it is a lower bound, roots, and example of a kind.
    type Figures = (i64, i64, bool, Option<i64>, Option<i64>);

    /// Returns the figures of each kind.
    fn figures(kinds: &[Kind]) -> Vec<Figures> {
        let mut figures: Vec<_> = kinds
            .iter()
            .map(|kind| (kind.fingerprint, kind.count, kind.is_lower_bound, kind.roots, kind.example))
            .collect();
        figures.sort_unstable();
        figures
    }

    #[test]
    fn roots_count_under_their_cause_and_other_messages_under_other() {
        let expected = [
            (21, 2, false, Some(2), Some(4)),
            (22, 1, false, Some(1), None),
            // Rows do not tell types of errors apart.
            (23, 1, true, Some(1), Some(6)),
            (24, 1, true, Some(1), Some(6)),
            (25, 1, false, Some(0), Some(2)),
            (26, 1, false, Some(0), Some(3)),
            (27, 1, false, Some(1), Some(8)),
        ];
        let (_folder, store) = store_of(CAUSES);
        let kinds = read_kinds(&store, &span(900, 2_000), None);
        assert_eq!(figures(&kinds), expected);
        let courses = |kinds: &[Kind]| {
            kinds.iter().map(|kind| (kind.fingerprint, kind.course.clone())).collect::<Vec<_>>()
        };
        // A store before version 3 is read through its views.
        let (_folder, older) = store_of(&format!("{CAUSES} PRAGMA user_version = 2"));
        let viewed = read_kinds(&older, &span(900, 2_000), None);
        // It does not know causes, so each root counts under its own kind.
        let roots = |kind: &Kind| (kind.fingerprint, kind.roots);
        let mut found: Vec<_> = viewed.iter().map(roots).collect();
        found.sort_unstable();
        let each = [1, 1, 1, 1, 0, 1, 1].map(Some);
        assert_eq!(found, (21..28).zip(each).collect::<Vec<_>>());
        let sorted = |kinds: &[Kind]| {
            let mut courses = courses(kinds);
            courses.sort_by_key(|(fingerprint, _)| *fingerprint);
            courses
        };
        assert_eq!(sorted(&viewed), sorted(&kinds));
    }

    #[test]
    fn each_failure_of_a_store_that_does_not_know_causes_began_in_its_function() {
        let (_folder, store) = store_of(&format!(
            "{CAUSES} DROP VIEW error_groups; CREATE VIEW error_groups AS SELECT g.fingerprint AS fingerprint,
               f.name AS function, 'error' AS outcome, g.message AS message, g.count AS count, g.first_ns AS first_ns,
               g.last_ns AS last_ns, g.example_call_id AS example_call_id
             FROM error_group g JOIN function f ON f.id = g.function_id"
        ));
        let kinds = read_kinds(&store, &Scope::WHOLE, Some("place"));
        let kind = &kinds[0];
        assert_eq!((kind.count, kind.origins, kind.roots, kind.is_passed_on()), (7, 7, None, false));
        assert_eq!(find(&store, 25).unwrap().unwrap().origins, 7);
    }

    #[test]
    fn a_bound_on_rows_leaves_out_the_oldest_and_makes_counts_lower_bounds() {
        for script in [FAILURES.to_owned(), format!("{FAILURES} PRAGMA user_version = 2")] {
            let (_folder, store) = store_of(&script);
            let read = |from_ns: i64, rows: usize| {
                let scope = span(from_ns, 2_000);
                let bounds = Bounds { kinds: 1, rows };
                let question = Question { scope: &scope, pattern: None, parts: 4, bounds, now_ns: 2_000 };
                let failures = super::read(&store, question).unwrap();
                let kind = &failures.kinds[0];
                (kind.count, kind.is_lower_bound, kind.course.clone(), failures.is_cut)
            };
            assert_eq!(read(1_000, 1), (1, true, vec![0.0, 0.0, 0.0, 1.0], true));
            assert_eq!(read(400, 2), (2, true, vec![0.0, 1.0, 0.0, 1.0], true));
            // The bound on kinds cuts too.
            assert_eq!(read(400, 3), (3, false, vec![1.0, 1.0, 0.0, 1.0], true));
            assert_eq!(read(i64::MIN, 2), (50, false, vec![0.0, 0.0, 1.0, 1.0], true));
        }
    }

    #[test]
    fn the_calls_of_a_kind_are_the_newest_first() {
        let (_folder, store) = store_of(CAUSES);
        let calls = |fingerprint: i64, scope: &Scope, limit: usize| {
            let kind = find(&store, fingerprint).unwrap().unwrap();
            find_calls(&store, &kind, scope, limit, 2_000).unwrap()
        };
        assert_eq!(calls(21, &Scope::WHOLE, 9), [4, 1]);
        assert_eq!(calls(21, &Scope::WHOLE, 1), [4]);
        assert_eq!(calls(21, &span(900, 1_400), 9), [1]);
        assert_eq!(calls(23, &Scope::WHOLE, 9), [6]);
        assert_eq!(calls(27, &Scope::WHOLE, 9), [8]);
        assert_eq!(calls(21, &Scope { period: Period::WHOLE, processes: Some(vec![2]) }, 9), [0; 0]);
        assert!(find(&store, 99).unwrap().is_none());
    }
}
