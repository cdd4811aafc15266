//! A timeline in the JSON that Perfetto reads: a slice per call on its lane, and counters of each process.
//!
//! Times are microseconds with three decimals, counted from the first call, because a JSON number cannot hold
//! nanoseconds since the epoch exactly. Ids of calls are texts for the same reason. Runs and lanes are numbered from 1,
//! because Perfetto takes a process number beyond 32 bits, as the runs of a second store have, for 0.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use crate::format::write_json;
use crate::model::resources::{self, Figure};
use crate::model::rows::unmark_process;
use crate::model::trees::Trees;
use crate::model::trees::lanes::{Lanes, Place};
use crate::stores::Stores;
use crate::terminal;

pub(super) fn write(
    stores: &Stores,
    trees: &Trees,
    usage: &[resources::Point],
    out: &mut dyn Write,
) -> Result<()> {
    let lanes = Lanes::pack(trees);
    let origin = trees.nodes.iter().map(|node| trees.rows.rows[node.row].start_ns).min().unwrap_or(0);
    let last = trees.nodes.iter().map(|node| trees.rows.rows[node.row].end_ns()).max().unwrap_or(0);
    write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    let mut separator = "\n";
    let mut processes: Vec<i64> = lanes.lanes.iter().map(|lane| lane.process).collect();
    processes.sort_unstable();
    processes.dedup();
    let to_pid = |process: i64| processes.binary_search(&process).map_or(0, |at| at + 1);
    for process in &processes {
        let (store, run) = unmark_process(*process);
        let of = if stores.are_several() { format!(" of {}", stores.label(store)) } else { String::new() };
        let name = json!({"name": format!("run {run}{}", terminal::escape(&of))});
        let name = json!({"ph": "M", "name": "process_name", "pid": to_pid(*process), "args": name});
        write!(out, "{separator}")?;
        write_json(&mut *out, &name)?;
        separator = ",\n";
    }
    for (at, lane) in lanes.lanes.iter().enumerate() {
        let name = match lane.place {
            Place::Thread(name) => trees.show_name(name),
            Place::Concurrent(number) => format!("async {number}"),
        };
        for (kind, value) in
            [("thread_name", json!({"name": name})), ("thread_sort_index", json!({"sort_index": at}))]
        {
            let pid = to_pid(lane.process);
            let event = json!({"ph": "M", "name": kind, "pid": pid, "tid": to_thread(at), "args": value});
            write!(out, "{separator}")?;
            write_json(&mut *out, &event)?;
        }
    }
    let mut names = std::collections::HashMap::new();
    for (node, lane) in &lanes.placed {
        let row = &trees.rows.rows[trees.nodes[*node].row];
        write!(out, "{separator}{{\"ph\":\"X\",\"cat\":\"call\",\"name\":")?;
        let name = names.entry(row.function).or_insert_with(|| trees.show_name(row.function));
        write_json(&mut *out, &*name)?;
        let duration = row.end_ns().saturating_sub(row.start_ns);
        write!(out, ",\"ts\":{},\"dur\":{}", Micros(row.start_ns.saturating_sub(origin)), Micros(duration))?;
        write!(out, ",\"pid\":{},\"tid\":{},\"args\":", to_pid(row.process), to_thread(*lane))?;
        let mut arguments =
            json!({"call_id": row.call_id.to_string(), "failed": row.is_failed, "weight": row.weight});
        if row.shared > 1 {
            arguments["calls"] = row.shared.into();
        }
        write_json(&mut *out, &arguments)?;
        write!(out, "}}")?;
    }
    let is_shown = |point: &&resources::Point| {
        processes.binary_search(&point.process_id).is_ok() && (origin..=last).contains(&point.at_ns)
    };
    for point in usage.iter().filter(is_shown) {
        for (title, figure) in [("CPU in %", Figure::Cpu), ("memory in bytes", Figure::Memory)] {
            write!(
                out,
                "{separator}{{\"ph\":\"C\",\"name\":\"{title}\",\"pid\":{}",
                to_pid(point.process_id)
            )?;
            write!(out, ",\"ts\":{},\"args\":", Micros(point.at_ns.saturating_sub(origin)))?;
            write_json(&mut *out, &json!({"value": point.figure(figure)}))?;
            write!(out, "}}")?;
        }
    }
    Ok(writeln!(out, "\n]}}")?)
}

/// Returns the thread number of a lane, counted from 1. Perfetto merges threads of equal number, and takes the number
/// 0 for no thread.
fn to_thread(lane: usize) -> usize {
    lane + 1
}

/// A time in ns, written in microseconds.
struct Micros(i64);

impl std::fmt::Display for Micros {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ns = self.0.max(0);
        write!(out, "{}.{:03}", ns / 1_000, ns % 1_000)
    }
}
