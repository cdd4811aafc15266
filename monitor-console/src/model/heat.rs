//! A heat map: how many calls took how long, when.
//!
//! Takes windows with histograms; gives a grid of counts, time across and the logarithm of the duration up. The shades are
//! deciles of the counts and not shares of the highest one, because a few dense cells would make all others pale.

use monitor_runtime::store::schema::WINDOW_NS;

use super::period::Period;
use super::windows::Window;

/// The most columns: parts of the span.
const COLUMNS_MAX: i64 = 120;
/// The most rows: bounds of durations.
const ROWS_MAX: i32 = 48;
/// The buckets of a histogram for each factor of 2.
const BUCKETS_PER_DOUBLING: f64 = 8.0;
/// The number of shades.
pub(crate) const SHADES: usize = 10;

/// A grid of counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Grid {
    /// The start of the first column, ns since the Unix epoch.
    pub(crate) from_ns: i64,
    /// The width of a column, in ns.
    pub(crate) step_ns: i64,
    /// The lowest bucket of the first row.
    first_bucket: i32,
    /// The buckets of a row.
    buckets: i32,
    /// The number of columns.
    pub(crate) columns: usize,
    /// The number of rows, the shortest durations first.
    pub(crate) rows: usize,
    /// The counts, row by row.
    counts: Vec<u64>,
}

/// Cells of one shade side by side in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The row, counted from the shortest durations.
    pub(crate) row: usize,
    /// The first column.
    pub(crate) column: usize,
    /// The number of columns.
    pub(crate) length: usize,
    /// The shade, from 1 to [`SHADES`].
    pub(crate) shade: usize,
}

impl Grid {
    /// Builds the grid of a span. Windows outside of it are left out.
    pub(crate) fn build(windows: &[Window], period: Period) -> Self {
        let first = period.from_ns.div_euclid(WINDOW_NS);
        let last = period.until_ns.div_euclid(WINDOW_NS).max(first);
        let number = last.saturating_sub(first).saturating_add(1);
        let width = (number.saturating_add(COLUMNS_MAX - 1) / COLUMNS_MAX).max(1);
        let columns =
            usize::try_from((number.saturating_add(width - 1) / width).min(COLUMNS_MAX)).unwrap_or(1);
        // Windows outside must not stretch the rows either.
        let within: Vec<&Window> =
            windows.iter().filter(|window| (first..=last).contains(&window.at)).collect();
        let buckets = || within.iter().flat_map(|window| window.histogram.iter()).map(|(bucket, _)| bucket);
        let (Some(low), Some(high)) = (buckets().min(), buckets().max()) else { return Self::default() };
        let height = high.saturating_sub(low).saturating_add(ROWS_MAX) / ROWS_MAX;
        let height = height.max(1);
        let rows = usize::try_from(high.saturating_sub(low) / height).unwrap_or(0) + 1;
        let mut counts = vec![0_u64; rows * columns];
        for window in within {
            let column = usize::try_from(window.at.saturating_sub(first) / width).unwrap_or(usize::MAX);
            let column = column.min(columns - 1);
            for (bucket, count) in window.histogram.iter() {
                let row = usize::try_from(bucket.saturating_sub(low) / height).unwrap_or(0).min(rows - 1);
                let cell = &mut counts[row * columns + column];
                *cell = cell.saturating_add(count);
            }
        }
        let (from_ns, step_ns) = (first.saturating_mul(WINDOW_NS), width.saturating_mul(WINDOW_NS));
        Self { from_ns, step_ns, first_bucket: low, buckets: height, columns, rows, counts }
    }

    /// Returns true if no call of the span was timed.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Returns the count of a cell.
    pub(crate) fn count(&self, row: usize, column: usize) -> u64 {
        self.counts.get(row * self.columns + column).copied().unwrap_or(0)
    }

    /// Returns the shortest duration of a row, in ns; for the row after the last one, the longest duration of the grid.
    pub(crate) fn duration_ns(&self, row: usize) -> f64 {
        let rows = i32::try_from(row).unwrap_or(i32::MAX);
        let bucket = self.first_bucket.saturating_add(self.buckets.saturating_mul(rows));
        (f64::from(bucket) / BUCKETS_PER_DOUBLING).exp2()
    }

    /// Returns the start of a column, ns since the Unix epoch.
    pub(crate) fn time_ns(&self, column: usize) -> i64 {
        let column = i64::try_from(column).unwrap_or(i64::MAX);
        self.from_ns.saturating_add(self.step_ns.saturating_mul(column))
    }

    /// Returns the cells with calls, joined where neighbours in a row have one shade.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut sorted: Vec<u64> = self.counts.iter().copied().filter(|count| *count > 0).collect();
        sorted.sort_unstable();
        let shade = |count: u64| {
            let below = sorted.partition_point(|other| *other <= count);
            (below * SHADES).div_ceil(sorted.len().max(1)).clamp(1, SHADES)
        };
        let mut runs: Vec<Run> = Vec::new();
        for row in 0..self.rows {
            for column in 0..self.columns {
                let count = self.count(row, column);
                if count == 0 {
                    continue;
                }
                let shade = shade(count);
                match runs.last_mut() {
                    Some(run)
                        if run.row == row && run.column + run.length == column && run.shade == shade =>
                    {
                        run.length += 1;
                    }
                    _ => runs.push(Run { row, column, length: 1, shade }),
                }
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use monitor_runtime::histogram::{self, Histogram};

    use super::*;

    fn window(at: i64, durations: &[(u64, u64)]) -> Window {
        let mut buckets: Vec<_> =
            durations.iter().map(|(ns, count)| (histogram::bucket(*ns), *count)).collect();
        buckets.sort_unstable();
        Window {
            at,
            function: 0,
            calls: durations.iter().map(|(_, count)| count).sum(),
            failed: 0,
            total_ns: 0,
            self_ns: 0,
            max_ns: 0,
            is_estimated: false,
            histogram: Histogram::from_buckets(&buckets),
        }
    }

    fn period(first: i64, last: i64) -> Period {
        Period { from_ns: first * WINDOW_NS, until_ns: last * WINDOW_NS }
    }

    #[test]
    fn every_call_is_in_the_cell_of_its_time_and_duration() {
        let windows = [window(10, &[(1_000, 5), (1_000_000, 1)]), window(12, &[(1_000, 7)])];
        let grid = Grid::build(&windows, period(10, 12));
        assert_eq!(grid.columns, 3);
        assert_eq!((grid.count(0, 0), grid.count(0, 1), grid.count(0, 2)), (5, 0, 7));
        assert_eq!(grid.count(grid.rows - 1, 0), 1);
        assert!(grid.duration_ns(0) <= 1_000.0 && grid.duration_ns(grid.rows) >= 1_000_000.0);
        assert_eq!(grid.time_ns(2), 12 * WINDOW_NS);
    }

    #[test]
    fn windows_outside_of_the_span_neither_count_nor_stretch_the_grid() {
        let inside = window(11, &[(1_000, 5), (2_000, 5)]);
        let outside = [window(9, &[(10, 3)]), inside.clone(), window(13, &[(1_000_000_000, 3)])];
        let grid = Grid::build(&outside, period(10, 12));
        assert_eq!(grid, Grid::build(&[inside], period(10, 12)));
        assert_eq!(grid.counts.iter().sum::<u64>(), 10);
        assert!(Grid::build(&outside, period(20, 30)).is_empty());
    }

    #[test]
    fn neighbours_of_one_shade_are_one_run_and_the_densest_cell_is_darkest() {
        let windows: Vec<_> =
            (0..20).map(|at| window(at, &[(1_000, if at < 15 { 3 } else { 900 })])).collect();
        let runs = Grid::build(&windows, period(0, 19)).runs();
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert_eq!((runs[0].length, runs[1].length, runs[1].shade), (15, 5, SHADES));
        assert!(runs[0].shade < SHADES);
    }

    #[test]
    fn a_grid_is_bounded_whatever_the_span_and_the_durations() {
        let windows = [window(0, &[(1, 1), (u64::MAX, 1)]), window(100_000, &[(5, 1)])];
        let grid = Grid::build(&windows, period(0, 100_000));
        assert!(grid.columns <= 120 && grid.rows <= 49, "{} {}", grid.columns, grid.rows);
        assert!(Grid::build(&[], period(0, 5)).is_empty());
        assert!(!Grid::build(&windows, Period::WHOLE).runs().is_empty());
    }
}
