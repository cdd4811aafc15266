//! The arguments of the commands that answer a question about a span of time.

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::model::compare::SideName;
use crate::model::findings;
use crate::model::period::Period;
use crate::moment::{self, Moment};
use crate::pattern::Pattern;
use crate::units;

use super::Common;

/// The end of the span, beside `--since` of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SpanOptions {
    /// Only what happened until this moment, which lies after that of --since: a time before now such as 5m, or a time in
    /// UTC such as 14:05 or 2026-11-29T14:05
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    pub(crate) until: Option<Moment>,
    /// Only the two minutes around this moment, written like that of --until
    #[arg(long, value_name = "WHEN", value_parser = moment::parse, conflicts_with_all = ["until", "since"])]
    pub(crate) at: Option<Moment>,
}

impl SpanOptions {
    /// Returns the span that the options select.
    pub(crate) fn period(&self, common: &Common) -> Period {
        Period::select(common.since, self.until, self.at)
    }
}

/// The number of rows that an answer rests on.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct RowsOption {
    /// Read at most this many rows of calls, the newest first: more rows tell more and take longer
    #[arg(long, value_name = "N", value_parser = units::parse_rows)]
    rows: Option<u32>,
}

impl RowsOption {
    /// Returns the number of rows that the option names, or this one.
    pub(crate) fn or(self, rows: usize) -> usize {
        self.rows.map_or(rows, |rows| rows as usize)
    }
}

/// The options of `monitor callers` and `monitor callees`.
#[derive(Debug, Args)]
pub(crate) struct EdgeOptions {
    /// The function that is asked about: its name, or the last segments of it; with `*`, which stands for any text, the
    /// whole name is compared
    #[arg(value_name = "FUNCTION")]
    pub(crate) pattern: Pattern,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    #[command(flatten)]
    pub(crate) rows: RowsOption,
    /// At most this many lines [default: all]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor callers Session::lines
  monitor callers '*::db::*' --since 15m
  monitor callers charge --at 14:05 --format json

A line is one function that calls it. PER PARENT is the mean number of calls below one call of the caller, MOST \
the highest number. TIME is the time in the callee's calls, SHARE the caller's part of it. N+1 marks a caller that calls it \
again and again, one call after the other, where one call for all would do. `(root)` stands for calls without a caller, \
`(not recorded)` for callers without a row.

The figures come from the newest rows of calls, at most 40 000 of them unless --rows names another number, or from those around \
the newest call of the function if it has none among them; the heading says how many. A figure marked ~ rests on a sample.")]
pub(crate) struct Callers {
    #[command(flatten)]
    pub(crate) edges: EdgeOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor callees create_order
  monitor callees '*::api::*' --since 15m
  monitor callees list_orders --until 14:05 --format csv

A line is one function that it calls. PER PARENT is the mean number of calls below one call of the caller, MOST the \
highest number. TIME is the time in these calls, SHARE the part of the caller's time in which at least one of them was \
under way; the rest is its own. N+1 marks a function that is called again and again, one call after the other, where one \
call for all would do.

The figures come from the newest rows of calls, at most 40 000 of them unless --rows names another number, or from those around \
the newest call of the function if it has none among them; the heading says how many. A figure marked ~ rests on a sample.")]
pub(crate) struct Callees {
    #[command(flatten)]
    pub(crate) edges: EdgeOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor processes
  monitor processes --since 1h
  monitor processes --format json | jq '.[] | select(.state == \"crash\")'

A line is one run of a program, the one seen last first. A run is `running`, `stale` (its end is not known, and it has not \
been seen for ten minutes, or is gone from this host), `exit` or `crash`. CALLS/S is the rate over the last minute of its life, FAILED the share of failed calls over \
the span, LOST the rows that its recorder had no room for (their calls are counted). BUILD is the id of the build, \
VERSION what the program calls itself.")]
pub(crate) struct Processes {
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// At most this many runs [default: 20 in a table, all in data]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor resources
  monitor resources --process 3 --since 2h
  monitor sql 'SELECT * FROM resources' --format csv     every sample

OVER TIME shows the figure from the first to the last sample, each bar the mean of a part of the time. GROWTH says \
`growing`, with the amount an hour, if a figure rises steadily after the first fifth of the time and still rises in the \
second half: memory by at least 5 % and 1 MiB, threads and descriptors by at least 5 % and 2 and 4. With less than about \
two and a half minutes of samples it says `too few samples`.")]
pub(crate) struct Resources {
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// Only the process of this run, as `monitor processes` shows it
    #[arg(long, value_name = "RUN", value_parser = units::parse_run)]
    pub(crate) process: Option<u32>,
    /// At most this many runs [default: 5 in a table, all in other formats]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor why Session::stock
  monitor why create_order --since 15m
  monitor why authorize --failed --at 14:05
  monitor why Session::stock --format json

The page compares the slow calls of the function with its other calls, and the failed ones with those that succeeded: \
each key of their arguments and fields, thread, process, caller and hour. A value is told if it is more frequent among \
them by at least 10 %, and if chance would bring about such a difference in fewer than 1 of 1000 searches (chi-squared \
test, adjusted for the number of values by Benjamini and Hochberg). `like \"L-#\"` stands for texts that differ only in \
their digits. Slow calls are those beyond a gap in the durations, otherwise the slowest hundredth, or the slowest 20.

At most 4000 rows of the function are compared, the newest first, and 40 000 rows are read around them. --rows names another \
number in place of 40 000, of which a tenth is compared. Sampled rows count with their weight. With fewer than 20 rows on a \
side the page says `cannot tell`.")]
pub(crate) struct Why {
    /// The function: its name, or the last segments of it
    #[arg(value_name = "FUNCTION")]
    pub(crate) pattern: Pattern,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    #[command(flatten)]
    pub(crate) rows: RowsOption,
    /// Only the slow calls
    #[arg(long, conflicts_with = "failed")]
    pub(crate) slow: bool,
    /// Only the failed calls
    #[arg(long)]
    pub(crate) failed: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor diff                                      the last 10 minutes against the hour before
  monitor diff --since 30m                          the last 30 minutes against the hour before
  monitor diff '*::api::*' --before 3h..1h --after 1h..
  monitor diff --after 14:00..14:30                 half an hour against the half hour before it
  monitor diff --before build:1a2b --after build:77c0
  monitor diff --before main.db --after pr.db --fail-on slower --format markdown

A side is a span (1h..30m, 14:00..14:30), the runs of a build (build:) or of a version (version:), one run (process:3), or \
a store. --since narrows sides that are no spans; a span has its own start. CHANGE is the ratio of the typical durations, with its 95 % interval; TAIL is the ratio of the shares of calls \
above the 95th percentile of the side before. A function is `slower` if its typical duration, its tail or its far tail \
changed by an amount that matters (10 %, 1.3 times, 1.5 times), and if chance would hardly bring that about.

The unit is the window of 10 s, because calls of one process resemble each other: five minutes on the second side find a \
function that takes 1.5 times as long, half an hour finds 1.25 times. Under a load that wanders the interval is too \
narrow: in simulations it held the true ratio in three of four cases. A side with fewer than 30 calls or 5 windows is \
`too few`.")]
pub(crate) struct Diff {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// First side [default: the time of equal length before the span of --after; otherwise the hour before the last 10 minutes,
    /// or before the time of --since]
    #[arg(long, value_name = "SIDE")]
    pub(crate) before: Option<SideName>,
    /// Second side [default: from the end of the span of --before until now; otherwise the last 10 minutes, or the time of
    /// --since]
    #[arg(long, value_name = "SIDE")]
    pub(crate) after: Option<SideName>,
    /// Least change of the typical duration that matters, such as 10%
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_change)]
    pub(crate) min_change: f64,
    /// End with exit code 1 if a function has this verdict; may be repeated
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub(crate) fail_on: Vec<FailOn>,
    /// Also functions that are the same or have too few calls
    #[arg(long)]
    pub(crate) all: bool,
}

/// A verdict that is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// A function got slower
    Slower,
    /// A function fails more often
    FailsMore,
    /// A function got faster
    Faster,
}

/// Parses `10%` or `0.1`.
fn parse_change(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.trim().parse::<f64>() {
        Ok(change) if (0.0..=100.0).contains(&(change / scale)) => Ok(change / scale),
        _ => Err("a change is a percentage from 0% to 10000% such as 10%, or a share such as 0.1".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor findings
  monitor findings --since 1h --fail-on warning
  monitor findings --ignore n_plus_one --ignore 'hot shop::orders::*'
  monitor findings --format json | jq -r '.[].sentence'

The file that MONITOR_CONFIG names leaves out kinds for good, as --ignore does once:
  [findings]
  ignore = [\"n_plus_one\", \"hot shop::orders::*\"]

A finding is a sentence with what could be saved, on how much it rests, a statement that shows the rows behind it, and \
the command that leads on. The most important 7 are shown: broken things first, then by the time that they cost.

With --since, --until or --at a finding is about that span. slower, faster and fails_more compare its last ten minutes with \
the hour before them. The store has only the present state of recorders and receivers, and their losses since the start of \
each process: where the span does not hold these, `cannot tell` says so.

Kinds: n_plus_one, repeated_same, serial_fanout, blocks_executor, slower, slower_with_load, faster, fails_more, \
bursts_of_failures, new_failure, hot, cancelled_often, leaks_secret, died, stuck, growing, lost_rows, folded, held, \
breaker_open, degraded, costly, exporter_behind, nearly_full. What could not be looked for is told as `cannot tell`: no \
finding does not mean that all is well.

What belongs to single calls, such as n_plus_one, is looked for in the newest 40 000 rows of calls unless --rows names another \
number.

Exit codes: 0 done, 1 failed, or a finding of the level of --fail-on, 2 wrong usage.")]
pub(crate) struct Findings {
    /// Only about functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    #[command(flatten)]
    pub(crate) rows: RowsOption,
    /// All findings, not only the most important 7
    #[arg(long)]
    pub(crate) all: bool,
    /// End with exit code 1 if there is a finding of this level or a higher one
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) fail_on: Option<LevelName>,
    /// Leave out a kind of finding, or a kind for the functions of a pattern; may be repeated
    #[arg(long, value_name = "KIND [PATTERN]", value_parser = parse_ignored)]
    pub(crate) ignore: Vec<Ignored>,
}

/// The name of a level of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelName {
    /// Any finding
    Info,
    /// Something is wrong, or dear
    Warning,
    /// Something is broken
    Critical,
}

/// A kind of finding that is left out, for all functions or for those of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Ignored {
    pub(crate) kind: String,
    pub(crate) pattern: Option<Pattern>,
}

impl TryFrom<String> for Ignored {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_ignored(&text).map_err(|error| format!("`[findings] ignore` has `{text}`: {error}"))
    }
}

/// Parses `n_plus_one`, or `n_plus_one shop::*`.
fn parse_ignored(text: &str) -> Result<Ignored, String> {
    let (kind, pattern) = match text.trim().split_once(char::is_whitespace) {
        Some((kind, pattern)) => (kind, Some(pattern.trim().parse().map_err(|error| format!("{error}"))?)),
        None => (text.trim(), None),
    };
    if !findings::KINDS.contains(&kind) {
        return Err(format!("a kind is one of {}", findings::KINDS.join(", ")));
    }
    Ok(Ignored { kind: kind.to_owned(), pattern })
}
