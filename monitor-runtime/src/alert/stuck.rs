//! The rule that decides which calls under way are stuck: those that take far longer than the calls of their function
//! usually take.
//!
//! Takes calls under way, each with its age, its limit and the call that waits for it; gives the stuck ones. If stuck
//! calls wait for one another, only the innermost is reported. A function of which no call has ended has no limit,
//! because it is not known how long its calls take: the loop of a server is not stuck. Such a call is stuck if the call
//! that waits for it is. The rule does not know where calls and limits come from: the collector and the readers of a
//! store apply it alike.

use crate::growth::{collect_all, collect_most};

/// The shortest time, in ns, after which a call counts as stuck.
pub const STUCK_NS_MIN: u64 = 10_000_000_000;
/// A call is stuck after this many times the 99th percentile of its function.
const STUCK_FACTOR: u64 = 20;

/// A call under way, as far as the rule looks at it.
#[derive(Debug, Clone, Copy)]
pub struct AgedCall {
    /// The time since the start of the call.
    pub age_ns: u64,
    /// The age from which the call is stuck; `None` if no call of its function has ended.
    pub limit_ns: Option<u64>,
    /// The position of the call that waits for this call.
    pub caller: Option<usize>,
}

/// Returns the age from which a call is stuck: 10 s, what the function declares as slow, and many times its 99th
/// percentile, whichever is longest. Returns `None` without a percentile.
#[must_use]
pub fn stuck_limit_ns(p99_ns: Option<u64>, declared_slow_ns: Option<u64>) -> Option<u64> {
    let usual = p99_ns?.saturating_mul(STUCK_FACTOR);
    Some(STUCK_NS_MIN.max(declared_slow_ns.unwrap_or(0)).max(usual))
}

/// Returns the positions of the stuck calls that wait for no other stuck call, as many as there is memory for.
#[must_use]
pub fn find_stuck_calls(calls: &[AgedCall]) -> Vec<usize> {
    let found = || collect_all((0..calls.len()).map(|at| is_stuck(calls, at)));
    let (Some(is_stuck), Some(mut is_innermost)) = (found(), found()) else { return Vec::new() };
    for (at, call) in calls.iter().enumerate() {
        if let Some(waiting) = call.caller.filter(|caller| is_stuck[at] && *caller != at)
            && let Some(waiting) = is_innermost.get_mut(waiting)
        {
            *waiting = false;
        }
    }
    collect_most((0..calls.len()).filter(|at| is_innermost[*at]))
}

fn is_stuck(calls: &[AgedCall], at: usize) -> bool {
    let mut next = Some(at);
    // Only a forged file can have calls that wait for each other in a circle. The loop is bounded, so it ends there
    // too.
    for _ in 0..calls.len() {
        let Some(call) = next.and_then(|at| calls.get(at)) else { return false };
        match call.limit_ns {
            _ if call.age_ns < STUCK_NS_MIN => return false,
            Some(limit) => return call.age_ns >= limit,
            None => next = call.caller,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn call(age_ns: u64, p99_ns: Option<u64>, caller: Option<usize>) -> AgedCall {
        AgedCall { age_ns, limit_ns: stuck_limit_ns(p99_ns, None), caller }
    }

    #[test]
    fn a_limit_is_the_longest_of_three_and_unknown_without_a_percentile() {
        assert_eq!(stuck_limit_ns(Some(5), None), Some(10 * S));
        assert_eq!(stuck_limit_ns(Some(S), Some(30 * S)), Some(30 * S));
        assert_eq!(stuck_limit_ns(Some(2 * S), Some(30 * S)), Some(40 * S));
        assert_eq!(stuck_limit_ns(None, Some(30 * S)), None);
    }

    #[test]
    fn a_loop_of_which_no_call_has_ended_is_not_stuck() {
        let server = [call(3600 * S, None, None), call(3500 * S, None, Some(0))];
        assert_eq!(find_stuck_calls(&server), [0; 0]);
    }

    #[test]
    fn the_first_call_of_a_function_is_stuck_if_the_call_that_waits_for_it_is() {
        let job =
            [call(60 * S, None, None), call(30 * S, Some(S / 10), Some(0)), call(20 * S, None, Some(1))];
        assert_eq!(find_stuck_calls(&job), [2]);
        let young = [job[0], job[1], call(9 * S, None, Some(1))];
        assert_eq!(find_stuck_calls(&young), [1], "the callee may have begun just now");
    }

    #[test]
    fn of_calls_that_wait_for_one_another_the_innermost_is_told() {
        let chain =
            [call(90 * S, Some(1), None), call(80 * S, Some(1), Some(0)), call(70 * S, Some(9 * S), Some(1))];
        assert_eq!(find_stuck_calls(&chain), [1]);
    }

    #[test]
    fn calls_in_a_circle_come_to_an_end() {
        let circle =
            [call(60 * S, None, Some(1)), call(60 * S, None, Some(0)), call(60 * S, Some(1), Some(2))];
        assert_eq!(find_stuck_calls(&circle), [2]);
        assert_eq!(find_stuck_calls(&[call(60 * S, None, Some(7))]), [0; 0]);
    }
}
