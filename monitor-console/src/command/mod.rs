//! The commands, one file each: each takes its arguments and prints a report.
//!
//! A command decides which statements it runs on the store and which columns it shows. It does not know how
//! the report is printed: that is the format's part.

mod top;
mod calls;
mod errors;
mod trace;
mod tail;
mod sample;
mod health;
mod breaker;
mod in_flight;
mod live;
mod crash;
mod sql;
mod demo;
mod completions;

use std::io::{self, Write};

use anyhow::{Result, anyhow};
use monitor_runtime::config::process_variable;
use monitor_runtime::recover;

use crate::arguments::{Arguments, Command, Common, FormatName};
use crate::pattern::Pattern;
use crate::store::Store;
use crate::units::format_quantity;
use crate::{find, terminal, units};

/// Runs the command that was typed, or `top` if none was.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let common = &arguments.common;
    match arguments.command {
        None => top::run(common, None, &arguments.top),
        Some(Command::Top(top)) => top::run(common, top.pattern.as_ref(), &top.options),
        Some(Command::Calls(calls)) => calls::run(common, &calls),
        Some(Command::Errors(errors)) => errors::run(common, &errors),
        Some(Command::Trace(trace)) => trace::run(common, &trace),
        Some(Command::Tail(tail)) => tail::run(common, &tail),
        Some(Command::Sample(sample)) => sample::run(common, &sample),
        Some(Command::Health(health)) => health::run(common, &health),
        Some(Command::Breaker(breaker)) => breaker::run(common, &breaker),
        Some(Command::Live(live)) => live::run(common, &live),
        Some(Command::Crash(crash)) => crash::run(common, &crash),
        Some(Command::Sql(sql)) => sql::run(common, &sql),
        Some(Command::Demo(demo)) => demo::run(common, &demo),
        Some(Command::Completions(completions)) => completions::run(&completions),
    }
}

/// Opens the store for reading, after the ring files that dead processes left for it are recovered into it.
fn open_store(common: &Common) -> Result<Store> {
    let path = find::find_store(common.store_path())?;
    match recover::recover(&path, &find::list_ring_folders(), units::now_ns()) {
        Ok(recovered) if recovered.processes > 0 => {
            let recover::Recovered { processes, calls, .. } = recovered;
            print_note(
                common,
                &format!(
                    "recovered from ring files: {}, {} that died",
                    format_quantity(calls, "call", "calls"),
                    format_quantity(processes, "process", "processes")
                ),
            );
        }
        Ok(_) => {}
        Err(error) => terminal::print_note(&format!(
            "the ring files of dead processes could not be recovered, so their last calls may be missing: {error}"
        )),
    }
    Store::open(&path)
}

/// Opens the store for writing to its control tables.
fn open_store_for_control(common: &Common) -> Result<Store> {
    Store::open_for_control(&find::find_store(common.store_path())?)
}

/// Prints a heading for a table that names the store. It goes to standard error, so that a pipe gets the
/// report alone; data needs no heading.
fn print_heading(common: &Common, store: &Store, text: &str) {
    print_note(common, &format!("store: {} · {text}", store.path().display()));
}

/// Prints a note beside a table, on standard error; data formats get none.
fn print_note(common: &Common, text: &str) {
    if common.format == FormatName::Table {
        terminal::print_note(text);
    }
}

/// Prints escaped lines on standard output, each cut to the terminal unless `--wide` is given.
fn print_lines(common: &Common, text: &str) -> Result<()> {
    let room = terminal::read_size().map(|(columns, _)| columns).filter(|_| !common.wide);
    let mut out = io::stdout().lock();
    for line in text.lines() {
        let line = room.map_or(line.into(), |room| terminal::truncate_end(line, room));
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// Fails if no function of the store has a name that the pattern selects, because an empty report alone does not
/// tell such a pattern from a function without calls.
fn require_known(store: &Store, pattern: Option<&Pattern>) -> Result<()> {
    match pattern.map(|pattern| explain_unknown(store, pattern)).transpose()?.flatten() {
        Some(explanation) => Err(anyhow!(explanation)),
        None => Ok(()),
    }
}

/// Explains that no function of the store has a name that the pattern selects; `None` if one has.
fn explain_unknown(store: &Store, pattern: &Pattern) -> Result<Option<String>> {
    let sql = "SELECT COUNT(DISTINCT name) FROM function WHERE name GLOB ?1 OR name GLOB ?2";
    let count = |globs: [String; 2]| store.read_integer(sql, globs).map(Option::unwrap_or_default);
    if count(pattern.to_globs())? > 0 {
        return Ok(None);
    }
    let text = pattern.as_str();
    let [whole, _] = pattern.to_globs();
    let ending = format!("*::{whole}");
    let advice = if text.contains('*') && count([ending.clone(), ending.clone()])? > 0 {
        format!("a pattern with `*` is compared with the whole name, so try `*::{text}`")
    } else if !text.contains('*') && count([format!("{whole}::*"), format!("{ending}::*")])? > 0 {
        format!("it is a module or a type, so try `*{text}::*`")
    } else {
        "`monitor top` lists the names".to_owned()
    };
    Ok(Some(format!("no function here is named `{text}`: {advice}")))
}

/// Names the user who changes something: `monitor:ada`, or `monitor:user 1000` if the environment holds no
/// name.
fn describe_user() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| process_variable(name));
    let user = user.filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()).into());
    format!("monitor:{}", user.to_string_lossy())
}

/// The run number that stands for every run, as in the table `breaker`.
const EVERY_RUN: i64 = 0;

/// Tells when a change to a run takes effect: `2 running processes read it within two seconds`.
fn describe_effect(store: &Store, run: i64) -> Result<String> {
    let sql = "SELECT COUNT(*) FROM processes WHERE ending = 'running' AND ?1 IN (0, process_id)";
    Ok(match store.read_integer(sql, [run])?.unwrap_or(0) {
        0 if run != EVERY_RUN => format!("run {run} has ended, so nothing changes"),
        0 => "no process is running, the next one reads it when it starts".to_owned(),
        1 => "1 running process reads it within two seconds".to_owned(),
        more => format!("{more} running processes read it within two seconds"),
    })
}
