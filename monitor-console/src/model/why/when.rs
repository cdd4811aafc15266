//! The moments at which the calls of a group happened.

use super::facts::CallFacts;

/// The parts of the time that a picture shows.
const PARTS: usize = 24;
/// The share of the time within which most calls have to lie to count as a burst.
const BURST_SHARE: f64 = 0.5;

/// The moments at which the calls of a group happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct When {
    /// The calls of the group in each part of the time of all calls.
    pub(crate) counts: Vec<f64>,
    /// The first and the last call of the group.
    pub(crate) range_ns: (i64, i64),
    /// The time in which nine of ten calls of the group happened, if that is less than half of the time of all calls.
    pub(crate) burst_ns: Option<(i64, i64)>,
}

impl When {
    pub(super) fn describe(calls: &[CallFacts], members: &[bool]) -> Self {
        let times = || calls.iter().map(|call| call.start_ns);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Self::default() };
        let span = last.saturating_sub(first).max(1);
        let mut counts = vec![0.0; PARTS];
        let mut of_group: Vec<i64> = Vec::new();
        for (call, is_in) in calls.iter().zip(members) {
            if *is_in {
                let part = i128::from(call.start_ns.saturating_sub(first)) * PARTS as i128 / i128::from(span);
                counts[usize::try_from(part).unwrap_or(0).min(PARTS - 1)] += call.weight;
                of_group.push(call.start_ns);
            }
        }
        of_group.sort_unstable();
        let (Some(start), Some(end)) = (of_group.first(), of_group.last()) else { return Self::default() };
        Self { counts, range_ns: (*start, *end), burst_ns: find_burst(&of_group, span) }
    }
}

/// Finds the shortest stretch with nine of ten times; `None` if it is longer than half of the whole span.
fn find_burst(times: &[i64], span: i64) -> Option<(i64, i64)> {
    let size = (times.len() * 9).div_ceil(10);
    if times.len() < 10 {
        return None;
    }
    let stretches = times.windows(size).map(|part| (part[0], part[size - 1]));
    let shortest = stretches.min_by_key(|(start, end)| end.saturating_sub(*start))?;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = shortest.1.saturating_sub(shortest.0) as f64 / span as f64;
    (share < BURST_SHARE).then_some(shortest)
}
