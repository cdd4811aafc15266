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
    (
        "outcome",
        "`ok`, `error`, `panic`, `cancelled` (the future was dropped before completion) or `exit` (the process exited while the call was under way; its own time is not known, and `self_ms` of its function leaves it out).",
    ),
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
        "Reason for which the call has a row: `sampled` (chosen at the rate in force), `slow`, `failed`, `first` (not sampled, but among the first calls of its function in its process), or `exit` (under way when the process exited).",
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
    (
        "thread_id",
        "Number of the thread on which the call ended, unique in the store: it tells threads of one name apart. A thread that lives for days has another number from time to time.",
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
    ("p50_ms", "Median duration in milliseconds, at most 4.5 % off (from the histogram of all timed calls)."),
    ("p95_ms", "95th percentile in milliseconds, at most 4.5 % off."),
    ("p99_ms", "99th percentile in milliseconds, at most 4.5 % off."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("sample_rate", "Sampling rate last in force, 0 to 1."),
    ("estimated", ESTIMATED),
    ("self_ms", SELF),
    ("busy_ms", BUSY),
    ("cancelled_ms", CANCELLED),
    ("roots", ROOTS),
];

const TOTAL: &str = "Sum of durations in milliseconds, exact unless `estimated`. Of recursive calls only the outermost counts, and cancelled calls have `cancelled_ms`.";

const SELF: &str = "Sum of the time in milliseconds that calls spent outside of the monitored calls that they made, exact unless `estimated`. Of an async call only its polls count. A callee that is only counted is part of its caller's time.";

const BUSY: &str = "Sum of the time in milliseconds in which calls ran: of an async call its polls, of any other its duration. Of recursive calls only the outermost counts.";

const ROOTS: &str = "Number of calls that left a record and that no monitored call made. Calls that were sampled out at their entry, only counted, or dropped left no record. So the number is exact while a function is recorded at rate 1 and loses no call; otherwise it is a lower bound, and 0 where no such call was kept. It is 0 for a function that only monitored functions call.";

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
        "Median duration in milliseconds, at most 4.5 % off and then rounded to a nanosecond (from the merged histograms of all processes).",
    ),
    ("p95_ms", "95th percentile in milliseconds, at most 4.5 % off and then rounded to a nanosecond."),
    ("p99_ms", "99th percentile in milliseconds, at most 4.5 % off and then rounded to a nanosecond."),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("estimated", ESTIMATED),
    ("self_ms", SELF),
    ("busy_ms", BUSY),
    ("cancelled_ms", CANCELLED),
    ("window", "Number of the window, in tens of seconds since the Unix epoch: `start_ns` / 10^10."),
];

const TOTALS: Columns = &[
    (
        "process_id",
        "Run of the program, see `processes`; NULL for runs that retention has deleted, together.",
    ),
    ("service", "Service name."),
    ("function", "Name of the function."),
    ("since_ns", "Start of the run, or of the first of the deleted runs, nanoseconds since the Unix epoch."),
    ("calls", "Number of calls that ended, exact at any sampling rate."),
    ("errors", "Number of calls that ended `error`, exact."),
    ("panics", "Number of calls that ended `panic`, exact."),
    ("cancelled", "Number of calls that ended `cancelled`, exact."),
    ("dropped", "Number of calls that should have had a row and lost it for want of room."),
    ("roots", ROOTS),
    ("total_ms", TOTAL),
    ("self_ms", SELF),
    ("busy_ms", BUSY),
    (
        "nested_ms",
        "Sum of the durations in milliseconds of calls within another call of the same function, which `total_ms` leaves out.",
    ),
    ("cancelled_ms", CANCELLED),
    ("max_ms", "Longest duration in milliseconds, exact unless `estimated`."),
    ("estimated", ESTIMATED),
];

const ALERTS: Columns = &[
    ("alert_id", "Number of the alert in the store."),
    (
        "change",
        "Number of its latest change. It rises with every change of any alert: follow alerts with `change > ?`.",
    ),
    ("process_id", "Run of the program that raised it, see `processes`."),
    ("service", "Service name."),
    ("rule", "Name of the rule, see `alert_rule`."),
    ("function", "Name of the function; NULL for an alert on the recorder, or on many functions."),
    ("level", "`info`, `warning` or `critical`: the highest level of the rule that holds."),
    (
        "state",
        "`firing`, `recovering` (the rule does not hold any more, but not for long enough), `resolved`, or `ended` (the last process for which it fired ended meanwhile).",
    ),
    ("since_ns", "Time at which it began to fire, nanoseconds since the Unix epoch."),
    ("until_ns", "Time at which it was resolved or ended; NULL before."),
    ("value", "Value of the measure at the latest change."),
    ("peak", "Most extreme value until then."),
    ("sentence", "The alert in a sentence."),
    ("processes", "The most processes of the service for which it fired at the same time."),
];

const ALERT_CURSOR: Columns = &[
    (
        "receiver",
        "Name of the receiver: that of `monitor watch --name`, or the kind and a hash of what the alerts go to.",
    ),
    ("change", "Latest change of an alert that the receiver has."),
    (
        "first_change",
        "Latest change when the receiver was first seen: alerts that had ended by then are not for it.",
    ),
    ("told_ns", "Time at which it last took an alert; NULL before."),
    ("failures", "Deliveries that failed since then."),
    ("last_failure", "Reason of the last failure since then."),
];

const ALERT_RULE: Columns = &[
    (
        "name",
        "Name of the rule. Rules of one name and several levels raise one alert, of the highest level that holds.",
    ),
    ("level", "`info`, `warning` or `critical`."),
    ("pattern", "Functions that it looks at, `*` stands for any text."),
    ("measure", "Figure that it looks at: `monitor alert list --measures` explains each."),
    ("op", "`>` or `<`."),
    ("threshold", "Threshold; of durations in milliseconds."),
    ("for_s", "Seconds for which it has to hold before the alert fires."),
    ("keep_s", "Seconds for which it must not hold before the alert is resolved."),
    ("min_calls", "Windows of 10 s with fewer calls are passed over."),
    ("enabled", "0 switches the rule off."),
    ("set_ns", "Time at which the rule was set, nanoseconds since the Unix epoch."),
    ("set_by", "Who set it; `built-in` for rules that come with the store."),
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
pub const EVENT_KINDS: [&str; 18] = [
    "level",
    "breaker",
    "guard",
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
    "clock",
    "metric",
    "alert_rule",
];

const EVENT_KINDS_TEXT: &str = "`level` (the level of service), `breaker`, `guard` (the breaker of a guard of the program), `quarantine` (a damaged file was put aside), `retention`, `rate` (a function is recorded, timed or counted), `config`, `store` (the file was lost or opened again), `recorder`, `slow` (calls that are slow, or a recorder that was held up), `crash` (a process died), `exit` (a process had ended whose records were still to be brought in), `panic` (a panic of such a process), `recovery` (a dead process's records were brought in), `rings` (where the rings lie), `clock` (the processor's counter went astray, as on a machine that was suspended, restored or migrated), `metric` (a metric of the program is not recorded, because there are too many series) or `alert_rule` (a command or the dashboard set, switched or removed a rule on alerts).";

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

const GUARDS: Columns = &[
    ("process_id", "Run of the program, see `processes`."),
    ("name", "Name of the guard."),
    (
        "at_ns",
        "Time of the report, nanoseconds since the Unix epoch. There is a new one only if something changed.",
    ),
    (
        "state",
        "State of the guard's breaker: `closed` (calls are let through), `open` (none is) or `half_open` (one is, to see whether the part is back).",
    ),
    ("since_ns", "Time at which the breaker entered its state, nanoseconds since the Unix epoch."),
    (
        "level",
        "Service level of the part: `full` (the breaker is closed), `degraded` (the last answer without the part was an earlier value, or another function's), `minimal` (it was a fixed value) or `unavailable` (there was none).",
    ),
    ("calls", "Number of calls that were let through, retries included."),
    ("failures", "Number of these that failed."),
    ("rejected", "Number of calls that were not let through."),
    ("fallbacks_value", "Number of answers by a fixed value."),
    ("fallbacks_cached", "Number of answers by the last good value of the key."),
    ("fallbacks_function", "Number of answers by another function."),
    ("probes", "Number of calls that were let through to see whether the part is back."),
    ("openings", "Number of times the breaker opened."),
    ("retries", "Number of attempts after the first one of a call."),
    ("retried_ok", "Number of calls that succeeded after the first attempt."),
    ("held", "Reason for which a person holds the breaker; NULL if nobody does."),
    ("last_failure", "Reason of the last failure; NULL if there was none."),
];

const METRICS: Columns = &[
    ("metric_id", "Id of the series: a metric with its tags. Processes share the series of a store."),
    ("name", "Name of the metric."),
    ("kind", "`counter`, `gauge` or `histogram`."),
    ("unit", "Unit that the program gives, such as `seconds` or `bytes`; NULL if it gives none."),
    ("description", "Description that the program gives; NULL if it gives none."),
    ("tags", "Tags as a JSON object with sorted keys; `{}` without tags."),
    ("first_ns", "Start of the first window in which the series changed, nanoseconds since the Unix epoch."),
    ("last_ns", "End of the last window in which it changed, nanoseconds since the Unix epoch."),
    (
        "latest",
        "Total of a counter since `first_ns`; last value of a gauge, in the run that started last if several have it; mean of a histogram's values in its last window.",
    ),
    (
        "rate",
        "Increments of a counter, or values of a histogram, a second, in the last window in which it changed; NULL for a gauge.",
    ),
    (
        "count",
        "Sum of the increments of a counter since `first_ns`; number of values of a histogram; number of times that a gauge was set. Exact over all processes and windows, also those that have expired.",
    ),
    ("sum", "Sum of the increments, or of a histogram's values, since `first_ns`; 0 for a gauge."),
];

const METRIC_HISTORY: Columns = &[
    ("metric_id", "The series, see `metrics`."),
    ("name", "Name of the metric."),
    ("kind", "`counter`, `gauge` or `histogram`."),
    ("tags", "Tags as a JSON object with sorted keys."),
    ("process_id", "Run of the program, see `processes`."),
    ("start_ns", "Start of the window of 10 s, nanoseconds since the Unix epoch."),
    ("start_s", "Start of the window in seconds since the Unix epoch."),
    (
        "value",
        "Increments of a counter within the window; last value of a gauge; mean of a histogram's values.",
    ),
    ("rate", "Increments of a counter, or values of a histogram, a second; NULL for a gauge."),
    (
        "count",
        "Sum of the increments of a counter; number of values of a histogram; number of times that a gauge was set.",
    ),
    ("sum", "Sum of the increments, or of a histogram's values; 0 for a gauge."),
    ("min", "Smallest value of a gauge or a histogram in the window."),
    ("max", "Largest value of a gauge or a histogram in the window."),
    ("p50", "Median of a histogram's values, at most 4.5 % off; NULL for counters and gauges."),
    ("p95", "95th percentile of a histogram's values, at most 4.5 % off."),
    ("p99", "99th percentile of a histogram's values, at most 4.5 % off."),
    ("window", "Number of the window: `start_ns` / 10^10."),
];

const LOGS: Columns = &[
    (
        "log_id",
        "Id of the row. Ids rise in the order in which lines are committed: that of a thread's lines is the order in which it said them, but for errors that found no room in their ring and came past it.",
    ),
    ("at_ns", "Time at which the line was said, nanoseconds since the Unix epoch."),
    ("at_s", "The same in seconds, with fractions."),
    ("level", "`error`, `warn`, `info`, `debug` or `trace`."),
    ("target", "Target that the program names, usually the path of the module."),
    (
        "body",
        "Text of the line, at most 1 KB; NULL if the row stands only for lines without a row of their own.",
    ),
    ("fields", "Fields of the line as a JSON object; NULL if it has none."),
    (
        "lines",
        "Number of lines that the row stands for: itself, and the lines of the same place since its last row, which came faster than 100 a second.",
    ),
    (
        "function",
        "Function that said the line; NULL outside of calls, and if neither the call has a row nor began on the thread that said the line.",
    ),
    ("call_id", "Call that said the line, see `calls`; NULL if the call has no row, or none yet."),
    ("span_id", "Id of that call within its process's calls; NULL outside of calls."),
    ("trace_id", "Id of the root of its tree; NULL outside of calls."),
    ("service", "Service of the process."),
    ("process_id", "Run of the program, see `processes`."),
    ("file", "Source file of the line, if it is known."),
    ("line", "Line in the source file, if it is known."),
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

const GUARD_HOLD: Columns = &[
    (
        "process_id",
        "Process whose guard is held, or 0 for every process. A process's own row takes precedence over that of 0.",
    ),
    ("name", "Name of the guard, see `guards`."),
    ("hold", "`open` (no call is made), `closed` (every call is made) or `auto` (not held)."),
    ("reason", "Reason for the hold."),
    ("set_ns", "Time at which it was set, nanoseconds since the Unix epoch."),
    ("set_by", "Name of whoever set it."),
];

const EDGES: Columns = &[
    ("caller", "Name of the calling function."),
    ("callee", "Name of the called function."),
    ("weight", "Number of calls of the callee that its rows stand for: an estimate if calls are sampled."),
    ("failed_weight", "Number of failed calls among them."),
    ("total_ms", "Time of all these calls, in ms."),
    ("parents", "Number of calls of the caller that made at least one of these calls."),
    ("calls_per_parent", "Mean number of these calls below one call of the caller that made any."),
    (
        "most_per_parent",
        "Highest number of these calls below one call of the caller: many, one after the other, are an N+1. Where calls \
         of the caller share a row, their mean counts, rounded up.",
    ),
];

const HISTOGRAM: Columns = &[
    ("function", "Name of the function."),
    ("slice_start_ns", "Start of the half hour, in ns since the Unix epoch."),
    ("process_id", "Run of the program, as in `processes`."),
    ("lower_ms", "Durations in the row are longer than this, in ms."),
    ("upper_ms", "Durations in the row are at most this long, in ms."),
    ("count", "Number of calls of such a duration. Calls that were only counted are in no row."),
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
    (
        "edges",
        "One row for each pair of a calling function and a called one among the newest 300 000 rows of `calls`. `monitor callers` and `monitor callees` narrow the time.",
        &[EDGES],
    ),
    (
        "histogram",
        "One row for each function, half hour, process and range of durations: exact counts of the last 6 hours (the store's age bound), whatever was sampled. A range is 2^(1/8) wide.",
        &[HISTOGRAM],
    ),
    ("error_groups", "One row for each kind of failure.", &[ERROR_GROUPS]),
    (
        "functions",
        "One row for each function, over all processes and the last 6 hours (the store's age bound). Counts and times are exact whatever was sampled or dropped. While a program runs, they follow its calls within 15 s, and when the calls stop or the program ends; rows of calls follow within two seconds.",
        &[FUNCTIONS],
    ),
    ("latency", "One row for each function and window of 10 s, over all processes.", &[LATENCY]),
    (
        "totals",
        "One row for each function and run of the program: all its calls since the run began, whatever has expired since. Another row holds the runs that retention has deleted, for each service and function. Summed by service and function these numbers never fall, so a metrics system can take them for counters.",
        &[TOTALS],
    ),
    (
        "slow_calls",
        "One row for each call that has a row because it was slow: the rows of `calls` whose `kept` is `slow`.",
        &[CALL],
    ),
    ("processes", "One row for each run of a program.", &[PROCESSES]),
    (
        "alerts",
        "One row for each alert: a rule that a function, or the recorder, has passed for long enough. Processes of one service share an alert: it fires as long as it fires for one of them. At most 1000 that have ended are kept.",
        &[ALERTS],
    ),
    (
        "alert_rule",
        "Rules on alerts. Running processes read the table within two seconds, idle ones within five: insert, update or delete rows.",
        &[ALERT_RULE],
    ),
    (
        "alert_cursor",
        "One row for each receiver of alerts: how far `monitor watch` has told it. Delete a row to have the alerts that fire told again.",
        &[ALERT_CURSOR],
    ),
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
    (
        "guards",
        "One row for each process and guard around a part of the program: its state and its figures since the process began.",
        &[GUARDS],
    ),
    (
        "metrics",
        "One row for each series of the program's own metrics, which `monitored-metrics` records: its latest figures and its totals.",
        &[METRICS],
    ),
    (
        "metric_history",
        "One row for each series, process and window of 10 s in which the series changed. A window without a change has no row: the counter stood still, and the gauge kept its value.",
        &[METRIC_HISTORY],
    ),
    (
        "logs",
        "Log lines of the program, each with the call that said it. They take at most a tenth of `MONITOR_MAX_DISK`.",
        &[LOGS],
    ),
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
    (
        "guard_hold",
        "Guards that users hold. Running processes read the table within two seconds, idle ones within five: insert a row to hold a guard, delete it to release the guard.",
        &[GUARD_HOLD],
    ),
    ("schema_doc", "These explanations.", &[SCHEMA_DOC]),
];

/// The tables behind the views, which may change with the schema version.
const BASE_TABLES: &[(&str, &str)] = &[
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
    ("thread", "Segments of threads' lives. The starts in `call` are relative to the segment's `base_ns`."),
    (
        "call",
        "Behind `calls`. `start` is relative to the thread's `base_ns`, `span` is the span id; `parent` is span minus parent (0 for a root); `trace` is parent (or span) minus trace; `kind` is 4 × outcome + kept, where the outcome `exit` is -1; `busy` is NULL where it equals `duration`.",
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
        "Ranges of call ids by time, a row for each 10 s or 20 000 calls. It turns a time into a bound on `call_id`, and retention deletes by it. `failed_only` is 1 for a range of which the size bound has left only the failed calls. `zoned` is the number of calls whose functions the range's zones tell: if they are fewer than the range has, calls of a function can be anywhere in it. The row of function 0 in `call_zone_function` counts further calls whose spans and longest duration the zones tell.",
    ),
    (
        "call_zone_function",
        "Functions of which a range has calls, with their number and the longest one, in ns. A range of so many functions that these rows would take a noticeable part of its bytes has one row for all its calls, of `function_id` 0. A range of few calls has none.",
    ),
    (
        "call_zone_span",
        "Blocks of span ids in which spans, or traces, of a range's calls lie, and the first and last of them.",
    ),
    ("function_total", "Behind `totals`, by process. `histogram` is written as that of `latency_window`."),
    (
        "function_expired",
        "The sums of the half hours that retention has deleted, by process. `function_total` less these is the sum of the half hours in `slice`, except for runs of which an older version deleted half hours, whose `calls` tell.",
    ),
    (
        "past_total",
        "Behind `totals`: the sums over the runs that retention has deleted, by service and name of the function. `until_ns` is the end of the last of them. Of more than 10 000 rows the ones that ended first are deleted.",
    ),
    (
        "past_report",
        "Counters of `health`, such as `dropped_ring_full`, summed over the runs that retention has deleted.",
    ),
    ("alert", "Behind `alerts`. `function_id` is 0 where the alert is not on a function."),
    ("alert_part", "The processes for which an alert fires, with the state that each has of it."),
    (
        "alert_told",
        "Alerts that fire and that a receiver was told of, with the level that it was told; empty for those that it is to be told of, `refused` for those that it refused while it took later ones.",
    ),
    ("calendar", "Dates of the days on which stored calls started."),
    (
        "latency_window",
        "Behind `latency`, by process. `window` counts 10 s since the Unix epoch. Where several processes called the function in a window, a row of process 0 is their sum. `shown` is 1 for the row that `latency` shows. `histogram` has the window's buckets as in `slice_bucket`, from bucket -8 on. Each bucket that is not empty is two numbers: the number of empty buckets before it, and its count. A number is written in seven bits a byte, the lowest bits first, with the highest bit set where another byte follows.",
    ),
    ("latency_start", "The windows that `latency_window` has, and the start of each."),
    (
        "latency_chunk",
        "The windows of a function that `latency` shows, five minutes in a row, so that readers of long spans read few rows. It repeats `latency_window` and is built from it. `id` is 2^32 × the chunk, which counts 300 s since the Unix epoch, plus the id of the function. `windows` holds entries, in the order of time behind a first one that is their sum. An entry begins with six numbers, written as those of `histogram`: the position of the window within the chunk, calls, roots, total_ns, total_ns − max_ns, and 4 × the length of the histogram, + 1 if `estimated`, + 2 if seven more numbers follow: errors, panics, cancelled, total_ns − self_ns, total_ns − busy_ns, nested_ns, cancelled_ns; else these are 0. Then comes the histogram. A difference is written as twice its size, minus 1 if it is negative.",
    ),
    (
        "latency_chunked",
        "The chunks that `latency_chunk` has. A chunk is complete if `functions_upto` is NULL; otherwise functions up to this id are done. A window that is written late takes its chunk from this table.",
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
    ("guard", "Behind `guards`."),
    (
        "metric",
        "Behind `metrics`. `count`, `sum` and `histogram` are totals over all processes; they never fall. `last_window` is the last window in which the series changed: a series is deleted once that has expired.",
    ),
    (
        "metric_window",
        "Behind `metric_history`. `histogram` is written as that of `latency_window`; a value counts like a duration of as many seconds.",
    ),
    (
        "log",
        "Behind `logs`. `bytes_upto` is the number of bytes that all lines up to this one have taken since the store was made: retention bounds the log by it.",
    ),
    ("log_target", "Places that say log lines, behind `logs`."),
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
    api.chain(BASE_TABLES.iter().map(|&(object, text)| Doc { object, column: "", text }))
}

/// Returns the page `docs/schema.md` of this schema version.
#[must_use]
pub fn page(version: i32) -> String {
    let mut page = INTRODUCTION.replace("VERSION", &version.to_string());
    for doc in docs() {
        let behind = BASE_TABLES.iter().any(|(object, _)| *object == doc.object);
        if behind && doc.object == BASE_TABLES[0].0 {
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
