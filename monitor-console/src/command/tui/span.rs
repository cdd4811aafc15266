//! The span of time that is shown: its length, and its end if that is not now.
//!
//! The functions are pure: they take the present time and give spans. A span that follows now moves on by itself; one
//! in the past stays, so that its figures stay the same while somebody reads them.

use crate::model::period::Period;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
/// The history that a store keeps by default, which is how far back a span can be moved.
const REACH_NS: i64 = 6 * 60 * MINUTE_NS;
/// The lengths that the keys step through.
const LENGTHS_NS: [i64; 6] =
    [MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS, 60 * MINUTE_NS, 180 * MINUTE_NS, REACH_NS];
/// The time by which a span that follows now reaches into the future, because the clocks of two hosts may differ by
/// seconds.
const AHEAD_NS: i64 = 60 * SECOND_NS;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The length.
    pub(super) length_ns: i64,
    /// The end, ns since the Unix epoch; `None` if the span ends now.
    pub(super) end_ns: Option<i64>,
}

impl Span {
    /// The length without `--since`.
    pub(super) const DEFAULT_LENGTH_NS: i64 = 15 * MINUTE_NS;

    /// Returns a span that ends now.
    pub(super) fn until_now(length_ns: i64) -> Self {
        Self { length_ns: length_ns.max(SECOND_NS), end_ns: None }
    }

    /// Moves the span by half its length into the past. It stays within the reach. Returns false if it cannot move.
    pub(super) fn move_back(&mut self, now_ns: i64) -> bool {
        let earliest = now_ns.saturating_sub(REACH_NS).saturating_add(self.length_ns);
        let end = self.end_ns.unwrap_or(now_ns);
        let moved = end.saturating_sub(self.length_ns / 2).max(earliest);
        let is_moved = moved < end;
        if is_moved {
            self.end_ns = Some(moved);
        }
        is_moved
    }

    /// Moves the span by half its length towards now. A span that reaches now follows it from then on. Returns false if
    /// the span follows now already.
    pub(super) fn move_on(&mut self, now_ns: i64) -> bool {
        let Some(end) = self.end_ns else { return false };
        let moved = end.saturating_add(self.length_ns / 2);
        self.end_ns = (moved < now_ns).then_some(moved);
        true
    }

    /// Makes the span shorter by a step. Returns false if there is no shorter one.
    pub(super) fn shorten(&mut self) -> bool {
        let shorter = LENGTHS_NS.into_iter().rev().find(|length| *length < self.length_ns);
        self.set_length(shorter)
    }

    /// Makes the span longer by a step. Returns false if there is no longer one.
    pub(super) fn lengthen(&mut self, now_ns: i64) -> bool {
        let longer = LENGTHS_NS.into_iter().find(|length| *length > self.length_ns);
        let is_longer = self.set_length(longer);
        // Near the end of the reach, a longer span would begin outside of the reach, so its end moves towards now.
        let earliest = now_ns.saturating_sub(REACH_NS).saturating_add(self.length_ns);
        self.end_ns = self.end_ns.map(|end| end.max(earliest)).filter(|end| *end < now_ns);
        is_longer
    }

    fn set_length(&mut self, length_ns: Option<i64>) -> bool {
        self.length_ns = length_ns.unwrap_or(self.length_ns);
        length_ns.is_some()
    }

    /// Returns the start of the span.
    pub(super) fn start_ns(&self, now_ns: i64) -> i64 {
        self.end_ns.unwrap_or(now_ns).saturating_sub(self.length_ns)
    }

    /// Returns the span as a query takes it.
    pub(super) fn to_period(self, now_ns: i64) -> Period {
        let until_ns = self.end_ns.unwrap_or_else(|| now_ns.saturating_add(AHEAD_NS));
        Period { from_ns: self.start_ns(now_ns), until_ns }
    }

    /// Returns the span for a picture of its course: without what lies beyond now.
    pub(super) fn to_shown_period(self, now_ns: i64) -> Period {
        Period { from_ns: self.start_ns(now_ns), until_ns: self.end_ns.unwrap_or(now_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_946_400_000_000_000;

    #[test]
    fn a_span_moves_by_half_its_length_and_follows_now_again() {
        let mut span = Span::until_now(15 * MINUTE_NS);
        assert!(!span.move_on(NOW));
        assert!(span.move_back(NOW) && span.move_back(NOW));
        assert_eq!(span.end_ns, Some(NOW - 15 * MINUTE_NS));
        assert_eq!(span.start_ns(NOW), NOW - 30 * MINUTE_NS);
        assert!(span.move_on(NOW) && span.move_on(NOW));
        assert_eq!(span.end_ns, None);
    }

    #[test]
    fn a_span_stays_within_six_hours() {
        let mut span = Span::until_now(60 * MINUTE_NS);
        for _ in 0..50 {
            span.move_back(NOW);
        }
        assert_eq!(span.start_ns(NOW), NOW - REACH_NS);
        assert!(!span.move_back(NOW));
        while span.lengthen(NOW) {}
        assert_eq!((span.length_ns, span.end_ns), (REACH_NS, None));
        assert!(!span.move_back(NOW));
        while span.shorten() {}
        assert_eq!(span.length_ns, MINUTE_NS);
    }

    #[test]
    fn a_length_of_its_own_steps_to_its_neighbours() {
        let mut span = Span::until_now(7 * MINUTE_NS);
        assert!(span.lengthen(NOW));
        assert_eq!(span.length_ns, 15 * MINUTE_NS);
        span.shorten();
        assert_eq!(span.length_ns, 5 * MINUTE_NS);
    }
}
