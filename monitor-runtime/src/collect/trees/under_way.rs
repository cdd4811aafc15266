//! The calls under way, as frames and the slots of suspended calls show them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::growth::MakeRoom as _;
use crate::record::NOT_KEPT;
use crate::ring::frames;
use crate::ring::layout::flight;
use crate::thread::pool::ThreadPool;
use crate::thread::state::NO_SPAN;

/// A call under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnderWay {
    pub(super) site: u32,
    /// The span of its caller; 0 if there is none or it is not known.
    pub(super) parent: u64,
}

/// The calls under way, by span.
pub(super) type CallsUnderWay = HashMap<u64, UnderWay>;

/// Returns the calls that have begun and not ended, as many as there is memory for.
pub(super) fn calls(rings: &ThreadPool) -> CallsUnderWay {
    let mut calls = HashMap::new();
    for slot in rings.home.suspended.slots() {
        // Observes the span, which is stored before the site.
        let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
        if site != 0 && calls.make_room(1) {
            let span = slot[flight::SPAN].load(Ordering::Relaxed) & !NOT_KEPT;
            calls.insert(span, UnderWay { site, parent: 0 });
        }
    }
    for state in rings.states() {
        let mut parent = 0;
        // A call without a span is no caller: its callees have the call around it as parent.
        for frame in frames::under_way(state.page.words).iter().filter(|frame| frame.span != NO_SPAN) {
            if calls.make_room(1) {
                calls.insert(frame.span, UnderWay { site: frame.site, parent });
            }
            parent = frame.span;
        }
    }
    calls.remove(&NO_SPAN);
    calls
}

/// Returns the function of the outermost call around this one, as far as callers are known; `None` if this call is not
/// under way.
pub(super) fn root(calls: &CallsUnderWay, span: u64) -> Option<u32> {
    let mut call = calls.get(&span)?;
    // A circle is possible, because frames are read while they change.
    for _ in 0..calls.len() {
        match calls.get(&call.parent) {
            Some(parent) => call = parent,
            None => break,
        }
    }
    Some(call.site)
}
