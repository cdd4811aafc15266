//! `monitor breaker`: shows the circuit breakers around the store's writes and the guards (circuit breakers that
//! programs put around parts of their own), and holds them open or closed.
//!
//! A hold is a row of the table `breaker` or `guard_hold`, which running processes read within two seconds, idle ones
//! within five. The state of a breaker is the one that its process reported last.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{
    EVERY_RUN, describe_effect, describe_user, open_store, open_store_for_control, print_heading, print_note,
};
use crate::arguments::{Breaker, BreakerAction, Common, FormatName, HoldOptions, refuse};
use crate::format;
use crate::model::breakers;
use crate::model::guards::{self, GuardHold, GuardState, NewHold};
use crate::model::processes;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::{terminal, units};

pub(super) fn run(common: &Common, arguments: &Breaker) -> Result<()> {
    if let Some(name) = &arguments.name {
        return run_guard(common, name, arguments.action.as_ref());
    }
    match &arguments.action {
        None => show(common),
        Some(BreakerAction::Open(options)) => hold(common, "open", options),
        Some(BreakerAction::Close(options)) => hold(common, "closed", options),
        Some(BreakerAction::Auto(options)) => hold(common, "auto", options),
    }
}

fn show(common: &Common) -> Result<()> {
    let store = open_store(common)?;
    let columns = vec![
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("service", "SERVICE", Unit::Name),
        Column::titled("pid", "PID", Unit::Number),
        Column::titled("breaker", "REPORTED", Unit::Text),
        Column::titled("breaker_since_ns", "SINCE", Unit::Age),
        Column::titled("breaker_openings", "OPENED", Unit::Count),
        Column::titled("writer_errors", "FAILURES", Unit::Count),
        Column::data("breaker_held"),
        Column::titled("hold", "HOLD", Unit::Text),
        Column::titled("reason", "REASON", Unit::Text),
        Column::titled("set_by", "BY", Unit::Text),
        Column::titled("set_ns", "SET", Unit::Age),
    ];
    let to_row = |breaker: breakers::Breaker| {
        vec![
            breaker.process_id.into(),
            breaker.service.into(),
            breaker.pid.into(),
            breaker.state.into(),
            breaker.since_ns.into(),
            breaker.openings.into(),
            breaker.failures.into(),
            breaker.held.into(),
            breaker.hold.into(),
            breaker.reason.into(),
            breaker.set_by.into(),
            breaker.set_ns.into(),
        ]
    };
    let breakers = breakers::read(&store)?;
    let title = match breakers.as_slice() {
        [] => "no process is running",
        [next] if next.is_of_next() => "no process is running, the next one takes this hold",
        _ => "the breakers of running processes, and what holds them",
    };
    print_heading(common, &store, title);
    let report = Report { columns, rows: breakers.into_iter().map(to_row).collect() };
    format::print(&report, common.style())?;
    if matches!(common.format, FormatName::Table | FormatName::Markdown) {
        let running = guards::read(&store, None)?.into_iter().map(|guard| guard.name);
        let held = guards::read_waiting_holds(&store, None)?.into_iter().map(|hold| hold.name);
        let names: BTreeSet<String> = running.chain(held).collect();
        if !names.is_empty() {
            let names = join_names(&names);
            print_note(common, &format!("guards of programs, each shown by `monitor breaker NAME`: {names}"));
        }
    }
    Ok(())
}

/// Joins names of guards to a list.
fn join_names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| terminal::escape(name)).collect();
    names.join(", ")
}

/// Explains that the store knows no guard of this name; `None` if it knows one.
fn explain_unknown_guard(store: &Store, name: &str) -> Result<Option<String>> {
    let names = guards::read_names(store)?;
    Ok(match names.as_slice() {
        [] => Some("no guard is known so far".to_owned()),
        names if names.iter().any(|known| known == name) => None,
        names => Some(format!("no guard of this name is known so far, but {}", join_names(names))),
    })
}

/// Shows or holds a guard of programs.
fn run_guard(common: &Common, name: &str, action: Option<&BreakerAction>) -> Result<()> {
    let (hold, options) = match action {
        None => {
            if let Some(why) = explain_unknown_guard(&open_store(common)?, name)? {
                bail!(
                    "`{}` names no guard: {why}; the words that change breakers are open, close and auto",
                    name.escape_debug()
                );
            }
            return show_guard(common, name);
        }
        Some(BreakerAction::Open(options)) => ("open", options),
        Some(BreakerAction::Close(options)) => ("closed", options),
        Some(BreakerAction::Auto(options)) => ("auto", options),
    };
    let reason = require_reason(hold, options);
    let store = open_store_for_control(common)?;
    let run = require_run(&store, options)?;
    let by = describe_user();
    let new = NewHold { name, process_id: run, hold, reason: &reason, by: &by };
    let unknown = explain_unknown_guard(&store, name)?.map_or(String::new(), |why| format!("; {why}"));
    guards::hold(&store, new, units::now_ns())?;
    let effect = match hold {
        "open" => "held open: no call is made",
        "closed" => "held closed: every call is made",
        _ => "no longer held: the guard opens and closes by itself",
    };
    print_note(common, &format!("{effect}{unknown}; {}", describe_effect(&store, run)?));
    show_guard(common, name)
}

fn show_guard(common: &Common, name: &str) -> Result<()> {
    let store = open_store(common)?;
    let found = guards::read(&store, Some(name))?;
    let columns = vec![
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("service", "SERVICE", Unit::Name),
        Column::data("name"),
        Column::titled("state", "REPORTED", Unit::Text),
        Column::titled("since_ns", "SINCE", Unit::Age),
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("calls", "CALLS", Unit::Count),
        Column::titled("failures", "FAILED", Unit::Count),
        Column::titled("rejected", "NOT MADE", Unit::Count),
        Column::titled("openings", "OPENED", Unit::Count),
        Column::titled("hold", "HOLD", Unit::Text),
        Column::titled("reason", "REASON", Unit::Text),
        Column::titled("set_by", "BY", Unit::Text),
        Column::titled("set_ns", "SET", Unit::Age),
        Column::titled("last_failure", "LAST FAILURE", Unit::Text),
    ];
    let to_row = |guard: GuardState| {
        vec![
            guard.process_id.into(),
            guard.service.into(),
            guard.name.into(),
            guard.state.into(),
            guard.since_ns.into(),
            guard.level.into(),
            guard.figures.calls.into(),
            guard.figures.failures.into(),
            guard.figures.rejected.into(),
            guard.figures.openings.into(),
            guard.hold.into(),
            guard.reason.into(),
            guard.set_by.into(),
            guard.set_ns.into(),
            guard.last_failure.into(),
        ]
    };
    // Only the hold is known of a guard that no running process has called.
    let to_waiting_row = |waiting: GuardHold| {
        let mut known: HashMap<&str, Cell> = HashMap::from([
            ("name", waiting.name.into()),
            ("hold", waiting.hold.into()),
            ("reason", waiting.reason.into()),
            ("set_by", waiting.set_by.into()),
            ("set_ns", waiting.set_ns.into()),
        ]);
        columns
            .iter()
            .map(|column| {
                column.name.as_deref().and_then(|name| known.remove(name)).unwrap_or(Value::Null.into())
            })
            .collect()
    };
    let waiting = guards::read_waiting_holds(&store, Some(name))?;
    let title = match found.len() {
        0 if !waiting.is_empty() => format!(
            "no running process has called a guard `{}` yet, the next one that does takes this hold",
            terminal::escape(name)
        ),
        0 => format!("no running process has called a guard `{}` yet", terminal::escape(name)),
        _ => format!("the guard `{}` in running processes, and what holds it", terminal::escape(name)),
    };
    print_heading(common, &store, &title);
    let rows = found.into_iter().map(to_row).chain(waiting.into_iter().map(to_waiting_row)).collect();
    format::print(&Report { columns, rows }, common.style())
}

fn hold(common: &Common, hold: &str, options: &HoldOptions) -> Result<()> {
    let reason = require_reason(hold, options);
    let store = open_store_for_control(common)?;
    let run = require_run(&store, options)?;
    print_note(common, &insert_hold(&store, run, hold, &reason)?);
    show(common)
}

/// Holds the breakers of all processes of the store at this path, and returns a sentence about the effect.
pub(super) fn write_hold(path: &Path, hold: &str, reason: &str) -> Result<String> {
    insert_hold(&Store::open_for_control(path)?, EVERY_RUN, hold, reason)
}

fn insert_hold(store: &Store, run: i64, hold: &str, reason: &str) -> Result<String> {
    let single_run = Some(run).filter(|run| *run != EVERY_RUN);
    let new = breakers::NewHold { run: single_run, hold, reason, by: &describe_user() };
    breakers::write_hold(store, new, units::now_ns())?;
    let effect = match hold {
        "open" => "held open: nothing is written, records wait in memory",
        "closed" => "held closed: every write is tried",
        _ => "no longer held: each breaker opens and closes by itself",
    };
    Ok(format!("{effect}; {}", describe_effect(store, run)?))
}

/// Returns the run whose breaker is held.
fn require_run(store: &Store, options: &HoldOptions) -> Result<i64> {
    let run = options.process.map_or(EVERY_RUN, i64::from);
    if run != EVERY_RUN && !processes::has_run(store, run)? {
        bail!("there is no run {run} in {}: `monitor health` lists the runs", store.path().display());
    }
    Ok(run)
}

/// Returns the reason. Holding a breaker needs one, because whoever reads the events later wants to know it.
fn require_reason(hold: &str, options: &HoldOptions) -> String {
    match &options.reason {
        Some(reason) => reason.clone(),
        None if hold == "auto" => "no reason given".to_owned(),
        _ => refuse("holding a breaker needs a reason, such as --reason 'the disk is being replaced'"),
    }
}
