//! What one transaction carries into the store. Rows only; whoever assembles them keeps the bounds.
//!
//! Ids of functions and threads are local to this process; the store maps them to its own.

pub(crate) mod function_stats;
pub(crate) mod decode;
mod health_row;

use std::collections::HashMap;

use crate::record::{Kept, Outcome};
pub(crate) use health_row::HealthValue;
pub use health_row::{HEALTH_COLUMNS, HealthColumn, HealthRow, HealthUnit};

/// One transaction's worth of rows. Writing it twice must leave the store as writing it once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Number of this batch within the process, from 1, without gaps: the store refuses to apply one twice.
    pub sequence: u64,
    /// When the batch was closed, ns since the Unix epoch.
    pub at_ns: i64,
    /// Functions not stored before.
    pub functions: Vec<FunctionRow>,
    /// Threads not stored before.
    pub threads: Vec<ThreadRow>,
    /// Calls, oldest first as far as threads allow.
    pub calls: Vec<CallRow>,
    /// Windows of 10 s whose figures changed; absolute figures, so a later row replaces an earlier one, but
    /// for those of which no more than what came late is known.
    pub windows: Vec<WindowRow>,
    /// Slices of half an hour whose figures changed, with histogram; absolute as well.
    pub slices: Vec<SliceRow>,
    /// How functions are sampled, where that changed; a later row replaces an earlier one.
    pub rates: Vec<RateRow>,
    /// Failures folded by fingerprint for want of room; absolute counts as well.
    pub folded: Vec<FoldedRow>,
    /// What the recorder itself went through.
    pub events: Vec<EventRow>,
    /// The latest self-report, where there is a new one.
    pub health: Option<HealthRow>,
    /// The process's own use of the machine, where there is a new sample.
    pub resources: Option<ResourcesRow>,
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
}

/// A monitored function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionRow {
    /// Id within this process, from 1.
    pub id: u32,
    /// Name shown.
    pub name: String,
    /// Source file.
    pub file: String,
    /// Line in it.
    pub line: u32,
    /// The option `group`.
    pub group: Option<String>,
    /// Rate in force.
    pub sample_rate: f64,
}

/// A thread of the program, or of one that took over its ring.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadRow {
    /// Id within this process, from 1.
    pub id: u32,
    /// Its name, or `thread-<id>`.
    pub name: String,
    /// The high bits shared by the span ids it gives out: `span_id = prefix << 32 | counter`.
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
    /// Entry to exit.
    pub duration_ns: u64,
    /// For an async call, the time spent being polled; equals the duration otherwise.
    pub busy_ns: u64,
    /// Its id, positive as `i64`.
    pub span_id: u64,
    /// The calling call, 0 for none.
    pub parent_id: u64,
    /// The root call's id.
    pub trace_id: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it has a row.
    pub kept: Kept,
    /// 1 / probability of being kept.
    pub weight: f64,
    /// JSON object of the arguments.
    pub args: Option<String>,
    /// JSON of the result.
    pub result: Option<String>,
    /// Text of the error or panic (plain text).
    pub error: Option<String>,
    /// JSON object of the extra fields.
    pub fields: Option<String>,
}

/// Exact figures of a function, whatever was recorded of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls ended, of all four outcomes.
    pub calls: u64,
    /// Ended `error`.
    pub errors: u64,
    /// Ended `panic`.
    pub panics: u64,
    /// Ended `cancelled`.
    pub cancelled: u64,
    /// Calls handed on for a row.
    pub recorded: u64,
    /// Calls left without a row by sampling.
    pub sampled_out: u64,
    /// Calls that should have had a row and lost it.
    pub dropped: u64,
    /// Sum of durations.
    pub total_ns: u64,
    /// Longest duration.
    pub max_ns: u64,
    /// Whether calls were only counted, so that what is said of durations rests on those that were timed.
    pub is_estimated: bool,
}

/// What the figures of a row are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Figured {
    /// All there are: they replace what is there.
    #[default]
    All,
    /// What comes on top of what is there.
    More,
}

/// Figures of a function in a window of 10 s, with its histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Start of the window, a multiple of 10 s since the Unix epoch.
    pub start_ns: i64,
    /// What figures and buckets are.
    pub figured: Figured,
    /// The figures.
    pub figures: Figures,
    /// Non-empty buckets, as in [`SliceRow`].
    pub buckets: Vec<(i32, u64)>,
}

/// Figures of a function in a slice of half an hour, with its histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// Start of the slice, a multiple of 30 min since the Unix epoch.
    pub start_ns: i64,
    /// What figures and buckets are.
    pub figured: Figured,
    /// The figures.
    pub figures: Figures,
    /// Non-empty buckets that changed: index and count. Bucket `i` holds durations in
    /// `(2^(i/8), 2^((i+1)/8)]` ns: OpenTelemetry's exponential histogram of scale 3.
    pub buckets: Vec<(i32, u64)>,
}

/// How a function is sampled, and what it costs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// When this was found, ns since the Unix epoch.
    pub at_ns: i64,
    /// Rate asked for, in the attribute, the settings or live.
    pub asked: f64,
    /// Rate in force: at most what was asked for.
    pub rate: f64,
    /// `recorded`, `timed` or `counted`.
    pub fidelity: &'static str,
    /// Calls a second.
    pub calls_per_s: f64,
    /// Rows a second.
    pub rows_per_s: f64,
    /// What recording costs per call, ns: on the caller's thread and in the collector.
    pub ns_per_call: f64,
    /// The same in percent of the process's CPU time.
    pub cpu_pct: f64,
    /// Why rate and fidelity are what they are.
    pub why: String,
}

/// Failures of one kind that got no row of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedRow {
    /// [`FunctionRow::id`].
    pub function: u32,
    /// How they ended.
    pub outcome: Outcome,
    /// The message all of them share once numbers are taken out.
    pub message: String,
    /// Fingerprint of function, outcome and message.
    pub fingerprint: i64,
    /// How many.
    pub count: u64,
    /// First seen, ns since the Unix epoch.
    pub first_ns: i64,
    /// Last seen.
    pub last_ns: i64,
}

/// Something the recorder went through.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// When, ns since the Unix epoch.
    pub at_ns: i64,
    /// `level`, `breaker`, `quarantine`, `retention`, `rate`, `config`.
    pub kind: &'static str,
    /// What, in a sentence.
    pub detail: String,
}

/// The process at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourcesRow {
    /// When, ns since the Unix epoch.
    pub at_ns: i64,
    /// CPU time used since the last sample, in percent of one core.
    pub cpu_pct: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors.
    pub open_files: u32,
}

/// A call that is, or was, under way.
#[derive(Debug, Clone, PartialEq)]
pub struct InFlightRow {
    /// Id of the function in the process.
    pub function: u32,
    /// Its thread, or none for an async call that waits.
    pub thread: Option<String>,
    /// Number of calls around it.
    pub depth: u32,
    /// When it began, in nanoseconds of Unix time.
    pub start_ns: i64,
    /// Since when an async call has waited to be polled again, in nanoseconds of Unix time.
    pub waiting_since_ns: Option<i64>,
    /// Its span.
    pub span_id: u64,
}

/// How far the store is with a process.
#[derive(Debug, Default)]
pub struct RecoveryProgress {
    /// The last batch that it has of the process itself.
    pub batch: u64,
    /// Whether an earlier recovery has begun.
    pub begun: bool,
    /// How far an earlier recovery came with each ring.
    pub rings: HashMap<u32, u64>,
}
