//! The command line: one type per command, with its help and examples.
//!
//! Everything that can be checked without a store (durations, rates, patterns, sort keys) is checked here, so
//! that a wrong value ends in exit code 2 and never reaches SQL as text.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use monitor_runtime::config::process_variable;

use crate::pattern::Pattern;
use crate::units;

/// Parses the command line; ends the process on help, version and wrong usage.
pub(crate) fn parse() -> Arguments {
    let arguments = Arguments::parse();
    if arguments.command.is_some() && arguments.top != TopOptions::default() {
        Arguments::command()
            .error(
                ErrorKind::ArgumentConflict,
                "options before a command belong to `top`: put those of another command after its name",
            )
            .exit();
    }
    arguments
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(about = "Shows what #[monitor] recorded: functions, calls, errors and traces")]
#[command(name = "monitor", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "\
Examples:
  monitor                              functions by total time
  monitor demo                         record a small workload and look at it
  monitor calls 'shop::*' --failed     the latest failed calls of a module
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
    /// Store to read [default: `MONITOR_DB`, otherwise the store written last in the default folder]
    #[arg(long, value_name = "PATH", global = true)]
    db: Option<PathBuf>,
    /// Output format; json, jsonl and csv have raw numbers and every column
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: FormatName,
    /// Only what happened within this time before now, such as 90s, 15m, 1h30m or 2d; trace,
    /// live, sample, breaker, sql and demo ignore it
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, global = true)]
    pub(crate) since: Option<Duration>,
}

impl Common {
    /// Returns the options with this store and without `--since`.
    pub(crate) fn with_store(&self, path: PathBuf) -> Self {
        Self { db: Some(path), since: None, format: self.format }
    }

    /// Returns the store that `--db` or `MONITOR_DB` names; an empty name counts as none.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        let variable = || process_variable("MONITOR_DB").map(PathBuf::from);
        self.db.clone().or_else(variable).filter(|path| !path.as_os_str().is_empty())
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
    /// Prints new calls as they are recorded
    Tail(Tail),
    /// Shows or sets the sampling rates of running processes
    Sample(Sample),
    /// Shows the recorder of each process: level, drops, breaker, sizes, cost
    Health(Health),
    /// Shows the circuit breakers around the store's writes, or holds them open or closed
    Breaker(Breaker),
    /// Shows the calls in flight in running processes, stuck calls first
    Live(Live),
    /// Shows processes that died: when, how, calls in flight, the last calls before
    Crash(Crash),
    /// Runs one SQL statement that reads
    Sql(Sql),
    /// Records a small order-processing workload and shows what was recorded
    Demo(Demo),
    /// Prints a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor top --sort p99               the slowest functions first
  monitor top 'shop::*' --watch        one module, refreshed every second
  monitor top --since 15m --sort errors

CALLS and FAILED are exact at any sampling rate. Durations are marked ~ if some calls of the function were \
counted but not timed. Percentiles come from histograms and are at most 4.4 % off. Without --since the figures \
cover the last 6 hours; with it they are summed from windows of 10 s.")]
pub(crate) struct Top {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    #[command(flatten)]
    pub(crate) options: TopOptions,
}

/// The options of `top`, which `monitor` alone takes too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct TopOptions {
    /// Figure to sort by, largest first [default: total]
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) sort: Option<TopKey>,
    /// Refresh every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// At most this many functions [default: all]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

/// The figure that `top` sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopKey {
    /// Time spent in all calls
    Total,
    /// Number of calls
    Calls,
    /// Mean duration of a call
    Mean,
    /// Median duration
    P50,
    /// Duration that 95 % of the calls stay below
    P95,
    /// Duration that 99 % of the calls stay below
    P99,
    /// Longest duration
    Max,
    /// Number of failed calls: errors, panics and cancellations
    Errors,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor calls                        the latest 20
  monitor calls insert --min 10ms      calls of at least 10 ms of functions named `insert`
  monitor calls 'shop::*' --failed --limit 100
  monitor calls --sort duration --since 1h --format jsonl

WEIGHT is the number of calls that a row stands for: more than 1 if the call was sampled. The column CALL \
is an id for `monitor trace`.")]
pub(crate) struct Calls {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that ended in an error, a panic or a cancellation
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only calls kept because they were slow
    #[arg(long)]
    pub(crate) slow: bool,
    /// Only calls that took at least this long, such as 10ms
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) min: Option<Duration>,
    /// At most this many calls
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = units::parse_limit)]
    pub(crate) limit: u32,
    /// Order of the calls
    #[arg(long, value_enum, value_name = "KEY", default_value_t)]
    pub(crate) sort: CallKey,
}

/// The order of `calls`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CallKey {
    /// Newest first
    #[default]
    Time,
    /// Longest first
    Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor errors
  monitor errors 'shop::payments::*' --since 15m

Counts are exact: a failure is counted even if it has no row of its own. Numbers in a message are shown as \
#, so that messages that differ only in numbers are one kind. EXAMPLE is a call id for `monitor trace`. \
--since selects the kinds seen within that time; their counts still start with their first occurrence.")]
pub(crate) struct Errors {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// At most this many kinds [default: all]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor trace 1042                   by call id, as `calls` and `errors` show it
  monitor trace 4294967301             by trace id or span id, as in the view `calls`
  monitor trace 1042 --format json     every column, with depth and offset_ns

OFFSET is the time from the start of the trace to the start of the call. A call on another thread than its \
caller is marked ↷. A caller without a row was not sampled or is past its retention.")]
pub(crate) struct Trace {
    /// Call id, span id or trace id; the heading says which it was
    #[arg(value_name = "ID", value_parser = units::parse_id)]
    pub(crate) id: i64,
    /// At most this many calls
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = units::parse_limit)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor tail                         every new call
  monitor tail 'shop::*' --failed      the failed calls of a module
  monitor tail -n 20 --format jsonl | jq .function

Ends on Ctrl-C, or when the reader of its output ends. With --format json each line is an object, as with \
jsonl, because an array would need an end.")]
pub(crate) struct Tail {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that ended in an error, a panic or a cancellation
    #[arg(long)]
    pub(crate) failed: bool,
    /// Begin with the last N calls already recorded
    #[arg(short = 'n', long, value_name = "N", default_value_t = 0, value_parser = units::parse_limit)]
    pub(crate) last: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor sample                       the rates in force, and why
  monitor sample 'shop::hot::*' 0.01   a row for one call in a hundred
  monitor sample --reset 'shop::hot::*'

Running processes read a rate within a second. If several patterns match a function, the one set last \
wins. At any rate counts stay exact and failed calls get a row.")]
pub(crate) struct Sample {
    /// Whole function names; `*` stands for any text: `shop::pay`, `shop::*`, `*`
    #[arg(value_name = "PATTERN", requires = "rate", conflicts_with = "reset")]
    pub(crate) pattern: Option<Pattern>,
    /// Share of the calls that get a row, from 0 to 1
    #[arg(value_name = "RATE", value_parser = units::parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Remove the rate set for this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) reset: Option<Pattern>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor health
  monitor health --format json | jq '.[] | {pid, level, dropped_ring_full}'

A line per figure and process. `dropped` counts lost calls by reason, `folded` failures that were counted \
but got no row, `log` is the write-ahead log beside the store, and `own cost` is what recording costs the \
process.")]
pub(crate) struct Health {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor breaker                              the state of each breaker
  monitor breaker open --reason 'disk swap'    stop writing to the store
  monitor breaker close --reason 'known noise' try every write
  monitor breaker auto                         end the hold

A circuit breaker opens by itself when writes to the store fail; records then wait in memory. Running \
processes read a change within a second, later ones when they start. Every change is a row of the view \
`events`, with who and why.")]
pub(crate) struct Breaker {
    #[command(subcommand)]
    pub(crate) action: Option<BreakerAction>,
}

/// A change to the breakers.
#[derive(Debug, Subcommand)]
pub(crate) enum BreakerAction {
    /// Holds breakers open: nothing is written, records wait in memory
    #[command(after_help = "Example:\n  monitor breaker open --reason 'the disk is being replaced'")]
    Open(HoldOptions),
    /// Holds breakers closed: every write is tried, even after failures
    #[command(after_help = "Example:\n  monitor breaker close --reason 'known noise' --process 3")]
    Close(HoldOptions),
    /// Ends the hold: breakers open and close by themselves
    #[command(after_help = "Example:\n  monitor breaker auto --reason 'the disk is back'")]
    Auto(HoldOptions),
}

/// The options of a change to the breakers.
#[derive(Debug, Args)]
pub(crate) struct HoldOptions {
    /// Reason, stored with the event; `open` and `close` need one, `auto` does not
    #[arg(long, value_name = "TEXT", value_parser = units::parse_reason)]
    pub(crate) reason: Option<String>,
    /// Only the process of this run, as `monitor health` shows it [default: every process]
    #[arg(long, value_name = "RUN", value_parser = units::parse_run)]
    pub(crate) process: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor live
  monitor live 'shop::*' --min 5s
  monitor live --format jsonl | jq 'select(.state | startswith(\"stuck\"))'

The calls are read from the ring files of running processes, which costs the processes nothing. A call is \
`stuck` if it has taken longer than the `slow` limit of its function. Calls that are only counted are not \
shown.")]
pub(crate) struct Live {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that have been in flight for at least this long, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) min: Option<Duration>,
    /// At most this many calls [default: all]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor crash                        the latest 5 processes, with 10 calls each
  monitor crash --since 1h --calls 50
  monitor crash --format json          a row for each call that was in flight

The calls that a dead process left in its ring file are recovered into the store first, each call once.")]
pub(crate) struct Crash {
    /// At most this many processes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = units::parse_limit)]
    pub(crate) limit: u32,
    /// At most this many of the last calls before the death
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = units::parse_limit)]
    pub(crate) calls: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor sql 'SELECT outcome, count(*) FROM calls GROUP BY outcome'
  monitor sql 'SELECT * FROM schema_doc'     the meaning of every view and column
  monitor sql - < report.sql                 the statement from standard input

The store is opened read-only. Columns in _ns hold whole nanoseconds, points in time are counted from the Unix \
epoch, UTC. Views: calls, errors, error_groups, functions, latency, slow_calls, processes, in_flight, events, \
health, rates, resources, calls_readable.")]
pub(crate) struct Sql {
    /// One statement that reads, or `-` to read it from standard input
    #[arg(value_name = "STATEMENT")]
    pub(crate) statement: String,
    /// Stop after computing for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, default_value = "30s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor demo
  monitor demo --seconds 10            watch it in another terminal: monitor top --watch
  monitor demo --db /tmp/demo.db

The same number of seconds always makes the same calls. The demo counts its calls itself, compares them \
with the store, and fails if one is missing.")]
pub(crate) struct Demo {
    /// Seconds to run, from 1 to 3600
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = units::parse_demo_seconds)]
    pub(crate) seconds: u32,
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
