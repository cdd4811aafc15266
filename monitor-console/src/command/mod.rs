//! The commands, one file each: each takes its arguments and prints a report.
//!
//! A command decides which queries of the model it runs on the store and which columns it shows. It holds no SQL, save
//! what a person typed, and it does not know how the report is printed: the format does.

mod top;
mod calls;
mod errors;
mod trace;
mod tail;
mod follow;
mod logs;
mod sample;
mod health;
mod breaker;
mod alerts;
pub(crate) mod alert;
mod watch;
mod in_flight;
mod live;
mod crash;
mod sql;
mod demo;
mod completions;
mod answer;
mod callers;
mod processes;
mod resources;
mod metrics;
mod why;
mod diff;
mod findings;
mod export;
mod flame;
mod command_line;
mod tui;
mod serve;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use monitor_runtime::config::process_variable;
use monitor_runtime::recover;

use crate::arguments::{Arguments, Command, Common, ExportKind, FormatName, Health, TopOptions, Tui};
use crate::model::{functions, ranges};
use crate::pattern::Pattern;
use crate::store::Store;
use crate::stores::Stores;
use crate::units::format_quantity;
use crate::{find, terminal, units};

/// Runs the command that was typed, or `top` if none was.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let named = name_stores(&mut arguments.common)
        .and_then(|()| require_one_store(&arguments.common, arguments.command.as_ref()));
    let common = &arguments.common;
    // A probe tells of stores that cannot be named as of one that cannot be opened.
    if let Some(Command::Health(Health { exit_code: true, .. })) = &arguments.command {
        return health::probe(common, named);
    }
    named?;
    match arguments.command {
        None if arguments.top.live => tui::run(common, &to_tui(None, &arguments.top)),
        None => top::run(common, None, &arguments.top),
        Some(Command::Top(top)) if top.options.live => tui::run(common, &to_tui(top.pattern, &top.options)),
        Some(Command::Top(top)) => top::run(common, top.pattern.as_ref(), &top.options),
        Some(Command::Calls(calls)) => calls::run(common, &calls),
        Some(Command::Errors(errors)) => errors::run(common, &errors),
        Some(Command::Trace(trace)) => trace::run(common, &trace),
        Some(Command::Why(why)) => why::run(common, &why),
        Some(Command::Diff(diff)) => diff::run(common, &diff),
        Some(Command::Findings(findings)) => findings::run(common, &findings),
        Some(Command::Callers(callers)) => callers::run(common, &callers.edges, callers::Side::Callers),
        Some(Command::Callees(callees)) => callers::run(common, &callees.edges, callers::Side::Callees),
        Some(Command::Processes(processes)) => processes::run(common, &processes),
        Some(Command::Resources(resources)) => resources::run(common, &resources),
        Some(Command::Metrics(metrics)) => metrics::run(common, &metrics),
        Some(Command::Flame(flame)) => flame::run(common, &flame),
        Some(Command::Export(export)) => export::run(common, &export),
        Some(Command::Tail(tail)) => tail::run(common, &tail),
        Some(Command::Logs(logs)) => logs::run(common, &logs),
        Some(Command::Tui(tui)) => tui::run(common, &tui),
        Some(Command::Sample(sample)) => sample::run(common, &sample),
        Some(Command::Health(health)) => health::run(common, &health),
        Some(Command::Breaker(breaker)) => breaker::run(common, &breaker),
        Some(Command::Alerts(alerts)) => alerts::run(common, &alerts),
        Some(Command::Alert(alert)) => alert::run(common, &alert),
        Some(Command::Watch(watch)) => watch::run(common, &watch),
        Some(Command::Live(live)) => live::run(common, &live),
        Some(Command::Crash(crash)) => crash::run(common, &crash),
        Some(Command::Sql(sql)) => sql::run(common, &sql),
        Some(Command::Serve(arguments)) => serve::run(common, &arguments.options),
        Some(Command::Demo(demo)) => demo::run(common, &demo),
        Some(Command::Completions(completions)) => completions::run(&completions),
    }
}

/// Replaces patterns and `--all-stores` by the files that they stand for.
fn name_stores(common: &mut Common) -> Result<()> {
    if common.all_stores {
        common.db = find::list_default_stores()?;
    } else {
        common.db = find::expand_patterns(&common.db)?;
    }
    Ok(())
}

/// Fails if several stores are named and the command works on one.
fn require_one_store(common: &Common, command: Option<&Command>) -> Result<()> {
    if common.db.len() > 1 && !reads_several(command) {
        bail!("this command works on one store, and {} are named: name one with --db PATH", common.db.len());
    }
    Ok(())
}

/// Returns true if the cause of an error is that the reader of the output has closed the pipe.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Returns the verdict of a command, once its report is printed. A reader that has closed the pipe missed a part of the
/// report, which changes no verdict.
fn conclude(printed: Result<()>, verdict: Result<()>) -> Result<()> {
    match printed {
        Err(error) if !is_closed_pipe(&error) => Err(error),
        _ => verdict,
    }
}

/// Returns true for a command that reads several stores together. The other commands change a store, follow one, or
/// copy one.
fn reads_several(command: Option<&Command>) -> bool {
    match command {
        Some(Command::Export(export)) => {
            !matches!(export.what, ExportKind::Prometheus(_) | ExportKind::Sqlite(_))
        }
        Some(Command::Logs(logs)) => !logs.follow,
        None
        | Some(
            Command::Top(_)
            | Command::Calls(_)
            | Command::Errors(_)
            | Command::Trace(_)
            | Command::Why(_)
            | Command::Diff(_)
            | Command::Findings(_)
            | Command::Callers(_)
            | Command::Callees(_)
            | Command::Processes(_)
            | Command::Resources(_)
            | Command::Metrics(_)
            | Command::Flame(_)
            | Command::Sql(_)
            | Command::Serve(_),
        ) => true,
        Some(_) => false,
    }
}

/// Opens the stores that are named for reading, each after the ring files that dead processes left for it are recovered
/// into it. A note reports a store that cannot be read.
fn open_stores(common: &Common) -> Result<Stores> {
    let named = match common.db.as_slice() {
        [] | [_] => vec![find::find_store(common.store_path())?],
        several => {
            several.iter().map(|path| find::find_store(Some(path.clone()))).collect::<Result<Vec<_>>>()?
        }
    };
    for path in &named {
        recover_rings(common, path);
    }
    let stores = Stores::open(&named)?;
    stores.remarks().iter().for_each(|remark| terminal::print_note_once(remark));
    Ok(stores)
}

/// Returns the options of the view that `top --live` opens.
fn to_tui(pattern: Option<Pattern>, options: &TopOptions) -> Tui {
    Tui { pattern, sort: options.sort, ascii: false }
}

/// Opens the store for reading, after the ring files that dead processes left for it are recovered into it.
fn open_store(common: &Common) -> Result<Store> {
    let path = find::find_store(common.store_path())?;
    recover_rings(common, &path);
    Store::open(&path)
}

/// Recovers the ring files that dead processes left for a store into it.
fn recover_rings(common: &Common, path: &Path) {
    match recover::recover(path, &find::list_ring_folders(), units::now_ns()) {
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

/// Prints a heading for a table that names the stores.
fn print_heading_of(common: &Common, stores: &Stores, text: &str) {
    print_note(common, &format!("{} · {text}", stores.describe()));
}

/// Prints a note for each store whose part of a report could not be read.
fn print_failures(failures: &[String]) {
    for failure in failures {
        terminal::print_note(&format!("left out: {failure}"));
    }
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
/// distinguish such a pattern from a function without calls.
fn require_known(store: &Store, pattern: Option<&Pattern>) -> Result<()> {
    match pattern.map(|pattern| explain_unknown(store, pattern)).transpose()?.flatten() {
        Some(explanation) => Err(anyhow!(explanation)),
        None => Ok(()),
    }
}

/// Fails if no function of any of the stores has a name that the pattern selects.
fn require_known_in(stores: &Stores, pattern: Option<&Pattern>) -> Result<()> {
    let Some(pattern) = pattern else { return Ok(()) };
    let mut explanation = None;
    for store in stores.list() {
        match explain_unknown(store, pattern)? {
            None => return Ok(()),
            Some(text) => {
                // A store that has a similar name explains more than one that has none.
                let is_better = text.contains("so try");
                if is_better || explanation.is_none() {
                    explanation = Some(text);
                }
            }
        }
    }
    explanation.map_or(Ok(()), |text| Err(anyhow!(text)))
}

/// Explains that no function of the store has a name that the pattern selects; `None` if one has.
fn explain_unknown(store: &Store, pattern: &Pattern) -> Result<Option<String>> {
    let count = |globs: [String; 2]| functions::count_names(store, globs);
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

/// Describes a report without rows: that its span has none, and when the latest call with a row began. Without a span
/// the text is empty, because the title is enough.
fn describe_absence(common: &Common, stores: &[&Store]) -> Result<String> {
    if common.since.is_none() {
        return Ok(String::new());
    }
    let mut latest = None;
    for store in stores {
        latest = latest.max(ranges::find_latest_start(store)?);
    }
    Ok(match latest {
        Some(at) => {
            format!(" · the span has none: the latest call began {}", units::format_age(at, units::now_ns()))
        }
        None => " · no call has a row here".to_owned(),
    })
}

/// Names the user who changes something: `monitor:ada`, or `monitor:user 1000` if the environment holds no
/// name, without the number where users have none.
fn describe_user() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| process_variable(name));
    let user = user.filter(|user| !user.is_empty());
    #[cfg(unix)]
    let user = user.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()).into());
    #[cfg(not(unix))]
    let user = user.unwrap_or_else(|| "user".into());
    format!("monitor:{}", user.to_string_lossy())
}

/// The run number that stands for every run, as in the table `breaker`.
const EVERY_RUN: i64 = 0;

/// Describes when a change to a run takes effect: `2 running processes read it within two seconds`.
fn describe_effect(store: &Store, run: i64) -> Result<String> {
    Ok(match crate::model::processes::count_running(store, Some(run).filter(|run| *run != EVERY_RUN))? {
        0 if run != EVERY_RUN => format!("run {run} has ended, so nothing changes"),
        0 => "no process is running, the next one reads it when it starts".to_owned(),
        1 => "1 running process reads it within two seconds".to_owned(),
        more => format!("{more} running processes read it within two seconds"),
    })
}

/// The noun for functions, for one and for several.
const FUNCTIONS: (&str, &str) = ("function", "functions");

/// Describes how many of the known names a pattern matches as a whole: `matches 3 functions known so far`.
fn describe_match(names: &[String], pattern: &Pattern, (singular, plural): (&str, &str)) -> String {
    let matched = names.iter().filter(|name| pattern.is_whole_match(name)).count();
    format!("matches {} known so far", format_quantity(matched, singular, plural))
}

/// Suggests a pattern of whole names for one that matches only the last segments of names of functions, as other commands
/// accept them. `subject` needs whole names: `A rate`.
fn suggest_whole_names(names: &[String], pattern: &Pattern, subject: &str) -> String {
    let by_ending = names.iter().filter(|name| pattern.is_match(name)).count();
    if by_ending == 0 || names.iter().any(|name| pattern.is_whole_match(name)) {
        return String::new();
    }
    let functions = format_quantity(by_ending, "function", "functions");
    format!(". {subject} needs whole names: `*::{}` would match {functions}", pattern.as_str())
}
