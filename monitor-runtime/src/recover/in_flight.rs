//! The calls under way in a process, by its ring file.
//!
//! Takes the content of a ring file; gives the calls on the stacks of its threads, and the async calls between two
//! polls. An async call that is being polled is on a stack. It does not know whether the process runs.

use std::collections::HashSet;

use crate::batch::InFlightRow;
use crate::ring::reader::Image;

/// Returns the calls under way, thread by thread, the outermost first; then async calls between two polls.
pub(crate) fn in_flight(image: &Image) -> Vec<InFlightRow> {
    let clock = image.clock();
    let unix_ns = |ticks: u64| clock.unix_ns(ticks).max(0);
    let mut flying = Vec::new();
    let mut polled = HashSet::new();
    for ring in &image.rings {
        let (thread, _) = image.thread(ring.thread);
        for frame in ring.frames.iter().filter(|frame| image.sites.contains_key(&frame.site)) {
            polled.insert((frame.span, frame.start));
            flying.push(InFlightRow {
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
            flying.push(InFlightRow {
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
