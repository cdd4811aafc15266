//! Exact call statistics of a function by periods: windows of 10 s, and slices of half an hour.
//!
//! Takes the calls that records and tallies report; gives the rows that changed. A call counts in the window in which
//! it ended, however late it is drained, and a slice is the sum of its windows. It does not read the time, and it
//! does not know the other functions.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::call_stats::{CallStats, EndedCall, RowLost};
use crate::batch::{SliceRow, TotalRow, Update, WindowRow};
use crate::growth::{MakeRoom as _, collect_all};
use crate::histogram::Histogram;
use crate::limits;

/// Width of a window of the view `latency`.
pub const WINDOW_NS: i64 = 10_000_000_000;

/// Width of a slice, from which the view `functions` is made.
pub const SLICE_NS: i64 = 1_800_000_000_000;

/// A call is slow if it takes longer than this share of its function's calls.
const SLOW_SHARE: f64 = 0.99;

/// Age at which a window is closed. Calls that ended in the window but are drained later are added to the stored row.
const WINDOWS_OPEN_NS: i64 = 2 * WINDOW_NS;

/// Statistics of one window or slice.
#[derive(Debug, Clone, Default)]
struct Period {
    stats: CallStats,
    histogram: Histogram,
    /// True if the period changed since it was last written.
    changed: bool,
    /// [`Update::Replace`] if these statistics cover the whole period; [`Update::Add`] if they hold only later calls,
    /// because earlier ones are already stored and released from memory.
    update: Update,
}

impl Period {
    fn merge(&mut self, other: &Self) {
        self.stats.merge(&other.stats);
        self.histogram.merge(&other.histogram);
        self.changed = true;
    }

    /// Returns true if nothing was counted. A period may hold recorded calls alone: they are counted as recorded in the
    /// window in which they came into their row.
    fn is_empty(&self) -> bool {
        self.stats == CallStats::default()
    }

    /// Becomes the other period if this one is empty, and adds the other one otherwise.
    fn replace_or_merge(&mut self, other: Self) {
        if self.is_empty() { *self = other } else { self.merge(&other) }
    }
}

/// Call statistics of one function: the window in which calls end now, earlier windows that may still get a
/// late call, and slices, each the sum of its closed windows.
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionStats {
    current_ns: i64,
    current: Period,
    // Boxed, because a node of a map has room for eleven periods, and few functions have more than two.
    earlier: BTreeMap<i64, Box<Period>>,
    slices: BTreeMap<i64, Box<Period>>,
    /// Windows that begin earlier are closed, unless they are in `earlier`.
    open_since_ns: i64,
    /// Start of the last slice that was released. Any slice before it may have been released as well.
    released_ns: Option<i64>,
    /// The histogram of all slices that were released.
    released: Histogram,
    /// The statistics since the process began.
    sum: CallStats,
    sum_changed: bool,
    changed: bool,
}

impl FunctionStats {
    /// Counts a call that left a record. `has_row` is true if the call is passed on to be written as a row.
    #[inline]
    pub(crate) fn count(&mut self, ended: EndedCall, has_row: bool) {
        self.sum.count(&ended, has_row);
        self.sum_changed = true;
        let period = self.window_at(ended.at_ns);
        period.histogram.add(ended.ns, 1);
        period.stats.count(&ended, has_row);
    }

    /// Adds statistics that were summed elsewhere, and the histogram of their durations, to the window at `at_ns`.
    pub(crate) fn add(&mut self, at_ns: i64, stats: CallStats, histogram: Histogram) {
        self.sum.merge(&stats);
        self.sum_changed = true;
        self.window_at(at_ns).merge(&Period { stats, histogram, ..Period::default() });
    }

    /// Counts calls as dropped or sampled out instead of recorded, because the row that they share did not reach the
    /// store. The last of them ended at `ended_ns`; the others may have ended in the windows before.
    pub(crate) fn lose_rows(&mut self, ended_ns: i64, calls: u64, why: RowLost) {
        self.sum.lose_rows(calls, why);
        self.sum_changed = true;
        self.changed = true;
        let window = window_start(ended_ns);
        let mut left = calls;
        // Calls that share a row began within a window, so they end in this one or in the two before.
        for start in [window, window - WINDOW_NS, window - 2 * WINDOW_NS] {
            let period = if start == self.current_ns {
                Some(&mut self.current)
            } else {
                self.earlier.get_mut(&start).map(Box::as_mut)
            };
            if let Some(period) = period.filter(|_| left > 0) {
                let moved = left.min(period.stats.recorded);
                period.stats.lose_rows(moved, why);
                period.changed = true;
                left -= moved;
            }
        }
        if left > 0 {
            let period = self.slices.entry(slice_start(window)).or_default();
            period.stats.lose_rows(left, why);
            period.changed = true;
        }
    }

    /// Removes calls that were counted without a row when they began, the latest first. They have left a record
    /// since, and that record counts them again.
    pub(crate) fn uncount(&mut self, calls: u64) {
        let mut left = calls;
        let earlier = self.earlier.values_mut().rev().chain(self.slices.values_mut().rev()).map(Box::as_mut);
        for period in std::iter::once(&mut self.current).chain(earlier) {
            let removed = period.stats.uncount(left);
            period.changed |= removed > 0;
            left -= removed;
        }
        // The sum has to change too: a recovery adds what the sum lacks, and would count these calls twice.
        self.sum.uncount(calls - left);
        self.sum_changed = true;
        self.changed = true;
    }

    /// Returns the window in which a call that ended at `at_ns` is counted, and marks it changed.
    #[inline]
    fn window_at(&mut self, at_ns: i64) -> &mut Period {
        self.changed = true;
        let since = at_ns.saturating_sub(self.current_ns);
        if !(0..WINDOW_NS).contains(&since) {
            let start = window_start(at_ns);
            if start < self.current_ns {
                let update = if start < self.open_since_ns { Update::Add } else { Update::Replace };
                let period = self
                    .earlier
                    .entry(start)
                    .or_insert_with(|| Box::new(Period { update, ..Period::default() }));
                period.changed = true;
                return period;
            }
            let before = std::mem::take(&mut self.current);
            if !before.is_empty() {
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
        (recent.total() >= limits::SLOW_CALLS_MIN).then(|| recent.bound(share))
    }

    /// Returns the statistics and the histogram of the window that begins at this time, if calls ended in it and it is
    /// still in memory.
    pub(crate) fn window(&self, start_ns: i64) -> Option<(&CallStats, &Histogram)> {
        let period = if start_ns == self.current_ns {
            Some(&self.current)
        } else {
            self.earlier.get(&start_ns).map(Box::as_ref)
        };
        period.filter(|period| period.stats.calls > 0).map(|period| (&period.stats, &period.histogram))
    }

    /// Returns the statistics since the process began.
    pub(crate) fn sum(&self) -> CallStats {
        self.sum
    }

    /// Returns the statistics since the process began, with their histogram. The histogram is summed up here from the
    /// slices that were released and all periods that are still in memory, so a call costs nothing beyond its window.
    pub(crate) fn total(&self, function: u32, update: Update) -> TotalRow {
        let mut histogram = self.released.clone();
        let periods = self.slices.values().chain(self.earlier.values()).map(Box::as_ref);
        periods.chain([&self.current]).for_each(|period| histogram.merge(&period.histogram));
        TotalRow { function, update, stats: self.sum, histogram }
    }

    /// Returns true if the statistics since the process began have changed since [`Self::take_changed_sum`].
    pub(crate) fn is_sum_changed(&self) -> bool {
        self.sum_changed
    }

    /// Returns true if the statistics since the process began have changed since this was last called.
    pub(crate) fn take_changed_sum(&mut self) -> bool {
        std::mem::take(&mut self.sum_changed)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Adds the rows that changed since the last call of this function to `windows` and `slices`. Then it adds windows
    /// that are old enough to be closed to their slices. Returns false if the machine has no memory for the rows; a
    /// later call then returns them.
    pub(crate) fn take_rows(
        &mut self,
        function: u32,
        now_ns: i64,
        windows: &mut Vec<WindowRow>,
        slices: &mut Vec<SliceRow>,
    ) -> bool {
        let before = (windows.len(), slices.len());
        if self.add_rows(function, windows, slices).is_none() {
            windows.truncate(before.0);
            slices.truncate(before.1);
            return false;
        }
        self.changed = false;
        let periods = self.earlier.values_mut().chain(self.slices.values_mut()).map(Box::as_mut);
        periods.chain([&mut self.current]).for_each(|period| period.changed = false);
        self.close_windows(now_ns);
        true
    }

    /// Adds the rows that changed. Returns `None` if the machine has no memory for all of them.
    fn add_rows(
        &self,
        function: u32,
        windows: &mut Vec<WindowRow>,
        slices: &mut Vec<SliceRow>,
    ) -> Option<()> {
        let slices_changed = self.slices.iter().filter(|(_, slice)| slice.changed);
        let mut changed: BTreeSet<i64> = slices_changed.map(|(start, _)| *start).collect();
        let open = self.earlier.iter().map(|(start, period)| (*start, period.as_ref()));
        let open = open.chain([(self.current_ns, &self.current)]);
        for (start, period) in open.filter(|(_, period)| period.changed) {
            if !windows.make_room(1) {
                return None;
            }
            windows.push(window_row(function, start, period)?);
            changed.insert(slice_start(start));
        }
        for start in changed {
            if !slices.make_room(1) {
                return None;
            }
            slices.push(slice_row(function, start, &self.slice(start))?);
        }
        Some(())
    }

    /// Closes windows: adds each to its slice. Then releases slices that get no more calls. A clock that was set back
    /// does not open a window again.
    fn close_windows(&mut self, now_ns: i64) {
        self.open_since_ns = self.open_since_ns.max(now_ns.saturating_sub(WINDOWS_OPEN_NS));
        let later = self.earlier.split_off(&self.open_since_ns);
        for (start, period) in std::mem::replace(&mut self.earlier, later) {
            let slice = self.slices.entry(slice_start(start)).or_default();
            slice.merge(&period);
            slice.changed = false;
        }
        // The slice of the current window stays, however old, because its row is the sum of the slice and that window.
        let current = slice_start(self.current_ns);
        let oldest = self.open_since_ns.saturating_sub(2 * SLICE_NS).min(current.saturating_sub(1));
        let kept = self.slices.split_off(&oldest.saturating_add(1));
        for (start, slice) in std::mem::replace(&mut self.slices, kept) {
            self.released.merge(&slice.histogram);
            self.released_ns = self.released_ns.max(Some(start));
        }
    }

    /// Returns the sum of a slice and of its windows that are still open.
    fn slice(&self, start: i64) -> Period {
        let mut sum = self.slices.get(&start).map(|slice| Period::clone(slice)).unwrap_or_default();
        let is_released = self.released_ns.is_some_and(|released| start <= released);
        sum.update = if is_released { Update::Add } else { Update::Replace };
        for period in self.earlier.range(start..start.saturating_add(SLICE_NS)).map(|(_, period)| period) {
            sum.merge(period);
        }
        if slice_start(self.current_ns) == start {
            sum.merge(&self.current);
        }
        sum
    }

    /// Marks all periods that are in memory as changed, so that they are written again, because the store is a new
    /// file.
    pub(crate) fn mark_changed(&mut self) {
        let periods = self.earlier.values_mut().chain(self.slices.values_mut()).map(Box::as_mut);
        for period in periods.chain([&mut self.current]).filter(|period| !period.is_empty()) {
            period.changed = true;
            self.changed = true;
        }
    }
}

fn window_start(at_ns: i64) -> i64 {
    at_ns.saturating_sub(at_ns.rem_euclid(WINDOW_NS))
}

fn slice_start(at_ns: i64) -> i64 {
    at_ns.saturating_sub(at_ns.rem_euclid(SLICE_NS))
}

fn window_row(function: u32, start_ns: i64, period: &Period) -> Option<WindowRow> {
    let buckets = collect_all(period.histogram.iter())?;
    Some(WindowRow { function, start_ns, update: period.update, stats: period.stats, buckets })
}

fn slice_row(function: u32, start_ns: i64, period: &Period) -> Option<SliceRow> {
    let WindowRow { update, stats, buckets, .. } = window_row(function, start_ns, period)?;
    Some(SliceRow { function, start_ns, update, stats, buckets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    #[test]
    fn a_slice_sums_its_windows_open_and_closed() {
        let mut stats = FunctionStats::default();
        let mut totals = BTreeMap::new();
        for second in 0..200_i64 {
            let at_ns = second * 1_000_000_000;
            let outcome = if second % 10 == 0 { Outcome::Error } else { Outcome::Ok };
            stats.count(EndedCall::from_root(outcome, 100, at_ns), true);
            let (mut windows, mut slices) = (Vec::new(), Vec::new());
            stats.take_rows(1, at_ns, &mut windows, &mut slices);
            assert!(!stats.is_changed());
            assert_eq!(windows.len(), 1);
            assert_eq!(slices.len(), 1);
            assert_eq!(slices[0].stats.calls, second as u64 + 1);
            assert_eq!(slices[0].stats.errors, second as u64 / 10 + 1);
            assert_eq!(slices[0].buckets.iter().map(|(_, count)| count).sum::<u64>(), second as u64 + 1);
            totals.insert(windows[0].start_ns, windows[0].stats.calls);
        }
        assert_eq!(totals.len(), 20);
        assert!(totals.values().all(|calls| *calls == 10));
    }

    /// A store of rows in memory: the statistics of each period by its start.
    #[derive(Default)]
    struct Stored {
        windows: BTreeMap<i64, CallStats>,
        slices: BTreeMap<i64, CallStats>,
    }

    impl Stored {
        fn take(&mut self, stats: &mut FunctionStats, now_ns: i64) {
            let (mut windows, mut slices) = (Vec::new(), Vec::new());
            stats.take_rows(1, now_ns, &mut windows, &mut slices);
            let windows = windows.into_iter().map(|row| (row.start_ns, row.update, row.stats));
            windows.for_each(|row| insert(&mut self.windows, row));
            let slices = slices.into_iter().map(|row| (row.start_ns, row.update, row.stats));
            slices.for_each(|row| insert(&mut self.slices, row));
        }

        fn calls(periods: &BTreeMap<i64, CallStats>) -> Vec<(i64, u64)> {
            periods.iter().map(|(start, stats)| (*start, stats.calls)).collect()
        }
    }

    fn insert(periods: &mut BTreeMap<i64, CallStats>, (start, update, row): (i64, Update, CallStats)) {
        let stored = periods.entry(start).or_default();
        match update {
            Update::Replace => *stored = row,
            Update::Add => stored.merge(&row),
        }
    }

    #[test]
    fn a_call_counts_in_its_window_and_slice_however_late_it_is_drained() {
        // Pairs of the second at which a call ends and the second at which it is drained. Rows are made after each
        // pair.
        let cases: [&[(i64, i64)]; 6] = [
            &[(5, 5), (6, 40), (7, 41)],
            &[(5, 5), (45, 45), (6, 46), (7, 46), (8, 90)],
            &[(5, 5), (45, 100), (46, 101), (6, 102), (45, 160), (150, 161), (46, 162)],
            // The slice was released as well, and gets late calls twice.
            &[(5, 5), (9000, 9000), (6, 9001), (7, 9002), (16, 9003)],
            // A window lasts for hours; then a call ends in a much older window that had no calls.
            &[(5, 5), (6, 9000), (7, 9001), (5000, 18_000), (5001, 18_001), (8, 18_002), (20_000, 20_000)],
            // The clock is set back.
            &[(5, 5), (95, 95), (6, 40), (7, 41), (95, 42), (8, 100)],
        ];
        for case in cases {
            let (mut stats, mut stored) = (FunctionStats::default(), Stored::default());
            let mut expected = (BTreeMap::new(), BTreeMap::new());
            for &(ended, drained) in case {
                let at_ns = ended * 1_000_000_000;
                stats.count(EndedCall::from_root(Outcome::Ok, 5, at_ns), true);
                *expected.0.entry(window_start(at_ns)).or_insert(0_u64) += 1;
                *expected.1.entry(slice_start(at_ns)).or_insert(0_u64) += 1;
                stored.take(&mut stats, drained * 1_000_000_000);
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
    fn totals_hold_every_call_however_many_windows_and_slices_have_gone() {
        let mut stats = FunctionStats::default();
        let (mut counted, mut last) = (Histogram::default(), 0);
        for minute in 0..600_i64 {
            let at_ns = minute * 60_000_000_000;
            let ns = 100 + (minute.unsigned_abs() % 7) * 1000;
            stats.count(EndedCall::from_root(Outcome::Ok, ns, at_ns), true);
            counted.add(ns, 1);
            if minute % 3 == 0 {
                stats.take_rows(1, at_ns, &mut Vec::new(), &mut Vec::new());
            }
            let TotalRow { stats: sum, histogram, .. } = stats.total(1, Update::Replace);
            assert_eq!((sum.calls, &histogram), (minute.unsigned_abs() + 1, &counted));
            assert!(sum.calls > std::mem::replace(&mut last, sum.calls));
        }
        assert!(stats.released.total() > 500, "most of them lie in slices that were released");
    }

    #[test]
    fn a_row_lost_when_its_slice_has_gone_is_told_on_top_of_it() {
        let (mut stats, mut stored) = (FunctionStats::default(), Stored::default());
        for second in [5, 9000] {
            let at_ns = second * 1_000_000_000;
            stats.count(EndedCall::from_root(Outcome::Ok, 5, at_ns), true);
            stored.take(&mut stats, at_ns);
        }
        stats.lose_rows(5_000_000_000, 1, RowLost::Dropped);
        stored.take(&mut stats, 9_001_000_000_000);
        let CallStats { calls, dropped, .. } = stored.slices[&0];
        assert_eq!((calls, dropped), (1, 1));
    }

    #[test]
    fn the_slow_limit_lets_one_call_in_a_hundred_pass_or_ten_a_second() {
        let mut stats = FunctionStats::default();
        let count = |stats: &mut FunctionStats, number: u64, second: i64| {
            for call in 0..number {
                // Durations from 1 to 1000 µs, evenly distributed.
                let ended =
                    EndedCall::from_root(Outcome::Ok, (1 + call % 1000) * 1000, second * 1_000_000_000);
                stats.count(ended, true);
            }
        };
        count(&mut stats, limits::SLOW_CALLS_MIN - 1, 1);
        assert_eq!(stats.slow_limit(1000.0), None);
        count(&mut stats, 100_001, 1);
        for (calls_per_s, slower) in [(1.0, 0.01), (1000.0, 0.01), (10_000.0, 0.001), (1e9, 0.0)] {
            let limit = stats.slow_limit(calls_per_s).unwrap() as f64 / 1e6;
            // The limit is the upper bound of a bucket, which is up to a twelfth larger.
            let exact = 1.0 - slower;
            assert!((exact * 0.999..=exact * 1.1).contains(&limit), "{calls_per_s}: {limit}");
        }
        // Calls of two windows ago no longer count.
        count(&mut stats, 1, 100);
        count(&mut stats, 1, 200);
        assert_eq!(stats.slow_limit(1.0), None);
    }

    #[test]
    fn a_call_counted_too_early_is_taken_back_from_where_it_was_counted() {
        let mut stats = FunctionStats::default();
        let left_out = |calls| CallStats { calls, sampled_out: calls, ..CallStats::default() };
        stats.add(1, left_out(1), Histogram::default());
        stats.add(WINDOW_NS + 1, left_out(1), Histogram::default());
        stats.count(EndedCall::from_root(Outcome::Ok, 5, WINDOW_NS + 2), true);
        stats.uncount(2);
        let (mut windows, mut slices) = (Vec::new(), Vec::new());
        stats.take_rows(1, WINDOW_NS + 3, &mut windows, &mut slices);
        let calls: Vec<_> = windows.iter().map(|row| (row.stats.calls, row.stats.sampled_out)).collect();
        assert_eq!(calls, [(0, 0), (1, 0)]);
        let CallStats { calls, sampled_out, recorded, .. } = stats.sum();
        assert_eq!((calls, sampled_out, recorded), (1, 0, 1), "what is recovered is a difference of sums");
    }

    #[test]
    fn calls_that_come_into_their_row_in_a_window_without_calls_stay_recorded() {
        let mut stats = FunctionStats::default();
        stats.add(1, CallStats { calls: 5, ..CallStats::default() }, Histogram::default());
        stats.add(WINDOW_NS + 1, CallStats { recorded: 5, ..CallStats::default() }, Histogram::default());
        stats.count(EndedCall::from_root(Outcome::Ok, 5, 2 * WINDOW_NS + 1), true);
        let (mut windows, mut slices) = (Vec::new(), Vec::new());
        stats.take_rows(1, 2 * WINDOW_NS + 2, &mut windows, &mut slices);
        let recorded: Vec<u64> = windows.iter().map(|row| row.stats.recorded).collect();
        assert_eq!((recorded, slices[0].stats.recorded), (vec![0, 5, 1], 6));
    }

    #[test]
    fn a_lost_row_moves_from_recorded_to_the_reason() {
        let mut stats = FunctionStats::default();
        for _ in 0..6 {
            stats.count(EndedCall::from_root(Outcome::Ok, 5, 1), true);
        }
        stats.lose_rows(1, 1, RowLost::Dropped);
        stats.lose_rows(1, 3, RowLost::SampledOut);
        let (mut windows, mut slices) = (Vec::new(), Vec::new());
        stats.take_rows(1, 1, &mut windows, &mut slices);
        let CallStats { calls, recorded, dropped, sampled_out, .. } = windows[0].stats;
        assert_eq!((calls, recorded, dropped, sampled_out), (6, 2, 1, 3));
    }
}
