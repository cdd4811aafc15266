//! `monitor live`: the calls in flight in running processes, by the stack of each thread and by task, those with a
//! stuck call first. They are read from the ring files, so the processes do no work for it. The store is opened only if
//! there is nothing to show, to distinguish a mistaken path or name from a program at rest, and if a call has taken so
//! long that its function's history decides whether it is stuck.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use monitor_runtime::alert::{STUCK_NS_MIN, stuck_limit_ns};
use monitor_runtime::recover::{self, LiveProcess, UnderWay};
use rusqlite::types::Value;

use super::in_flight::{self, InFlightCall};
use super::{print_note, require_known};
use crate::arguments::{Common, Live};
use crate::format;
use crate::model::span_ids;
use crate::model::sums::{self, Span};
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units::format_quantity;
use crate::{find, units};

pub(super) fn run(common: &Common, arguments: &Live) -> Result<()> {
    let store = find::find_store(common.store_path())?;
    let now = units::now_ns();
    let living = recover::find_live(&store, &find::list_ring_folders(), now);
    let usual = read_usual_limits(&store, &living, now);
    let mut report = build_report(&living, &usual, arguments, now);
    map_spans(&store, &mut report)?;
    if living.is_empty() {
        // Without a running process, a mistaken path looks like a store at rest.
        Store::open(&store)?;
    }
    if report.rows.is_empty()
        && let Some(pattern) = &arguments.pattern
        && let Ok(store) = Store::open(&store)
    {
        require_known(&store, Some(pattern))?;
    }
    let lost: u64 = living.iter().map(|process| process.lost).sum();
    let more = if lost > 0 {
        format!("; {lost} more are waiting, but their slots are all taken")
    } else {
        String::new()
    };
    print_note(
        common,
        &format!(
            "store: {} · {} in flight in {}{more}",
            store.display(),
            format_quantity(report.rows.len(), "call", "calls"),
            format_quantity(living.len(), "running process", "running processes")
        ),
    );
    format::print(&report, common.style())
}

/// Lists the calls in flight of the processes that write to this store, those with a stuck call first, at most `limit`.
pub(super) fn list(store: &Path, limit: u32, now: i64) -> Result<Report> {
    let living = recover::find_live(store, &find::list_ring_folders(), now);
    let usual = read_usual_limits(store, &living, now);
    let arguments = Live { pattern: None, min: None, limit: Some(limit) };
    let mut report = build_report(&living, &usual, &arguments, now);
    map_spans(store, &mut report)?;
    Ok(report)
}

/// Replaces span ids that are valid within a process by ids of the store. An id whose block the store does not know
/// yet becomes NULL.
fn map_spans(store: &Path, report: &mut Report) -> Result<()> {
    let position = |name: &str| report.columns.iter().position(|column| column.name.as_deref() == Some(name));
    let Some(run) = position("run_uuid") else { return Ok(()) };
    let places: Vec<usize> = ["span_id", "parent_id"].into_iter().filter_map(position).collect();
    let store = Store::open(store).ok().filter(|store| store.has_span_blocks().unwrap_or(false));
    for row in &mut report.rows {
        let Some(uuid) = row[run].as_text().map(str::to_owned) else { continue };
        for place in &places {
            let Some(own) = row[*place].to_integer() else { continue };
            let stored = match &store {
                Some(store) => span_ids::find_in_run(store, &uuid, own)?,
                None => None,
            };
            row[*place] = stored.map_or(Value::Null, Value::Integer).into();
        }
    }
    Ok(())
}

/// A call to show, with its process, the name of its thread, its depth in its tree, and the limit from which it
/// counts as stuck.
struct Shown<'a> {
    process: &'a LiveProcess,
    call: &'a UnderWay,
    thread: Option<String>,
    depth: usize,
    limit: Option<Limit>,
}

/// The time from which a call counts as stuck.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    /// The `slow` option of the function, in ns.
    Declared(i64),
    /// A multiple of the function's 99th percentile, in ns.
    Usual(i64),
}

impl Limit {
    fn as_nanoseconds(self) -> i64 {
        match self {
            Self::Declared(ns) | Self::Usual(ns) => ns,
        }
    }
}

/// Lists calls by trees, those of a thread's stack or of a task together. Trees with a call that is stuck come first,
/// each part by age.
pub(super) fn build_report(
    living: &[LiveProcess],
    usual: &HashMap<String, i64>,
    arguments: &Live,
    now: i64,
) -> Report {
    let matches = |shown: &Shown<'_>| {
        arguments.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&shown.call.function))
            && arguments
                .min
                .is_none_or(|min| measure_elapsed_ns(shown.call, now) >= units::to_nanoseconds(min))
    };
    let mut trees: Vec<Vec<Shown<'_>>> = living.iter().flat_map(|process| arrange(process, usual)).collect();
    trees.sort_by_key(|tree| {
        let is_stuck = tree.iter().any(|shown| is_overdue(shown, now));
        (!is_stuck, tree.iter().map(|shown| shown.call.start_ns).min())
    });
    let shown = trees.into_iter().flatten().filter(matches);
    let limit = arguments.limit.map_or(usize::MAX, |limit| limit as usize);
    Report { columns: list_columns(), rows: shown.take(limit).map(|shown| build_row(&shown, now)).collect() }
}

/// Returns the calls of a process by their trees.
fn arrange<'a>(process: &'a LiveProcess, usual: &HashMap<String, i64>) -> Vec<Vec<Shown<'a>>> {
    let calls: Vec<InFlightCall> = process.calls.iter().map(to_in_flight).collect();
    let mut names = in_flight::name_threads(&calls);
    let mut trees: Vec<Vec<Shown<'a>>> = Vec::new();
    for place in in_flight::arrange(&calls) {
        let call = &process.calls[place.call];
        let declared = call.slow_ns.map(|ns| Limit::Declared(i64::try_from(ns).unwrap_or(i64::MAX)));
        let limit = declared.or_else(|| usual.get(&call.function).copied().map(Limit::Usual));
        let shown = Shown { process, call, thread: names[place.call].take(), depth: place.depth, limit };
        match trees.last_mut() {
            Some(tree) if place.depth > 0 => tree.push(shown),
            _ => trees.push(vec![shown]),
        }
    }
    trees
}

fn to_in_flight(call: &UnderWay) -> InFlightCall {
    InFlightCall {
        thread: call.thread.clone().map(|name| (call.thread_id.map(i64::from), name)),
        depth: call.depth.into(),
        start_ns: call.start_ns,
        span_id: call.span_id.cast_signed(),
        parent_id: call.parent_id.map(u64::cast_signed),
    }
}

/// Reads from the store's history the age in ns at which a call counts as stuck, by function, for functions that
/// declare no `slow`. Returns no limits if the store cannot be read, or if all calls are too short to need one.
pub(super) fn read_usual_limits(store: &Path, living: &[LiveProcess], now: i64) -> HashMap<String, i64> {
    let is_long = |call: &UnderWay| {
        call.slow_ns.is_none() && measure_elapsed_ns(call, now).unsigned_abs() > STUCK_NS_MIN
    };
    if !living.iter().flat_map(|process| &process.calls).any(is_long) {
        return HashMap::new();
    }
    let Ok(store) = Store::open(store) else { return HashMap::new() };
    let Ok(functions) = sums::read(&store, None, Span::Whole) else { return HashMap::new() };
    let mut limits = HashMap::new();
    for sums in functions {
        let Some(limit) = stuck_limit_ns(sums.percentile(0.99), None) else { continue };
        // Functions of one name at several places are not told apart here: the one that takes longest counts.
        let longest = limits.entry(sums.function).or_insert(0);
        *longest = i64::try_from(limit).unwrap_or(i64::MAX).max(*longest);
    }
    limits
}

fn list_columns() -> Vec<Column> {
    vec![
        Column::titled("elapsed_ms", "FOR", Unit::Milliseconds),
        Column::titled("state", "STATE", Unit::Text),
        Column::data("function"),
        Column::table("FUNCTION", Unit::Name),
        Column::data("thread"),
        Column::table("THREAD", Unit::Text),
        Column::titled("depth", "DEPTH", Unit::Number),
        Column::titled("slow_ms", "SLOW FROM", Unit::Milliseconds),
        Column::titled("service", "SERVICE", Unit::Text),
        Column::titled("pid", "PID", Unit::Number),
        Column::titled("args", "ARGUMENTS", Unit::Text),
        Column::data("start_ns"),
        Column::data("waiting_since_ns"),
        Column::data("span_id"),
        Column::data("run_uuid"),
        Column::data("thread_id"),
        Column::data("parent_id"),
        Column::data("slow_by"),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn build_row(shown: &Shown<'_>, now: i64) -> Vec<Cell> {
    let Shown { process, call, .. } = shown;
    let state = match (is_overdue(shown, now), call.waiting_since_ns) {
        (true, None) => "stuck",
        (true, Some(_)) => "stuck, waiting",
        (false, None) => "running",
        (false, Some(_)) => "waiting",
    };
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    let integer = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    let (limit, slow_by) = match shown.limit {
        None => (Value::Null.into(), None),
        Some(Limit::Declared(ns)) => (Cell::from(ns as f64 / 1e6), Some("declared")),
        Some(Limit::Usual(ns)) => (Cell::estimate(ns as f64 / 1e6), Some("history")),
    };
    let indent = "  ".repeat(shown.depth.min(DEPTH_SHOWN_MAX));
    vec![
        (measure_elapsed_ns(call, now) as f64 / 1e6).into(),
        state.to_owned().into(),
        call.function.clone().into(),
        format!("{indent}{}", call.function).into(),
        text(&call.thread).into(),
        text(&shown.thread).into(),
        i64::from(call.depth).into(),
        limit,
        process.process.service.clone().into(),
        i64::from(process.process.pid).into(),
        text(&call.args).into(),
        call.start_ns.into(),
        integer(call.waiting_since_ns).into(),
        call.span_id.cast_signed().into(),
        process.process.run_uuid.clone().into(),
        integer(call.thread_id.map(i64::from)).into(),
        integer(call.parent_id.map(u64::cast_signed)).into(),
        slow_by.map_or(Value::Null, |by| Value::Text(by.to_owned())).into(),
    ]
}

/// The deepest level that is indented further than its caller.
const DEPTH_SHOWN_MAX: usize = 20;

fn measure_elapsed_ns(call: &UnderWay, now: i64) -> i64 {
    now.saturating_sub(call.start_ns).max(0)
}

/// Returns true if the call has taken longer than its limit: the `slow` option of its function, or the limit by the
/// function's history.
fn is_overdue(shown: &Shown<'_>, now: i64) -> bool {
    shown.limit.is_some_and(|limit| measure_elapsed_ns(shown.call, now) > limit.as_nanoseconds())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use monitor_runtime::batch::ProcessRow;
    use monitor_runtime::histogram;
    use monitor_runtime::store::schema;

    const NOW: i64 = 1_700_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    fn call(function: &str, seconds: i64, (span_id, parent_id): (u64, Option<u64>)) -> UnderWay {
        UnderWay {
            function: function.to_owned(),
            thread: None,
            thread_id: None,
            depth: 0,
            start_ns: NOW - seconds * SECOND,
            waiting_since_ns: Some(NOW),
            slow_ns: None,
            span_id,
            parent_id,
            args: Some(format!("{{\"at\":{span_id}}}")),
        }
    }

    fn living(calls: Vec<UnderWay>) -> LiveProcess {
        let process = ProcessRow {
            run_uuid: "a".to_owned(),
            service: "shop".to_owned(),
            version: String::new(),
            host: String::new(),
            pid: 1,
            started_ns: 0,
            program: monitor_runtime::batch::Program::default(),
        };
        LiveProcess { process, calls, alive_ns: NOW, lost: 0 }
    }

    /// Returns the lines of the table: state, indented function, arguments.
    fn lines(living: &LiveProcess, usual: &HashMap<String, i64>) -> Vec<(String, String, String)> {
        let arguments = Live { pattern: None, min: None, limit: None };
        let report = build_report(std::slice::from_ref(living), usual, &arguments, NOW);
        let line = |row: &Vec<Cell>| [1, 3, 10].map(|at| row[at].to_plain_text());
        report.rows.iter().map(line).map(|[state, function, args]| (state, function, args)).collect()
    }

    #[test]
    fn a_call_without_a_declared_limit_is_stuck_by_the_history_of_its_function() {
        let mut declared = call("declared", 100, (11, None));
        declared.slow_ns = Some(200_000_000_000);
        let living = living(vec![
            call("worker", 3600, (12, None)),
            declared,
            call("usual", 30, (13, None)),
            call("quick", 11, (14, None)),
        ]);
        // A worker's loop has no history, because it never ends.
        let usual = [("declared", 10), ("usual", 60), ("quick", 10)];
        let usual = usual.map(|(name, seconds)| (name.to_owned(), seconds * SECOND)).into();
        let states: Vec<_> =
            lines(&living, &usual).into_iter().map(|(state, name, _)| (name, state)).collect();
        let expected = [
            ("quick", "stuck, waiting"),
            ("worker", "waiting"),
            ("declared", "waiting"),
            ("usual", "waiting"),
        ];
        assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    }

    #[test]
    fn calls_of_a_task_stay_together_with_their_arguments_where_one_of_them_is_stuck() {
        let living = living(vec![
            call("old", 500, (11, None)),
            call("inner", 40, (13, Some(12))),
            call("outer", 50, (12, None)),
        ]);
        let usual = [("inner".to_owned(), 10 * SECOND)].into();
        let expected = [
            ("waiting", "outer", r#"{"at":12}"#),
            ("stuck, waiting", "  inner", r#"{"at":13}"#),
            ("waiting", "old", r#"{"at":11}"#),
        ];
        let expected =
            expected.map(|(state, name, args)| (state.to_owned(), name.to_owned(), args.to_owned()));
        assert_eq!(lines(&living, &usual), expected);
    }

    #[test]
    fn the_history_is_read_only_for_calls_that_take_long_and_gives_at_least_ten_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let store = rusqlite::Connection::open(&path).unwrap();
        schema::create(&store).unwrap();
        for (id, name, ns) in [(1, "slow", 2 * SECOND), (2, "quick", 1000)] {
            let at = NOW / schema::SLICE_NS;
            let bucket = histogram::bucket(u64::try_from(ns).unwrap());
            store
                .execute_batch(&format!(
                    "INSERT INTO function VALUES ({id}, '{name}', 'a.rs', 1, NULL, 1.0);
                     INSERT INTO slice_bucket VALUES ({at}, {id}, {bucket}, 1, 9);
                     INSERT INTO slice (slice, function_id, process_id, calls, errors, panics, cancelled, recorded,
                       sampled_out, dropped, roots, total_ns, self_ns, busy_ns, nested_ns, cancelled_ns, max_ns,
                       estimated) VALUES ({at}, {id}, 1, 9, 0, 0, 0, 9, 0, 0, 9, {ns}, {ns}, {ns}, 0, 0, {ns}, 0)"
                ))
                .unwrap();
        }
        drop(store);
        let limits =
            |seconds| read_usual_limits(&path, &[living(vec![call("slow", seconds, (9, None))])], NOW);
        assert!(limits(5).is_empty());
        let limits = limits(11);
        assert_eq!(limits["quick"], 10 * SECOND);
        assert!((35 * SECOND..=40 * SECOND).contains(&limits["slow"]), "{limits:?}");
    }
}
