//! The views, through which readers see the base tables.
//!
//! Gives each view as its name and text. The texts use only SQL that SQLite and DuckDB share. A query pays only for the
//! columns that it names.

use std::borrow::Cow;

use crate::batch::{HEALTH_COLUMNS, HealthColumn};
use crate::growth::join;

/// The columns of `calls`, `errors` and `slow_calls`. `kind` is 4 × outcome + kept, with the outcome −1 for `exit`.
/// Columns of other tables are scalar subqueries on unique keys instead of joins, because SQLite evaluates a subquery
/// only where a query names its column, but reads every joined table for each row of an aggregate. Span ids are a
/// column of the table, so that SQLite can join calls to their callers through an automatic index.
const CALL_COLUMNS: &str = "
  c.id AS call_id,
  (SELECT t.base_ns FROM thread t WHERE t.id = c.thread_id) + c.start AS start_ns,
  ((SELECT t.base_ns FROM thread t WHERE t.id = c.thread_id) + c.start) / 1e9 AS start_s,
  c.duration AS duration_ns,
  c.duration / 1e6 AS duration_ms,
  COALESCE(c.busy, c.duration) AS busy_ns,
  (SELECT f.name FROM function f WHERE f.id = c.function_id) AS function,
  CASE WHEN c.kind < 0 THEN 'exit' WHEN c.kind < 4 THEN 'ok' WHEN c.kind < 8 THEN 'error'
    WHEN c.kind < 12 THEN 'panic' ELSE 'cancelled' END AS outcome,
  CASE WHEN c.kind > 3 THEN 1 ELSE 0 END AS failed,
  (SELECT v.error FROM call_value v WHERE v.id = c.id) AS error,
  (SELECT v.args FROM call_value v WHERE v.id = c.id) AS args,
  (SELECT v.result FROM call_value v WHERE v.id = c.id) AS result,
  (SELECT v.fields FROM call_value v WHERE v.id = c.id) AS fields,
  c.weight AS weight,
  CASE WHEN c.kind < 0 THEN 'exit' ELSE
    CASE c.kind & 3 WHEN 0 THEN 'sampled' WHEN 1 THEN 'slow' WHEN 2 THEN 'failed' ELSE 'first' END END AS kept,
  c.span - c.parent - c.trace AS trace_id,
  c.span AS span_id,
  CASE WHEN c.parent <> 0 THEN c.span - c.parent END AS parent_id,
  (SELECT t.name FROM thread t WHERE t.id = c.thread_id) AS thread,
  (SELECT p.service FROM thread t JOIN process p ON p.id = t.process_id WHERE t.id = c.thread_id) AS service,
  (SELECT f.file FROM function f WHERE f.id = c.function_id) AS file,
  (SELECT f.line FROM function f WHERE f.id = c.function_id) AS line,
  (SELECT f.group_name FROM function f WHERE f.id = c.function_id) AS group_name,
  (SELECT p.host FROM thread t JOIN process p ON p.id = t.process_id WHERE t.id = c.thread_id) AS host,
  (SELECT p.pid FROM thread t JOIN process p ON p.id = t.process_id WHERE t.id = c.thread_id) AS pid,
  (SELECT t.process_id FROM thread t WHERE t.id = c.thread_id) AS process_id,
  (SELECT b.calls FROM call_fold b WHERE b.id = c.id) AS folded,
  CASE WHEN c.kind > 3 AND (SELECT x.id FROM call_cause x WHERE x.id = c.id) IS NULL THEN 1 ELSE 0 END AS origin,
  c.span + (SELECT x.cause FROM call_cause x WHERE x.id = c.id) AS caused_by,
  c.thread_id AS thread_id
FROM call c";

const VIEW_FOLDS: &str = "CREATE VIEW folds AS
SELECT
  b.id AS call_id,
  b.calls AS calls,
  b.total_ns / 1e6 AS total_ms,
  b.max_ns / 1e6 AS max_ms,
  b.last_ns AS last_ns
FROM call_fold b";

const VIEW_CALL_EDGES: &str = "CREATE VIEW call_edges AS
SELECT
  f.name AS caller,
  g.name AS callee
FROM call_edge e
JOIN function f ON f.id = e.caller_id
JOIN function g ON g.id = e.callee_id";

/// The figures come from the newest 300 000 rows, so that the time is bounded: the pairs alone are in `call_edge`. The
/// spans of a store are unique, so a caller is found by its span. The rows are materialized, because SQLite would
/// otherwise build its automatic index over the spans of all calls: 9 s instead of 0.7 s with ten million. A caller's
/// row may stand for many calls, so the calls below the row are divided by the number of these, rounded up.
const VIEW_EDGES: &str = "CREATE VIEW edges AS
WITH recent AS MATERIALIZED (
  SELECT c.id, c.function_id, c.span, c.span - c.parent AS caller_span, c.parent, c.kind, c.duration, c.weight
  FROM call c
  WHERE c.id > (SELECT MAX(id) FROM call) - 300000
), below AS (
  SELECT p.function_id AS caller_id, c.function_id AS callee_id, c.caller_span,
    MAX(p.weight) AS parents,
    SUM(c.weight) AS weight,
    SUM(CASE WHEN c.kind > 3 THEN c.weight ELSE 0e0 END) AS failed_weight,
    SUM(c.weight * c.duration) AS total_ns,
    SUM(COALESCE((SELECT b.calls FROM call_fold b WHERE b.id = c.id), 1)) AS run,
    MAX(COALESCE((SELECT b.calls FROM call_fold b WHERE b.id = p.id), 1)) AS callers
  FROM recent c
  JOIN recent p ON p.span = c.caller_span
  WHERE c.parent <> 0
  GROUP BY p.function_id, c.function_id, c.caller_span
)
SELECT
  f.name AS caller,
  g.name AS callee,
  e.weight AS weight,
  e.failed_weight AS failed_weight,
  e.total_ms AS total_ms,
  e.parents AS parents,
  e.weight / e.parents AS calls_per_parent,
  e.most AS most_per_parent
FROM (
  SELECT caller_id, callee_id, SUM(weight) AS weight, SUM(failed_weight) AS failed_weight,
    SUM(total_ns) / 1e6 AS total_ms, SUM(parents) AS parents, CAST(MAX((run + callers - 1) / callers) AS BIGINT) AS most
  FROM below
  GROUP BY caller_id, callee_id
) e
JOIN function f ON f.id = e.caller_id
JOIN function g ON g.id = e.callee_id";

const VIEW_HISTOGRAM: &str = "CREATE VIEW histogram AS
SELECT
  f.name AS function,
  b.slice * 1800000000000 AS slice_start_ns,
  b.process_id AS process_id,
  h.lower_ns / 1e6 AS lower_ms,
  h.upper_ns / 1e6 AS upper_ms,
  b.count AS count
FROM slice_bucket b
JOIN function f ON f.id = b.function_id
JOIN histogram_bucket h ON h.bucket = b.bucket";

const VIEW_ERROR_GROUPS: &str = "CREATE VIEW error_groups AS
SELECT
  g.fingerprint AS fingerprint,
  f.name AS function,
  CASE g.outcome WHEN 1 THEN 'error' WHEN 2 THEN 'panic' ELSE 'cancelled' END AS outcome,
  g.message AS message,
  g.count AS count,
  g.first_ns AS first_ns,
  g.last_ns AS last_ns,
  g.example_call_id AS example_call_id,
  g.error_type AS error_type,
  g.origin_count AS origin_count,
  g.root_count AS root_count,
  g.path AS path
FROM error_group g
LEFT JOIN function f ON f.id = g.function_id";

/// A percentile is the geometric middle of the bucket that holds it. Buckets are 2^(1/8) wide, so it is at most 2^(1/16),
/// less than 4.5 %, off. The longest call bounds it from above.
const VIEW_FUNCTIONS: &str = "CREATE VIEW functions AS
WITH figures AS (
  SELECT function_id, SUM(calls) AS calls, SUM(errors) AS errors, SUM(panics) AS panics,
    SUM(cancelled) AS cancelled, SUM(recorded) AS recorded, SUM(dropped) AS dropped,
    SUM(roots) AS roots, SUM(total_ns) AS total_ns, SUM(self_ns) AS self_ns, SUM(busy_ns) AS busy_ns,
    SUM(nested_ns) AS nested_ns, SUM(cancelled_ns) AS cancelled_ns, MAX(max_ns) AS max_ns,
    MAX(estimated) AS estimated
  FROM slice
  GROUP BY function_id
), buckets AS (
  SELECT function_id, bucket, SUM(count) AS count
  FROM slice_bucket
  GROUP BY function_id, bucket
), ranked AS (
  SELECT b.function_id, h.mid_ns,
    SUM(b.count) OVER (PARTITION BY b.function_id ORDER BY b.bucket) AS upto,
    SUM(b.count) OVER (PARTITION BY b.function_id) AS total
  FROM buckets b
  JOIN histogram_bucket h ON h.bucket = b.bucket
), percentiles AS (
  SELECT function_id,
    MIN(CASE WHEN upto >= total * 0.50 THEN mid_ns END) AS p50_ns,
    MIN(CASE WHEN upto >= total * 0.95 THEN mid_ns END) AS p95_ns,
    MIN(CASE WHEN upto >= total * 0.99 THEN mid_ns END) AS p99_ns
  FROM ranked
  GROUP BY function_id
)
SELECT
  f.name AS function,
  f.file AS file,
  f.line AS line,
  f.group_name AS group_name,
  CAST(s.calls AS BIGINT) AS calls,
  CAST(s.errors AS BIGINT) AS errors,
  CAST(s.panics AS BIGINT) AS panics,
  CAST(s.cancelled AS BIGINT) AS cancelled,
  CASE WHEN s.calls > 0 THEN (s.errors + s.panics + s.cancelled) * 1e2 / s.calls ELSE 0e0 END AS error_pct,
  CAST(s.recorded AS BIGINT) AS recorded,
  CAST(s.dropped AS BIGINT) AS dropped,
  s.total_ns / 1e6 AS total_ms,
  CASE WHEN s.calls > 0 THEN (s.total_ns + s.nested_ns + s.cancelled_ns) / 1e6 / s.calls ELSE 0e0 END AS mean_ms,
  CASE WHEN q.p50_ns > s.max_ns THEN s.max_ns ELSE q.p50_ns END / 1e6 AS p50_ms,
  CASE WHEN q.p95_ns > s.max_ns THEN s.max_ns ELSE q.p95_ns END / 1e6 AS p95_ms,
  CASE WHEN q.p99_ns > s.max_ns THEN s.max_ns ELSE q.p99_ns END / 1e6 AS p99_ms,
  s.max_ns / 1e6 AS max_ms,
  f.sample_rate AS sample_rate,
  s.estimated AS estimated,
  s.self_ns / 1e6 AS self_ms,
  s.busy_ns / 1e6 AS busy_ms,
  s.cancelled_ns / 1e6 AS cancelled_ms,
  CAST(s.roots AS BIGINT) AS roots
FROM figures s
JOIN function f ON f.id = s.function_id
LEFT JOIN percentiles q ON q.function_id = s.function_id";

/// A window is one row, even if several processes share it: the writer merges their histograms, because no SQL that SQLite
/// and DuckDB share could. So the view does not group. The starts of windows are rows of a table of their own, by which
/// windows of a span are found: an index over the starts would be a fifth of the windows' bytes. `window` stands in quotes
/// because it is a reserved word in DuckDB.
const VIEW_LATENCY: &str = "CREATE VIEW latency AS
SELECT
  f.name AS function,
  s.start_ns AS start_ns,
  s.\"window\" * 1e1 AS start_s,
  w.calls AS calls,
  w.errors + w.panics + w.cancelled AS errors,
  w.total_ns / 1e6 AS total_ms,
  w.p50_ns / 1e6 AS p50_ms,
  w.p95_ns / 1e6 AS p95_ms,
  w.p99_ns / 1e6 AS p99_ms,
  w.max_ns / 1e6 AS max_ms,
  w.estimated AS estimated,
  w.self_ns / 1e6 AS self_ms,
  w.busy_ns / 1e6 AS busy_ms,
  w.cancelled_ns / 1e6 AS cancelled_ms,
  w.\"window\" AS \"window\"
FROM latency_start s
JOIN latency_window w ON w.\"window\" = s.\"window\"
LEFT JOIN function f ON f.id = w.function_id
WHERE w.shown = 1";

/// The second half holds what retention has deleted: its rows belong to no process.
const VIEW_TOTALS: &str = "CREATE VIEW totals AS
SELECT
  t.process_id AS process_id,
  p.service AS service,
  f.name AS function,
  p.started_ns AS since_ns,
  t.calls AS calls,
  t.errors AS errors,
  t.panics AS panics,
  t.cancelled AS cancelled,
  t.dropped AS dropped,
  t.roots AS roots,
  t.total_ns / 1e6 AS total_ms,
  t.self_ns / 1e6 AS self_ms,
  t.busy_ns / 1e6 AS busy_ms,
  t.nested_ns / 1e6 AS nested_ms,
  t.cancelled_ns / 1e6 AS cancelled_ms,
  t.max_ns / 1e6 AS max_ms,
  t.estimated AS estimated
FROM function_total t
JOIN process p ON p.id = t.process_id
JOIN function f ON f.id = t.function_id
UNION ALL
SELECT
  NULL AS process_id,
  g.service AS service,
  g.function AS function,
  g.since_ns AS since_ns,
  g.calls AS calls,
  g.errors AS errors,
  g.panics AS panics,
  g.cancelled AS cancelled,
  g.dropped AS dropped,
  g.roots AS roots,
  g.total_ns / 1e6 AS total_ms,
  g.self_ns / 1e6 AS self_ms,
  g.busy_ns / 1e6 AS busy_ms,
  g.nested_ns / 1e6 AS nested_ms,
  g.cancelled_ns / 1e6 AS cancelled_ms,
  g.max_ns / 1e6 AS max_ms,
  g.estimated AS estimated
FROM past_total g";

const VIEW_PROCESSES: &str = "CREATE VIEW processes AS
SELECT
  p.id AS process_id,
  p.run_uuid AS run_uuid,
  p.service AS service,
  p.version AS version,
  p.host AS host,
  p.pid AS pid,
  p.started_ns AS started_ns,
  COALESCE(g.at_ns, p.started_ns) AS last_seen_ns,
  p.ended_ns AS ended_ns,
  p.ending AS ending,
  p.executable AS executable,
  p.program_version AS program_version,
  p.build AS build
FROM process p
LEFT JOIN progress g ON g.process_id = p.id AND g.ring = 0";

const VIEW_ALERTS: &str = "CREATE VIEW alerts AS
SELECT
  a.id AS alert_id,
  a.change AS change,
  a.process_id AS process_id,
  p.service AS service,
  a.rule AS rule,
  f.name AS function,
  a.level AS level,
  a.state AS state,
  a.since_ns AS since_ns,
  a.until_ns AS until_ns,
  a.value AS value,
  a.peak AS peak,
  a.sentence AS sentence,
  a.processes AS processes
FROM alert a
LEFT JOIN process p ON p.id = a.process_id
LEFT JOIN function f ON f.id = a.function_id";

const VIEW_IN_FLIGHT: &str = "CREATE VIEW in_flight AS
SELECT
  g.process_id AS process_id,
  g.thread AS thread,
  g.depth AS depth,
  f.name AS function,
  g.start_ns AS start_ns,
  p.ended_ns AS died_ns,
  CASE WHEN p.ended_ns < g.start_ns THEN 0e0 ELSE (p.ended_ns - g.start_ns) / 1e6 END AS elapsed_ms,
  g.span AS span_id,
  g.thread_id AS thread_id,
  g.parent AS parent_id,
  g.waiting_since_ns AS waiting_since_ns,
  g.args AS args
FROM flight g
LEFT JOIN function f ON f.id = g.function_id
LEFT JOIN process p ON p.id = g.process_id";

const VIEW_EVENTS: &str = "CREATE VIEW events AS
SELECT at_ns, process_id, kind, detail FROM event";

/// Returns the view of health reports, whose columns are defined in `batch::health_row`.
fn view_health() -> String {
    let mut text = "CREATE VIEW health AS\nSELECT process_id".to_owned();
    for HealthColumn { name, .. } in HEALTH_COLUMNS {
        text.push_str(if HEALTH_LINES.contains(&name) { ",\n  " } else { ", " });
        text.push_str(name);
    }
    text + "\nFROM self_report"
}

/// The columns that begin a line of the view's text, so that the text is the one in stores that exist.
const HEALTH_LINES: [&str; 4] = ["folded_errors", "overhead_ns_per_call", "writes_ok_pct", "cost_pct"];

const VIEW_RATES: &str = "CREATE VIEW rates AS
SELECT
  r.process_id AS process_id,
  f.name AS function,
  r.at_ns AS at_ns,
  r.asked AS asked,
  r.rate AS rate,
  r.fidelity AS fidelity,
  r.calls_per_s AS calls_per_s,
  r.rows_per_s AS rows_per_s,
  r.ns_per_call AS ns_per_call,
  r.cpu_pct AS cpu_pct,
  r.saved_pct AS saved_pct,
  r.budget_pct AS budget_pct,
  r.why AS why
FROM function_rate r
LEFT JOIN function f ON f.id = r.function_id";

const VIEW_RESOURCES: &str = "CREATE VIEW resources AS
SELECT process_id, at_ns, cpu_pct, rss_bytes, threads, open_files FROM resource";

const VIEW_GUARDS: &str = "CREATE VIEW guards AS
SELECT process_id, name, at_ns, state, since_ns, level, calls, failures, rejected, fallbacks_value, fallbacks_cached,
  fallbacks_function, probes, openings, retries, retried_ok, held, last_failure
FROM guard";

/// The figures of the last window are sums over the processes that share it. A gauge of several processes has the value
/// of the one that started last.
const VIEW_METRICS: &str = "CREATE VIEW metrics AS
SELECT
  m.id AS metric_id,
  m.name AS name,
  m.kind AS kind,
  m.unit AS unit,
  m.description AS description,
  m.tags AS tags,
  m.first_ns AS first_ns,
  (m.last_window + 1) * 10000000000 AS last_ns,
  CASE m.kind WHEN 'counter' THEN m.sum
    WHEN 'gauge' THEN (SELECT w.last FROM metric_window w WHERE w.\"window\" = m.last_window AND w.metric_id = m.id
      AND w.process_id = (SELECT MAX(v.process_id) FROM metric_window v WHERE v.\"window\" = m.last_window AND v.metric_id = m.id))
    ELSE (SELECT CASE WHEN SUM(w.count) > 0 THEN SUM(w.sum) / SUM(w.count) END FROM metric_window w
      WHERE w.\"window\" = m.last_window AND w.metric_id = m.id) END AS latest,
  CASE WHEN m.kind <> 'gauge' THEN (SELECT SUM(w.count) / 1e1 FROM metric_window w
      WHERE w.\"window\" = m.last_window AND w.metric_id = m.id) END AS rate,
  m.count AS count,
  m.sum AS sum
FROM metric m";

const VIEW_METRIC_HISTORY: &str = "CREATE VIEW metric_history AS
SELECT
  w.metric_id AS metric_id,
  m.name AS name,
  m.kind AS kind,
  m.tags AS tags,
  w.process_id AS process_id,
  w.\"window\" * 10000000000 AS start_ns,
  w.\"window\" * 1e1 AS start_s,
  CASE m.kind WHEN 'counter' THEN w.sum WHEN 'gauge' THEN w.last
    ELSE CASE WHEN w.count > 0 THEN w.sum / w.count END END AS value,
  CASE WHEN m.kind <> 'gauge' THEN w.count / 1e1 END AS rate,
  w.count AS count,
  w.sum AS sum,
  w.min AS min,
  w.max AS max,
  w.p50 AS p50,
  w.p95 AS p95,
  w.p99 AS p99,
  w.\"window\" AS \"window\"
FROM metric_window w
JOIN metric m ON m.id = w.metric_id";

/// If the thread of a line did not know the function, the function is that of the call which the line names.
const VIEW_LOGS: &str = "CREATE VIEW logs AS
SELECT
  l.id AS log_id,
  l.at_ns AS at_ns,
  l.at_ns / 1e9 AS at_s,
  CASE l.level WHEN 1 THEN 'error' WHEN 2 THEN 'warn' WHEN 3 THEN 'info' WHEN 4 THEN 'debug' ELSE 'trace' END AS level,
  (SELECT t.target FROM log_target t WHERE t.id = l.target_id) AS target,
  l.body AS body,
  l.fields AS fields,
  l.lines AS lines,
  COALESCE((SELECT f.name FROM function f WHERE f.id = l.function_id),
    (SELECT f.name FROM call c JOIN function f ON f.id = c.function_id WHERE c.id = l.call_id)) AS function,
  (SELECT c.id FROM call c WHERE c.id = l.call_id) AS call_id,
  NULLIF(l.span, 0) AS span_id,
  NULLIF(l.trace, 0) AS trace_id,
  (SELECT p.service FROM process p WHERE p.id = l.process_id) AS service,
  l.process_id AS process_id,
  (SELECT NULLIF(t.file, '') FROM log_target t WHERE t.id = l.target_id) AS file,
  (SELECT NULLIF(t.line, 0) FROM log_target t WHERE t.id = l.target_id) AS line
FROM log l";

/// The date comes from a table, because SQLite and DuckDB have no date function of the same name, and theirs stop at the
/// millisecond. `CAST((a - a % b) / b AS BIGINT)` is integer division in both. Adding a power of ten and cutting off its
/// first digit pads a number with zeros in both.
const VIEW_CALLS_READABLE: &str = "CREATE VIEW calls_readable AS
SELECT r.*,
  d.date
  || 'T' || SUBSTR(CAST(100 + CAST((r.start_ns % 86400000000000 - r.start_ns % 3600000000000) / 3600000000000 AS BIGINT) AS TEXT), 2)
  || ':' || SUBSTR(CAST(100 + CAST((r.start_ns % 3600000000000 - r.start_ns % 60000000000) / 60000000000 AS BIGINT) AS TEXT), 2)
  || ':' || SUBSTR(CAST(100 + CAST((r.start_ns % 60000000000 - r.start_ns % 1000000000) / 1000000000 AS BIGINT) AS TEXT), 2)
  || '.' || SUBSTR(CAST(1000000000 + r.start_ns % 1000000000 AS TEXT), 2)
  || 'Z' AS started_at
FROM calls r
LEFT JOIN calendar d ON d.day = CAST((r.start_ns - r.start_ns % 86400000000000) / 86400000000000 AS BIGINT)";

/// Returns every view as its name and text, in the order in which they can be created. The text is `None` if there was
/// no memory to put it together.
pub fn views() -> impl Iterator<Item = (&'static str, Option<Cow<'static, str>>)> {
    let of_calls = VIEWS_OF_CALLS.iter().map(|&(name, filter)| {
        let text = join(&["CREATE VIEW ", name, " AS\nSELECT", CALL_COLUMNS, filter]);
        (name, text.map(Cow::Owned))
    });
    let fixed = |views: &'static [(&'static str, &'static str)]| {
        views.iter().map(|&(name, text)| (name, Some(Cow::Borrowed(text))))
    };
    let health = std::iter::once_with(|| ("health", Some(Cow::Owned(view_health()))));
    of_calls.chain(fixed(VIEWS_BEFORE_HEALTH)).chain(health).chain(fixed(VIEWS_AFTER_HEALTH))
}

/// The views whose columns are those of calls, each with the rest of its text.
const VIEWS_OF_CALLS: &[(&str, &str)] =
    &[("calls", ""), ("errors", "\nWHERE c.kind > 3"), ("slow_calls", "\nWHERE (c.kind & 3) = 1")];

const VIEWS_BEFORE_HEALTH: &[(&str, &str)] = &[
    ("folds", VIEW_FOLDS),
    ("call_edges", VIEW_CALL_EDGES),
    ("edges", VIEW_EDGES),
    ("histogram", VIEW_HISTOGRAM),
    ("error_groups", VIEW_ERROR_GROUPS),
    ("functions", VIEW_FUNCTIONS),
    ("latency", VIEW_LATENCY),
    ("totals", VIEW_TOTALS),
    ("processes", VIEW_PROCESSES),
    ("alerts", VIEW_ALERTS),
    ("in_flight", VIEW_IN_FLIGHT),
    ("events", VIEW_EVENTS),
];

const VIEWS_AFTER_HEALTH: &[(&str, &str)] = &[
    ("rates", VIEW_RATES),
    ("resources", VIEW_RESOURCES),
    ("guards", VIEW_GUARDS),
    ("metrics", VIEW_METRICS),
    ("metric_history", VIEW_METRIC_HISTORY),
    ("logs", VIEW_LOGS),
    ("calls_readable", VIEW_CALLS_READABLE),
];
