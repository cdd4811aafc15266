//! The step from version 2 to version 3: tables as they were, and the statements that change them.

/// The table of windows in version 2.
pub(super) const WINDOWS_2: &str = "CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  shown INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  panics INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  p50_ns INTEGER NOT NULL,
  p95_ns INTEGER NOT NULL,
  p99_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  histogram BLOB NOT NULL,
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID";

/// The table of slices in version 2.
pub(super) const SLICES_2: &str = "CREATE TABLE slice (
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
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  PRIMARY KEY (slice, function_id, process_id)
) STRICT, WITHOUT ROWID";

/// Adds sums of self time, of busy time, of nested and of cancelled calls to windows and slices, and the number of
/// roots. These numbers are not known for stored calls, so they are 0 there.
pub(super) const SELF_TIMES: &str = "
ALTER TABLE latency_window RENAME TO latency_window_2;
CREATE TABLE latency_window (
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
) STRICT, WITHOUT ROWID;
INSERT INTO latency_window
SELECT window, function_id, process_id, shown, calls, errors, panics, cancelled, 0, total_ns, 0, 0, 0, 0, max_ns,
  p50_ns, p95_ns, p99_ns, estimated, histogram
FROM latency_window_2;
DROP TABLE latency_window_2;
ALTER TABLE slice RENAME TO slice_2;
CREATE TABLE slice (
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
) STRICT, WITHOUT ROWID;
INSERT INTO slice
SELECT slice, function_id, process_id, calls, errors, panics, cancelled, recorded, sampled_out, dropped, 0, total_ns,
  0, 0, 0, 0, max_ns, estimated
FROM slice_2;
DROP TABLE slice_2;";

/// The table of calls in flight in version 2.
pub(super) const FLIGHTS_2: &str = "CREATE TABLE flight (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread TEXT,
  depth INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  span INTEGER NOT NULL
) STRICT";

/// Adds thread, parent, last poll and arguments to calls in flight. These facts are not known for stored calls in
/// flight.
pub(super) const CALLS_IN_FLIGHT: &str = "
ALTER TABLE flight RENAME TO flight_2;
CREATE TABLE flight (
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
) STRICT;
INSERT INTO flight SELECT id, process_id, thread, depth, function_id, start_ns, span, NULL, NULL, NULL, NULL
FROM flight_2;
DROP TABLE flight_2;";

/// The table of processes up to version 2.
pub(super) const PROCESSES_2: &str = "CREATE TABLE process (
  id INTEGER PRIMARY KEY,
  run_uuid TEXT NOT NULL UNIQUE,
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_mark TEXT,
  started_ns INTEGER NOT NULL,
  ended_ns INTEGER,
  ending TEXT NOT NULL DEFAULT 'running' CHECK (ending IN ('running', 'exit', 'crash'))
) STRICT";

/// The table of kinds of failure up to version 2.
pub(super) const ERROR_GROUPS_2: &str = "CREATE TABLE error_group (
  fingerprint INTEGER PRIMARY KEY,
  function_id INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  message TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  example_call_id INTEGER
) STRICT";

/// Adds the identity of the program to processes; the type of the error, and the number of failures that began in the
/// function, to kinds of failure; and the blocks from which span ids are taken. It is not known where stored failures
/// began, so each counts as having begun in its own function. Fingerprints are cut to 53 bits, which a double holds
/// exactly. Stored calls keep their span ids, because the parents of all calls are relative to them. The first new
/// block follows after the span ids of all stored threads whose base is below 2^52.
pub(super) const IDENTITIES: &str = "
ALTER TABLE process RENAME TO process_2;
CREATE TABLE process (
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
) STRICT;
INSERT INTO process SELECT *, NULL, NULL, NULL FROM process_2;
DROP TABLE process_2;
ALTER TABLE error_group RENAME TO error_group_2;
CREATE TABLE error_group (
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
) STRICT;
INSERT OR IGNORE INTO error_group
SELECT fingerprint & 9007199254740991, function_id, outcome, message, count, first_ns, last_ns, example_call_id, NULL,
  count, 0, NULL
FROM error_group_2;
DROP TABLE error_group_2;
CREATE TABLE span_block (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  block INTEGER NOT NULL,
  UNIQUE (process_id, block)
) STRICT;
INSERT INTO span_block
SELECT (span_base >> 20) + 8192, 0, 0 FROM thread WHERE span_base < 4503599627370496 ORDER BY span_base DESC LIMIT 1;";

/// Adds tables of the calls that share a row, of the causes of failures, and of the functions that call each other.
pub(super) const TREES: &str = "
CREATE TABLE call_fold (
  id INTEGER PRIMARY KEY,
  calls INTEGER NOT NULL,
  total_ns INTEGER NOT NULL,
  max_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE call_cause (
  id INTEGER PRIMARY KEY,
  cause INTEGER NOT NULL
) STRICT;
CREATE TABLE call_edge (
  caller_id INTEGER NOT NULL,
  callee_id INTEGER NOT NULL,
  PRIMARY KEY (caller_id, callee_id)
) STRICT, WITHOUT ROWID;";

/// The table of rates in version 2.
pub(super) const RATES_2: &str = "CREATE TABLE function_rate (
  process_id INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  asked REAL NOT NULL,
  rate REAL NOT NULL,
  fidelity TEXT NOT NULL,
  calls_per_s REAL NOT NULL,
  rows_per_s REAL NOT NULL,
  ns_per_call REAL NOT NULL,
  cpu_pct REAL NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (process_id, function_id)
) STRICT, WITHOUT ROWID";

/// The table of health reports in version 2.
pub(super) const REPORTS_2: &str = "CREATE TABLE self_report (
  process_id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  level TEXT NOT NULL,
  recorded INTEGER NOT NULL,
  dropped_ring_full INTEGER NOT NULL,
  dropped_backlog INTEGER NOT NULL,
  dropped_no_ring INTEGER NOT NULL,
  dropped_store INTEGER NOT NULL,
  folded_errors INTEGER NOT NULL,
  breaker TEXT NOT NULL,
  writer_errors INTEGER NOT NULL,
  rows_written INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  db_bytes INTEGER NOT NULL,
  wal_bytes INTEGER NOT NULL,
  own_cpu_pct REAL NOT NULL,
  overhead_ns_per_call REAL NOT NULL,
  breaker_since_ns INTEGER NOT NULL,
  breaker_held TEXT,
  breaker_openings INTEGER NOT NULL,
  breaker_next_try_ns INTEGER,
  last_failure TEXT,
  writes_ok_pct REAL,
  writes_blocked_pct REAL,
  write_retries INTEGER NOT NULL,
  write_retries_per_min INTEGER NOT NULL,
  duplicates_avoided INTEGER NOT NULL,
  cost_pct REAL NOT NULL,
  budget_pct REAL NOT NULL
) STRICT";

/// Adds columns: to the rates of functions `saved_pct` and `budget_pct`, and to health reports all from `fixed_pct` to
/// `open_spans`. From this version on, costs are in percent of one core. The stored costs are shares of a process's CPU
/// time, which the store does not hold, so they become NULL.
pub(super) const COSTS_OF_ONE_CORE: &str = "
ALTER TABLE function_rate RENAME TO function_rate_2;
CREATE TABLE function_rate (
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
) STRICT, WITHOUT ROWID;
INSERT INTO function_rate
SELECT process_id, function_id, at_ns, asked, rate, fidelity, calls_per_s, rows_per_s, ns_per_call, NULL, NULL, NULL, why
FROM function_rate_2;
DROP TABLE function_rate_2;
ALTER TABLE self_report RENAME TO self_report_2;
CREATE TABLE self_report (
  process_id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  level TEXT NOT NULL,
  recorded INTEGER NOT NULL,
  dropped_ring_full INTEGER NOT NULL,
  dropped_backlog INTEGER NOT NULL,
  dropped_no_ring INTEGER NOT NULL,
  dropped_store INTEGER NOT NULL,
  folded_errors INTEGER NOT NULL,
  breaker TEXT NOT NULL,
  writer_errors INTEGER NOT NULL,
  rows_written INTEGER NOT NULL,
  bytes_written INTEGER NOT NULL,
  db_bytes INTEGER NOT NULL,
  wal_bytes INTEGER NOT NULL,
  own_cpu_pct REAL NOT NULL,
  overhead_ns_per_call REAL NOT NULL,
  breaker_since_ns INTEGER NOT NULL,
  breaker_held TEXT,
  breaker_openings INTEGER NOT NULL,
  breaker_next_try_ns INTEGER,
  last_failure TEXT,
  writes_ok_pct REAL,
  writes_blocked_pct REAL,
  write_retries INTEGER NOT NULL,
  write_retries_per_min INTEGER NOT NULL,
  duplicates_avoided INTEGER NOT NULL,
  cost_pct REAL,
  budget_pct REAL,
  fixed_pct REAL,
  saved_pct REAL,
  off TEXT,
  dropped_passed INTEGER,
  memory_bytes INTEGER,
  memory_parts TEXT,
  memory_refused TEXT,
  dropped_logs INTEGER,
  open_spans INTEGER
) STRICT;
INSERT INTO self_report
SELECT process_id, at_ns, level, recorded, dropped_ring_full, dropped_backlog, dropped_no_ring, dropped_store,
  folded_errors, breaker, writer_errors, rows_written, bytes_written, db_bytes, wal_bytes, own_cpu_pct,
  overhead_ns_per_call, breaker_since_ns, breaker_held, breaker_openings, breaker_next_try_ns, last_failure,
  writes_ok_pct, writes_blocked_pct, write_retries, write_retries_per_min, duplicates_avoided, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM self_report_2;
DROP TABLE self_report_2;";

/// The table of segments of threads up to version 2.
pub(super) const THREADS_2: &str = "CREATE TABLE thread (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  base_ns INTEGER NOT NULL,
  span_base INTEGER NOT NULL
) STRICT";

/// Makes the span ids of calls absolute, which were relative to the base of their thread, so that calls can be joined
/// to their callers. Calls keep their ids.
pub(super) const SPANS_OF_CALLS: &str = "
UPDATE call SET span = span + (SELECT span_base FROM thread WHERE id = call.thread_id)
WHERE thread_id IN (SELECT id FROM thread);
ALTER TABLE thread RENAME TO thread_2;
CREATE TABLE thread (
  id INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  base_ns INTEGER NOT NULL
) STRICT;
INSERT INTO thread SELECT id, process_id, name, base_ns FROM thread_2;
DROP TABLE thread_2;";

/// Adds an index that leads from a time to windows.
pub(super) const STARTS_OF_WINDOWS: &str =
    "CREATE INDEX latency_window_start ON latency_window (window * 10000000000) WHERE shown = 1";

/// The table of ranges up to version 2.
pub(super) const RANGES_2: &str = "CREATE TABLE call_range (
  first_call INTEGER PRIMARY KEY,
  last_call INTEGER NOT NULL,
  min_start_ns INTEGER NOT NULL,
  max_start_ns INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  failed_only INTEGER NOT NULL DEFAULT 0
) STRICT";

/// Adds zones to ranges: summaries of a range's calls, by which readers skip ranges. The zones of stored calls are not
/// known, so their ranges are read as a whole.
pub(super) const ZONES: &str = "
ALTER TABLE call_range RENAME TO call_range_2;
CREATE TABLE call_range (
  first_call INTEGER PRIMARY KEY,
  last_call INTEGER NOT NULL,
  min_start_ns INTEGER NOT NULL,
  max_start_ns INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  failed_only INTEGER NOT NULL DEFAULT 0,
  zoned INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO call_range SELECT *, 0 FROM call_range_2;
DROP TABLE call_range_2;
CREATE TABLE call_zone_function (
  first_call INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  max_duration INTEGER NOT NULL,
  PRIMARY KEY (first_call, function_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE call_zone_span (
  first_call INTEGER NOT NULL,
  block INTEGER NOT NULL,
  min_span INTEGER,
  max_span INTEGER,
  min_trace INTEGER,
  max_trace INTEGER,
  PRIMARY KEY (first_call, block)
) STRICT, WITHOUT ROWID;";

/// Adds alert rules, alerts, and the state of the receivers of alerts. The built-in rules are written after all steps.
pub(super) const ALERTS: &str = "
CREATE TABLE alert_rule (
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
) STRICT, WITHOUT ROWID;
CREATE TABLE alert (
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
) STRICT;
CREATE INDEX alert_open ON alert (rule, function_id) WHERE until_ns IS NULL;
CREATE TABLE alert_part (
  alert_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  state TEXT NOT NULL,
  since_ns INTEGER NOT NULL,
  value REAL NOT NULL,
  peak REAL NOT NULL,
  sentence TEXT NOT NULL,
  PRIMARY KEY (alert_id, process_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_cursor (
  receiver TEXT PRIMARY KEY,
  change INTEGER NOT NULL,
  first_change INTEGER NOT NULL,
  told_ns INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  last_failure TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_told (
  receiver TEXT NOT NULL,
  alert_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (receiver, alert_id)
) STRICT, WITHOUT ROWID;
";

/// Adds the totals of functions since their processes began. These totals are not known for processes that are stored
/// already.
pub(super) const TOTALS: &str = "
CREATE TABLE function_total (
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
) STRICT, WITHOUT ROWID;
CREATE TABLE past_total (
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
) STRICT, WITHOUT ROWID;
CREATE TABLE past_report (
  service TEXT NOT NULL,
  counter TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (service, counter)
) STRICT, WITHOUT ROWID;
";

/// Adds guards around parts of the program.
pub(super) const GUARDS: &str = "
CREATE TABLE guard (
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
) STRICT, WITHOUT ROWID;";

/// Adds the program's metrics.
pub(super) const METRICS: &str = "
CREATE TABLE metric (
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
) STRICT;
CREATE TABLE metric_window (
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
) STRICT, WITHOUT ROWID;";

/// Adds log lines, and the places in the source that write them.
pub(super) const LOGS: &str = "
CREATE TABLE log_target (
  id INTEGER PRIMARY KEY,
  target TEXT NOT NULL,
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  UNIQUE (target, file, line)
) STRICT;
CREATE TABLE log (
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
) STRICT;
CREATE INDEX log_trace ON log (trace) WHERE trace <> 0;
CREATE INDEX log_awaiting ON log (span) WHERE call_id IS NULL AND span <> 0;";

/// Adds the holds that people set on guards.
pub(super) const GUARD_HOLDS: &str = "
CREATE TABLE guard_hold (
  process_id INTEGER NOT NULL,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
  hold TEXT NOT NULL CHECK (hold IN ('open', 'closed', 'auto')),
  reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  set_ns INTEGER NOT NULL DEFAULT (unixepoch() * 1000000000),
  set_by TEXT NOT NULL DEFAULT 'sql',
  PRIMARY KEY (name, process_id)
) STRICT, WITHOUT ROWID;";
