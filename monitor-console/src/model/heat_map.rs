//! The durations of a function over time as a grid of counts: time to the right, duration upwards.
//!
//! Takes windows and a size; gives counts and the durations at the edges of the rows. Shades are deciles of the counts that
//! occur, because counts of calls span orders of magnitude.

use super::period::Period;
use super::windows::Window;
use monitor_runtime::store::schema::WINDOW_NS;

/// The fewest buckets that a row of the grid spans: half a power of two.
const BUCKETS_MIN: i32 = 4;

/// A grid of counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Heat {
    /// The rows, the longest durations first; each has a count for every column.
    pub(crate) rows: Vec<Vec<u64>>,
    /// The shortest duration of each row, in ns.
    pub(crate) from_ns: Vec<f64>,
}

impl Heat {
    /// Counts the calls of windows within a span in a grid of this size; the grid is empty without calls.
    pub(crate) fn build(windows: &[Window], period: Period, (columns, rows): (usize, usize)) -> Self {
        let [first, last] = [period.from_ns, period.until_ns].map(|ns| ns.div_euclid(WINDOW_NS));
        let within: Vec<&Window> =
            windows.iter().filter(|window| (first..=last).contains(&window.at)).collect();
        let buckets = || within.iter().flat_map(|window| window.histogram.iter()).map(|(bucket, _)| bucket);
        let (Some(lowest), Some(highest)) = (buckets().min(), buckets().max()) else {
            return Self::default();
        };
        if columns == 0 || rows == 0 {
            return Self::default();
        }
        let count = i32::try_from(rows).unwrap_or(i32::MAX);
        let per_row = ((highest - lowest) / count + 1).max(BUCKETS_MIN);
        let used = usize::try_from((highest - lowest) / per_row + 1).unwrap_or(1).min(rows);
        let mut grid = vec![vec![0_u64; columns]; used];
        let span = i128::from(last.saturating_sub(first)) + 1;
        for window in within {
            let since = i128::from(window.at.saturating_sub(first));
            let column = usize::try_from(since * columns as i128 / span).unwrap_or(0).min(columns - 1);
            for (bucket, count) in window.histogram.iter() {
                let row = usize::try_from((bucket - lowest) / per_row).unwrap_or(0).min(used - 1);
                let cell = &mut grid[used - 1 - row][column];
                *cell = cell.saturating_add(count);
            }
        }
        let edge = |row: usize| {
            let row = i32::try_from(used - 1 - row).unwrap_or(0);
            (f64::from(lowest + row * per_row) / 8.0).exp2()
        };
        Self { rows: grid, from_ns: (0..used).map(edge).collect() }
    }

    /// Returns the shade of each cell, from 0 for no calls to 4, by the rank of its count among the counts that occur.
    pub(crate) fn shades(&self) -> Vec<Vec<usize>> {
        let mut counts: Vec<u64> = self.rows.iter().flatten().copied().filter(|count| *count > 0).collect();
        counts.sort_unstable();
        let shade = |count: &u64| match count {
            0 => 0,
            count => 1 + counts.partition_point(|other| other < count) * 4 / counts.len().max(1),
        };
        self.rows.iter().map(|row| row.iter().map(shade).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monitor_runtime::histogram::{Histogram, bucket};

    fn window(at: i64, durations: &[(u64, u64)]) -> Window {
        let buckets: Vec<_> = durations.iter().map(|(ns, calls)| (bucket(*ns), *calls)).collect();
        Window {
            at,
            function: 0,
            calls: 0,
            failed: 0,
            total_ns: 0,
            self_ns: 0,
            max_ns: 0,
            is_estimated: false,
            histogram: Histogram::from_buckets(&buckets),
        }
    }

    #[test]
    fn every_call_is_in_one_cell_of_its_time_and_duration() {
        let period = Period { from_ns: 0, until_ns: 10 * WINDOW_NS - 1 };
        let windows = [window(0, &[(1_000, 5)]), window(9, &[(1_000, 7), (1_000_000, 2)])];
        let heat = Heat::build(&windows, period, (10, 6));
        assert_eq!(heat.rows.iter().flatten().sum::<u64>(), 14);
        assert_eq!(heat.rows.last().map(|row| (row[0], row[9])), Some((5, 7)));
        assert_eq!(heat.rows[0][9], 2);
        assert!(heat.from_ns.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", heat.from_ns);
        let shades = heat.shades();
        assert!(shades[0][9] < shades[heat.rows.len() - 1][9] && shades[0][0] == 0, "{shades:?}");
    }

    #[test]
    fn durations_of_one_bucket_are_one_row_and_none_are_no_grid() {
        let period = Period { from_ns: 0, until_ns: WINDOW_NS };
        assert_eq!(Heat::build(&[window(0, &[(500, 1)])], period, (4, 6)).rows.len(), 1);
        assert_eq!(Heat::build(&[], period, (4, 6)), Heat::default());
    }
}
