//! `monitor trace ID`: the calls of one tree, as a waterfall.
//!
//! The id may be a call's number or a span or trace id; the heading says which it was. Span ids are
//! unique in their process alone, so a trace is always one of a process. Of a call whose caller got no
//! row only the caller's id is known: it stands at the root, marked.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{calls, open};
use crate::arguments::{Common, FormatName, Trace};
use crate::format::{self, Pace};
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::{terminal, units};
use tree::{Node, Place};

/// Columns of the waterfall.
const BAR_COLUMNS: usize = 24;
/// Deepest indentation; what lies deeper says how deep.
const DEPTH_SHOWN_MAX: usize = 40;

pub(super) fn run(common: &Common, arguments: &Trace) -> Result<()> {
    let store = open(common)?;
    let Some(found) = find(&store, arguments.id)? else {
        bail!("{}", unknown(&store, arguments.id)?);
    };
    let calls = load(&store, &found, i64::from(arguments.limit) + 1)?;
    let (calls, is_cut) = bounded(calls, arguments.limit as usize);
    let nodes: Vec<Node> = calls.iter().map(|cells| node(cells)).collect();
    let places = tree::arrange(&nodes);
    if common.format == FormatName::Table {
        super::heading(common, &store, "one trace");
        write_heading(&found, &calls, &nodes)?;
    }
    let report = waterfall(&calls, &nodes, &places);
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())?;
    if is_cut {
        super::remark(common, &format!("only the first {} calls are shown: --limit N", arguments.limit));
    }
    Ok(())
}

/// A trace, by which id it was found, and a call of it.
struct Found {
    by: &'static str,
    id: i64,
    process_id: i64,
    trace_id: i64,
    call_id: i64,
    others: usize,
}

/// Joins that start from the calls: threads are few, and a plan that starts from them reads the calls
/// over and over. What is compared with a call's differences is worked out once for each thread.
const CALLS_WITH_THREADS: &str = "FROM call c CROSS JOIN thread t ON t.id = c.thread_id";
/// Differences that a span id can be stored as. Its upper half is that of its thread.
const SPANS: &str = "(SELECT :id - span_base FROM thread WHERE span_base >> 32 = :id >> 32)";

/// Call numbers are looked up first: it costs nothing, and span ids start far above them.
fn find(store: &Store, id: i64) -> Result<Option<Found>> {
    const TRACE_ID: &str = "t.span_base + c.span - c.parent - c.trace";
    let searches = [
        ("call id", "c.id = :id".to_owned()),
        ("span id", format!("c.span IN {SPANS} AND t.span_base + c.span = :id")),
        (
            "trace id",
            format!(
                "c.span - c.parent - c.trace IN (SELECT :id - span_base FROM thread) AND {TRACE_ID} = :id"
            ),
        ),
    ];
    for (by, condition) in searches {
        let sql = format!("SELECT t.process_id, {TRACE_ID}, c.id {CALLS_WITH_THREADS} WHERE {condition}");
        let mut found = Vec::new();
        store.rows(&sql, &[(":id", &id)], |row| {
            found.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            Ok(())
        })?;
        // Where several runs have the id, the latest is meant.
        if let Some((process_id, trace_id, call_id)) = found.iter().copied().max_by_key(|(_, _, call)| *call)
        {
            let by = if by == "span id" && trace_id == id { "trace id" } else { by };
            let others = found.iter().filter(|(process, ..)| *process != process_id).count();
            return Ok(Some(Found { by, id, process_id, trace_id, call_id, others }));
        }
    }
    Ok(None)
}

fn unknown(store: &Store, id: i64) -> Result<String> {
    let range = store.first("SELECT MIN(id), MAX(id) FROM call", [])?.unwrap_or_default();
    let kept = match range.iter().map(|cell| &cell.value).collect::<Vec<_>>().as_slice() {
        [Value::Integer(first), Value::Integer(last)] => format!("it holds calls {first} to {last}"),
        _ => "it holds no calls".to_owned(),
    };
    Ok(format!(
        "no call, span or trace has the id {id} in {}: {kept}, and those sampled out or past their retention are gone",
        store.path().display()
    ))
}

/// The calls of a trace by start. They start after its root, which bounds the search from below;
/// nothing bounds it from above, since a spawned task may outlive the root.
fn load(store: &Store, found: &Found, limit: i64) -> Result<Vec<Vec<Cell>>> {
    let sql = format!(
        "SELECT {} FROM calls
         WHERE call_id IN (
           SELECT c.id {CALLS_WITH_THREADS}
           WHERE c.id >= :first
             AND c.span - c.parent - c.trace IN (SELECT :trace - span_base FROM thread WHERE process_id = :process)
             AND t.process_id = :process AND t.span_base + c.span - c.parent - c.trace = :trace)
         ORDER BY start_ns, duration_ns DESC, call_id
         LIMIT :limit",
        calls::COLUMNS.join(", ")
    );
    let first = first_call(store, found)?;
    let bound: [(&str, &dyn rusqlite::ToSql); 4] = [
        (":first", &first),
        (":process", &found.process_id),
        (":trace", &found.trace_id),
        (":limit", &limit),
    ];
    let mut calls = Vec::new();
    store.rows(&sql, &bound, |row| {
        calls.push(calls::row(row)?);
        Ok(())
    })?;
    Ok(calls)
}

/// An id below which no call of the trace lies: that of the first call which can have started after
/// the root. The root ends last as a rule, so it is looked for from the call found upwards first.
fn first_call(store: &Store, found: &Found) -> Result<i64> {
    for reach in ["c.id >= :near ORDER BY c.id", "c.id < :near ORDER BY c.id DESC"] {
        let sql = format!(
            "SELECT COALESCE((SELECT MIN(first_call) FROM call_range WHERE max_start_ns >= t.base_ns + c.start), 0)
             {CALLS_WITH_THREADS}
             WHERE c.span IN {SPANS} AND t.span_base + c.span = :id AND t.process_id = :process AND {reach}
             LIMIT 1"
        );
        let bound = [(":id", &found.trace_id), (":process", &found.process_id), (":near", &found.call_id)];
        if let Some([Cell { value: Value::Integer(first), .. }]) = store.first(&sql, &bound)?.as_deref() {
            return Ok(*first);
        }
    }
    Ok(0)
}

fn bounded(mut calls: Vec<Vec<Cell>>, limit: usize) -> (Vec<Vec<Cell>>, bool) {
    let is_cut = calls.len() > limit;
    calls.truncate(limit);
    (calls, is_cut)
}

fn node(cells: &[Cell]) -> Node {
    let number = |name: &str| match calls::named(cells, name).value {
        Value::Integer(number) => Some(number),
        _ => None,
    };
    Node {
        span_id: number("span_id").unwrap_or_default(),
        parent_id: number("parent_id").filter(|parent| *parent != 0),
        start_ns: number("start_ns").unwrap_or_default(),
        duration_ns: number("duration_ns").unwrap_or_default(),
    }
}

fn write_heading(found: &Found, calls: &[Vec<Cell>], nodes: &[Node]) -> Result<()> {
    let text = |name: &str| match calls.first().map(|cells| &calls::named(cells, name).value) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(number)) => number.to_string(),
        _ => String::new(),
    };
    let threads: BTreeSet<_> = nodes.iter().map(Node::thread).collect();
    let (start, end) = tree::extent(nodes);
    #[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
    let lasted = units::duration(end.saturating_sub(start) as f64);
    let weight = calls.first().and_then(|cells| calls::named(cells, "weight").number()).unwrap_or(1.0);
    let mut parts = vec![
        format!("trace {} (found by {} {})", found.trace_id, found.by, found.id),
        super::counted(calls.len(), "call"),
        super::counted(threads.len(), "thread"),
        lasted,
        format!("{} UTC", units::moment(start)),
        format!("{} (pid {})", text("service"), text("pid")),
    ];
    if weight > 1.0 {
        parts.push(format!("one of ~{} like it", units::count(weight.round())));
    }
    if found.others > 0 && found.by != "call id" {
        parts.push("the id occurs in other runs too: a call id tells them apart".to_owned());
    }
    writeln!(std::io::stdout(), "{}\n", terminal::escape(&parts.join(" · ")))?;
    Ok(())
}

/// What to call each thread: by its name, and by a number as well where another has the same.
fn threads(calls: &[Vec<Cell>], nodes: &[Node]) -> BTreeMap<i64, String> {
    let mut names = BTreeMap::new();
    let mut namesakes: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (cells, node) in calls.iter().zip(nodes) {
        let Value::Text(name) = &calls::named(cells, "thread").value else { continue };
        let same = namesakes.entry(name).or_default();
        if names.insert(node.thread(), name.clone()).is_none() {
            same.push(node.thread());
        }
    }
    for (name, same) in namesakes.into_iter().filter(|(_, same)| same.len() > 1) {
        names.extend(same.into_iter().zip(1..).map(|(thread, number)| (thread, format!("{name} #{number}"))));
    }
    names
}

fn waterfall(trace: &[Vec<Cell>], nodes: &[Node], places: &[Place]) -> Report {
    let table = [
        Column::table("CALL", Unit::Number),
        Column::table("OFFSET", Unit::Nanoseconds),
        Column::table("DURATION", Unit::Nanoseconds),
        Column::table("WATERFALL", Unit::Text),
        Column::table("OUTCOME", Unit::Outcome),
        Column::table("FUNCTION", Unit::Text),
    ];
    let data = ["depth", "offset_ns"].into_iter().chain(calls::COLUMNS).map(Column::data);
    let (start, end) = tree::extent(nodes);
    let threads = threads(trace, nodes);
    let rows = places.iter().map(|place| {
        let (call, node) = (&trace[place.node], &nodes[place.node]);
        let offset = node.start_ns.saturating_sub(start);
        let depth = i64::try_from(place.depth).unwrap_or(i64::MAX);
        let mut row = vec![Cell::from(depth), Cell::from(offset)];
        row.extend(call[..calls::COLUMNS.len()].iter().cloned());
        row.push(calls::named(call, "call_id").clone());
        row.push(offset.into());
        row.push(node.duration_ns.into());
        row.push(bar(offset, node.duration_ns, end.saturating_sub(start)).into());
        row.push(calls::named(call, "outcome").clone());
        row.push(label(trace, nodes, &threads, place).into());
        row
    });
    Report { columns: data.chain(table).collect(), rows: rows.collect() }
}

/// Where the call lies in the whole: at least one block, however short it was.
fn bar(offset_ns: i64, duration_ns: i64, whole_ns: i64) -> String {
    let column = |ns: i64| {
        let columns = i128::from(ns) * BAR_COLUMNS as i128 / i128::from(whole_ns.max(1));
        usize::try_from(columns).unwrap_or(0).min(BAR_COLUMNS)
    };
    let from = column(offset_ns).min(BAR_COLUMNS - 1);
    let to = column(offset_ns.saturating_add(duration_ns)).max(from + 1);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(BAR_COLUMNS - to))
}

/// The function under its caller, with the thread where it changed and the error where there is one.
fn label(trace: &[Vec<Cell>], nodes: &[Node], threads: &BTreeMap<i64, String>, place: &Place) -> String {
    let call = &trace[place.node];
    let text = |name: &str| match &calls::named(call, name).value {
        Value::Text(text) => text.as_str(),
        _ => "",
    };
    let branch = match place.depth.checked_sub(DEPTH_SHOWN_MAX) {
        Some(deeper) if deeper > 0 => format!("{}… {deeper} deeper: ", place.branch),
        _ => place.branch.clone(),
    };
    let mut parts = vec![format!("{branch}{}", text("function"))];
    if place.is_orphan {
        parts.push(format!("(its caller {} has no row)", parent(call)));
    }
    let thread = nodes[place.node].thread();
    let name = threads.get(&thread).map_or("?", String::as_str);
    match place.parent {
        Some(parent) if nodes[parent].thread() != thread => parts.push(format!("↷ on {name}")),
        None => parts.push(format!("on {name}")),
        Some(_) => {}
    }
    if !text("error").is_empty() {
        parts.push(format!("✗ {}", text("error")));
    }
    parts.join("  ")
}

fn parent(cells: &[Cell]) -> i64 {
    match calls::named(cells, "parent_id").value {
        Value::Integer(id) => id,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_lies_where_the_call_lay_and_is_never_empty() {
        assert_eq!(bar(0, 100, 100), "█".repeat(24));
        assert_eq!(bar(50, 25, 100), format!("{}{}{}", "·".repeat(12), "█".repeat(6), "·".repeat(6)));
        assert_eq!(bar(100, 0, 100), format!("{}█", "·".repeat(23)));
        assert_eq!(bar(0, 0, 0), format!("█{}", "·".repeat(23)));
        assert_eq!(bar(i64::MAX, i64::MAX, i64::MAX), format!("{}█", "·".repeat(23)));
    }
}
