//! The rows that one transaction carries into the store.
//!
//! Takes drained records and counts (`decode`, `call_stats`, `function_stats`); gives rows, one type for each kind. Ids
//! of functions and threads are those of this process: the store maps them to its own. The module does not know the
//! store, and it does not bound the size of a batch: the collector, which fills batches, does.

pub(crate) mod call_stats;
pub(crate) mod failures;
pub(crate) mod function_stats;
pub(crate) mod decode;
mod health_row;
mod metrics;

use std::collections::HashMap;
use std::sync::Arc;

pub use call_stats::CallStats;
pub(crate) use call_stats::RowLost;
pub use failures::Cause;
pub use metrics::{MetricKind, MetricRow, MetricStats, MetricWindowRow};

use crate::histogram::Histogram;
use crate::record::{Kept, Outcome};
pub use crate::record::{LogLevel, LogTarget};
pub(crate) use health_row::HealthValue;
pub use health_row::{HEALTH_COLUMNS, HealthColumn, HealthRow, HealthUnit};

/// The rows of one transaction. Writing a batch twice leaves the store as writing it once does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Number of this batch within the process, from 1, without gaps. The store does not apply a number twice.
    pub sequence: u64,
    /// Time at which the batch was closed, ns since the Unix epoch.
    pub at_ns: i64,
    /// True if more batches of this kind follow soon. The store then extends its range of call ids in advance, so that
    /// these batches need not write the range.
    pub is_one_of_many: bool,
    /// Functions that were not stored before.
    pub functions: Vec<FunctionRow>,
    /// Threads that were not stored before.
    pub threads: Vec<ThreadRow>,
    /// Pairs of a calling function and a called one that were not stored before: [`FunctionRow::id`] of both.
    pub edges: Vec<(u32, u32)>,
    /// Calls, those of each thread in the order in which they were recorded.
    pub calls: Vec<CallRow>,
    /// Log lines, those of each thread in the order in which they were emitted.
    pub logs: Vec<LogRow>,
    /// Windows of 10 s that changed. A row holds the whole window and replaces the stored one, except a row of
    /// [`Update::Add`], which is added to it.
    pub windows: Vec<WindowRow>,
    /// Slices of half an hour that changed. A row replaces the stored one or is added to it, as for windows.
    pub slices: Vec<SliceRow>,
    /// Totals since the process began, of functions whose statistics changed. A row replaces the stored one or is added
    /// to it, as for windows.
    pub totals: Vec<TotalRow>,
    /// Sampling rates that changed. A later row replaces an earlier one.
    pub rates: Vec<RateRow>,
    /// Failures that got no row for want of room, counted by fingerprint since the process began.
    pub folded: Vec<FoldedRow>,
    /// Events of the recorder itself.
    pub events: Vec<EventRow>,
    /// Alerts that began, changed or ended.
    pub alerts: Vec<AlertRow>,
    /// The latest self-report, if there is a new one.
    pub health: Option<HealthRow>,
    /// The latest sample of the process's use of the machine, if there is a new one.
    pub resources: Option<ResourcesRow>,
    /// Guards of the program whose state or figures changed. A row replaces the stored one.
    pub guards: Vec<GuardRow>,
    /// Changes of the program's metrics, each within a window of 10 s. A row is added to the stored one.
    pub metrics: Vec<MetricWindowRow>,
}

/// A run of a program, written when the store is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessRow {
    /// Unique id of the run, as 32 hexadecimal digits.
    pub run_uuid: String,
    /// Service name.
    pub service: String,
    /// Version of the recorder.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Start, ns since the Unix epoch.
    pub started_ns: i64,
    /// Program that the process runs.
    pub program: Program,
}

/// A program, described so that two builds can be distinguished. A text is `None` if it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Path of the executable.
    pub executable: Option<String>,
    /// Version that the program gives itself.
    pub version: Option<String>,
    /// Id of the build.
    pub build: Option<String>,
}

/// A monitored function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionRow {
    /// Id within this process, from 1.
    pub id: u32,
    /// Name that users see.
    pub name: String,
    /// Source file.
    pub file: String,
    /// Line in the source file.
    pub line: u32,
    /// Label given by the option `group`.
    pub group: Option<String>,
    /// Sampling rate in force.
    pub sample_rate: f64,
}

/// A thread of the program. Threads that use the same ring one after the other have a row each.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadRow {
    /// Id within this process, from 1.
    pub id: u32,
    /// Name of the thread, or `thread-<id>` if it has none.
    pub name: String,
    /// High bits that all span ids of the thread share: `span_id = prefix << 32 | counter`.
    pub prefix: u32,
}

/// A recorded call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// [`ThreadRow::id`].
    pub thread: u32,
    /// Start, ns since the Unix epoch.
    pub start_ns: i64,
    /// Time from entry to exit.
    pub duration_ns: u64,
    /// Time during which an async call was polled. For other calls it equals the duration.
    pub busy_ns: u64,
    /// Id of the call, positive as `i64`.
    pub span_id: u64,
    /// Id of the calling call, 0 for a root.
    pub parent_id: u64,
    /// Id of the root call.
    pub trace_id: u64,
    /// Outcome of the call.
    pub outcome: Outcome,
    /// Reason for which the call has a row.
    pub kept: Kept,
    /// Number of calls that the row stands for: 1 / probability of having a row.
    pub weight: f64,
    /// Arguments as a JSON object.
    pub args: Option<String>,
    /// Returned value as JSON.
    pub result: Option<String>,
    /// Error or panic as plain text.
    pub error: Option<String>,
    /// Name of the error's type, if it is known and informative.
    pub error_type: Option<String>,
    /// Extra fields as a JSON object.
    pub fields: Option<String>,
    /// The calls that share the row, if there are several. Its duration and busy time are then means over these calls.
    pub shared: Option<SharedRow>,
    /// The callee whose failure a failed call passed on; `None` if the failure began in the call.
    pub cause: Option<Box<Cause>>,
    /// True if a tree begins with the call: it has no caller, or one that is a loop such as `main`.
    pub is_tree: bool,
}

/// Calls of one function that share a row, because one caller made so many of them. All of them ended `ok`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedRow {
    /// Number of the calls that were recorded.
    pub calls: u64,
    /// Sum of the calls' durations.
    pub total_ns: u64,
    /// Longest duration.
    pub max_ns: u64,
    /// End of the last of the calls, ns since the Unix epoch.
    pub last_ns: i64,
}

impl CallRow {
    /// Returns the bytes of the call's captured values.
    pub(crate) fn value_bytes(&self) -> usize {
        let values = [&self.args, &self.result, &self.error, &self.fields];
        values.into_iter().flatten().map(String::len).sum()
    }

    /// Returns the number of recorded calls that the row holds.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.map_or(1, |shared| shared.calls)
    }
}

/// A log line, or lines of one place that share a row.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Time at which the line was emitted, ns since the Unix epoch.
    pub at_ns: i64,
    /// Level of the line.
    pub level: LogLevel,
    /// Place in the source that emitted the line.
    pub target: Arc<LogTarget>,
    /// [`CallRow::span_id`] of the call that emitted the line; 0 outside of calls.
    pub span_id: u64,
    /// [`CallRow::trace_id`] of the call that emitted the line.
    pub trace_id: u64,
    /// [`FunctionRow::id`] of the function of that call, if the call began on the thread that emitted the line.
    pub function: Option<u32>,
    /// Text of the line; `None` if the row stands only for lines without a row of their own.
    pub body: Option<String>,
    /// Fields as a JSON object.
    pub fields: Option<String>,
    /// Number of lines that the row stands for: itself, and earlier lines of its place that came too fast for a row
    /// each.
    pub lines: u64,
    /// Number of calls of the batch that were recorded before the line, on any thread.
    pub calls_before: usize,
}

impl Default for LogRow {
    fn default() -> Self {
        Self {
            at_ns: 0,
            level: LogLevel::Warn,
            target: Arc::default(),
            span_id: 0,
            trace_id: 0,
            function: None,
            body: None,
            fields: None,
            lines: 1,
            calls_before: 0,
        }
    }
}

impl LogRow {
    /// Returns the bytes of the line's texts.
    pub(crate) fn text_bytes(&self) -> usize {
        [&self.body, &self.fields].into_iter().flatten().map(String::len).sum()
    }
}

/// Says what the store does with the statistics of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Update {
    /// The row holds the whole period, and replaces the stored row.
    #[default]
    Replace,
    /// The row holds only what came after the stored row, and is added to it.
    Add,
}

/// Call statistics of a function in a window of 10 s, with its histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Start of the window, ns since the Unix epoch, a multiple of 10 s.
    pub start_ns: i64,
    /// Says whether statistics and buckets replace the stored ones or are added to them.
    pub update: Update,
    /// Call statistics.
    pub stats: CallStats,
    /// Buckets that are not empty, as in [`SliceRow`].
    pub buckets: Vec<(i32, u64)>,
}

/// Call statistics of a function in a slice of half an hour, with its histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Start of the slice, ns since the Unix epoch, a multiple of 30 min.
    pub start_ns: i64,
    /// Says whether statistics and buckets replace the stored ones or are added to them.
    pub update: Update,
    /// Call statistics.
    pub stats: CallStats,
    /// Buckets that are not empty, each as index and count. Bucket `i` counts durations in
    /// `(2^(i/8), 2^((i+1)/8)]` ns, as in OpenTelemetry's exponential histogram of scale 3.
    pub buckets: Vec<(i32, u64)>,
}

/// Call statistics of a function since its process began, with their histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct TotalRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Says whether the row holds everything since the process began, or only what a recovery adds.
    pub update: Update,
    /// Call statistics.
    pub stats: CallStats,
    /// The durations of the calls that were timed.
    pub histogram: Histogram,
}

/// Sampling of a function, and its cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Time of the measurement, ns since the Unix epoch.
    pub at_ns: i64,
    /// Requested rate: set in the attribute, in the settings or live.
    pub asked: f64,
    /// Rate in force, at most the requested one.
    pub rate: f64,
    /// `recorded`, `timed` or `counted`.
    pub fidelity: &'static str,
    /// Calls a second.
    pub calls_per_s: f64,
    /// Rows a second.
    pub rows_per_s: f64,
    /// Cost of recording a call, ns: on the caller's thread and in the collector.
    pub ns_per_call: f64,
    /// Cost of recording the function as it is recorded now, in percent of one core.
    pub cpu_pct: f64,
    /// Cost that is saved because the function, or the trees that begin with it, are recorded less than requested, in
    /// percent of one core.
    pub saved_pct: f64,
    /// Cost that all functions together may have, in percent of one core; `None` without a bound.
    pub budget_pct: Option<f64>,
    /// Reason for this rate and fidelity.
    pub why: String,
}

/// Failures of one kind that got no rows.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Outcome of the calls.
    pub outcome: Outcome,
    /// Text of the kind: the message of all its failures without the parts that vary, see `store::fingerprint::kind`.
    pub message: String,
    /// Name of the error's type, or nothing if it is not known.
    pub error_type: String,
    /// Fingerprint of function, outcome and message.
    pub fingerprint: i64,
    /// Number of failures since the process began.
    pub count: u64,
    /// Time of the first failure, ns since the Unix epoch.
    pub first_ns: i64,
    /// Time of the last failure, ns since the Unix epoch.
    pub last_ns: i64,
}

/// An event of the recorder itself.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Time of the event, ns since the Unix epoch.
    pub at_ns: i64,
    /// Kind of event, one of those that the store's documentation lists.
    pub kind: &'static str,
    /// Description of the event in a sentence.
    pub detail: String,
}

/// An alert as it is now. A later row of the same rule, function and beginning replaces an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Name of the rule.
    pub rule: String,
    /// [`FunctionRow::id`]; `None` for an alert on the recorder, or on many functions.
    pub function: Option<u32>,
    /// `info`, `warning` or `critical`.
    pub level: &'static str,
    /// `firing`, `recovering` or `resolved`.
    pub state: &'static str,
    /// Time at which the alert began to fire, ns since the Unix epoch.
    pub since_ns: i64,
    /// Time at which the alert was resolved.
    pub until_ns: Option<i64>,
    /// Last value of the measure.
    pub value: f64,
    /// Most extreme value of the measure since the alert began.
    pub peak: f64,
    /// The alert in a sentence.
    pub sentence: String,
}

/// A sample of the process's use of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourcesRow {
    /// Time of the sample, ns since the Unix epoch.
    pub at_ns: i64,
    /// CPU time used since the last sample, in percent of one core.
    pub cpu_pct: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Number of threads.
    pub threads: u32,
    /// Number of open file descriptors.
    pub open_files: u32,
}

/// A guard around a part of the program, and its figures since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardRow {
    /// Name of the guard.
    pub name: String,
    /// State of its breaker: `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Time for which the state has lasted, in ns.
    pub lasted_ns: u64,
    /// Service level of the part.
    pub level: &'static str,
    /// Number of calls that were let through.
    pub calls: u64,
    /// Number of the calls let through that failed.
    pub failures: u64,
    /// Number of calls that were not let through.
    pub rejected: u64,
    /// Number of answers by a fixed value.
    pub fallbacks_value: u64,
    /// Number of answers by an earlier value.
    pub fallbacks_cached: u64,
    /// Number of answers by another function.
    pub fallbacks_function: u64,
    /// Number of tries of the half-open state.
    pub probes: u64,
    /// Number of times the breaker opened.
    pub openings: u64,
    /// Number of attempts after the first one of a call.
    pub retries: u64,
    /// Number of calls whose first attempt failed and a later one succeeded.
    pub retried_ok: u64,
    /// Reason for which a person holds the breaker.
    pub held: Option<String>,
    /// Reason of the last failure.
    pub last_failure: Option<String>,
}

impl GuardRow {
    /// Returns true if the row differs from the last one in anything but `lasted_ns`.
    pub(crate) fn differs_from(&self, last: &Self) -> bool {
        Self { lasted_ns: last.lasted_ns, ..self.clone() } != *last
    }
}

/// The way in which a process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// The program returned from `main`, or called `process::exit`.
    #[default]
    Exit,
    /// The process died: it was killed, aborted or ended by its own panic.
    Crash,
}

impl Ending {
    /// Returns the name in the column `processes.ending`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Crash => "crash",
        }
    }
}

impl ResourcesRow {
    /// Returns true if anything in the row differs from the last row by as much as a person would notice: a thread, a
    /// file, a sixteenth of the memory, or a percent of a core.
    pub(crate) fn differs_from(&self, last: &Self) -> bool {
        (self.threads, self.open_files) != (last.threads, last.open_files)
            || self.rss_bytes.abs_diff(last.rss_bytes) > last.rss_bytes / 16
            || (self.cpu_pct - last.cpu_pct).abs() > 1.0
    }
}

/// A call that is in flight, or was when its process died.
#[derive(Debug, Clone, PartialEq)]
pub struct InFlightRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Name of the thread whose stack the call is on; `None` for a suspended async call.
    pub thread: Option<String>,
    /// Number of the thread whose stack the call is on, within its process.
    pub thread_id: Option<u32>,
    /// Number of monitored calls in flight around the call, on the same stack or in the same task.
    pub depth: u32,
    /// Start, ns since the Unix epoch.
    pub start_ns: i64,
    /// End of the last poll of a suspended async call, ns since the Unix epoch.
    pub waiting_since_ns: Option<i64>,
    /// Span id of the call.
    pub span_id: u64,
    /// Span id of the call around this call; `None` for a root.
    pub parent_id: Option<u64>,
    /// Captured arguments, a JSON object; `None` if none were captured or none survived.
    pub args: Option<String>,
}

/// The progress of the recovery of a process, as the store has it.
#[derive(Debug, Default)]
pub struct RecoveryProgress {
    /// Number of the last batch that the process itself wrote.
    pub batch: u64,
    /// True if an earlier recovery has begun.
    pub begun: bool,
    /// Position up to which an earlier recovery has written each ring, by the ring's number.
    pub rings: HashMap<u32, u64>,
}
