//! The step from version 4 to version 5: the statement that changes the store.

/// Adds the sums of the half hours that retention deletes from now on. Of a run whose half hours were deleted before, they
/// are too small, which readers see by the number of its calls.
pub(super) const EXPIRED: &str = "
CREATE TABLE function_expired (
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
) STRICT, WITHOUT ROWID;";
