//! Tables whose keys are numbers: spans, and the ids of functions.
//!
//! Takes numbers as keys; gives hash tables that find them with one multiplication for each number, because a drain
//! looks up thousands of spans. The recorder itself gives out these numbers, so a hash that withstands chosen keys is
//! not needed. The file does not know what the numbers stand for.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A table by span, or by several numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;
/// A set of numbers, or of tuples of numbers.
pub(crate) type NumberSet<K> = HashSet<K, BuildHasherDefault<NumberHasher>>;

/// A hasher of numbers.
#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    /// Multiplies, and mixes the upper half into the lower one. A table takes its buckets from the lower bits, and the
    /// lower half of a span is a counter of its thread, which may be the same for several threads.
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_many_threads_are_spread_over_the_buckets_of_a_table() {
        const BUCKETS: usize = 4096;
        let hash = |span: u64| {
            let mut hasher = NumberHasher::default();
            hasher.write_u64(span);
            hasher.finish()
        };
        let spans =
            (0..64_u64).flat_map(|thread| (0..64).map(move |call| ((0x5EED + thread) << 32) | (1000 + call)));
        let hashes: Vec<u64> = spans.map(hash).collect();
        // Random numbers, as many as there are buckets, would fall into 63 % of the buckets.
        let buckets: HashSet<usize> = hashes.iter().map(|hash| *hash as usize % BUCKETS).collect();
        let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(buckets.len() > BUCKETS / 2 && tags.len() == 128, "{} {}", buckets.len(), tags.len());
    }
}
