//! Direct calls: those that are entered as soon as they begin, and end as soon as they are left.
//!
//! Takes, for each call of a callsite on this thread, whether it was direct; decides whether two readings of the clock
//! are enough for the next call instead of four, because reading the clock is most of the cost of a span. The clock is
//! read four times until sixteen calls in a row were direct, and for every sixteenth call from then on. A call that is
//! not direct starts the count again. The file does not know the call.

use std::cell::Cell;

use crate::platform::clock::{Ticks, ticks_from_ns};

/// The callsites that a thread remembers.
const REMEMBERED: usize = 64;
/// The number of direct calls in a row after which the next call of a callsite is assumed to be direct. From then on,
/// one call in this many is timed in full, to check the assumption.
const LOOKS_EACH: u32 = 16;
/// The longest time between the begin of a direct call and its entry, and between its exit and its end.
const GAP_NS: u64 = 1_000;

thread_local! {
    /// For each callsite, its id in the upper half, and the number of direct calls in a row in the lower one. Const and
    /// without `Drop`: an access is one load.
    static DIRECT: [Cell<u64>; REMEMBERED] = const { [const { Cell::new(0) }; REMEMBERED] };
}

/// Returns the number of direct calls in a row of a function.
// The closures of the two accesses are this small because the compiler then inlines them.
#[inline]
fn direct_calls(site: u32) -> u32 {
    let word = DIRECT.with(|sites| sites[site as usize % REMEMBERED].get());
    if (word >> 32) as u32 == site { word as u32 } else { 0 }
}

/// Returns true if the next call of this function is assumed to be direct.
#[inline]
pub(super) fn is_assumed(site: u32) -> bool {
    let calls = direct_calls(site);
    calls >= LOOKS_EACH && !calls.is_multiple_of(LOOKS_EACH)
}

/// Notes whether a call of this function was direct.
#[inline]
pub(super) fn note(site: u32, is_direct: bool) {
    let calls = if is_direct { direct_calls(site) + 1 } else { 0 };
    // The number starts again at `LOOKS_EACH` before it would overflow, so the callsite's calls are still assumed to be
    // direct.
    let calls = if calls == u32::MAX { LOOKS_EACH } else { calls };
    DIRECT.with(|sites| sites[site as usize % REMEMBERED].set(u64::from(site) << 32 | u64::from(calls)));
}

/// Returns true if the time between two moments is so short that one reading of the clock stands for both.
pub(super) fn is_gap_short(gap: Ticks) -> bool {
    gap < ticks_from_ns(GAP_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callsite_is_taken_for_direct_after_sixteen_calls_and_looked_at_each_sixteenth_time() {
        let site = 7;
        let mut looked = Vec::new();
        for call in 0..64 {
            if !is_assumed(site) {
                looked.push(call);
            }
            note(site, true);
        }
        let first: Vec<u32> = (0..=16).collect();
        assert_eq!(looked, [first, vec![32, 48]].concat());
        // A callsite at the same place, and a call that is not direct, start the count again.
        note(site + 64, true);
        assert!(!is_assumed(site));
        (0..18).for_each(|_| note(site, true));
        assert!(is_assumed(site));
        note(site, false);
        assert!(!is_assumed(site));
    }
}
