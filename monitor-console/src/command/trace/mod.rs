//! `monitor trace ID`: the calls of one tree, as a waterfall.
//!
//! The id may be a call id, a span id or a trace id; the heading says which it was. Span ids are unique only within
//! their process, so a trace always belongs to one process. A call whose caller has no row is shown as a root, with a
//! remark that names the caller's id. Calls that share a row are one line with their number. Sentences after the tree
//! say which calls the trace lacks, and why.

mod lacks;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::{calls, open_stores, print_heading, print_lines, print_note};
use crate::arguments::{Common, FormatName, Trace};
use crate::format;
use crate::model::call_row::{COLUMNS, find_cell};
use crate::model::logs::{self, Line};
use crate::model::traces::{self, FoundTrace, Shared};
use crate::model::{processes, ranges, rates, waterfall};
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::stores::Stores;
use crate::units::format_quantity;
use crate::{terminal, units};
use tree::{Node, Place};

/// The width of the waterfall in columns.
const BAR_COLUMNS: usize = 24;
/// The deepest level that is indented; deeper calls show their depth as a number.
const DEPTH_SHOWN_MAX: usize = 40;
/// The longest time until the row of a call that has ended is written, while the store takes rows.
const ROW_DELAY_NS: i64 = 5_000_000_000;
/// The columns of an error that the waterfall shows; `--wide` shows the whole text.
const ERROR_COLUMNS: usize = 60;

pub(super) fn run(common: &Common, arguments: &Trace) -> Result<()> {
    let stores = open_stores(common)?;
    let (store, found) = find_in(&stores, arguments.id)?;
    let mut calls = traces::read_calls(store, &found, i64::from(arguments.limit) + 1)?;
    let is_truncated = calls.len() > arguments.limit as usize;
    calls.truncate(arguments.limit as usize);
    let shared = load_shared(store, &calls)?;
    let nodes: Vec<Node> = calls.iter().map(|cells| to_node(cells, &shared)).collect();
    // The rows of data are calls alone: `monitor logs` has the lines as data.
    let is_for_people = matches!(common.format, FormatName::Table | FormatName::Markdown);
    let said = if is_for_people {
        logs::find_in_trace(store, found.trace_id, logs::TRACE_LINES_MAX)?
    } else {
        Vec::new()
    };
    let (items, merged) = insert_lines(&nodes, &said, found.trace_id);
    let places = tree::arrange(&merged);
    if common.format == FormatName::Table {
        print_heading(common, store, "one trace");
        write_heading(common, &found, &calls, &nodes)?;
    }
    let waterfall = Waterfall {
        calls: &calls,
        nodes: &nodes,
        said: &said,
        items,
        shared: &shared,
        threads: name_threads(&calls, &nodes),
        is_root_sampled_out: is_root_sampled_out(store, &found, &nodes)?,
        error_columns: if common.wide { usize::MAX } else { ERROR_COLUMNS },
    };
    format::print(&waterfall.build_report(&places), common.style())?;
    if common.format == FormatName::Table {
        let functions = calls.iter().filter_map(|cells| find_cell(cells, "function").as_text()).collect();
        let lines = lacks::describe(store, found.process_id, &functions)?;
        if !lines.is_empty() {
            let lines: Vec<_> = lines.iter().map(|line| terminal::escape(line)).collect();
            print_lines(common, &format!("\n{}\n", lines.join("\n")))?;
        }
    }
    if is_truncated {
        let text = format!("only the first {} calls are shown; --limit N shows more", arguments.limit);
        print_note(common, &text);
    }
    Ok(())
}

/// A trace as a page shows it.
pub(super) struct Loaded {
    /// The process.
    pub(super) process_id: i64,
    /// The id of the trace.
    pub(super) trace_id: i64,
    /// The calls by start, with the columns of `calls`.
    pub(super) calls: Vec<Vec<Cell>>,
    /// The calls of the trace by their place in the tree.
    pub(super) tree: Vec<waterfall::Call>,
    /// Sentences about calls that the trace lacks, and why.
    pub(super) lacks: Vec<String>,
    /// True if the root has no row because it was not sampled.
    pub(super) is_root_sampled_out: bool,
    /// True if calls were left out.
    pub(super) is_truncated: bool,
    /// The log lines of the trace, by time.
    pub(super) said: Vec<Line>,
}

/// Loads the trace of a call, span or trace id, at most `limit` calls. Fails if no call has the id.
pub(super) fn load(store: &Store, id: i64, limit: usize) -> Result<Option<Loaded>> {
    let Some(found) = traces::find(store, id)? else { return Ok(None) };
    let mut calls = traces::read_calls(store, &found, i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)?;
    let is_truncated = calls.len() > limit;
    calls.truncate(limit);
    let shared = load_shared(store, &calls)?;
    let nodes: Vec<Node> = calls.iter().map(|cells| to_node(cells, &shared)).collect();
    let mut parents = vec![None; nodes.len()];
    for place in tree::arrange(&nodes) {
        parents[place.node] = place.parent;
    }
    let to_call = |((cells, node), parent): ((&Vec<Cell>, &Node), Option<usize>)| waterfall::Call {
        function: find_cell(cells, "function").as_text().unwrap_or_default().to_owned(),
        start_ns: node.start_ns,
        duration_ns: node.duration_ns,
        is_failed: find_cell(cells, "failed").to_integer() == Some(1),
        parent,
        shared: find_cell(cells, "folded").to_integer().unwrap_or(1),
    };
    let functions = calls.iter().filter_map(|cells| find_cell(cells, "function").as_text()).collect();
    Ok(Some(Loaded {
        process_id: found.process_id,
        trace_id: found.trace_id,
        tree: calls.iter().zip(&nodes).zip(parents).map(to_call).collect(),
        lacks: lacks::describe(store, found.process_id, &functions)?,
        is_root_sampled_out: is_root_sampled_out(store, &found, &nodes)?,
        is_truncated,
        said: logs::find_in_trace(store, found.trace_id, logs::TRACE_LINES_MAX)?,
        calls,
    }))
}

/// Returns the ids of the calls of the trace that this id names, and the store that has it.
pub(super) fn list_calls(stores: &Stores, id: i64) -> Result<(&Store, Vec<i64>)> {
    let (store, found) = find_in(stores, id)?;
    let limit = i64::try_from(crate::model::rows::WIDE_ROWS_MAX)?;
    let calls = traces::read_calls(store, &found, limit)?;
    Ok((store, calls.iter().filter_map(|cells| find_id(cells)).collect()))
}

/// Finds the one store that has a call, span or trace of this id. Numbers of calls are unique within a store only.
fn find_in(stores: &Stores, id: i64) -> Result<(&Store, FoundTrace)> {
    let mut found = Vec::new();
    for store in stores.list() {
        found.extend(traces::find(store, id)?.map(|trace| (store, trace)));
    }
    match (found.pop(), found.is_empty()) {
        (Some(found), true) => Ok(found),
        (Some((last, _)), false) => {
            let mut paths: Vec<_> =
                found.iter().map(|(store, _)| store.path().display().to_string()).collect();
            paths.push(last.path().display().to_string());
            bail!("{} stores have the id {id}: name one of {} with --db", paths.len(), paths.join(", "))
        }
        (None, _) => {
            let stores = stores.list();
            let reasons =
                stores.into_iter().map(|store| explain_unknown_id(store, id)).collect::<Result<Vec<_>>>()?;
            bail!("{}", reasons.join("; "))
        }
    }
}

pub(super) fn explain_unknown_id(store: &Store, id: i64) -> Result<String> {
    let kept = match ranges::find_bounds(store)? {
        Some(ranges::Range { first, last }) => format!("it holds calls {first} to {last}"),
        None => "it holds no calls".to_owned(),
    };
    Ok(format!(
        "no call, span or trace has the id {id} in {}: {kept}, without the unsampled ones and those past retention",
        store.path().display()
    ))
}

/// Loads the sums of the rows that several calls share, by call id.
fn load_shared(store: &Store, calls: &[Vec<Cell>]) -> Result<BTreeMap<i64, Shared>> {
    let is_shared = |cells: &&Vec<Cell>| !find_cell(cells, "folded").is_null();
    let ids: Vec<i64> = calls.iter().filter(is_shared).filter_map(|cells| find_id(cells)).collect();
    traces::read_shared(store, &ids)
}

fn find_id(cells: &[Cell]) -> Option<i64> {
    find_cell(cells, "call_id").to_integer()
}

fn to_node(cells: &[Cell], shared: &BTreeMap<i64, Shared>) -> Node {
    let number = |name: &str| find_cell(cells, name).to_integer();
    let start_ns = number("start_ns").unwrap_or_default();
    let sums = find_id(cells).and_then(|id| shared.get(&id));
    let own = || number("duration_ns").unwrap_or_default();
    Node {
        span_id: number("span_id").unwrap_or_default(),
        parent_id: number("parent_id").filter(|parent| *parent != 0),
        start_ns,
        duration_ns: sums.map_or_else(own, |sums| sums.last_ns.saturating_sub(start_ns).max(0)),
    }
}

/// Returns true if the root of a trace has no row because it was not sampled: calls of its process are sampled, and the
/// process went on for longer than a row takes to be written.
fn is_root_sampled_out(store: &Store, found: &FoundTrace, nodes: &[Node]) -> Result<bool> {
    if nodes.iter().any(|node| node.span_id == found.trace_id) {
        return Ok(false);
    }
    let (_, end) = tree::measure_extent(nodes);
    let written_ns = end.saturating_add(ROW_DELAY_NS);
    Ok(rates::is_any_sampled(store, found.process_id)?
        && processes::has_outlived(store, found.process_id, written_ns)?)
}

fn write_heading(common: &Common, found: &FoundTrace, calls: &[Vec<Cell>], nodes: &[Node]) -> Result<()> {
    let first = |name: &str| calls.first().map(|cells| find_cell(cells, name));
    let text = |name: &str| first(name).map_or_else(String::new, Cell::to_plain_text);
    let threads: BTreeSet<_> = nodes.iter().map(Node::thread_key).collect();
    let (start, end) = tree::measure_extent(nodes);
    let weight = first("weight").and_then(Cell::to_number).unwrap_or(1.0);
    let mut parts = vec![
        format!("trace {} (found by {} {})", found.trace_id, found.by, found.id),
        format_quantity(count_calls(calls), "call", "calls"),
        format_quantity(threads.len(), "thread", "threads"),
        units::format_nanoseconds(end.saturating_sub(start)),
        format!("{} UTC", units::format_date_and_time(start)),
        format!("{} (pid {})", text("service"), text("pid")),
    ];
    if weight > 1.0 {
        parts.push(format!("one of ~{} like it", units::format_count(weight.round())));
    }
    if found.others > 0 && found.by != "call id" {
        parts.push("other runs have this id too: name a call id to choose between them".to_owned());
    }
    print_lines(common, &format!("{}\n\n", terminal::escape(&parts.join(" · "))))
}

/// Returns the number of calls in these rows.
fn count_calls(calls: &[Vec<Cell>]) -> String {
    let in_row = |cells: &Vec<Cell>| find_cell(cells, "folded").to_integer().unwrap_or(1);
    units::format_exact(calls.iter().map(in_row).fold(0, i64::saturating_add))
}

/// Names each thread, with a number added if several threads share a name.
fn name_threads(calls: &[Vec<Cell>], nodes: &[Node]) -> BTreeMap<i64, String> {
    let mut names = BTreeMap::new();
    let mut namesakes: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (cells, node) in calls.iter().zip(nodes) {
        let Some(name) = find_cell(cells, "thread").as_text() else { continue };
        let same = namesakes.entry(name).or_default();
        if names.insert(node.thread_key(), name.to_owned()).is_none() {
            same.push(node.thread_key());
        }
    }
    for (name, same) in namesakes.into_iter().filter(|(_, same)| same.len() > 1) {
        names.extend(same.into_iter().zip(1..).map(|(thread, number)| (thread, format!("{name} #{number}"))));
    }
    names
}

/// The subject of a line of the waterfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// A call, by its index.
    Call(usize),
    /// A log line, by its index.
    Said(usize),
}

/// Puts log lines among the calls, by time, each below the call that wrote it; below the root where that call has no
/// row. Returns the item of each node, and the nodes.
fn insert_lines(nodes: &[Node], lines: &[Line], trace_id: i64) -> (Vec<Item>, Vec<Node>) {
    let spans: BTreeSet<i64> = nodes.iter().map(|node| node.span_id).collect();
    let calls = nodes.iter().enumerate().map(|(at, node)| (Item::Call(at), *node));
    // No span has a negative id, so no call can have a log line as its caller.
    let said = lines.iter().zip(0_i64..).map(|(line, number)| {
        let caller = line.span.filter(|span| spans.contains(span));
        let parent_id = caller.or_else(|| Some(trace_id).filter(|root| spans.contains(root)));
        Node { span_id: -1 - number, parent_id, start_ns: line.at_ns, duration_ns: 0 }
    });
    let said = said.enumerate().map(|(at, node)| (Item::Said(at), node));
    let mut all: Vec<(Item, Node)> = calls.chain(said).collect();
    all.sort_by_key(|(_, node)| node.start_ns);
    all.into_iter().unzip()
}

/// A trace, with the log lines of its calls.
struct Waterfall<'a> {
    calls: &'a [Vec<Cell>],
    nodes: &'a [Node],
    said: &'a [Line],
    /// The subject of each line, in the order of the lines.
    items: Vec<Item>,
    shared: &'a BTreeMap<i64, Shared>,
    threads: BTreeMap<i64, String>,
    is_root_sampled_out: bool,
    error_columns: usize,
}

impl Waterfall<'_> {
    fn build_report(&self, places: &[Place]) -> Report {
        let table = [
            Column::table("CALL", Unit::Number),
            Column::table("OFFSET", Unit::Nanoseconds),
            Column::table("DURATION", Unit::Nanoseconds),
            Column::table("WATERFALL", Unit::Text),
            Column::table("OUTCOME", Unit::Outcome),
            Column::table("FUNCTION", Unit::Text),
        ];
        let data = ["depth", "offset_ns"].into_iter().chain(COLUMNS).map(Column::data);
        let (start, end) = tree::measure_extent(self.nodes);
        let rows = places.iter().map(|place| {
            let at = match self.items[place.node] {
                Item::Call(at) => at,
                Item::Said(at) => return self.build_line(&self.said[at], place, (start, end)),
            };
            let (call, node) = (&self.calls[at], &self.nodes[at]);
            let offset = node.start_ns.saturating_sub(start);
            let depth = i64::try_from(place.depth).unwrap_or(i64::MAX);
            let mut row = vec![Cell::from(depth), Cell::from(offset)];
            row.extend(call[..COLUMNS.len()].iter().cloned());
            row.push(find_cell(call, "call_id").clone());
            row.push(offset.into());
            row.push(node.duration_ns.into());
            row.push(draw_bar(offset, node.duration_ns, end.saturating_sub(start)).into());
            row.push(find_cell(call, "outcome").clone());
            row.push(self.describe_call(place, at).into());
            row
        });
        Report { columns: data.chain(table).collect(), rows: rows.collect() }
    }

    /// Builds the row of a log line: a mark at its moment, and what it says.
    fn build_line(&self, line: &Line, place: &Place, (start, end): (i64, i64)) -> Vec<Cell> {
        let offset = line.at_ns.saturating_sub(start);
        let mark = draw_bar(offset, 0, end.saturating_sub(start)).replace('█', "◆");
        let text = terminal::escape(&line.text()).into_owned();
        let text = format!(
            "{}✎ {} {}",
            draw_branch(place),
            line.level,
            terminal::truncate_end(&text, self.error_columns)
        );
        let empty = || Cell::from(String::new());
        let mut row: Vec<Cell> = (0..COLUMNS.len() + 2).map(|_| empty()).collect();
        row.extend([empty(), offset.into(), empty(), mark.into(), empty(), text.into()]);
        row
    }

    /// Describes a call: its branch of the tree, its function, the number of calls that share the row, its thread if it
    /// differs from the caller's, its error.
    fn describe_call(&self, place: &Place, at: usize) -> String {
        let call = &self.calls[at];
        let text = |name: &str| find_cell(call, name).as_text().unwrap_or_default();
        let mut parts = vec![format!("{}{}", draw_branch(place), text("function"))];
        if let Some(shared) = find_id(call).and_then(|id| self.shared.get(&id)) {
            parts[0].push_str(&describe_shared(shared));
        }
        let has_row_anyway = matches!(text("kept"), "slow" | "failed");
        if place.is_orphan && self.is_root_sampled_out && has_row_anyway {
            parts.push("(tree not kept: its root was sampled out)".to_owned());
        } else if place.is_orphan {
            let caller = find_cell(call, "parent_id").to_integer().unwrap_or(0);
            parts.push(format!("(its caller {caller} has no row)"));
        }
        let thread = self.nodes[at].thread_key();
        let name = self.threads.get(&thread).map_or("?", String::as_str);
        let parent = place.parent.and_then(|parent| match self.items[parent] {
            Item::Call(at) => Some(at),
            Item::Said(_) => None,
        });
        match parent {
            Some(parent) if self.nodes[parent].thread_key() != thread => parts.push(format!("↷ on {name}")),
            None => parts.push(format!("on {name}")),
            Some(_) => {}
        }
        if !text("error").is_empty() {
            let error = terminal::escape(text("error"));
            parts.push(format!("✗ {}", terminal::truncate_end(&error, self.error_columns)));
        } else if calls::has_no_values(call) {
            parts.push(calls::NO_VALUES.to_owned());
        }
        parts.join("  ")
    }
}

/// Returns the branch lines to draw before a call of the tree. If the call is deeper than [`DEPTH_SHOWN_MAX`], they end
/// with the number of further levels, because these levels are not indented.
fn draw_branch(place: &Place) -> String {
    match place.depth.checked_sub(DEPTH_SHOWN_MAX) {
        Some(deeper) if deeper > 0 => format!("{}… {deeper} deeper: ", place.branch),
        _ => place.branch.clone(),
    }
}

/// Describes the calls that share a row: ` × 20 000, 6.2 s in all, longest 41 ms`.
fn describe_shared(shared: &Shared) -> String {
    let [total, longest] = [shared.total_ms, shared.max_ms].map(|ms| units::format_short_duration(ms * 1e6));
    format!(" × {}, {total} in all, longest {longest}", units::format_exact(shared.calls))
}

/// Draws the call's place in the whole trace: at least one block, however short the call.
fn draw_bar(offset_ns: i64, duration_ns: i64, whole_ns: i64) -> String {
    let column = |ns: i64| {
        let columns = i128::from(ns) * BAR_COLUMNS as i128 / i128::from(whole_ns.max(1));
        usize::try_from(columns).unwrap_or(0).min(BAR_COLUMNS)
    };
    let from = column(offset_ns).min(BAR_COLUMNS - 1);
    let to = column(offset_ns.saturating_add(duration_ns)).max(from + 1);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(BAR_COLUMNS - to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_stand_among_the_calls_that_said_them() {
        let node = |span_id, parent_id, start_ns| Node { span_id, parent_id, start_ns, duration_ns: 10 };
        let nodes = [node(1, None, 0), node(2, Some(1), 3), node(3, Some(1), 6)];
        let line = |span: Option<i64>, at_ns| Line { at_ns, span, ..Line::default() };
        let said = [line(Some(2), 4), line(Some(1), 5), line(Some(99), 7), line(None, 8)];
        let (items, merged) = insert_lines(&nodes, &said, 1);
        let drawn: Vec<(Item, usize)> =
            tree::arrange(&merged).iter().map(|place| (items[place.node], place.depth)).collect();
        let expected = [
            (Item::Call(0), 0),
            (Item::Call(1), 1),
            (Item::Said(0), 2),
            (Item::Said(1), 1),
            (Item::Call(2), 1),
            (Item::Said(2), 1),
            (Item::Said(3), 1),
        ];
        assert_eq!(drawn, expected);
        // Without a row of the root, a line whose call has no row is a root.
        let (_, merged) = insert_lines(&nodes[1..2], &said[2..3], 1);
        assert!(tree::arrange(&merged).iter().all(|place| place.parent.is_none()));
    }

    #[test]
    fn a_bar_lies_where_the_call_lay_and_is_never_empty() {
        assert_eq!(draw_bar(0, 100, 100), "█".repeat(24));
        assert_eq!(draw_bar(50, 25, 100), format!("{}{}{}", "·".repeat(12), "█".repeat(6), "·".repeat(6)));
        assert_eq!(draw_bar(100, 0, 100), format!("{}█", "·".repeat(23)));
        assert_eq!(draw_bar(0, 0, 0), format!("█{}", "·".repeat(23)));
        assert_eq!(draw_bar(i64::MAX, i64::MAX, i64::MAX), format!("{}█", "·".repeat(23)));
    }
}
