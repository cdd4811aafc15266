//! The calls that were under way in a process, as its ring file says: those on the stacks of its threads,
//! and async ones that waited to be polled again. One that was being polled is on a stack.

use std::collections::HashSet;

use super::image::Image;
use crate::store::recovered::Flight;

/// All of them, thread by thread, the outermost first.
pub(super) fn of(image: &Image) -> Vec<Flight> {
    let clock = image.clock();
    let mut flights = Vec::new();
    let mut polled = HashSet::new();
    for ring in &image.rings {
        let (thread, _) = image.thread(ring.thread);
        for frame in ring.frames.iter().filter(|frame| image.sites.contains_key(&frame.site)) {
            polled.insert((frame.span, frame.start));
            flights.push(Flight {
                function: frame.site,
                thread: Some(thread.clone()),
                depth: frame.depth,
                start_ns: clock.unix_ns(frame.start).max(0),
                span_id: frame.span,
            });
        }
    }
    for waiting in image.waiting().filter(|waiting| image.sites.contains_key(&waiting.site)) {
        if !polled.contains(&(waiting.span, waiting.start)) {
            flights.push(Flight {
                function: waiting.site,
                thread: None,
                depth: 0,
                start_ns: clock.unix_ns(waiting.start).max(0),
                span_id: waiting.span,
            });
        }
    }
    flights
}
