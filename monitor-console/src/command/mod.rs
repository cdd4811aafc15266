//! The commands, one file each: from arguments to a report. A command decides what is asked of the
//! store and which columns are shown; how they are printed is the format's affair.

mod top;
mod calls;
mod errors;
mod trace;
mod tail;
mod sample;
mod health;
mod breaker;
mod live;
mod crash;
mod sql;
mod demo;
mod completions;

use anyhow::Result;
use monitor_runtime::recover;

use crate::arguments::{Arguments, Command, Common, FormatName};
use crate::store::Store;
use crate::{find, terminal, units};

/// Runs what was asked for; `top` where nothing was.
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
        Some(Command::Health(_)) => health::run(common),
        Some(Command::Breaker(breaker)) => breaker::run(common, &breaker),
        Some(Command::Live(live)) => live::run(common, &live),
        Some(Command::Crash(crash)) => crash::run(common, &crash),
        Some(Command::Sql(sql)) => sql::run(common, &sql),
        Some(Command::Demo(demo)) => demo::run(common, &demo),
        Some(Command::Completions(completions)) => completions::run(&completions),
    }
}

/// The store asked for, open for reading, with all that dead processes left for it.
fn open(common: &Common) -> Result<Store> {
    let path = find::store(common.db())?;
    match recover::recover(&path, &find::ring_folders(), units::now_ns()) {
        Ok(recovered) if recovered.processes > 0 => {
            let recover::Recovered { processes, calls, .. } = recovered;
            remark(
                common,
                &format!("recovered from ring files: {calls} calls, {processes} processes that died"),
            );
        }
        Ok(_) => {}
        Err(error) => terminal::remark(&format!("what dead processes left could not be recovered: {error}")),
    }
    Store::open(&path)
}

/// Says beside a table which store it shows. On standard error, so that the report alone is piped on;
/// data needs no heading.
fn heading(common: &Common, store: &Store, text: &str) {
    if common.format == FormatName::Table {
        terminal::remark(&format!("store: {} · {text}", store.path().display()));
    }
}

/// Says something beside a table.
fn remark(common: &Common, text: &str) {
    if common.format == FormatName::Table {
        terminal::remark(text);
    }
}

/// Who sets something from here: `monitor:ada`, or the user's number where the environment has no name.
fn set_by() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| monitor_runtime::config::process_variable(name));
    let user = user.filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()).into());
    format!("monitor:{}", user.to_string_lossy())
}

/// `1 call`, `2 calls`.
fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
