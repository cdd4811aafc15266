//! The calls under way in a process, as its ring file shows them.
//!
//! Takes the content of a ring file; gives the calls on the stacks of its threads, and the async calls between two
//! polls, with their arguments as far as these were captured. An async call that is being polled is on a stack. It does
//! not know whether the process runs.

use std::collections::{HashMap, HashSet};

use crate::batch::InFlightRow;
use crate::capture::to_json;
use crate::ring::reader::{Arguments, Image, Waiting};

/// Identifies a call of a process: its span id and its start.
type CallKey = (u64, u64);

/// Returns the calls under way, thread by thread, the outermost first; then async calls between two polls, each behind
/// the call that awaits it.
pub(crate) fn in_flight(image: &Image) -> Vec<InFlightRow> {
    let mut flying = Vec::new();
    let mut suspended: HashMap<CallKey, &Waiting> =
        image.waiting().iter().map(|waiting| ((waiting.span, waiting.start), waiting)).collect();
    let clock = image.clock();
    let unix_ns = |ticks: u64| clock.unix_ns(ticks).max(0);
    for ring in &image.rings {
        let (thread, _) = image.thread(ring.thread);
        let mut around = None;
        for frame in ring.frames.iter().filter(|frame| image.sites.contains_key(&frame.site)) {
            let polled = suspended.remove(&(frame.span, frame.start));
            let on_stack = image.arguments(ring, frame);
            let arguments = on_stack.or_else(|| image.waiting_arguments(polled?));
            let parent = polled.and_then(|polled| to_span(polled.parent)).or(around);
            around = to_span(frame.span).or(around);
            flying.push(InFlightRow {
                function: frame.site,
                thread: Some(thread.clone()),
                thread_id: Some(ring.thread),
                depth: frame.depth,
                start_ns: unix_ns(frame.start),
                waiting_since_ns: None,
                span_id: frame.span,
                parent_id: parent,
                args: arguments.and_then(|arguments| to_text(image, frame.site, &arguments)),
            });
        }
    }
    let is_waiting = |call: &&Waiting| {
        image.sites.contains_key(&call.site) && suspended.contains_key(&(call.span, call.start))
    };
    let waiting: Vec<&Waiting> = image.waiting().iter().filter(is_waiting).collect();
    for (call, depth) in in_tasks(&waiting) {
        let arguments = image.waiting_arguments(call);
        flying.push(InFlightRow {
            function: call.site,
            thread: None,
            thread_id: None,
            depth,
            start_ns: unix_ns(call.start),
            waiting_since_ns: Some(unix_ns(call.since)),
            span_id: call.span,
            parent_id: to_span(call.parent),
            args: arguments.and_then(|arguments| to_text(image, call.site, &arguments)),
        });
    }
    flying
}

/// Returns suspended calls in the order of their tasks, each behind the call that awaits it, with the number of
/// suspended calls around it. Calls that await each other in a circle, which only a forged file can contain, come last.
fn in_tasks<'a>(calls: &[&'a Waiting]) -> Vec<(&'a Waiting, u32)> {
    let spans: HashSet<u64> = calls.iter().map(|call| call.span).collect();
    let mut below: HashMap<u64, Vec<&Waiting>> = HashMap::new();
    let mut roots = Vec::new();
    for call in calls {
        if call.parent != call.span && to_span(call.parent).is_some() && spans.contains(&call.parent) {
            below.entry(call.parent).or_default().push(call);
        } else {
            roots.push(*call);
        }
    }
    let by_age =
        |calls: &mut Vec<&Waiting>| calls.sort_by_key(|call| std::cmp::Reverse((call.start, call.span)));
    let mut ordered = Vec::with_capacity(calls.len());
    by_age(&mut roots);
    let mut next: Vec<(&Waiting, u32)> = roots.into_iter().map(|call| (call, 0)).collect();
    while let Some((call, depth)) = next.pop() {
        ordered.push((call, depth));
        // Each list is taken once, so a span that several calls claim is followed once.
        if let Some(mut callees) = below.remove(&call.span) {
            by_age(&mut callees);
            next.extend(callees.into_iter().map(|callee| (callee, depth + 1)));
        }
    }
    ordered.extend(below.into_values().flatten().map(|call| (call, 0)));
    ordered
}

/// Returns the span id without the flag of trees that are not kept; `None` if the number is no span id.
fn to_span(span: u64) -> Option<u64> {
    Some(span & KEPT_SPANS).filter(|span| *span > RESERVED_SPANS)
}

/// All bits of a span id except the flag of trees that are not kept.
const KEPT_SPANS: u64 = u64::MAX >> 1;
/// The largest of the small numbers that are no span ids, in files of any version.
const RESERVED_SPANS: u64 = 2;

/// Returns arguments as a JSON object.
fn to_text(image: &Image, site: u32, arguments: &Arguments) -> Option<String> {
    let names = &image.sites.get(&site)?.arguments;
    if names.is_empty() && arguments.tokens.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = to_json(&arguments.tokens, &names);
    // A value at the end of what was kept is cut in its middle, where it reads as damaged.
    Some(if arguments.are_whole { text } else { text.replace("\"[unreadable]\"", "\"[truncated]\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(span: u64, parent: u64) -> Waiting {
        let mut call = Waiting::default();
        (call.span, call.parent, call.start) = (span, parent, span);
        call
    }

    fn order(calls: &[Waiting]) -> Vec<(u64, u32)> {
        let calls: Vec<&Waiting> = calls.iter().collect();
        in_tasks(&calls).iter().map(|(call, depth)| (call.span, *depth)).collect()
    }

    #[test]
    fn a_suspended_call_comes_behind_the_one_that_awaits_it() {
        let calls = [call(30, 20), call(10, 0), call(20, 10), call(11, 0), call(21, 10), call(40, 99)];
        assert_eq!(order(&calls), [(10, 0), (20, 1), (30, 2), (21, 1), (11, 0), (40, 0)]);
    }

    #[test]
    fn calls_that_await_each_other_are_each_there_once() {
        let mut found = order(&[call(10, 20), call(20, 10), call(30, 30), call(40, 10), call(40, 10)]);
        found.sort_unstable();
        assert_eq!(found, [(10, 0), (20, 0), (30, 0), (40, 0), (40, 0)]);
    }
}
