//! The size of the next thread's ring, by how much of the memory for rings is used.
//!
//! Takes the bytes used and their bound; gives the bytes of a ring, or none. The file does not know where a ring lies.

use crate::limits;

/// Returns the size of the next ring, in bytes. The first threads share half of the memory: each takes an eighth of
/// what is left of that half. The other half is for small rings, of which it holds some four hundred by default.
pub(super) fn next_ring_bytes(used: usize, max: usize) -> usize {
    let generous = (max / 2).saturating_sub(used) / 8;
    if generous >= limits::RING_BYTES_MIN {
        (1 << generous.ilog2()).min(limits::BURST_BYTES)
    } else if used + limits::RING_BYTES_MIN <= max {
        limits::RING_BYTES_MIN
    } else {
        RING_BYTES_NONE
    }
}

/// Rings are made in advance only until this part of the memory for rings is used: one in 4.
pub(super) const READY_SHARE: usize = 4;

/// The size of a ring that has no room for a record.
pub(super) const RING_BYTES_NONE: usize = 0;
pub(super) const WORD_BYTES: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_threads_have_a_ring_and_the_bound_holds() {
        let max = 32 << 20;
        let (mut used, mut sizes) = (0, Vec::new());
        for _ in 0..2000 {
            let bytes = next_ring_bytes(used, max);
            used += bytes;
            sizes.push(bytes);
        }
        assert!(used <= max);
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!(sizes[0], limits::BURST_BYTES);
        assert_eq!(sizes[999], limits::RING_BYTES_MIN);
        assert!(sizes.iter().all(|bytes| *bytes == RING_BYTES_NONE || (bytes / 8).is_power_of_two()));
    }
}
