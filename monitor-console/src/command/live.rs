//! `monitor live`: the calls under way in running processes, stuck ones first. Read from their ring files,
//! which costs them nothing: neither the store nor the processes are asked.

use anyhow::Result;
use monitor_runtime::recover::{self, Living, UnderWay};
use rusqlite::types::Value;

use super::{counted, remark};
use crate::arguments::{Common, Live};
use crate::format::{self, Pace};
use crate::report::{Cell, Column, Report, Unit};
use crate::{find, units};

pub(super) fn run(common: &Common, arguments: &Live) -> Result<()> {
    let store = find::store(common.db())?;
    let now = units::now_ns();
    let living = recover::living(&store, &find::ring_folders(), now);
    let report = report(&living, arguments, now);
    let (calls, processes) = (report.rows.len(), living.len());
    let lost: u64 = living.iter().map(|process| process.lost).sum();
    let more =
        if lost > 0 { format!("; {lost} waiting calls found no slot to be shown in") } else { String::new() };
    remark(
        common,
        &format!(
            "store: {} · {} under way in {}{more}",
            store.display(),
            counted(calls, "call"),
            counted_processes(processes)
        ),
    );
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

fn counted_processes(number: usize) -> String {
    if number == 1 { "1 running process".to_owned() } else { format!("{number} running processes") }
}

/// Calls past their function's limit first, then by age; with each, its process.
fn report(living: &[Living], arguments: &Live, now: i64) -> Report {
    let matches = |call: &UnderWay| {
        arguments.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&call.function))
            && arguments.min.is_none_or(|min| elapsed_ns(call, now) >= units::nanoseconds(min))
    };
    let all = living.iter().flat_map(|process| process.calls.iter().map(move |call| (process, call)));
    let mut calls: Vec<_> = all.filter(|(_, call)| matches(call)).collect();
    calls.sort_by_key(|(_, call)| (!is_overdue(call, now), call.start_ns));
    calls.truncate(arguments.limit.map_or(usize::MAX, |limit| limit as usize));
    let rows = calls.into_iter().map(|(process, call)| row(process, call, now)).collect();
    Report { columns: columns(), rows }
}

fn columns() -> Vec<Column> {
    vec![
        Column::both("elapsed_ms", "FOR", Unit::Milliseconds),
        Column::both("state", "STATE", Unit::Text),
        Column::both("function", "FUNCTION", Unit::Name),
        Column::both("thread", "THREAD", Unit::Text),
        Column::both("depth", "DEPTH", Unit::Number),
        Column::both("slow_ms", "SLOW FROM", Unit::Milliseconds),
        Column::both("service", "SERVICE", Unit::Text),
        Column::both("pid", "PID", Unit::Number),
        Column::data("start_ns"),
        Column::data("waiting_since_ns"),
        Column::data("span_id"),
        Column::data("run_uuid"),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn row(process: &Living, call: &UnderWay, now: i64) -> Vec<Cell> {
    let state = match (is_overdue(call, now), call.waiting_since_ns) {
        (true, None) => "stuck",
        (true, Some(_)) => "stuck, waiting",
        (false, None) => "running",
        (false, Some(_)) => "waiting",
    };
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    vec![
        (elapsed_ns(call, now) as f64 / 1e6).into(),
        state.to_owned().into(),
        call.function.clone().into(),
        text(&call.thread).into(),
        i64::from(call.depth).into(),
        call.slow_ns.map_or(Value::Null, |limit| Value::Real(limit as f64 / 1e6)).into(),
        process.process.service.clone().into(),
        i64::from(process.process.pid).into(),
        call.start_ns.into(),
        call.waiting_since_ns.map_or(Value::Null, Value::Integer).into(),
        call.span_id.cast_signed().into(),
        process.process.run_uuid.clone().into(),
    ]
}

fn elapsed_ns(call: &UnderWay, now: i64) -> i64 {
    now.saturating_sub(call.start_ns).max(0)
}

/// Whether it has passed the limit that its function states.
fn is_overdue(call: &UnderWay, now: i64) -> bool {
    call.slow_ns.is_some_and(|limit| elapsed_ns(call, now).cast_unsigned() > limit)
}
