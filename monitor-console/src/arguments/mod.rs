//! The command line: one type per command, with its help and examples. The files below it hold the arguments of groups
//! of commands, such as those that read, those that export, and those that change running processes.
//!
//! Everything that can be checked without a store (durations, rates, patterns, sort keys) is checked here, so
//! that a wrong value ends in exit code 2 and never reaches SQL as text.

mod reading;
mod control;
mod answers;
mod export;
mod tui;
mod alerts;
mod metrics;
mod serve;
mod watch;

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use monitor_runtime::config::process_variable;

use crate::format::Style;
use crate::model::compare::SideName;
use crate::moment::{self, Moment};
use crate::units;

pub(crate) use alerts::{Alert, AlertAction, AlertLevelName, Alerts, NamedRule, SetRule};
pub(crate) use answers::{
    Callees, Callers, Diff, EdgeOptions, FailOn, Findings, Ignored, LevelName, Processes, Resources,
    SpanOptions, Why,
};
pub(crate) use control::{Breaker, BreakerAction, HoldOptions, Sample};
#[cfg(feature = "parquet")]
pub(crate) use export::PartName;
pub(crate) use export::{
    BucketStep, Export, ExportKind, Flame, MetricsForm, OutputOptions, ParquetExport, PrometheusExport,
    ReportExport, StoreExport, TreeOptions, ViewExport, WeightName,
};
pub(crate) use metrics::Metrics;
pub(crate) use reading::{
    CallKey, Calls, Crash, Errors, Health, Live, LogLevelName, Logs, Sql, Tail, Top, TopKey, TopOptions,
    Trace,
};
pub(crate) use serve::{Listen, Serve, ServeOptions};
pub(crate) use tui::Tui;
pub(crate) use watch::{FIRST_PAUSE, Watch};

/// Parses the command line; ends the process on help, version and wrong usage.
pub(crate) fn parse() -> Arguments {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (arguments, matches) =
        parse_from(words.clone()).unwrap_or_else(|error| explain_encoding(words, error).exit());
    if arguments.command.is_some() && arguments.top != TopOptions::default() {
        Arguments::command()
            .error(
                ErrorKind::ArgumentConflict,
                "options before a command belong to `top`: put those of another command after its name",
            )
            .exit();
    }
    if is_span_empty(&matches) {
        refuse(
            "the start that --since names is not before the end that --until names: --since 1h --until 10m, for example, \
             selects the time from an hour ago to ten minutes ago",
        );
    }
    arguments
}

/// Returns true if `--since` and `--until` of the command, whichever it is, select no time.
fn is_span_empty(matches: &ArgMatches) -> bool {
    let mut matches = matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    // A command without the option is an error of the look-up.
    let since = matches.try_get_one::<Duration>("since").ok().flatten();
    let until = matches.try_get_one::<Moment>("until").ok().flatten();
    since.zip(until).is_some_and(|(since, until)| units::start_of_span(Some(*since)) >= until.0)
}

/// Parses these words, the first of which names the program.
fn parse_from(words: Vec<OsString>) -> Result<(Arguments, ArgMatches), clap::Error> {
    let mut command = take_signs(Arguments::command());
    let matches = command.try_get_matches_from_mut(words)?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((arguments, matches))
}

/// Names the argument that has to be UTF-8 and is not; returns any other error as it is.
fn explain_encoding(mut words: Vec<OsString>, mut error: clap::Error) -> clap::Error {
    // Paths may hold any bytes, so the wrong argument is the one whose replacement changes the error.
    for at in 1..words.len() {
        if error.kind() != ErrorKind::InvalidUtf8 {
            break;
        }
        let Some(text) = words[at].to_str().is_none().then(|| words[at].to_string_lossy().into_owned())
        else {
            continue;
        };
        words[at] = OsString::from(&text);
        match parse_from(words.clone()) {
            Err(next) if next.kind() == ErrorKind::InvalidUtf8 => error = next,
            _ => {
                let reason = format!(
                    "argument {at}, '{text}', is not UTF-8: only paths of files may hold other bytes"
                );
                return Arguments::command().error(ErrorKind::InvalidUtf8, reason);
            }
        }
    }
    error
}

/// Hands a word that begins with `-` to the parser of the number, duration or moment that stands in its place, also in
/// subcommands, so that the error about `--limit -1` names the allowed range. Operands take negative numbers only, because options
/// may stand in their place.
fn take_signs(command: clap::Command) -> clap::Command {
    let signed = [
        TypeId::of::<u32>(),
        TypeId::of::<i64>(),
        TypeId::of::<f64>(),
        TypeId::of::<Duration>(),
        TypeId::of::<Moment>(),
        TypeId::of::<SideName>(),
    ];
    let take_sign = |arg: Arg| {
        let is_signed = signed.iter().any(|signed| arg.get_value_parser().type_id() == *signed);
        if arg.is_positional() {
            arg.allow_negative_numbers(is_signed)
        } else {
            arg.allow_hyphen_values(is_signed)
        }
    };
    command.mut_args(take_sign).mut_subcommands(take_signs)
}

/// Ends the process with exit code 2 and the reason why a command cannot run as it was typed.
pub(crate) fn refuse(reason: &str) -> ! {
    Arguments::command().error(ErrorKind::ArgumentConflict, reason).exit()
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(about = "Shows what #[monitor] recorded: functions, calls, errors and traces")]
#[command(name = "monitor", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "\
Examples:
  monitor                              functions by total time
  monitor demo                         record a small workload and look at it
  monitor calls place --failed         the latest failed calls of a function
  monitor trace 1042                   the tree of one call, as a waterfall
  monitor errors --since 15m           kinds of failure in the last 15 minutes
  monitor sql 'SELECT function, p99_ms FROM functions' --format csv

Tables show durations in ns, µs, ms, s, min, h or d; k, M and G are thousands, millions and billions. \
Times of day are UTC. Figures marked ~ are estimates from a sample.

Exit codes: 0 done, 1 failed, 2 wrong usage.")]
pub(crate) struct Arguments {
    // The heading of the common options would apply to the options after them.
    #[command(flatten)]
    pub(crate) top: TopOptions,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Store to read [default: `MONITOR_DB`, otherwise the store written last in the default folder]; may be repeated, and
    /// may be a pattern such as 'logs/*.db': the stores are read together, and each row says which it is from
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) db: Vec<PathBuf>,
    /// Read all stores in the default folder together
    #[arg(long, global = true, conflicts_with = "db")]
    pub(crate) all_stores: bool,
    /// Output format; json, jsonl and csv have raw numbers and every column
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: FormatName,
    /// Only what happened within this time before now, such as 90s, 15m, 1h30m or 2d, or since this time in UTC,
    /// such as 14:05 or 2026-11-29T14:05; trace, live, sample, breaker, alert, watch, sql, export prometheus, export
    /// sqlite, serve and demo ignore it
    #[arg(long, value_name = "DURATION", value_parser = moment::parse_since, global = true)]
    pub(crate) since: Option<Duration>,
    /// Tables with all columns and whole texts, even if lines are wider than the terminal
    #[arg(long, global = true)]
    pub(crate) wide: bool,
    /// CSV cells as stored; without it, `'` precedes a text that a spreadsheet would run as a formula
    #[arg(long, global = true)]
    pub(crate) raw: bool,
}

impl Common {
    /// Returns how reports are printed.
    pub(crate) fn style(&self) -> Style {
        Style { name: self.format, is_wide: self.wide, is_raw: self.raw }
    }

    /// Returns the options with this store and without `--since`.
    pub(crate) fn with_store(&self, path: PathBuf) -> Self {
        Self { db: vec![path], all_stores: false, since: None, ..self.clone() }
    }

    /// Returns the store that `--db` or `MONITOR_DB` names, the first one if several are named; an empty name counts as none.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        let variable = || process_variable("MONITOR_DB").map(PathBuf::from);
        self.db.first().cloned().or_else(variable).filter(|path| !path.as_os_str().is_empty())
    }
}

/// The name of an output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// Aligned columns, numbers with units
    #[default]
    Table,
    /// One array of objects
    Json,
    /// One object per line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// A table for Markdown, with units
    Markdown,
}

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows functions by total time (the default command)
    Top(Top),
    /// Shows recent calls, newest first
    Calls(Calls),
    /// Shows kinds of failure: count, first and last seen, an example
    Errors(Errors),
    /// Shows the tree of one call, as a waterfall
    Trace(Trace),
    /// Shows what is worth knowing, in sentences: repeated calls, hung calls, deaths, changes, losses
    Findings(Findings),
    /// Shows what the slow and the failed calls of a function have in common, and where their time goes
    Why(Why),
    /// Shows which functions got slower, faster or fail more often between two spans, builds, versions or stores
    Diff(Diff),
    /// Shows which functions call a function, how often and for how long
    Callers(Callers),
    /// Shows which functions a function calls, how often and for how long
    Callees(Callees),
    /// Shows the runs of programs: build, state, rate of calls, failures, lost rows, memory
    Processes(Processes),
    /// Shows CPU, memory, threads and descriptors of each process over time, with growth marked
    Resources(Resources),
    /// Shows the program's own metrics: counters, gauges and histograms, with their figures over time
    Metrics(Metrics),
    /// Shows where the time goes as a flame graph, in the terminal or as a page
    Flame(Flame),
    /// Writes trees, views or the store for other tools: speedscope, Perfetto, spreadsheets, SQLite
    Export(Export),
    /// Prints new calls as they are recorded
    Tail(Tail),
    /// Shows log lines with the functions that said them, or prints new ones as they come
    Logs(Logs),
    /// Shows functions, calls, errors, traces and health on the whole terminal, live and over the past six hours
    Tui(Tui),
    /// Shows or sets the sampling rates of running processes
    Sample(Sample),
    /// Shows the recorder of each process: level, drops, breaker, sizes, cost
    Health(Health),
    /// Shows the circuit breakers around the store's writes, or holds them open or closed
    Breaker(Breaker),
    /// Shows alerts: which rules functions and recorders have passed, those that fire first
    Alerts(Alerts),
    /// Lists, sets and removes the rules on alerts
    Alert(Alert),
    /// Tells a command or a webhook of alerts as they begin and end, each at least once
    Watch(Watch),
    /// Shows the calls in flight in running processes, stuck calls first
    Live(Live),
    /// Shows processes that died: when, how, calls in flight, the last calls before
    Crash(Crash),
    /// Runs one SQL statement that reads
    Sql(Sql),
    /// Shows all of this in the browser: a dashboard that reads the store
    Serve(Serve),
    /// Records a small order-processing workload and shows what was recorded
    Demo(Demo),
    /// Prints a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor demo
  monitor demo --serve --open          look at it in the browser
  monitor demo --seconds 10            watch it in another terminal: monitor top --watch
  monitor demo --db /tmp/demo.db

The same number of seconds always makes the same calls. The demo counts its calls itself, compares them \
with the store, and fails if one is missing.")]
pub(crate) struct Demo {
    /// Seconds to run, from 1 to 3600
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = units::parse_demo_seconds)]
    pub(crate) seconds: u32,
    /// Then show what was recorded in the browser, as `monitor serve` does
    #[arg(long)]
    pub(crate) serve: bool,
    /// Open the page in the browser
    #[arg(long, requires = "serve")]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor completions bash > ~/.local/share/bash-completion/completions/monitor
  monitor completions zsh > ~/.zfunc/_monitor
  monitor completions fish > ~/.config/fish/completions/monitor.fish")]
pub(crate) struct Completions {
    /// Shell that reads the script
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Calls a function for each command and its subcommands, with the words that name it.
    fn visit(command: &clap::Command, words: &str, look: &mut dyn FnMut(&str, &clap::Command)) {
        for below in command.get_subcommands() {
            let words = format!("{words} {}", below.get_name());
            look(&words, below);
            visit(below, &words, look);
        }
    }

    #[test]
    fn options_after_a_value_with_a_sign_are_still_options() {
        let parse = |words: &str| parse_from(words.split(' ').map(OsString::from).collect());
        for words in [
            "monitor sample * 0.5 --db x.db",
            "monitor sample --db x.db * 0.5",
            "monitor trace 5 --limit 3",
            "monitor tail -n 5 --failed",
            "monitor tail -n5 --failed",
            "monitor --since 5m --limit 3",
            "monitor calls --min 5ms --limit 3 --since 1h --failed",
            "monitor diff --min-change 5% --all",
        ] {
            assert!(parse(words).is_ok(), "{words}");
        }
        for (words, expected) in [
            ("monitor calls --min --failed", "--min <DURATION>"),
            ("monitor sample * --db x.db", "<RATE>"),
            ("monitor trace --wide", "<ID>"),
            ("monitor calls -5", "unexpected argument"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }

    #[test]
    fn the_help_of_every_command_and_subcommand_has_an_example_of_it() {
        let mut seen = 0;
        visit(&Arguments::command(), "monitor", &mut |words, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_example = |line: &str| line.strip_prefix("  ").is_some_and(|line| line.starts_with(words));
            assert!(help.starts_with("Example") && help.lines().any(is_example), "{words}: {help:?}");
            seen += 1;
        });
        assert!(seen > 40, "{seen} commands");
    }
}
