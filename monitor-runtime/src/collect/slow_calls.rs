//! Calls that are slow before they end: what is under way is looked at in every step, and a call that has
//! passed its function's limit is reported once. In: frames and slots. Out: events.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Collector;
use crate::platform::clock::{Ticks, ticks};
use crate::ring::frames;
use crate::ring::layout::flight;

/// What was reported of a function's calls.
#[derive(Debug, Default)]
pub(super) struct Told {
    at: Duration,
    /// Starts of calls that were reported, the latest last.
    starts: Vec<Ticks>,
}

/// By function.
pub(super) type ToldByFunction = HashMap<u32, Told>;

/// A call that is overdue.
struct Overdue {
    site: u32,
    start: Ticks,
    thread: Option<u32>,
}

impl Collector {
    /// Reports calls that have passed their function's limit and go on.
    pub(super) fn report_overdue(&mut self, now: Duration) {
        let now_ticks = ticks();
        for call in self.overdue(now_ticks) {
            let Some(Some(function)) = self.functions.get(call.site as usize) else { continue };
            let told = self.told.entry(call.site).or_default();
            let is_known = told.starts.contains(&call.start);
            let is_soon = !told.starts.is_empty() && now.saturating_sub(told.at) < TOLD_INTERVAL;
            if is_known || is_soon {
                continue;
            }
            told.at = now;
            told.starts.push(call.start);
            if told.starts.len() > TOLD_MAX {
                told.starts.remove(0);
            }
            let elapsed = Duration::from_nanos(self.clock.duration_ns(now_ticks.wrapping_sub(call.start)));
            let place = match call.thread.map(|id| self.threads.get(&id)) {
                Some(Some((name, _))) => format!("on thread {name}"),
                Some(None) => "on a thread".to_owned(),
                None => "waiting to be polled".to_owned(),
            };
            let limit = Duration::from_nanos(function.site.slow_ns().unwrap_or_default());
            let detail =
                format!("{}: under way for {elapsed:.1?} {place}, slow from {limit:?} on", function.name);
            self.event("slow", detail);
        }
    }

    fn overdue(&self, now: Ticks) -> Vec<Overdue> {
        let mut calls = Vec::new();
        let is_overdue = |site: u32, start: Ticks| {
            let function = self.functions.get(site as usize).and_then(Option::as_ref);
            let limit = function.and_then(|function| function.site.slow_ns());
            // A start a moment ahead of this look is no age of centuries.
            let age = now.wrapping_sub(start).cast_signed().max(0).cast_unsigned();
            limit.is_some_and(|limit| self.clock.duration_ns(age) > limit)
        };
        for state in self.rings.all() {
            let frames = frames::under_way(state.page.words);
            let overdue = frames.iter().filter(|frame| is_overdue(frame.site, frame.start));
            let thread = state.thread_id.load(Ordering::Relaxed);
            calls.extend(overdue.map(|frame| Overdue {
                site: frame.site,
                start: frame.start,
                thread: Some(thread),
            }));
        }
        for slot in self.rings.flights.slots() {
            let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
            let start = slot[flight::START].load(Ordering::Relaxed);
            if site != 0 && is_overdue(site, start) {
                calls.push(Overdue { site, start, thread: None });
            }
        }
        calls
    }
}

/// A function whose calls are all slow is reported this often and no more.
const TOLD_INTERVAL: Duration = Duration::from_secs(10);
/// Calls of a function that are remembered as reported.
const TOLD_MAX: usize = 64;
