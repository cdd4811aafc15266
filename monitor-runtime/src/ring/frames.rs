//! The calls on a thread's stack, where another process can read them: frames in the page before its ring.
//!
//! Takes the beginnings and ends of calls; gives words, and reads them back. Frames wrap: the page holds the innermost
//! calls, and the number of all calls under way. A frame states how deep it is, so that a reader recognises one that
//! was overwritten. The owner of a stack uses plain loads and stores; a change that a reader sees half made is a call
//! that began or ended just then. The file does not know async calls between polls: see `suspended`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::growth::collect_most;
use crate::platform::clock::{Ticks, elapsed};
use crate::platform::fork_mark::{is_marked, notice};
use crate::record::{Header, Kept, NOT_KEPT, Outcome};
use crate::ring::layout::frame;
use crate::ring::layout::ring::{CONTROL, DEPTH, FRAMES, FRAMES_MAX};

/// A call that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) site: u32,
    pub(crate) depth: u32,
    pub(crate) start: u64,
    /// The span id; 0 for a call that would get one with its record.
    pub(crate) span: u64,
    /// The word that says where the captured arguments lie: see [`place_of_arguments`].
    pub(crate) arguments: u64,
    /// True if the tree of the call is kept.
    pub(crate) is_kept: bool,
}

impl Frame {
    /// Returns the header of the call as one that was under way at the process's exit, with its span, its parent and its
    /// trace. The time that the call spent itself is not known.
    pub(crate) fn to_exit(
        self,
        (span, parent, trace): (u64, u64, u64),
        is_nested: bool,
        end: Ticks,
    ) -> Header {
        Header {
            site: self.site,
            outcome: Outcome::Exit,
            // An exit is kept like a failure, whatever the rate.
            kept: Kept::Failed,
            is_async: false,
            start: self.start,
            duration: elapsed(self.start, end),
            span,
            parent,
            trace: if trace == 0 { span } else { trace },
            weight: 1.0,
            args_bytes: 0,
            fields_bytes: 0,
            busy: 0,
            self_ticks: 0,
            is_nested,
        }
    }
}

/// A frame that lacks only its start. Readers do not see it before [`Self::push`].
#[derive(Debug)]
pub(crate) struct OpenFrame {
    page: &'static [AtomicU64; CONTROL],
    depth: u64,
}

/// Opens the frame of a call that begins. `span` carries [`NOT_KEPT`] if the call's tree is not kept. The frame is pushed
/// once the clock was read, so that little of this work is part of the call's time.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn open(page: &'static [AtomicU64; CONTROL], site: u32, span: u64) -> OpenFrame {
    let depth = page[DEPTH].load(Ordering::Relaxed);
    let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
    page[at + frame::SITE].store(u64::from(site) | depth << 32, Ordering::Relaxed);
    page[at + frame::SPAN].store(span, Ordering::Relaxed);
    OpenFrame { page, depth }
}

impl OpenFrame {
    /// Pushes the frame of a call that began at `start`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn push(self, start: Ticks) {
        let Self { page, depth } = self;
        let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
        page[at + frame::START].store(start, Ordering::Relaxed);
        // Publishes the frame to a reader of the file.
        page[DEPTH].store(depth.wrapping_add(1), Ordering::Release);
    }
}

/// Pushes the frame of a call that began at `start`.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn push(page: &'static [AtomicU64; CONTROL], site: u32, start: Ticks, span: u64) {
    open(page, site, span).push(start);
}

/// Sets the start of the innermost call, whose arguments are captured by now.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn start(page: &[AtomicU64; CONTROL], start: Ticks) {
    let depth = page[DEPTH].load(Ordering::Relaxed).wrapping_sub(1);
    let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
    page[at + frame::START].store(start, Ordering::Relaxed);
}

/// Sets the start of the innermost call, and says where its captured arguments lie: from byte `first` on in the
/// memory. A call without arguments stores nothing, so the word may be left from an earlier call; the start in it
/// shows that.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn start_with_arguments(
    page: &[AtomicU64; CONTROL],
    start: Ticks,
    memory: &[u8],
    (first, bytes): (usize, usize),
) {
    let depth = page[DEPTH].load(Ordering::Relaxed).wrapping_sub(1);
    let at = FRAMES + depth as usize % FRAMES_MAX * frame::WORDS;
    let distance = memory.as_ptr().addr().wrapping_sub(page.as_ptr().addr()).cast_signed() >> 3;
    let place = word_of_arguments(start, distance as i64, first / 8, bytes / 8);
    page[at + frame::START].store(start, Ordering::Relaxed);
    page[at + frame::ARGUMENTS].store(place, Ordering::Relaxed);
}

/// The number of low bits of a call's start that the word of arguments holds.
const TAG_BITS: u32 = 38;
/// The number of bits that hold the number of words.
pub(crate) const LENGTH_BITS: u32 = 12;
/// The number of bits that hold the place of the first word.
pub(crate) const FIRST_BITS: u32 = 64 - TAG_BITS - LENGTH_BITS;

/// Returns the word that says where a call's captured arguments lie.
///
/// | bits | content |
/// |---|---|
/// | 63–26 | the lower bits of the call's start, xor the number of words from the ring's page to the memory |
/// | 25–12 | place of the first word in the memory |
/// | 11–0 | number of words |
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn word_of_arguments(start: Ticks, distance: i64, first: usize, words: usize) -> u64 {
    let tag = start ^ distance.cast_unsigned();
    tag << (64 - TAG_BITS)
        | (first as u64 & ((1 << FIRST_BITS) - 1)) << LENGTH_BITS
        | words as u64 & ((1 << LENGTH_BITS) - 1)
}

/// Returns the place of a call's captured arguments, first word and number of words, in a memory at this distance in
/// words from the ring's page. Returns `None` if the call has none there: the word is then of an earlier call, or of
/// another memory.
pub(crate) fn place_of_arguments(frame: &Frame, distance: i64) -> Option<(usize, usize)> {
    let words = (frame.arguments & ((1 << LENGTH_BITS) - 1)) as usize;
    let first = (frame.arguments >> LENGTH_BITS & ((1 << FIRST_BITS) - 1)) as usize;
    let is_its = frame.arguments == word_of_arguments(frame.start, distance, first, words);
    (is_its && words > 0).then_some((first, words))
}

/// Returns the calls under way whose frames are still there, the outermost first.
pub(crate) fn under_way(page: &[AtomicU64; CONTROL]) -> Vec<Frame> {
    let depth = page[DEPTH].load(Ordering::Acquire);
    if depth == 0 {
        return Vec::new();
    }
    let mut words = [0; FRAMES_MAX * frame::WORDS];
    for (copy, word) in words.iter_mut().zip(&page[FRAMES..]) {
        *copy = word.load(Ordering::Relaxed);
    }
    read_frames(&words, u32::try_from(depth).unwrap_or(0))
}

/// Returns true if a call of this function is under way, or may be among those whose frames were overwritten.
#[cold]
#[inline(never)]
pub(crate) fn holds(page: &[AtomicU64; CONTROL], site: u32) -> bool {
    let depth = page[DEPTH].load(Ordering::Relaxed) as usize;
    holds_above(page, site, depth, depth > FRAMES_MAX)
}

/// Returns true if a call of this function is under way around the innermost call, or may be among those whose frames
/// were overwritten.
#[cold]
#[inline(never)]
pub(crate) fn holds_around(page: &[AtomicU64; CONTROL], site: u32) -> bool {
    let depth = (page[DEPTH].load(Ordering::Relaxed) as usize).saturating_sub(1);
    holds_above(page, site, depth, depth >= FRAMES_MAX)
}

/// Returns true if a call of this function is among the outermost `depth` calls, or if some of their frames are
/// overwritten.
fn holds_above(page: &[AtomicU64; CONTROL], site: u32, depth: usize, are_overwritten: bool) -> bool {
    let at = |depth: usize| FRAMES + depth % FRAMES_MAX * frame::WORDS + frame::SITE;
    let mut frames = (depth.saturating_sub(FRAMES_MAX)..depth).rev();
    are_overwritten || frames.any(|depth| page[at(depth)].load(Ordering::Relaxed) as u32 == site)
}

/// Returns function and span of the calls under way that have a span, the innermost first, as far as their frames are there.
/// Called by the owner of the stack.
pub(crate) fn innermost(page: &[AtomicU64; CONTROL]) -> impl Iterator<Item = (u32, u64)> + '_ {
    let depth = page[DEPTH].load(Ordering::Relaxed) as usize;
    let frame = |depth: usize| {
        let at = FRAMES + depth % FRAMES_MAX * frame::WORDS;
        let word = |place: usize| page[at + place].load(Ordering::Relaxed);
        (word(frame::SITE) as u32, word(frame::SPAN) & !NOT_KEPT)
    };
    (depth.saturating_sub(FRAMES_MAX)..depth).rev().map(frame).filter(|(_, span)| *span != 0)
}

/// Returns the function of the outermost call under way, if its frame is still there.
pub(crate) fn outermost(page: &[AtomicU64; CONTROL]) -> Option<u32> {
    let word = page[FRAMES + frame::SITE].load(Ordering::Relaxed);
    let is_there = page[DEPTH].load(Ordering::Relaxed) > 0 && word >> 32 == 0;
    is_there.then_some(word as u32)
}

/// Pops the frame of the innermost call, which ends.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn pop(page: &[AtomicU64; CONTROL]) {
    if !is_marked() {
        // A call that began in the parent of a fork ends in the child: the page is replaced by one of the child's.
        notice();
    }
    pop_if_marked(page);
}

/// Pops the frame of the innermost call, which ends, for a caller that knows that the process has its mark
/// (`fork_mark`).
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn pop_if_marked(page: &[AtomicU64; CONTROL]) {
    page[DEPTH].store(page[DEPTH].load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
}

/// Reads the frames of the calls under way. A frame that does not say its own depth was overwritten and is left out.
pub(crate) fn read_frames(words: &[u64], depth: u32) -> Vec<Frame> {
    let first = depth.saturating_sub(FRAMES_MAX as u32);
    let frame = |depth: u32| {
        let at = depth as usize % FRAMES_MAX * frame::WORDS;
        let words = words.get(at..at + frame::WORDS)?;
        let site = words[frame::SITE] as u32;
        // A frame without a start is of a call whose arguments are still being captured.
        let is_it = (words[frame::SITE] >> 32) as u32 == depth && site != 0 && words[frame::START] != 0;
        is_it.then(|| Frame {
            site,
            depth,
            start: words[frame::START],
            span: words[frame::SPAN] & !NOT_KEPT,
            is_kept: words[frame::SPAN] & NOT_KEPT == 0,
            arguments: words[frame::ARGUMENTS],
        })
    };
    collect_most((first..depth).filter_map(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> &'static [AtomicU64; CONTROL] {
        Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }

    #[test]
    fn arguments_are_those_of_the_call_whose_frame_it_is_and_of_no_earlier_one() {
        let (page, memory) = (page(), [0; 4096]);
        let distance = (memory.as_ptr().addr().wrapping_sub(page.as_ptr().addr())).cast_signed() as i64 >> 3;
        let place = |distance| under_way(page).last().and_then(|frame| place_of_arguments(frame, distance));
        push(page, 1, 0, 100);
        start_with_arguments(page, 77 << 30, &memory, (4088, 16));
        assert_eq!(place(distance), Some((511, 2)));
        assert_eq!(place(distance + 1), None);
        pop(page);
        push(page, 2, 78 << 30, 101);
        assert_eq!(place(distance), None);
        pop(page);
        push(page, 1, 0, 100);
        start_with_arguments(page, 5, &memory, (0, 0));
        assert_eq!(place(distance), None);
    }

    fn depths(page: &[AtomicU64; CONTROL]) -> Vec<(u32, u64)> {
        let frames = under_way(page);
        frames.iter().map(|frame| (frame.depth, frame.span)).collect()
    }

    #[test]
    fn the_outermost_call_is_known_until_its_frame_is_overwritten() {
        let page = page();
        assert_eq!(outermost(page), None);
        (1..=FRAMES_MAX as u32).for_each(|site| push(page, site, 0, 1));
        assert_eq!(outermost(page), Some(1));
        push(page, 99, 0, 1);
        assert_eq!(outermost(page), None);
        (0..=FRAMES_MAX).for_each(|_| pop(page));
        assert_eq!(outermost(page), None);
    }

    #[test]
    fn a_function_is_found_among_the_calls_under_way() {
        let page = page();
        push(page, 1, 10, 100);
        push(page, 2, 20, NOT_KEPT + 200);
        assert!(holds(page, 1) && holds(page, 2) && !holds(page, 3));
        assert_eq!(
            under_way(page).iter().map(|frame| (frame.span, frame.is_kept)).next_back(),
            Some((200, false))
        );
        pop(page);
        assert!(!holds(page, 2));
        (0..FRAMES_MAX).for_each(|_| push(page, 4, 10, 100));
        assert!(holds(page, 1), "its frame was overwritten");
    }

    #[test]
    fn frames_are_those_of_the_calls_under_way() {
        let page = page();
        push(page, 1, 10, 100);
        push(page, 2, 20, 200);
        assert_eq!(depths(page), [(0, 100), (1, 200)]);
        pop(page);
        push(page, 3, 30, 300);
        assert_eq!(depths(page), [(0, 100), (1, 300)]);
        pop(page);
        pop(page);
        assert_eq!(depths(page), []);
    }

    #[test]
    fn of_a_deep_stack_the_innermost_are_known_and_none_is_made_up() {
        let page = page();
        for depth in 0..200 {
            push(page, 1, depth, 1000 + depth);
        }
        let seen = depths(page);
        assert_eq!(seen.len(), FRAMES_MAX);
        assert!(seen.iter().all(|(depth, span)| *span == 1000 + u64::from(*depth)));
        (0..150).for_each(|_| pop(page));
        // Overwritten frames state another depth.
        assert_eq!(depths(page), []);
        push(page, 1, 7, 7);
        assert_eq!(depths(page), [(50, 7)]);
    }
}
