//! A gauge: its value, and the smallest and largest one since it was last read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::GaugeFn;
use monitor_runtime::bridge::MetricStats;

use crate::refused::is_finite;

/// A gauge. All values are finite.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// The bits of the value.
    value: AtomicU64,
    /// The bounds since the last read, as numbers in the order of the values; see [`to_order`].
    min: AtomicU64,
    max: AtomicU64,
    /// The number of changes: each time that the gauge was set, raised or lowered.
    sets: AtomicU64,
    /// True if the gauge was raised or lowered. Its value then has a meaning even while nobody holds the gauge.
    is_relative: AtomicBool,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            value: AtomicU64::new(0.0_f64.to_bits()),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            sets: AtomicU64::new(0),
            is_relative: AtomicBool::new(false),
        }
    }
}

/// The state of a gauge when it was last read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastRead {
    sets: u64,
    value: Option<f64>,
}

impl Gauge {
    /// Returns the changes since `seen`, and updates `seen`; `None` if the value is the same and was so throughout.
    pub(crate) fn take_changes(&self, seen: &mut LastRead) -> Option<MetricStats> {
        let sets = self.sets.load(Ordering::Acquire);
        if sets == seen.sets {
            return None;
        }
        let value = self.value();
        let min = from_order(self.min.swap(u64::MAX, Ordering::Relaxed), value).min(value);
        let max = from_order(self.max.swap(0, Ordering::Relaxed), value).max(value);
        #[expect(clippy::float_cmp, reason = "a value that was set again is the same to the bit")]
        let is_same = seen.value == Some(value) && min == value && max == value;
        if is_same {
            return None;
        }
        let count = sets.wrapping_sub(seen.sets);
        *seen = LastRead { sets, value: Some(value) };
        Some(MetricStats {
            count,
            last: Some(value),
            min: Some(min),
            max: Some(max),
            ..MetricStats::default()
        })
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.value.load(Ordering::Relaxed))
    }

    /// Returns true if the gauge may be forgotten while nobody holds it: it was only ever set, and the next holder sets
    /// it anew, or it was raised and lowered back to 0.
    pub(crate) fn is_forgettable(&self) -> bool {
        !self.is_relative.load(Ordering::Relaxed) || self.value() == 0.0
    }

    fn note(&self, value: f64) {
        let place = to_order(value);
        if place < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(place, Ordering::Relaxed);
        }
        if place > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(place, Ordering::Relaxed);
        }
        // The partner of the release is the load in `take_changes`, which then sees the bounds.
        self.sets.fetch_add(1, Ordering::Release);
    }

    fn change(&self, by: f64) {
        if !is_finite(by) {
            return;
        }
        self.is_relative.store(true, Ordering::Relaxed);
        let next =
            |bits: u64| Some(f64::from_bits(bits) + by).filter(|next| next.is_finite()).map(f64::to_bits);
        match self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(bits) => self.note(f64::from_bits(bits) + by),
            Err(bits) => {
                is_finite(f64::from_bits(bits) + by);
            }
        }
    }
}

impl GaugeFn for Gauge {
    fn increment(&self, value: f64) {
        self.change(value);
    }

    fn decrement(&self, value: f64) {
        self.change(-value);
    }

    fn set(&self, value: f64) {
        if is_finite(value) {
            self.value.store(value.to_bits(), Ordering::Relaxed);
            self.note(value);
        }
    }
}

/// Returns a number that is larger for a larger value, and neither 0 nor the largest for any finite one.
pub(crate) fn to_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Returns the value of a number of [`to_order`]; `otherwise` if no value is that number.
pub(crate) fn from_order(place: u64, otherwise: f64) -> f64 {
    let value = f64::from_bits(if place >> 63 == 1 { place & !(1 << 63) } else { !place });
    if value.is_finite() { value } else { otherwise }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_of_numbers_is_that_of_values(a in -1e300_f64..1e300, b in -1e300_f64..1e300) {
            prop_assert_eq!(a.total_cmp(&b), to_order(a).cmp(&to_order(b)));
            prop_assert_eq!(from_order(to_order(a), 0.0).to_bits(), a.to_bits());
            prop_assert!((1..u64::MAX).contains(&to_order(a)));
        }
    }

    fn take(gauge: &Gauge, seen: &mut LastRead) -> Option<(u64, f64, f64, f64)> {
        let stats = gauge.take_changes(seen)?;
        Some((stats.count, stats.last?, stats.min?, stats.max?))
    }

    #[test]
    fn a_gauge_tells_its_last_value_and_how_far_it_went() {
        let (gauge, mut seen) = (Gauge::default(), LastRead::default());
        assert_eq!(take(&gauge, &mut seen), None);
        gauge.set(0.0);
        assert_eq!(take(&gauge, &mut seen), Some((1, 0.0, 0.0, 0.0)));
        for value in [3.0, -9.0, 5.0] {
            gauge.set(value);
        }
        assert_eq!(take(&gauge, &mut seen), Some((3, 5.0, -9.0, 5.0)));
        gauge.increment(2.0);
        gauge.decrement(3.0);
        assert_eq!(take(&gauge, &mut seen), Some((2, 4.0, 4.0, 7.0)));
        assert!(!gauge.is_forgettable());
    }

    #[test]
    fn a_gauge_that_is_set_to_what_it_was_has_not_changed_and_is_counted_later() {
        let (gauge, mut seen) = (Gauge::default(), LastRead::default());
        gauge.set(5.0);
        assert_eq!(take(&gauge, &mut seen), Some((1, 5.0, 5.0, 5.0)));
        gauge.set(5.0);
        gauge.set(5.0);
        assert_eq!(take(&gauge, &mut seen), None);
        gauge.set(6.0);
        assert_eq!(take(&gauge, &mut seen), Some((3, 6.0, 6.0, 6.0)));
        assert!(gauge.is_forgettable());
    }

    #[test]
    fn values_that_are_no_numbers_leave_a_gauge_as_it_was() {
        let (gauge, mut seen) = (Gauge::default(), LastRead::default());
        gauge.set(f64::MAX);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            gauge.set(value);
            gauge.increment(value);
        }
        gauge.increment(f64::MAX);
        assert_eq!(take(&gauge, &mut seen), Some((1, f64::MAX, f64::MAX, f64::MAX)));
    }
}
