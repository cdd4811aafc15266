//! The windows of a function on one side, and the figures of each window that are compared.
//!
//! Takes windows as a store has them; gives series of figures, and those of all windows together. A side of all functions
//! has hundreds of thousands of windows, so their buckets share one list.

use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::{self, Histogram};

use crate::model::number::to_f64;

/// The windows of a function on one side, and their sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// The windows, in the order of time. Processes and stores that share a window have parts of it, which follow each other.
    parts: Vec<Part>,
    /// The buckets of all parts.
    buckets: Vec<Bucket>,
    /// The sum of all windows.
    stats: CallStats,
    durations: Histogram,
}

/// A window, or the part of a window that is from one process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    at: i64,
    calls: u64,
    failed: u64,
    total_ns: u64,
    /// The position of its first bucket, and of the one behind its last.
    buckets: (u32, u32),
}

/// Calls whose durations are in one bucket of the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    index: i32,
    calls: u32,
}

/// The figures of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Point {
    /// The calls whose durations are known, and the sum of the binary logarithms of these.
    pub(super) timed: f64,
    pub(super) logarithms: f64,
    /// The timed calls above the two bounds.
    above: [f64; 2],
    /// Calls, and failed calls.
    calls: f64,
    failed: f64,
}

impl Point {
    fn add(&mut self, bucket: i32, calls: f64, bounds: [i32; 2]) {
        self.timed += calls;
        self.logarithms += (f64::from(bucket) + 0.5) / 8.0 * calls;
        for (above, bound) in self.above.iter_mut().zip(bounds) {
            *above += if bucket > bound { calls } else { 0.0 };
        }
    }

    /// Returns the mean logarithm, the shares above the bounds, and the share of failed calls.
    fn to_pooled(self) -> Pooled {
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Pooled {
            body: ratio(self.logarithms, self.timed),
            shares: self.above.map(|above| ratio(above, self.timed)),
            failed: ratio(self.failed, self.calls),
        }
    }
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
    /// Adds a window, or the part of a window that is from one process.
    pub(super) fn add(&mut self, at: i64, stats: &CallStats, durations: &[u8]) {
        let position = |buckets: &Vec<Bucket>| u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        let first = position(&self.buckets);
        self.buckets.extend(histogram::decode(durations).map(|(index, calls)| Bucket {
            index,
            // No function is called so often in ten seconds.
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
        }));
        self.stats.merge(stats);
        self.parts.push(Part {
            at,
            calls: stats.calls,
            failed: stats.failed(),
            total_ns: stats.total_ns,
            buckets: (first, position(&self.buckets)),
        });
    }

    /// Puts the windows into the order of time and adds up their durations; to be called behind the last [`Self::add`].
    pub(super) fn finish(mut self) -> Self {
        self.parts.sort_by_key(|part| part.at);
        for bucket in &self.buckets {
            self.durations.add_to(bucket.index, bucket.calls.into());
        }
        self
    }

    /// Returns the parts of each window.
    fn windows(&self) -> impl Iterator<Item = &[Part]> {
        self.parts.chunk_by(|a, b| a.at == b.at)
    }

    /// Returns the number of windows.
    pub(crate) fn number(&self) -> u64 {
        self.windows().count() as u64
    }

    /// Returns the first and the last window, counted from the Unix epoch; `None` without windows.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        self.parts.first().zip(self.parts.last()).map(|(first, last)| (first.at, last.at))
    }

    /// Returns the number of calls.
    pub(crate) fn calls(&self) -> u64 {
        self.stats.calls
    }

    /// Returns the number of failed calls.
    pub(crate) fn failed(&self) -> u64 {
        self.stats.failed()
    }

    /// Returns the mean time of a call, and the mean time that it spent outside of monitored calls, in ns.
    pub(super) fn mean_times(&self) -> [f64; 2] {
        [self.stats.total_ns, self.stats.self_ns].map(|ns| to_f64(ns) / to_f64(self.calls().max(1)))
    }

    /// Returns the calls of each window that has some, and their mean duration in ns.
    pub(crate) fn loads(&self) -> impl Iterator<Item = (f64, f64)> {
        let sum =
            |window: &[Part], of: fn(&Part) -> u64| window.iter().map(|part| to_f64(of(part))).sum::<f64>();
        self.windows()
            .map(move |window| (sum(window, |part| part.calls), sum(window, |part| part.total_ns)))
            .filter(|(calls, _)| *calls > 0.0)
            .map(|(calls, total_ns)| (calls, total_ns / calls))
    }

    /// Returns true if some calls were only counted, so the durations are those of a part of the calls.
    pub(crate) fn is_estimated(&self) -> bool {
        self.stats.is_estimated
    }

    /// Returns the durations of all windows.
    pub(crate) fn histogram(&self) -> &Histogram {
        &self.durations
    }

    /// Returns the longest call.
    pub(crate) fn max_ns(&self) -> u64 {
        self.stats.max_ns
    }

    /// Returns the figures of each window, with these buckets as the 95th and the 99th percentile.
    pub(super) fn points(&self, bounds: [i32; 2]) -> impl Iterator<Item = Point> {
        self.windows().map(move |window| {
            let mut point = Point::default();
            for part in window {
                point.calls += to_f64(part.calls);
                point.failed += to_f64(part.failed);
                for bucket in &self.buckets[part.buckets.0 as usize..part.buckets.1 as usize] {
                    point.add(bucket.index, f64::from(bucket.calls), bounds);
                }
            }
            point
        })
    }

    /// Returns the series of the windows, with these buckets as the 95th and the 99th percentile.
    pub(super) fn series(&self, bounds: [i32; 2]) -> Series {
        let mut series = Series::default();
        for point in self.points(bounds) {
            let pooled = point.to_pooled();
            if point.timed > 0.0 {
                series.body.push(pooled.body);
                series.tail.push(pooled.shares[0]);
                series.far_tail.push(pooled.shares[1]);
            }
            if point.calls > 0.0 {
                series.failed.push(pooled.failed);
            }
        }
        series
    }

    /// Returns the figures of all windows together.
    pub(super) fn pool(&self, bounds: [i32; 2]) -> Pooled {
        let mut point =
            Point { calls: to_f64(self.calls()), failed: to_f64(self.failed()), ..Point::default() };
        for (bucket, calls) in self.durations.iter() {
            point.add(bucket, to_f64(calls), bounds);
        }
        point.to_pooled()
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
