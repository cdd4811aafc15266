//! The arguments of the commands that hand trees, views and stores to other tools, and of the flame graph.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::answers::{RowsOption, SpanOptions};
use crate::pattern::Pattern;
use crate::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor export folded > shop.folded                          for inferno and flamegraph.pl
  monitor export speedscope --since 15m -o shop.speedscope.json  open it at https://www.speedscope.app
  monitor export perfetto '*::api::*' --at 14:05 -o shop.json    open it at https://ui.perfetto.dev
  monitor export csv calls --where \"outcome = 'error'\" > failed.csv
  monitor export jsonl functions | jq .function
  monitor export parquet latency -o latency.parquet             columns with types, for DuckDB, Polars and pandas
  monitor export parquet calls --by hour -o archive             a file for each hour: archive/date=2026-11-30/hour=03/calls.parquet
  monitor export prometheus > shop.prom                         metrics, for a textfile collector or a scrape
  monitor export perfetto --trace 1042 -o call.json              the tree of one call
  monitor export report --since 1h -o report.html                one page to keep or to send, without values
  monitor export sqlite copy.db

Pictures are made from the newest rows of the span, at most 300 000 of them unless --rows names another number, as whole \
trees; a note says how many were left out. The pages of speedscope and Perfetto read the file in the browser and send it nowhere. A file that exists is \
replaced only with --force.")]
pub(crate) struct Export {
    #[command(subcommand)]
    pub(crate) what: ExportKind,
}

/// The form of an export.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportKind {
    /// Writes a line per stack: functions separated by `;`, a blank, and the weight
    #[command(after_help = "\
Examples:
  monitor export folded > shop.folded
  monitor export folded create_order --by calls --since 15m | inferno-flamegraph > shop.svg")]
    Folded(FoldedExport),
    /// Writes a profile for speedscope, with self time, calls and failures
    #[command(after_help = "\
Examples:
  monitor export speedscope --since 15m -o shop.speedscope.json
  monitor export speedscope --trace 1042 -o call.speedscope.json")]
    Speedscope(TreeExport),
    /// Writes a timeline for Perfetto: each call on a lane of its own thread, or of concurrent calls
    #[command(after_help = "\
Examples:
  monitor export perfetto '*::api::*' --at 14:05 -o shop.json
  monitor export perfetto --trace 1042 -o call.json")]
    Perfetto(TreeExport),
    /// Writes the rows of a view as comma-separated values
    #[command(after_help = "\
Examples:
  monitor export csv calls --where \"outcome = 'error'\" --since 1h > failed.csv
  monitor export csv functions -o functions.csv --force")]
    Csv(ViewExport),
    /// Writes the rows of a view as JSON, an object a line
    #[command(after_help = "\
Examples:
  monitor export jsonl functions | jq .function
  monitor export jsonl logs --since 15m -o logs.jsonl")]
    Jsonl(ViewExport),
    /// Writes the rows of a view as Parquet, with the types of its columns, if built with the feature `parquet`
    Parquet(ParquetExport),
    /// Writes metrics for Prometheus: counters since each process began, histograms, and the state of the recorders
    Prometheus(PrometheusExport),
    /// Writes one page with the main pictures: findings, functions, a flame graph, failures, programs, resources
    #[command(after_help = "\
Examples:
  monitor export report --since 1h -o report.html
  monitor export report --values -o report.html --force")]
    Report(ReportExport),
    /// Writes a copy of the whole store into one file that any SQLite tool opens
    #[command(after_help = "\
Examples:
  monitor export sqlite copy.db
  monitor export sqlite copy.db --db shop.db --force

The copy holds the whole store: --since does not apply.")]
    Sqlite(StoreExport),
}

/// The file that an export goes to.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOptions {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

/// The trees that are exported.
#[derive(Debug, Clone, Args)]
pub(crate) struct TreeOptions {
    /// Start the trees at the outermost calls of functions with this name, or whose name ends with these segments; with
    /// `*`, which stands for any text, the whole name is compared [default: entry points]
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    #[command(flatten)]
    pub(crate) rows: RowsOption,
    /// Only the tree of this call: a call id, span id or trace id, as for `monitor trace`
    #[arg(long, value_name = "ID", value_parser = units::parse_id, conflicts_with_all = ["until", "at", "since"])]
    pub(crate) trace: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct TreeExport {
    #[command(flatten)]
    pub(crate) trees: TreeOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FoldedExport {
    #[command(flatten)]
    pub(crate) trees: TreeOptions,
    /// Weight of a stack
    #[arg(long, value_enum, default_value_t)]
    pub(crate) by: WeightName,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// The name of a weight of stacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightName {
    /// Time in the function itself, in ns
    #[default]
    #[value(name = "self")]
    SelfTime,
    /// Number of calls
    Calls,
    /// Number of failed calls
    Failures,
}

#[derive(Debug, Args)]
pub(crate) struct ViewExport {
    /// View or table, such as calls, errors, functions or latency; `monitor sql 'SELECT * FROM schema_doc'` lists them
    #[arg(value_name = "VIEW")]
    pub(crate) view: String,
    /// Only the rows for which this SQL expression is true
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor export parquet latency -o latency.parquet
  monitor export parquet calls --by hour -o archive              archive/date=2026-11-30/hour=03/calls.parquet and so on
  monitor export parquet calls --by hour --since 2h -o archive --force   replaces the files of the last hours
  duckdb -c \"SELECT date, hour, count(*) FROM read_parquet('archive/**/calls.parquet', hive_partitioning = true) GROUP BY ALL\"

--by divides the rows by the first of these columns that the view has: start_ns, slice_start_ns, at_ns, last_seen_ns, last_ns. \
Days and hours are in UTC, and --since and --until select whole ones, so that a file that is replaced lacks no part of its hour. \
Folders are named as DuckDB, Polars and Spark expect them, so a query that asks for a date or an \
hour opens only the files of that date or hour. Rows without a time are in date=__HIVE_DEFAULT_PARTITION__. If a file cannot be \
written, no file is.")]
pub(crate) struct ParquetExport {
    #[command(flatten)]
    pub(crate) rows: ViewExport,
    /// Write a file for each hour or day, in folders below --output
    #[arg(long, value_enum, value_name = "PART", requires = "output")]
    pub(crate) by: Option<PartName>,
}

/// The name of a part of time that has a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartName {
    /// Files date=2026-11-30/hour=03/VIEW.parquet
    Hour,
    /// Files date=2026-11-30/VIEW.parquet
    Day,
}

#[derive(Debug, Args)]
pub(crate) struct ReportExport {
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// Also texts of errors, which may hold values of the program
    #[arg(long)]
    pub(crate) values: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

impl ReportExport {
    /// Returns the trees of the span.
    pub(crate) fn as_trees(&self) -> TreeOptions {
        TreeOptions { pattern: None, span: self.span.clone(), rows: RowsOption::default(), trace: None }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor export prometheus
  monitor export prometheus --form openmetrics        with a call to look at for each bucket
  monitor export prometheus --bucket-step 2 -o /var/lib/node_exporter/shop.prom --force

Counters are totals since the start of each process, summed over all processes that the store has ever seen: they fall \
neither when rows expire nor when a process ends or dies. At most 500 functions have series, those with the most calls. \
--since does not apply.")]
pub(crate) struct PrometheusExport {
    /// Form of the metrics
    #[arg(long, value_enum, default_value_t)]
    pub(crate) form: MetricsForm,
    /// Doublings from one edge of a histogram to the next
    #[arg(long, value_enum, value_name = "DOUBLINGS", default_value_t)]
    pub(crate) bucket_step: BucketStep,
    /// Add memory, open files and threads of each running process
    #[arg(long)]
    pub(crate) per_process: bool,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

/// The name of a form of metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricsForm {
    /// Prometheus' text, version 0.0.4
    #[default]
    Text,
    /// `OpenMetrics` 1.0, with exemplars
    Openmetrics,
    /// Protocol buffers, with native histograms
    Protobuf,
}

/// The distance of edges, in doublings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BucketStep {
    /// 53 edges from 256 ns to 17 s
    #[default]
    #[value(name = "0.5")]
    Half,
    /// 27 edges
    #[value(name = "1")]
    One,
    /// 14 edges
    #[value(name = "2")]
    Two,
}

#[derive(Debug, Args)]
pub(crate) struct StoreExport {
    /// File to write
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor flame
  monitor flame create_order --since 15m
  monitor flame --open                 as a page in the browser
  monitor flame --html flame.html      as one file, to keep or to send
  monitor flame --format csv           a row per stack

Each line is a level of calls, callers above callees; a box is as wide as the share of the time in a function and \
everything below it. Calls that ran at the same time add up, so the whole is more than the time that went by. Blank room \
below a box is time in the function itself. A callee that outlives its caller counts up to the caller's end. The page holds \
names of functions and figures, but no arguments and results, and loads nothing.

The picture is made from the newest rows of the span, at most 40 000 of them unless --rows names another number, as whole \
trees; the heading says how many were left out. A figure marked ~ rests on a sample.")]
pub(crate) struct Flame {
    #[command(flatten)]
    pub(crate) trees: TreeOptions,
    /// Write the picture as a page to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "html")]
    pub(crate) force: bool,
    /// Show the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
}
