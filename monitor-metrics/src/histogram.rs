//! A histogram of values, in the buckets that the recorder has for durations.
//!
//! A bucket counts the values since the histogram was last read. The buckets of a doubling take memory with their first
//! value; if there is no memory, values are in count and sum and in no bucket.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;
use monitor_runtime::bridge::{self, MetricStats};

use crate::gauge::{from_order, to_order};
use crate::memory;
use crate::refused::is_measure;

/// The buckets of a doubling.
const PER_DOUBLING: usize = 8;
const DOUBLINGS: usize = bridge::BUCKETS_MAX / PER_DOUBLING;
/// The index of the first bucket.
const FIRST: i32 = -8;

type Doubling = Box<[AtomicU64; PER_DOUBLING]>;

/// The bytes of a doubling, with what the allocator needs.
const DOUBLING_BYTES: usize = PER_DOUBLING * 8 + 16;

/// A histogram. All values are finite and not negative.
#[derive(Debug)]
pub(crate) struct Histogram {
    doublings: [OnceLock<Doubling>; DOUBLINGS],
    /// The number of values in no bucket.
    beside: AtomicU64,
    /// The bits of the sum.
    sum: AtomicU64,
    /// The bounds, as numbers in the order of the values.
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            doublings: [const { OnceLock::new() }; DOUBLINGS],
            beside: AtomicU64::new(0),
            sum: AtomicU64::new(0.0_f64.to_bits()),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Takes out the values since the last read; `None` if there were none. A value that is being recorded meanwhile
    /// may be in the sum of one read and in the bucket of the next one.
    pub(crate) fn take_changes(&self) -> Option<MetricStats> {
        let mut buckets = Vec::new();
        let mut count = self.beside.swap(0, Ordering::Relaxed);
        for (doubling, found) in self.doublings.iter().enumerate() {
            let Some(found) = found.get() else { continue };
            for (at, bucket) in
                found.iter().enumerate().filter(|(_, bucket)| bucket.load(Ordering::Relaxed) > 0)
            {
                let values = bucket.swap(0, Ordering::Acquire);
                count = count.saturating_add(values);
                let place = i32::try_from(doubling * PER_DOUBLING + at).unwrap_or(i32::MAX);
                buckets.push((place + FIRST, values));
            }
        }
        let sum = f64::from_bits(self.sum.swap(0.0_f64.to_bits(), Ordering::Relaxed));
        if count == 0 && sum == 0.0 {
            return None;
        }
        let [min, max] = [(&self.min, u64::MAX), (&self.max, 0)].map(|(bound, none)| {
            let value = from_order(bound.swap(none, Ordering::Relaxed), f64::NAN);
            Some(value).filter(|value| !value.is_nan())
        });
        Some(MetricStats { count, sum, min, max, last: None, buckets })
    }

    /// Returns the bytes that the buckets take.
    pub(crate) fn bucket_bytes(&self) -> usize {
        self.doublings.iter().filter(|found| found.get().is_some()).count() * DOUBLING_BYTES
    }

    fn count(&self, value: f64, times: u64) {
        let place = bridge::place_of_value(value);
        let doubling = find_doubling(&self.doublings[place / PER_DOUBLING]);
        let bucket = doubling.map_or(&self.beside, |buckets| &buckets[place % PER_DOUBLING]);
        let order = to_order(value);
        if order < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(order, Ordering::Relaxed);
        }
        if order > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(order, Ordering::Relaxed);
        }
        #[expect(clippy::cast_precision_loss, reason = "a sum needs no more digits")]
        let more = value * times as f64;
        let add = |bits: u64| Some((f64::from_bits(bits) + more).min(f64::MAX).to_bits());
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        // The partner of the release is the swap in `take_changes`, which then sees sum and bounds.
        bucket.fetch_add(times, Ordering::Release);
    }
}

/// Returns the buckets of a doubling, which are made if there is memory for them. A refusal is not kept, because there
/// may be memory for the next value.
#[inline]
fn find_doubling(place: &OnceLock<Doubling>) -> Option<&Doubling> {
    place.get().or_else(|| make_doubling(place))
}

#[cold]
fn make_doubling(place: &OnceLock<Doubling>) -> Option<&Doubling> {
    if !memory::take(DOUBLING_BYTES) {
        return None;
    }
    if place.set(Box::new([const { AtomicU64::new(0) }; PER_DOUBLING])).is_err() {
        // Another thread was faster.
        memory::give_back(DOUBLING_BYTES);
    }
    place.get()
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        if is_measure(value, 1) {
            self.count(value, 1);
        }
    }

    fn record_many(&self, value: f64, count: usize) {
        if count > 0 && is_measure(value, count as u64) {
            self.count(value, count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_gives_what_came_since_the_last_read() {
        let _limit = memory::set_limit_alone(usize::MAX);
        let histogram = Histogram::default();
        assert_eq!(histogram.take_changes(), None);
        histogram.record(0.25);
        histogram.record_many(2.0, 3);
        histogram.record(0.0);
        let stats = histogram.take_changes().unwrap();
        assert_eq!((stats.count, stats.sum, stats.min, stats.max), (5, 6.25, Some(0.0), Some(2.0)));
        assert_eq!(stats.buckets.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 3]);
        assert_eq!(stats.buckets[0].0, FIRST);
        assert_eq!(histogram.take_changes(), None);
        histogram.record(7.0);
        assert_eq!(histogram.take_changes().unwrap().min, Some(7.0));
    }

    #[test]
    fn negative_values_and_those_that_are_no_numbers_are_counted_and_not_stored() {
        let counts = || crate::refused::values().map(|(_, count)| count);
        let before = counts();
        let histogram = Histogram::default();
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            histogram.record(value);
        }
        histogram.record_many(-0.5, 4);
        histogram.record_many(1.0, 0);
        assert_eq!(histogram.take_changes(), None);
        let after = counts();
        // Other tests of this process count as well.
        assert!(after[0] >= before[0] + 2 && after[1] >= before[1] + 5, "{before:?} {after:?}");
    }

    #[test]
    fn values_of_all_threads_add_up_while_somebody_reads() {
        let _limit = memory::set_limit_alone(usize::MAX);
        let histogram = Histogram::default();
        let (mut count, mut sum) = (0, 0.0);
        let mut read = |histogram: &Histogram| {
            if let Some(stats) = histogram.take_changes() {
                count += stats.count;
                sum += stats.sum;
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let histogram = &histogram;
                scope.spawn(move || (0..20_000).for_each(|at| histogram.record(f64::from(at % 7 + thread))));
            }
            (0..500).for_each(|_| read(&histogram));
        });
        read(&histogram);
        let expected: i32 = (0..8).map(|thread| (0..20_000).map(|at| at % 7 + thread).sum::<i32>()).sum();
        assert_eq!((count, sum), (160_000, f64::from(expected)));
    }

    #[test]
    fn values_get_buckets_once_there_is_memory() {
        let _limit = memory::set_limit_alone(0);
        let histogram = Histogram::default();
        histogram.record(7.0);
        let stats = histogram.take_changes().unwrap();
        assert_eq!((stats.count, stats.buckets.len(), histogram.bucket_bytes()), (1, 0, 0));
        memory::set_limit(usize::MAX);
        histogram.record(7.0);
        let stats = histogram.take_changes().unwrap();
        assert_eq!((stats.count, stats.buckets.len(), histogram.bucket_bytes()), (1, 1, DOUBLING_BYTES));
    }
}
