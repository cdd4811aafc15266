//! A heat map: how many calls took how long, when.
//!
//! Takes windows with histograms and a size; gives a grid of counts, time across and the logarithm of the duration
//! up. The shades are quantiles of the counts and not shares of the highest one, because a few dense cells would make
//! all others pale.

use monitor_runtime::store::schema::WINDOW_NS;

use super::period::Period;
use super::windows::Window;

/// The buckets of a histogram for each factor of 2.
const BUCKETS_PER_DOUBLING: f64 = 8.0;

/// The size of a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) columns: Columns,
    /// The most rows.
    pub(crate) rows: usize,
    /// The fewest buckets of a row, of which a factor of 2 has eight.
    pub(crate) buckets: i32,
}

/// The number of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Columns {
    /// At most this many, each of as many whole windows as the others, so that no column is darker for its width.
    AtMost(i64),
    /// Exactly this many, because the picture has as many places, as a heat map in the terminal.
    Exactly(i64),
}

/// A grid of counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Grid {
    /// The start of the first column, ns since the Unix epoch.
    pub(crate) from_ns: i64,
    /// The time of all columns, in ns.
    length_ns: i64,
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
    /// The shade: 1 is the lightest.
    pub(crate) shade: usize,
}

impl Grid {
    /// Builds the grid of a span. Windows outside of it are left out.
    pub(crate) fn build(windows: &[Window], period: Period, size: Size) -> Self {
        let first = period.from_ns.div_euclid(WINDOW_NS);
        let last = period.until_ns.div_euclid(WINDOW_NS).max(first);
        let number = last.saturating_sub(first).saturating_add(1);
        let (columns, length) = match size.columns {
            Columns::Exactly(columns) => (columns.max(1), number),
            Columns::AtMost(columns) => {
                let width = divide_up(number, columns.max(1));
                let columns = divide_up(number, width);
                (columns, columns.saturating_mul(width))
            }
        };
        // Windows outside must not stretch the rows either.
        let within: Vec<&Window> =
            windows.iter().filter(|window| (first..=last).contains(&window.at)).collect();
        let buckets = || within.iter().flat_map(|window| window.histogram.iter()).map(|(bucket, _)| bucket);
        let (Some(low), Some(high)) = (buckets().min(), buckets().max()) else { return Self::default() };
        let most = i32::try_from(size.rows.max(1)).unwrap_or(i32::MAX);
        let height = (high.saturating_sub(low) / most).saturating_add(1).max(size.buckets);
        let rows = usize::try_from(high.saturating_sub(low) / height).unwrap_or(0) + 1;
        let to_column = |at: i64| {
            let column = i128::from(at.saturating_sub(first)) * i128::from(columns) / i128::from(length);
            usize::try_from(column).unwrap_or(usize::MAX)
        };
        let number = usize::try_from(columns).unwrap_or(1);
        let mut counts = vec![0_u64; rows * number];
        for window in within {
            let column = to_column(window.at).min(number - 1);
            for (bucket, count) in window.histogram.iter() {
                let row = usize::try_from(bucket.saturating_sub(low) / height).unwrap_or(0).min(rows - 1);
                let cell = &mut counts[row * number + column];
                *cell = cell.saturating_add(count);
            }
        }
        Self {
            from_ns: first.saturating_mul(WINDOW_NS),
            length_ns: length.saturating_mul(WINDOW_NS),
            first_bucket: low,
            buckets: height,
            columns: number,
            rows,
            counts,
        }
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

    /// Returns the time of a column, in ns, rounded down.
    pub(crate) fn step_ns(&self) -> i64 {
        self.length_ns / i64::try_from(self.columns.max(1)).unwrap_or(i64::MAX)
    }

    /// Returns the start of a column, ns since the Unix epoch.
    pub(crate) fn time_ns(&self, column: usize) -> i64 {
        let since = i128::from(self.length_ns) * column as i128 / self.columns.max(1) as i128;
        self.from_ns.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Returns the cells with calls in this many shades, joined where neighbours in a row have one shade.
    pub(crate) fn runs(&self, shades: usize) -> Vec<Run> {
        let mut sorted: Vec<u64> = self.counts.iter().copied().filter(|count| *count > 0).collect();
        sorted.sort_unstable();
        let shade = |count: u64| {
            let below = sorted.partition_point(|other| *other <= count);
            (below * shades).div_ceil(sorted.len().max(1)).clamp(1, shades)
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

/// Returns the quotient of two positive numbers, rounded up.
fn divide_up(number: i64, by: i64) -> i64 {
    (number - 1) / by + 1
}

#[cfg(test)]
mod tests {
    use monitor_runtime::histogram::{self, Histogram};

    use super::*;

    const LARGE: Size = Size { columns: Columns::AtMost(120), rows: 48, buckets: 1 };
    const SHADES: usize = 10;

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
        let grid = Grid::build(&windows, period(10, 12), LARGE);
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
        let grid = Grid::build(&outside, period(10, 12), LARGE);
        assert_eq!(grid, Grid::build(&[inside], period(10, 12), LARGE));
        assert_eq!(grid.counts.iter().sum::<u64>(), 10);
        assert!(Grid::build(&outside, period(20, 30), LARGE).is_empty());
    }

    #[test]
    fn neighbours_of_one_shade_are_one_run_and_the_densest_cell_is_darkest() {
        let windows: Vec<_> =
            (0..20).map(|at| window(at, &[(1_000, if at < 15 { 3 } else { 900 })])).collect();
        let runs = Grid::build(&windows, period(0, 19), LARGE).runs(SHADES);
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert_eq!((runs[0].length, runs[1].length, runs[1].shade), (15, 5, SHADES));
        assert!(runs[0].shade < SHADES);
    }

    #[test]
    fn a_grid_is_bounded_whatever_the_span_and_the_durations() {
        let windows = [window(0, &[(1, 1), (u64::MAX, 1)]), window(100_000, &[(5, 1)])];
        let grid = Grid::build(&windows, period(0, 100_000), LARGE);
        assert!(grid.columns <= 120 && grid.rows <= 49, "{} {}", grid.columns, grid.rows);
        assert!(Grid::build(&[], period(0, 5), LARGE).is_empty());
        assert!(!Grid::build(&windows, Period::WHOLE, LARGE).runs(SHADES).is_empty());
    }

    #[test]
    fn a_picture_of_a_given_width_has_that_many_columns_whatever_the_span() {
        let size = Size { columns: Columns::Exactly(10), rows: 6, buckets: 4 };
        for (windows, late) in [(10, 9), (4, 3), (90, 89)] {
            let span = period(0, windows - 1);
            let grid = Grid::build(&[window(0, &[(1_000, 5)]), window(late, &[(1_000_000, 2)])], span, size);
            assert_eq!((grid.columns, grid.count(0, 0)), (10, 5), "{windows}");
            let last = usize::try_from(late * 10 / windows).unwrap_or(0);
            assert_eq!(grid.count(grid.rows - 1, last), 2, "{windows}");
            assert_eq!((grid.time_ns(0), grid.time_ns(10)), (0, windows * WINDOW_NS));
        }
        // A row is half a factor of 2 at least.
        assert_eq!(Grid::build(&[window(0, &[(500, 1), (540, 1)])], period(0, 0), size).rows, 1);
    }
}
