//! The part of a call's time that is covered by the calls that it made.
//!
//! Takes the rows of a call and of its callees; gives the time in which at least one callee was under way. The rest is
//! the time of the call itself: for sync calls on one thread it is exactly what the recorder measured as `self_ms`.
//!
//! The row of one call is an interval, and intervals that overlap cover their caller once. A row that calls share is an
//! amount of time somewhere between its first start and its last end, because its calls take turns with other calls.
//! The amounts of such rows are added to the intervals that they overlap. The sum is at most the time from the first
//! start to the last end of the group, because calls that took longer than that must have run at the same time. Below a
//! caller that shares its own row, callees of different calls cannot be told apart, so all of them are amounts, up to the
//! callers' time.

use super::rows::Row;

/// The time of a row: from the first start to the last end, and how much of it calls took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The first start, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The last end, not before the start.
    pub(crate) end_ns: i64,
    /// The sum of the calls' durations: of one call, the time from start to end.
    pub(crate) sum_ns: i64,
    /// True if calls share the row, so the sum may be less than the time from start to end, or more.
    pub(crate) is_shared: bool,
}

impl Stretch {
    /// Returns the time of a row.
    pub(crate) fn new(row: &Row) -> Self {
        let (start_ns, end_ns) = (row.start_ns, row.end_ns());
        let sum_ns = end_ns.saturating_sub(start_ns);
        let is_shared = row.shared > 1;
        let end_ns = row.last_ns.filter(|_| is_shared).unwrap_or(end_ns).max(start_ns);
        Self { start_ns, end_ns, sum_ns, is_shared }
    }

    /// Returns the part of the time that lies within this span, start and end. Calls that share a row lose as large a
    /// share of their sum as of the time from start to end.
    pub(crate) fn clip(self, (start_ns, end_ns): (i64, i64)) -> Self {
        let start_ns = self.start_ns.clamp(start_ns, end_ns);
        let end_ns = self.end_ns.clamp(start_ns, end_ns);
        let [whole, left] =
            [(self.start_ns, self.end_ns), (start_ns, end_ns)].map(|(from, to)| to.saturating_sub(from));
        let sum_ns = match self.is_shared {
            false => left,
            true if left == whole => self.sum_ns,
            true => {
                let sum_ns = i128::from(self.sum_ns) * i128::from(left) / i128::from(whole);
                i64::try_from(sum_ns).unwrap_or(i64::MAX)
            }
        };
        Self { start_ns, end_ns, sum_ns, is_shared: self.is_shared }
    }
}

/// Returns the time of a caller that its callees cover, at most the caller's whole time.
pub(crate) fn measure_cover(caller: Stretch, callees: impl Iterator<Item = Stretch>) -> i64 {
    let within = (caller.start_ns, caller.end_ns);
    let callees = callees.map(|callee| callee.clip(within));
    if caller.is_shared {
        return callees.fold(0, |sum: i64, callee| sum.saturating_add(callee.sum_ns)).min(caller.sum_ns);
    }
    let mut callees: Vec<Stretch> = callees.collect();
    callees.sort_unstable_by_key(|callee| (callee.start_ns, callee.end_ns));
    let (mut covered, mut island) = (0_i64, Island::default());
    for callee in callees {
        if callee.start_ns > island.end_ns || island.is_empty {
            covered = covered.saturating_add(island.measure());
            island = Island::begin(callee.start_ns);
        }
        island.add(callee);
    }
    covered.saturating_add(island.measure())
}

/// Callees without a gap between them.
#[derive(Debug)]
struct Island {
    start_ns: i64,
    end_ns: i64,
    /// The end of the last callee with a row of its own.
    interval_end_ns: i64,
    /// The time of these intervals, each moment once, and the sums of shared rows.
    sum_ns: i64,
    is_empty: bool,
}

impl Default for Island {
    fn default() -> Self {
        Self { is_empty: true, ..Self::begin(0) }
    }
}

impl Island {
    fn begin(start_ns: i64) -> Self {
        Self { start_ns, end_ns: start_ns, interval_end_ns: start_ns, sum_ns: 0, is_empty: false }
    }

    /// Adds a callee that starts no earlier than those before it.
    fn add(&mut self, callee: Stretch) {
        let Stretch { start_ns, end_ns, sum_ns, is_shared } = callee;
        let added = if is_shared {
            sum_ns.min(end_ns.saturating_sub(start_ns))
        } else {
            end_ns.saturating_sub(start_ns.max(self.interval_end_ns)).max(0)
        };
        self.sum_ns = self.sum_ns.saturating_add(added);
        self.end_ns = self.end_ns.max(end_ns);
        if !is_shared {
            self.interval_end_ns = self.interval_end_ns.max(end_ns);
        }
    }

    fn measure(&self) -> i64 {
        self.sum_ns.min(self.end_ns.saturating_sub(self.start_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(start_ns: i64, end_ns: i64) -> Stretch {
        Stretch { start_ns, end_ns, sum_ns: end_ns - start_ns, is_shared: false }
    }

    fn shared(start_ns: i64, end_ns: i64, sum_ns: i64) -> Stretch {
        Stretch { start_ns, end_ns, sum_ns, is_shared: true }
    }

    fn cover(caller: Stretch, callees: &[Stretch]) -> i64 {
        measure_cover(caller, callees.iter().copied())
    }

    #[test]
    fn calls_that_overlap_cover_their_caller_once_and_only_within_it() {
        assert_eq!(cover(one(0, 50), &[one(10, 20), one(15, 30), one(40, 99)]), 30);
        assert_eq!(cover(one(15, 50), &[one(10, 20), one(12, 13)]), 5);
        assert_eq!(cover(one(0, 50), &[one(60, 70), one(-9, -1)]), 0);
        assert_eq!(cover(one(0, 50), &[]), 0);
    }

    #[test]
    fn rows_that_calls_share_and_that_take_turns_add_up() {
        let turns = [shared(10, 90, 40), shared(11, 91, 39)];
        assert_eq!(cover(one(0, 100), &turns), 79);
        // Those that have rows of their own lie among them or apart.
        assert_eq!(cover(one(0, 100), &[turns[0], turns[1], one(0, 5), one(92, 97)]), 89);
        assert_eq!(cover(one(0, 100), &[shared(10, 90, 40), one(20, 50)]), 70);
    }

    #[test]
    fn shared_rows_cover_no_more_than_the_time_in_which_their_calls_ran() {
        assert_eq!(cover(one(0, 100), &[shared(10, 20, 900), shared(50, 90, 7)]), 10 + 7);
        assert_eq!(cover(one(0, 100), &[shared(10, 60, 45), shared(20, 60, 40), one(30, 40)]), 50);
        // Half of the time from start to end lies within the caller.
        assert_eq!(cover(one(0, 100), &[shared(90, 110, 16)]), 8);
    }

    #[test]
    fn below_a_shared_row_times_add_up_to_at_most_its_sum() {
        let callers = shared(0, 100, 60);
        assert_eq!(cover(callers, &[one(10, 20), one(15, 25), shared(0, 100, 30)]), 50);
        assert_eq!(cover(callers, &[shared(0, 100, 70)]), 60);
        // Calls that run at the same time take more than the time from start to end.
        assert_eq!(cover(shared(0, 10, 100), &[shared(0, 10, 90)]), 90);
    }

    #[test]
    fn wrong_clocks_give_no_negative_time() {
        let extremes =
            [one(i64::MIN, i64::MIN), shared(i64::MIN, i64::MAX, i64::MAX), shared(5, 5, i64::MAX)];
        for caller in extremes {
            let covered = cover(caller, &extremes);
            assert!((0..=caller.sum_ns).contains(&covered), "{caller:?}: {covered}");
        }
    }
}
