//! The calls that are under way in a process, as its ring file says: those on the stacks of its threads,
//! and async ones that wait to be polled again. One that is being polled is on a stack.

use std::collections::HashSet;

use crate::ring::reader::Image;

/// A call that is, or was, under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flying {
    /// Id of the function in the process.
    pub(crate) function: u32,
    /// Its thread, or none for an async call that waits.
    pub(crate) thread: Option<String>,
    /// Number of calls around it.
    pub(crate) depth: u32,
    pub(crate) start_ns: i64,
    pub(crate) waiting_since_ns: Option<i64>,
    pub(crate) span_id: u64,
}

/// All of them, thread by thread, the outermost first.
pub(super) fn of(image: &Image) -> Vec<Flying> {
    let clock = image.clock();
    let unix_ns = |ticks: u64| clock.unix_ns(ticks).max(0);
    let mut flying = Vec::new();
    let mut polled = HashSet::new();
    for ring in &image.rings {
        let (thread, _) = image.thread(ring.thread);
        for frame in ring.frames.iter().filter(|frame| image.sites.contains_key(&frame.site)) {
            polled.insert((frame.span, frame.start));
            flying.push(Flying {
                function: frame.site,
                thread: Some(thread.clone()),
                depth: frame.depth,
                start_ns: unix_ns(frame.start),
                waiting_since_ns: None,
                span_id: frame.span,
            });
        }
    }
    for waiting in image.waiting().filter(|waiting| image.sites.contains_key(&waiting.site)) {
        if !polled.contains(&(waiting.span, waiting.start)) {
            flying.push(Flying {
                function: waiting.site,
                thread: None,
                depth: 0,
                start_ns: unix_ns(waiting.start),
                waiting_since_ns: Some(unix_ns(waiting.since)),
                span_id: waiting.span,
            });
        }
    }
    flying
}
