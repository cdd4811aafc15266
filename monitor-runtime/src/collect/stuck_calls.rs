//! Counts the calls under way that are stuck, by the rule of `alert`.
//!
//! Takes frames and the slots of suspended calls; gives the number of stuck calls of each function. It adds to the rule
//! what the process knows: the age of a call, the durations of its function, and the call around it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::functions::Functions;
use crate::alert::{AgedCall, STUCK_NS_MIN, find_stuck_calls, stuck_limit_ns};
use crate::batch::Update;
use crate::growth::{MakeRoom as _, collect_all};
use crate::platform::clock::{Clock, Ticks, elapsed, ticks};
use crate::record::NOT_KEPT;
use crate::ring::frames;
use crate::ring::layout::flight;
use crate::thread::pool::ThreadPool;

/// Returns the number of stuck calls, by the id under which the calls of their function are counted. Functions without
/// any are left out.
pub(super) fn count_stuck_calls(
    rings: &ThreadPool,
    clock: &Clock,
    functions: &Functions,
) -> HashMap<u32, u64> {
    let now = ticks();
    // A call may have started a moment after `now` was read: its age is then 0.
    let mut calls = OldCalls::new(|start| clock.call_ns(start, elapsed(start, now)));
    for state in rings.states() {
        let mut caller = None;
        for frame in frames::under_way(state.page.words) {
            caller = calls.add(frame.site, frame.span, frame.start, Caller::Call(caller)).or(caller);
        }
    }
    for slot in rings.home.suspended.slots() {
        // Observes the start, which is stored before the site.
        let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
        let [start, span, parent] =
            [flight::START, flight::SPAN, flight::PARENT].map(|at| slot[at].load(Ordering::Relaxed));
        if site != 0 {
            calls.add(site, span, start, Caller::Span(parent));
        }
    }
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for site in calls.into_stuck(functions) {
        if let Some(function) = functions.get(site)
            && counts.make_room(1)
        {
            *counts.entry(function.counted_as).or_default() += 1;
        }
    }
    counts
}

/// The caller of an old call, as far as it is known.
enum Caller {
    /// The position of the calling call among the old calls, if it is one of them.
    Call(Option<usize>),
    /// The span id of the calling call, which an async call keeps while it is suspended.
    Span(u64),
}

/// Calls that have been under way for so long that they may be stuck. They are few.
struct OldCalls<F> {
    age_ns: F,
    calls: Vec<OldCall>,
    /// The positions of calls by span and start, because an async call that is polled is found twice.
    places: HashMap<(u64, Ticks), usize>,
}

struct OldCall {
    site: u32,
    age_ns: u64,
    caller: Caller,
}

impl<F: Fn(Ticks) -> u64> OldCalls<F> {
    fn new(age_ns: F) -> Self {
        Self { age_ns, calls: Vec::new(), places: HashMap::new() }
    }

    /// Adds a call if it is old enough. Returns its position among the old calls; `None` if it is too young, or there
    /// is no memory for it. `span` is 0 for a call that gets a span only with its record.
    fn add(&mut self, site: u32, span: u64, start: Ticks, caller: Caller) -> Option<usize> {
        let age_ns = (self.age_ns)(start);
        if age_ns < STUCK_NS_MIN {
            return None;
        }
        let span = span & !NOT_KEPT;
        if let Some(place) = self.places.get(&(span, start)).filter(|_| span != 0) {
            // The call is being polled: the parent in its slot is more exact than the call around it on the stack.
            if matches!(caller, Caller::Span(parent) if parent != 0) {
                self.calls[*place].caller = caller;
            }
            return Some(*place);
        }
        if !self.places.make_room(1) || !self.calls.make_room(1) {
            return None;
        }
        self.places.insert((span, start), self.calls.len());
        self.calls.push(OldCall { site, age_ns, caller });
        Some(self.calls.len() - 1)
    }

    /// Returns the sites of the stuck calls, or none if there is no memory to look for them.
    fn into_stuck(self, functions: &Functions) -> Vec<u32> {
        let (mut spans, mut limits) = (HashMap::new(), HashMap::new());
        if !spans.make_room(self.places.len()) || !limits.make_room(self.calls.len()) {
            return Vec::new();
        }
        spans.extend(self.places.iter().map(|((span, _), place)| (*span, *place)));
        let aged = |call: &OldCall| AgedCall {
            age_ns: call.age_ns,
            limit_ns: *limits.entry(call.site).or_insert_with(|| limit_of(functions, call.site)),
            caller: match call.caller {
                Caller::Call(caller) => caller,
                Caller::Span(parent) => {
                    let parent = parent & !NOT_KEPT;
                    spans.get(&parent).copied().filter(|_| parent != 0)
                }
            },
        };
        let Some(aged) = collect_all(self.calls.iter().map(aged)) else { return Vec::new() };
        find_stuck_calls(&aged).into_iter().map(|at| self.calls[at].site).collect()
    }
}

/// Returns the age from which a call of a function is stuck; `None` if no call has been timed.
fn limit_of(functions: &Functions, site: u32) -> Option<u64> {
    let function = functions.get(site)?;
    let total = functions.stats_of(function)?.total(site, Update::Replace);
    let is_timed = total.histogram.total() > 0;
    let p99 = is_timed.then(|| total.histogram.percentile(0.99, total.stats.max_ns));
    stuck_limit_ns(p99, function.site.slow_ns())
}
