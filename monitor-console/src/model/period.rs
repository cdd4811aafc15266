//! A span of time, as a query selects rows by it.

use std::time::Duration;

use monitor_runtime::store::schema::WINDOW_NS;

use crate::moment::Moment;
use crate::units;

const SECOND_NS: i64 = 1_000_000_000;
/// The time on either side of the moment that `--at` names.
const MARGIN_NS: i64 = 60 * SECOND_NS;
/// The lengths of the two spans that are compared unless others are named: the last ten minutes, and the hour before them.
const RECENT_NS: i64 = 600 * SECOND_NS;
const EARLIER_NS: i64 = 3600 * SECOND_NS;

/// A span of time from `from_ns` to `until_ns`, both included, in ns since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// The start; the earliest time there is, if the span has none.
    pub(crate) from_ns: i64,
    /// The end.
    pub(crate) until_ns: i64,
}

impl Period {
    /// The whole time that a store covers.
    pub(crate) const WHOLE: Self = Self { from_ns: i64::MIN, until_ns: i64::MAX };

    /// Returns the span that the options select: `since` before now, `until`, or the minutes around `at`.
    pub(crate) fn select(since: Option<Duration>, until: Option<Moment>, at: Option<Moment>) -> Self {
        if let Some(Moment(at)) = at {
            return Self { from_ns: at.saturating_sub(MARGIN_NS), until_ns: at.saturating_add(MARGIN_NS) };
        }
        let is_whole = since.is_none() && until.is_none();
        let until_ns = match until {
            Some(Moment(until)) => until,
            None if is_whole => i64::MAX,
            None => units::end_of_span(),
        };
        Self { from_ns: units::start_of_span(since), until_ns }
    }

    /// Returns the first and the last window that have a part of the span.
    pub(crate) fn to_windows(self) -> (i64, i64) {
        (self.from_ns.div_euclid(WINDOW_NS), self.until_ns.div_euclid(WINDOW_NS))
    }

    /// Returns the two spans that are compared unless others are named: the hour before the last ten minutes, and the last ten
    /// minutes before `end_ns`.
    pub(crate) fn earlier_and_recent(end_ns: i64) -> [Self; 2] {
        Self { from_ns: end_ns.saturating_sub(RECENT_NS), until_ns: end_ns }.after_earlier()
    }

    /// Returns the hour before this span, and this span.
    pub(crate) fn after_earlier(self) -> [Self; 2] {
        self.with_earlier(EARLIER_NS)
    }

    /// Returns the span of this length before this span, and this span. This span begins up to a window earlier than it did, so
    /// that the two meet between two windows and none counts on both sides.
    pub(crate) fn with_earlier(self, length_ns: i64) -> [Self; 2] {
        let from_ns = self.from_ns.saturating_sub(self.from_ns.rem_euclid(WINDOW_NS));
        let earlier =
            Self { from_ns: from_ns.saturating_sub(length_ns), until_ns: from_ns.saturating_sub(1) };
        [earlier, Self { from_ns, ..self }]
    }

    /// Returns the span of the same length right before this span, and this span, as [`Self::with_earlier`] does.
    pub(crate) fn with_equal_before(self) -> [Self; 2] {
        self.with_earlier(self.until_ns.saturating_sub(self.from_ns))
    }

    /// Returns the time from the end of this span to `end_ns`, without the window in which this span ends, so that no window
    /// counts in both; `None` if there is no such time.
    pub(crate) fn rest_until(self, end_ns: i64) -> Option<Self> {
        let from_ns = self.until_ns.div_euclid(WINDOW_NS).saturating_add(1).saturating_mul(WINDOW_NS);
        (from_ns < end_ns).then_some(Self { from_ns, until_ns: end_ns })
    }

    /// Returns true if the span ends before this time, which is the present one.
    pub(crate) fn has_ended(self, now_ns: i64) -> bool {
        self.until_ns < now_ns
    }

    /// Returns true if the moment lies within the span.
    pub(crate) fn holds(self, at_ns: i64) -> bool {
        (self.from_ns..=self.until_ns).contains(&at_ns)
    }

    /// Describes the span in words: `14:05:00.000 to 14:06:00.000 UTC`.
    pub(crate) fn describe(self, now_ns: i64) -> String {
        let time = |ns: i64| units::format_time(ns, now_ns);
        match (self.from_ns == i64::MIN, self.has_ended(now_ns)) {
            (true, true) => format!("until {} UTC", time(self.until_ns)),
            (true, false) => "the whole time that the store covers".to_owned(),
            (false, true) => format!("{} to {} UTC", time(self.from_ns), time(self.until_ns)),
            (false, false) => format!("since {} UTC", time(self.from_ns)),
        }
    }

    /// Returns true if the span has neither start nor end.
    pub(crate) fn is_whole(self) -> bool {
        self == Self::WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_spans_meet_between_two_windows() {
        for end_ns in [0, 7, 7_000 * SECOND_NS, 7_003 * SECOND_NS + 1, i64::MAX] {
            let [earlier, recent] = Period::earlier_and_recent(end_ns);
            assert_eq!(earlier.until_ns + 1, recent.from_ns);
            assert_eq!(recent.from_ns.rem_euclid(WINDOW_NS), 0);
            assert_eq!((recent.until_ns, earlier.from_ns), (end_ns, recent.from_ns - EARLIER_NS));
            assert!((RECENT_NS..RECENT_NS + WINDOW_NS).contains(&(end_ns - recent.from_ns)));
        }
        let named = Period { from_ns: 3_003 * SECOND_NS, until_ns: 6_999 * SECOND_NS };
        let [equal, same] = named.with_equal_before();
        assert_eq!((equal.until_ns + 1, same.until_ns), (same.from_ns, named.until_ns));
        assert_eq!(same.from_ns - equal.from_ns, named.until_ns - named.from_ns);
        let rest = named.rest_until(7_100 * SECOND_NS);
        assert_eq!(rest, Some(Period { from_ns: 7_000 * SECOND_NS, until_ns: 7_100 * SECOND_NS }));
        assert_eq!(named.rest_until(7_000 * SECOND_NS), None);
        let [earlier, whole] = Period::WHOLE.with_earlier(EARLIER_NS);
        assert_eq!((earlier.until_ns, whole.until_ns), (i64::MIN, i64::MAX));
    }
}
