//! The calls under way at the exit of the process.
//!
//! Takes the frames of all threads and the slots of async calls between two polls; gives a record with the outcome
//! `exit` for each call. The captured arguments come along for calls in slots, and for calls of the thread that exits,
//! because that thread has handed back its scratch memory. A call of another thread may end while its frame is read.
//! The file does not know which calls have been ended in this way before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::known_threads::KnownThreads;
use crate::accountant::Part;
use crate::growth::MakeRoom as _;
use crate::platform::clock::Ticks;
use crate::record::{HEADER_WORDS, Header, NOT_KEPT, Word, append_with_values};
use crate::ring::frames::{self, Frame, place_of_arguments};
use crate::ring::layout::flight;
use crate::ring::layout::ring::CONTROL;
use crate::sync::lock;
use crate::thread::pool::ThreadPool;

/// Returns the records of the calls under way, each with its thread and its span, as if all of them ended at this
/// moment. An async call that is being polled, or a span that is entered, comes twice: from its frame and from its
/// slot.
pub(super) fn calls_under_way(
    rings: &ThreadPool,
    threads: &KnownThreads,
    end: Ticks,
) -> Vec<(u32, u64, Vec<u64>)> {
    let mut calls = Vec::new();
    let mut add = |call| {
        if calls.make_room(1) {
            calls.push(call);
        } else {
            rings.home.accountant.note_refused(Part::Drain);
        }
    };
    let in_slots = arguments_in_slots(rings);
    let of_span = |span| in_slots.get(&span).map_or(&[][..], Vec::as_slice);
    for state in rings.states() {
        let (frames, mut parent) = (frames::under_way(state.page.words), 0);
        let trace = state.trace.load(Ordering::Relaxed);
        let scratch = lock(&state.scratch);
        let memory = scratch.as_deref().map_or(&[][..], |writer| writer.memory());
        // Calls without a span are left out, because their thread counts them when they end.
        for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.span != 0) {
            let is_nested = frames[..at].iter().any(|outer| outer.site == frame.site);
            let header = frame.to_exit((frame.span, parent, trace), is_nested, end);
            let words = match arguments(state.page.words, memory, frame) {
                [] => record(header, of_span(frame.span)),
                arguments => record(header, arguments),
            };
            add((state.thread_id.load(Ordering::Relaxed), frame.span, words));
            parent = frame.span;
        }
    }
    for call in rings.home.suspended.slots() {
        // Observes the start, which is stored before the site.
        let site = call[flight::SITE].load(Ordering::Acquire) as u32;
        let [start, span, parent] =
            [flight::START, flight::SPAN, flight::PARENT].map(|at| call[at].load(Ordering::Relaxed));
        let (span, is_kept) = (span & !NOT_KEPT, span & NOT_KEPT == 0);
        if let Some(thread) = threads.find_by_span(span).filter(|_| site != 0) {
            let frame = Frame { site, depth: 0, start, span, arguments: 0, is_kept };
            add((thread, span, record(frame.to_exit((span, parent, parent), false, end), of_span(span))));
        }
    }
    calls
}

/// Returns the captured arguments of the calls in slots, by span.
fn arguments_in_slots(rings: &ThreadPool) -> HashMap<u64, Vec<Word>> {
    let suspended = &rings.home.suspended;
    let of_slot = |(at, call): (usize, &[AtomicU64; flight::WORDS])| {
        let words = suspended.arguments(at);
        let span = call[flight::SPAN].load(Ordering::Relaxed) & !NOT_KEPT;
        (!words.is_empty()).then(|| (span, words.into_iter().map(u64::to_ne_bytes).collect()))
    };
    let mut all = HashMap::new();
    for (span, words) in suspended.slots().enumerate().filter_map(of_slot) {
        // A call for which there is no memory ends without its arguments.
        if all.make_room(1) {
            all.insert(span, words);
        }
    }
    all
}

/// Returns the record of a call with these arguments.
fn record(header: Header, arguments: &[Word]) -> Vec<u64> {
    let bytes = u16::try_from(arguments.len() * 8).unwrap_or(0);
    let mut words = Vec::new();
    // Without memory for its arguments, the call ends without them.
    let has_arguments = bytes > 0 && words.make_room(HEADER_WORDS + arguments.len());
    let (arguments, args_bytes) = if has_arguments { (arguments, bytes) } else { (&[][..], 0) };
    append_with_values(&Header { args_bytes, ..header }.encode(arguments.len()), arguments, &mut words);
    words
}

/// Returns the captured arguments of a call, which lie in the thread's scratch memory.
fn arguments<'a>(page: &[AtomicU64; CONTROL], memory: &'a [u8], frame: &Frame) -> &'a [Word] {
    let distance = memory.as_ptr().addr().wrapping_sub(page.as_ptr().addr()).cast_signed() >> 3;
    let place = place_of_arguments(frame, distance as i64);
    place.and_then(|(first, length)| memory.as_chunks().0.get(first..first + length)).unwrap_or_default()
}
