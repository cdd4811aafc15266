//! The calls that left no record, as sums over all threads: what the tallies and countdowns of a function hold.
//!
//! Takes the words of a tally or of a countdown; gives sums, and the difference to an earlier sum. The counters only
//! grow and may wrap, so a difference is exact whatever they began at. The collector notes in the ring file how much of
//! them it has counted, and a recoverer of the file counts the rest. The file does not know threads.

use crate::ring::layout::{countdown, tally};

/// Sums of the counters of a function's tallies and countdowns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tallied {
    /// Numbers of calls by outcome, those that were only counted left out.
    pub(crate) calls: [u64; 4],
    /// Number of the calls in `calls` that were sampled out.
    pub(crate) sampled_out: u64,
    /// Sums of the ticks of the calls in `calls`.
    pub(crate) total: u64,
    pub(crate) self_ticks: u64,
    pub(crate) busy: u64,
    pub(crate) nested: u64,
    pub(crate) cancelled: u64,
    /// Number of calls that were only counted, and of those among them that left a record after all, each as 32 bits
    /// that wrap.
    pub(crate) counted: u64,
    pub(crate) taken_back: u64,
    /// Numbers of calls by outcome that were sent past a full ring and taken there.
    pub(crate) sent: [u64; 4],
}

impl Tallied {
    /// The number of words of [`Tallied::to_words`].
    pub(crate) const WORDS: usize = 16;

    /// Returns the sums of one tally.
    pub(crate) fn from_tally(words: &[u64; tally::WORDS]) -> Self {
        let timed = words[tally::TIMED];
        let [ok, error, panic, cancelled] = std::array::from_fn(|at| words[tally::CALLS + at]);
        let (timed_total, timed_nested) = (words[tally::TIMED_TOTAL], words[tally::TIMED_NESTED]);
        Self {
            calls: [ok.wrapping_add(timed), error, panic, cancelled],
            sampled_out: words[tally::UNRECORDED].wrapping_add(timed),
            total: words[tally::TOTAL].wrapping_add(timed_total),
            self_ticks: words[tally::SELF].wrapping_add(words[tally::TIMED_SELF]),
            busy: words[tally::BUSY].wrapping_add(timed_total.wrapping_sub(timed_nested)),
            nested: words[tally::NESTED].wrapping_add(timed_nested),
            cancelled: words[tally::CANCELLED],
            sent: std::array::from_fn(|outcome| words[sent_place(outcome)]),
            ..Self::default()
        }
    }

    /// Returns the sums of one countdown.
    pub(crate) fn from_countdown(words: &[u64; countdown::WORDS]) -> Self {
        let (counted, taken_back) = (words[countdown::WORD] >> 32, words[countdown::EPOCH] >> 32);
        Self { counted, taken_back, ..Self::default() }
    }

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let Self {
            calls: [ok, error, panic, cancelled], sampled_out, total, self_ticks, busy, nested, ..
        } = self;
        let [cancelled_ticks, counted, taken_back] = [self.cancelled, self.counted, self.taken_back];
        let [ok_sent, error_sent, panic_sent, cancelled_sent] = self.sent;
        [
            ok,
            error,
            panic,
            cancelled,
            sampled_out,
            total,
            self_ticks,
            busy,
            nested,
            cancelled_ticks,
            counted,
            taken_back,
            ok_sent,
            error_sent,
            panic_sent,
            cancelled_sent,
        ]
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [
            ok,
            error,
            panic,
            cancelled_calls,
            sampled_out,
            total,
            self_ticks,
            busy,
            nested,
            cancelled,
            counted,
            taken_back,
            sent @ ..,
        ] = words;
        let calls = [ok, error, panic, cancelled_calls];
        Self { calls, sampled_out, total, self_ticks, busy, nested, cancelled, counted, taken_back, sent }
    }

    /// Adds other sums.
    pub(crate) fn add(&mut self, other: &Self) {
        let others = other.to_words();
        let words = self.to_words();
        *self = Self::from_words(std::array::from_fn(|at| words[at].wrapping_add(others[at])));
    }

    /// Returns the growth of these sums since they were `earlier`.
    pub(crate) fn growth_since(&self, earlier: &Self) -> Self {
        let (words, before) = (self.to_words(), earlier.to_words());
        let grown = Self::from_words(std::array::from_fn(|at| words[at].wrapping_sub(before[at])));
        let low = |word: u64| word & u64::from(u32::MAX);
        Self { counted: low(grown.counted), taken_back: low(grown.taken_back), ..grown }
    }
}

/// Returns the word of a tally that counts the calls of this outcome that were sent past a full ring.
pub(crate) const fn sent_place(outcome: usize) -> usize {
    match outcome {
        0 => tally::SENT_OK,
        failure => tally::SENT + failure - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_exact_though_counters_have_wrapped() {
        let earlier = Tallied::from_words([u64::MAX; Tallied::WORDS]);
        let mut later = earlier;
        let more = Tallied::from_words(std::array::from_fn(|word| 10 + word as u64));
        later.add(&more);
        assert_eq!(later.growth_since(&earlier), more);
        assert_eq!(Tallied::from_words(more.to_words()), more);
    }

    #[test]
    fn a_tally_and_a_countdown_are_summed_with_what_was_timed() {
        let words = std::array::from_fn(|word| word as u64 * 100);
        let sums = Tallied::from_tally(&words);
        assert_eq!((sums.calls, sums.sampled_out), ([800, 900, 1000, 1100], 1200));
        assert_eq!((sums.total, sums.self_ticks, sums.nested), (1700 + 100, 1800 + 200, 2000 + 300));
        assert_eq!((sums.busy, sums.cancelled), (1900u64.wrapping_sub(200), 2100));
        assert_eq!(sums.sent, [2300, 500, 600, 700]);
        let counted = Tallied::from_countdown(&[7 << 32 | 5, 3 << 32 | 9]);
        assert_eq!((counted.counted, counted.taken_back), (7, 3));
    }
}
