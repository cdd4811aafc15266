//! Calls in flight that are stuck: under way for far longer than the calls of their function take.
//!
//! Takes frames and the slots of suspended calls; gives the number of stuck calls of each function. Of calls that wait for one
//! another on a thread, the innermost counts. A function of which no call has ended yet has none, because nobody knows how
//! long its calls take: the loop of a server is not stuck.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use super::functions::Functions;
use crate::batch::Update;
use crate::growth::MakeRoom as _;
use crate::platform::clock::{Clock, Ticks, elapsed, ticks};
use crate::ring::frames;
use crate::ring::layout::flight;
use crate::thread::pool::ThreadPool;

/// A call is stuck after this time at the earliest.
const STUCK_NS_MIN: u64 = 10_000_000_000;
/// A call is stuck after this many times the 99th percentile of its function.
const STUCK_FACTOR: u64 = 20;

/// Returns the number of stuck calls, by the id under which the calls of their function are counted. Functions without any are
/// left out.
pub(super) fn count_stuck_calls(
    rings: &ThreadPool,
    clock: &Clock,
    functions: &Functions,
) -> HashMap<u32, u64> {
    let now = ticks();
    let mut limits: HashMap<u32, Option<u64>> = HashMap::new();
    let mut is_stuck = |site: u32, start: Ticks| {
        // A call may have started a moment after `now` was read: its age is then 0.
        let age = clock.call_ns(start, elapsed(start, now));
        // Few calls are this old, so that percentiles are looked for seldom.
        age >= STUCK_NS_MIN
            && limits.make_room(1)
            && limits
                .entry(site)
                .or_insert_with(|| stuck_limit(functions, site))
                .is_some_and(|limit| age >= limit)
    };
    // A call is known by its site and its start. An async call that is polled is found twice.
    let (mut stuck, mut waiting) = (HashSet::new(), HashSet::new());
    for state in rings.states() {
        let frames = frames::under_way(state.page.words);
        let mut inner = None;
        for frame in frames.iter().rev().filter(|frame| is_stuck(frame.site, frame.start)) {
            let call = (frame.site, frame.start);
            let calls = if inner.replace(call).is_none() { &mut stuck } else { &mut waiting };
            if calls.make_room(1) {
                calls.insert(call);
            }
        }
    }
    for slot in rings.home.suspended.slots() {
        // Observes the start, which is stored before the site.
        let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
        let start = slot[flight::START].load(Ordering::Relaxed);
        if site != 0 && is_stuck(site, start) && stuck.make_room(1) {
            stuck.insert((site, start));
        }
    }
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for (site, _) in stuck.difference(&waiting) {
        if let Some(function) = functions.get(*site)
            && counts.make_room(1)
        {
            *counts.entry(function.counted_as).or_default() += 1;
        }
    }
    counts
}

/// Returns the age from which on a call of a function is stuck: 10 s, what the function declares as slow, and many times its
/// 99th percentile, whichever is longest. Returns `None` if no call has been timed.
fn stuck_limit(functions: &Functions, site: u32) -> Option<u64> {
    let function = functions.get(site)?;
    let total = functions.stats_of(function)?.total(site, Update::Replace);
    if total.histogram.total() == 0 {
        return None;
    }
    let p99 = total.histogram.percentile(0.99, total.stats.max_ns);
    Some(STUCK_NS_MIN.max(function.site.slow_ns().unwrap_or(0)).max(p99.saturating_mul(STUCK_FACTOR)))
}
