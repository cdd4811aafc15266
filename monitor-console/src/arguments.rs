//! What can be typed after `monitor`: one type per command, help and examples beside them.
//!
//! Everything that can be judged without a store (durations, rates, patterns, sort keys) is judged
//! here, so that it ends in exit code 2 and never reaches SQL as text.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use monitor_runtime::config::process_variable;

use crate::pattern::Pattern;
use crate::units;

/// Reads the command line; ends the process on help, version and wrong usage.
pub(crate) fn parse() -> Arguments {
    let arguments = Arguments::parse();
    if arguments.command.is_some() && arguments.top != TopOptions::default() {
        Arguments::command()
            .error(
                ErrorKind::ArgumentConflict,
                "the options of `top` stand after the word `top`, those of another command after its name",
            )
            .exit();
    }
    arguments
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(about = "See what #[monitor] recorded: functions, calls, errors and traces")]
#[command(name = "monitor", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "\
Examples:
  monitor                              functions by total time
  monitor demo                         record a small workload and look at it
  monitor calls 'shop::*' --failed     the latest failed calls of a module
  monitor trace 1042                   the tree of one call, as a waterfall
  monitor errors --since 15m           kinds of failure seen lately
  monitor sql 'SELECT function, p99_ms FROM functions ORDER BY p99_ms DESC' --format csv

Exit codes: 0 done, 1 failed, 2 wrong usage. Figures marked ~ are estimates from a sample.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) top: TopOptions,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The store to look at [default: `MONITOR_DB`, else the one written last in the default folder]
    #[arg(long, value_name = "PATH", global = true)]
    db: Option<PathBuf>,
    /// How to print; json, jsonl and csv carry raw numbers and every column
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: FormatName,
    /// Only what happened this long before now, such as 90s, 15m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, global = true)]
    pub(crate) since: Option<Duration>,
}

impl Common {
    /// The same for the store at this path, and for all of its time.
    pub(crate) fn at(&self, path: PathBuf) -> Self {
        Self { db: Some(path), since: None, format: self.format }
    }

    /// The store named by `--db` or `MONITOR_DB`; an empty name is no name.
    pub(crate) fn db(&self) -> Option<PathBuf> {
        let variable = || process_variable("MONITOR_DB").map(PathBuf::from);
        self.db.clone().or_else(variable).filter(|path| !path.as_os_str().is_empty())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// Aligned columns, figures for people
    #[default]
    Table,
    /// One array of objects
    Json,
    /// An object on each line
    Jsonl,
    /// Comma-separated, with a header
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Functions by total time (what `monitor` alone shows)
    Top(Top),
    /// Recent calls, newest first
    Calls(Calls),
    /// Kinds of failure: how many, first and last seen, an example
    Errors(Errors),
    /// The tree of one call, as a waterfall
    Trace(Trace),
    /// Follows new calls
    Tail(Tail),
    /// Shows or sets sampling rates of running processes
    Sample(Sample),
    /// How the recorder is in each process: level, losses, breaker, sizes, cost
    Health(Health),
    /// Shows the circuit breakers around the store's writes, or holds them open or closed
    Breaker(Breaker),
    /// What is under way in running processes now, stuck calls first
    Live(Live),
    /// Processes that died: when, how, what was running, the last calls before
    Crash(Crash),
    /// Runs a reading SQL statement
    Sql(Sql),
    /// Records a small order-processing workload and shows what was recorded
    Demo(Demo),
    /// Prints a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor top --sort p99
  monitor top 'shop::*' --watch
  monitor top --since 15m --sort errors

Counts, total, mean and max are exact whatever the sampling rate. With --since, figures are put together
from windows of 10 s; percentiles are then estimates and carry ~.")]
pub(crate) struct Top {
    /// Only functions of this name; `*` stands for anything
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    #[command(flatten)]
    pub(crate) options: TopOptions,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct TopOptions {
    /// What to order by, largest first [default: total]
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) sort: Option<TopKey>,
    /// Refresh every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// At most this many functions
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopKey {
    Total,
    Calls,
    Mean,
    P50,
    P95,
    P99,
    Max,
    /// Calls that failed: errors, panics and cancellations
    Errors,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor calls                        the latest 20
  monitor calls insert --min 10ms      slow calls of any function whose last name is `insert`
  monitor calls 'shop::*' --failed --limit 100
  monitor calls --sort duration --since 1h --format jsonl")]
pub(crate) struct Calls {
    /// Only functions of this name; `*` stands for anything
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that ended in an error, a panic or a cancellation
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only calls kept for being slow
    #[arg(long)]
    pub(crate) slow: bool,
    /// Only calls that took at least this long, such as 10ms
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) min: Option<Duration>,
    /// At most this many calls
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// `time`: newest first; `duration`: longest first
    #[arg(long, value_enum, value_name = "KEY", default_value_t)]
    pub(crate) sort: CallKey,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CallKey {
    #[default]
    Time,
    Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor errors
  monitor errors 'shop::payments::*' --since 15m

Counts are exact: a failure is counted even where it got no row of its own. The column EXAMPLE is a
call id for `monitor trace`. With --since: kinds seen in that time, counted from their first occurrence.")]
pub(crate) struct Errors {
    /// Only functions of this name; `*` stands for anything
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// At most this many kinds
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor trace 1042                   by call id, as `calls` and `errors` show it
  monitor trace 4294967301             by trace id or span id, as the views hold it
  monitor trace 1042 --format json     the same rows with depth and offset_ns")]
pub(crate) struct Trace {
    /// A call id, a span id or a trace id; the heading says which it was
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,
    /// At most this many calls
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor tail
  monitor tail 'shop::*' --failed
  monitor tail -n 20 --format jsonl | jq .function

Ends on Ctrl-C or when its reader goes away. As a stream has no end, json prints an object on each line.")]
pub(crate) struct Tail {
    /// Only functions of this name; `*` stands for anything
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that ended in an error, a panic or a cancellation
    #[arg(long)]
    pub(crate) failed: bool,
    /// Begin with this many calls already there
    #[arg(short = 'n', long, value_name = "N", default_value_t = 0)]
    pub(crate) last: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor sample                       the rates in force
  monitor sample 'shop::hot::*' 0.01   keep one call in a hundred in detail
  monitor sample --reset 'shop::hot::*'

Running processes read a rate within a second. Counts stay exact and failures are kept at any rate.")]
pub(crate) struct Sample {
    /// Function names, `*` for anything: `shop::pay`, `shop::*`, `*`
    #[arg(value_name = "PATTERN", requires = "rate", conflicts_with = "reset")]
    pub(crate) pattern: Option<Pattern>,
    /// Share of the calls that get a row, 0 to 1
    #[arg(value_name = "RATE", value_parser = units::parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Take back the rate set for this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) reset: Option<Pattern>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor health
  monitor health --format json | jq '.[] | {pid, level, dropped_ring_full}'")]
pub(crate) struct Health {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor breaker                                        how they stand
  monitor breaker open --reason 'the disk is swapped'    nothing is written, records wait in memory
  monitor breaker close --reason 'known noise'           every write is tried, whatever came of the last
  monitor breaker auto                                   let go

Running processes see it within a second, and processes that start later at their start. Every change is a
row of `events`, with who and why.")]
pub(crate) struct Breaker {
    #[command(subcommand)]
    pub(crate) action: Option<BreakerAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BreakerAction {
    /// Holds them open: nothing is written, records wait in memory
    Open(HoldOptions),
    /// Holds them closed: every write is tried, whatever came of the last
    Close(HoldOptions),
    /// Lets go of them
    Auto(HoldOptions),
}

#[derive(Debug, Args)]
pub(crate) struct HoldOptions {
    /// Why; kept with the events. Needed to hold, not to let go
    #[arg(long, value_name = "TEXT", value_parser = units::parse_reason)]
    pub(crate) reason: Option<String>,
    /// Only the process of this run, as `monitor health` shows it; otherwise every process on the store
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) process: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor live
  monitor live 'shop::*' --min 5s
  monitor live --format jsonl | jq 'select(.state | startswith(\"stuck\"))'

Reads the ring files of running processes and asks nothing of them. `stuck`: past the limit that the
function states with `slow`. A call that is only counted is not shown.")]
pub(crate) struct Live {
    /// Only functions of this name; `*` stands for anything
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that have been under way for at least this long, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) min: Option<Duration>,
    /// At most this many calls
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor crash                        the latest five, with ten calls each
  monitor crash --since 1h --calls 50
  monitor crash --format json          a row for each call that was under way

What a process left in its ring file is brought into the store first, each call once.")]
pub(crate) struct Crash {
    /// At most this many processes
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) limit: u32,
    /// How many of the last calls before the death
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) calls: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor sql 'SELECT outcome, count(*) FROM calls GROUP BY outcome'
  monitor sql 'SELECT * FROM schema_doc'          what every view and column means
  monitor sql - < report.sql                      the statement from standard input

The store is opened read-only. Views: calls, errors, error_groups, functions, latency, slow_calls,
processes, in_flight, events, health, resources, calls_readable.")]
pub(crate) struct Sql {
    /// One reading statement, or `-` for standard input
    #[arg(value_name = "STATEMENT")]
    pub(crate) statement: String,
    /// Give up after this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, default_value = "30s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor demo
  monitor demo --seconds 10            meanwhile, elsewhere: monitor top --watch
  monitor demo --db /tmp/demo.db

The same seconds make the same calls each time. The command counts its own calls, compares them with the
store and fails if one is missing.")]
pub(crate) struct Demo {
    /// How long to take orders
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor completions bash > ~/.local/share/bash-completion/completions/monitor
  monitor completions zsh > ~/.zfunc/_monitor
  monitor completions fish > ~/.config/fish/completions/monitor.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
