//! The call statistics of a function over a period: numbers of calls, and sums and the maximum of their durations.
//!
//! Takes calls one by one, or statistics that were summed elsewhere; gives sums, differences, and the words that
//! checkpoints and the store hold. Only this file defines the order of these words. All arithmetic saturates, because a
//! damaged store or ring file may hold any numbers. It does not know periods.

use crate::record::Outcome;

/// Call statistics of a function, exact at any sampling rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Ended calls of all four outcomes.
    pub calls: u64,
    /// Calls that ended `error`.
    pub errors: u64,
    /// Calls that ended `panic`.
    pub panics: u64,
    /// Calls that ended `cancelled`.
    pub cancelled: u64,
    /// Calls that were passed on to be written as a row, of their own or shared with others.
    pub recorded: u64,
    /// Calls without a row because of sampling.
    pub sampled_out: u64,
    /// Calls that should have had a row and lost it.
    pub dropped: u64,
    /// Calls with a record and without a monitored caller.
    pub roots: u64,
    /// Sum of the durations of calls that were not cancelled and ran in no other call of the same function.
    pub total_ns: u64,
    /// Sum of the time that calls spent outside of the monitored calls that they made.
    pub self_ns: u64,
    /// Sum of the time in which calls ran: the polls of an async call, the whole duration of any other call. Calls
    /// within another call of the same function are left out.
    pub busy_ns: u64,
    /// Sum of the durations of calls within another call of the same function.
    pub nested_ns: u64,
    /// Sum of the durations of cancelled calls.
    pub cancelled_ns: u64,
    /// Longest duration.
    pub max_ns: u64,
    /// True if some calls were only counted, so that the durations are estimated from the calls that were timed.
    pub is_estimated: bool,
}

/// The reason for which calls that were counted as recorded have no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowLost {
    /// The row was lost on its way to the store.
    Dropped,
    /// The row belongs to a tree that is not kept.
    SampledOut,
}

/// A call that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedCall {
    pub(crate) outcome: Outcome,
    pub(crate) ns: u64,
    /// The time that the call spent outside of the monitored calls that it made.
    pub(crate) self_ns: u64,
    /// The time of the polls if the call is async, else its duration.
    pub(crate) busy_ns: u64,
    /// True if the call ran within another call of the same function.
    pub(crate) is_nested: bool,
    /// True if the call has no monitored caller.
    pub(crate) is_root: bool,
    /// The time at which the call ended, ns since the Unix epoch.
    pub(crate) at_ns: i64,
}

impl CallStats {
    /// The number of words of [`CallStats::to_words`].
    pub const WORDS: usize = 14;

    /// The word that holds the maximum. All other words are sums.
    const MAX: usize = 13;

    /// Returns the number of calls that failed: errors, panics and cancelled calls.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.saturating_add(self.panics).saturating_add(self.cancelled)
    }

    /// Returns the numbers in the order of the columns of the table `slice`. `is_estimated` is not among them.
    #[must_use]
    pub fn to_words(self) -> [u64; Self::WORDS] {
        let Self {
            calls,
            errors,
            panics,
            cancelled,
            recorded,
            sampled_out,
            dropped,
            roots,
            total_ns,
            self_ns,
            busy_ns,
            nested_ns,
            cancelled_ns,
            max_ns,
            is_estimated: _,
        } = self;
        let numbers = [calls, errors, panics, cancelled, recorded, sampled_out, dropped, roots];
        let durations = [total_ns, self_ns, busy_ns, nested_ns, cancelled_ns, max_ns];
        let mut words = [0; Self::WORDS];
        words[..numbers.len()].copy_from_slice(&numbers);
        words[numbers.len()..].copy_from_slice(&durations);
        words
    }

    /// Returns the statistics whose words these are. `is_estimated` is false.
    #[must_use]
    pub fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [calls, errors, panics, cancelled, recorded, sampled_out, dropped, roots, durations @ ..] = words;
        let [total_ns, self_ns, busy_ns, nested_ns, cancelled_ns, max_ns] = durations;
        Self {
            calls,
            errors,
            panics,
            cancelled,
            recorded,
            sampled_out,
            dropped,
            roots,
            total_ns,
            self_ns,
            busy_ns,
            nested_ns,
            cancelled_ns,
            max_ns,
            is_estimated: false,
        }
    }

    /// Returns the number of calls that are neither recorded nor sampled out nor dropped: calls that share a row which
    /// does not hold them yet.
    pub(crate) fn without_reason(&self) -> u64 {
        let with_reason = self.recorded.saturating_add(self.sampled_out).saturating_add(self.dropped);
        self.calls.saturating_sub(with_reason)
    }

    /// Returns the sum of the durations of all calls.
    pub(crate) fn duration_ns(&self) -> u64 {
        self.total_ns.saturating_add(self.nested_ns).saturating_add(self.cancelled_ns)
    }

    /// Adds the statistics of other calls.
    pub fn merge(&mut self, other: &Self) {
        let (mut words, others) = (self.to_words(), other.to_words());
        for (word, other) in words[..Self::MAX].iter_mut().zip(others) {
            *word = word.saturating_add(other);
        }
        words[Self::MAX] = words[Self::MAX].max(others[Self::MAX]);
        *self = Self { is_estimated: self.is_estimated | other.is_estimated, ..Self::from_words(words) };
    }

    /// Returns the statistics of the calls that came after `earlier` was taken. Their maximum is known only if it
    /// is larger than the earlier one; otherwise it is 0.
    pub(crate) fn saturating_difference(self, earlier: &Self) -> Self {
        let (mut words, before) = (self.to_words(), earlier.to_words());
        for (word, before) in words[..Self::MAX].iter_mut().zip(before) {
            *word = word.saturating_sub(before);
        }
        if words[Self::MAX] <= before[Self::MAX] {
            words[Self::MAX] = 0;
        }
        Self::from_words(words)
    }

    /// Counts a call that left a record. `has_row` is true if the call is passed on to be written as a row.
    #[inline]
    pub(crate) fn count(&mut self, ended: &EndedCall, has_row: bool) {
        let EndedCall { outcome, ns, self_ns, busy_ns, is_nested, is_root, at_ns: _ } = *ended;
        let sum = match outcome {
            Outcome::Cancelled => &mut self.cancelled_ns,
            _ if is_nested => &mut self.nested_ns,
            _ => &mut self.total_ns,
        };
        *sum = sum.saturating_add(ns);
        self.self_ns = self.self_ns.saturating_add(self_ns);
        self.busy_ns = self.busy_ns.saturating_add(if is_nested { 0 } else { busy_ns });
        self.max_ns = self.max_ns.max(ns);
        self.roots += u64::from(is_root);
        self.calls += 1;
        match outcome {
            Outcome::Ok | Outcome::Exit => {}
            Outcome::Error => self.errors += 1,
            Outcome::Panic => self.panics += 1,
            Outcome::Cancelled => self.cancelled += 1,
        }
        if has_row {
            self.recorded += 1;
        } else {
            self.sampled_out += 1;
        }
    }

    /// Moves calls from `recorded` to the counter of the reason for which they have no row after all.
    pub(crate) fn lose_rows(&mut self, calls: u64, why: RowLost) {
        self.recorded = self.recorded.saturating_sub(calls);
        let counter = match why {
            RowLost::Dropped => &mut self.dropped,
            RowLost::SampledOut => &mut self.sampled_out,
        };
        *counter = counter.saturating_add(calls);
    }

    /// Removes up to `calls` calls that were counted as sampled out. Returns the number of calls that were removed.
    pub(crate) fn uncount(&mut self, calls: u64) -> u64 {
        let removed = calls.min(self.sampled_out);
        self.calls = self.calls.saturating_sub(removed);
        self.sampled_out -= removed;
        removed
    }
}

#[cfg(test)]
impl EndedCall {
    /// A root call without callees.
    pub(crate) fn from_root(outcome: Outcome, ns: u64, at_ns: i64) -> Self {
        Self { outcome, ns, self_ns: ns, busy_ns: ns, is_nested: false, is_root: true, at_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_summed_once_by_how_the_call_ended_and_where_it_ran() {
        let root = EndedCall { self_ns: 10, busy_ns: 80, ..EndedCall::from_root(Outcome::Ok, 100, 1) };
        let nested = EndedCall { is_nested: true, is_root: false, ..root };
        let cancelled = EndedCall { outcome: Outcome::Cancelled, ..nested };
        let mut stats = CallStats::default();
        for ended in [root, nested, nested, cancelled] {
            stats.count(&ended, true);
        }
        let CallStats { total_ns, nested_ns, cancelled_ns, self_ns, busy_ns, max_ns, roots, .. } = stats;
        assert_eq!([total_ns, nested_ns, cancelled_ns, self_ns, busy_ns], [100, 200, 100, 40, 80]);
        assert_eq!((max_ns, roots), (100, 1));
    }

    fn numbered() -> CallStats {
        CallStats::from_words(std::array::from_fn(|word| 10 + word as u64))
    }

    #[test]
    fn words_lead_back_to_the_statistics_that_they_were_made_of() {
        assert_eq!(CallStats::from_words(numbered().to_words()), numbered());
    }

    #[test]
    fn a_difference_takes_off_what_was_there_and_keeps_a_maximum_only_if_it_grew() {
        let (mut later, more) =
            (numbered(), CallStats { calls: 3, total_ns: 50, max_ns: 40, ..CallStats::default() });
        later.merge(&more);
        assert_eq!(later.saturating_difference(&numbered()), more);
        assert_eq!(numbered().saturating_difference(&later), CallStats::default());
        assert_eq!(later.saturating_difference(&later), CallStats::default());
    }

    #[test]
    fn calls_that_no_row_holds_yet_have_no_reason() {
        let stats = CallStats { calls: 9, recorded: 3, sampled_out: 2, dropped: 1, ..CallStats::default() };
        assert_eq!(stats.without_reason(), 3);
        assert_eq!(CallStats { recorded: u64::MAX, ..stats }.without_reason(), 0);
    }

    #[test]
    fn sums_of_any_numbers_stay_within_the_largest() {
        let mut sum = CallStats { calls: u64::MAX, is_estimated: true, ..CallStats::default() };
        sum.merge(&numbered());
        assert_eq!((sum.calls, sum.errors, sum.max_ns, sum.is_estimated), (u64::MAX, 11, 23, true));
    }
}
