//! Exact figures per function, kept by the collector: what records and tallies say goes in, rows for
//! windows of 10 s and slices of half an hour come out. A call counts in the window in which it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{Figured, Figures, SliceRow, WindowRow};
use crate::histogram::Histogram;
use crate::limits;
use crate::record::Outcome;

/// Width of a window of the view `latency`.
const WINDOW_NS: i64 = 10_000_000_000;
/// Width of a slice, from which the view `functions` is made.
const SLICE_NS: i64 = 1_800_000_000_000;

/// A duration and what else is told of a call that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) ns: u64,
    pub(crate) at_ns: i64,
}

#[derive(Debug, Clone, Default)]
struct Period {
    figures: Figures,
    histogram: Histogram,
    /// Changed since it was last written.
    changed: bool,
    /// Whether this is all of it, or what came after the rest had been let go.
    figured: Figured,
}

impl Figures {
    pub(crate) fn merge(&mut self, other: &Self) {
        let Figures {
            calls,
            errors,
            panics,
            cancelled,
            recorded,
            sampled_out,
            dropped,
            total_ns,
            max_ns,
            is_estimated,
        } = *other;
        // What a store says may be anything.
        let sums = [
            (&mut self.calls, calls),
            (&mut self.errors, errors),
            (&mut self.panics, panics),
            (&mut self.cancelled, cancelled),
            (&mut self.recorded, recorded),
            (&mut self.sampled_out, sampled_out),
            (&mut self.dropped, dropped),
            (&mut self.total_ns, total_ns),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
        self.max_ns = self.max_ns.max(max_ns);
        self.is_estimated |= is_estimated;
    }

    /// Counts a call that left a record, and is to have a row or not.
    #[inline]
    pub(crate) fn count(&mut self, outcome: Outcome, ns: u64, has_row: bool) {
        self.total_ns = self.total_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
        self.calls += 1;
        match outcome {
            Outcome::Ok => {}
            Outcome::Error => self.errors += 1,
            Outcome::Panic => self.panics += 1,
            Outcome::Cancelled => self.cancelled += 1,
        }
        if has_row {
            self.recorded += 1;
        } else {
            self.sampled_out += 1;
        }
    }
}

impl Period {
    fn merge(&mut self, other: &Self) {
        self.figures.merge(&other.figures);
        self.histogram.merge(&other.histogram);
        self.changed = true;
    }
}

/// The figures of one function: the window in which calls end now, windows that may still get a late
/// one, and slices, each the sum of its closed windows.
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionFigures {
    current_ns: i64,
    current: Period,
    // Boxed: a node of a map has room for eleven, and few functions have more than two.
    earlier: BTreeMap<i64, Box<Period>>,
    slices: BTreeMap<i64, Box<Period>>,
    /// Windows that begin before this were let go, unless they are here.
    open_since_ns: i64,
    /// The last slice that was let go; there may have been any before it.
    forgotten_ns: Option<i64>,
    /// All of it since the process began.
    sum: Figures,
    sum_changed: bool,
    changed: bool,
}

/// Calls slower than this share of their function's are slow.
const SLOW_SHARE: f64 = 0.99;

/// A window that got a call late is still open; one that is this much older is not.
const WINDOWS_OPEN_NS: i64 = 2 * WINDOW_NS;

impl FunctionFigures {
    /// Counts a call that left a record, and is to have a row or not.
    #[inline]
    pub(crate) fn count(&mut self, ended: Ended, has_row: bool) {
        self.sum.count(ended.outcome, ended.ns, has_row);
        self.sum_changed = true;
        let period = self.window(ended.at_ns);
        period.histogram.add(ended.ns, 1);
        period.figures.count(ended.outcome, ended.ns, has_row);
    }

    /// Adds figures that were summed elsewhere, and the durations that belong to them.
    pub(crate) fn add(&mut self, at_ns: i64, figures: Figures, histogram: Histogram) {
        self.sum.merge(&figures);
        self.sum_changed = true;
        self.window(at_ns).merge(&Period { figures, histogram, ..Period::default() });
    }

    /// Takes back that a call which ended then was recorded: its row was lost on the way.
    pub(crate) fn lose(&mut self, ended_ns: i64) {
        self.sum.recorded = self.sum.recorded.saturating_sub(1);
        self.sum.dropped += 1;
        self.sum_changed = true;
        let window = window_start(ended_ns);
        self.changed = true;
        let period = if window == self.current_ns {
            &mut self.current
        } else if let Some(period) = self.earlier.get_mut(&window) {
            period
        } else {
            self.slices.entry(slice_start(window)).or_default()
        };
        period.changed = true;
        period.figures.recorded = period.figures.recorded.saturating_sub(1);
        period.figures.dropped += 1;
    }

    /// Takes back calls that were counted without a row when they began: they have left a record since, by
    /// which they are counted again.
    pub(crate) fn take_back(&mut self, calls: u64) {
        let mut left = calls;
        let earlier = self.earlier.values_mut().rev().chain(self.slices.values_mut().rev()).map(Box::as_mut);
        for period in std::iter::once(&mut self.current).chain(earlier) {
            let figures = &mut period.figures;
            let taken = left.min(figures.sampled_out);
            figures.calls -= taken;
            figures.sampled_out -= taken;
            period.changed |= taken > 0;
            left -= taken;
        }
        // What a recovery takes for counted has to say so too, or it adds the calls twice.
        let taken = (calls - left).min(self.sum.sampled_out);
        self.sum.calls -= taken;
        self.sum.sampled_out -= taken;
        self.sum_changed = true;
        self.changed = true;
    }

    #[inline]
    fn window(&mut self, at_ns: i64) -> &mut Period {
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
                self.earlier.entry(self.current_ns).or_default().replace(before);
            }
            self.current_ns = start;
        }
        self.current.changed = true;
        &mut self.current
    }

    /// The duration that few enough of the latest calls exceed to have a row each: one in a hundred, and
    /// of so many calls a second fewer. `None` where there were too few calls to tell.
    pub(crate) fn slow_limit(&self, calls_per_s: f64) -> Option<u64> {
        let mut recent = self.current.histogram.clone();
        if let Some((_, last)) = self.earlier.last_key_value() {
            recent.merge(&last.histogram);
        }
        let share = SLOW_SHARE.max(1.0 - f64::from(limits::SLOW_ROWS) / calls_per_s.max(1.0));
        (recent.total() >= limits::SLOW_CALLS_LEAST).then(|| recent.bound(share))
    }

    /// All figures since the process began.
    pub(crate) fn sum(&self) -> Figures {
        self.sum
    }

    /// The same where they changed since they were last asked for by this.
    pub(crate) fn take_changed_sum(&mut self) -> Option<Figures> {
        std::mem::take(&mut self.sum_changed).then_some(self.sum)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The rows that changed since the last call; windows that have had their time go into slices.
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
        self.close(now_ns);
    }

    /// Lets windows go into slices, and slices go. A clock that was set back opens none again.
    fn close(&mut self, now_ns: i64) {
        self.open_since_ns = self.open_since_ns.max(now_ns - WINDOWS_OPEN_NS);
        let later = self.earlier.split_off(&self.open_since_ns);
        for (start, period) in std::mem::replace(&mut self.earlier, later) {
            let slice = self.slices.entry(slice_start(start)).or_default();
            slice.merge(&period);
            slice.changed = false;
        }
        // That of the current window stays, however old: its row is made of both.
        let current = slice_start(self.current_ns);
        let oldest = (self.open_since_ns - 2 * SLICE_NS).min(current - 1);
        let kept = self.slices.split_off(&(oldest + 1));
        if let Some((last, _)) = std::mem::replace(&mut self.slices, kept).pop_last() {
            self.forgotten_ns = self.forgotten_ns.max(Some(last));
        }
    }

    /// A slice with the windows in it that are still open.
    fn slice(&self, start: i64) -> Period {
        let mut sum = self.slices.get(&start).map(|slice| Period::clone(slice)).unwrap_or_default();
        let is_forgotten = self.forgotten_ns.is_some_and(|forgotten| start <= forgotten);
        sum.figured = if is_forgotten { Figured::More } else { Figured::All };
        for period in self.earlier.range(start..start + SLICE_NS).map(|(_, period)| period) {
            sum.merge(period);
        }
        if slice_start(self.current_ns) == start {
            sum.merge(&self.current);
        }
        sum
    }

    /// Makes all that is still known be written again: the store is a new one.
    pub(crate) fn touch(&mut self) {
        let periods = self.earlier.values_mut().chain(self.slices.values_mut()).map(Box::as_mut);
        for period in periods.chain([&mut self.current]).filter(|period| period.figures.calls > 0) {
            period.changed = true;
            self.changed = true;
        }
    }
}

impl Period {
    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn replace(&mut self, other: Self) {
        if self.figures.calls == 0 { *self = other } else { self.merge(&other) }
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

    /// What a store makes of rows: figures as they stand in it by the start of their period.
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
        // Ends of calls and, behind them, when they are drained, in seconds; rows are made after each.
        let cases: [&[(i64, i64)]; 6] = [
            &[(5, 5), (6, 40), (7, 41)],
            &[(5, 5), (45, 45), (6, 46), (7, 46), (8, 90)],
            &[(5, 5), (45, 100), (46, 101), (6, 102), (45, 160), (150, 161), (46, 162)],
            // The slice has gone as well, and comes late twice.
            &[(5, 5), (9000, 9000), (6, 9001), (7, 9002), (16, 9003)],
            // One window for hours, then one of long ago that no call had ended in.
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
                // 1 to 1000 µs, evenly.
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
            // The bound of a bucket: up to a twelfth more.
            let exact = 1.0 - slower;
            assert!((exact * 0.999..=exact * 1.1).contains(&limit), "{calls_per_s}: {limit}");
        }
        // What was two windows ago no longer counts.
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
