//! The arguments of the commands that read: a store, or the ring files of running processes.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::pattern::Pattern;
use crate::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor top --sort p99               the slowest functions first
  monitor top '*::orders::*' --watch   one module, refreshed every second
  monitor top --since 15m --sort errors

CALLS and FAILED are exact at any sampling rate. Durations are marked ~ if some calls of the function were \
counted but not timed. Percentiles come from histograms and are at most 4.5 % off. Without --since the figures \
cover the retention of the store, 6 hours by default; with it they are summed from whole windows of 10 s. The \
heading says the span that is shown.

While a program runs, the figures follow its calls within 15 s, and when the calls stop or the program ends. Rows of \
calls are visible within two seconds: `monitor tail` and `monitor calls` show them.")]
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
    /// Only entry points: functions with a recorded call from outside of monitored functions, with --since one within
    /// that time; a function whose calls from outside were all sampled out or only counted is left out
    #[arg(long)]
    pub(crate) roots: bool,
    /// Refresh every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Open `monitor tui` on these functions
    #[arg(long, conflicts_with_all = ["watch", "roots", "limit"])]
    pub(crate) live: bool,
    /// At most this many functions [default: all]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

/// The figure that `top` sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopKey {
    /// Time spent in all calls that were not cancelled; of recursive calls only the outermost counts
    Total,
    /// Time spent in all calls outside of the monitored calls that they made and, of async calls, without the time that they
    /// waited
    #[value(name = "self")]
    SelfTime,
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
  monitor calls '*::orders::*' --failed --limit 100
  monitor calls --sort duration --since 1h --format jsonl

WEIGHT is the number of calls that a row stands for: more than 1 if the call was sampled. The column CALL \
is an id for `monitor trace`.")]
pub(crate) struct Calls {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only calls that ended in an error, a panic or a cancellation; with --slow also slow calls
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only calls kept because they were slow; with --failed also failed calls. Failed calls that took long: --failed --min 10ms
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
  monitor errors '*::payments::*' --since 15m
  monitor errors --all                 failures that were passed on as well

A call that fails because a call it made failed passes the failure on: it is told at its origin, and --all shows the \
kinds that were passed on. REQUESTS is the number of roots (calls without a caller) that failed because of the kind, \
TREND its failures over the span. Behind the message stands the way of the latest one from the outermost call that \
failed to the origin.

Counts are exact: a failure is counted even if it has no row of its own. Numbers in a message are shown as \
#, so that messages that differ only in numbers are one kind. EXAMPLE is a call id for `monitor trace`. \
--since counts the failures within that time; ~ marks a count that is a lower bound, because some failures came too \
fast for rows of their own.")]
pub(crate) struct Errors {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// At most this many kinds [default: 50 in a table, all in data]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
    /// Also kinds of which no failure began there: they were passed on by callers
    #[arg(long)]
    pub(crate) all: bool,
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
  monitor tail '*::orders::*' --failed  the failed calls of a module
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
    /// Begin with the last N calls already recorded, with --since of that time [default: 0, all of that time with --since]
    #[arg(short = 'n', long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) last: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor logs                         the latest 50 lines of warnings and errors, and others that were stored
  monitor logs '*::payments::*' --level error --since 1h
  monitor logs --follow                new lines as they come
  monitor logs --follow --limit 20     the latest 20 first

Lines come from programs that use the crates monitored-log or monitored-tracing. The column CALL is an id for `monitor \
trace`, which shows the lines of a trace within it. `+ 1 200 more` counts lines of the same place that came faster than \
a hundred a second and share the row. With --follow and --format json each line is an object, as with jsonl.")]
pub(crate) struct Logs {
    /// Only lines that functions with this name said, or whose name ends with these segments, or that name such a target; with
    /// `*`, which stands for any text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only lines of this level and more severe ones
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    pub(crate) level: LogLevelName,
    /// Print new lines as they come, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// At most this many lines, the newest; with --follow so many older lines come first [default: 50, none with --follow]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

impl Logs {
    /// Returns the most lines that are shown.
    pub(crate) fn limit(&self) -> usize {
        self.limit.map_or(50, |limit| limit as usize)
    }
}

/// The level of `logs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevelName {
    /// Errors alone
    Error,
    /// Warnings and errors
    Warn,
    /// These and information
    Info,
    /// These and details
    Debug,
    /// All lines
    #[default]
    Trace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor health
  monitor health --format json | jq '.[] | {pid, level, dropped_ring_full}'
  monitor health --exit-code           for a probe: 0 ok, 1 degraded, 2 failing

A line per figure and process. `dropped` counts lost calls by reason, `folded` failures that were counted \
but got no row, `log` is the write-ahead log beside the store, and `own cost` is what recording costs, \
in percent of one core: on the threads that make the calls and on the recorder's own.

With --exit-code there is a line per part instead: the store, the rings, the breaker, the recorder, the alerts, and \
each process that has not ended. The worst of them decides the exit code, which Kubernetes' exec probes and Nagios \
understand. A store that cannot be named, found, opened or read in time is failing.")]
pub(crate) struct Health {
    /// Show how each part does, and end with 0 if all are ok, 1 if one is degraded, 2 if one is failing
    #[arg(long, conflicts_with = "limit")]
    pub(crate) exit_code: bool,
    /// At most this many runs [default: 10 in a table, running ones first; all in data]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor live
  monitor live '*::orders::*' --min 5s
  monitor live --format jsonl | jq 'select(.state | startswith(\"stuck\"))'

The calls are read from the ring files of running processes, which costs the processes nothing. Each is indented \
below the call around it, on its thread or in its task. A call is `stuck` if it has taken longer than the `slow` \
limit of its function; without one, if it has taken over 10 s and 20 times the 99th percentile of its function, \
which `~` marks. Calls that are only counted are not shown.")]
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
  monitor sql --db a.db --db b.db 'SELECT store, count(*) FROM calls GROUP BY store'

The store is opened read-only. Columns in _ns hold whole nanoseconds, points in time are counted from the Unix \
epoch, UTC. There are views such as calls, errors, functions, latency and logs: `SELECT DISTINCT object FROM schema_doc` \
lists all. Over several stores, at most 11, each view has the rows of all and a column \
`store`; ids are unique within a store only, so a join needs `USING (store)` as well.")]
pub(crate) struct Sql {
    /// One statement that reads, or `-` to read it from standard input
    #[arg(value_name = "STATEMENT")]
    pub(crate) statement: String,
    /// Stop after computing for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_time_limit, default_value = "30s")]
    pub(crate) timeout: Duration,
}
