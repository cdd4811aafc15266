//! `monitor live`: the calls in flight in running processes, stuck ones first. They are read from the ring
//! files, so the processes do no work for it. The store is opened only if there is nothing to show, to tell a
//! mistaken path or name from a program at rest.

use anyhow::Result;
use monitor_runtime::recover::{self, Living, UnderWay};
use rusqlite::types::Value;

use super::{print_note, require_known};
use crate::arguments::{Common, Live};
use crate::format;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units::format_quantity;
use crate::{find, units};

pub(super) fn run(common: &Common, arguments: &Live) -> Result<()> {
    let store = find::find_store(common.store_path())?;
    let now = units::now_ns();
    let living = recover::living(&store, &find::list_ring_folders(), now);
    let report = build_report(&living, arguments, now);
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

/// Lists the calls past their function's `slow` limit first, then the others, each part by age.
fn build_report(living: &[Living], arguments: &Live, now: i64) -> Report {
    let matches = |call: &UnderWay| {
        arguments.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&call.function))
            && arguments.min.is_none_or(|min| measure_elapsed_ns(call, now) >= units::to_nanoseconds(min))
    };
    let all = living.iter().flat_map(|process| process.calls.iter().map(move |call| (process, call)));
    let mut calls: Vec<_> = all.filter(|(_, call)| matches(call)).collect();
    calls.sort_by_key(|(_, call)| (!is_overdue(call, now), call.start_ns));
    calls.truncate(arguments.limit.map_or(usize::MAX, |limit| limit as usize));
    let rows = calls.into_iter().map(|(process, call)| build_row(process, call, now)).collect();
    Report { columns: list_columns(), rows }
}

fn list_columns() -> Vec<Column> {
    vec![
        Column::titled("elapsed_ms", "FOR", Unit::Milliseconds),
        Column::titled("state", "STATE", Unit::Text),
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::titled("thread", "THREAD", Unit::Text),
        Column::titled("depth", "DEPTH", Unit::Number),
        Column::titled("slow_ms", "SLOW FROM", Unit::Milliseconds),
        Column::titled("service", "SERVICE", Unit::Text),
        Column::titled("pid", "PID", Unit::Number),
        Column::data("start_ns"),
        Column::data("waiting_since_ns"),
        Column::data("span_id"),
        Column::data("run_uuid"),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn build_row(process: &Living, call: &UnderWay, now: i64) -> Vec<Cell> {
    let state = match (is_overdue(call, now), call.waiting_since_ns) {
        (true, None) => "stuck",
        (true, Some(_)) => "stuck, waiting",
        (false, None) => "running",
        (false, Some(_)) => "waiting",
    };
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    vec![
        (measure_elapsed_ns(call, now) as f64 / 1e6).into(),
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

fn measure_elapsed_ns(call: &UnderWay, now: i64) -> i64 {
    now.saturating_sub(call.start_ns).max(0)
}

/// Returns true if the call has taken longer than the `slow` limit of its function.
fn is_overdue(call: &UnderWay, now: i64) -> bool {
    call.slow_ns.is_some_and(|limit| measure_elapsed_ns(call, now).cast_unsigned() > limit)
}
