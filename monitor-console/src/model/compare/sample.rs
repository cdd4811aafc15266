//! The windows of a function on one side, and the figure of each window that is compared.

use monitor_runtime::histogram::Histogram;

use crate::model::windows::Window;

/// The windows of a function on one side, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// The windows.
    pub(crate) windows: Vec<Window>,
}

/// The figures of the windows, a series for each measure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series {
    /// The mean of the binary logarithm of the durations.
    pub(super) body: Vec<f64>,
    /// The share of calls above the 95th percentile of the side before.
    pub(super) tail: Vec<f64>,
    /// The share of calls above the 99th percentile of the side before.
    pub(super) far_tail: Vec<f64>,
    /// The share of failed calls.
    pub(super) failed: Vec<f64>,
}

/// The figures of all windows of a side together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pooled {
    /// The mean of the binary logarithm of all durations.
    pub(super) body: f64,
    /// The share of all calls above the percentiles.
    pub(super) shares: [f64; 2],
    /// The share of failed calls.
    pub(super) failed: f64,
}

impl Sample {
    /// Returns the number of calls.
    pub(crate) fn calls(&self) -> u64 {
        self.windows.iter().fold(0, |sum, window| sum.saturating_add(window.calls))
    }

    /// Returns the number of failed calls.
    pub(crate) fn failed(&self) -> u64 {
        self.windows.iter().fold(0, |sum, window| sum.saturating_add(window.failed))
    }

    /// Returns the mean time of a call, and the mean time that it spent outside of monitored calls, in ns.
    pub(super) fn mean_times(&self) -> [f64; 2] {
        let calls = to_f64(self.calls().max(1));
        let sum = |of: fn(&Window) -> u64| self.windows.iter().map(|window| to_f64(of(window))).sum::<f64>();
        [sum(|window| window.total_ns) / calls, sum(|window| window.self_ns) / calls]
    }

    /// Returns true if some calls were only counted, so the durations are those of a part of the calls.
    pub(crate) fn is_estimated(&self) -> bool {
        self.windows.iter().any(|window| window.is_estimated)
    }

    /// Returns the durations of all windows.
    pub(crate) fn histogram(&self) -> Histogram {
        let mut histogram = Histogram::default();
        self.windows.iter().for_each(|window| histogram.merge(&window.histogram));
        histogram
    }

    /// Returns the longest call.
    pub(crate) fn max_ns(&self) -> u64 {
        self.windows.iter().map(|window| window.max_ns).max().unwrap_or(0)
    }

    /// Returns the series of the windows, with these buckets as the 95th and the 99th percentile.
    pub(super) fn series(&self, bounds: [i32; 2]) -> Series {
        let mut series = Series::default();
        for window in &self.windows {
            let pooled = Pooled::from_windows(std::iter::once(window), bounds);
            if window.histogram.total() > 0 {
                series.body.push(pooled.body);
                series.tail.push(pooled.shares[0]);
                series.far_tail.push(pooled.shares[1]);
            }
            if window.calls > 0 {
                series.failed.push(pooled.failed);
            }
        }
        series
    }

    /// Returns the buckets in which the 95th and the 99th percentile lie.
    pub(super) fn find_bounds(&self) -> [i32; 2] {
        let histogram = self.histogram();
        let total = to_f64(histogram.total());
        [0.95, 0.99].map(|share| {
            let mut below = 0.0;
            let mut buckets = histogram.iter().skip_while(|(_, count)| {
                below += to_f64(*count);
                below < total * share
            });
            buckets.next().map_or(i32::MAX, |(bucket, _)| bucket)
        })
    }
}

impl Pooled {
    /// Returns the figures of windows together.
    pub(super) fn from_windows<'a>(windows: impl IntoIterator<Item = &'a Window>, bounds: [i32; 2]) -> Self {
        let (mut timed, mut logarithms, mut above) = (0.0, 0.0, [0.0; 2]);
        let (mut calls, mut failed) = (0.0, 0.0);
        for window in windows {
            calls += to_f64(window.calls);
            failed += to_f64(window.failed);
            for (bucket, count) in window.histogram.iter() {
                let count = to_f64(count);
                timed += count;
                logarithms += (f64::from(bucket) + 0.5) / 8.0 * count;
                for (above, bound) in above.iter_mut().zip(bounds) {
                    *above += if bucket > bound { count } else { 0.0 };
                }
            }
        }
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Self {
            body: ratio(logarithms, timed),
            shares: above.map(|above| ratio(above, timed)),
            failed: ratio(failed, calls),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of calls")]
pub(super) fn to_f64(number: u64) -> f64 {
    number as f64
}
