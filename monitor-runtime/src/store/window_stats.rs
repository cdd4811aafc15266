//! Statistics of a window of 10 s, as a row of `latency_window` holds them.
//!
//! Takes a row; gives statistics that can be added up. It does not know which window they are of.

use rusqlite::Row;

use crate::batch::CallStats;
use crate::histogram::Histogram;

/// The columns of `latency_window` that [`WindowStats::read`] reads, behind one more.
pub(super) const COLUMNS: &str =
    "calls, errors, panics, cancelled, roots, total_ns, self_ns, busy_ns, nested_ns,
  cancelled_ns, max_ns, estimated, histogram";

/// Statistics of a window: those of one process, or of all processes.
#[derive(Debug, Default)]
pub(super) struct WindowStats {
    pub(super) stats: CallStats,
    pub(super) histogram: Histogram,
}

impl WindowStats {
    /// Reads the statistics from a row of one column and [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |at: usize| row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
        let stats = CallStats {
            calls: number(1)?,
            errors: number(2)?,
            panics: number(3)?,
            cancelled: number(4)?,
            roots: number(5)?,
            total_ns: number(6)?,
            self_ns: number(7)?,
            busy_ns: number(8)?,
            nested_ns: number(9)?,
            cancelled_ns: number(10)?,
            max_ns: number(11)?,
            is_estimated: number(12)? != 0,
            ..CallStats::default()
        };
        Ok(Self { stats, histogram: Histogram::from_bytes(row.get_ref(13)?.as_blob().unwrap_or_default()) })
    }

    /// Adds the statistics of other calls.
    pub(super) fn merge(&mut self, other: &Self) {
        self.stats.merge(&other.stats);
        self.histogram.merge(&other.histogram);
    }
}
