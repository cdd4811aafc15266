//! What every table, view and column means: filled into the table `schema_doc` of each store and
//! rendered as `docs/schema.md`, so that the store explains itself and the page cannot differ from it.

use std::fmt::Write as _;

use crate::batch::HEALTH_COLUMNS;

/// One explanation. An empty `column` explains the object itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doc {
    /// Table or view.
    pub object: &'static str,
    /// Column, or nothing.
    pub column: &'static str,
    /// What it is.
    pub text: &'static str,
}

type Columns = &'static [(&'static str, &'static str)];

const CALL: Columns = &[
    (
        "call_id",
        "Number of the row in the store, rising in the order of commits and never given out twice: follow new calls with `call_id > ?`.",
    ),
    ("start_ns", "Start, nanoseconds since the Unix epoch, UTC."),
    ("start_s", "Start, seconds since the Unix epoch, as a floating-point number."),
    ("duration_ns", "Entry to exit in nanoseconds, from a clock that never steps back."),
    ("duration_ms", "Entry to exit in milliseconds."),
    ("busy_ns", "For an async call the time spent being polled; equals `duration_ns` otherwise."),
    ("function", "Name of the function: its full path unless the option `name` gives another."),
    ("outcome", "`ok`, `error`, `panic` or `cancelled` (the future was dropped before completion)."),
    ("failed", "1 unless the outcome is `ok`."),
    ("error", "Text of the error with its chain of sources, or message and place of the panic."),
    ("args", "Arguments as a JSON object, truncated; NULL where not captured."),
    ("result", "Returned value as JSON, truncated; NULL where not captured."),
    ("fields", "Extra fields as a JSON object; NULL where there are none."),
    (
        "weight",
        "How many calls this row stands for: 1 / probability of being kept. `sum(weight)` estimates the number of calls without bias.",
    ),
    (
        "kept",
        "Why the call has a row: `sampled` (drawn at the rate in force), `slow`, `failed`, or `first` (among the first calls of its function in its process, where its rate would have left it out).",
    ),
    ("trace_id", "`span_id` of the root call of this call tree."),
    ("span_id", "Id of this call, unique in its process."),
    ("parent_id", "`span_id` of the calling call; NULL for a root."),
    ("thread", "Name of the thread on which the call ended."),
    ("service", "Service name of the process."),
    ("file", "Source file of the function."),
    ("line", "Line of the function in its file."),
    ("group_name", "Label given by the option `group`; NULL where none."),
    ("host", "Name of the host."),
    ("pid", "Process id."),
    ("process_id", "Run of the program, see `processes`."),
];

const STARTED_AT: Columns = &[("started_at", "Start as RFC 3339 text in UTC, to the nanosecond.")];

const ERROR_GROUPS: Columns = &[
    (
        "fingerprint",
        "Id of the group, made from function, outcome and message pattern; the same in every run.",
    ),
    ("function", "Name of the function."),
    ("outcome", "`error`, `panic` or `cancelled`."),
    (
        "message",
        "The message with what varies (numbers, hexadecimal ids, UUIDs, quoted texts) taken out; `other` gathers what exceeds the bound on groups.",
    ),
    (
        "count",
        "Failures since `first_ns`, exact: it counts those whose rows have expired and those folded for want of room too.",
    ),
    ("first_ns", "First seen, nanoseconds since the Unix epoch."),
    ("last_ns", "Last seen, nanoseconds since the Unix epoch."),
    ("example_call_id", "`call_id` of the latest failure of the group that got a row."),
];

const FUNCTIONS: Columns = &[
    ("function", "Name of the function."),
    ("file", "Its source file."),
    ("line", "Its line in that file."),
    ("group_name", "Label given by the option `group`; NULL where none."),
    ("calls", "Calls ended, exact whatever the sampling."),
    ("errors", "Calls that ended `error`, exact."),
    ("panics", "Calls that ended `panic`, exact."),
    ("cancelled", "Calls that ended `cancelled`, exact."),
    ("error_pct", "Failed calls (error, panic, cancelled) in percent of all."),
    ("recorded", "Calls handed on for a row."),
    ("dropped", "Calls that should have had a row and lost it for want of room."),
    ("total_ms", "Sum of durations in milliseconds, exact unless `estimated`."),
    ("mean_ms", "Mean duration in milliseconds, exact unless `estimated`."),
    ("p50_ms", "Median duration in milliseconds, at most 4.5 % off (from the histogram of all timed calls)."),
    ("p95_ms", "95th percentile in milliseconds, at most 4.5 % off."),
    ("p99_ms", "99th percentile in milliseconds, at most 4.5 % off."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("sample_rate", "Sampling rate last in force, 0 to 1."),
    ("estimated", ESTIMATED),
];

const ESTIMATED: &str = "1 where some calls were only counted, so that durations rest on the share that was timed, else 0; numbers of calls and failures are exact either way.";

const LATENCY: Columns = &[
    ("function", "Name of the function."),
    ("start_ns", "Start of the window, a multiple of 10 s, nanoseconds since the Unix epoch."),
    ("start_s", "The same in seconds."),
    ("calls", "Calls ended in the window, exact."),
    ("errors", "Those of them that failed (error, panic, cancelled), exact."),
    ("total_ms", "Sum of durations in milliseconds, exact unless `estimated`."),
    (
        "p50_ms",
        "Median duration in milliseconds, at most 4.5 % off (from the merged histograms of all processes).",
    ),
    ("p95_ms", "95th percentile in milliseconds."),
    ("p99_ms", "99th percentile in milliseconds."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("estimated", ESTIMATED),
];

const PROCESSES: Columns = &[
    ("process_id", "Number of the run in this store."),
    ("run_uuid", "Unique id of the run, 32 hexadecimal digits."),
    ("service", "Service name."),
    ("version", "Version of the recorder in the program."),
    ("host", "Name of the host."),
    ("pid", "Process id."),
    ("started_ns", "Start of recording, nanoseconds since the Unix epoch."),
    ("last_seen_ns", "Last batch committed, nanoseconds since the Unix epoch."),
    (
        "ended_ns",
        "End, nanoseconds since the Unix epoch; for a crash, when it was last seen. NULL while running.",
    ),
    ("ending", "`running`, `exit` or `crash`. A crash is noticed by the next program that opens the store."),
];

const EVENTS: Columns = &[
    ("at_ns", "When, nanoseconds since the Unix epoch."),
    ("process_id", "Whose recorder; 0 for the command `monitor`."),
    (
        "kind",
        "`level`, `breaker`, `quarantine`, `retention`, `rate`, `config`, `store`, `recorder` or `slow`.",
    ),
    ("detail", "What happened, in a sentence."),
];

const HEALTH: Columns = &[("process_id", "Whose recorder.")];

const RATES: Columns = &[
    ("process_id", "Run of the program, see `processes`."),
    ("function", "Name of the function."),
    ("at_ns", "When this was found, nanoseconds since the Unix epoch."),
    ("asked", "Rate asked for: set live, by `MONITOR_SAMPLE` or in the attribute; 1 by default."),
    ("rate", "Rate in force, at most the rate asked for: the probability with which a call gets a row."),
    (
        "fidelity",
        "`recorded` (each call has a row), `timed` (each call is timed, a share has rows) or `counted` (each call is counted, a share is timed).",
    ),
    ("calls_per_s", "Calls a second."),
    ("rows_per_s", "Rows a second."),
    (
        "ns_per_call",
        "What recording costs per call, on the caller's thread and in the collector, in nanoseconds.",
    ),
    ("cpu_pct", "The same in percent of the process's CPU time."),
    ("why", "Why rate and fidelity are what they are."),
];

const IN_FLIGHT: Columns = &[
    ("process_id", "Run of the program that died, see `processes`."),
    ("thread", "Thread whose stack it was on; NULL for an async call that waited to be polled again."),
    ("depth", "Number of monitored calls around it on that stack."),
    ("function", "Name of the function."),
    ("start_ns", "Start, nanoseconds since the Unix epoch."),
    ("died_ns", "When the process died, as far as is known."),
    ("elapsed_ms", "For how long it had been running by then, in milliseconds."),
    ("span_id", "Id that the call would have had; 1 for one that was not drawn."),
];

const RESOURCES: Columns = &[
    ("process_id", "Whose."),
    ("at_ns", "When, nanoseconds since the Unix epoch; every 10 s."),
    ("cpu_pct", "CPU time used since the last sample, in percent of one core."),
    ("rss_bytes", "Resident memory."),
    ("threads", "Threads."),
    ("open_files", "Open file descriptors."),
];

const SAMPLING: Columns = &[
    ("pattern", "Function name, or a pattern in which `*` stands for any characters."),
    ("rate", "Sampling rate to apply, 0 to 1."),
    ("set_ns", "When it was set, nanoseconds since the Unix epoch."),
    ("set_by", "Who set it."),
];

const BREAKER: Columns = &[
    ("process_id", "Whose breaker, 0 for that of every process; a process's own row wins."),
    ("hold", "`open` (nothing is written), `closed` (every write is tried) or `auto` (not held)."),
    ("reason", "Why."),
    ("set_ns", "When it was set, nanoseconds since the Unix epoch."),
    ("set_by", "Who set it."),
];

const SCHEMA_DOC: Columns = &[
    ("object", "Table or view."),
    ("column", "Column; empty where the row explains the object itself."),
    ("text", "What it is."),
];

/// What users query: the views, and the two tables that are part of the interface.
const API: &[(&str, &str, &[Columns])] = &[
    ("calls", "A recorded call.", &[CALL]),
    ("errors", "A recorded call that failed: the rows of `calls` whose outcome is not `ok`.", &[CALL]),
    ("error_groups", "One kind of failure.", &[ERROR_GROUPS]),
    (
        "functions",
        "A function in the last 6 hours (the store's age bound), over all processes: counts and times are exact whatever was sampled or dropped.",
        &[FUNCTIONS],
    ),
    ("latency", "A function in a window of 10 s, over all processes.", &[LATENCY]),
    ("slow_calls", "A call kept for being slow: the rows of `calls` whose `kept` is `slow`.", &[CALL]),
    ("processes", "A run of a program.", &[PROCESSES]),
    (
        "in_flight",
        "A call that was under way when its process died, as far as its ring file was found.",
        &[IN_FLIGHT],
    ),
    (
        "events",
        "What the recorder itself went through: level changes, breaker transitions, quarantined files, retention, rate changes.",
        &[EVENTS],
    ),
    ("health", "The latest self-report of a process.", &[HEALTH]),
    ("rates", "How a process samples a function now, what that costs, and why.", &[RATES]),
    ("resources", "A process at a moment.", &[RESOURCES]),
    ("calls_readable", "The rows of `calls` with a readable time.", &[CALL, STARTED_AT]),
    (
        "sampling",
        "Rates set from outside. Running processes read it within a second: insert, update or delete rows to tune.",
        &[SAMPLING],
    ),
    (
        "breaker",
        "Breakers held from outside. Running processes read it within a second: insert a row to hold, delete it to let go.",
        &[BREAKER],
    ),
    ("schema_doc", "This explanation.", &[SCHEMA_DOC]),
];

/// Tables behind the views, free to change between schema versions.
const BEHIND: &[(&str, &str)] = &[
    ("process", "Behind `processes`. `pid_mark` tells a process from a later one with the same pid."),
    (
        "progress",
        "Last batch committed by each process and ring, written in the batch's own transaction: a batch that is sent again is not written again.",
    ),
    ("function", "Functions, shared by all processes of the store."),
    (
        "process_function",
        "Which process has met which function: a function goes when no process is left that knows it.",
    ),
    (
        "thread",
        "A stretch of a thread's life: `base_ns` and `span_base` are what the small figures in `call` are relative to.",
    ),
    (
        "call",
        "Behind `calls`. `start` is relative to the thread's `base_ns`, `span` to its `span_base`; `parent` is span minus parent (0 for a root); `trace` is parent (or span) minus trace; `kind` is 4 × outcome + kept; `busy` is NULL where it equals `duration`.",
    ),
    ("call_value", "Captured values of the calls that have any, by call id."),
    (
        "call_range",
        "Call ids by time, a row per 10 s or 20 000 calls: turns a time into a bound on `call_id`, and is what retention deletes by. `failed_only` is 1 where the size bound has taken all but the failed calls.",
    ),
    ("calendar", "Dates of the days on which a stored call started."),
    (
        "latency_window",
        "Behind `latency`, by process; `window` counts 10 s since the Unix epoch. Where several processes called the function in a window, a row of process 0 is their sum; `shown` is 1 for the row that `latency` shows. `histogram` has the window's buckets as in `slice_bucket`, from bucket -8 on: for each that is not empty, how many empty ones come before it and its count, in seven bits a byte, the lowest first, the highest bit set where more follow.",
    ),
    (
        "slice",
        "Behind `functions`, by process and half hour; `slice` counts half hours since the Unix epoch.",
    ),
    (
        "slice_bucket",
        "Durations of a slice: bucket i counts those in (2^(i/8), 2^((i+1)/8)] ns, as in OpenTelemetry's exponential histogram of scale 3.",
    ),
    ("histogram_bucket", "Bounds and geometric middle of each bucket, in ns."),
    ("error_group", "Behind `error_groups`."),
    ("folded", "How many failures of a group each process has folded so far."),
    ("flight", "Behind `in_flight`."),
    ("event", "Behind `events`."),
    ("self_report", "Behind `health`."),
    ("function_rate", "Behind `rates`."),
    ("resource", "Behind `resources`."),
];

/// Every explanation, objects of the interface first.
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

/// The page `docs/schema.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for doc in docs() {
        let behind = BEHIND.iter().any(|(object, _)| *object == doc.object);
        if behind && doc.object == BEHIND[0].0 {
            page.push_str("\n## Base tables\n\nFree to change with the schema version; query the views instead.\n\n| table | holds |\n|---|---|\n");
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

One SQLite file that any SQLite tool opens. The views below are the interface: their names, columns and meanings
hold; the base tables behind them may change with the schema version. The same explanations lie in the store
itself: `SELECT * FROM schema_doc`.

- `PRAGMA application_id` is `0x4D4E5452` (\"MNTR\"), `PRAGMA user_version` is the schema version, 2.
- Times ending in `_ns` are integer nanoseconds, points in time are counted from the Unix epoch in UTC.
- Captured values are JSON text, truncated to a budget but always valid.
- The views use nothing that SQLite alone knows, so DuckDB reads them typed as well:
  `ATTACH 'shop.db' AS s (TYPE sqlite, READ_ONLY); SELECT * FROM s.functions;`
- Everything older than the age bound (6 hours by default) goes, and so does the oldest when the size bound is reached.

```sql
-- Where does the time go?
SELECT function, calls, total_ms, p95_ms, error_pct FROM functions ORDER BY total_ms DESC LIMIT 10;
-- What failed last?
SELECT function, error, args FROM errors ORDER BY call_id DESC LIMIT 10;
-- The tree of one call
SELECT span_id, parent_id, function, duration_ms, outcome FROM calls WHERE trace_id = 4294967297 ORDER BY start_ns;
-- Calls by function, right under any sampling
SELECT function, sum(weight) FROM calls GROUP BY function;
-- Record one call in ten of a module, from now on, in every running process
INSERT INTO sampling (pattern, rate) VALUES ('shop::*', 0.1);
-- Write nothing for now, in every running process; deleting the row lets go
INSERT INTO breaker (process_id, hold, reason) VALUES (0, 'open', 'the disk is being swapped');
```
";
