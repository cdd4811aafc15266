//! The migration of a store from schema version 1 to 2: the old tables, and the SQL statements that change them.

/// The table of windows in version 1.
pub(super) const WINDOWS_1: &str = "CREATE TABLE latency_window (
  window INTEGER NOT NULL,
  function_id INTEGER NOT NULL,
  process_id INTEGER NOT NULL,
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
  PRIMARY KEY (window, function_id, process_id)
) STRICT, WITHOUT ROWID";

/// Adds a histogram to windows, and one row that is shown for a window that several processes share. Stored windows
/// have no histogram, so the percentiles of a shared window are the means of those of its processes, weighted by calls.
/// The sums use SQL's `total`, because it cannot overflow.
pub(super) const HISTOGRAMS_OF_WINDOWS: &str = "
CREATE TABLE latency_window_1 AS SELECT * FROM latency_window;
DROP TABLE latency_window;
CREATE TABLE latency_window (
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
) STRICT, WITHOUT ROWID;
INSERT INTO latency_window
SELECT window, function_id, process_id, count(*) OVER (PARTITION BY window, function_id) = 1, calls, errors,
  panics, cancelled, total_ns, max_ns, p50_ns, p95_ns, p99_ns, estimated, x''
FROM latency_window_1;
INSERT INTO latency_window
SELECT window, function_id, 0, 1, CAST(total(calls) AS INTEGER), CAST(total(errors) AS INTEGER),
  CAST(total(panics) AS INTEGER), CAST(total(cancelled) AS INTEGER), CAST(total(total_ns) AS INTEGER),
  max(max_ns), CAST(total(p50_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER),
  CAST(total(p95_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER),
  CAST(total(p99_ns * 1e0 * calls) / max(total(calls), 1) AS INTEGER), max(estimated), x''
FROM latency_window_1 GROUP BY window, function_id HAVING count(*) > 1;
DROP TABLE latency_window_1;";
