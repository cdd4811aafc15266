//! The base tables and their indexes.
//!
//! Gives each as its name and the text that `sqlite_schema` shows. A store whose tables have other texts is not ours:
//! `examine` compares them. A changed text therefore needs a new schema version and a step in `migrate`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::batch::HEALTH_COLUMNS;

/// Returns the base tables and indexes, each as its name and the text that `sqlite_schema` shows.
pub(crate) fn tables() -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
    let fixed = TABLES.iter().map(|(name, sql)| (*name, Cow::Borrowed(*sql)));
    fixed.chain([("self_report", Cow::Owned(self_report()))])
}

/// Returns the text of the table of health reports, whose columns are defined in `batch::health_row`.
fn self_report() -> String {
    let columns = HEALTH_COLUMNS.iter().fold(String::new(), |mut text, column| {
        let _ = write!(text, ",\n  {} {}", column.name, column.sql_type());
        text
    });
    format!("CREATE TABLE self_report (\n  process_id INTEGER PRIMARY KEY{columns}\n) STRICT")
}

/// The base tables and indexes, except the table of health reports.
const TABLES: &[(&str, &str)] = &[
    (
        "process",
        "CREATE TABLE process (
  id INTEGER PRIMARY KEY,
  run_uuid TEXT NOT NULL UNIQUE,
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_mark TEXT,
  started_ns INTEGER NOT NULL,
  ended_ns INTEGER,
  ending TEXT NOT NULL DEFAULT 'running' CHECK (ending IN ('running', 'exit', 'crash')),
  executable TEXT,
  program_version TEXT,
  build TEXT
) STRICT",
    ),
    (
        "progress",
        "CREATE TABLE progress (
  process_id INTEGER NOT NULL,
  ring INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  PRIMARY KEY (process_id, ring)
) STRICT, WITHOUT ROWID",
    ),
    (
        "function",
        "CREATE TABLE function (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  group_name TEXT,
  sample_rate REAL NOT NULL,
  UNIQUE (name, file, line)
) STRICT",
    ),
    (
        "process_function",
        "CREATE TABLE process_function (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "thread",
        "CREATE TABLE thread (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  base_ns INTEGER NOT NULL
) STRICT",
    ),
    (
        "span_block",
        "CREATE TABLE span_block (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  block INTEGER NOT NULL,
  UNIQUE (process_id, block)
) STRICT",
    ),
    (
        "call",
        "CREATE TABLE call (
  id INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  thread_id INTEGER NOT NULL,
  start INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  busy INTEGER,
  span INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  trace INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  weight REAL NOT NULL
) STRICT",
    ),
    (
        "call_failed",
        "CREATE INDEX call_failed ON call (id, function_id, thread_id, start, kind, span, parent) WHERE kind > 3",
    ),
    ("call_slow", "CREATE INDEX call_slow ON call (id) WHERE (kind & 3) = 1"),
    (
        "call_value",
        "CREATE TABLE call_value (
  id INTEGER PRIMARY KEY,
  args TEXT,
  result TEXT,
  error TEXT,
  fields TEXT
) STRICT",
    ),
    (
        "call_fold",
        "CREATE TABLE call_fold (
  id INTEGER PRIMARY KEY,
  calls INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL
) STRICT",
    ),
    (
        "call_cause",
        "CREATE TABLE call_cause (
  id INTEGER PRIMARY KEY,
  cause INTEGER NOT NULL
) STRICT",
    ),
    (
        "call_edge",
        "CREATE TABLE call_edge (
  caller_id INTEGER NOT NULL,
  callee_id INTEGER NOT NULL,
  PRIMARY KEY (caller_id, callee_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "call_range",
        "CREATE TABLE call_range (
  first_call INTEGER PRIMARY KEY,
  last_call INTEGER NOT NULL,
  min_start_ns INTEGER NOT NULL,
  max_start_ns INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  failed_only INTEGER NOT NULL DEFAULT 0,
  zoned INTEGER NOT NULL DEFAULT 0
) STRICT",
    ),
    (
        "call_zone_function",
        "CREATE TABLE call_zone_function (
  first_call INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  max_duration INTEGER NOT NULL,
  PRIMARY KEY (first_call, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "call_zone_span",
        "CREATE TABLE call_zone_span (
  first_call INTEGER NOT NULL,
  block INTEGER NOT NULL,
  min_span INTEGER,
  max_span INTEGER,
  min_trace INTEGER,
  max_trace INTEGER,
  PRIMARY KEY (first_call, block)
) STRICT, WITHOUT ROWID",
    ),
    (
        "calendar",
        "CREATE TABLE calendar (
  day INTEGER PRIMARY KEY,
  date TEXT NOT NULL
) STRICT",
    ),
    (
        "latency_window",
        "CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  shown INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  p50_ns INTEGER NOT NULL,
  p95_ns INTEGER NOT NULL,
  p99_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "latency_start",
        "CREATE TABLE latency_start (
  start_ns INTEGER PRIMARY KEY,
  window INTEGER NOT NULL
) STRICT",
    ),
    (
        "latency_chunk",
        "CREATE TABLE latency_chunk (
  id INTEGER PRIMARY KEY,
  windows BLOB NOT NULL
) STRICT",
    ),
    (
        "latency_chunked",
        "CREATE TABLE latency_chunked (
  chunk INTEGER PRIMARY KEY,
  functions_upto INTEGER
) STRICT",
    ),
    (
        "slice",
        "CREATE TABLE slice (
  slice INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  recorded INTEGER NOT NULL,
  sampled_out INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "slice_bucket",
        "CREATE TABLE slice_bucket (
  slice INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, bucket, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "function_total",
        "CREATE TABLE function_total (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "function_expired",
        "CREATE TABLE function_expired (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "past_total",
        "CREATE TABLE past_total (
  service TEXT NOT NULL,
  function TEXT NOT NULL,
  since_ns INTEGER NOT NULL,
  until_ns INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  roots INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  self_ns INTEGER NOT NULL,
  busy_ns INTEGER NOT NULL,
  nested_ns INTEGER NOT NULL,
  cancelled_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (service, function)
) STRICT, WITHOUT ROWID",
    ),
    (
        "past_report",
        "CREATE TABLE past_report (
  service TEXT NOT NULL,
  counter TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (service, counter)
) STRICT, WITHOUT ROWID",
    ),
    (
        "histogram_bucket",
        "CREATE TABLE histogram_bucket (
  bucket INTEGER PRIMARY KEY,
  lower_ns REAL NOT NULL,
  upper_ns REAL NOT NULL,
  mid_ns REAL NOT NULL
) STRICT",
    ),
    (
        "error_group",
        "CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER,
  error_type TEXT,
  origin_count INTEGER NOT NULL,
  root_count INTEGER NOT NULL,
  path TEXT
) STRICT",
    ),
    (
        "folded",
        "CREATE TABLE folded (
  process_id INTEGER NOT NULL,
  fingerprint INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (process_id, fingerprint)
) STRICT, WITHOUT ROWID",
    ),
    (
        "flight",
        "CREATE TABLE flight (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread TEXT,
  depth INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  span INTEGER NOT NULL,
  thread_id INTEGER,
  parent INTEGER,
  waiting_since_ns INTEGER,
  args TEXT
) STRICT",
    ),
    (
        "event",
        "CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT",
    ),
    (
        "resource",
        "CREATE TABLE resource (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  cpu_pct REAL NOT NULL,
  rss_bytes INTEGER NOT NULL,
  threads INTEGER NOT NULL,
  open_files INTEGER NOT NULL
) STRICT",
    ),
    (
        "guard",
        "CREATE TABLE guard (
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  state TEXT NOT NULL,
  since_ns INTEGER NOT NULL,
  level TEXT NOT NULL,
  calls INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  fallbacks_value INTEGER NOT NULL,
  fallbacks_cached INTEGER NOT NULL,
  fallbacks_function INTEGER NOT NULL,
  probes INTEGER NOT NULL,
  openings INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  retried_ok INTEGER NOT NULL,
  held TEXT,
  last_failure TEXT,
  PRIMARY KEY (process_id, name)
) STRICT, WITHOUT ROWID",
    ),
    (
        "metric",
        "CREATE TABLE metric (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('counter', 'gauge', 'histogram')),
  name TEXT NOT NULL,
  unit TEXT,
  description TEXT,
  tags TEXT NOT NULL,
  first_ns INTEGER NOT NULL,
  last_window INTEGER NOT NULL,
  count INTEGER NOT NULL,
  sum REAL NOT NULL,
  histogram BLOB,
  UNIQUE (name, kind, tags)
) STRICT",
    ),
    (
        "metric_window",
        "CREATE TABLE metric_window (
  window INTEGER NOT NULL,
  metric_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  sum REAL NOT NULL,
  last REAL,
  min REAL,
  max REAL,
  p50 REAL,
  p95 REAL,
  p99 REAL,
  histogram BLOB,
  PRIMARY KEY (window, metric_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "log_target",
        "CREATE TABLE log_target (
  id INTEGER PRIMARY KEY,
  target TEXT NOT NULL,
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  UNIQUE (target, file, line)
) STRICT",
    ),
    (
        "log",
        "CREATE TABLE log (
  id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  span INTEGER NOT NULL,
  trace INTEGER NOT NULL,
  level INTEGER NOT NULL,
  target_id INTEGER NOT NULL,
  function_id INTEGER,
  call_id INTEGER,
  lines INTEGER NOT NULL,
  bytes_upto INTEGER NOT NULL,
  body TEXT,
  fields TEXT
) STRICT",
    ),
    ("log_trace", "CREATE INDEX log_trace ON log (trace) WHERE trace <> 0"),
    ("log_awaiting", "CREATE INDEX log_awaiting ON log (span) WHERE call_id IS NULL AND span <> 0"),
    (
        "sampling",
        r#"CREATE TABLE sampling (
  pattern TEXT PRIMARY KEY NOT NULL
    CHECK (length(trim(pattern)) > 0 AND length(CAST(pattern AS BLOB)) <= 512
      AND pattern NOT GLOB ('*[' || char(1) || '-' || char(31) || char(127) || ']*')
      AND pattern NOT GLOB '*[!"$%,=?\^`{|}~]*' AND instr(replace(pattern, '::', ''), ':') = 0),
  rate REAL NOT NULL CHECK (rate BETWEEN 0 AND 1),
  set_ns INTEGER DEFAULT (unixepoch() * 1000000000),
  set_by TEXT DEFAULT 'sql'
) STRICT"#,
    ),
    (
        "function_rate",
        "CREATE TABLE function_rate (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  asked REAL NOT NULL,
  rate REAL NOT NULL,
  fidelity TEXT NOT NULL,
  calls_per_s REAL NOT NULL,
  rows_per_s REAL NOT NULL,
  ns_per_call REAL NOT NULL,
  cpu_pct REAL,
  saved_pct REAL,
  budget_pct REAL,
  why TEXT NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "breaker",
        "CREATE TABLE breaker (
  process_id INTEGER PRIMARY KEY,
  hold TEXT NOT NULL CHECK (hold IN ('open', 'closed', 'auto')),
  reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  set_ns INTEGER NOT NULL DEFAULT (unixepoch() * 1000000000),
  set_by TEXT NOT NULL DEFAULT 'sql'
) STRICT",
    ),
    (
        "guard_hold",
        "CREATE TABLE guard_hold (
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
  hold TEXT NOT NULL CHECK (hold IN ('open', 'closed', 'auto')),
  reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  set_ns INTEGER NOT NULL DEFAULT (unixepoch() * 1000000000),
  set_by TEXT NOT NULL DEFAULT 'sql',
  PRIMARY KEY (name, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "alert_rule",
        "CREATE TABLE alert_rule (
  name TEXT NOT NULL CHECK (length(trim(name)) > 0 AND length(CAST(name AS BLOB)) <= 200),
  level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'critical')),
  pattern TEXT NOT NULL DEFAULT '*',
  measure TEXT NOT NULL,
  op TEXT NOT NULL DEFAULT '>' CHECK (op IN ('>', '<')),
  threshold REAL NOT NULL,
  for_s INTEGER NOT NULL DEFAULT 60,
  keep_s INTEGER NOT NULL DEFAULT 60,
  min_calls INTEGER NOT NULL DEFAULT 0,
  enabled INTEGER NOT NULL DEFAULT 1,
  set_ns INTEGER DEFAULT (unixepoch() * 1000000000),
  set_by TEXT DEFAULT 'sql',
  PRIMARY KEY (name, level)
) STRICT, WITHOUT ROWID",
    ),
    (
        "alert",
        "CREATE TABLE alert (
  id INTEGER PRIMARY KEY,
  change INTEGER NOT NULL UNIQUE,
  process_id INTEGER NOT NULL,
  rule TEXT NOT NULL,
  function_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  state TEXT NOT NULL,
  since_ns INTEGER NOT NULL,
  until_ns INTEGER,
  value REAL NOT NULL,
  peak REAL NOT NULL,
  sentence TEXT NOT NULL,
  processes INTEGER NOT NULL DEFAULT 1,
  UNIQUE (process_id, rule, function_id, since_ns)
) STRICT",
    ),
    ("alert_open", "CREATE INDEX alert_open ON alert (rule, function_id) WHERE until_ns IS NULL"),
    (
        "alert_part",
        "CREATE TABLE alert_part (
  alert_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  state TEXT NOT NULL,
  since_ns INTEGER NOT NULL,
  value REAL NOT NULL,
  peak REAL NOT NULL,
  sentence TEXT NOT NULL,
  PRIMARY KEY (alert_id, process_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "alert_cursor",
        "CREATE TABLE alert_cursor (
  receiver TEXT PRIMARY KEY,
  change INTEGER NOT NULL,
  first_change INTEGER NOT NULL,
  told_ns INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  last_failure TEXT
) STRICT, WITHOUT ROWID",
    ),
    (
        "alert_told",
        "CREATE TABLE alert_told (
  receiver TEXT NOT NULL,
  alert_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (receiver, alert_id)
) STRICT, WITHOUT ROWID",
    ),
    (
        "schema_doc",
        "CREATE TABLE schema_doc (
  object TEXT NOT NULL,
  column TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (object, column)
) STRICT, WITHOUT ROWID",
    ),
];
