//! The step from version 3 to version 4: an index as it was, and the statements that change the store.

/// The index of failed calls in version 3.
pub(super) const FAILED_3: &str = "CREATE INDEX call_failed ON call (id) WHERE kind > 3";

/// Gives the index of failed calls the columns that readers ask for.
pub(super) const FAILED_CALLS: &str = "
DROP INDEX call_failed;
CREATE INDEX call_failed ON call (id, function_id, thread_id, start, kind, span, parent) WHERE kind > 3;";

/// Adds chunks of windows. The recorder fills them from the windows that are there.
pub(super) const CHUNKS: &str = "
CREATE TABLE latency_chunk (
  id INTEGER PRIMARY KEY,
  windows BLOB NOT NULL
) STRICT;
CREATE TABLE latency_chunked (
  chunk INTEGER PRIMARY KEY,
  functions_upto INTEGER
) STRICT;";

/// Gives the starts of windows a table of their own in place of an index over them.
pub(super) const WINDOW_STARTS: &str = "
DROP INDEX latency_window_start;
CREATE TABLE latency_start (
  start_ns INTEGER PRIMARY KEY,
  window INTEGER NOT NULL
) STRICT;
INSERT INTO latency_start SELECT DISTINCT window * 10000000000, window FROM latency_window;";
