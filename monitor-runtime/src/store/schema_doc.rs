//! The explanations of every table, view and column.
//!
//! Gives the rows of the table `schema_doc` of each store, and the page `docs/schema.md`. Both come from the same texts, so
//! they cannot differ. A test checks that exactly the objects and columns of the schema are explained.

use std::fmt::Write as _;

use crate::batch::HEALTH_COLUMNS;

/// An explanation of an object or of one of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doc {
    /// Name of a table or view.
    pub object: &'static str,
    /// Name of a column. It is empty if the text explains the object itself.
    pub column: &'static str,
    /// The explanation.
    pub text: &'static str,
}

type Columns = &'static [(&'static str, &'static str)];

const CALL: Columns = &[
    (
        "call_id",
        "Number of the row in the store. It rises in the order of commits and is never used twice: follow new calls with `call_id > ?`.",
    ),
    ("start_ns", "Start of the call, nanoseconds since the Unix epoch, UTC."),
    ("start_s", "Start of the call, seconds since the Unix epoch, as a floating-point number."),
    ("duration_ns", "Time from entry to exit in nanoseconds, measured by a clock that never steps back."),
    ("duration_ms", "Time from entry to exit in milliseconds."),
    (
        "busy_ns",
        "Time during which an async call was polled, in nanoseconds. For other calls it equals `duration_ns`.",
    ),
    ("function", "Name of the function: its full path, or the name given by the option `name`."),
    ("outcome", "`ok`, `error`, `panic` or `cancelled` (the future was dropped before completion)."),
    ("failed", "1 if the outcome is `error`, `panic` or `cancelled`, else 0."),
    (
        "error",
        "Text of the error with its chain of sources, or message and place of the panic; NULL where there is none.",
    ),
    ("args", "Arguments as a JSON object, truncated; NULL where not captured."),
    ("result", "Returned value as JSON, truncated; NULL where not captured."),
    ("fields", "Extra fields as a JSON object; NULL where there are none."),
    (
        "weight",
        "Number of calls that this row stands for: 1 / probability of having a row. `sum(weight)` estimates the number of calls without bias.",
    ),
    (
        "kept",
        "Reason for which the call has a row: `sampled` (chosen at the rate in force), `slow`, `failed`, or `first` (not sampled, but among the first calls of its function in its process).",
    ),
    ("trace_id", "`span_id` of the root of this call tree."),
    ("span_id", "Id of this call, unique in the store and below 2^53."),
    ("parent_id", "`span_id` of the calling call; NULL for a root."),
    ("thread", "Name of the thread on which the call ended."),
    ("service", "Service name of the process."),
    ("file", "Source file of the function."),
    ("line", "Line of the function in its file."),
    ("group_name", "Label given by the option `group`; NULL where there is none."),
    ("host", "Name of the host."),
    ("pid", "Process id."),
    ("process_id", "Run of the program, see `processes`."),
    (
        "folded",
        "Number of calls that share the row; NULL for the row of one call. From the 65th call of a function below one caller on (`MONITOR_FOLD_AFTER`), the rest shares a row, and so does everything below. All these calls ended `ok`. `duration_ns` and `busy_ns` are then the mean, so that `sum(duration_ns * weight)` is right; `folds` has sum and maximum. `args` are those of one of the calls.",
    ),
    (
        "origin",
        "1 for a failed call in which the failure began, 0 for one that failed because a call it made failed, and for a call that did not fail.",
    ),
    (
        "caused_by",
        "`span_id` of the call that a failed call has its failure from: its text holds the text of that call's error, or the same panic unwound through both. NULL if the failure began here.",
    ),
];

const FOLDS: Columns = &[
    ("call_id", "The row of `calls`."),
    ("calls", "Number of calls that share the row."),
    ("total_ms", "Sum of their durations in milliseconds, exact."),
    ("max_ms", "Longest duration in milliseconds, exact."),
    ("last_ns", "End of the last of them, nanoseconds since the Unix epoch."),
];

const CALL_EDGES: Columns =
    &[("caller", "Name of the calling function."), ("callee", "Name of the called function.")];

const STARTED_AT: Columns =
    &[("started_at", "Start of the call as RFC 3339 text in UTC, to the nanosecond.")];

const ERROR_GROUPS: Columns = &[
    (
        "fingerprint",
        "Id of the group, made from function, outcome, type of the error and message; the same in every run, and below 2^53.",
    ),
    ("function", "Name of the function."),
    ("outcome", "`error`, `panic` or `cancelled`."),
    (
        "message",
        "Pattern of the messages: `#` stands for numbers, times and ids, `…` for quoted words, hosts and paths; a list has one of them. Codes after words such as `status` or `exit` stay. The pattern of a panic ends with the file and the line where it began. `other` gathers failures beyond the bounds on groups of a function (500) and of all (10 000).",
    ),
    (
        "count",
        "Exact number of failures since `first_ns`. It includes failures whose rows have expired, and failures that were only counted for want of room.",
    ),
    ("first_ns", "Time of the first failure, nanoseconds since the Unix epoch."),
    ("last_ns", "Time of the last failure, nanoseconds since the Unix epoch."),
    ("example_call_id", "`call_id` of the latest failure of the group that got a row."),
    (
        "error_type",
        "Type of the error; NULL for panics, for errors that are texts, and where the type is not known. For `dyn Error` it is the name with which the `Debug` of the deepest source begins.",
    ),
    (
        "origin_count",
        "Number of these failures that began here; the others were passed on by callers of failed calls.",
    ),
    (
        "root_count",
        "Number of roots (calls without a caller, such as requests) that failed because of failures that began here.",
    ),
    (
        "path",
        "Way of the latest such failure, from the outermost call that failed to the one in which it began: `create_order ← checkout ← charge × 5 ← post_charge`. `× 5` counts failures of one function below one caller. NULL if no caller failed with it.",
    ),
];

const FUNCTIONS: Columns = &[
    ("function", "Name of the function."),
    ("file", "Its source file."),
    ("line", "Its line in that file."),
    ("group_name", "Label given by the option `group`; NULL where there is none."),
    ("calls", "Number of calls that ended, exact at any sampling rate."),
    ("errors", "Number of calls that ended `error`, exact."),
    ("panics", "Number of calls that ended `panic`, exact."),
    ("cancelled", "Number of calls that ended `cancelled`, exact."),
    ("error_pct", "Failed calls (error, panic, cancelled) in percent of all."),
    ("recorded", "Number of calls that were passed on to be written as a row."),
    ("dropped", "Number of calls that should have had a row and lost it for want of room."),
    ("total_ms", TOTAL),
    ("mean_ms", "Mean duration of all calls in milliseconds, exact unless `estimated`."),
    ("p50_ms", "Median duration in milliseconds, at most 6.5 % off (from the histogram of all timed calls)."),
    ("p95_ms", "95th percentile in milliseconds, at most 6.5 % off."),
    ("p99_ms", "99th percentile in milliseconds, at most 6.5 % off."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("sample_rate", "Sampling rate last in force, 0 to 1."),
    ("estimated", ESTIMATED),
    ("self_ms", SELF),
    ("busy_ms", BUSY),
    ("cancelled_ms", CANCELLED),
    (
        "roots",
        "Number of calls with a row that no monitored call made: 0 for a function that only monitored functions call.",
    ),
];

const TOTAL: &str = "Sum of durations in milliseconds, exact unless `estimated`. Of recursive calls only the outermost counts, and cancelled calls have `cancelled_ms`.";

const SELF: &str = "Sum of the time in milliseconds that calls spent outside of the monitored calls that they made, exact unless `estimated`. Of an async call only its polls count. A callee that is only counted is part of its caller's time.";

const BUSY: &str = "Sum of the time in milliseconds in which calls ran: of an async call its polls, of any other its duration. Of recursive calls only the outermost counts.";

const CANCELLED: &str = "Sum of the durations of cancelled calls in milliseconds.";

const ESTIMATED: &str = "1 if some calls were only counted, so that the durations are estimated from the calls that were timed, else 0. Numbers of calls and failures are exact either way.";

const LATENCY: Columns = &[
    ("function", "Name of the function."),
    ("start_ns", "Start of the window, a multiple of 10 s, nanoseconds since the Unix epoch."),
    ("start_s", "Start of the window, seconds since the Unix epoch, as a floating-point number."),
    ("calls", "Number of calls that ended in the window, exact."),
    ("errors", "Number of these calls that failed (error, panic, cancelled), exact."),
    ("total_ms", TOTAL),
    (
        "p50_ms",
        "Median duration in milliseconds, at most 6.5 % off (from the merged histograms of all processes).",
    ),
    ("p95_ms", "95th percentile in milliseconds, at most 6.5 % off."),
    ("p99_ms", "99th percentile in milliseconds, at most 6.5 % off."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("estimated", ESTIMATED),
    ("self_ms", SELF),
    ("busy_ms", BUSY),
    ("cancelled_ms", CANCELLED),
];

const PROCESSES: Columns = &[
    ("process_id", "Number of the run in this store."),
    ("run_uuid", "Unique id of the run, 32 hexadecimal digits."),
    ("service", "Service name."),
    ("version", "Version of `monitored` in the program."),
    ("host", "Name of the host."),
    ("pid", "Process id."),
    ("started_ns", "Start of recording, nanoseconds since the Unix epoch."),
    ("last_seen_ns", "Time of the last committed batch, nanoseconds since the Unix epoch."),
    (
        "ended_ns",
        "End, nanoseconds since the Unix epoch; for a crash, the last time at which the process was seen. NULL while it runs.",
    ),
    ("ending", "`running`, `exit` or `crash`. A crash is noticed by the next program that opens the store."),
    ("executable", "Path of the program; NULL if it is not known."),
    (
        "program_version",
        "Version that the program gives itself by `MONITOR_VERSION` or `Config::version`; NULL without one.",
    ),
    (
        "build",
        "Id of the build: the build id that the linker wrote into the program, or `stamp-` and a hash of the executable's size and of the time of its last change. NULL if neither is known.",
    ),
];

/// The kinds of events. Every row of the table `event` has one of them.
pub(super) const EVENT_KINDS: [&str; 14] = [
    "level",
    "breaker",
    "quarantine",
    "retention",
    "rate",
    "config",
    "store",
    "recorder",
    "slow",
    "crash",
    "exit",
    "panic",
    "recovery",
    "rings",
];

const EVENT_KINDS_TEXT: &str = "`level` (the level of service), `breaker`, `quarantine` (a damaged file was put aside), `retention`, `rate` (a function is recorded, timed or counted), `config`, `store` (the file was lost or opened again), `recorder`, `slow` (calls that are slow, or a recorder that was held up), `crash` (a process died), `exit` (a process had ended whose records were still to be brought in), `panic` (a panic of such a process), `recovery` (a dead process's records were brought in) or `rings` (where the rings lie).";

const EVENTS: Columns = &[
    ("at_ns", "Time of the event, nanoseconds since the Unix epoch."),
    ("process_id", "Process whose recorder reports the event, see `processes`; 0 for the command `monitor`."),
    ("kind", EVENT_KINDS_TEXT),
    ("detail", "Description of the event in a sentence."),
];

const HEALTH: Columns = &[("process_id", "Run of the program, see `processes`.")];

const RATES: Columns = &[
    ("process_id", "Run of the program, see `processes`."),
    ("function", "Name of the function."),
    ("at_ns", "Time of the measurement, nanoseconds since the Unix epoch."),
    ("asked", "Requested rate: set live, by `MONITOR_SAMPLE` or in the attribute; 1 by default."),
    (
        "rate",
        "Rate in force, at most the requested rate: the probability with which a trace that begins with the function is kept. Calls below a kept call have rows with it. It is 0 if such calls have no rows.",
    ),
    (
        "fidelity",
        "`recorded` (each trace that begins with the function is kept), `timed` (each call is timed, a share of the traces is kept, or calls have no rows in traces of others) or `counted` (each call is counted, a share is timed).",
    ),
    ("calls_per_s", "Number of calls a second."),
    ("rows_per_s", "Number of rows a second."),
    ("ns_per_call", "Cost of recording a call, on the caller's thread and in the collector, in nanoseconds."),
    (
        "cpu_pct",
        "Cost of recording the function as it is recorded now, in percent of one core; NULL where an older version measured it against the process's CPU time.",
    ),
    (
        "saved_pct",
        "What is saved because the function, or the traces that begin with it, are recorded less than requested, in percent of one core.",
    ),
    ("budget_pct", "What recording all functions may cost, in percent of one core; NULL without a bound."),
    ("why", "Reason for this rate and fidelity."),
];

const IN_FLIGHT: Columns = &[
    ("process_id", "Run of the program that died, see `processes`."),
    (
        "thread",
        "Name of the thread whose stack the call was on; NULL for an async call that waited to be polled again.",
    ),
    ("depth", "Number of monitored calls in flight around the call, on that stack or in that task."),
    ("function", "Name of the function."),
    ("start_ns", "Start of the call, nanoseconds since the Unix epoch."),
    ("died_ns", "Time at which the process died as far as is known, nanoseconds since the Unix epoch."),
    ("elapsed_ms", "Time that the call had been running by then, in milliseconds."),
    ("span_id", "Id that the call would have had as a row; 1 for a call that was not sampled."),
    (
        "thread_id",
        "Number of the thread within its process, which tells threads of one name apart; NULL where `thread` is.",
    ),
    ("parent_id", "`span_id` of the call around it or of the call that awaited it; NULL for a root."),
    (
        "waiting_since_ns",
        "End of the last poll of an async call that waited to be polled again, nanoseconds since the Unix epoch; NULL for a call on a stack.",
    ),
    ("args", "Captured arguments, a JSON object; NULL if none were captured or none survived."),
];

const RESOURCES: Columns = &[
    ("process_id", "Run of the program, see `processes`."),
    (
        "at_ns",
        "Time of the sample, nanoseconds since the Unix epoch. There is one for each 10 s in which something changed.",
    ),
    ("cpu_pct", "CPU time used since the last sample, in percent of one core."),
    ("rss_bytes", "Resident memory in bytes."),
    ("threads", "Number of threads."),
    ("open_files", "Number of open file descriptors."),
];

const SAMPLING: Columns = &[
    ("pattern", "Function name, or a pattern in which `*` stands for any characters."),
    ("rate", "Sampling rate to apply, 0 to 1."),
    ("set_ns", "Time at which it was set, nanoseconds since the Unix epoch."),
    ("set_by", "Name of whoever set it."),
];

const BREAKER: Columns = &[
    (
        "process_id",
        "Process whose breaker is held, or 0 for every process. A process's own row takes precedence over that of 0.",
    ),
    ("hold", "`open` (nothing is written), `closed` (every write is tried) or `auto` (not held)."),
    ("reason", "Reason for the hold."),
    ("set_ns", "Time at which it was set, nanoseconds since the Unix epoch."),
    ("set_by", "Name of whoever set it."),
];

const SCHEMA_DOC: Columns = &[
    ("object", "Name of the table or view."),
    ("column", "Name of the column; empty where the row explains the object itself."),
    ("text", "The explanation."),
];

/// The objects that users query: the views, and the tables that are part of the interface.
const API: &[(&str, &str, &[Columns])] = &[
    ("calls", "One row for each recorded call.", &[CALL]),
    (
        "errors",
        "One row for each recorded call that failed: the rows of `calls` whose `failed` is 1.",
        &[CALL],
    ),
    ("folds", "One row for each row of `calls` that several calls share.", &[FOLDS]),
    (
        "call_edges",
        "One row for each pair of functions of which one was seen to call the other. What a trace lacks follows from these.",
        &[CALL_EDGES],
    ),
    ("error_groups", "One row for each kind of failure.", &[ERROR_GROUPS]),
    (
        "functions",
        "One row for each function, over all processes and the last 6 hours (the store's age bound). Counts and times are exact whatever was sampled or dropped.",
        &[FUNCTIONS],
    ),
    ("latency", "One row for each function and window of 10 s, over all processes.", &[LATENCY]),
    (
        "slow_calls",
        "One row for each call that has a row because it was slow: the rows of `calls` whose `kept` is `slow`.",
        &[CALL],
    ),
    ("processes", "One row for each run of a program.", &[PROCESSES]),
    (
        "in_flight",
        "One row for each call that was in flight when its process died, as far as the process's ring file was found.",
        &[IN_FLIGHT],
    ),
    (
        "events",
        "Events of the recorder itself: level changes, breaker transitions, quarantined files, retention, rate changes.",
        &[EVENTS],
    ),
    ("health", "The latest self-report of a process.", &[HEALTH]),
    (
        "rates",
        "One row for each process and function: how the function is sampled now, what that costs, and why.",
        &[RATES],
    ),
    ("resources", "Samples of the use of the machine by each process.", &[RESOURCES]),
    ("calls_readable", "The rows of `calls`, with the start as readable text.", &[CALL, STARTED_AT]),
    (
        "sampling",
        "Sampling rates that users set while programs run. Running processes read the table within two seconds, idle ones within five: insert, update or delete rows to tune.",
        &[SAMPLING],
    ),
    (
        "breaker",
        "Breakers that users hold. Running processes read the table within two seconds, idle ones within five: insert a row to hold a breaker, delete it to release the breaker.",
        &[BREAKER],
    ),
    ("schema_doc", "These explanations.", &[SCHEMA_DOC]),
];

/// The tables behind the views, which may change with the schema version.
const BEHIND: &[(&str, &str)] = &[
    ("process", "Behind `processes`. `pid_mark` tells a process from a later one with the same pid."),
    (
        "progress",
        "Last batch that each process committed (`ring` 0), and position up to which each ring of a dead process is recovered (`ring` is then the ring's number plus 1). It is written in the transaction that it counts, so a batch that is sent again is not written again.",
    ),
    ("function", "Functions, which all processes of the store share."),
    (
        "process_function",
        "Functions of each process. A function is deleted once no process is left that uses it.",
    ),
    (
        "thread",
        "Segments of threads' lives. The small numbers in `call` are relative to the segment's `base_ns` and `span_base`.",
    ),
    (
        "call",
        "Behind `calls`. `start` is relative to the thread's `base_ns`, `span` to its `span_base`; `parent` is span minus parent (0 for a root); `trace` is parent (or span) minus trace; `kind` is 4 × outcome + kept; `busy` is NULL where it equals `duration`.",
    ),
    ("call_value", "Captured values of the calls that have any, by call id."),
    ("call_fold", "Behind `folds`, by call id."),
    (
        "call_cause",
        "Failed calls that have their failure from a call they made, by call id. `cause` is the span of that call minus the call's own.",
    ),
    ("call_edge", "Behind `call_edges`."),
    (
        "call_range",
        "Ranges of call ids by time, a row for each 10 s or 20 000 calls. It turns a time into a bound on `call_id`, and retention deletes by it. `failed_only` is 1 for a range of which the size bound has left only the failed calls.",
    ),
    ("calendar", "Dates of the days on which stored calls started."),
    (
        "latency_window",
        "Behind `latency`, by process. `window` counts 10 s since the Unix epoch. Where several processes called the function in a window, a row of process 0 is their sum. `shown` is 1 for the row that `latency` shows. `histogram` has the window's buckets as in `slice_bucket`, from bucket -8 on. Each bucket that is not empty is two numbers: the number of empty buckets before it, and its count. A number is written in seven bits a byte, the lowest bits first, with the highest bit set where another byte follows.",
    ),
    (
        "slice",
        "Behind `functions`, by process and half hour. `slice` counts half hours since the Unix epoch.",
    ),
    (
        "slice_bucket",
        "Durations of a slice. Bucket i counts durations in (2^(i/8), 2^((i+1)/8)] ns, as in OpenTelemetry's exponential histogram of scale 3.",
    ),
    ("histogram_bucket", "Bounds and geometric middle of each bucket, in ns."),
    (
        "span_block",
        "Span ids of the store by process. A process numbers its spans in blocks of 2^20; `block` is the process's number of a block, `id` the store's. The span ids of the views are `id` × 2^20 plus the place in the block.",
    ),
    ("error_group", "Behind `error_groups`."),
    ("folded", "Number of failures of a group that each process has only counted so far, for want of room."),
    ("flight", "Behind `in_flight`."),
    ("event", "Behind `events`."),
    ("self_report", "Behind `health`."),
    ("function_rate", "Behind `rates`."),
    ("resource", "Behind `resources`."),
];

/// Returns every explanation. Objects of the interface come first.
pub fn docs() -> impl Iterator<Item = Doc> {
    let api = API.iter().flat_map(|&(object, text, columns)| {
        let own = Doc { object, column: "", text };
        let columns =
            columns.iter().copied().flatten().map(move |&(column, text)| Doc { object, column, text });
        let health = HEALTH_COLUMNS.iter().filter(move |_| object == "health");
        let health = health.map(move |column| Doc { object, column: column.name, text: column.text });
        std::iter::once(own).chain(columns).chain(health)
    });
    api.chain(BEHIND.iter().map(|&(object, text)| Doc { object, column: "", text }))
}

/// Returns the page `docs/schema.md` of this schema version.
#[must_use]
pub fn page(version: i32) -> String {
    let mut page = INTRODUCTION.replace("VERSION", &version.to_string());
    for doc in docs() {
        let behind = BEHIND.iter().any(|(object, _)| *object == doc.object);
        if behind && doc.object == BEHIND[0].0 {
            page.push_str("\n## Base tables\n\nThese tables may change with the schema version: query the views instead.\n\n| table | holds |\n|---|---|\n");
        }
        let written = match (behind, doc.column) {
            (true, _) => writeln!(page, "| `{}` | {} |", doc.object, doc.text),
            (false, "") => {
                writeln!(page, "\n## `{}`\n\n{}\n\n| column | meaning |\n|---|---|", doc.object, doc.text)
            }
            (false, column) => writeln!(page, "| `{column}` | {} |", doc.text),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    page
}

const INTRODUCTION: &str = "# The store

The store is one SQLite file that any SQLite tool opens. The views below are the interface: their names, columns and
meanings do not change. The base tables behind them may change with the schema version. The store itself holds the same
explanations: `SELECT * FROM schema_doc`.

- `PRAGMA application_id` is `0x4D4E5452` (\"MNTR\"), and `PRAGMA user_version` is the schema version, VERSION.
- A call *failed* if its outcome is `error`, `panic` or `cancelled`, in every view and every command.
- Columns that end in `_ns` hold integer nanoseconds. Points in time count from the Unix epoch in UTC.
- Captured values are JSON text. They are truncated to a budget and always valid.
- The views use only SQL that DuckDB has as well, so DuckDB reads them with their types:
  `ATTACH 'shop.db' AS s (TYPE sqlite, READ_ONLY); SELECT * FROM s.functions;`
- Rows that are older than the age bound (6 hours by default) are deleted. When the size bound is reached, the oldest
  rows are deleted.

```sql
-- Where does the time go?
SELECT function, calls, total_ms, p95_ms, error_pct FROM functions ORDER BY total_ms DESC LIMIT 10;
-- What failed last?
SELECT function, error, args FROM errors ORDER BY call_id DESC LIMIT 10;
-- The tree of the latest call
SELECT span_id, parent_id, function, duration_ms, outcome FROM calls
WHERE trace_id = (SELECT trace_id FROM calls ORDER BY call_id DESC LIMIT 1) ORDER BY start_ns;
-- Calls by function, an unbiased estimate at any sampling rate
SELECT function, sum(weight) FROM calls GROUP BY function;
-- Record one call in ten of a module, from now on, in every running process
INSERT INTO sampling (pattern, rate) VALUES ('*::payments::*', 0.1);
-- Write nothing for now, in every running process; deleting the row releases the breakers
INSERT INTO breaker (process_id, hold, reason) VALUES (0, 'open', 'the disk is being swapped');
```
";
