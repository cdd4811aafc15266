//! Calls that are slow before they end: each step looks at the calls in flight, and reports a call that has passed its
//! function's declared threshold, once.
//!
//! Takes frames and the slots of suspended calls; gives events. It does not know calls that have ended.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::events::Events;
use super::functions::Functions;
use super::known_threads::KnownThreads;
use crate::growth::MakeRoom as _;
use crate::platform::clock::{Clock, Ticks, elapsed, ticks};
use crate::ring::frames;
use crate::ring::layout::flight;
use crate::thread::pool::ThreadPool;
use crate::units::format_short_duration;

/// The reporter of calls that are slow before they end.
#[derive(Debug)]
pub(super) struct SlowCalls {
    rings: &'static ThreadPool,
    /// The reports so far, by the id of the function's call site.
    reported: HashMap<u32, Reported>,
}

/// The calls of a function that were reported.
#[derive(Debug, Default)]
struct Reported {
    /// The moment of the last report.
    at: Duration,
    /// The starts of calls that were reported, the latest last.
    starts: Vec<Ticks>,
}

/// A call in flight that has passed its function's threshold.
struct SlowCall {
    site: u32,
    start: Ticks,
    /// The thread that it runs on, or `None` for an async call that waits to be polled.
    thread: Option<u32>,
}

impl SlowCalls {
    pub(super) fn new(rings: &'static ThreadPool) -> Self {
        Self { rings, reported: HashMap::new() }
    }

    /// Reports calls in flight that have passed their function's threshold since the last step.
    pub(super) fn step(
        &mut self,
        now: Duration,
        clock: &Clock,
        functions: &Functions,
        threads: &KnownThreads,
        events: &mut Events,
    ) {
        let now_ticks = ticks();
        for call in self.find(now_ticks, clock, functions) {
            let Some(function) = functions.get(call.site) else { continue };
            if !self.reported.make_room(1) {
                break;
            }
            let reported = self.reported.entry(call.site).or_default();
            let is_known = reported.starts.contains(&call.start);
            let is_soon = !reported.starts.is_empty() && now.saturating_sub(reported.at) < REPORT_INTERVAL;
            if is_known || is_soon {
                continue;
            }
            reported.at = now;
            reported.starts.push(call.start);
            if reported.starts.len() > REPORTED_MAX {
                reported.starts.remove(0);
            }
            let elapsed_ns = clock.call_ns(call.start, elapsed(call.start, now_ticks));
            let place = match call.thread.map(|id| threads.name(id)) {
                Some(Some(name)) => format!("on thread {name}"),
                Some(None) => "on a thread".to_owned(),
                None => "waiting to be polled".to_owned(),
            };
            let threshold_ns = function.site.slow_ns().unwrap_or_default();
            let detail = describe(&function.name, elapsed_ns, &place, threshold_ns);
            events.add(clock.now_ns(), "slow", detail);
        }
    }

    fn find(&self, now: Ticks, clock: &Clock, functions: &Functions) -> Vec<SlowCall> {
        let mut calls = Vec::new();
        let is_slow = |site: u32, start: Ticks| {
            let threshold = functions.get(site).and_then(|function| function.site.slow_ns());
            // A call may have started a moment after `now` was read: its age is then 0, not centuries.
            let age = elapsed(start, now);
            threshold.is_some_and(|threshold| clock.call_ns(start, age) > threshold)
        };
        for state in self.rings.states() {
            let frames = frames::under_way(state.page.words);
            let slow = frames.iter().filter(|frame| is_slow(frame.site, frame.start));
            let thread = Some(state.thread_id.load(Ordering::Relaxed));
            for frame in slow {
                if calls.make_room(1) {
                    calls.push(SlowCall { site: frame.site, start: frame.start, thread });
                }
            }
        }
        for slot in self.rings.home.suspended.slots() {
            // Observes the start, which is stored before the site.
            let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
            let start = slot[flight::START].load(Ordering::Relaxed);
            if site != 0 && is_slow(site, start) && calls.make_room(1) {
                calls.push(SlowCall { site, start, thread: None });
            }
        }
        calls
    }
}

/// Describes a call that has passed its function's threshold.
fn describe(function: &str, elapsed_ns: u64, place: &str, threshold_ns: u64) -> String {
    let [elapsed, threshold] = [elapsed_ns, threshold_ns].map(|ns| format_short_duration(ns as f64));
    format!("{function}: under way for {elapsed} {place}, slow from {threshold} on")
}

/// The pause between two reports of one function, so that a function whose calls are all slow does not flood the
/// events.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// The number of calls of a function that are remembered as reported.
const REPORTED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_writes_durations_as_other_texts_do() {
        assert_eq!(
            describe("shop::pay", 17_590_000, "on thread main", 5_000_000),
            "shop::pay: under way for 17.6 ms on thread main, slow from 5 ms on"
        );
    }
}
