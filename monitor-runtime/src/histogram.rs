//! Histograms of durations in exponential buckets, OpenTelemetry's scale 3. Bucket `i` counts the durations in
//! `(2^(i/8), 2^((i+1)/8)]` ns, so that histograms of threads, windows and processes can be added. Pure.
//!
//! A percentile is the geometric middle of its bucket: whatever the distribution, it is off by at most 2^(1/16), which
//! is less than 4.5 %.
//! Interpolation within the bucket would be off by 9 % if all calls took the same time.

/// The bounds between the eighths of a doubling: `2^(63 + i/8)`, rounded down. The last bound is never exceeded,
/// so that durations behind the last eighth need no branch, which the processor would often mispredict.
const EIGHTHS: [u64; 9] = [
    0x8000_0000_0000_0000,
    0x8B95_C1E3_EA8B_D6E6,
    0x9837_F051_8DB8_A96F,
    0xA5FE_D6A9_B151_38EA,
    0xB504_F333_F9DE_6484,
    0xC567_2A11_5506_DADD,
    0xD744_FCCA_D69D_6AF4,
    0xEAC0_C6E7_DD24_392E,
    u64::MAX,
];

/// For each thirty-second of a doubling (a cell), the number of bounds below it. At most one more bound is within the
/// cell.
const BELOW: [u8; CELLS] = {
    let mut below = [0; CELLS];
    let mut cell = 0;
    while cell < CELLS {
        let mut bound = 0;
        while bound < EIGHTHS.len() {
            if cell_of(EIGHTHS[bound]) < cell {
                below[cell] += 1;
            }
            bound += 1;
        }
        cell += 1;
    }
    below
};

/// For each cell, the bound that is within it or next above it. Both tables are read at once, because a bound that is
/// looked up by the result of `BELOW` would have to wait for that result.
const WITHIN: [u64; CELLS] = {
    let mut within = [0; CELLS];
    let mut cell = 0;
    while cell < CELLS {
        within[cell] = EIGHTHS[BELOW[cell] as usize];
        cell += 1;
    }
    within
};
const CELLS: usize = 32;

const fn cell_of(scaled: u64) -> usize {
    (scaled >> 58) as usize & (CELLS - 1)
}

/// The index of the first bucket that is kept. This bucket counts 0 and, in theory, half a nanosecond.
pub(crate) const FIRST: i32 = -8;

/// Returns the index of the bucket of a duration.
#[inline]
#[must_use]
pub fn bucket(ns: u64) -> i32 {
    if ns == 0 {
        return FIRST;
    }
    let zeros = ns.leading_zeros();
    let scaled = ns << zeros;
    let cell = cell_of(scaled);
    let (below, within) = (BELOW[cell], scaled > WITHIN[cell]);
    (63 - zeros.cast_signed()) * 8 + i32::from(below) + i32::from(within) - 1
}

/// The largest number of buckets of a histogram. Metrics with other units than seconds need buckets for values of up to
/// 2^100 billionths; durations need fewer buckets.
pub const BUCKETS_MAX: usize = 100 * 8 + 8;

/// Returns the position of a metric's value among the buckets, from 0. A value is counted like a duration of that many
/// seconds, so that a metric in seconds has the same buckets as the durations of calls. Values below half a billionth
/// share the first bucket, and values above 2^100 billionths the last one. The value must be neither negative nor NaN.
#[must_use]
pub fn place_of_value(value: f64) -> usize {
    let scaled = value * PER_UNIT;
    if scaled < LARGEST_EXACT {
        return place(scaled.round() as u64);
    }
    // A larger number has no fraction. Its bits are the exponent and the fraction of the leading one.
    let bits = scaled.min(LARGEST).to_bits();
    let exponent = (bits >> 52) as usize - 1023;
    let mantissa = (1 << 63) | ((bits & ((1 << 52) - 1)) << 11);
    let below = EIGHTHS.iter().take_while(|bound| mantissa > **bound).count();
    (exponent * 8 + below + FIRST.unsigned_abs() as usize).saturating_sub(1).min(BUCKETS_MAX - 1)
}

/// Returns the value of a metric in the geometric middle of the bucket at this position.
#[must_use]
pub fn middle_of_place(place: usize) -> f64 {
    ((place as f64 + f64::from(FIRST) + 0.5) / 8.0).exp2() / PER_UNIT
}

/// The scale of metrics' values: a second has this many nanoseconds.
const PER_UNIT: f64 = 1e9;
/// 2^63: smaller numbers are counted as integers, exactly like durations.
const LARGEST_EXACT: f64 = 9_223_372_036_854_775_808.0;
/// 2^100.
const LARGEST: f64 = 1_267_650_600_228_229_401_496_703_205_376.0;

/// Returns the position of a duration's bucket among all, from 0.
#[inline]
pub(crate) fn place(ns: u64) -> usize {
    (bucket(ns) - FIRST) as usize
}

/// A number of durations or values for each bucket.
///
/// The buckets from the lowest to the highest that is not empty are kept, because the durations of a function lie close
/// together: a window of a fast function fills some ten buckets, far above the first one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// The position of the first bucket in `counts`, which is not empty.
    start: usize,
    /// The counts from there on; the last one is not 0.
    counts: Vec<u64>,
}

impl Histogram {
    /// Builds a histogram from pairs of a bucket's index and its count.
    #[must_use]
    pub fn from_buckets(buckets: &[(i32, u64)]) -> Self {
        let mut histogram = Self::default();
        for (bucket, count) in buckets {
            histogram.add_to(*bucket, *count);
        }
        histogram
    }

    /// Encodes the buckets that are not empty, each as two numbers of seven bits a byte: the number of empty
    /// buckets before it, and its count. A window of a function takes some 50 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = FIRST;
        for (bucket, count) in self.iter() {
            push(&mut bytes, (bucket - next) as u64);
            push(&mut bytes, count);
            next = bucket + 1;
        }
        bytes
    }

    /// Decodes bytes that [`Histogram::to_bytes`] wrote. Decoding ends without an error at the first bytes that the
    /// function cannot have written, because a store may have been tampered with.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut histogram = Self::default();
        histogram.merge_bytes(bytes);
        histogram
    }

    /// Adds the counts of a histogram in the bytes that [`Histogram::to_bytes`] wrote, as [`Histogram::from_bytes`] decodes
    /// them.
    pub fn merge_bytes(&mut self, bytes: &[u8]) {
        // The bytes are decoded three times, because the list is then extended once.
        let filled = || places(bytes).filter(|(_, count)| *count > 0);
        let (Some((first, _)), Some((last, _))) = (filled().next(), filled().last()) else { return };
        self.extend_over(first, last);
        for (place, count) in filled() {
            let own = &mut self.counts[place - self.start];
            *own = own.saturating_add(count);
        }
    }

    /// Counts durations of a bucket, by its index.
    pub fn add_to(&mut self, bucket: i32, count: u64) {
        let place = usize::try_from(bucket.saturating_sub(FIRST)).unwrap_or(0);
        self.add_at(place.min(BUCKETS_MAX - 1), count);
    }

    /// Counts a duration `count` times.
    #[inline]
    pub(crate) fn add(&mut self, ns: u64, count: u64) {
        self.add_at(place(ns), count);
    }

    /// Counts durations whose bucket is known by its position.
    #[inline]
    pub(crate) fn add_at(&mut self, place: usize, count: u64) {
        if count > 0 {
            self.extend_over(place, place);
            let own = &mut self.counts[place - self.start];
            *own = own.saturating_add(count);
        }
    }

    /// Extends the list over the buckets from `first` to `last`, without spare capacity: the buckets for durations of
    /// up to three centuries fit into 4 KiB.
    #[inline]
    fn extend_over(&mut self, first: usize, last: usize) {
        if self.counts.is_empty() {
            self.start = first;
        }
        let below = self.start.saturating_sub(first);
        let above = (last + 1).saturating_sub(self.start + self.counts.len());
        if below + above > 0 {
            self.counts.reserve_exact(below + above);
            self.counts.resize(self.counts.len() + above, 0);
            self.counts.splice(..0, std::iter::repeat_n(0, below));
            self.start -= below;
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let Some(last) = other.counts.len().checked_sub(1) else { return };
        self.extend_over(other.start, other.start + last);
        let at = other.start - self.start;
        for (own, other) in self.counts[at..].iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*other);
        }
    }

    /// Returns the counts less those of another histogram, which was added to this one before.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = Self::default();
        for (place, count) in (self.start..).zip(&self.counts) {
            let taken = place.checked_sub(part.start).and_then(|at| part.counts.get(at));
            match count.saturating_sub(taken.copied().unwrap_or(0)) {
                0 => {}
                left => rest.add_at(place, left),
            }
        }
        rest
    }

    /// Returns index and count of each bucket that is not empty.
    pub fn iter(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let first = FIRST + i32::try_from(self.start).unwrap_or(0);
        (first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// Returns the number of counted durations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the duration in ns that this share of the calls, from 0 to 1, did not exceed; 0 without calls. The
    /// result is at most `max_ns`, the longest duration.
    #[must_use]
    pub fn percentile(&self, share: f64, max_ns: u64) -> u64 {
        let middle = |bucket: i32| ((f64::from(bucket) + 0.5) / 8.0).exp2();
        self.reaching(share).map_or(0, |bucket| (middle(bucket).round() as u64).min(max_ns))
    }

    /// Returns the value of a metric that this share of its values did not exceed, within the smallest and the largest
    /// of them; `None` without values. The buckets were found by [`place_of_value`].
    #[must_use]
    pub fn quantile(&self, share: f64, (min, max): (f64, f64)) -> Option<f64> {
        let place = (self.reaching(share)? - FIRST).unsigned_abs() as usize;
        Some(middle_of_place(place).min(max).max(min))
    }

    /// Returns an upper bound of a percentile, in ns: the end of the bucket that the percentile is in; 0 without calls.
    pub(crate) fn bound(&self, share: f64) -> u64 {
        self.reaching(share).map_or(0, |bucket| (f64::from(bucket + 1) / 8.0).exp2().ceil() as u64)
    }

    /// Returns the index of the first bucket up to which the counts add up to this share of all; `None` if nothing was
    /// counted.
    fn reaching(&self, share: f64) -> Option<i32> {
        let rank = share * self.total() as f64;
        let mut upto = 0;
        let mut reached = self.iter().filter(|(_, count)| {
            upto = count.saturating_add(upto);
            upto as f64 >= rank
        });
        reached.next().map(|(bucket, _)| bucket)
    }
}

/// Appends a number, seven bits a byte, the lowest first. The highest bit of a byte means that more follow.
pub(crate) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number that [`push`] wrote off the front of the bytes. Returns `None` if they do not begin with a complete
/// number.
pub(crate) fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Returns index and count of each bucket in the bytes that [`Histogram::to_bytes`] wrote, as [`Histogram::from_bytes`]
/// decodes them.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = (i32, u64)> + '_ {
    places(bytes).map(|(place, count)| (FIRST + i32::try_from(place).unwrap_or(0), count))
}

/// Returns the buckets in the bytes of a histogram, each as its position and its count.
fn places(mut bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> + '_ {
    let mut next = 0_usize;
    std::iter::from_fn(move || {
        let (gap, count) = (pull(&mut bytes)?, pull(&mut bytes)?);
        let place = usize::try_from(gap).unwrap_or(BUCKETS_MAX).saturating_add(next);
        next = place.saturating_add(1);
        (place < BUCKETS_MAX).then_some((place, count))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sampling::Random;
    use proptest::prelude::*;

    const SHARES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
    const HOUR_NS: f64 = 3.6e12;

    #[test]
    fn buckets_have_the_bounds_of_the_standard() {
        for ns in (1..100_000_u64).chain([1 << 40, (1 << 40) + 1, u64::MAX]) {
            let index = bucket(ns);
            let exact = ((ns as f64).log2() * 8.0).ceil() as i32 - 1;
            assert_eq!(index, exact, "{ns}");
        }
        assert_eq!(bucket(0), FIRST);
        assert_eq!((bucket(1), bucket(2), bucket(3)), (-1, 7, 12));
        assert!(place(u64::MAX) < 64 * 8 + 8);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_lies_between_its_bounds(ns in 2_u64..1 << 60) {
            let index = f64::from(bucket(ns));
            let (low, high) = ((index / 8.0).exp2(), ((index + 1.0) / 8.0).exp2());
            let ns = ns as f64;
            prop_assert!(ns * (1.0 + 1e-12) >= low && ns * (1.0 - 1e-12) <= high, "{ns} in {low} to {high}");
        }
    }

    proptest! {
        #[test]
        fn what_was_added_last_is_taken_away_again(
            first in prop::collection::vec((-1..60_i32, 1_u64..1 << 40), 0..9),
            added in prop::collection::vec((-1..60_i32, 1_u64..1 << 40), 0..9),
        ) {
            let [first, added] = [first, added].map(|buckets| Histogram::from_buckets(&buckets));
            let mut both = first.clone();
            both.merge(&added);
            prop_assert_eq!(both.without(&added), first);
            prop_assert_eq!(added.without(&both), Histogram::default());
        }
    }

    /// Returns a random number, uniform over (0, 1].
    fn uniform(random: &mut Random) -> f64 {
        ((random.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    proptest! {
        #[test]
        fn a_histogram_is_read_as_it_was_written(durations in prop::collection::vec((any::<u64>(), 1_u64..1 << 40), 0..100)) {
            let mut histogram = Histogram::default();
            for (ns, count) in durations {
                histogram.add(ns, count);
            }
            prop_assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), histogram.clone());
            prop_assert_eq!(Histogram::from_buckets(&histogram.iter().collect::<Vec<_>>()), histogram);
        }

        #[test]
        fn histograms_add_up_bucket_by_bucket_in_whichever_form(
            own in prop::collection::vec((0_usize..BUCKETS_MAX, 0_u64..9), 0..9),
            other in prop::collection::vec((0_usize..BUCKETS_MAX, 0_u64..9), 0..9),
        ) {
            let build = |buckets: &[(usize, u64)]| {
                let mut histogram = Histogram::default();
                for (place, count) in buckets {
                    histogram.add_at(*place, *count);
                }
                histogram
            };
            let both = build(&[own.clone(), other.clone()].concat());
            let (mut merged, mut decoded) = (build(&own), build(&own));
            merged.merge(&build(&other));
            decoded.merge_bytes(&build(&other).to_bytes());
            prop_assert_eq!(&merged, &both);
            prop_assert_eq!(&decoded, &both);
            let mut expected = std::collections::BTreeMap::new();
            for (place, count) in own.iter().chain(&other).filter(|(_, count)| *count > 0) {
                *expected.entry(i32::try_from(*place).unwrap() + FIRST).or_insert(0) += count;
            }
            prop_assert_eq!(both.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_some_histogram(bytes: Vec<u8>) {
            let histogram = Histogram::from_bytes(&bytes);
            prop_assert_eq!(&Histogram::from_bytes(&histogram.to_bytes()), &histogram);
            prop_assert!(histogram.percentile(0.5, 1 << 40) <= 1 << 40);
            prop_assert!(histogram.quantile(0.5, (0.0, 1e6)).is_none_or(|value| (0.0..=1e6).contains(&value)));
        }

        #[test]
        fn a_value_in_seconds_is_counted_like_a_duration(ns in 0_u64..1 << 50) {
            prop_assert_eq!(place_of_value(ns as f64 / 1e9), place(ns));
        }

        #[test]
        fn the_middle_of_a_bucket_is_near_the_values_in_it(exponent in -29.0_f64..69.9) {
            let value = exponent.exp2();
            let middle = middle_of_place(place_of_value(value));
            // Counted in billionths, small values are rounded.
            let rounding = 0.6e-9 / value;
            prop_assert!((middle / value - 1.0).abs() < 0.046 + rounding, "{value}: {middle}");
        }
    }

    type Draw = fn(&mut Random) -> f64;

    /// Distributions of durations in ns that programs have, between 10 ns and an hour.
    fn distributions() -> [(&'static str, Draw); 6] {
        [
            ("all alike", |_| 137.0),
            ("uniform", |random| 10.0 + 1e6 * uniform(random)),
            ("exponential with a mean of a millisecond", |random| 10.0 - 1e6 * uniform(random).ln()),
            ("log-uniform from 10 ns to an hour", |random| 10.0 * (HOUR_NS / 10.0).powf(uniform(random))),
            ("hits of 60 ns and misses of 40 ms", |random| {
                if uniform(random) < 0.97 {
                    60.0 + 5.0 * uniform(random)
                } else {
                    4e7 * (1.0 + uniform(random))
                }
            }),
            ("Pareto with a tail of exponent 1.1", |random| {
                (50.0 / uniform(random).powf(1.0 / 1.1)).min(HOUR_NS)
            }),
        ]
    }

    #[test]
    fn percentiles_are_within_five_percent_of_the_exact_ones_and_so_are_those_of_merged_histograms() {
        for (name, draw) in distributions() {
            let mut random = Random::new(42);
            let mut exact: Vec<u64> = (0..200_000).map(|_| draw(&mut random).round() as u64).collect();
            // Counted in eight parts, as windows, threads and processes do.
            let mut parts = vec![Histogram::default(); 8];
            for (at, ns) in exact.iter().enumerate() {
                parts[at % 8].add(*ns, 1);
            }
            let mut whole = Histogram::default();
            for part in &parts {
                whole.merge(part);
            }
            assert_eq!(whole.total(), 200_000);
            exact.sort_unstable();
            let max = *exact.last().unwrap();
            for share in SHARES {
                let rank = (share * exact.len() as f64).ceil() as usize;
                let truth = exact[rank - 1] as f64;
                let found = whole.percentile(share, max) as f64;
                // `schema_doc` and the help of `monitor top` name this bound. The found one is rounded to a nanosecond.
                let off_max = 0.045 * truth + 0.5;
                assert!((found - truth).abs() <= off_max, "{name}: p{share}: {found} for {truth}");
            }
        }
    }

    #[test]
    fn values_of_metrics_have_a_place_whatever_their_size() {
        assert_eq!((place_of_value(0.0), place_of_value(1e-9)), (0, place(1)));
        assert_eq!(place_of_value(f64::MAX), BUCKETS_MAX - 1);
        assert_eq!(place_of_value(f64::INFINITY), BUCKETS_MAX - 1);
        let places: Vec<usize> =
            (-40..110).map(|doubling| place_of_value(f64::from(doubling).exp2())).collect();
        assert!(places.is_sorted(), "{places:?}");
        // The place moves on steadily at the bound between the two ways of counting.
        let at = LARGEST_EXACT / PER_UNIT;
        assert_eq!(place_of_value(at * 0.99).abs_diff(place_of_value(at * 1.01)), 1);
    }

    #[test]
    fn an_empty_histogram_has_no_percentile() {
        assert_eq!(Histogram::default().quantile(0.5, (0.0, 1.0)), None);
        assert_eq!(Histogram::default().percentile(0.5, 0), 0);
    }
}
