//! Exact call statistics of a function by periods: windows of 10 s, and slices of half an hour.
//!
//! Takes the calls that records and tallies report; gives the rows that changed. A call counts in the window in which
//! it ended, however late it is drained, and a slice is the sum of its windows. It does not read the time, and it
//! does not know the other functions.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::call_stats::{Ended, Figures};
use crate::batch::{Figured, SliceRow, WindowRow};
use crate::histogram::Histogram;
use crate::limits;

/// Width of a window of the view `latency`.
pub const WINDOW_NS: i64 = 10_000_000_000;

/// Width of a slice, from which the view `functions` is made.
pub const SLICE_NS: i64 = 1_800_000_000_000;

/// A call is slow if it takes longer than this share of its function's calls.
const SLOW_SHARE: f64 = 0.99;

/// Age at which a window is closed: calls that end in it later are added to what the store has.
const WINDOWS_OPEN_NS: i64 = 2 * WINDOW_NS;

/// Statistics of one window or slice.
#[derive(Debug, Clone, Default)]
struct Period {
    figures: Figures,
    histogram: Histogram,
    /// True if it changed since it was last written.
    changed: bool,
    /// Says whether this is the whole period, or only what came after the rest of it was released.
    figured: Figured,
}

impl Period {
    fn merge(&mut self, other: &Self) {
        self.figures.merge(&other.figures);
        self.histogram.merge(&other.histogram);
        self.changed = true;
    }

    /// Becomes the other period if this one is empty, and adds the other one otherwise.
    fn replace_or_merge(&mut self, other: Self) {
        if self.figures.calls == 0 { *self = other } else { self.merge(&other) }
    }

    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// Call statistics of one function: the window in which calls end now, earlier windows that may still get a
/// late call, and slices, each the sum of its closed windows.
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionFigures {
    current_ns: i64,
    current: Period,
    // Boxed, because a node of a map has room for eleven periods, and few functions have more than two.
    earlier: BTreeMap<i64, Box<Period>>,
    slices: BTreeMap<i64, Box<Period>>,
    /// Windows that begin earlier are closed, unless they are in `earlier`.
    open_since_ns: i64,
    /// Start of the last slice that was released. Any slice before it may have been released as well.
    released_ns: Option<i64>,
    /// The statistics since the process began.
    sum: Figures,
    sum_changed: bool,
    changed: bool,
}

impl FunctionFigures {
    /// Counts a call that left a record. `has_row` is true if the call is passed on to be written as a row.
    #[inline]
    pub(crate) fn count(&mut self, ended: Ended, has_row: bool) {
        self.sum.count(ended.outcome, ended.ns, has_row);
        self.sum_changed = true;
        let period = self.window_at(ended.at_ns);
        period.histogram.add(ended.ns, 1);
        period.figures.count(ended.outcome, ended.ns, has_row);
    }

    /// Adds statistics that were summed elsewhere, and the histogram of their durations, to the window at `at_ns`.
    pub(crate) fn add(&mut self, at_ns: i64, figures: Figures, histogram: Histogram) {
        self.sum.merge(&figures);
        self.sum_changed = true;
        self.window_at(at_ns).merge(&Period { figures, histogram, ..Period::default() });
    }

    /// Counts the call that ended at `ended_ns` as dropped instead of recorded, because its row was lost before
    /// it reached the store.
    pub(crate) fn lose(&mut self, ended_ns: i64) {
        self.sum.lose_row();
        self.sum_changed = true;
        self.changed = true;
        let window = window_start(ended_ns);
        let period = if window == self.current_ns {
            &mut self.current
        } else if let Some(period) = self.earlier.get_mut(&window) {
            period
        } else {
            self.slices.entry(slice_start(window)).or_default()
        };
        period.changed = true;
        period.figures.lose_row();
    }

    /// Removes calls that were counted without a row when they began, the latest first. They have left a record
    /// since, and that record counts them again.
    pub(crate) fn take_back(&mut self, calls: u64) {
        let mut left = calls;
        let earlier = self.earlier.values_mut().rev().chain(self.slices.values_mut().rev()).map(Box::as_mut);
        for period in std::iter::once(&mut self.current).chain(earlier) {
            let removed = period.figures.uncount(left);
            period.changed |= removed > 0;
            left -= removed;
        }
        // The sum has to change too: a recovery adds what the sum lacks, and would count these calls twice.
        self.sum.uncount(calls - left);
        self.sum_changed = true;
        self.changed = true;
    }

    /// Returns the window in which a call ended, and marks it changed.
    #[inline]
    fn window_at(&mut self, at_ns: i64) -> &mut Period {
        self.changed = true;
        let since = at_ns - self.current_ns;
        if !(0..WINDOW_NS).contains(&since) {
            let start = window_start(at_ns);
            if start < self.current_ns {
                let figured = if start < self.open_since_ns { Figured::More } else { Figured::All };
                let period = self
                    .earlier
                    .entry(start)
                    .or_insert_with(|| Box::new(Period { figured, ..Period::default() }));
                period.changed = true;
                return period;
            }
            let before = std::mem::take(&mut self.current);
            if before.figures.calls > 0 {
                self.earlier.entry(self.current_ns).or_default().replace_or_merge(before);
            }
            self.current_ns = start;
        }
        self.current.changed = true;
        &mut self.current
    }

    /// Returns the duration above which a call is slow: one call in a hundred of the latest two windows takes longer,
    /// and fewer where that would be too many rows a second. Returns `None` if there were too few calls to tell.
    pub(crate) fn slow_limit(&self, calls_per_s: f64) -> Option<u64> {
        let mut recent = self.current.histogram.clone();
        if let Some((_, last)) = self.earlier.last_key_value() {
            recent.merge(&last.histogram);
        }
        let share = SLOW_SHARE.max(1.0 - f64::from(limits::SLOW_ROWS) / calls_per_s.max(1.0));
        (recent.total() >= limits::SLOW_CALLS_LEAST).then(|| recent.bound(share))
    }

    /// Returns the statistics since the process began.
    pub(crate) fn sum(&self) -> Figures {
        self.sum
    }

    /// Returns the statistics since the process began if they changed since this function last returned them.
    pub(crate) fn take_changed_sum(&mut self) -> Option<Figures> {
        std::mem::take(&mut self.sum_changed).then_some(self.sum)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Adds the rows that changed since the last call of this function to `windows` and `slices`. Then it adds
    /// windows that are old enough to be closed to their slices.
    pub(crate) fn rows(
        &mut self,
        function: u32,
        now_ns: i64,
        windows: &mut Vec<WindowRow>,
        slices: &mut Vec<SliceRow>,
    ) {
        self.changed = false;
        let mut changed: BTreeSet<i64> = self
            .slices
            .iter_mut()
            .filter_map(|(start, slice)| slice.take_changed().then_some(*start))
            .collect();
        let open = self.earlier.iter_mut().map(|(start, period)| (*start, period.as_mut()));
        for (start, period) in open.chain([(self.current_ns, &mut self.current)]) {
            if period.take_changed() {
                windows.push(window_row(function, start, period));
                changed.insert(slice_start(start));
            }
        }
        for start in changed {
            slices.push(slice_row(function, start, &self.slice(start)));
        }
        self.close_windows(now_ns);
    }

    /// Closes windows, each into its slice, and releases slices that get no more calls. A clock that was set back
    /// opens no window again.
    fn close_windows(&mut self, now_ns: i64) {
        self.open_since_ns = self.open_since_ns.max(now_ns - WINDOWS_OPEN_NS);
        let later = self.earlier.split_off(&self.open_since_ns);
        for (start, period) in std::mem::replace(&mut self.earlier, later) {
            let slice = self.slices.entry(slice_start(start)).or_default();
            slice.merge(&period);
            slice.changed = false;
        }
        // The slice of the current window stays, however old, because its row is made of both.
        let current = slice_start(self.current_ns);
        let oldest = (self.open_since_ns - 2 * SLICE_NS).min(current - 1);
        let kept = self.slices.split_off(&(oldest + 1));
        if let Some((last, _)) = std::mem::replace(&mut self.slices, kept).pop_last() {
            self.released_ns = self.released_ns.max(Some(last));
        }
    }

    /// Returns the sum of a slice and of its windows that are still open.
    fn slice(&self, start: i64) -> Period {
        let mut sum = self.slices.get(&start).map(|slice| Period::clone(slice)).unwrap_or_default();
        let is_released = self.released_ns.is_some_and(|released| start <= released);
        sum.figured = if is_released { Figured::More } else { Figured::All };
        for period in self.earlier.range(start..start + SLICE_NS).map(|(_, period)| period) {
            sum.merge(period);
        }
        if slice_start(self.current_ns) == start {
            sum.merge(&self.current);
        }
        sum
    }

    /// Marks all periods that are in memory as changed, so that they are written again, because the store is a new
    /// file.
    pub(crate) fn touch(&mut self) {
        let periods = self.earlier.values_mut().chain(self.slices.values_mut()).map(Box::as_mut);
        for period in periods.chain([&mut self.current]).filter(|period| period.figures.calls > 0) {
            period.changed = true;
            self.changed = true;
        }
    }
}

fn window_start(at_ns: i64) -> i64 {
    at_ns - at_ns.rem_euclid(WINDOW_NS)
}

fn slice_start(at_ns: i64) -> i64 {
    at_ns - at_ns.rem_euclid(SLICE_NS)
}

fn window_row(function: u32, start_ns: i64, period: &Period) -> WindowRow {
    let buckets = period.histogram.iter().collect();
    WindowRow { function, start_ns, figured: period.figured, figures: period.figures, buckets }
}

fn slice_row(function: u32, start_ns: i64, period: &Period) -> SliceRow {
    let WindowRow { figured, figures, buckets, .. } = window_row(function, start_ns, period);
    SliceRow { function, start_ns, figured, figures, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    #[test]
    fn a_slice_sums_its_windows_open_and_closed() {
        let mut figures = FunctionFigures::default();
        let mut totals = BTreeMap::new();
        for second in 0..200_i64 {
            let at_ns = second * 1_000_000_000;
            let outcome = if second % 10 == 0 { Outcome::Error } else { Outcome::Ok };
            figures.count(Ended { outcome, ns: 100, at_ns }, true);
            let (mut windows, mut slices) = (Vec::new(), Vec::new());
            figures.rows(1, at_ns, &mut windows, &mut slices);
            assert!(!figures.is_changed());
            assert_eq!(windows.len(), 1);
            assert_eq!(slices.len(), 1);
            assert_eq!(slices[0].figures.calls, second as u64 + 1);
            assert_eq!(slices[0].figures.errors, second as u64 / 10 + 1);
            assert_eq!(slices[0].buckets.iter().map(|(_, count)| count).sum::<u64>(), second as u64 + 1);
            totals.insert(windows[0].start_ns, windows[0].figures.calls);
        }
        assert_eq!(totals.len(), 20);
        assert!(totals.values().all(|calls| *calls == 10));
    }

    /// A store of rows in memory: the statistics of each period by its start.
    #[derive(Default)]
    struct Stored {
        windows: BTreeMap<i64, Figures>,
        slices: BTreeMap<i64, Figures>,
    }

    impl Stored {
        fn take(&mut self, figures: &mut FunctionFigures, now_ns: i64) {
            let (mut windows, mut slices) = (Vec::new(), Vec::new());
            figures.rows(1, now_ns, &mut windows, &mut slices);
            let windows = windows.into_iter().map(|row| (row.start_ns, row.figured, row.figures));
            windows.for_each(|row| put(&mut self.windows, row));
            let slices = slices.into_iter().map(|row| (row.start_ns, row.figured, row.figures));
            slices.for_each(|row| put(&mut self.slices, row));
        }

        fn calls(periods: &BTreeMap<i64, Figures>) -> Vec<(i64, u64)> {
            periods.iter().map(|(start, figures)| (*start, figures.calls)).collect()
        }
    }

    fn put(periods: &mut BTreeMap<i64, Figures>, (start, figured, row): (i64, Figured, Figures)) {
        let stored = periods.entry(start).or_default();
        match figured {
            Figured::All => *stored = row,
            Figured::More => stored.merge(&row),
        }
    }

    #[test]
    fn a_call_counts_in_its_window_and_slice_however_late_it_is_drained() {
        // Pairs of the second at which a call ends and the second at which it is drained. Rows are made after each pair.
        let cases: [&[(i64, i64)]; 6] = [
            &[(5, 5), (6, 40), (7, 41)],
            &[(5, 5), (45, 45), (6, 46), (7, 46), (8, 90)],
            &[(5, 5), (45, 100), (46, 101), (6, 102), (45, 160), (150, 161), (46, 162)],
            // The slice was released as well, and gets late calls twice.
            &[(5, 5), (9000, 9000), (6, 9001), (7, 9002), (16, 9003)],
            // One window lasts for hours; then a call ends in a window of long ago that had none.
            &[(5, 5), (6, 9000), (7, 9001), (5000, 18_000), (5001, 18_001), (8, 18_002), (20_000, 20_000)],
            // The clock is set back.
            &[(5, 5), (95, 95), (6, 40), (7, 41), (95, 42), (8, 100)],
        ];
        for case in cases {
            let (mut figures, mut stored) = (FunctionFigures::default(), Stored::default());
            let mut expected = (BTreeMap::new(), BTreeMap::new());
            for &(ended, drained) in case {
                let at_ns = ended * 1_000_000_000;
                figures.count(Ended { outcome: Outcome::Ok, ns: 5, at_ns }, true);
                *expected.0.entry(window_start(at_ns)).or_insert(0_u64) += 1;
                *expected.1.entry(slice_start(at_ns)).or_insert(0_u64) += 1;
                stored.take(&mut figures, drained * 1_000_000_000);
                let expected =
                    [&expected.0, &expected.1].map(|all| all.clone().into_iter().collect::<Vec<_>>());
                assert_eq!(
                    [Stored::calls(&stored.windows), Stored::calls(&stored.slices)],
                    expected,
                    "{case:?}"
                );
            }
        }
    }

    #[test]
    fn a_row_lost_when_its_slice_has_gone_is_told_on_top_of_it() {
        let (mut figures, mut stored) = (FunctionFigures::default(), Stored::default());
        for second in [5, 9000] {
            let at_ns = second * 1_000_000_000;
            figures.count(Ended { outcome: Outcome::Ok, ns: 5, at_ns }, true);
            stored.take(&mut figures, at_ns);
        }
        figures.lose(5_000_000_000);
        stored.take(&mut figures, 9_001_000_000_000);
        let Figures { calls, dropped, .. } = stored.slices[&0];
        assert_eq!((calls, dropped), (1, 1));
    }

    #[test]
    fn the_slow_limit_lets_one_call_in_a_hundred_pass_or_ten_a_second() {
        let mut figures = FunctionFigures::default();
        let count = |figures: &mut FunctionFigures, number: u64, second: i64| {
            for call in 0..number {
                // Durations from 1 to 1000 µs, evenly distributed.
                let ended = Ended {
                    outcome: Outcome::Ok,
                    ns: (1 + call % 1000) * 1000,
                    at_ns: second * 1_000_000_000,
                };
                figures.count(ended, true);
            }
        };
        count(&mut figures, limits::SLOW_CALLS_LEAST - 1, 1);
        assert_eq!(figures.slow_limit(1000.0), None);
        count(&mut figures, 100_001, 1);
        for (calls_per_s, slower) in [(1.0, 0.01), (1000.0, 0.01), (10_000.0, 0.001), (1e9, 0.0)] {
            let limit = figures.slow_limit(calls_per_s).unwrap() as f64 / 1e6;
            // The limit is the upper bound of a bucket, which is up to a twelfth larger.
            let exact = 1.0 - slower;
            assert!((exact * 0.999..=exact * 1.1).contains(&limit), "{calls_per_s}: {limit}");
        }
        // Calls of two windows ago no longer count.
        count(&mut figures, 1, 100);
        count(&mut figures, 1, 200);
        assert_eq!(figures.slow_limit(1.0), None);
    }

    #[test]
    fn a_call_counted_too_early_is_taken_back_from_where_it_was_counted() {
        let mut figures = FunctionFigures::default();
        let left_out = |calls| Figures { calls, sampled_out: calls, ..Figures::default() };
        figures.add(1, left_out(1), Histogram::default());
        figures.add(WINDOW_NS + 1, left_out(1), Histogram::default());
        figures.count(Ended { outcome: Outcome::Ok, ns: 5, at_ns: WINDOW_NS + 2 }, true);
        figures.take_back(2);
        let (mut windows, mut slices) = (Vec::new(), Vec::new());
        figures.rows(1, WINDOW_NS + 3, &mut windows, &mut slices);
        let calls: Vec<_> = windows.iter().map(|row| (row.figures.calls, row.figures.sampled_out)).collect();
        assert_eq!(calls, [(0, 0), (1, 0)]);
        let Figures { calls, sampled_out, recorded, .. } = figures.sum();
        assert_eq!((calls, sampled_out, recorded), (1, 0, 1), "what is recovered is a difference of sums");
    }

    #[test]
    fn a_lost_row_moves_from_recorded_to_dropped() {
        let mut figures = FunctionFigures::default();
        figures.count(Ended { outcome: Outcome::Ok, ns: 5, at_ns: 1 }, true);
        figures.lose(1);
        let (mut windows, mut slices) = (Vec::new(), Vec::new());
        figures.rows(1, 1, &mut windows, &mut slices);
        let Figures { calls, recorded, dropped, .. } = windows[0].figures;
        assert_eq!((calls, recorded, dropped), (1, 0, 1));
    }
}
