//! Exact figures per function, kept by the collector: what records and tallies say goes in, rows for
//! windows of 10 s and slices of half an hour come out. A call counts in the window in which it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{Figures, SliceRow, WindowRow};
use crate::record::Outcome;

/// Width of a window of the view `latency`.
const WINDOW_NS: i64 = 10_000_000_000;
/// Width of a slice, from which the view `functions` is made.
const SLICE_NS: i64 = 1_800_000_000_000;

/// OpenTelemetry's exponential histogram of scale 3: bucket `i` counts durations in
/// `(2^(i/8), 2^((i+1)/8)]` ns. A duration of 0 counts in the lowest bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram(Vec<u64>);

/// Index of the first bucket that is kept: it holds 0 and, in theory, half a nanosecond.
const FIRST: i32 = -8;

/// `2^(63 + i/8)`, rounded down: the bounds between the eighths of a doubling.
const EIGHTHS: [u64; 8] = [
    0x8000_0000_0000_0000,
    0x8B95_C1E3_EA8B_D6E6,
    0x9837_F051_8DB8_A96F,
    0xA5FE_D6A9_B151_38EA,
    0xB504_F333_F9DE_6484,
    0xC567_2A11_5506_DADD,
    0xD744_FCCA_D69D_6AF4,
    0xEAC0_C6E7_DD24_392E,
];

/// The bucket that a duration falls into.
#[inline]
pub(crate) fn bucket(ns: u64) -> i32 {
    if ns == 0 {
        return FIRST;
    }
    let zeros = ns.leading_zeros();
    let scaled = ns << zeros;
    let above = EIGHTHS.iter().map(|bound| i32::from(scaled > *bound)).sum::<i32>();
    (63 - zeros.cast_signed()) * 8 + above - 1
}

impl Histogram {
    pub(crate) fn add(&mut self, ns: u64, count: u64) {
        let at = (bucket(ns) - FIRST) as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        self.0[at] += count;
    }

    fn merge(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own += other;
        }
    }

    fn iter(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        (FIRST..).zip(self.0.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// The duration that this share of the calls did not exceed: the geometric interpolation within
    /// the bucket that holds it, at most half a bucket (4.5 %) off.
    pub(crate) fn percentile(&self, share: f64, max_ns: u64) -> u64 {
        let total: u64 = self.0.iter().sum();
        let rank = share * total as f64;
        let mut below = 0_f64;
        for (bucket, count) in self.iter() {
            let count = count as f64;
            if below + count >= rank {
                let within = ((rank - below) / count).clamp(0.0, 1.0);
                let ns = ((f64::from(bucket) + within) / 8.0).exp2();
                return (ns.round() as u64).min(max_ns);
            }
            below += count;
        }
        0
    }
}

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
}

impl Period {
    fn merge(&mut self, other: &Self) {
        let Figures { calls, errors, panics, cancelled, recorded, sampled_out, dropped, total_ns, max_ns } =
            other.figures;
        let own = &mut self.figures;
        own.calls += calls;
        own.errors += errors;
        own.panics += panics;
        own.cancelled += cancelled;
        own.recorded += recorded;
        own.sampled_out += sampled_out;
        own.dropped += dropped;
        own.total_ns += total_ns;
        own.max_ns = own.max_ns.max(max_ns);
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
    earlier: BTreeMap<i64, Period>,
    slices: BTreeMap<i64, Period>,
    changed: bool,
}

/// A window that got a call late is still open; one that is this much older is not.
const WINDOWS_OPEN_NS: i64 = 2 * WINDOW_NS;

impl FunctionFigures {
    /// Counts a call that left a record, and is to have a row or not.
    #[inline]
    pub(crate) fn count(&mut self, ended: Ended, has_row: bool) {
        let period = self.window(ended.at_ns);
        period.histogram.add(ended.ns, 1);
        let figures = &mut period.figures;
        figures.total_ns = figures.total_ns.saturating_add(ended.ns);
        figures.max_ns = figures.max_ns.max(ended.ns);
        figures.calls += 1;
        match ended.outcome {
            Outcome::Ok => {}
            Outcome::Error => figures.errors += 1,
            Outcome::Panic => figures.panics += 1,
            Outcome::Cancelled => figures.cancelled += 1,
        }
        if has_row {
            figures.recorded += 1;
        } else {
            figures.sampled_out += 1;
        }
    }

    /// Adds figures that were summed elsewhere, and the durations that belong to them.
    pub(crate) fn add(&mut self, at_ns: i64, figures: Figures, durations: impl Iterator<Item = (u64, u64)>) {
        let mut histogram = Histogram::default();
        for (ns, count) in durations {
            histogram.add(ns, count);
        }
        self.window(at_ns).merge(&Period { figures, histogram, changed: true });
    }

    /// Takes back that a call which ended then was recorded: its row was lost on the way.
    pub(crate) fn lose(&mut self, ended_ns: i64) {
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

    #[inline]
    fn window(&mut self, at_ns: i64) -> &mut Period {
        self.changed = true;
        let since = at_ns - self.current_ns;
        if !(0..WINDOW_NS).contains(&since) {
            let start = window_start(at_ns);
            if start < self.current_ns {
                let period = self.earlier.entry(start).or_default();
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
        let open = self.earlier.iter_mut().map(|(start, period)| (*start, period));
        for (start, period) in open.chain([(self.current_ns, &mut self.current)]) {
            if period.take_changed() {
                windows.push(window_row(function, start, period));
                changed.insert(slice_start(start));
            }
        }
        for start in changed {
            slices.push(slice_row(function, start, &self.slice(start)));
        }
        let later = self.earlier.split_off(&(now_ns - WINDOWS_OPEN_NS));
        for (start, period) in std::mem::replace(&mut self.earlier, later) {
            let slice = self.slices.entry(slice_start(start)).or_default();
            slice.merge(&period);
            slice.changed = false;
        }
        self.slices.retain(|start, _| *start > now_ns - 2 * SLICE_NS);
    }

    /// A slice with the windows in it that are still open.
    fn slice(&self, start: i64) -> Period {
        let mut sum = self.slices.get(&start).cloned().unwrap_or_default();
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
        let periods = self.earlier.values_mut().chain(self.slices.values_mut());
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
    let max_ns = period.figures.max_ns;
    WindowRow {
        function,
        start_ns,
        figures: period.figures,
        p50_ns: period.histogram.percentile(0.5, max_ns),
        p95_ns: period.histogram.percentile(0.95, max_ns),
        p99_ns: period.histogram.percentile(0.99, max_ns),
    }
}

fn slice_row(function: u32, start_ns: i64, period: &Period) -> SliceRow {
    SliceRow { function, start_ns, figures: period.figures, buckets: period.histogram.iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_the_bounds_of_the_standard() {
        for ns in (1..100_000_u64).chain([1 << 40, (1 << 40) + 1, u64::MAX]) {
            let index = bucket(ns);
            let exact = ((ns as f64).log2() * 8.0).ceil() as i32 - 1;
            assert_eq!(index, exact, "{ns}");
        }
        assert_eq!(bucket(0), FIRST);
        assert_eq!((bucket(1), bucket(2), bucket(3)), (-1, 7, 12));
    }

    #[test]
    fn percentiles_are_within_five_percent() {
        let mut histogram = Histogram::default();
        for ns in 1..=100_000 {
            histogram.add(ns, 1);
        }
        for (share, exact) in [(0.5, 50_000.0), (0.95, 95_000.0), (0.99, 99_000.0)] {
            let got = histogram.percentile(share, 100_000) as f64;
            assert!((got / exact - 1.0).abs() < 0.05, "{share}: {got}");
        }
        assert_eq!(Histogram::default().percentile(0.5, 0), 0);
    }

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
