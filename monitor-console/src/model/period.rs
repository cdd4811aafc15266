//! A span of time, as a query selects rows by it.

use std::time::Duration;

use crate::moment::Moment;
use crate::units;

const SECOND_NS: i64 = 1_000_000_000;
/// The time on either side of the moment that `--at` names.
const MARGIN_NS: i64 = 60 * SECOND_NS;

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

    /// Returns true if the span has neither start nor end.
    pub(crate) fn is_whole(self) -> bool {
        self == Self::WHOLE
    }
}
